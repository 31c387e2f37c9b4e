//! The whole of the long connection against a server that follows a script.

mod server;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use secrecy::SecretString;
use serde_json::{Value, json};
use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{
    AcceptError, ChannelId, ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening,
    Health, Link, Message, Receipt, Segment, Sender, SenderKind, UserId, WireId,
};
use tieline_net::Net;
use tieline_net::life::Habits;
use tieline_net::lines;
use tieline_net::phase::Patience;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite;

use self::server::{Server, within};
use super::*;
use crate::Settings;
use tieline_channel::Language;

/// What nobody may see.
const SECRET: &str = "very-secret-secret";

/// Reads `{"event": {"message": {"chat_id": …, "text": …}}}`: the text `panic` panics, and
/// `unreadable` cannot be read; what has no text means nothing.
#[derive(Default)]
struct TestReader {
    n_read: AtomicU64,
    /// Why nothing can be read.
    failure: Mutex<Option<Failure>>,
}

#[async_trait]
impl EventReader for TestReader {
    async fn prepare(&self) -> Result<(), Failure> {
        match self.failure.lock().unwrap().clone() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Reader<Push> for TestReader {
    async fn read(&self, push: &Push) -> Result<Meaning, Unreadable> {
        let number = self.n_read.fetch_add(1, Ordering::Relaxed);
        let payload: Value = serde_json::from_slice(&push.payload).unwrap_or_default();
        let text = |place| payload.pointer(place).and_then(Value::as_str);
        let chat = text("/event/message/chat_id").or(text("/event/context/open_chat_id"));
        match text("/event/message/text") {
            None => Ok(Meaning::Nothing("it means nothing".to_owned())),
            Some("panic") => panic!("a panic that the test wants"),
            Some("unreadable") => Err("unreadable".into()),
            Some(text) => {
                let event = message(chat.unwrap_or_default(), number, text);
                Ok(Meaning::Event(event))
            }
        }
    }
}

fn message(chat: &str, number: u64, text: &str) -> Event {
    Event {
        key: EventKey {
            kind: EventKind::Message,
            id: format!("om_{number}"),
        },
        happening: Happening::Message(Message {
            id: WireId::new(format!("om_{number}")),
            conversation: Conversation {
                chat: ChatId::new(chat),
                thread: None,
            },
            chat_kind: ChatKind::Direct,
            chat_name: None,
            sender: Sender {
                id: UserId::new("ou_1"),
                name: None,
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::UNIX_EPOCH,
            body: vec![Segment::Text(text.to_owned())],
            addressed: true,
            in_thread: false,
            quote: None,
            attachments: Vec::new(),
        }),
    }
}

fn texts(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| match &event.happening {
            Happening::Message(message) => message.plain_text(),
            other => panic!("not a message: {other:?}"),
        })
        .collect()
}

/// The long connection at work, with an intake that records.
struct Bench {
    server: Server,
    at_work: AtWork,
}

/// One channel at work.
struct AtWork {
    intake: Arc<RecordingIntake>,
    reader: Arc<TestReader>,
    health: Arc<HealthBoard>,
    reconnect: Arc<Notify>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// As with Feishu, but for the politeness at the end.
const DEADLINES: Deadlines = with(uplink::Timing {
    tcp: Duration::from_millis(50),
    ..Deadlines::FEISHU.uplink
});

const fn with(uplink: uplink::Timing) -> Deadlines {
    Deadlines {
        uplink,
        ..Deadlines::FEISHU
    }
}

impl AtWork {
    fn start(server: &Server, deadlines: Deadlines) -> Self {
        let intake = Arc::new(RecordingIntake::default());
        Self::start_into(server, deadlines, Arc::clone(&intake), intake)
    }

    /// Hands events to `into`.
    fn start_into(
        server: &Server,
        deadlines: Deadlines,
        intake: Arc<RecordingIntake>,
        into: Arc<dyn Intake>,
    ) -> Self {
        let settings = Settings {
            id: ChannelId::new("work"),
            app_id: "cli_1".to_owned(),
            app_secret: SecretString::from(SECRET),
            base_url: server.base_url(),
            reactions: false,
            language: Language::English,
        };
        let account = Arc::new(Account::new(settings, Net::new().unwrap()));
        let reader = Arc::new(TestReader::default());
        let health = Arc::new(HealthBoard::new());
        let reconnect = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let (health, reconnect, stop) = (health.clone(), reconnect.clone(), stop.clone());
            let reader = Arc::clone(&reader);
            async move {
                run_with(&account, &health, reader, into, &reconnect, deadlines, stop).await;
            }
        });
        Self {
            intake,
            reader,
            health,
            reconnect,
            stop,
            running,
        }
    }

    async fn link_becomes(&self, link: Link) -> Health {
        let mut health = self.health.subscribe();
        within(health.wait_for(|health| health.link == link))
            .await
            .unwrap()
            .clone()
    }

    fn link(&self) -> Link {
        self.health.subscribe().borrow().link
    }

    /// Has it stop, and waits until it has.
    async fn stopped(mut self) {
        self.stop.cancel();
        within(self.running.join_next()).await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&self.intake), 1, "a task is left");
        assert_eq!(Arc::strong_count(&self.reader), 1, "a task is left");
    }
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(DEADLINES).await
    }

    async fn start_with(deadlines: Deadlines) -> Self {
        Self::start_at(Server::start().await, deadlines)
    }

    fn start_at(server: Server, deadlines: Deadlines) -> Self {
        let at_work = AtWork::start(&server, deadlines);
        Self { server, at_work }
    }

    fn n_questions(&self) -> usize {
        self.server.questions().len()
    }
}

