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
    ChannelId, ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Health, Link,
    Message, Segment, Sender, SenderKind, UserId, WireId,
};
use tieline_net::Net;
use tokio::task::JoinSet;
use tokio::time::Instant;
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
const DEADLINES: Deadlines = {
    let mut deadlines = Deadlines::FEISHU;
    deadlines.uplink.tcp = Duration::from_millis(50);
    deadlines
};

impl AtWork {
    fn start(server: &Server, deadlines: Deadlines) -> Self {
        let settings = Settings {
            id: ChannelId::new("work"),
            app_id: "cli_1".to_owned(),
            app_secret: SecretString::from(SECRET),
            base_url: server.base_url(),
            reactions: false,
            language: Language::English,
        };
        let account = Arc::new(Account::new(settings, Net::new().unwrap()));
        let intake = Arc::new(RecordingIntake::default());
        let reader = Arc::new(TestReader::default());
        let health = Arc::new(HealthBoard::new());
        let reconnect = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let (health, reconnect, stop) = (health.clone(), reconnect.clone(), stop.clone());
            let (reader, intake) = (reader.clone(), intake.clone());
            async move {
                run_with(
                    &account, &health, reader, intake, &reconnect, deadlines, stop,
                )
                .await;
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
async fn what_is_fatal_needs_the_operator_until_it_is_good_again() {
    let mut deadlines = DEADLINES;
    deadlines.uplink.habits.slow = Duration::from_millis(100);
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
    let mut deadlines = DEADLINES;
    deadlines.uplink.habits.slow = Duration::from_millis(100);
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
    let mut deadlines = DEADLINES;
    deadlines.uplink.habits.slow = Duration::from_secs(3_600);
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
    let mut deadlines = DEADLINES;
    deadlines.lock = Duration::from_millis(10);
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
