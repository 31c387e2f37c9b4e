//! Breaking things, and counting: what was lost, what came twice. Both must be zero.
//!
//! The real codex, a real daemon process, a scripted model, and a platform that outlives them.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod child;
mod connection;
mod daemon;
mod disk;
mod load;
mod random;
mod stdio;
mod window;

use rustix::process::Signal;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, times_told};

/// Makes a world with an echoing model and starts its daemon.
async fn running(echo: &Echo, choices: &Choices) -> World {
    let mut world = World::new(echo.start().await, choices);
    world.start();
    world
}

/// Fails unless the model was told each of these texts once.
fn assert_told_once(world: &World, texts: &[&str]) {
    for text in texts {
        assert_eq!(
            times_told(&world.model, text),
            1,
            "{text:?}\n{}",
            world.log()
        );
    }
}

/// Kills the app-server and waits for the next one.
async fn kill_app_server(world: &World) {
    let killed = world.signal_app_server(Signal::KILL);
    world.next_app_server(killed).await;
}
