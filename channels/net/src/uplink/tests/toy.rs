//! A platform of the simplest kind, and its server, whose ends of connections the test holds in its
//! hands.
//!
//! The server says `deliver <name> <chat>`, `question`, `farewell`, `farewell crowded`,
//! `upkeep <milliseconds between pings>`; `panic` has the session panic. It is told `taken <name>`,
//! `again <name>` (not of what is called `mute…`), `answer`, and `ping`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::{SinkExt as _, StreamExt as _};
use pretty_assertions::assert_eq;
use thiserror::Error;
use tieline_channel::{
    ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Message as Said,
    Segment, Sender, SenderKind, UserId, WireId,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::uplink::{
    Arrival, Delivery, Heard, Meaning, Opened, Outcome, Platform, Reader, Session, Unreadable,
    Upkeep, Verdict,
};
use crate::{ConnectError, Net};

/// How long anything may take. It is only there so that a failure does not hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a peer that closes a connection has us stay away.
pub(super) const AWAY: Duration = Duration::from_millis(300);

/// The longest wait between attempts once there was a connection.
const LONGEST: Duration = Duration::from_millis(100);

const MAX_FRAME: usize = 1_024;

/// The platform.
pub(super) struct Toy {
    net: Net,
    url: String,
    ping: Duration,
    /// How attempts fail.
    failure: Mutex<Option<Failure>>,
    n_attempts: watch::Sender<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// With an error.
    Error(Verdict),
    /// With a panic.
    Panic,
}

#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error("no connection today")]
    Failed(Verdict),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl Toy {
    /// Makes a platform that wants a ping so often.
    pub(super) fn new(server: &Server, ping: Duration) -> Self {
        Self {
            net: Net::new().unwrap(),
            url: server.url.clone(),
            ping,
            failure: Mutex::default(),
            n_attempts: watch::Sender::new(0),
        }
    }

    /// Has attempts fail from now on, or no longer.
    pub(super) fn fail(&self, failure: Option<Failure>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    pub(super) fn n_attempts(&self) -> usize {
        *self.n_attempts.borrow()
    }

    /// Waits until that many attempts were made, all in all.
    pub(super) async fn attempted(&self, n: usize) {
        let mut n_attempts = self.n_attempts.subscribe();
        within(n_attempts.wait_for(|n_attempts| *n_attempts >= n))
            .await
            .unwrap();
    }
}

impl Platform for Toy {
    const NAME: &'static str = "Toyland";

    type Session = ToySession;
    type Error = OpenError;

    async fn open(&self) -> Result<Opened<ToySession>, OpenError> {
        self.n_attempts.send_modify(|n_attempts| *n_attempts += 1);
        let failure = self.failure.lock().unwrap().clone();
        match failure {
            Some(Failure::Error(verdict)) => return Err(OpenError::Failed(verdict)),
            Some(Failure::Panic) => panic!("a panic that the test wants"),
            None => {}
        }
        let opened = self.net.open_websocket(&self.url, MAX_FRAME, PATIENCE);
        let (socket, _response) = opened.await?;
        Ok(Opened {
            socket,
            session: ToySession,
            upkeep: upkeep(self.ping),
        })
    }

    fn verdict(&self, error: &OpenError) -> Verdict {
        match error {
            OpenError::Failed(verdict) => verdict.clone(),
            OpenError::Connect(_) => Verdict::Retry { after: None },
        }
    }
}

fn upkeep(ping: Duration) -> Upkeep {
    Upkeep {
        ping,
        longest: LONGEST,
    }
}

/// What goes over a connection.
pub(super) struct ToySession;

/// What is delivered.
#[derive(Debug)]
pub(super) struct Letter {
    name: String,
    chat: String,
}

impl Delivery for Letter {
    /// Its name.
    type Slip = String;

    fn line(&self) -> &str {
        &self.chat
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "letter"
    }
}

impl Session for ToySession {
    type Delivery = Letter;

    fn read(&mut self, message: Message) -> Heard<Letter> {
        let Message::Text(text) = message else {
            return Heard::Nothing;
        };
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["deliver", name, chat] => Heard::Delivery(Arrival {
                delivery: Letter {
                    name: name.to_owned(),
                    chat: chat.to_owned(),
                },
                slip: name.to_owned(),
                bytes: text.len(),
            }),
            ["question"] => Heard::Question(Message::text("answer")),
            ["farewell"] => Heard::Farewell {
                verdict: None,
                reason: "it is late".to_owned(),
            },
            ["farewell", "crowded"] => Heard::Farewell {
                verdict: Some(Verdict::Crowded),
                reason: "it is crowded".to_owned(),
            },
            ["upkeep", millis] => {
                Heard::Upkeep(upkeep(Duration::from_millis(millis.parse().unwrap())))
            }
            ["panic"] => panic!("a panic that the test wants"),
            _ => Heard::Nothing,
        }
    }

    fn ping(&mut self) -> Message {
        Message::text("ping")
    }

    fn acknowledgement(name: String, outcome: Outcome) -> Option<Message> {
        match outcome {
            Outcome::Taken => Some(Message::text(format!("taken {name}"))),
            Outcome::Again if name.starts_with("mute") => None,
            Outcome::Again => Some(Message::text(format!("again {name}"))),
        }
    }

    fn stays_away(&self, close: Option<&CloseFrame>) -> Option<Duration> {
        close.map(|_| AWAY)
    }
}

/// Reads letters: all of them are messages, whose text is their name.
pub(super) struct LetterReader;

#[async_trait]
impl Reader<Letter> for LetterReader {
    async fn read(&self, letter: &Letter) -> Result<Meaning, Unreadable> {
        Ok(Meaning::Event(message(&letter.chat, &letter.name)))
    }
}

fn message(chat: &str, text: &str) -> Event {
    Event {
        key: EventKey {
            kind: EventKind::Message,
            id: text.to_owned(),
        },
        happening: Happening::Message(Said {
            id: WireId::new(text),
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

/// The platform's server.
pub(super) struct Server {
    listener: TcpListener,
    url: String,
}

/// The server's end of a connection.
pub(super) struct Peer {
    socket: WebSocketStream<TcpStream>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Waits for the next connection.
    pub(super) async fn connected(&self) -> Peer {
        within(async {
            let (stream, _address) = self.listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let socket = accept_async(stream).await.unwrap();
            Peer { socket }
        })
        .await
    }
}

impl Peer {
    pub(super) async fn deliver(&mut self, name: &str, chat: &str) {
        self.say(&format!("deliver {name} {chat}")).await;
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    pub(super) async fn send(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    /// Waits for a ping, which must be the next thing that comes.
    pub(super) async fn pinged(&mut self) {
        let message = within(self.socket.next()).await.unwrap().unwrap();
        assert_eq!(message, Message::text("ping"));
    }

    /// Returns the next message that is no ping; `None` when the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            match within(self.socket.next()).await? {
                Ok(message) if message == Message::text("ping") => {}
                Ok(message) => return Some(message),
                Err(_) => return None,
            }
        }
    }

    /// Returns what it is told next.
    pub(super) async fn told(&mut self) -> String {
        let message = self.next().await.expect("the connection is gone");
        message.into_text().unwrap().as_str().to_owned()
    }

    /// Checks that it is told these next, in whatever order.
    pub(super) async fn is_told(&mut self, expected: impl IntoIterator<Item = String>) {
        let mut expected: Vec<_> = expected.into_iter().collect();
        let mut told = Vec::new();
        for _ in &expected {
            told.push(self.told().await);
        }
        expected.sort();
        told.sort();
        assert_eq!(told, expected);
    }

    /// Checks that the next message is the close frame, and that TCP ends by the other side's doing.
    pub(super) async fn gets_closed(mut self) {
        let message = self.next().await;
        assert!(matches!(message, Some(Message::Close(_))), "{message:?}");
        // Answers the close frame and leaves TCP open.
        within(async {
            self.socket.flush().await.ok();
            let mut rest = [0; 64];
            while let Ok(1..) = self.socket.get_mut().read(&mut rest).await {}
        })
        .await;
    }

    /// Reads nothing more and answers nothing, and keeps TCP open as long as it is held.
    pub(super) fn into_silence(self) -> TcpStream {
        self.socket.into_inner()
    }
}

/// Returns what `future` does, or panics when it takes for ever.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("it takes much too long")
}
