//! Everything that the mock knows, behind one lock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Said;

use super::super::mock::connections::Socket;
use super::super::mock::{Common, Knowledge};
use super::delivery::{EnvelopeKind, Sent};
use super::files::{StoredFile, Upload};
use super::options::Options;
use super::rates::Meter;
use super::world::ChannelKind;
use super::{Args, BOT, BOT_USER, TEAM, observe};

/// Everything that the mock knows.
pub(crate) struct State {
    pub(super) common: Common<Self>,
    pub(super) options: Options,
    port: u16,
    elsewhere_port: u16,
    pub(super) started_at: Instant,
    /// The latest `ts`, as seconds and microseconds.
    latest_ts: (u64, u64),
    pub(super) users: BTreeMap<String, User>,
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) files: BTreeMap<String, StoredFile>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) statuses: BTreeMap<(String, String), NativeStatus>,
    /// Every status that was set, in order: channel, thread, text.
    pub(super) status_log: Vec<(String, String, String)>,
    /// What was posted to a `response_url`.
    pub(super) responses: Vec<(String, Value)>,
    pub(super) meter: Meter,
    // Sockets
    pub(super) tickets: BTreeSet<String>,
    pub(super) used_tickets: BTreeSet<String>,
    pub(super) link_disabled: bool,
    /// Pushes that wait for a connection.
    pub(super) waiting: VecDeque<usize>,
    pub(super) n_mentions: u64,
}

/// A person or bot.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) team: String,
    /// The id as a bot, for bots.
    pub(super) bot_id: Option<String>,
}

/// A chat.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: ChannelKind,
    pub(super) members: BTreeSet<String>,
    pub(super) archived: bool,
    pub(super) shared: bool,
    /// By `ts`, which sorts by time.
    pub(super) messages: BTreeMap<String, Message>,
}

/// A message, as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) ts: String,
    pub(super) thread_ts: Option<String>,
    pub(super) user: String,
    pub(super) bot_id: Option<String>,
    pub(super) subtype: Option<&'static str>,
    pub(super) text: String,
    /// As they were sent.
    pub(super) blocks: Vec<Value>,
    pub(super) attachments: Vec<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) files: Vec<String>,
    /// Who edited it, and when.
    pub(super) edited: Option<(String, String)>,
    /// Name and who.
    pub(super) reactions: Vec<(String, String)>,
    /// A deleted root that has replies leaves a placeholder.
    pub(super) tombstone: bool,
}

/// What a thread shows as "<App> <status>".
#[derive(Clone, Debug)]
pub(super) struct NativeStatus {
    pub(super) text: String,
    pub(super) until: Instant,
}

/// What happens after a while.
#[derive(Clone, Debug)]
pub(crate) enum Later {
    /// An acknowledgement is due.
    AckDue { push: usize, attempt: usize },
    /// A delivery is tried again.
    Retry { push: usize },
    /// A completed upload appears as a message.
    Share {
        channel: String,
        thread_ts: Option<String>,
        text: String,
        files: Vec<String>,
    },
    /// A status goes out.
    StatusEnds,
    /// A ping is due.
    Ping { connection: u64 },
    /// A connection is told that it ends soon.
    Refresh { connection: u64 },
    /// A connection is told that it ends now.
    RefreshNow { connection: u64 },
    /// A connection ends.
    Close { connection: u64 },
}

impl Knowledge for State {
    type Later = Later;
    type Args = Args;
    type Error = &'static str;
    type Kind = EnvelopeKind;
    type Sent = Sent;

    const LEAVES_TCP_OPEN: bool = true;

    fn common(&self) -> &Common<Self> {
        &self.common
    }

    fn common_mut(&mut self) -> &mut Common<Self> {
        &mut self.common
    }

    fn happen(&mut self, what: Later) {
        match what {
            Later::AckDue { push, attempt } => self.ack_is_due(push, attempt),
            Later::Retry { push } => self.deal(push),
            Later::Share {
                channel,
                thread_ts,
                text,
                files,
            } => self.share(&channel, thread_ts, text, files),
            Later::StatusEnds => {
                let now = Instant::now();
                self.statuses.retain(|_, status| status.until > now);
            }
            Later::Ping { connection } => self.keep_alive(connection),
            Later::Refresh { connection } => self.refresh(connection),
            Later::RefreshNow { connection } => self.refresh_now(connection),
            Later::Close { connection } => self.tell(connection, Socket::Close),
        }
    }

    fn hear(&mut self, connection: u64, said: &Said) {
        match said.to_text() {
            Ok(text) if said.is_text() => self.take_ack(connection, text),
            _ => self.violation("a client sent a binary frame"),
        }
    }

    fn deal(&mut self, push: usize) {
        self.deliver(push);
    }

    fn describe(&self) -> String {
        format!("posts: {:#?}", observe::posts(self))
    }
}

impl State {
    pub(super) fn new(options: Options, port: u16, elsewhere_port: u16) -> Self {
        let bot = User {
            id: BOT_USER.to_owned(),
            name: "coding-agent".to_owned(),
            team: TEAM.to_owned(),
            bot_id: Some(BOT.to_owned()),
        };
        Self {
            common: Common::default(),
            options,
            port,
            elsewhere_port,
            started_at: Instant::now(),
            latest_ts: (0, 0),
            users: BTreeMap::from([(bot.id.clone(), bot)]),
            channels: BTreeMap::new(),
            files: BTreeMap::new(),
            uploads: BTreeMap::new(),
            statuses: BTreeMap::new(),
            status_log: Vec::new(),
            responses: Vec::new(),
            meter: Meter::default(),
            tickets: BTreeSet::new(),
            used_tickets: BTreeSet::new(),
            link_disabled: false,
            waiting: VecDeque::new(),
            n_mentions: 0,
        }
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn socket_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// A host that is not Slack's.
    pub(super) fn elsewhere_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.elsewhere_port)
    }

    /// Returns a `ts` that is later than all before.
    pub(super) fn tick(&mut self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let now = (now.as_secs(), u64::from(now.subsec_micros()));
        let (seconds, micros) = self.latest_ts;
        let next = if micros == 999_999 {
            (seconds + 1, 0)
        } else {
            (seconds, micros + 1)
        };
        self.latest_ts = now.max(next);
        ts_of(self.latest_ts)
    }

    /// Returns a `ts` in the past that no message of the channel has.
    pub(super) fn tick_ago(&mut self, channel: &str, age: Duration) -> String {
        let then = (SystemTime::now() - age)
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let mut at = (then.as_secs(), u64::from(then.subsec_micros()));
        while self.channels[channel].messages.contains_key(&ts_of(at)) {
            at.1 += 1;
        }
        ts_of(at)
    }

    /// Returns whether the bot is in a channel.
    pub(super) fn bot_is_in(&self, channel: &Channel) -> bool {
        channel.members.contains(BOT_USER)
    }
}

fn ts_of((seconds, micros): (u64, u64)) -> String {
    format!("{seconds:010}.{micros:06}")
}
