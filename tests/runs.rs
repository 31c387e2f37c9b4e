//! One-off runs, with the real codex, a real daemon process and a scripted model.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod broken;
mod command;
mod done;

use std::fs;
use std::time::Duration;

use tieline::control::{Client, NewRun, RunDetails, run_route};

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, within};

/// Makes a world with an echoing model and starts its daemon.
async fn running(echo: &Echo, choices: &Choices) -> (World, Client) {
    let mut world = World::new(echo.start().await, choices);
    world.start();
    world.ready(0).await;
    let client = client(&world);
    (world, client)
}

fn client(world: &World) -> Client {
    Client::new(&world.path().join("state/control.sock"))
}

/// A sandbox that needs nothing of this machine.
fn anything() -> Choices {
    Choices {
        sandbox: "danger-full-access",
        ..Choices::standard()
    }
}

fn prompt(text: &str) -> NewRun {
    NewRun {
        prompt: text.to_owned(),
        ..NewRun::default()
    }
}

async fn order(client: &Client, run: &NewRun) -> String {
    let run = client.exec("test", run).await.unwrap();
    assert!(!run.run.terminal, "{run:#?}");
    run.run.id.to_string()
}

async fn read(client: &Client, id: &str) -> RunDetails {
    client.get(&run_route(id, "0s")).await.unwrap()
}

/// Waits until a run is as wanted.
async fn until(
    client: &Client,
    id: &str,
    what: &str,
    is: impl Fn(&RunDetails) -> bool,
) -> RunDetails {
    let there = async {
        loop {
            let run = read(client, id).await;
            if is(&run) {
                return run;
            }
            // The daemon is asked, for it tells of ends alone.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, there).await
}

/// Waits for the end of a run.
async fn ended(client: &Client, id: &str) -> RunDetails {
    let over = async {
        loop {
            let run: RunDetails = client.get(&run_route(id, "5s")).await.unwrap();
            if run.run.terminal {
                return run;
            }
        }
    };
    within("the end of a run", over).await
}

async fn done(client: &Client, run: &NewRun) -> RunDetails {
    ended(client, &order(client, run).await).await
}

/// Returns the processes that belong to a run.
fn processes(id: &str) -> Vec<String> {
    let mark = format!("TIELINE_RUN={id}");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        let is_ours = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes());
        if is_ours {
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    found
}
