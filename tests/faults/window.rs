//! The moment in which codex has the text of a message in its rollout and not yet our key.

use std::fs;
use std::path::Path;

use super::*;
use crate::support::daemon::rollouts;
use crate::support::model::Point;

#[tokio::test]
async fn text_without_key_in_the_rollout_is_not_submitted_again() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let warm = world.platform.write("a", "warming up");
    world.platform.settled(&warm).await;
    let hold = echo.hold("in the window", Point::Start);
    let id = world.platform.write("a", "in the window");
    hold.reached().await;
    world.kill_daemon().await;
    if let Some(child) = world.signal_app_server(Signal::KILL) {
        world.gone(child).await;
    }
    cut_after_text(&world.home(), "in the window");

    world.start();
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: in the window"
    );
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["warming up", "in the window"]);
    world.finish().await;
}

#[tokio::test]
async fn a_message_that_never_reached_the_rollout_is_submitted_again() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let warm = world.platform.write("a", "warming up");
    world.platform.settled(&warm).await;
    let hold = echo.hold("before the window", Point::Start);
    let id = world.platform.write("a", "before the window");
    hold.reached().await;
    world.kill_daemon().await;
    if let Some(child) = world.signal_app_server(Signal::KILL) {
        world.gone(child).await;
    }
    // The daemon has noted the delivery by now, so this also says: what codex had and lost is
    // never run again in silence.
    cut_before_text(&world.home(), "before the window");

    world.start();
    let posts = world.platform.settled(&id).await;
    assert!(
        posts[0].text.contains('❓') || posts[0].text == "echo: before the window",
        "{posts:?}"
    );
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

/// Leaves the rollout as a kill in the window leaves it: the text is its last record.
fn cut_after_text(home: &Path, text: &str) {
    rewrite(home, text, 1);
}

/// Leaves the rollout as a kill before the window leaves it.
fn cut_before_text(home: &Path, text: &str) {
    rewrite(home, text, 0);
}

fn rewrite(home: &Path, text: &str, keep: usize) {
    let rollout = rollouts(&home.join("sessions"))
        .into_iter()
        .find(|path| fs::read_to_string(path).unwrap().contains(text))
        .expect("a rollout has the text");
    let content = fs::read_to_string(&rollout).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let at = lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(lines[at].contains("response_item"), "{}", lines[at]);
    let mut kept = lines[..at + keep].join("\n");
    kept.push('\n');
    fs::write(&rollout, kept).unwrap();
    // The index is made anew from the rollouts.
    for entry in fs::read_dir(home).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".sqlite") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}
