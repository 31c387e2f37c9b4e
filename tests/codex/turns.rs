//! Threads and turns on the real Codex.

use pretty_assertions::assert_eq;

use super::stage::{Stage, answered, finish, options, text};

#[tokio::test]
async fn a_turn_is_recorded_and_answered() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let turn = thread.start_turn(text("hello"), &options("m-1"));
    let (events, end) = finish(turn).await;
    eprintln!("{events:#?}");
    assert_eq!(end, answered("echo: hello"));
}
