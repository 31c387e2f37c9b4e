//! The channel over connections that misbehave; what the suite for all channels cannot ask.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tieline_channel::{Happening, Link};

use crate::chats::connections;
use crate::support::running::{self, texts};
use crate::support::slack::{APP_TOKEN, Fault, Hangup, MentionOrder, MockSlack, Options, Slack};

type Running = running::Running<Slack>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mention_is_one_message_in_either_order() {
    for order in [MentionOrder::MentionFirst, MentionOrder::MessageFirst] {
        let options = Options {
            mention_order: order,
            ..Options::default()
        };
        let running = Running::start(options).await;
        let slack = &running.service;
        let mei = slack.person("Mei");
        let ops = slack.public("ops");
        let ts = slack.say(&mei, &ops, &slack.mention("hello"));
        assert_eq!(slack.events_of(&ops, &ts).len(), 2);
        slack.all_acknowledged().await;
        let taken = running.intake.taken();
        assert_eq!(taken.len(), 1);
        let Happening::Message(message) = &taken[0].happening else {
            panic!("not a message: {taken:?}");
        };
        assert!(message.addressed, "{message:?}");
        running.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_connections_are_refreshed_all_the_time() {
    const N: usize = 500;
    let mut options = Options::default().hasty();
    options.timing.life = Some(Duration::from_millis(500));
    options.timing.refresh = Duration::from_millis(100);
    let running = Running::start(options).await;
    let slack = &running.service;
    let mei = slack.person("Mei");
    let direct = slack.direct(&mei);
    for number in 0..N {
        slack.say(&mei, &direct, &number.to_string());
        tokio::time::sleep(Duration::from_millis(5)).await; // the rate is the point
    }
    let taken = running.took(N).await;
    let texts: BTreeSet<_> = texts(&taken).into_iter().collect();
    assert_eq!(texts.len(), N);
    assert!(slack.connections_ever() > 3, "{}", slack.connections_ever());
    // Not a moment without a connection, once there was one.
    let timeline = slack.timeline();
    assert!(timeline.iter().all(|(_, open)| *open > 0), "{timeline:?}");
    slack.all_acknowledged().await;
    let slow: Vec<_> = slack
        .acks()
        .into_iter()
        .filter(|ack| ack.after > Duration::from_secs(3))
        .collect();
    assert!(slow.is_empty(), "{slow:#?}");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_nothing() {
    let mut options = Options::default().hasty();
    options.timing.ack = Duration::from_millis(500);
    connections::broken_connections_lose_nothing::<Slack>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_means_nothing_is_passed_over() {
    let running = Running::start(Options::default()).await;
    let slack = &running.service;
    slack.send_garbage();
    slack.push_raw(
        "events_api",
        json!({"type": "app_rate_limited", "minute_rate_limited": 1}),
    );
    slack.push_raw(
        "events_api",
        json!({"type": "event_callback", "event": {"type": "novelty"}}),
    );
    slack.push_raw("events_api", json!("not even an object"));
    slack.push_raw("interactive", json!({"type": "view_closed"}));
    slack.push_raw("slash_commands", json!({}));
    slack.push_raw("novelty", json!({}));
    let mei = slack.person("Mei");
    slack.say(&mei, &slack.direct(&mei), "still there?");
    let taken = running.took(1).await;
    assert_eq!(texts(&taken), ["still there?"]);
    assert_eq!(slack.connections_ever(), 1);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_mode_that_is_switched_off_is_said_and_waited_for() {
    let running = Running::start(Options::default()).await;
    running.becomes(Link::Up).await;
    running.service.disable_link(true);
    let health = running.becomes(Link::NeedsOperator).await;
    let said = health.last_error.unwrap_or_default();
    assert!(said.contains("Socket Mode"), "{said}");
    running.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_said_by_name() {
    let running = Running::over(MockSlack::start(Options::default()).await);
    running.service.fail_always(|call| {
        (call.method == "apps.connections.open").then_some(Fault::Error("invalid_auth"))
    });
    running.service.hang_up(Hangup::Drop);
    let health = running.becomes(Link::NeedsOperator).await;
    let said = health.last_error.unwrap_or_default();
    assert!(said.contains("token"), "{said}");
    assert!(!said.contains(APP_TOKEN), "a token is told");
    running.stop.cancel();
}
