use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use serde_json::json;
use tieline_channel::socket::create_private_directory;
use tieline_channel::{ChannelId, ChatId, Link, UserId, WireId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::dispatcher::Handle;
use crate::id::{DispatcherId, LaneId, ThreadId, TurnKey};
use crate::intake::PairingDesk;
use crate::ledger::{
    Admission, Conditions, Fate, Ledger, LedgerSettings, LedgerThread, Lifecycle, NewMessage,
};

/// A safety net, never a measure.
const LONG: Duration = Duration::from_secs(60);

fn at(seconds: u64, millis: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000)
}

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 7,
        started_at: at(1_795_166_100, 250),
        config: PathBuf::from("/etc/tieline.toml"),
        state_dir: PathBuf::from("/var/lib/tieline"),
        dispatchers: vec![DispatcherStatus {
            id: DispatcherId::new("flow"),
            state: Lifecycle::Degraded,
            since: at(1_795_166_101, 0),
            last_started_at: None,
            last_error: Some("codex ended".into()),
            sandbox: None,
            profile: None,
            login_problem: None,
            warnings: vec!["a skill is broken".into()],
            restarts: 2,
            child: Some(ChildStatus {
                state: "backoff".into(),
                pid: None,
                started_at: Some(at(1_795_166_102, 1)),
                version: Some("0.169.0".into()),
            }),
            lanes: vec![LaneStatus {
                id: LaneId::new("flow"),
                teammate: None,
                session: None,
                thread: Some(ThreadId::new("t1")),
                state: "running".into(),
                waiting: 3,
                open_turn: Some(OpenTurn {
                    id: TurnKey::from_bytes([1; 16]),
                    started_at: at(1_795_166_103, 0),
                    approvals: 0,
                }),
                last_turn: None,
            }],
            waiting: 3,
            teammates: TeammateCounts {
                working: 1,
                ..TeammateCounts::default()
            },
        }],
        channels: vec![ChannelStatus {
            id: ChannelId::new("terminal"),
            kind: "console".into(),
            state: Link::NeedsOperator,
            since: at(1_795_166_104, 0),
            heard_at: None,
            last_error: None,
            history: Some(HistoryStatus {
                last_read_at: Some(at(1_795_166_105, 0)),
                missed: 2,
                ..HistoryStatus::default()
            }),
        }],
        ledger: LedgerStatus {
            state: "open".into(),
            size_bytes: 4096,
            messages: [("answered".to_owned(), 5)].into(),
        },
        outbox: OutboxStatus {
            pending: 1,
            ..OutboxStatus::default()
        },
    }
}

pub(super) struct Fixed;

#[async_trait]
impl StatusSource for Fixed {
    async fn status(&self) -> Status {
        status()
    }
}

/// Never answers, and tells when it was asked.
struct Stuck(Notify);

#[async_trait]
impl StatusSource for Stuck {
    async fn status(&self) -> Status {
        self.0.notify_one();
        std::future::pending().await
    }
}

pub(super) struct Running {
    _directory: tempfile::TempDir,
    _ledger: LedgerThread,
    pub(super) ledger: Ledger,
    pub(super) socket: PathBuf,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Running {
    async fn start(source: Arc<dyn StatusSource>) -> Self {
        Self::with_dispatchers(source, |_, _| Vec::new()).await
    }

    /// Starts one with the dispatchers that `make` makes of its directory and ledger.
    pub(super) async fn with_dispatchers(
        source: Arc<dyn StatusSource>,
        make: impl FnOnce(&Path, &Ledger) -> Vec<Handle>,
    ) -> Self {
        let directory = private_directory();
        let socket = directory.path().join("control.sock");
        let server = ControlServer::bind(&socket).await.unwrap();
        let stop = CancellationToken::new();
        let (ledger, thread) =
            Ledger::open(&directory.path().join("ledger"), LedgerSettings::standard()).unwrap();
        let api = Api {
            status: source,
            ledger: ledger.clone(),
            pairings: PairingDesk::new(ledger.clone(), Default::default()),
            runs: crate::runs::Runs::new(ledger.clone(), Default::default(), Default::default()),
            events: crate::events::Events::none(),
            metrics: crate::metrics::Metrics::new(),
            dispatchers: Arc::new(
                make(directory.path(), &ledger)
                    .into_iter()
                    .map(|handle| (handle.id().clone(), handle))
                    .collect(),
            ),
            restarts: Arc::new(NoRestarts),
        };
        #[expect(clippy::disallowed_methods, reason = "`end` awaits it")]
        let served = tokio::spawn(server.serve(api, stop.clone()));
        Self {
            _directory: directory,
            _ledger: thread,
            ledger,
            socket,
            stop,
            served,
        }
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        timeout(LONG, self.served).await.unwrap().unwrap();
        assert!(!self.socket.exists(), "the socket file was left behind");
    }
}

fn private_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    create_private_directory(directory.path(), Path::new("mark")).unwrap();
    directory
}

