//! The lines that client and daemon speak: one JSON object a line, UTF-8, `\n` at its end.
//!
//! # A conversation
//!
//! ```text
//! client  {"type":"hello","chat":"main","name":"Mei"}
//! daemon  {"type":"welcome","protocol":1,"channel":"console","chat":"main"}
//! client  {"type":"message","id":"0199-a1","text":"what is in this folder?"}
//! daemon  {"type":"ack","id":"0199-a1","outcome":"accepted"}
//! daemon  {"type":"status","message":"0199-a1","status":"working","progress":"I look at it."}
//! daemon  {"type":"post","key":"0199-b7","reply_to":"0199-a1","settles":["0199-a1"],"kind":"answer","text":"Two files."}
//! client  {"type":"posted","key":"0199-b7"}
//! ```
//!
//! # What a client owes
//!
//! - **Hello first.** It says which chat this client is and who writes. Several clients may be
//!   attached, also to the same chat: each gets every post of its chat.
//! - **A message's `id` is the client's own** and unique for ever within its chat (a UUID). A
//!   message counts when its `ack` has come. Until then, after a `nack` or a lost connection, it
//!   is sent again *with the same id*: it is taken once, however often it comes.
//! - **One at a time, where order matters.** Messages of a client are taken in their order, but
//!   one that got a `nack` comes again behind those sent after it. A client that cares waits for
//!   the `ack` before it sends the next.
//! - **`posted` when a post is on the screen**, not before, within 30 seconds. Only then is it
//!   delivered. A client that confirms nothing, or reads nothing, is disconnected.
//! - **Remember the keys that were shown**: when a confirmation was lost, the same post comes
//!   again with the same key. It is then confirmed and not shown. That makes a repeated post
//!   harmless *as long as the client lives*. A new client does not know what an old one showed:
//!   if the old one ended between showing a post and confirming it, the new one shows it again.
//!   A client for which that matters keeps its keys on disk.
//!
//! A message is settled when a post has its id in `settles`; nothing follows for it then. An
//! answer in several parts is several posts, of which the last one settles. One without a text says
//! nothing new: what there was to say was said before. A message whose ack
//! says `refused` or `ignored` gets no answer.
//!
//! An emoji that the model puts on a message is a notice with nothing but the emoji; its key says
//! on which message: `react:thumbs_up:0199-a1`.
//!
//! A line of more than [`MAX_LINE`] bytes, or one that is no such object, is answered with
//! `error`, and the conversation goes on. Members that a side does not know are passed over.

use serde::{Deserialize, Serialize};
use tieline_channel::{
    ChatId, Conversation, Emoji, Post, PostKey, PostKind, Receipt, RefusalReason, Status,
    ThreadKey, WireId,
};

/// The version that `welcome` names. It changes when an old client would misunderstand.
pub const PROTOCOL: u32 = 1;

/// The greatest length of a line in bytes, its end not counted.
pub const MAX_LINE: usize = 1024 * 1024;

