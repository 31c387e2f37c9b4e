//! The whole of Socket Mode against a server that follows a script.

mod server;

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use secrecy::SecretString;
use serde_json::json;
use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Health, Link,
    Message, Segment, Sender, SenderKind, UserId, WireId,
};
use tieline_net::Net;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};

use self::server::{Server, within};
use super::*;
use crate::Settings;

/// Reads `{"event": {"channel": …, "text": …}}`: the text `nothing` means nothing, `panic` panics,
/// and `unreadable` cannot be read.
#[derive(Default)]
struct TestReader {
    n_read: AtomicU64,
}

#[async_trait]
impl Reader<Envelope> for TestReader {
    async fn read(&self, envelope: &Envelope) -> Result<Meaning, Unreadable> {
        let ts = self.n_read.fetch_add(1, Ordering::Relaxed);
        let event = &envelope.payload["event"];
        match event["text"].as_str().unwrap() {
            "nothing" => Ok(Meaning::Nothing("it means nothing".to_owned())),
            "panic" => panic!("a panic that the test wants"),
            "unreadable" => Err("unreadable".into()),
            text => Ok(Meaning::Event(message(
                event["channel"].as_str().unwrap(),
                ts,
                text,
            ))),
        }
    }
}

fn message(chat: &str, ts: u64, text: &str) -> Event {
    Event {
        key: EventKey {
            kind: EventKind::Message,
            id: format!("T1/{chat}/{ts}"),
        },
        happening: Happening::Message(Message {
            id: WireId::new(ts.to_string()),
            conversation: Conversation {
                chat: ChatId::new(chat),
                thread: None,
            },
            chat_kind: ChatKind::Direct,
            chat_name: None,
            sender: Sender {
                id: UserId::new("U1"),
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
    let text = |event: &Event| match &event.happening {
        Happening::Message(message) => message.plain_text(),
        other => panic!("not a message: {other:?}"),
    };
    events.iter().map(text).collect()
}

/// Socket Mode at work, with an intake that records.
struct Bench {
    server: Server,
    intake: Arc<RecordingIntake>,
    health: Arc<HealthBoard>,
    reconnect: Arc<Notify>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

/// As with Slack, but for the politeness at the end.
const TIMING: Timing = {
    let mut timing = Timing::SLACK;
    timing.uplink.tcp = Duration::from_millis(50);
    timing
};

impl Bench {
    async fn start() -> Self {
        Self::start_with(TIMING).await
    }

    async fn start_with(timing: Timing) -> Self {
        Self::start_at(Server::start().await, timing)
    }

    fn start_at(server: Server, timing: Timing) -> Self {
        let settings = Settings {
            id: ChannelId::new("team"),
            app_token: SecretString::from("xapp-1"),
            bot_token: SecretString::from("xoxb-1"),
            api_url: server.api_url(),
            reactions: false,
            thread_direct: false,
            language: tieline_channel::Language::English,
        };
        let account = Arc::new(Account::new(settings, Net::new().unwrap()));
        let intake = Arc::new(RecordingIntake::default());
        let health = Arc::new(HealthBoard::new());
        let reconnect = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let (health, reconnect, stop) = (health.clone(), reconnect.clone(), stop.clone());
            let intake = Arc::clone(&intake);
            async move {
                let reader = Arc::new(TestReader::default());
                run_with(&account, &health, reader, intake, &reconnect, timing, stop).await;
            }
        });
        Self {
            server,
            intake,
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
    }
}

#[tokio::test]
async fn the_link_is_up_at_hello_and_not_before() {
    let mut bench = Bench::start().await;
    let mut peer = bench.server.socket().await;
    assert_eq!(bench.link(), Link::Connecting);
    peer.hello(1).await;
    let health = bench.link_becomes(Link::Up).await;
    assert!(health.heard_at.is_some());
    bench.stop.cancel();
    peer.gets_closed().await;
    bench.stopped().await;
}

#[tokio::test]
async fn a_silent_handshake_is_given_up() {
    let mut timing = TIMING;
    timing.hello = Duration::from_millis(50);
    let mut bench = Bench::start_with(timing).await;
    let _silent = bench.server.socket().await;
    let health = bench.link_becomes(Link::Down).await;
    let reason = health.last_error.unwrap();
    assert!(reason.contains("hello"), "{reason}");
    assert!(!reason.contains(server::TICKET), "{reason}");
    let _next = bench.server.socket().await;
    bench.stopped().await;
}

#[tokio::test]
async fn an_event_is_acknowledged_once_it_is_taken() {
    let mut bench = Bench::start().await;
    let mut peer = bench.server.connected().await;
    bench.intake.hold_all();
    peer.deliver("held", "C1", "one").await;
    bench.intake.called(1).await;
    // What is in another chat, or means nothing, does not wait for it.
    peer.deliver("nothing", "C2", "nothing").await;
    assert_eq!(peer.acknowledged().await, "nothing");
    bench.intake.release();
    assert_eq!(peer.acknowledged().await, "held");
    assert_eq!(texts(&bench.intake.taken()), ["one"]);
    bench.stopped().await;
}

#[tokio::test]
async fn an_event_that_is_not_taken_is_not_acknowledged() {
    let mut bench = Bench::start().await;
    let mut peer = bench.server.connected().await;
    bench.intake.reject_next(2);
    peer.deliver("rejected", "C1", "one").await;
    peer.deliver("rejected as well", "C1", "one").await;
    peer.deliver("unreadable", "C1", "unreadable").await;
    peer.deliver("panicked", "C1", "panic").await;
    // The chat goes on, in order, so nothing before this is still to be acknowledged.
    peer.deliver("accepted", "C1", "two").await;
    assert_eq!(peer.acknowledged().await, "accepted");
    bench.stop.cancel();
    peer.gets_closed().await;
    assert_eq!(texts(&bench.intake.taken()), ["two"]);
    bench.stopped().await;
}

#[tokio::test]
async fn garbage_is_passed_over() {
    let mut bench = Bench::start().await;
    let mut peer = bench.server.connected().await;
    for frame in [
        tungstenite::Message::text("UNAUTHENTICATED: cache_error"),
        tungstenite::Message::text(""),
        tungstenite::Message::text("[]"),
        tungstenite::Message::text(r#"{"type":"events_api","envelope_id":null}"#),
        tungstenite::Message::binary(vec![0, 159, 146, 150]),
        tungstenite::Message::Pong("unasked".into()),
    ] {
        peer.frame(frame).await;
    }
    peer.send(json!({"type": "moon", "envelope_id": "unknown", "payload": 7}))
        .await;
    assert_eq!(peer.acknowledged().await, "unknown");
    let limited = json!({"type": "app_rate_limited", "minute_rate_limited": 1});
    peer.send(json!({"type": "events_api", "envelope_id": "limited", "payload": limited}))
        .await;
    assert_eq!(peer.acknowledged().await, "limited");
    peer.deliver("good", "C1", "one").await;
    assert_eq!(peer.acknowledged().await, "good");
    assert_eq!(bench.server.n_calls("apps.connections.open"), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn a_refresh_leaves_no_gap() {
    for reason in ["warning", "refresh_requested", "something new"] {
        let mut bench = Bench::start().await;
        let mut old = bench.server.connected().await;
        let up = bench.link_becomes(Link::Up).await;
        bench.intake.hold(&ChatId::new("C1"));
        old.deliver("old-1", "C1", "one").await;
        bench.intake.called(1).await;
        old.disconnect(reason).await;
        let mut new = bench.server.socket().await;
        // The old one still works while the new one has no hello.
        old.deliver("old-2", "C2", "two").await;
        assert_eq!(old.acknowledged().await, "old-2");
        new.hello(2).await;
        // Both are read; each is acknowledged where it came from.
        new.deliver("new-1", "C3", "three").await;
        assert_eq!(new.acknowledged().await, "new-1");
        old.deliver("old-3", "C4", "four").await;
        assert_eq!(old.acknowledged().await, "old-3");
        bench.intake.release();
        assert_eq!(old.acknowledged().await, "old-1");
        // Nothing is in flight on it any longer.
        old.gets_closed().await;
        let health = bench.health.subscribe().borrow().clone();
        assert_eq!((health.link, health.since), (Link::Up, up.since));
        new.deliver("new-2", "C1", "five").await;
        assert_eq!(new.acknowledged().await, "new-2");
        bench.stopped().await;
    }
}

#[tokio::test]
async fn a_quiet_connection_that_answers_pings_lives() {
    let mut timing = TIMING;
    timing.ping = Duration::from_millis(20);
    timing.uplink.pong = Duration::from_secs(2);
    let mut bench = Bench::start_with(timing).await;
    let mut peer = bench.server.connected().await;
    let started_at = Instant::now();
    while started_at.elapsed() < Duration::from_secs(3) {
        // Reading answers the pings that are there.
        let quiet = tokio::time::timeout(Duration::from_millis(100), peer.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
    assert_eq!(bench.link(), Link::Up);
    assert_eq!(bench.server.n_calls("apps.connections.open"), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn a_bad_token_needs_the_operator_until_it_is_good_again() {
    let mut timing = TIMING;
    timing.uplink.habits.slow = Duration::from_millis(100);
    for (method, token) in [
        ("apps.connections.open", "app_token"),
        ("auth.test", "bot_token"),
    ] {
        let server = Server::start().await;
        let good = server.current_answer(method);
        server.answer(method, json!({"ok": false, "error": "invalid_auth"}));
        let mut bench = Bench::start_at(server, timing);
        let health = bench.link_becomes(Link::NeedsOperator).await;
        let remedy = health.last_error.unwrap();
        assert!(remedy.contains(token), "{remedy}");
        bench.server.answer(method, good);
        let _peer = bench.server.connected().await;
        bench.link_becomes(Link::Up).await;
        bench.stopped().await;
    }
}

#[tokio::test]
async fn stop_does_not_wait_for_the_next_attempt() {
    let server = Server::start().await;
    server.answer_with(
        "apps.connections.open",
        "429 Too Many Requests\r\nretry-after: 3600",
        json!({"ok": false, "error": "ratelimited"}),
    );
    let bench = Bench::start_at(server, TIMING);
    let health = bench.link_becomes(Link::Down).await;
    assert!(health.last_error.unwrap().contains("3600"));
    bench.reconnect.notify_one();
    tokio::task::yield_now().await;
    assert_eq!(bench.server.n_calls("apps.connections.open"), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn switched_off_socket_mode_needs_the_operator() {
    let mut timing = TIMING;
    timing.uplink.habits.slow = Duration::from_millis(100);
    let mut bench = Bench::start_with(timing).await;
    let mut peer = bench.server.connected().await;
    peer.disconnect("link_disabled").await;
    let health = bench.link_becomes(Link::NeedsOperator).await;
    let remedy = health.last_error.unwrap();
    assert!(remedy.contains("Enable Socket Mode"), "{remedy}");
    peer.gets_closed().await;
    let mut next = bench.server.socket().await;
    next.disconnect("link_disabled").await;
    let _last = bench.server.connected().await;
    bench.link_becomes(Link::Up).await;
    bench.stopped().await;
}

#[tokio::test]
async fn too_many_connections_are_made_fewer_before_another_is_opened() {
    let mut bench = Bench::start().await;
    let mut old = bench.server.connected().await;
    bench.intake.hold_all();
    old.deliver("held", "C1", "one").await;
    bench.intake.called(1).await;
    bench.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    new.disconnect("too_many_websockets").await;
    old.gets_closed().await;
    new.gets_closed().await;
    assert!(!bench.server.has_socket());
    let _next = bench.server.connected().await;
    bench.link_becomes(Link::Up).await;
    bench.intake.release();
    bench.stopped().await;
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

impl Log {
    /// Takes what this thread logs until both guards are dropped.
    fn begin() -> (Self, (DefaultGuard, Dispatch)) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        // With only one subscriber in the process, tracing lets the first thread that comes by
        // decide whether a line is of interest, and that may be another test's, which has none.
        let second = Dispatch::new(NoSubscriber::default());
        (log, (guard, second))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn connections_that_cannot_be_ours_are_warned_of_once() {
    let (log, _guards) = Log::begin();
    let mut bench = Bench::start().await;
    let mut peers = Vec::new();
    // Ours are one, two and three.
    for (counted, n_warnings) in [(1, 0), (3, 1), (9, 1)] {
        let mut peer = bench.server.socket().await;
        peer.hello(counted).await;
        peer.deliver("good", "C1", "one").await;
        assert_eq!(peer.acknowledged().await, "good");
        let logged = log.text();
        let warnings = logged.matches("another process uses the same app-level token");
        assert_eq!(warnings.count(), n_warnings, "{logged}");
        peers.push(peer);
        bench.reconnect.notify_one();
    }
    bench.stopped().await;
}

#[tokio::test]
async fn no_log_has_a_ticket_a_token_or_what_somebody_wrote() {
    let (log, _guards) = Log::begin();
    let server = Server::start().await;
    let good = server.current_answer("apps.connections.open");
    let unreachable = format!("ws://127.0.0.1:1/link/?ticket={}", server::TICKET);
    server.answer(
        "apps.connections.open",
        json!({"ok": true, "url": unreachable}),
    );
    let mut bench = Bench::start_at(server, TIMING);
    bench.link_becomes(Link::Down).await;
    bench.server.answer("apps.connections.open", good);
    let mut peer = bench.server.connected().await;
    const WORDS: &str = "quite private words";
    bench.intake.reject_next(1);
    for (id, text) in [
        ("1", WORDS),
        ("2", WORDS),
        ("3", "unreadable"),
        ("4", "nothing"),
    ] {
        peer.deliver(id, "C1", text).await;
    }
    peer.frame(tungstenite::Message::text(WORDS)).await;
    assert_eq!(peer.acknowledges(2).await, ["2", "4"]);
    drop(peer.into_silence());
    let _next = bench.server.connected().await;
    bench.stopped().await;
    let logged = log.text();
    assert!(logged.contains("connected to Slack"), "{logged}");
    for secret in [server::TICKET, "xapp-1", "xoxb-1", WORDS] {
        assert!(!logged.contains(secret), "{secret} is in {logged}");
    }
}