#[tokio::test]
async fn a_connection_is_up_and_pings_at_once_and_is_closed_at_the_end() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    let health = at_work.link_becomes(Link::Up).await;
    assert!(health.heard_at.is_some());
    peer.pinged().await;
    assert_eq!(
        server.questions(),
        [json!({"AppID": "cli_1", "AppSecret": SECRET})]
    );
    at_work.stop.cancel();
    peer.gets_closed().await;
    at_work.stopped().await;
}

#[tokio::test]
async fn an_event_is_acknowledged_once_it_is_taken() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    at_work.intake.hold_all();
    peer.deliver("held", "oc_1", "one").await;
    at_work.intake.called(1).await;
    // What is in another chat, or means nothing, does not wait for it.
    peer.push(
        "unknown",
        &json!({"header": {"event_type": "moon"}}).to_string(),
    )
    .await;
    peer.acknowledges("unknown", 200).await;
    peer.push("not JSON", "{\"header").await;
    peer.acknowledges("not JSON", 200).await;
    at_work.intake.release();
    peer.acknowledges("held", 200).await;
    assert_eq!(texts(&at_work.intake.taken()), ["one"]);
    at_work.stopped().await;
}

#[tokio::test]
async fn an_event_that_is_not_taken_is_answered_with_a_failure() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    at_work.intake.reject_next(2);
    peer.deliver("rejected", "oc_1", "one").await;
    peer.deliver("rejected as well", "oc_1", "one").await;
    peer.deliver("unreadable", "oc_1", "unreadable").await;
    peer.deliver("panicked", "oc_1", "panic").await;
    peer.deliver("accepted", "oc_1", "two").await;
    for id in ["rejected", "rejected as well", "unreadable", "panicked"] {
        peer.acknowledges(id, 500).await;
    }
    peer.acknowledges("accepted", 200).await;
    assert_eq!(texts(&at_work.intake.taken()), ["two"]);
    at_work.stopped().await;
}

#[tokio::test]
async fn a_press_is_answered_plainly_and_waits_for_no_message() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    at_work.intake.hold(&ChatId::new("oc_1"));
    peer.deliver("message", "oc_1", "one").await;
    at_work.intake.called(1).await;
    let press = json!({
        "header": {"event_id": "e", "event_type": "card.action.trigger"},
        "event": {"context": {"open_message_id": "om_card", "open_chat_id": "oc_1"}},
    });
    peer.push("press", &press.to_string()).await;
    peer.acknowledges("press", 200).await;
    at_work.intake.release();
    peer.acknowledges("message", 200).await;
    at_work.stopped().await;
}

