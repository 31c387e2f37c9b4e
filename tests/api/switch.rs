//! A dispatcher is switched off and on while people write to it.

use serde_json::Value;
use tieline::control::{Client, MessageStory, Messages};
use tieline::ledger::Lifecycle;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Point, within};

fn client(world: &World) -> Client {
    Client::new(&world.path().join("state/control.sock"))
}

/// Waits until so many inputs wait.
async fn waiting(client: &Client, count: u64) {
    let there = async {
        loop {
            let answer: Value = client.get("/v1/dispatchers/test").await.unwrap();
            if answer["waiting"] == count {
                return;
            }
            // The daemon is asked, for it does not tell by itself.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    within("messages that wait", there).await;
}

#[tokio::test]
async fn what_is_written_to_one_that_is_switched_off_waits_and_is_answered_when_it_is_on_again() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    let client = client(&world);
    let first = world.platform.write("a", "before");
    world.platform.settled(&first).await;
    let effective: Value = client.get("/v1/dispatchers/test").await.unwrap();
    let sandbox = &effective["sandbox"];
    assert_eq!(sandbox["requested"], "read-only");
    assert_eq!(sandbox["effective"], "read-only");
    assert_eq!(sandbox["source"], "configuration");

    for _ in 0..2 {
        let stopped = client.switch("test", "stop").await.unwrap();
        assert_eq!(stopped.dispatcher.state, Lifecycle::Stopped);
    }
    assert_eq!(world.codex_pids(), [], "its child is gone");
    let waits = world.platform.write("a", "meanwhile");
    waiting(&client, 1).await;
    // The chat is told.
    world.platform.posted("switched off").await;
    let queued: Messages = client.get("/v1/messages?state=queued").await.unwrap();
    assert_eq!(queued.messages.len(), 1);
    let started = client.switch("test", "start").await.unwrap();
    assert_ne!(started.dispatcher.state, Lifecycle::Stopped);
    world.platform.settled(&waits).await;

    // The story is whole.
    let id = queued.messages[0].id;
    let delivered = async {
        loop {
            let story: MessageStory = client.get(&format!("/v1/messages/{id}")).await.unwrap();
            let mut posts = story.posts.iter();
            let answer = posts.find(|post| post.kind.as_deref() == Some("answer"));
            if answer.is_some_and(|it| it.state == "delivered" && it.message.is_some()) {
                return story;
            }
            // The platform has it a moment before that is on record, and nobody tells.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let story = within("the answer on record", delivered).await;
    assert_eq!(story.message.state, "answered", "{story:#?}");
    assert_eq!(story.turn.as_ref().unwrap().state, "answered", "{story:#?}");
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn a_turn_that_a_stop_cuts_off_goes_on_after_the_start() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    let client = client(&world);
    let hold = echo.hold("long work", Point::MidStream);
    let id = world.platform.write("a", "long work");
    hold.reached().await;
    let stopped = client.switch("test", "stop").await.unwrap();
    assert_eq!(stopped.dispatcher.state, Lifecycle::Stopped);
    assert_eq!(stopped.dispatcher.lanes.in_turn, 1, "the turn stays open");
    hold.release();
    let restarted = client.switch("test", "restart").await.unwrap();
    assert_ne!(restarted.dispatcher.state, Lifecycle::Stopped);
    world.platform.settled(&id).await;
    world.at_rest().await;
    world.platform.tally().assert_exactly_once();
    // A daemon that is started has all of its dispatchers work.
    client.switch("test", "stop").await.unwrap();
    world.stop_daemon().await;
    world.start();
    world.ready(0).await;
    world.finish().await;
}
