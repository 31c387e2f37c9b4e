//! `tieline console`: a terminal of its own process at a daemon with the real Codex.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::process::{Output, Stdio};

use tieline_console::protocol::MAX_LINE;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault, Point, within};

/// Starts a world whose dispatcher is ready.
async fn running(echo: &Echo) -> World {
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    world
}

/// Starts `tieline console` with `input` on its stdin.
async fn console(world: &World, chat: &str, input: &[u8]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(["console", "--chat", chat, "--config"])
        .arg(world.path().join("tieline.toml"))
        .env_clear()
        .env("HOME", world.path())
        .env("USER", "mei")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A client that cannot even start does not read.
    drop(stdin.write_all(input).await);
    child
}

/// What a console said, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

async fn said(child: Child) -> Said {
    let output: Output = within("the console to end", child.wait_with_output())
        .await
        .unwrap();
    Said {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

#[tokio::test]
async fn lines_go_in_and_answers_come_out() {
    let world = running(&Echo::new()).await;
    let said = said(console(&world, "main", b"\ncaf\xe9 \xe2\x98\x95\r\n").await).await;
    let expected = Said {
        stdout: "echo: caf\u{fffd} \u{2615}\n".into(),
        stderr: "Line 2 is not UTF-8; what is not was replaced.\n".into(),
        code: Some(0),
    };
    assert_eq!(said, expected);
    world.finish().await;
}

#[tokio::test]
async fn a_message_without_an_answer_shows_in_the_exit_code() {
    let echo = Echo::new();
    echo.always("doomed", Fault::Failed("invalid_prompt", "not that"));
    let world = running(&echo).await;
    let failed = said(console(&world, "a", b"doomed\n").await).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_ne!(failed.stdout, "", "{failed:?}");
    let long = [vec![b'x'; MAX_LINE + 1], b"\nshort\n".to_vec()].concat();
    let partly = said(console(&world, "b", &long).await).await;
    assert_eq!(partly.code, Some(1), "{partly:?}");
    assert_eq!(partly.stdout, "echo: short\n");
    let first = partly.stderr.lines().next().unwrap();
    assert!(first.starts_with("Line 1 was not sent: "), "{first}");
    world.finish().await;
}

#[tokio::test]
async fn a_console_outlives_the_daemon() {
    let echo = Echo::new();
    let mut world = running(&echo).await;
    let hold = echo.hold("patience", Point::MidStream);
    let console = console(&world, "main", b"patience\n").await;
    hold.reached().await;
    world.kill_daemon().await;
    hold.release();
    world.start();
    let said = said(console).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout, "echo: patience\n");
    world.finish().await;
}

#[tokio::test]
async fn without_a_daemon_it_says_so() {
    let world = World::new(Echo::new().start().await, &Choices::standard());
    let said = said(console(&world, "main", b"hello\n").await).await;
    assert_eq!(said.code, Some(69), "{said:?}");
    assert_eq!(said.stdout, "");
    assert!(said.stderr.contains("no daemon listens on "), "{said:?}");
    assert!(said.stderr.contains("tieline run"), "{said:?}");
    world.finish().await;
}
