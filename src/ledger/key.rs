//! The trees and the keys in them. Knows no values.

use tieline_channel::{ChannelId, Conversation, EventKey, EventKind, UserId};

use crate::id::{
    ApprovalId, CompletionId, DispatcherId, LaneId, MessageId, OutboxId, RunId, SessionId, TaskId,
    TeammateId, ThreadId, TurnKey,
};
use crate::ledger::error::LedgerError;
use crate::ledger::keyed::IdempotencyKey;
use crate::ledger::story::About;
use crate::ledger::time;

/// How long one textual part of a key may be, in bytes. Names of platforms are far shorter.
const MAX_PART: usize = 512;

/// The trees of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// `schema` → its version; `state` → counters; `restart` → the last that was ordered; `told`,
    /// channel, chat, thread → a conversation that waits for the end of one.
    Meta,
    /// Message id → message.
    Messages,
    /// Channel, kind, platform's name → message id.
    Seen,
    /// Lane, place → message id.
    Queue,
    /// Lane → lane.
    Lanes,
    /// Lane → its open turn.
    Turns,
    /// Lane, number → a thread it lost.
    Lost,
    /// Outbox id → entry.
    Outbox,
    /// Channel, number → id of an entry that is not settled.
    Due,
    /// Dispatcher → dispatcher.
    Dispatchers,
    /// Class, time, key → nothing: what may be forgotten, and from when on.
    Expiry,
    /// Channel, chat, thread → what is known of a conversation.
    Conversations,
    /// Channel, user → when they wrote lately.
    Senders,
    /// Dispatcher, channel, user → a one-time code that waits for an administrator.
    Invitations,
    /// Dispatcher, channel, user → who was let in.
    Paired,
    /// Channel → up to when it has been read back.
    Marks,
    /// Completion id → completion.
    Completions,
    /// Dispatcher, producer's name of a completion → completion id.
    Reported,
    /// Lane, place → id of a completion that waits.
    Arrivals,
    /// Codex thread → the lane that has it.
    Threads,
    /// Lane, turn, codex's name of a call → the call of a tool, until the turn is settled.
    Calls,
    /// Teammate id → teammate.
    Teammates,
    /// Dispatcher, name → teammate id.
    Names,
    /// Task id → task.
    Tasks,
    /// Lane, number → id of a task that was given to it, settled or not.
    Assigned,
    /// Task id → what came of it.
    Results,
    /// Lane → why its turns do not get through, and who was told.
    Troubles,
    /// Dispatcher, operation, idempotency key → what was made under it.
    Keyed,
    /// Run id → one-off run.
    Runs,
    /// Dispatcher, number → id of a run that waits or was begun.
    OpenRuns,
    /// Run id → what came of it.
    Outcomes,
    /// Session id → session.
    Sessions,
    /// Lane, number → what is wanted of its thread.
    Orders,
    /// Lane, thread → a thread that it has or can go back to.
    Kept,
    /// Turn → the turn, when it is over.
    Ended,
    /// Turn or message, outbox id → nothing: what was said about it.
    Said,
    /// Approval id → approval.
    Approvals,
    /// Lane, turn, codex's name of a request → approval id, until the turn is settled.
    Requests,
    /// Dispatcher, number → id of an approval that is open.
    Undecided,
}

impl Table {
    /// All trees, in the order of their discriminants.
    pub(super) const ALL: [Self; 39] = [
        Self::Meta,
        Self::Messages,
        Self::Seen,
        Self::Queue,
        Self::Lanes,
        Self::Turns,
        Self::Lost,
        Self::Outbox,
        Self::Due,
        Self::Dispatchers,
        Self::Expiry,
        Self::Conversations,
        Self::Senders,
        Self::Invitations,
        Self::Paired,
        Self::Marks,
        Self::Completions,
        Self::Reported,
        Self::Arrivals,
        Self::Threads,
        Self::Calls,
        Self::Teammates,
        Self::Names,
        Self::Tasks,
        Self::Assigned,
        Self::Results,
        Self::Troubles,
        Self::Keyed,
        Self::Runs,
        Self::OpenRuns,
        Self::Outcomes,
        Self::Sessions,
        Self::Orders,
        Self::Kept,
        Self::Ended,
        Self::Said,
        Self::Approvals,
        Self::Requests,
        Self::Undecided,
    ];

