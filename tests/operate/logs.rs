//! `tieline logs`, with and without a daemon.

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::Echo;

#[tokio::test]
async fn log_is_shown_without_a_daemon_and_codex_has_one_of_its_own() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    let output = tieline(&world, &["logs"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("nothing was logged yet"),
        "{output:?}"
    );
    world.start();
    world.ready(0).await;
    assert_eq!(world.stop_daemon().await, Some(0));

    let output = tieline(&world, &["logs", "-n", "1"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let last = stdout(&output);
    assert!(last.ends_with("tieline::daemon: stopped\n"), "{last}");
    assert_eq!(last.lines().count(), 1);
    let output = tieline(&world, &["logs", "--dispatcher", "test"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).contains("bubblewrap") || !stdout(&output).is_empty());
    let output = tieline(&world, &["logs", "--dispatcher", "none"]).await;
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("one of test"), "{output:?}");
}

#[tokio::test]
async fn full_disk_costs_lines_of_the_log_alone() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    // A directory in its place: no line can be written.
    std::fs::create_dir_all(world.path().join("state/logs/tieline.log")).unwrap();
    std::fs::create_dir_all(world.path().join("state/ledger")).unwrap();
    world.start();
    let id = world.platform.write("a", "hello");
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: hello");
    world.finish().await;
}
