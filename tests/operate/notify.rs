//! What the service manager is told.

use std::time::Duration;

use tokio::net::UnixDatagram;

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, within};

/// Waits until a datagram has a line.
async fn until(socket: &UnixDatagram, line: &str) -> String {
    let told = async {
        let mut buffer = vec![0; 4096];
        loop {
            let n = socket.recv(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if text.lines().any(|it| it.starts_with(line)) {
                return text;
            }
        }
    };
    within(line, told).await
}

#[tokio::test]
async fn service_manager_is_told_that_it_runs_lives_restarts_and_stops() {
    let echo = Echo::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut choices = Choices::standard();
    let variable = |name: &str, value: String| (name.to_owned(), value);
    choices.environment = vec![
        variable("NOTIFY_SOCKET", path.display().to_string()),
        variable(
            "WATCHDOG_USEC",
            Duration::from_millis(600).as_micros().to_string(),
        ),
    ];
    let mut world = World::new(echo.start().await, &choices);
    world.start();
    until(&socket, "READY=1").await;
    world.ready(0).await;
    for _ in 0..3 {
        let told = until(&socket, "WATCHDOG=1").await;
        assert!(told.contains("STATUS="), "{told}");
    }
    let status = until(
        &socket,
        "STATUS=1 of 1 dispatchers ready, 0 messages waiting",
    )
    .await;
    assert!(status.contains("WATCHDOG=1"), "{status}");

    let restarting = tieline(&world, &["restart"]);
    let (output, told) = tokio::join!(restarting, until(&socket, "RELOADING=1"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(told.contains("MONOTONIC_USEC="), "{told}");
    until(&socket, "READY=1").await;
    until(&socket, "WATCHDOG=1").await;
    assert_eq!(world.stop_daemon().await, Some(0));
    until(&socket, "STOPPING=1").await;
    world.finish().await;
}