#[tokio::test]
async fn garbage_is_passed_over_and_not_answered() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    for message in [
        tungstenite::Message::text("hello"),
        tungstenite::Message::text(""),
        tungstenite::Message::binary(vec![]),
        tungstenite::Message::binary(vec![0, 159, 146, 150]),
        tungstenite::Message::binary(vec![0xff; 1 << 20]),
        tungstenite::Message::Pong("unasked".into()),
    ] {
        peer.send(message).await;
    }
    for (method, kind) in [(0, "ping"), (0, "moon"), (1, "card"), (1, ""), (7, "event")] {
        peer.frame(method, kind).await;
    }
    peer.pong(&json!("moon")).await;
    for (sum, seq) in [
        (0, 0),
        (2, 2),
        (1_025, 0),
        (2_000_000_000, 5),
        (u64::MAX, 0),
    ] {
        peer.part("bad", sum, seq, b"{}").await;
    }
    peer.part("", 2, 0, b"{}").await;
    peer.deliver("good", "oc_1", "one").await;
    peer.acknowledges("good", 200).await;
    assert_eq!(server.questions().len(), 1);
    at_work.stopped().await;
}

#[tokio::test]
async fn a_ping_of_the_web_socket_comes_back_as_it_was() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    let payload = || "1731999999.17:42".into();
    peer.send(tungstenite::Message::Ping(payload())).await;
    assert_eq!(
        peer.next().await,
        Some(tungstenite::Message::Pong(payload()))
    );
    at_work.stopped().await;
}

#[tokio::test]
async fn parts_in_any_order_and_twice_become_one_event_with_one_acknowledgement() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    let payload = server::message("parts", "oc_1", "好的，谢谢").to_string();
    // Cuts fall inside of characters.
    let parts: Vec<&[u8]> = payload.as_bytes().chunks(7).collect();
    let sum = u64::try_from(parts.len()).unwrap();
    let mut order: Vec<usize> = (0..parts.len()).rev().collect();
    order.swap(1, 5);
    for &seq in &order {
        // Another one comes in between.
        peer.part("never complete", 3, 1, b"half").await;
        if seq != order[order.len() - 1] {
            peer.part("parts", sum, seq as u64, parts[seq]).await;
        }
        peer.part("parts", sum, seq as u64, parts[seq]).await;
    }
    peer.acknowledges("parts", 200).await;
    peer.deliver("next", "oc_1", "two").await;
    peer.acknowledges("next", 200).await;
    assert_eq!(texts(&at_work.intake.taken()), ["好的，谢谢", "two"]);
    at_work.stopped().await;
}

#[tokio::test]
async fn what_a_pong_configures_is_done() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    peer.pinged().await;
    let started_at = Instant::now();
    peer.pong(&json!({"PingInterval": 1, "ReconnectInterval": 90, "ReconnectNonce": 0}))
        .await;
    peer.pinged().await;
    // Otherwise it would have been half a minute.
    assert!(started_at.elapsed() < Duration::from_secs(20));
    at_work.stopped().await;
}

