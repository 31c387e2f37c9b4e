//! Everything that the mock knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Said;

use super::super::mock::connections::Socket;
use super::super::mock::{Common, Knowledge};
use super::delivery::{Kind, Sent};
use super::options::Options;
use super::rates::Meter;
use super::socket::Client;
use super::world::ChatMode;
use super::{Args, BOT, TENANT, observe};

/// Everything that the mock knows.
pub(crate) struct State {
    pub(super) common: Common<Self>,
    pub(super) options: Options,
    port: u16,
    /// The latest time of a message, in ms.
    latest_ms: u64,
    pub(super) people: BTreeMap<String, Person>,
    pub(super) chats: BTreeMap<String, Chat>,
    /// By id, which sorts by time.
    pub(super) messages: BTreeMap<String, Message>,
    pub(super) files: BTreeMap<String, StoredFile>,
    /// What was sent under which `uuid`.
    pub(super) uuids: BTreeMap<String, Known>,
    /// Until when which token is good.
    pub(super) tokens: BTreeMap<String, Instant>,
    pub(super) meter: Meter,
    // The long connection
    /// Which `service_id` goes with a ticket.
    pub(super) tickets: BTreeMap<String, i32>,
    pub(super) used_tickets: BTreeSet<String>,
    /// What is known of the other end of each connection.
    pub(super) clients: BTreeMap<u64, Client>,
    /// By the header `message_id` of their frames.
    pub(super) push_names: BTreeMap<String, usize>,
}

/// A person or bot.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) tenant: String,
    pub(super) is_bot: bool,
}

/// A chat.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mode: ChatMode,
    pub(super) members: BTreeSet<String>,
    pub(super) is_external: bool,
}

/// A message, as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) chat: String,
    pub(super) root_id: Option<String>,
    pub(super) parent_id: Option<String>,
    pub(super) thread_id: Option<String>,
    /// Events do not tell its topic.
    pub(super) hides_thread: bool,
    pub(super) sender: String,
    pub(super) kind: String,
    /// JSON, as it was sent.
    pub(super) content: String,
    /// As events have them.
    pub(super) mentions: Vec<Value>,
    pub(super) at_ms: u64,
    pub(super) updated_ms: Option<u64>,
    pub(super) n_edits: usize,
    pub(super) is_deleted: bool,
    pub(super) reactions: Vec<Reaction>,
    /// The merged message that has this one.
    pub(super) upper: Option<String>,
    pub(super) uuid: Option<String>,
}

/// A reaction.
#[derive(Clone, Debug)]
pub(super) struct Reaction {
    pub(super) id: String,
    pub(super) emoji: String,
    pub(super) by: String,
}

/// An image or a file.
#[derive(Clone, Debug)]
pub(super) struct StoredFile {
    pub(super) name: String,
    /// `image`, or the `file_type` of an upload.
    pub(super) kind: String,
    pub(super) by: String,
    pub(super) content: Vec<u8>,
}

/// What was sent under a `uuid`.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) message: String,
    pub(super) at: Instant,
    pub(super) busy_until: Instant,
    /// To whom and what, to compare with.
    pub(super) what: String,
}

/// What happens after a while.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    /// An acknowledgement is due.
    AckDue { push: usize, attempt: usize },
    /// A delivery is tried again.
    Redeliver { push: usize },
    /// A ping is due.
    PingDue { connection: u64, pings: usize },
    /// A connection ends.
    Close { connection: u64 },
}

impl Knowledge for State {
    type Later = Later;
    type Args = Args;
    type Error = i64;
    type Kind = Kind;
    type Sent = Sent;

    const LEAVES_TCP_OPEN: bool = false;

    fn common(&self) -> &Common<Self> {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common<Self> {
        &mut self.common
    }

    fn happen(&mut self, what: Later) {
        match what {
            Later::AckDue { push, attempt } => self.ack_is_due(push, attempt),
            Later::Redeliver { push } => self.deal(push),
            Later::PingDue { connection, pings } => self.ping_is_due(connection, pings),
            Later::Close { connection } => self.tell(connection, Socket::Close),
        }
    }

    fn hear(&mut self, connection: u64, said: &Said) {
        match said {
            Said::Binary(bytes) => self.take(connection, bytes),
            _ => self.violation("a client sent a text frame"),
        }
    }

    fn deal(&mut self, push: usize) {
        self.deliver(push);
    }

    fn describe(&self) -> String {
        let unacked = self.common.unacknowledged();
        let unacked: Vec<_> = unacked.map(|push| (&push.id, &push.about)).collect();
        let posts = observe::posts(self);
        format!("posts: {posts:#?}; not acknowledged: {unacked:#?}")
    }
}

impl State {
    pub(super) fn new(options: Options, port: u16) -> Self {
        let bot = Person {
            id: BOT.to_owned(),
            name: "coding-agent".to_owned(),
            tenant: TENANT.to_owned(),
            is_bot: true,
        };
        Self {
            common: Common::default(),
            options,
            port,
            latest_ms: 0,
            people: BTreeMap::from([(bot.id.clone(), bot)]),
            chats: BTreeMap::new(),
            messages: BTreeMap::new(),
            files: BTreeMap::new(),
            uuids: BTreeMap::new(),
            tokens: BTreeMap::new(),
            meter: Meter::default(),
            tickets: BTreeMap::new(),
            used_tickets: BTreeSet::new(),
            clients: BTreeMap::new(),
            push_names: BTreeMap::new(),
        }
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn socket_url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws/v2", self.port)
    }

    /// Returns a time in ms that is not before any other.
    pub(super) fn tick(&mut self) -> u64 {
        let least = self.latest_ms + u64::from(!self.options.same_times);
        self.latest_ms = least.max(ms_ago(Duration::ZERO));
        self.latest_ms
    }

    pub(super) fn client_config(&self) -> Value {
        let timing = &self.options.timing;
        json!({
            "ReconnectCount": -1, "ReconnectInterval": timing.reconnect,
            "ReconnectNonce": timing.nonce, "PingInterval": timing.ping,
        })
    }

    /// Returns whether one of the scopes is granted.
    pub(super) fn may(&self, scopes: &[&str]) -> bool {
        scopes.iter().any(|it| self.options.scopes.contains(*it))
    }

    /// Returns whether the bot is in a chat.
    pub(super) fn bot_is_in(&self, chat: &str) -> bool {
        let chat = self.chats.get(chat);
        chat.is_some_and(|chat| chat.members.contains(BOT))
    }
}

/// Returns the time a while ago, in ms.
pub(super) fn ms_ago(age: Duration) -> u64 {
    let then = (SystemTime::now() - age).duration_since(UNIX_EPOCH);
    then.expect("after 1970").as_millis() as u64
}
