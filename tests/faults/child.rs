//! kill -9 of the app-server at each step of a turn; a deaf one; a connection that drops.

use super::*;
use crate::support::model::{Fault, Point};

#[tokio::test]
async fn killed_before_the_first_message_it_is_replaced() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    for _ in 0..3 {
        world.next_app_server(None).await;
        kill_app_server(&world).await;
    }
    let id = world.platform.write("a", "first light");
    let posts = world.platform.settled(&id).await;
    assert_eq!(posts[0].text, "echo: first light");
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["first light"]);
    world.finish().await;
}

#[tokio::test]
async fn killed_after_turn_start_the_turn_goes_on_without_repeating_the_message() {
    at_point(Point::Start).await;
}

#[tokio::test]
async fn killed_mid_stream_the_turn_goes_on_without_repeating_the_message() {
    at_point(Point::MidStream).await;
}

async fn at_point(point: Point) {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let warm = world.platform.write("a", "warming up");
    world.platform.settled(&warm).await;
    let hold = echo.hold("fragile", point);
    let id = world.platform.write("a", "fragile");
    let next = {
        hold.reached().await;
        let next = world.platform.write("a", "the one after");
        kill_app_server(&world).await;
        next
    };
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: fragile");
    assert_eq!(
        world.platform.settled(&next).await[0].text,
        "echo: the one after"
    );
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["warming up", "fragile", "the one after"]);
    world.finish().await;
}

#[tokio::test]
async fn killed_after_the_answer_the_answer_is_delivered_and_not_asked_for_again() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("nearly done", Point::BeforeEnd);
    let id = world.platform.write("a", "nearly done");
    hold.reached().await;
    kill_app_server(&world).await;
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: nearly done"
    );
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["nearly done"]);
    world.finish().await;
}

#[tokio::test]
async fn killed_between_answer_and_outbox_nothing_is_repeated() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    world.platform.withhold_confirmations(true);
    let id = world.platform.write("a", "on its way");
    world.platform.settled(&id).await;
    kill_app_server(&world).await;
    world.platform.withhold_confirmations(false);
    let next = world.platform.write("a", "and another");
    world.platform.settled(&next).await;
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["on its way", "and another"]);
    world.finish().await;
}

#[tokio::test]
async fn killed_while_a_command_runs_its_work_is_not_thrown_away() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    // The command tells that it runs by making a file; the sandbox of this test forbids that, so
    // the model is held after it instead.
    echo.once("look around", Fault::Command("echo looked"));
    let id = world.platform.write("a", "look around");
    let posts = world.platform.settled(&id).await;
    assert!(posts[0].text.contains("looked"), "{posts:?}");
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn stopped_it_is_found_deaf_and_replaced() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("are you there", Point::MidStream);
    let id = world.platform.write("a", "are you there");
    hold.reached().await;
    let stopped = world.signal_app_server(Signal::STOP);
    assert!(stopped.is_some());
    hold.release();
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: are you there"
    );
    assert_ne!(world.app_server(), stopped);
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["are you there"]);
    world.finish().await;
}

#[tokio::test]
async fn away_for_long_the_chat_is_told_and_told_when_it_is_over() {
    let echo = Echo::new();
    let choices = Choices::standard();
    let mut world = World::new(echo.start().await, &choices);
    // A home that is not there: codex does not start.
    let home = world.home();
    let hidden = world.path().join("hidden");
    std::fs::rename(&home, &hidden).unwrap();
    world.start();
    let id = world.platform.write("a", "anybody home");
    world.platform.posted("Codex does not start").await;
    std::fs::rename(&hidden, &home).unwrap();
    world.platform.posted("Codex is back").await;
    assert_eq!(
        world.platform.settled(&id).await[0].text,
        "echo: anybody home"
    );
    let tally = world.platform.tally();
    tally.assert_exactly_once();
    assert_eq!(tally.notices, 2, "{tally:?}");
    world.finish().await;
}
