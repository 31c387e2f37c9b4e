//! What the tests share.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{
    Channel as _, ChannelId, ChatId, Conversation, Event, Happening, Link, Message, Post, PostKey,
    PostKind, Posted, RunError, SendError,
};
use tieline_console::ConsoleChannel;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

/// How long anything may take; only so that a failure does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a directory that nobody else may enter.
pub(crate) fn private_directory() -> TempDir {
    tempfile::Builder::new()
        .prefix("tl")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .unwrap()
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took too long"),
    }
}

/// A running console channel, and an intake that the test looks at.
pub(crate) struct Daemon {
    pub(crate) channel: Arc<ConsoleChannel>,
    pub(crate) intake: Arc<RecordingIntake>,
    stop: CancellationToken,
    running: JoinSet<Result<(), RunError>>,
}

impl Daemon {
    pub(crate) fn start(socket: &Path) -> Self {
        let channel = Arc::new(ConsoleChannel::new(ChannelId::new("console"), socket));
        let intake = Arc::new(RecordingIntake::default());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let channel = Arc::clone(&channel);
            let intake = Arc::<RecordingIntake>::clone(&intake);
            let stop = stop.clone();
            async move { channel.run(intake, stop).await }
        });
        Self {
            channel,
            intake,
            stop,
            running,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = within("the end", self.running.join_next()).await;
        assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
    }

    pub(crate) async fn becomes(&self, link: Link) {
        let mut health = self.channel.health();
        let reached = health.wait_for(|health| health.link == link);
        assert!(within("a change of health", reached).await.is_ok());
    }

    pub(crate) async fn took(&self, n: usize) -> Vec<Event> {
        within("messages to come in", self.intake.took(n)).await
    }

    /// Posts until it is delivered, as an outbox does.
    pub(crate) async fn deliver(&self, post: &Post) -> Posted {
        within("a post to be delivered", async {
            let mut health = self.channel.health();
            loop {
                health.mark_unchanged();
                match self.channel.post(post).await {
                    Ok(posted) => return posted,
                    Err(SendError::Again { .. } | SendError::Unclear { .. }) => {
                        health.changed().await.unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await
    }

    /// Settles the message of an event.
    pub(crate) async fn answer(&self, event: &Event, text: &str) {
        let message = message(event);
        let mut post = post(&format!("answer-{}", message.id), text);
        post.to = message.conversation.clone();
        post.reply_to = Some(message.id.clone());
        post.settles = vec![message.id.clone()];
        self.deliver(&post).await;
    }
}

pub(crate) fn post(key: &str, text: &str) -> Post {
    Post {
        key: PostKey::new(key),
        to: main_chat(),
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Answer,
        text: text.to_owned(),
        buttons: Vec::new(),
        file: None,
    }
}

pub(crate) fn main_chat() -> Conversation {
    Conversation {
        chat: ChatId::new("main"),
        thread: None,
    }
}

pub(crate) fn message(event: &Event) -> &Message {
    match &event.happening {
        Happening::Message(message) => message,
        other => panic!("not a message: {other:?}"),
    }
}

pub(crate) fn texts(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .map(|event| message(event).plain_text())
        .collect()
}

/// A client that says exactly what it is told to.
pub(crate) struct RawClient {
    pub(crate) lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    pub(crate) write_half: OwnedWriteHalf,
}

impl RawClient {
    /// Connects, as soon as somebody listens.
    pub(crate) async fn connect(socket: &Path) -> Self {
        let stream = within("connecting", async {
            loop {
                match UnixStream::connect(socket).await {
                    Ok(stream) => return stream,
                    // There is nothing to be told by before the socket exists.
                    Err(_) => time::sleep(Duration::from_millis(2)).await,
                }
            }
        })
        .await;
        let (read_half, write_half) = stream.into_split();
        Self {
            lines: BufReader::new(read_half).lines(),
            write_half,
        }
    }

    /// Connects to the chat `main` and is welcomed.
    pub(crate) async fn attach(socket: &Path) -> Self {
        let mut client = Self::connect(socket).await;
        client
            .say(br#"{"type":"hello","chat":"main","name":"Mei"}"#)
            .await;
        assert_eq!(client.hear().await["type"], "welcome");
        client
    }

    pub(crate) async fn say(&mut self, line: &[u8]) {
        self.write_half.write_all(line).await.unwrap();
        self.write_half.write_all(b"\n").await.unwrap();
    }

    /// Returns the next line, which must come.
    pub(crate) async fn hear(&mut self) -> Value {
        let line = within("a line", self.lines.next_line()).await;
        serde_json::from_str(&line.unwrap().expect("the connection is up")).unwrap()
    }

    /// Waits for the end of the connection; returns how many lines came before it.
    pub(crate) async fn hear_the_end(&mut self) -> usize {
        within("the end of the connection", async {
            let mut n_lines = 0;
            while let Ok(Some(_)) = self.lines.next_line().await {
                n_lines += 1;
            }
            n_lines
        })
        .await
    }
}

/// A socket path in a directory of its own.
pub(crate) struct Place {
    _directory: TempDir,
    pub(crate) socket: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = private_directory();
        Self {
            socket: directory.path().join("console.sock"),
            _directory: directory,
        }
    }
}
