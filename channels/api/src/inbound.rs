//! What comes in from a platform, in one shape for all of them.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::channel::Intake;
use crate::error::{SendError, WithCauses};
use crate::id::{ChatId, ThreadKey, UserId, WireId};

/// One thing that happened on a platform.
///
/// The same thing may arrive several times (redelivery, two subscriptions, backfill); it is the
/// same when its [`EventKey`] is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What makes this event the same as another delivery of it.
    pub key: EventKey,
    /// What happened.
    pub happening: Happening,
}

/// The part of the deduplication tuple that a channel knows; the channel's id completes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventKey {
    /// The kind of thing that is named.
    pub kind: EventKind,
    /// The platform's name of it, unique per kind within the channel. For messages it must be
    /// derived from the chat and the message, so that backfill and live events coincide.
    pub id: String,
}

/// The kinds of things that events name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A message.
    Message,
    /// One edit of a message.
    Edit,
    /// The deletion of a message.
    Deletion,
    /// One press of a button.
    Press,
    /// One use of a platform's slash command.
    Command,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// Somebody wrote something.
    Message(Message),
    /// A message has a new text. It counts while the message still waits.
    Edited {
        /// The key of the event that brought the message.
        target: EventKey,
        /// The message as it is now.
        message: Message,
    },
    /// A message is gone. It counts while the message still waits.
    Deleted {
        /// Where it was.
        conversation: Conversation,
        /// The key of the event that brought the message.
        target: EventKey,
    },
    /// Somebody pressed a button of ours.
    Pressed(Press),
}

/// A message that somebody wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The platform's name of it.
    pub id: WireId,
    /// Where it was written, and where an answer goes.
    pub conversation: Conversation,
    /// Whether the chat has one person or many.
    pub chat_kind: ChatKind,
    /// The chat's name, if the platform tells.
    pub chat_name: Option<String>,
    /// Who wrote it.
    pub sender: Sender,
    /// When it was written, by the platform's clock.
    pub sent_at: SystemTime,
    /// The text, in order.
    pub body: Vec<Segment>,
    /// Whether it speaks to us by itself: a direct message, or one that mentions us. Whether it
    /// goes on in a thread that we take part in is not for the channel to know.
    pub addressed: bool,
    /// Whether it was written into a thread that was there before it, so that
    /// [`Channel::earlier`](crate::Channel::earlier) may have something to tell.
    #[serde(default)]
    pub in_thread: bool,
    /// The message it answers to, if it quotes one.
    pub quote: Option<Quote>,
    /// Files and images.
    pub attachments: Vec<Attachment>,
}

impl Message {
    /// Returns the text as plain text, mentions as `@name`.
    pub fn plain_text(&self) -> String {
        plain_text(&self.body)
    }
}

/// Returns a body as plain text, mentions as `@name`.
pub fn plain_text(body: &[Segment]) -> String {
    let mut text = String::new();
    for segment in body {
        match segment {
            Segment::Text(part) => text.push_str(part),
            Segment::Mention { user, name } => {
                text.push('@');
                text.push_str(name.as_deref().unwrap_or(user.as_str()));
            }
        }
    }
    text
}

/// Returns at most `max` characters of a text, and a sign that there was more.
pub fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Where something was said: a chat, and a thread in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Conversation {
    /// The chat.
    pub chat: ChatId,
    /// The thread or topic in it.
    pub thread: Option<ThreadKey>,
}

/// Whether a chat has one person or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatKind {
    /// One person and us.
    Direct,
    /// Several people.
    Group,
}

/// Who wrote a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The platform's name of them.
    pub id: UserId,
    /// The name people see, if the platform tells.
    pub name: Option<String>,
    /// Person or bot.
    pub kind: SenderKind,
}

/// Person or bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderKind {
    /// A person.
    Person,
    /// Another program. A channel never reports its own posts.
    Bot,
    /// A person of another organisation, in a chat that is shared with it.
    Outsider,
}

/// A piece of a message's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Text as Markdown.
    Text(String),
    /// Somebody is named.
    Mention {
        /// Who.
        user: UserId,
        /// The name people see.
        name: Option<String>,
    },
}

