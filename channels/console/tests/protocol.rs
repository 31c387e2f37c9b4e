//! The protocol as scripts speak it.

use std::time::Duration;

use serde_json::json;
use tieline_channel::{Channel as _, Link, SendError};
use tieline_console::protocol::MAX_LINE;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{self, Instant};

use crate::support::{Daemon, Place, RawClient, message, post, texts};

fn message_line(id: &str, text: &str) -> Vec<u8> {
    json!({"type": "message", "id": id, "text": text})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn a_line_that_is_wrong_says_where_and_the_next_one_counts() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::connect(&place.socket).await;
    let long = vec![b'x'; MAX_LINE + 1];
    let long_name = "n".repeat(201);
    let long_hello = json!({"type": "hello", "chat": "c", "name": long_name}).to_string();
    let lines: &[(&[u8], &str)] = &[
        (
            b"{\"type\":\"message\",\"id\":\"1\",\"text\":\"a\xff\"}",
            "not UTF-8 at byte 37",
        ),
        (b"hello there", "expected value, column 1"),
        (
            b"{\"type\":\"hello\"",
            "EOF while parsing an object, column 15",
        ),
        (b"", "EOF while parsing a value, column 0"),
        (
            br#"{"type":"shout"}"#,
            "unknown variant `shout`, expected one of `hello`, `message`, `posted`, column 15",
        ),
        (br#"{"type":"hello","chat":"c"}"#, "missing field `name`"),
        (
            br#"{"type":"posted","key":7}"#,
            "invalid type: integer `7`, expected a string",
        ),
        (br#"["hello"]"#, ""),
        (
            &long,
            "the line has 1048577 bytes; at most 1048576 are allowed",
        ),
        (
            &message_line("1", "too early"),
            "the first line must be a hello",
        ),
        (
            br#"{"type":"posted","key":"1"}"#,
            "the first line must be a hello",
        ),
        (
            br#"{"type":"hello","chat":"","name":"Mei"}"#,
            "`chat` is empty",
        ),
        (
            long_hello.as_bytes(),
            "`name` has 201 bytes; at most 200 are allowed",
        ),
    ];
    let mut number = 0;
    for (line, reason) in lines {
        number += 1;
        client.say(line).await;
        let error = client.hear().await;
        assert_eq!(error["type"], "error", "{error}");
        assert_eq!(error["line"], number);
        let said = error["reason"].as_str().unwrap();
        assert!(said.starts_with(reason), "{said:?} is not {reason:?}");
    }
    client
        .say(br#"{"type":"hello","chat":"main","name":"Mei"}"#)
        .await;
    assert_eq!(
        client.hear().await,
        json!({"type": "welcome", "protocol": 1, "channel": "console", "chat": "main"})
    );
    client
        .say(br#"{"type":"hello","chat":"other","name":"Mei"}"#)
        .await;
    let error = client.hear().await;
    assert!(
        error["reason"]
            .as_str()
            .unwrap()
            .starts_with("hello was said before")
    );
    client.say(&message_line("1", "in time")).await;
    assert_eq!(
        client.hear().await,
        json!({"type": "ack", "id": "1", "outcome": "accepted"})
    );
    assert_eq!(texts(&daemon.intake.taken()), ["in time"]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_line_may_come_in_pieces() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    let line = [message_line("1", "漢字"), b"\r\n".to_vec()].concat();
    for byte in line {
        client.write_half.write_all(&[byte]).await.unwrap();
        client.write_half.flush().await.unwrap();
    }
    assert_eq!(client.hear().await["outcome"], "accepted");
    assert_eq!(texts(&daemon.intake.taken()), ["漢字"]);
    daemon.stop().await;
}

#[tokio::test]
async fn a_message_as_long_as_a_line_comes_in() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    let frame = message_line("1", "").len();
    client
        .say(&message_line("1", &"x".repeat(MAX_LINE - frame)))
        .await;
    assert_eq!(client.hear().await["outcome"], "accepted");
    client
        .say(&message_line("2", &"x".repeat(MAX_LINE - frame + 1)))
        .await;
    assert_eq!(client.hear().await["type"], "error");
    daemon.stop().await;
}

#[tokio::test]
async fn a_message_that_is_not_recorded_gets_a_nack() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    daemon.intake.reject_next(1);
    client.say(&message_line("1", "hello")).await;
    assert_eq!(
        client.hear().await,
        json!({"type": "nack", "id": "1", "reason": "cannot record the message: the disk is full"})
    );
    for outcome in ["accepted", "duplicate"] {
        client.say(&message_line("1", "hello")).await;
        assert_eq!(client.hear().await["outcome"], outcome);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_at_once_is_heard_out() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    for id in ["1", "2", "3"] {
        client.say(&message_line(id, id)).await;
    }
    client.write_half.shutdown().await.unwrap();
    for id in ["1", "2", "3"] {
        assert_eq!(client.hear().await["id"], id);
    }
    assert_eq!(client.hear_the_end().await, 0);
    assert_eq!(texts(&daemon.intake.taken()), ["1", "2", "3"]);
    daemon.stop().await;
}

#[tokio::test]
async fn the_same_id_in_two_chats_is_two_messages() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    // Chats and ids that would be the same once they are joined.
    for (chat, id) in [("a:b", "c"), ("a", "b:c"), ("1:a", "c")] {
        let mut client = RawClient::connect(&place.socket).await;
        let hello = json!({"type": "hello", "chat": chat, "name": "Mei"});
        client.say(hello.to_string().as_bytes()).await;
        client.hear().await;
        client.say(&message_line(id, chat)).await;
        assert_eq!(client.hear().await["outcome"], "accepted");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a_thread_comes_in_and_goes_out() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    client
        .say(br#"{"type":"message","id":"1","text":"a","thread":"t"}"#)
        .await;
    assert_eq!(client.hear().await["outcome"], "accepted");
    let conversation = message(&daemon.intake.taken()[0]).conversation.clone();
    assert_eq!(conversation.thread.as_ref().unwrap().as_str(), "t");
    let mut post = post("k", "b");
    post.to = conversation;
    let (posted, ()) = tokio::join!(daemon.channel.post(&post), async {
        assert_eq!(
            client.hear().await,
            json!({"type": "post", "key": "k", "thread": "t", "settles": [], "kind": "answer", "text": "b"})
        );
        client.say(br#"{"type":"posted","key":"k"}"#).await;
    });
    assert_eq!(posted.unwrap().id.as_str(), "post:k");
    daemon.stop().await;
}

#[tokio::test]
async fn every_client_of_a_chat_gets_a_post_and_one_confirmation_is_enough() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut silent = RawClient::attach(&place.socket).await;
    let mut speaking = RawClient::attach(&place.socket).await;
    let post = post("k", "to all");
    let (posted, ()) = tokio::join!(daemon.channel.post(&post), async {
        assert_eq!(silent.hear().await["text"], "to all");
        assert_eq!(speaking.hear().await["text"], "to all");
        // Not the right one first.
        speaking.say(br#"{"type":"posted","key":"other"}"#).await;
        speaking.say(br#"{"type":"posted","key":"k"}"#).await;
    });
    assert!(posted.is_ok(), "{posted:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_before_it_confirms_leaves_the_post_unclear() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut first = RawClient::attach(&place.socket).await;
    let mut second = RawClient::attach(&place.socket).await;
    let post = post("k", "to all");
    let (posted, ()) = tokio::join!(daemon.channel.post(&post), async {
        first.hear().await;
        drop(first);
        second.hear().await;
        drop(second);
    });
    assert!(
        matches!(posted, Err(SendError::Unclear { .. })),
        "{posted:?}"
    );
    daemon.becomes(Link::Down).await;
    let posted = daemon.channel.post(&post).await;
    assert!(matches!(posted, Err(SendError::Again { .. })), "{posted:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_post_that_waits_goes_out_when_a_client_comes() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let post = post("k", "have you heard?");
    tokio::join!(daemon.deliver(&post), async {
        let mut client = RawClient::attach(&place.socket).await;
        assert_eq!(client.hear().await["text"], "have you heard?");
        client.say(br#"{"type":"posted","key":"k"}"#).await;
    });
    daemon.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_confirms_nothing_is_disconnected() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    let begun = Instant::now();
    let posted = daemon.channel.post(&post("k", "hello?")).await;
    assert!(
        matches!(posted, Err(SendError::Unclear { .. })),
        "{posted:?}"
    );
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(client.hear_the_end().await, 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_others_are_served() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut deaf = RawClient::attach(&place.socket).await;
    let mut client = RawClient::attach(&place.socket).await;
    let text = "x".repeat(50_000);
    for number in 0..100 {
        let post = post(&format!("k{number}"), &text);
        let (posted, ()) = tokio::join!(daemon.channel.post(&post), async {
            let key = client.hear().await["key"].clone();
            let line = json!({"type": "posted", "key": key}).to_string();
            client.say(line.as_bytes()).await;
        });
        assert!(posted.is_ok(), "{posted:?}");
    }
    let n_heard = deaf.hear_the_end().await;
    assert!(n_heard < 100, "it heard {n_heard} posts");
    daemon.stop().await;
}

#[tokio::test]
async fn statuses_do_not_crowd_out_posts() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut client = RawClient::attach(&place.socket).await;
    let progress = tieline_channel::Status::Working {
        progress: Some("x".repeat(50_000)),
    };
    let id = tieline_channel::WireId::new("1");
    let at = crate::support::main_chat();
    for _ in 0..200 {
        drop(daemon.channel.show_status(&at, &id, &progress).await);
    }
    let post = post("k", "the answer");
    let (posted, ()) = tokio::join!(daemon.channel.post(&post), async {
        while client.hear().await["type"] != "post" {}
        client.say(br#"{"type":"posted","key":"k"}"#).await;
    });
    assert!(posted.is_ok(), "{posted:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_post_beyond_the_limit_is_never_sent() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let _client = RawClient::attach(&place.socket).await;
    let posted = daemon.channel.post(&post("k", &"x".repeat(100_001))).await;
    assert!(matches!(posted, Err(SendError::Never { .. })), "{posted:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn the_end_of_the_daemon_ends_every_connection_and_removes_the_socket() {
    let place = Place::new();
    let daemon = Daemon::start(&place.socket);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(RawClient::attach(&place.socket).await);
    }
    daemon.stop().await;
    for mut client in clients {
        assert_eq!(client.hear_the_end().await, 0);
    }
    assert!(!place.socket.exists());
}

#[tokio::test]
async fn a_socket_that_cannot_be_served_needs_the_operator() {
    let place = Place::new();
    std::fs::write(&place.socket, "precious").unwrap();
    let channel = tieline_console::ConsoleChannel::new(
        tieline_channel::ChannelId::new("console"),
        &place.socket,
    );
    let intake = std::sync::Arc::new(tieline_channel::conformance::RecordingIntake::default());
    let stop = tokio_util::sync::CancellationToken::new();
    let ended = time::timeout(Duration::from_secs(60), channel.run(intake, stop)).await;
    let error = ended.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("move "), "{error}");
    let health = channel.health().borrow().clone();
    assert_eq!(health.link, Link::NeedsOperator);
    assert_eq!(health.last_error, Some(error));
}
