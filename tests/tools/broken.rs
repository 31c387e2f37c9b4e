//! What breaks while a call is on its way.

use super::*;
use crate::support::model::Point;
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

/// The answer to a call.
const ANSWER: &str = "\"contentItems\"";
const CALL: &str = "\"item/tool/call\"";
const RESUME: &str = "\"thread/resume\"";

#[tokio::test]
async fn the_tools_are_there_after_a_restart_of_daemon_and_child() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let first = world.platform.write("a", "hello");
    world.platform.settled(&first).await;
    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    world.start();
    will_call(&echo, "again", "reply", r#"{"text":"still here"}"#);
    let id = world.platform.write("a", "again");
    let settling = world.platform.settled(&id).await;
    assert_eq!(settling[0].text, "echo: again\nposted");
    assert_eq!(
        texts(&world, "a"),
        ["echo: hello", "still here", "echo: again\nposted"]
    );
    let requests = world.model.requests();
    assert_eq!(
        requests.first().unwrap().thread(),
        requests.last().unwrap().thread()
    );
    world.finish().await;
}

#[tokio::test]
async fn a_connection_that_breaks_around_a_call_does_it_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let steps = [
        (To::Daemon, CALL, Mishap::Before),
        (To::Daemon, CALL, Mishap::Halfway),
        (To::Daemon, CALL, Mishap::After),
        (To::Server, ANSWER, Mishap::Before),
        (To::Server, ANSWER, Mishap::Halfway),
        (To::Server, ANSWER, Mishap::After),
    ];
    let mut expected = Vec::new();
    for (number, (to, frame, mishap)) in steps.into_iter().enumerate() {
        let text = format!("step {number}");
        let said = format!("said in step {number}");
        let arguments = serde_json::json!({ "text": said }).to_string();
        will_call(&echo, &text, "reply", arguments.leak());
        let mut seen = proxied.proxy.at_frame(to, frame, mishap);
        let id = proxied.world.platform.write("a", &text);
        seen.seen().await;
        let settling = proxied.world.platform.settled(&id).await;
        assert_eq!(settling[0].text, format!("echo: {text}\nposted"));
        expected.extend([said, format!("echo: {text}\nposted")]);
    }
    assert_eq!(texts(&proxied.world, "a"), expected);
    proxied.finish().await;
}

#[tokio::test]
async fn a_killed_daemon_answers_the_pending_call_as_before_and_people_read_it_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::outside(&echo, Choices::standard()).await;
    will_call(&echo, "once", "reply", r#"{"text":"only once"}"#);
    // What the call says is on disk, and its answer never arrives; nor does the daemon come back
    // before it is killed.
    let mut answered = proxied.proxy.at_frame(To::Server, ANSWER, Mishap::Before);
    let mut back = proxied.proxy.at_frame(To::Server, RESUME, Mishap::Hold);
    let id = proxied.world.platform.write("a", "once");
    answered.seen().await;
    back.seen().await;
    proxied.world.kill_daemon().await;
    proxied.proxy.hold(false);
    proxied.world.start();
    let settling = proxied.world.platform.settled(&id).await;
    assert_eq!(settling[0].text, "echo: once\nposted");
    let said = texts(&proxied.world, "a");
    let replies = said.iter().filter(|text| *text == "only once");
    assert_eq!(replies.count(), 1, "{said:#?}");
    let repeated = proxied.world.logged("asks for a call again");
    assert_eq!(repeated.len(), 1, "{}", proxied.world.log());
    proxied.finish().await;
}

#[tokio::test]
async fn a_killed_daemon_reacts_once_though_codex_asks_again() {
    let echo = Echo::new();
    let mut proxied = Proxied::outside(&echo, Choices::standard()).await;
    will_call(&echo, "once", "react", r#"{"emoji":"fire"}"#);
    let mut answered = proxied.proxy.at_frame(To::Server, ANSWER, Mishap::Before);
    let mut back = proxied.proxy.at_frame(To::Server, RESUME, Mishap::Hold);
    proxied.world.platform.withhold_confirmations(true);
    let id = proxied.world.platform.write("a", "once");
    answered.seen().await;
    back.seen().await;
    // It is shown, and nobody has said so.
    proxied.world.platform.posted("🔥").await;
    proxied.world.kill_daemon().await;
    proxied.world.platform.withhold_confirmations(false);
    proxied.proxy.hold(false);
    proxied.world.start();
    let settling = proxied.world.platform.settled(&id).await;
    assert_eq!(settling[0].text, "echo: once\nreacted");
    let shown = texts(&proxied.world, "a");
    let reactions = shown.iter().filter(|text| *text == "🔥");
    assert_eq!(reactions.count(), 1, "{shown:#?}");
    let repeated = proxied.world.logged("asks for a call again");
    assert_eq!(repeated.len(), 1, "{}", proxied.world.log());
    proxied.finish().await;
}

#[tokio::test]
async fn a_turn_that_goes_on_after_a_crash_knows_what_it_has_said() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let world = &mut proxied.world;
    will_call(&echo, "fragile", "reply", r#"{"text":"only once"}"#);
    let mut answered = proxied.proxy.at_frame(To::Server, ANSWER, Mishap::Hold);
    let id = world.platform.write("a", "fragile");
    answered.seen().await;
    world.kill_daemon().await;
    proxied.proxy.hold(false);
    world.start();
    let settling = world.platform.settled(&id).await;
    assert!(settling[0].text.contains("echo: fragile"), "{settling:#?}");
    let said = texts(world, "a");
    let replies = said.iter().filter(|text| *text == "only once");
    assert_eq!(replies.count(), 1, "{said:#?}");
    let requests = world.model.requests();
    let reminded = requests.last().unwrap().developer_texts();
    let reminded = reminded
        .iter()
        .filter(|text| text.contains("kind=\"interrupted\"") && text.contains("- reply: posted"));
    assert_eq!(reminded.count(), 1, "{}", world.log());
    proxied.world.finish().await;
}

#[tokio::test]
async fn an_interrupted_turn_and_the_next_one_have_calls_of_their_own() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    will_call(&echo, "first", "reply", r#"{"text":"from the first"}"#);
    let first = world.platform.write("a", "first");
    world.platform.settled(&first).await;
    let hold = echo.hold("held up", Point::MidStream);
    let held = world.platform.write("a", "held up");
    hold.reached().await;
    will_call(&echo, "now", "reply", r#"{"text":"from the urgent one"}"#);
    let urgent = world.platform.write("a", "!now");
    world.platform.settled(&held).await;
    world.platform.settled(&urgent).await;
    let said = texts(&world, "a");
    assert_eq!(said[0], "from the first");
    assert_eq!(said[3], "from the urgent one", "{said:#?}");
    world.finish().await;
}
