//! What models call reaches people, once, and nobody else.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod broken;
mod chat;
mod only;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault};

/// A world with an echoing model and a running daemon.
async fn running(echo: &Echo, choices: &Choices) -> World {
    let mut world = World::new(echo.start().await, choices);
    world.start();
    world
}

/// Returns what people of a chat have read.
fn texts(world: &World, chat: &str) -> Vec<String> {
    let posts = world.platform.posts(chat).into_iter();
    posts.map(|post| post.text).collect()
}

/// The model calls a tool when it is asked `key`.
fn will_call(echo: &Echo, key: &str, tool: &'static str, arguments: &'static str) {
    echo.once(key, Fault::Call(tool, arguments));
}