pub(super) async fn raw(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(LONG, read).await.unwrap().unwrap();
    answer
}

#[test]
fn status_reads_as_designed() {
    assert_eq!(
        serde_json::to_value(status()).unwrap(),
        json!({
            "version": "0.1.0",
            "pid": 7,
            "started_at": "2026-11-20T09:15:00.250Z",
            "config": "/etc/tieline.toml",
            "state_dir": "/var/lib/tieline",
            "dispatchers": [{
                "id": "flow",
                "state": "degraded",
                "since": "2026-11-20T09:15:01.000Z",
                "last_started_at": null,
                "last_error": "codex ended",
                "sandbox": null,
                "profile": null,
                "login_problem": null,
                "warnings": ["a skill is broken"],
                "restarts": 2,
                "child": {
                    "state": "backoff",
                    "pid": null,
                    "started_at": "2026-11-20T09:15:02.001Z",
                    "version": "0.169.0",
                },
                "lanes": [{
                    "id": "flow",
                    "teammate": null,
                    "session": null,
                    "thread": "t1",
                    "state": "running",
                    "waiting": 3,
                    "open_turn": {
                        "id": "01010101-0101-0101-0101-010101010101",
                        "approvals": 0,
                        "started_at": "2026-11-20T09:15:03.000Z",
                    },
                    "last_turn": null,
                }],
                "waiting": 3,
                "teammates": { "working": 1, "waiting": 0, "idle": 0 },
            }],
            "channels": [{
                "id": "terminal",
                "kind": "console",
                "state": "needs_operator",
                "since": "2026-11-20T09:15:04.000Z",
                "heard_at": null,
                "last_error": null,
                "history": {
                    "last_read_at": "2026-11-20T09:15:05.000Z",
                    "missed": 2,
                    "deaf": 0,
                    "unreadable": [],
                    "last_error": null,
                },
            }],
            "ledger": { "state": "open", "size_bytes": 4096, "messages": { "answered": 5 } },
            "outbox": { "pending": 1, "sending": 0, "failed": 0, "unclear": 0 },
        })
    );
}

#[tokio::test]
async fn status_comes_back_whole() {
    let running = Running::start(Arc::new(Fixed)).await;
    let client = Client::new(&running.socket);
    assert_eq!(client.status().await.unwrap(), status());
    running.end().await;
}

#[tokio::test]
async fn unknown_route_is_a_json_error_with_a_hint() {
    let running = Running::start(Arc::new(Fixed)).await;
    let answer = raw(
        &running.socket,
        "GET /v1/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(body).unwrap(),
        json!({ "error": {
            "code": "unknown-route",
            "message": "there is no route /v1/nothing",
            "hint": "try GET /v1/status; the daemon may be older than what asks it",
        }})
    );
    let client = Client::new(&running.socket);
    let error = client.get::<Status>("/v1/nothing").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no route /v1/nothing");
    assert!(error.hint().is_some());
    running.end().await;
}

#[tokio::test]
async fn wrong_method_is_a_json_error_that_allows_the_right_one() {
    let running = Running::start(Arc::new(Fixed)).await;
    let answer = raw(
        &running.socket,
        "DELETE /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("allow: GET"), "{answer}");
    assert!(answer.contains("cannot be asked with DELETE"), "{answer}");
    running.end().await;
}

#[tokio::test]
async fn garbage_is_answered_and_ends_its_connection_only() {
    let running = Running::start(Arc::new(Fixed)).await;
    let answer = raw(&running.socket, "\0\0 what is this\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(Client::new(&running.socket).status().await.is_ok());
    running.end().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let running = Running::start(Arc::new(Fixed)).await;
    let mut idle = Vec::new();
    for _ in 0..server::MAX_CONNECTIONS {
        idle.push(UnixStream::connect(&running.socket).await.unwrap());
    }
    let client = Client::new(&running.socket);
    let ask = client.status();
    let mut ask = std::pin::pin!(ask);
    // As long as the others hold on there is no answer.
    assert!(
        timeout(Duration::from_millis(200), ask.as_mut())
            .await
            .is_err()
    );
    drop(idle);
    assert_eq!(ask.await.unwrap(), status());
    running.end().await;
}

#[tokio::test]
async fn stop_waits_for_no_idle_connection() {
    let running = Running::start(Arc::new(Fixed)).await;
    let mut stream = UnixStream::connect(&running.socket).await.unwrap();
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn stuck_daemon_is_reported_and_does_not_hold_up_the_stop() {
    let stuck = Arc::new(Stuck(Notify::new()));
    let running = Running::start(stuck.clone()).await;
    let error = Client::new(&running.socket).status().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the daemon did not say how it is within 5 s"
    );
    stuck.0.notified().await;
    let mut stream = UnixStream::connect(&running.socket).await.unwrap();
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    stuck.0.notified().await;
    running.end().await;
}

#[tokio::test]
async fn absent_daemon_is_told_from_a_broken_one() {
    let directory = private_directory();
    let socket = directory.path().join("control.sock");
    let error = Client::new(&socket).status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("`tieline run`"));

    // A file that nobody listens on: a daemon was killed.
    drop(StdListener::bind(&socket).unwrap());
    let error = Client::new(&socket).status().await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error:?}");
}

