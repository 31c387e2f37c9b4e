//! Threads over restarts: resumed, begun again, or lost and said so.

use std::fs;

use rustix::process::Signal;

use super::*;
use crate::support::model::{Fault, Point, times_told, told};
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

#[tokio::test]
async fn a_conversation_goes_on_in_its_thread_after_a_restart() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let one = world.platform.write("a", "remember the milk");
    world.platform.settled(&one).await;
    assert_eq!(world.stop_daemon().await, Some(0));
    world.start();
    let two = world.platform.write("a", "what was it");
    world.platform.settled(&two).await;
    let told = told(&world.model);
    assert_eq!(told.len(), 1, "two threads: {told:#?}");
    let texts = told.values().next().unwrap().join("\n");
    assert!(
        texts.contains("remember the milk") && texts.contains("what was it"),
        "{texts}"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_lost_thread_is_begun_anew_and_people_are_told() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let one = world.platform.write("a", "before the loss");
    world.platform.settled(&one).await;
    assert_eq!(world.stop_daemon().await, Some(0));
    world.lose_threads();
    world.start();
    let two = world.platform.write("a", "after the loss");
    assert_eq!(
        world.platform.settled(&two).await[0].text,
        "echo: after the loss"
    );
    let notices: Vec<_> = world
        .platform
        .posts("a")
        .into_iter()
        .filter(|post| post.text.contains("history of this conversation was lost"))
        .collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    // The model is told as well.
    let told = told(&world.model);
    let texts: String = told.values().flatten().cloned().collect();
    assert!(
        texts.contains("<notice source=\"tieline\" kind=\"thread-lost\">"),
        "{texts}"
    );
    world.finish().await;
}

#[tokio::test]
async fn with_stop_a_lost_thread_is_never_replaced() {
    let echo = Echo::new();
    let choices = Choices::standard().with("on_lost_thread = \"stop\"");
    let mut world = running(&echo, &choices).await;
    let one = world.platform.write("a", "before the loss");
    world.platform.settled(&one).await;
    assert_eq!(world.stop_daemon().await, Some(0));
    let hidden = world.path().join("hidden");
    fs::rename(world.home(), &hidden).unwrap();
    fs::create_dir(world.home()).unwrap();
    world.start();
    let two = world.platform.write("a", "after the loss");
    let posts = world.platform.settled(&two).await;
    assert_eq!(posts[0].kind, "failure");
    assert!(posts[0].text.contains("on_lost_thread"), "{posts:?}");
    assert_eq!(world.stop_daemon().await, Some(0));

    // The old thread was kept: once its history is back, the conversation goes on.
    fs::remove_dir_all(world.home()).unwrap();
    fs::rename(&hidden, world.home()).unwrap();
    world.start();
    let three = world.platform.write("a", "restored");
    assert_eq!(
        world.platform.settled(&three).await[0].text,
        "echo: restored"
    );
    assert_eq!(told(&world.model).len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn the_thread_is_told_of_a_restart_when_nothing_live_came_first() {
    let echo = Echo::new();
    let choices = Choices::standard();
    let mut world = running(&echo, &choices).await;
    let one = world.platform.write("a", "hello");
    world.platform.settled(&one).await;
    let killed = world.signal_app_server(Signal::KILL);
    world.next_app_server(killed).await;
    // The rollout tells when the notice is in.
    world.until_rollout_has("Codex was restarted").await;
    let two = world.platform.write("a", "hello again");
    world.platform.settled(&two).await;
    let last = world.model.requests().last().cloned().unwrap();
    let notices = last
        .developer_texts()
        .iter()
        .filter(|text| text.contains("kind=\"restarted\""))
        .count();
    assert_eq!(notices, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_thread_that_was_never_used_is_begun_again_and_nothing_is_said() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    // The child dies when the thread is made and recorded, before its first turn arrives.
    let mut first_turn = proxied
        .proxy
        .at_frame(To::Server, "\"turn/start\"", Mishap::Hold);
    let id = proxied.world.platform.write("a", "first words");
    first_turn.seen().await;
    proxied.kill_app_server().await;
    proxied.proxy.hold(false);
    let posts = proxied.world.platform.settled(&id).await;
    assert_eq!(posts[0].text, "echo: first words");
    let begun_again = proxied.world.logged("the thread had never been used");
    assert_eq!(begun_again.len(), 1, "{}", proxied.world.log());
    let tally = proxied.world.platform.tally();
    tally.assert_exactly_once();
    assert_eq!(tally.notices, 0, "{:?}", proxied.world.platform.posts("a"));
    assert_eq!(times_told(&proxied.world.model, "first words"), 1);
    assert_eq!(told(&proxied.world.model).len(), 1);
    let developer = proxied.world.model.requests()[0].developer_texts().join("");
    assert!(!developer.contains("thread-lost"), "{developer}");
    proxied.finish().await;
}

#[tokio::test]
async fn the_thread_is_not_told_of_a_restart_when_something_live_comes_first() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let one = world.platform.write("a", "hello");
    world.platform.settled(&one).await;
    let hold = echo.hold("cut off", Point::MidStream);
    let two = world.platform.write("a", "cut off");
    hold.reached().await;
    let killed = world.signal_app_server(Signal::KILL);
    world.next_app_server(killed).await;
    world.platform.settled(&two).await;
    let three = world.platform.write("a", "and on");
    world.platform.settled(&three).await;
    let last = world.model.requests().last().cloned().unwrap();
    let texts = last.developer_texts();
    assert!(
        !texts.iter().any(|text| text.contains("kind=\"restarted\"")),
        "{texts:#?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn status_tells_how_the_last_turn_of_a_lane_ended() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let one = world.platform.write("a", "hello");
    world.platform.settled(&one).await;
    echo.once("refuse me", Fault::Status(403, "{}", None));
    let two = world.platform.write("b", "refuse me");
    world.platform.settled(&two).await;
    let status = world.status().await;
    let last = |lane: &str| {
        let lanes = &status.dispatchers[0].lanes;
        let lane = lanes.iter().find(|it| it.id.as_str().ends_with(lane));
        lane.and_then(|lane| lane.last_turn.clone()).unwrap()
    };
    assert_eq!(last("a").outcome, "answered");
    assert_eq!(last("a").failure, None);
    assert_eq!(last("b").outcome, "failed");
    assert_eq!(last("b").failure.as_deref(), Some("provider-auth-failed"));
    assert!(last("b").cause.unwrap().contains("403"));
    world.finish().await;
}
