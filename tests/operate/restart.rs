//! `tieline restart`.

use std::fs;

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, Point};

/// Returns the texts of the notices in a chat.
fn notices(world: &World, chat: &str) -> Vec<String> {
    let posts = world.platform.posts(chat);
    let notices = posts.into_iter().filter(|post| post.kind == "notice");
    notices.map(|post| post.text).collect()
}

#[tokio::test]
async fn chats_are_told_before_and_after_and_what_waits_is_answered_once() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    let id = world.platform.write("talker", "hello");
    world.platform.settled(&id).await;
    let hold = echo.hold("long work", Point::Start);
    let waiting = world.platform.write("waiter", "long work");
    hold.reached().await;
    let before = world.status().await;

    let output = tieline(&world, &["restart", "--notice", "A new disk."]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains(" is back, process "), "{output:?}");
    let after = world.status().await;
    assert_eq!(after.pid, before.pid);
    assert_ne!(after.started_at, before.started_at);
    hold.release();
    world.platform.settled(&waiting).await;
    world.platform.posted("✅ I am back").await;
    world.at_rest().await;
    for chat in ["talker", "waiter"] {
        let told = notices(&world, chat);
        let going = told.iter().filter(|it| it.contains("A new disk.")).count();
        let back = told.iter().filter(|it| it.contains("✅ I am back")).count();
        assert_eq!((going, back), (1, 1), "{chat}: {told:#?}\n{}", world.log());
    }
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn end_of_a_restart_is_told_once_also_when_the_start_was_killed() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    let id = world.platform.write("a", "hello");
    world.platform.settled(&id).await;
    // The ledger says who is to be told; whoever starts next tells them.
    let client = tieline::control::Client::new(&world.path().join("state/control.sock"));
    let order = tieline::control::RestartOrder { notice: None };
    client.restart(&order).await.unwrap();
    world.platform.posted("I am being restarted").await;
    world.kill_daemon().await;
    world.start();
    world.platform.posted("✅ I am back").await;
    assert_eq!(world.stop_daemon().await, Some(0));
    world.start();
    world.ready(0).await;
    world.at_rest().await;
    let told = notices(&world, "a");
    let back = told.iter().filter(|it| it.contains("✅ I am back")).count();
    assert_eq!(back, 1, "{told:#?}");
    world.finish().await;
}

#[tokio::test]
async fn daemon_that_would_not_come_up_is_not_restarted() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    let before = world.status().await;
    let path = world.path().join("tieline.toml");
    let good = fs::read_to_string(&path).unwrap();
    let other = world.path().join("other.toml");
    fs::write(&other, &good).unwrap();
    fs::write(&path, format!("{good}\nnonsense = 1\n")).unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(["restart", "--config"])
        .arg(&other)
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("has mistakes (1)"), "{output:?}");
    assert!(stderr(&output).contains("`tieline check`"), "{output:?}");
    assert_eq!(world.status().await.started_at, before.started_at);
    fs::write(&path, good).unwrap();
    assert_eq!(world.stop_daemon().await, Some(0));
    let output = tieline(&world, &["restart"]).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    world.finish().await;
}
