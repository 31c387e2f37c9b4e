//! Results that are reported from outside reach the model, each once, and wake it.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod broken;
mod chats;
mod command;
mod delivery;
mod storm;

use std::path::PathBuf;

use tieline::control::{Client, ClientError, CompletionReceipt, CompletionReport};
use tieline::ledger::CompletionStatus;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, completions_told, wait_for_requests};

/// What the model has been told, in which requests it is.
const TRIGGER: &str = crate::support::model::TRIGGER;

/// Where the dispatcher's daemon is asked.
fn socket(world: &World) -> PathBuf {
    world.path().join("state/control.sock")
}

fn report(id: &str) -> CompletionReport {
    CompletionReport {
        id: id.to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: format!("the result of {id}"),
        lane: None,
    }
}

/// Reports a result, as often as it takes.
async fn tell(world: &World, report: &CompletionReport) -> CompletionReceipt {
    tell_at(socket(world), report).await
}

async fn tell_at(socket: PathBuf, report: &CompletionReport) -> CompletionReceipt {
    let client = Client::new(&socket);
    let told = async {
        loop {
            match client.complete("test", report).await {
                Ok(receipt) => return receipt,
                Err(
                    ClientError::NotRunning { .. }
                    | ClientError::Connect { .. }
                    | ClientError::Broken { .. },
                ) => {
                    // The daemon is away; nothing else tells when it is back.
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    crate::support::model::within("the daemon to take a report", told).await
}

/// A world whose person has written once, so that there is somebody to hear of results.
async fn in_use(echo: &Echo, choices: &Choices) -> World {
    let mut world = World::new(echo.start().await, choices);
    world.start();
    let first = world.platform.write("a", "hello");
    world.platform.settled(&first).await;
    world
}

/// Waits until the history that the model gets has the result.
async fn until_told(world: &World, id: &str) {
    let marker = format!("<completion id=\"{id}\"");
    wait_for_requests(&world.model, id, |requests| {
        requests.last().is_some_and(|request| {
            let texts = request.developer_texts();
            texts.iter().any(|text| text.starts_with(&marker))
        })
    })
    .await;
}

/// Fails unless each of these, and nothing else, is in the history once.
fn assert_told_once(world: &World, ids: impl IntoIterator<Item = String>) {
    let told = completions_told(&world.model);
    let expected = ids.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(told, expected, "{}", world.log());
}