/// The greatest length in bytes of a name: a chat, a person, a message's id.
pub const MAX_NAME: usize = 200;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientLine {
    /// Which chat this is, and who writes.
    Hello {
        /// The chat.
        chat: ChatId,
        /// The person.
        name: String,
    },
    /// Somebody wrote something.
    Message {
        /// The client's own name of it.
        id: WireId,
        /// What they wrote.
        text: String,
        /// The thread in the chat, if the client has threads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<ThreadKey>,
    },
    /// A post is on the screen.
    Posted {
        /// Which.
        key: PostKey,
    },
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DaemonLine {
    /// The answer to `hello`.
    Welcome {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The channel's name in the configuration.
        channel: String,
        /// The chat that the client is now attached to.
        chat: ChatId,
    },
    /// A message is on disk.
    Ack {
        /// Which.
        id: WireId,
        /// What became of it.
        outcome: AckOutcome,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<RefusalReason>,
    },
    /// A message is not on disk: send it again, a little later.
    Nack {
        /// Which.
        id: WireId,
        /// Why not.
        reason: String,
    },
    /// Something to show.
    Post {
        /// What the client confirms, and remembers.
        key: PostKey,
        /// The thread it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<ThreadKey>,
        /// The message it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<WireId>,
        /// The messages for which nothing follows.
        settles: Vec<WireId>,
        /// What kind of thing it says.
        kind: PostKind,
        /// The text, as Markdown.
        text: String,
    },
    /// How far a message is.
    Status {
        /// Which.
        message: WireId,
        /// How far.
        status: StatusWord,
        /// The model's latest word on what it does, as Markdown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<String>,
    },
    /// A line was not understood and did nothing.
    Error {
        /// The number of the line, counted from 1 in this connection.
        line: u64,
        /// What was wrong, and where in the line.
        reason: String,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckOutcome {
    /// It is queued.
    Accepted,
    /// It had come before.
    Duplicate,
    /// It was turned away.
    Refused,
    /// It changes nothing.
    Ignored,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    /// It is on disk and waits for its turn.
    Received,
    /// Its turn runs.
    Working,
    /// It is settled with an answer.
    Done,
    /// It is settled without one.
    Failed,
}

impl DaemonLine {
    pub(crate) fn ack(id: WireId, receipt: &Receipt) -> Self {
        let (outcome, reason) = match receipt {
            Receipt::Accepted => (AckOutcome::Accepted, None),
            Receipt::Duplicate => (AckOutcome::Duplicate, None),
            Receipt::Refused(reason) => (AckOutcome::Refused, Some(*reason)),
            Receipt::Ignored => (AckOutcome::Ignored, None),
        };
        Self::Ack {
            id,
            outcome,
            reason,
        }
    }

    pub(crate) fn post(post: &Post) -> Self {
        Self::Post {
            key: post.key.clone(),
            thread: post.to.thread.clone(),
            reply_to: post.reply_to.clone(),
            settles: post.settles.clone(),
            kind: post.kind,
            text: post.text.clone(),
        }
    }

    /// Returns the line that shows an emoji on a message, and its key: the same for the same one, so
    /// that a client shows it once. It may be longer than the key of a post.
    pub(crate) fn reaction(at: &Conversation, message: &WireId, emoji: Emoji) -> (PostKey, Self) {
        let key = PostKey::new(format!("react:{}:{message}", emoji.name()));
        let line = Self::Post {
            key: key.clone(),
            thread: at.thread.clone(),
            reply_to: None,
            settles: Vec::new(),
            kind: PostKind::Notice,
            text: emoji.symbol().to_owned(),
        };
        (key, line)
    }

    pub(crate) fn status(message: &WireId, status: &Status) -> Self {
        let (status, progress) = match status {
            Status::Received => (StatusWord::Received, None),
            Status::Working { progress } => (StatusWord::Working, progress.clone()),
            Status::Done => (StatusWord::Done, None),
            Status::Failed => (StatusWord::Failed, None),
        };
        Self::Status {
            message: message.clone(),
            status,
            progress,
        }
    }
}

/// Returns `line` as it goes over the socket, with its end.
pub(crate) fn encode(line: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(line).expect("these types have no map with odd keys");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads_and_writes(line: &ClientLine, json: &str) {
        assert_eq!(encode(line), format!("{json}\n").into_bytes());
        assert_eq!(&serde_json::from_str::<ClientLine>(json).unwrap(), line);
    }

    #[track_caller]
    fn daemon_says(line: &DaemonLine, json: &str) {
        assert_eq!(encode(line), format!("{json}\n").into_bytes());
        assert_eq!(&serde_json::from_str::<DaemonLine>(json).unwrap(), line);
    }

    #[test]
    fn the_lines_are_as_documented() {
        reads_and_writes(
            &ClientLine::Hello {
                chat: ChatId::new("main"),
                name: "Mei".into(),
            },
            r#"{"type":"hello","chat":"main","name":"Mei"}"#,
        );
        reads_and_writes(
            &ClientLine::Message {
                id: WireId::new("a1"),
                text: "what?".into(),
                thread: None,
            },
            r#"{"type":"message","id":"a1","text":"what?"}"#,
        );
        reads_and_writes(
            &ClientLine::Posted {
                key: PostKey::new("b7"),
            },
            r#"{"type":"posted","key":"b7"}"#,
        );
        daemon_says(
            &DaemonLine::Welcome {
                protocol: PROTOCOL,
                channel: "console".into(),
                chat: ChatId::new("main"),
            },
            r#"{"type":"welcome","protocol":1,"channel":"console","chat":"main"}"#,
        );
        daemon_says(
            &DaemonLine::ack(WireId::new("a1"), &Receipt::Accepted),
            r#"{"type":"ack","id":"a1","outcome":"accepted"}"#,
        );
        daemon_says(
            &DaemonLine::ack(
                WireId::new("a1"),
                &Receipt::Refused(RefusalReason::UserNotListed),
            ),
            r#"{"type":"ack","id":"a1","outcome":"refused","reason":"user_not_listed"}"#,
        );
        daemon_says(
            &DaemonLine::status(
                &WireId::new("a1"),
                &Status::Working {
                    progress: Some("I look at it.".into()),
                },
            ),
            r#"{"type":"status","message":"a1","status":"working","progress":"I look at it."}"#,
        );
        daemon_says(
            &DaemonLine::Post {
                key: PostKey::new("b7"),
                thread: None,
                reply_to: Some(WireId::new("a1")),
                settles: vec![WireId::new("a1")],
                kind: PostKind::Answer,
                text: "Two files.".into(),
            },
            r#"{"type":"post","key":"b7","reply_to":"a1","settles":["a1"],"kind":"answer","text":"Two files."}"#,
        );
        let at = Conversation {
            chat: ChatId::new("main"),
            thread: None,
        };
        let (key, line) = DaemonLine::reaction(&at, &WireId::new("a1"), Emoji::Tada);
        assert_eq!(key, PostKey::new("react:tada:a1"));
        daemon_says(
            &line,
            r#"{"type":"post","key":"react:tada:a1","settles":[],"kind":"notice","text":"🎉"}"#,
        );
    }

    #[test]
    fn members_of_a_later_version_are_passed_over() {
        let line: ClientLine =
            serde_json::from_str(r#"{"type":"posted","key":"b7","at":"12:00","x":{}}"#).unwrap();
        assert_eq!(
            line,
            ClientLine::Posted {
                key: PostKey::new("b7")
            }
        );
    }
}
