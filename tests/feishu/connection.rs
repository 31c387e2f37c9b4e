//! The channel over connections that misbehave; what the suite for all channels cannot ask.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tieline_channel::{Channel as _, Link};

use crate::chats::connections;
use crate::support::feishu::{APP_SECRET, Cut, Fault, Feishu, Hangup, MockFeishu, Options};
use crate::support::running::{self, texts};

type Running = running::Running<Feishu>;

fn no_ack_is_late(feishu: &MockFeishu) {
    let slow: Vec<_> = feishu
        .acks()
        .into_iter()
        .filter(|ack| ack.after > Duration::from_secs(3))
        .collect();
    assert!(slow.is_empty(), "{slow:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_parts_is_whole_whatever_their_order() {
    for cut in [Cut::InOrder(1), Cut::InOrder(64), Cut::Shuffled(50)] {
        let running = Running::start(Options::default().cut(cut)).await;
        let feishu = &running.service;
        let mei = feishu.person("Mei");
        let text = "漢字 👩\u{200d}👧".repeat(20);
        feishu.say(&mei, &feishu.p2p(&mei), &text);
        assert_eq!(texts(&running.took(1).await), [text]);
        running.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_under_two_event_ids_is_taken_once() {
    let running = Running::start(Options::default()).await;
    let feishu = &running.service;
    let mei = feishu.person("Mei");
    let message = feishu.say(&mei, &feishu.p2p(&mei), "hello");
    let event = feishu.events_of(&message).remove(0);
    feishu.duplicate(&event);
    feishu.redeliver(&event);
    feishu.say(&mei, &feishu.p2p(&mei), "the last");
    feishu.all_acknowledged().await;
    feishu.settle().await;
    assert_eq!(texts(&running.intake.taken()), ["hello", "the last"]);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_connections_are_closed() {
    const N: usize = 300;
    let running = Running::start(Options::default().hasty()).await;
    let feishu = &running.service;
    let mei = feishu.person("Mei");
    let direct = feishu.p2p(&mei);
    for number in 0..N {
        feishu.say(&mei, &direct, &number.to_string());
        if number % 100 == 50 {
            feishu.hang_up(Hangup::Close);
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // the rate is the point
    }
    let taken = running.took(N).await;
    let texts: BTreeSet<_> = texts(&taken).into_iter().collect();
    assert_eq!(texts.len(), N);
    assert!(
        feishu.connections_ever() > 2,
        "{}",
        feishu.connections_ever()
    );
    feishu.all_acknowledged().await;
    no_ack_is_late(feishu);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_a_second_are_acknowledged_in_time() {
    const N: usize = 400;
    let running = Running::start(Options::default()).await;
    let feishu = &running.service;
    let mei = feishu.person("Mei");
    let direct = feishu.p2p(&mei);
    for number in 0..N {
        feishu.say(&mei, &direct, &number.to_string());
        tokio::time::sleep(Duration::from_millis(5)).await; // the rate is the point
    }
    let expected: Vec<_> = (0..N).map(|number| number.to_string()).collect();
    assert_eq!(texts(&running.took(N).await), expected);
    feishu.all_acknowledged().await;
    no_ack_is_late(feishu);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_moment_keep_their_order() {
    const N: usize = 100;
    let running = Running::start(Options::default()).await;
    let feishu = &running.service;
    let mei = feishu.person("Mei");
    let direct = feishu.p2p(&mei);
    running.intake.hold_all();
    for number in 0..N {
        feishu.say(&mei, &direct, &number.to_string());
    }
    feishu.settle().await;
    running.intake.release();
    let expected: Vec<_> = (0..N).map(|number| number.to_string()).collect();
    assert_eq!(texts(&running.took(N).await), expected);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_lose_nothing() {
    let mut options = Options::default().hasty();
    options.timing.ack = Duration::from_millis(500);
    connections::broken_connections_lose_nothing::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_passed_over_and_the_connection_stays() {
    let running = Running::start(Options::default()).await;
    let feishu = &running.service;
    let mei = feishu.person("Mei");
    feishu.send_garbage();
    feishu.push_raw("im.chat.novelty_v9", json!({"whatever": 1}));
    feishu.push_raw("im.message.receive_v1", json!({"message": {}}));
    feishu.push_raw("im.message.receive_v1", json!([null]));
    feishu.push_raw("im.message.message_read_v1", json!({"message_id_list": []}));
    feishu.say(&mei, &feishu.p2p(&mei), "hello");
    assert_eq!(texts(&running.took(1).await), ["hello"]);
    feishu.all_acknowledged().await;
    assert_eq!(feishu.connections_ever(), 1);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_said_and_not_shown() {
    let feishu = MockFeishu::start(Options::default()).await;
    feishu.fail("endpoint", 1_000, Fault::Error(1_000_040_345));
    let running = Running::over(feishu);
    let health = running.becomes(Link::NeedsOperator).await;
    let said = health.last_error.unwrap_or_default();
    assert!(said.contains("secret"), "{said}");
    assert!(!said.contains(APP_SECRET), "a secret is told");
    running.stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_code_of_discovery_is_the_end() {
    for code in [1, 514, 1_000_040_343, 77] {
        let feishu = MockFeishu::start(Options::default().hasty()).await;
        feishu.fail("endpoint", 1, Fault::Error(code));
        let running = Running::over(feishu);
        if code == 514 {
            running.becomes(Link::NeedsOperator).await;
            running.channel.reconnect("a test asks for it");
        }
        running.becomes(Link::Up).await;
        running.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_handshake_is_tried_again_with_another_ticket() {
    let feishu = MockFeishu::start(Options::default().hasty()).await;
    feishu.fail("handshake", 2, Fault::Error(1));
    let running = Running::over(feishu);
    running.becomes(Link::Up).await;
    running.finish().await;
}
