//! kill -9 of the daemon at each step, and what the next one finds.

use super::*;
use crate::support::model::Point;

#[tokio::test]
async fn killed_between_accept_and_ack_the_redelivery_is_recognised() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("only once", Point::Start);
    let id = world.platform.write("a", "only once");
    // The model has it, so it was accepted; the platform forgets the ack, as if it never came.
    hold.reached().await;
    world.kill_daemon().await;
    world.platform.forget_ack(&id);
    world.start();
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: only once");
    world.platform.acked(&id).await;
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["only once"]);
    world.finish().await;
}

#[tokio::test]
async fn killed_after_turn_start_the_next_one_goes_on() {
    at_point(Point::Start).await;
}

#[tokio::test]
async fn killed_mid_stream_the_next_one_goes_on() {
    at_point(Point::MidStream).await;
}

#[tokio::test]
async fn killed_after_the_answer_the_next_one_delivers_it() {
    at_point(Point::BeforeEnd).await;
}

async fn at_point(point: Point) {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let warm = world.platform.write("a", "warming up");
    world.platform.settled(&warm).await;
    let hold = echo.hold("fragile", point);
    let id = world.platform.write("a", "fragile");
    hold.reached().await;
    let orphan = world.app_server();
    let next = world.platform.write("a", "the one after");
    world.platform.acked(&next).await;
    world.kill_daemon().await;
    world.start();
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: fragile");
    assert_eq!(
        world.platform.settled(&next).await[0].text,
        "echo: the one after"
    );
    assert_ne!(world.app_server(), orphan, "the old child still works");
    let tally = world.platform.tally();
    tally.assert_exactly_once();
    assert_told_once(&world, &["warming up", "fragile", "the one after"]);
    world.finish().await;
}

#[tokio::test]
async fn killed_between_post_and_confirmation_the_post_keeps_its_key() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    world.platform.withhold_confirmations(true);
    let id = world.platform.write("a", "said it");
    world.platform.settled(&id).await;
    world.kill_daemon().await;
    world.start();
    world.platform.withhold_confirmations(false);
    let next = world.platform.write("a", "said more");
    world.platform.settled(&next).await;
    let tally = world.platform.tally();
    tally.assert_exactly_once();
    assert!(tally.repeats >= 1, "the post was not sent again: {tally:?}");
    assert_told_once(&world, &["said it", "said more"]);
    world.finish().await;
}

#[tokio::test]
async fn its_chats_are_told_when_a_restart_cut_their_turn_off() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    let id = world.platform.write("a", "long work");
    hold.reached().await;
    world.kill_daemon().await;
    world.start();
    world.platform.posted("I was restarted").await;
    world.platform.settled(&id).await;
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn told_to_end_it_ends_in_time_and_leaves_the_turn_for_the_next_one() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let _hold = echo.hold("endless", Point::MidStream);
    let id = world.platform.write("a", "endless");
    _hold.reached().await;
    assert_eq!(world.stop_daemon().await, Some(0));
    assert_eq!(world.codex_pids(), Vec::new());
    world.start();
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: endless");
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["endless"]);
    world.finish().await;
}