/// What somebody said in a thread before we were spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The platform's name of the message.
    pub message: WireId,
    /// Who wrote it. Posts of ours are from a [`SenderKind::Bot`].
    pub sender: Sender,
    /// When it was written, by the platform's clock.
    pub sent_at: SystemTime,
    /// Its text, mentions as `@name`, cut to what is useful.
    pub text: String,
}

/// A message that another one quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The quoted message.
    pub message: WireId,
    /// Who wrote it, if known.
    pub sender: Option<UserId>,
    /// Its text, cut to what is useful.
    pub text: String,
}

/// A file that came with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What the channel needs to fetch it; opaque to everybody else. Holds no secret.
    pub reference: String,
    /// The file's name as the sender gave it. Not safe as a path.
    pub name: String,
    /// The media type, if the platform tells.
    pub mime: Option<String>,
    /// The size in bytes, if the platform tells.
    pub bytes: Option<u64>,
    /// Where it lies, once fetched.
    pub path: Option<PathBuf>,
}

/// Somebody pressed a button of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Press {
    /// Where the button is.
    pub conversation: Conversation,
    /// The message that carries it.
    pub message: WireId,
    /// Who pressed it.
    pub sender: Sender,
    /// The value the button was made with.
    pub value: String,
}

/// What reading back found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaughtUp {
    /// How many messages had not come by the connection: those whose [`Receipt`] was not
    /// [`Receipt::Duplicate`].
    pub missed: u64,
    /// When the oldest of them was written, by the platform's clock.
    pub oldest_missed: Option<SystemTime>,
    /// What cannot be read until somebody has changed something, each in one sentence with what to
    /// do: a missing permission, say.
    pub unreadable: Vec<String>,
}

impl CaughtUp {
    /// Hands in an event that was read back, and counts it.
    ///
    /// # Errors
    ///
    /// When it was not taken.
    pub async fn hand_in(&mut self, event: Event, intake: &dyn Intake) -> Result<(), SendError> {
        let sent_at = match &event.happening {
            Happening::Message(message) => Some(message.sent_at),
            _ => None,
        };
        match intake.accept(event).await {
            Ok(Receipt::Accepted | Receipt::Refused(_)) => {
                self.missed += 1;
                self.oldest_missed = self.oldest_missed.into_iter().chain(sent_at).min();
                Ok(())
            }
            Ok(Receipt::Duplicate | Receipt::Ignored) => Ok(()),
            Err(error) => Err(SendError::Again {
                after: None,
                reason: WithCauses(&error).to_string(),
            }),
        }
    }

    /// Says once that something cannot be read.
    pub fn cannot_read(&mut self, sentence: String) {
        if !self.unreadable.contains(&sentence) {
            self.unreadable.push(sentence);
        }
    }
}

/// What became of an event that [`Intake::accept`] took.
///
/// Each of these is on disk and may be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is queued.
    Accepted,
    /// It was seen before.
    Duplicate,
    /// The gate turned it away; nobody is told unless the reason says so.
    Refused(RefusalReason),
    /// It changes nothing: an edit of a message that is no longer waiting, say.
    Ignored,
}

/// Why the gate turned a message away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// Direct messages are off.
    DirectOff,
    /// The sender is not listed.
    UserNotListed,
    /// The sender has not been paired yet.
    NotPaired,
    /// Messages in groups are off.
    GroupsOff,
    /// The chat is not listed.
    ChatNotListed,
    /// Nobody mentioned us.
    NotMentioned,
    /// It comes from a bot.
    Bot,
    /// It comes from a person of another organisation.
    Outsider,
    /// Its sender writes more than is allowed.
    TooOften,
    /// There is nothing in it.
    Empty,
    /// It is longer than what can become a turn.
    TooLong,
    /// What it asks for is not for people of its sender's role.
    Role,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DirectOff => "direct messages are switched off",
            Self::UserNotListed => "this user is not on the list",
            Self::NotPaired => "this user is not paired yet",
            Self::GroupsOff => "groups are switched off",
            Self::ChatNotListed => "this chat is not on the list",
            Self::NotMentioned => "it does not mention the bot",
            Self::Bot => "it comes from a program",
            Self::Outsider => "it comes from another organisation",
            Self::TooOften => "there were too many messages in a short time",
            Self::Empty => "there is nothing in it",
            Self::TooLong => "it is too long; put it into a file and name the file",
            Self::Role => "it asks for more than this user may",
        })
    }
}
