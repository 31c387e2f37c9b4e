//! What is told of what happens, by a running daemon.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod command;
mod crowd;
mod figures;
mod noise;
mod turns;

use std::fs;
use std::path::PathBuf;

use tieline::control::{Client, EventStream, Streamed};
use tieline::events::{EventRecord, Page};

use crate::support::daemon::World;
use crate::support::model::within;

fn socket(world: &World) -> PathBuf {
    world.path().join("state/control.sock")
}

fn client(world: &World) -> Client {
    Client::new(&socket(world))
}

/// Returns the events after the one of this number.
async fn events_after(world: &World, after: u64) -> Vec<EventRecord> {
    let route = format!("/v1/events?after={after}&limit=1000");
    let page: Page = client(world).get(&route).await.unwrap();
    page.events
}

/// Listens from the event of this number on.
async fn listen(world: &World, after: u64) -> EventStream {
    let route = format!("/v1/events/stream?after={after}");
    client(world).stream(&route).await.unwrap()
}

/// Hears events until there is one of a type; returns all of them.
async fn until(stream: &mut EventStream, kind: &str) -> Vec<EventRecord> {
    let mut heard = Vec::new();
    let reached = async {
        loop {
            match stream.next().await.unwrap() {
                Some(Streamed::Event(event)) => {
                    let is_it = event.kind == kind;
                    heard.push(*event);
                    if is_it {
                        return;
                    }
                }
                Some(other) => panic!("{other:?}"),
                None => panic!("the stream has ended before {kind}"),
            }
        }
    };
    within(kind, reached).await;
    heard
}

fn kinds(events: &[EventRecord]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

/// Returns all that is on disk.
fn on_disk(world: &World) -> String {
    let directory = world.path().join("state/events");
    let files = fs::read_dir(directory).unwrap();
    let texts = files.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.collect()
}