    /// Returns the name of the tree on disk.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Messages => "messages",
            Self::Seen => "seen",
            Self::Queue => "queue",
            Self::Lanes => "lanes",
            Self::Turns => "turns",
            Self::Lost => "lost",
            Self::Outbox => "outbox",
            Self::Due => "due",
            Self::Dispatchers => "dispatchers",
            Self::Expiry => "expiry",
            Self::Conversations => "conversations",
            Self::Senders => "senders",
            Self::Invitations => "invitations",
            Self::Paired => "paired",
            Self::Marks => "marks",
            Self::Completions => "completions",
            Self::Reported => "reported",
            Self::Arrivals => "arrivals",
            Self::Threads => "threads",
            Self::Calls => "calls",
            Self::Teammates => "teammates",
            Self::Names => "names",
            Self::Tasks => "tasks",
            Self::Assigned => "assigned",
            Self::Results => "results",
            Self::Troubles => "troubles",
            Self::Keyed => "keyed",
            Self::Runs => "runs",
            Self::OpenRuns => "open_runs",
            Self::Outcomes => "outcomes",
            Self::Sessions => "sessions",
            Self::Orders => "orders",
            Self::Kept => "kept",
            Self::Ended => "ended",
            Self::Said => "said",
            Self::Approvals => "approvals",
            Self::Requests => "requests",
            Self::Undecided => "undecided",
        }
    }
}

/// A key, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(Vec<u8>);

impl Key {
    /// Returns the beginning of every key.
    pub(super) fn first() -> Self {
        Self(Vec::new())
    }

