//! Many who listen, and some of them badly.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, Fault};

/// How many turns are run.
const TURNS: usize = 20;

/// Hears everything until the last turn is over; returns the numbers.
async fn hear(mut stream: EventStream) -> Vec<u64> {
    let mut heard = Vec::new();
    let mut answered = 0;
    while answered < TURNS {
        match stream.next().await.unwrap() {
            Some(Streamed::Event(event)) => {
                heard.extend(event.seq);
                answered += usize::from(event.kind == "message.answered");
            }
            other => panic!("{other:?}"),
        }
    }
    heard
}

/// Asks for a stream and reads nothing of it.
async fn deaf(world: &World) -> UnixStream {
    let mut stream = UnixStream::connect(socket(world)).await.unwrap();
    let request = b"GET /v1/events/stream?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test]
async fn a_hundred_listen_of_whom_half_never_read_and_nobody_is_held_up() {
    let echo = Echo::new();
    // Each of these prints more than a socket takes.
    echo.always("print", Fault::Command("seq 1 90"));
    let mut world = World::new(
        echo.start().await,
        &Choices {
            sandbox: "danger-full-access",
            ..Choices::standard()
        },
    );
    world.start();
    world.ready(0).await;
    let mut never_read = Vec::new();
    let mut listening = JoinSet::new();
    for _ in 0..50 {
        never_read.push(deaf(&world).await);
        listening.spawn(hear(listen(&world, 0).await));
    }
    let mut ids = Vec::new();
    for turn in 0..TURNS {
        ids.push(
            world
                .platform
                .write(&format!("chat-{}", turn % 4), &format!("print {turn}")),
        );
        let status = tokio::time::timeout(Duration::from_secs(5), world.status());
        assert!(status.await.is_ok(), "nobody could ask for the status");
    }
    for id in &ids {
        world.platform.settled(id).await;
    }
    let all = events_after(&world, 0).await;
    let all: Vec<u64> = all.iter().filter_map(|it| it.seq).collect();
    for heard in within("all who listen", listening.join_all()).await {
        assert_eq!(heard[..], all[..heard.len()]);
    }
    // What they do not read costs them, and nobody else: the daemon stops in time.
    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    for mut stream in never_read {
        let mut text = Vec::new();
        let read = stream.read_to_end(&mut text);
        within("the end of a stream", read).await.ok();
        assert!(String::from_utf8_lossy(&text).contains("daemon.started"));
    }
}

#[tokio::test]
async fn beyond_the_bound_listeners_are_refused_and_everybody_else_is_served() {
    let mut world = World::new(Echo::new().start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    let mut listening = Vec::new();
    for _ in 0..128 {
        listening.push(listen(&world, 0).await);
    }
    let refused = client(&world)
        .stream("/v1/events/stream")
        .await
        .unwrap_err();
    assert_eq!(refused.to_string(), "128 listen already");
    assert!(refused.hint().is_some());
    assert_eq!(world.status().await.dispatchers.len(), 1);
    listening.pop();
    let again = async {
        // Its place is free once the daemon has noticed.
        while client(&world).stream("/v1/events/stream").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a free place", again).await;
}