#[tokio::test]
async fn daemon_that_hangs_up_is_broken() {
    let directory = private_directory();
    let socket = directory.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let client = Client::new(&socket);
    let (error, ()) = tokio::join!(client.status(), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        drop(stream);
    });
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn socket_and_its_directory_are_private() {
    let directory = private_directory();
    let socket = directory.path().join("a/b/control.sock");
    let server = ControlServer::bind(&socket).await.unwrap();
    assert_eq!(mode(&directory.path().join("a")), 0o700);
    assert_eq!(mode(&directory.path().join("a/b")), 0o700);
    assert_eq!(mode(&socket), 0o600);
    drop(server);
    assert!(!socket.exists());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A stranger's message; nothing of it matters but who wrote it.
fn stranger(user: &str) -> Admission {
    let message = tieline_channel::Message {
        id: WireId::new(user),
        conversation: tieline_channel::Conversation {
            chat: ChatId::new("D1"),
            thread: None,
        },
        chat_kind: tieline_channel::ChatKind::Direct,
        chat_name: None,
        sender: tieline_channel::Sender {
            id: UserId::new(user),
            name: None,
            kind: tieline_channel::SenderKind::Person,
        },
        sent_at: at(0, 0),
        body: Vec::new(),
        addressed: true,
        in_thread: false,
        quote: None,
        attachments: Vec::new(),
    };
    Admission {
        message: NewMessage {
            channel: ChannelId::new("team"),
            dispatcher: DispatcherId::new("flow"),
            lane: LaneId::new("flow"),
            key: tieline_channel::EventKey {
                kind: tieline_channel::EventKind::Message,
                id: user.to_owned(),
            },
            message,
            received_at: at(0, 0),
            urgent: false,
        },
        conditions: Conditions {
            paired: true,
            ..Conditions::default()
        },
        fate: Fate::Queue,
    }
}

#[tokio::test]
async fn pairing_is_told_confirmed_and_taken_back() {
    let running = Running::start(Arc::new(Fixed)).await;
    let client = Client::new(&running.socket);
    assert_eq!(client.pairings().await.unwrap(), Pairings::default());
    // Names as platforms give them, not made for paths.
    for user in ["U1", "o/u?%#: 名"] {
        let asked = running.ledger.admit(stranger(user), |_| Vec::new()).await;
        asked.unwrap();
        let told = client.pairings().await.unwrap();
        assert_eq!((told.open.len(), told.paired.len()), (1, 0));
        assert_eq!(told.open[0].person.user, UserId::new(user));
        let paired = client.pair(&told.open[0].code).await.unwrap();
        assert_eq!(paired.person, told.open[0].person);
        assert_eq!(paired.by, None);
        let told = client.pairings().await.unwrap();
        assert_eq!((told.open.len(), told.paired.len()), (0, 1));
        let who = format!("team:{user}");
        assert_eq!(client.unpair(&who).await.unwrap(), [paired]);
        assert_eq!(client.pairings().await.unwrap(), Pairings::default());
    }
    running.end().await;
}

#[tokio::test]
async fn what_cannot_be_paired_is_explained() {
    let running = Running::start(Arc::new(Fixed)).await;
    let client = Client::new(&running.socket);
    let mut told = Vec::new();
    for code in ["ABCD-2345", "who knows", "../status", ""] {
        let refused = client.pair(code).await.unwrap_err();
        assert!(refused.hint().is_some(), "{code:?}");
        told.push(refused.to_string());
    }
    for who in ["team:U1", "U1"] {
        let refused = client.unpair(who).await.unwrap_err();
        assert!(refused.hint().is_some(), "{who:?}");
        told.push(refused.to_string());
    }
    assert_eq!(
        told,
        [
            "nobody was given this code, or it has been used",
            "\"who knows\" is not a code",
            "\"../status\" is not a code",
            "there is no route /v1/pairings/",
            "team:U1 is not paired",
            "\"U1\" is nobody",
        ]
    );
    running.end().await;
}