#[tokio::test]
async fn a_half_open_connection_is_found_out() {
    let deadlines = with(uplink::Timing {
        pong: Duration::from_millis(200),
        ..DEADLINES.uplink
    });
    let mut bench = Bench::start_with(deadlines).await;
    let peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    let silent = peer.into_silence();
    let down = bench.at_work.link_becomes(Link::Down).await;
    let reason = down.last_error.unwrap();
    assert!(reason.contains("nothing was heard"), "{reason}");
    let mut next = bench.server.connected().await;
    next.pong(&json!({})).await;
    bench.at_work.link_becomes(Link::Up).await;
    assert_eq!(bench.n_questions(), 2, "each connect asks anew");
    drop(silent);
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_quiet_connection_lives_while_anything_is_heard_after_each_ping() {
    let deadlines = with(uplink::Timing {
        pong: Duration::from_millis(900),
        ..DEADLINES.uplink
    });
    let server = Server::start().await;
    server.discovery_works(json!({"PingInterval": 1}));
    let mut bench = Bench::start_at(server, deadlines);
    let mut peer = bench.server.connected().await;
    for _ in 0..3 {
        peer.pinged().await;
        peer.send(tungstenite::Message::text("")).await;
    }
    assert_eq!(bench.at_work.link(), Link::Up);
    assert_eq!(bench.n_questions(), 1);
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_dropped_connection_is_made_again_at_once() {
    let mut bench = Bench::start().await;
    let mut peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    bench.at_work.intake.hold_all();
    peer.deliver("lost", "oc_1", "one").await;
    bench.at_work.intake.called(1).await;
    drop(peer.into_silence());
    let down = bench.at_work.link_becomes(Link::Down).await;
    assert!(down.last_error.is_some());
    let mut next = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    // Its work has survived it, and what comes now is behind it.
    next.deliver("next", "oc_1", "two").await;
    bench.at_work.intake.release();
    next.acknowledges("next", 200).await;
    assert_eq!(texts(&bench.at_work.intake.taken()), ["one", "two"]);
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_connection_that_feishu_closes_is_made_again_without_waiting_for_tcp() {
    let deadlines = with(uplink::Timing {
        tcp: Duration::from_secs(600),
        ..DEADLINES.uplink
    });
    let mut bench = Bench::start_with(deadlines).await;
    let mut peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    peer.send(tungstenite::Message::Close(None)).await;
    bench.at_work.link_becomes(Link::Down).await;
    let mut next = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    next.deliver("next", "oc_1", "one").await;
    next.acknowledges("next", 200).await;
    drop(peer);
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_lose_nothing() {
    let mut bench = Bench::start().await;
    for round in 0..8 {
        let mut peer = bench.server.connected().await;
        let id = round.to_string();
        peer.deliver(&id, "oc_1", &id).await;
        peer.acknowledges(&id, 200).await;
        drop(peer.into_silence());
    }
    assert_eq!(
        texts(&bench.at_work.intake.taken()),
        ["0", "1", "2", "3", "4", "5", "6", "7"]
    );
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_forced_reconnect_overlaps_and_leaves_no_gap() {
    let mut bench = Bench::start().await;
    let mut old = bench.server.connected().await;
    let up = bench.at_work.link_becomes(Link::Up).await;
    bench.at_work.intake.hold(&ChatId::new("oc_1"));
    old.deliver("old-1", "oc_1", "one").await;
    bench.at_work.intake.called(1).await;
    bench.at_work.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    // Both are read; each is acknowledged where it came from.
    new.deliver("new-1", "oc_2", "two").await;
    new.acknowledges("new-1", 200).await;
    old.deliver("old-2", "oc_3", "three").await;
    old.acknowledges("old-2", 200).await;
    bench.at_work.intake.release();
    old.acknowledges("old-1", 200).await;
    // Nothing is in flight on it any longer.
    old.gets_closed().await;
    let health = bench.at_work.health.subscribe().borrow().clone();
    assert_eq!((health.link, health.since), (Link::Up, up.since));
    assert_eq!(bench.n_questions(), 2);
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn events_of_a_chat_are_taken_in_order_and_chats_do_not_wait_for_each_other() {
    let mut bench = Bench::start().await;
    let mut old = bench.server.connected().await;
    bench.at_work.intake.hold(&ChatId::new("oc_1"));
    old.deliver("a1", "oc_1", "a1").await;
    bench.at_work.intake.called(1).await;
    bench.at_work.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    new.deliver("a2", "oc_1", "a2").await;
    new.deliver("b1", "oc_2", "b1").await;
    new.acknowledges("b1", 200).await;
    new.deliver("a3", "oc_1", "a3").await;
    new.deliver("b2", "oc_2", "b2").await;
    new.acknowledges("b2", 200).await;
    let calls = bench.at_work.intake.calls();
    assert_eq!(calls.len(), 3, "one call for a chat");
    bench.at_work.intake.release();
    old.acknowledges("a1", 200).await;
    new.acknowledges("a2", 200).await;
    new.acknowledges("a3", 200).await;
    let taken = texts(&bench.at_work.intake.taken());
    assert_eq!(taken, ["b1", "b2", "a1", "a2", "a3"]);
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn without_room_for_long_events_are_refused_and_the_connection_lives() {
    const N: usize = lines::CAPACITY + 20;
    let deadlines = with(uplink::Timing {
        pause: Duration::from_millis(50),
        ..DEADLINES.uplink
    });
    let Bench {
        mut server,
        at_work,
    } = Bench::start_with(deadlines).await;
    let mut peer = server.connected().await;
    at_work.intake.hold_all();
    for number in 0..N {
        let id = format!("{number:04}");
        peer.deliver(&id, &format!("oc_{number}"), &id).await;
    }
    for number in lines::CAPACITY..N {
        peer.acknowledges(&format!("{number:04}"), 500).await;
    }
    at_work.intake.release();
    let expected: Vec<_> = (0..lines::CAPACITY)
        .map(|number| format!("{number:04}"))
        .collect();
    assert_eq!(peer.successes(lines::CAPACITY).await, expected);
    peer.deliver("again", "oc_1", "two").await;
    peer.acknowledges("again", 200).await;
    assert_eq!(server.questions().len(), 1);
    at_work.stopped().await;
}

#[tokio::test]
async fn what_is_fatal_needs_the_operator_until_it_is_good_again() {
    let deadlines = with(uplink::Timing {
        habits: Habits {
            slow: Duration::from_millis(100),
            ..DEADLINES.uplink.habits
        },
        ..DEADLINES.uplink
    });
    for (code, word) in [
        (403, "long connection"),
        (514, "app_secret"),
        (1_000_040_345, "app_secret"),
        (1_000_040_350, "stop the other programs"),
        (1_000_040_351, "open.larksuite.com"),
    ] {
        let server = Server::start().await;
        server.discovery_says(json!({"code": code, "msg": "why"}));
        let mut bench = Bench::start_at(server, deadlines);
        let health = bench.at_work.link_becomes(Link::NeedsOperator).await;
        let remedy = health.last_error.unwrap();
        assert!(remedy.contains(word), "{code}: {remedy}");
        assert!(remedy.contains(&code.to_string()), "{code}: {remedy}");
        bench.server.discovery_works(json!(null));
        let _peer = bench.server.connected().await;
        bench.at_work.link_becomes(Link::Up).await;
        bench.at_work.stopped().await;
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let server = Server::start().await;
    server.discovery_fails("502 Bad Gateway");
    let mut bench = Bench::start_at(server, DEADLINES);
    let health = bench.at_work.link_becomes(Link::Down).await;
    assert!(health.last_error.unwrap().contains("502"));
    bench
        .server
        .discovery_says(json!({"code": 1, "msg": "busy"}));
    let mut health = bench.at_work.health.subscribe();
    within(health.wait_for(|health| {
        let error = health.last_error.as_deref().unwrap_or_default();
        health.link == Link::Down && error.contains("busy")
    }))
    .await
    .unwrap();
    bench.server.discovery_works(json!(null));
    let _peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_refused_handshake_is_judged_by_its_headers() {
    let deadlines = with(uplink::Timing {
        habits: Habits {
            slow: Duration::from_millis(100),
            ..DEADLINES.uplink.habits
        },
        ..DEADLINES.uplink
    });
    let server = Server::start().await;
    server.refuse_handshakes(Some(
        "HTTP/1.1 400 Bad Request\r\nHandshake-Status: 514\r\nHandshake-Msg: too many\r\n\
         Handshake-Autherrcode: 1000040350\r\ncontent-length: 0\r\n\r\n",
    ));
    let mut bench = Bench::start_at(server, deadlines);
    let health = bench.at_work.link_becomes(Link::NeedsOperator).await;
    let remedy = health.last_error.unwrap();
    assert!(remedy.contains("1000040350"), "{remedy}");
    assert!(!remedy.contains(server::TICKET), "{remedy}");
    bench.server.refuse_handshakes(Some(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    ));
    let health = bench.at_work.link_becomes(Link::Down).await;
    assert!(health.last_error.unwrap().contains("503"));
    bench.server.refuse_handshakes(None);
    let _peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    assert!(bench.n_questions() >= 3, "each connect asks anew");
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_request_to_reconnect_cuts_a_slow_wait_short() {
    let deadlines = with(uplink::Timing {
        habits: Habits {
            slow: Duration::from_secs(3_600),
            ..DEADLINES.uplink.habits
        },
        ..DEADLINES.uplink
    });
    let mut bench = Bench::start_with(deadlines).await;
    let mut peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    // Nothing can be read any more, which is found out with the next connection.
    *bench.at_work.reader.failure.lock().unwrap() = Some(Failure::Operator {
        remedy: "add the Bot ability".to_owned(),
        reason: "why".to_owned(),
    });
    peer.send(tungstenite::Message::Close(None)).await;
    let health = bench.at_work.link_becomes(Link::NeedsOperator).await;
    assert_eq!(
        health.last_error.as_deref(),
        Some("add the Bot ability (why)")
    );
    assert_eq!(bench.n_questions(), 1);
    *bench.at_work.reader.failure.lock().unwrap() = None;
    bench.at_work.reconnect.notify_one();
    let _next = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    bench.at_work.stopped().await;
}

#[tokio::test]
async fn a_second_process_waits_says_so_and_takes_over() {
    let deadlines = Deadlines {
        lock: Duration::from_millis(10),
        ..DEADLINES
    };
    let Bench {
        mut server,
        at_work: first,
    } = Bench::start_with(deadlines).await;
    let peer = server.connected().await;
    let second = AtWork::start(&server, deadlines);
    let health = second.link_becomes(Link::NeedsOperator).await;
    let remedy = health.last_error.unwrap();
    assert!(remedy.contains("cli_1"), "{remedy}");
    assert!(remedy.contains("stop the other one"), "{remedy}");
    // One that waits can be stopped.
    let third = AtWork::start(&server, deadlines);
    third.link_becomes(Link::NeedsOperator).await;
    third.stopped().await;
    assert_eq!(server.questions().len(), 1);
    first.stop.cancel();
    peer.gets_closed().await;
    first.stopped().await;
    let mut peer = server.connected().await;
    second.link_becomes(Link::Up).await;
    peer.deliver("mine", "oc_1", "one").await;
    peer.acknowledges("mine", 200).await;
    second.stopped().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_the_next_attempt() {
    let server = Server::start().await;
    server.discovery_says(json!({"code": 514, "msg": "why"}));
    let bench = Bench::start_at(server, DEADLINES);
    bench.at_work.link_becomes(Link::NeedsOperator).await;
    let started_at = Instant::now();
    bench.at_work.stopped().await;
    assert!(started_at.elapsed() < DEADLINES.uplink.habits.slow / 2);
}

#[tokio::test]
async fn stop_acknowledges_what_is_in_flight_and_takes_nothing_more() {
    let Bench {
        mut server,
        at_work,
    } = Bench::start().await;
    let mut peer = server.connected().await;
    at_work.intake.hold_all();
    for (id, chat) in [("1", "oc_1"), ("2", "oc_1"), ("3", "oc_2")] {
        peer.deliver(id, chat, id).await;
    }
    at_work.intake.called(2).await;
    at_work.stop.cancel();
    // The word goes from task to task on this one thread.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    peer.deliver("after", "oc_3", "after").await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    at_work.intake.release();
    assert_eq!(peer.successes(3).await, ["1", "2", "3"]);
    peer.gets_closed().await;
    assert_eq!(at_work.intake.calls().len(), 3);
    at_work.stopped().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_ever_for_what_is_in_flight() {
    let deadlines = with(uplink::Timing {
        patience: Patience {
            drain: Duration::from_millis(50),
            ..DEADLINES.uplink.patience
        },
        ..DEADLINES.uplink
    });
    let Bench {
        mut server,
        at_work,
    } = Bench::start_with(deadlines).await;
    let mut peer = server.connected().await;
    at_work.intake.hold_all();
    peer.deliver("held", "oc_1", "one").await;
    at_work.intake.called(1).await;
    at_work.stop.cancel();
    peer.acknowledges("held", 500).await;
    peer.gets_closed().await;
    at_work.stopped().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_hold_up_the_end() {
    let deadlines = with(uplink::Timing {
        close: Duration::from_millis(50),
        ..DEADLINES.uplink
    });
    let mut bench = Bench::start_with(deadlines).await;
    let peer = bench.server.connected().await;
    bench.at_work.link_becomes(Link::Up).await;
    let silent = peer.into_silence();
    bench.at_work.stopped().await;
    drop(silent);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_log_has_a_ticket_a_secret_or_what_somebody_wrote() {
    const WORDS: &str = "quite private words";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // With only one subscriber in the process, tracing lets the first thread that comes by decide
    // whether a line is of interest, and that may be another test's, which has none.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let server = Server::start().await;
    let unreachable = format!(
        "ws://127.0.0.1:1/ws?service_id=1&ticket={}&access_key={}",
        server::TICKET,
        server::ACCESS_KEY
    );
    server.discovery_says(json!({"code": 0, "data": {"URL": unreachable}}));
    let mut bench = Bench::start_at(server, DEADLINES);
    bench.at_work.link_becomes(Link::Down).await;
    bench
        .server
        .refuse_handshakes(Some("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    bench.server.discovery_works(json!(null));
    let mut health = bench.at_work.health.subscribe();
    within(health.wait_for(|health| {
        let error = health.last_error.as_deref().unwrap_or_default();
        error.contains("403")
    }))
    .await
    .unwrap();
    bench.server.refuse_handshakes(None);
    let mut peer = bench.server.connected().await;
    bench.at_work.intake.reject_next(1);
    for (id, text) in [("1", WORDS), ("2", WORDS), ("3", "unreadable")] {
        peer.deliver(id, "oc_1", text).await;
    }
    peer.send(tungstenite::Message::text(WORDS)).await;
    peer.send(tungstenite::Message::binary(WORDS.as_bytes()))
        .await;
    peer.part("4", 0, 0, WORDS.as_bytes()).await;
    peer.acknowledges("1", 500).await;
    peer.acknowledges("2", 200).await;
    peer.acknowledges("3", 500).await;
    drop(peer.into_silence());
    let _next = bench.server.connected().await;
    let health = format!("{:?}", bench.at_work.health.subscribe().borrow());
    bench.at_work.stopped().await;
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("connected to Feishu"), "{logged}");
    for secret in [server::TICKET, server::ACCESS_KEY, SECRET, WORDS] {
        assert!(!logged.contains(secret), "{secret} is in {logged}");
        assert!(!health.contains(secret), "{secret} is in {health}");
    }
}

/// An intake that takes its time, as a busy disk does.
struct Slow(Arc<RecordingIntake>);

#[async_trait]
impl Intake for Slow {
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError> {
        sleep(Duration::from_millis(50)).await;
        self.0.accept(event).await
    }
}

#[tokio::test]
async fn two_hundred_events_a_second_are_acknowledged_in_time() {
    const N: usize = 1_000;
    let intake = Arc::new(RecordingIntake::default());
    let slow = Arc::new(Slow(Arc::clone(&intake)));
    let mut server = Server::start().await;
    let at_work = AtWork::start_into(&server, DEADLINES, intake, slow);
    let mut peer = server.connected().await;
    let started_at = Instant::now();
    let mut sent_at = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut n_acknowledged = 0;
    while n_acknowledged < N {
        let next_at = started_at + Duration::from_millis(5) * u32::try_from(sent_at.len()).unwrap();
        tokio::select! {
            () = sleep_until(next_at), if sent_at.len() < N => {
                let id = sent_at.len().to_string();
                sent_at.push(Instant::now());
                peer.deliver(&id, &format!("oc_{}", sent_at.len() % 50), &id).await;
            }
            (id, code) = peer.acknowledged() => {
                assert_eq!(code, 200);
                let number: usize = id.parse().unwrap();
                slowest = slowest.max(sent_at[number].elapsed());
                n_acknowledged += 1;
            }
        }
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert_eq!(at_work.intake.taken().len(), N);
    at_work.stopped().await;
}
