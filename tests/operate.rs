//! Living on a machine: what is checked, restarted, logged and told to a service manager.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod doctor;
mod logs;
mod notify;
mod restart;
mod service;
mod smoke;

use std::process::Output;

use tokio::process::Command;

use crate::support::daemon::World;

/// Runs a verb against the configuration of a world.
async fn tieline(world: &World, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(arguments)
        .arg("--config")
        .arg(world.path().join("tieline.toml"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", world.path())
        .kill_on_drop(true)
        .output();
    crate::support::model::within(arguments[0], output)
        .await
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
