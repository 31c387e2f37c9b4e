//! The daemon's side: a server on a Unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tieline_channel::socket::PrivateSocket;
use tieline_channel::{
    Attachment, Capabilities, CaughtUp, Channel, ChannelId, ChatId, Conversation, Emoji, Health,
    Intake, Message, Post, PostKey, Posted, Repeat, RunError, Said, SendError, Status, TextLimit,
    TextUnit, WireId, WithCauses,
};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

use crate::hub::{Fate, Hub};
use crate::protocol::DaemonLine;
use crate::session;

/// How many clients may be connected at once. More are turned away.
const MAX_CLIENTS: usize = 256;

/// How long a client may take to confirm a post.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Terminals and local programs, as a channel.
///
/// The link counts as up while at least one client is attached. A post for a chat to which none
/// is attached was not sent and may be sent later; [`health`](Channel::health) changes when a
/// client attaches.
#[derive(Debug)]
pub struct ConsoleChannel {
    id: ChannelId,
    socket: PathBuf,
    capabilities: Capabilities,
    hub: Arc<Hub>,
}

impl ConsoleChannel {
    /// Makes a channel that will listen on `socket` (less than 100 bytes long) once it runs. The
    /// directory is made if it does not exist, and must be open to nobody else.
    pub fn new(id: ChannelId, socket: impl Into<PathBuf>) -> Self {
        Self {
            id,
            socket: socket.into(),
            capabilities: Capabilities {
                text: TextLimit {
                    max: 100_000,
                    unit: TextUnit::Chars,
                },
                repeat: Repeat::Idempotent,
                edit: false,
                delete: false,
                status: true,
                reactions: true,
                buttons: false,
                files: false,
                max_file_bytes: 0,
                settles: true,
                history: false,
                operator_only: true,
            },
            hub: Arc::new(Hub::new()),
        }
    }

    /// Returns where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Puts a line before every client of a chat, and waits until one has confirmed its key.
    async fn show(&self, chat: &ChatId, key: &PostKey, line: &DaemonLine) -> Result<(), SendError> {
        let mut shown = self.hub.show(chat, key, line).ok_or_else(|| nobody(chat))?;
        match time::timeout(CONFIRM_WITHIN, shown.fate()).await {
            Ok(Fate::Shown) => Ok(()),
            Ok(Fate::Unknown) => Err(SendError::Unclear {
                reason: "the terminal went away before it confirmed".into(),
            }),
            Err(_) => {
                shown.drop_silent_clients();
                Err(SendError::Unclear {
                    reason: format!("no terminal confirmed within {CONFIRM_WITHIN:?}"),
                })
            }
        }
    }
}

fn nobody(chat: &ChatId) -> SendError {
    SendError::Again {
        after: None,
        reason: format!("no terminal is attached to the chat {chat}"),
    }
}

fn never(what: &str) -> SendError {
    SendError::Never {
        reason: format!("the console has no {what}"),
    }
}

#[async_trait]
impl Channel for ConsoleChannel {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.hub.health()
    }

    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) -> Result<(), RunError> {
        let socket = PrivateSocket::bind(&self.socket).await.map_err(|error| {
            let error = RunError::Operator {
                remedy: error.remedy(),
                reason: WithCauses(&error).to_string(),
            };
            self.hub.needs_operator(&error.to_string());
            error
        })?;
        self.hub.listening();
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = socket.accept() => match accepted {
                    Ok(stream) if sessions.len() < MAX_CLIENTS => {
                        self.start(&mut sessions, stream, &intake, &stop);
                    }
                    Ok(_) => tracing::warn!(max = MAX_CLIENTS, "too many clients; one was turned away"),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = sessions.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                }
            }
        }
        drop(socket);
        while sessions.join_next().await.is_some() {}
        self.hub.stopped();
        Ok(())
    }

    async fn post(&self, post: &Post) -> Result<Posted, SendError> {
        if !self.capabilities.text.allows(&post.text) {
            return Err(SendError::Never {
                reason: format!("longer than {} characters", self.capabilities.text.max),
            });
        }
        let line = DaemonLine::post(post);
        self.show(&post.to.chat, &post.key, &line).await?;
        Ok(Posted {
            id: WireId::new(format!("post:{}", post.key)),
        })
    }

    async fn find(&self, _post: &Post, _since: SystemTime) -> Result<Option<Posted>, SendError> {
        Err(never("memory of what it showed"))
    }

    async fn edit(
        &self,
        _at: &Conversation,
        _message: &WireId,
        _text: &str,
    ) -> Result<(), SendError> {
        Err(never("way to change what it showed"))
    }

    async fn delete(&self, _at: &Conversation, _message: &WireId) -> Result<(), SendError> {
        Err(never("way to delete what it showed"))
    }

    async fn show_status(
        &self,
        at: &Conversation,
        message: &WireId,
        status: &Status,
    ) -> Result<(), SendError> {
        let line = DaemonLine::status(message, status);
        if self.hub.mention(&at.chat, &line) {
            Ok(())
        } else {
            Err(nobody(&at.chat))
        }
    }

    async fn react(
        &self,
        at: &Conversation,
        message: &WireId,
        emoji: Emoji,
    ) -> Result<(), SendError> {
        let (key, line) = DaemonLine::reaction(at, message, emoji);
        self.show(&at.chat, &key, &line).await
    }

    async fn fetch(
        &self,
        _attachment: &Attachment,
        _to: &Path,
        _max_bytes: u64,
    ) -> Result<(), SendError> {
        Err(never("attachments"))
    }

    async fn earlier(&self, _message: &Message, _limit: usize) -> Result<Vec<Said>, SendError> {
        Err(never("history"))
    }

    async fn catch_up(
        &self,
        _since: SystemTime,
        _threads: &[Conversation],
        _intake: &dyn Intake,
    ) -> Result<CaughtUp, SendError> {
        Err(never("history"))
    }

    /// Does nothing: a Unix socket is not deaf.
    fn reconnect(&self, _reason: &str) {}
}

impl ConsoleChannel {
    fn start(
        &self,
        sessions: &mut JoinSet<()>,
        stream: UnixStream,
        intake: &Arc<dyn Intake>,
        stop: &CancellationToken,
    ) {
        let channel = self.id.clone();
        let hub = Arc::clone(&self.hub);
        let intake = Arc::clone(intake);
        let stop = stop.clone();
        sessions.spawn(async move {
            session::serve(stream, &channel, &hub, intake, &stop).await;
        });
    }
}
