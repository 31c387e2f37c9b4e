//! What a dispatcher promises, on the real codex and a scripted model.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod busy;
mod children;
mod commands;
mod failures;
mod input;
mod login;
mod odd;
mod privacy;
mod profiles;
mod prompts;
mod secrets;
mod skills;
mod threads;

use crate::support::daemon::{Choices, World};
use crate::support::model::Echo;

/// Makes a world with an echoing model and starts its daemon.
async fn running(echo: &Echo, choices: &Choices) -> World {
    let mut world = World::new(echo.start().await, choices);
    world.start();
    world
}