    /// Takes a key back from the database.
    pub(super) fn from_stored(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends text with its length, so that no text is the beginning of another.
    fn text(mut self, what: &'static str, text: &str) -> Result<Self, LedgerError> {
        let length = u16::try_from(text.len())
            .ok()
            .filter(|length| usize::from(*length) <= MAX_PART)
            .ok_or(LedgerError::TooLarge {
                what,
                bytes: text.len(),
                limit: MAX_PART,
            })?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        Ok(self)
    }

    /// Appends a number so that keys sort by it.
    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends bytes as they are.
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// Returns the key of the schema version.
pub(super) fn schema() -> Key {
    Key::first().bytes(b"schema")
}

/// Returns the key of the counters.
pub(super) fn state() -> Key {
    Key::first().bytes(b"state")
}

/// Returns the key of the restart that was ordered last.
pub(super) fn restart() -> Key {
    Key::first().bytes(b"restart")
}

/// Returns the beginning of the keys of a channel's conversations that wait for the end of a restart.
pub(super) fn told_in(channel: &ChannelId) -> Result<Key, LedgerError> {
    Ok(Key::first()
        .bytes(b"told")
        .bytes(self::channel(channel)?.as_bytes()))
}

/// Returns the key of a conversation that waits for the end of a restart.
pub(super) fn told(channel: &ChannelId, conversation: &Conversation) -> Result<Key, LedgerError> {
    let key = self::conversation(channel, conversation)?;
    Ok(Key::first().bytes(b"told").bytes(key.as_bytes()))
}

/// Returns the key of a message.
pub(super) fn message(id: MessageId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of an entry of the outbox.
pub(super) fn post(id: OutboxId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of an approval.
pub(super) fn approval(id: ApprovalId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of an approval that is open.
pub(super) fn undecided(dispatcher: &DispatcherId, number: u64) -> Result<Key, LedgerError> {
    Ok(self::dispatcher(dispatcher)?.number(number))
}

/// Returns the key of a completion.
pub(super) fn completion(id: CompletionId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of a teammate.
pub(super) fn teammate(id: TeammateId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of a teammate's name.
pub(super) fn name(dispatcher: &DispatcherId, name: &str) -> Result<Key, LedgerError> {
    self::dispatcher(dispatcher)?.text("the teammate's name", name)
}

/// Returns the key of a session.
pub(super) fn session(id: SessionId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of a task, and of what came of it.
pub(super) fn task(id: TaskId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the deduplication key of a completion: its producer's name of it.
pub(super) fn reported(dispatcher: &DispatcherId, name: &str) -> Result<Key, LedgerError> {
    self::dispatcher(dispatcher)?.text("the completion's name", name)
}

/// Returns the deduplication key of an event.
pub(super) fn seen(channel: &ChannelId, event: &EventKey) -> Result<Key, LedgerError> {
    let kind = match event.kind {
        EventKind::Message => b'm',
        EventKind::Edit => b'e',
        EventKind::Deletion => b'd',
        EventKind::Press => b'p',
        EventKind::Command => b'c',
    };
    Key::first()
        .text("the channel's name", channel.as_str())?
        .bytes(&[kind])
        .text("the event's name", &event.id)
}

/// Returns the key of a lane, which also begins the keys of its queue, its threads, its tasks, its
/// orders and the completions that wait for it.
pub(super) fn lane(lane: &LaneId) -> Result<Key, LedgerError> {
    Key::first().text("the lane's name", lane.as_str())
}

/// Returns the key of a place in a lane's queue, among its tasks, orders or completions, or of one
/// of its lost threads.
pub(super) fn in_lane(lane: &LaneId, number: u64) -> Result<Key, LedgerError> {
    Ok(self::lane(lane)?.number(number))
}

/// Returns the key of a thread that a lane has or can go back to.
pub(super) fn kept(lane: &LaneId, thread: &ThreadId) -> Result<Key, LedgerError> {
    self::lane(lane)?.text("the thread's name", thread.as_str())
}

/// Returns the key of a thread.
pub(super) fn thread(thread: &ThreadId) -> Result<Key, LedgerError> {
    Key::first().text("the thread's name", thread.as_str())
}

/// Returns the beginning of the keys of a turn's calls.
pub(super) fn calls(lane: &LaneId, turn: TurnKey) -> Result<Key, LedgerError> {
    Ok(self::lane(lane)?.bytes(turn.as_bytes()))
}

/// Returns the key of a call.
pub(super) fn call(lane: &LaneId, turn: TurnKey, call: &str) -> Result<Key, LedgerError> {
    calls(lane, turn)?.text("the call's name", call)
}

/// Returns the beginning of the keys of a channel's unsettled entries.
pub(super) fn channel(channel: &ChannelId) -> Result<Key, LedgerError> {
    Key::first().text("the channel's name", channel.as_str())
}

/// Returns the key of an unsettled entry.
pub(super) fn due(channel: &ChannelId, number: u64) -> Result<Key, LedgerError> {
    Ok(self::channel(channel)?.number(number))
}

/// Returns the key of a conversation.
pub(super) fn conversation(
    channel: &ChannelId,
    conversation: &Conversation,
) -> Result<Key, LedgerError> {
    let key = self::channel(channel)?.text("the chat's name", conversation.chat.as_str())?;
    match &conversation.thread {
        None => Ok(key),
        Some(thread) => key.text("the thread's name", thread.as_str()),
    }
}

/// Returns the key of somebody who writes.
pub(super) fn sender(channel: &ChannelId, user: &UserId) -> Result<Key, LedgerError> {
    self::channel(channel)?.text("the sender's name", user.as_str())
}

/// Returns the key of somebody who writes to a dispatcher.
pub(super) fn person(
    dispatcher: &DispatcherId,
    channel: &ChannelId,
    user: &UserId,
) -> Result<Key, LedgerError> {
    self::dispatcher(dispatcher)?
        .text("the channel's name", channel.as_str())?
        .text("the sender's name", user.as_str())
}

/// Returns the key of a dispatcher, which also begins the keys of its people.
pub(super) fn dispatcher(dispatcher: &DispatcherId) -> Result<Key, LedgerError> {
    Key::first().text("the dispatcher's name", dispatcher.as_str())
}

/// Returns the key of a turn that is over.
pub(super) fn ended(turn: TurnKey) -> Key {
    Key::first().bytes(turn.as_bytes())
}

/// Returns the beginning of the keys of what was said about a turn or a message.
pub(super) fn said(about: About) -> Key {
    let (kind, id) = match &about {
        About::Turn(turn) => (b't', turn.as_bytes()),
        About::Message(message) => (b'm', message.as_bytes()),
    };
    Key::first().bytes(&[kind]).bytes(id)
}

/// Returns the key of something that was said about a turn or a message.
pub(super) fn saying(about: About, post: OutboxId) -> Key {
    said(about).bytes(post.as_bytes())
}

/// Returns the key of what was made under an idempotency key.
pub(super) fn keyed(key: &IdempotencyKey) -> Result<Key, LedgerError> {
    dispatcher(&key.dispatcher)?
        .text("the operation's name", key.operation)?
        .text("the idempotency key", &key.key)
}

/// Returns the key of a run, and of what came of it.
pub(super) fn run(id: RunId) -> Key {
    Key::first().bytes(id.as_bytes())
}

/// Returns the key of a run that is not over.
pub(super) fn open_run(dispatcher: &DispatcherId, number: u64) -> Result<Key, LedgerError> {
    Ok(self::dispatcher(dispatcher)?.number(number))
}

/// What kind of thing may be forgotten, by the first byte of its expiry keys: the compiler sees to it
/// that no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// A settled message.
    Message = b'm',
    /// A deduplication key.
    Seen = b's',
    /// A settled entry of the outbox.
    Post = b'p',
    /// A conversation.
    Conversation = b'c',
    /// When somebody wrote lately.
    Sender = b'w',
    /// A settled completion.
    Completion = b'r',
    /// A teammate that was closed.
    Teammate = b't',
    /// An idempotency key.
    Keyed = b'k',
    /// A session that was closed, or has failed.
    Session = b'n',
    /// A turn that is over.
    Ended = b'e',
    /// A run that is over.
    Run = b'x',
    /// An approval that is settled.
    Approval = b'a',
}

/// Returns the beginning of the expiry keys of a class.
pub(super) fn expiring(class: Class) -> Key {
    Key::first().bytes(&[class as u8])
}

/// Returns the expiry key of the thing at `target`, whose time counts from `since`.
pub(super) fn expiry(class: Class, since: std::time::SystemTime, target: &Key) -> Key {
    expiring(class)
        .number(time::to_millis(since))
        .bytes(target.as_bytes())
}

/// Takes an expiry key apart: milliseconds since 1970, and the key of the thing.
pub(super) fn split_expiry(key: &Key) -> Option<(u64, Key)> {
    let (_, rest) = key.0.split_first()?;
    let (since, target) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*since), Key(target.to_vec())))
}
