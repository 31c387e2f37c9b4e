//! An entry of the outbox and its states.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{Button, ChannelId, Conversation, Emoji, PostKind, WireId};

use crate::id::{ApprovalId, OutboxId};
use crate::ledger::error::IllegalTransition;
use crate::ledger::time;

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPost {
    /// The channel that says it.
    pub channel: ChannelId,
    /// Where it goes.
    pub to: Conversation,
    /// The message it answers.
    pub reply_to: Option<WireId>,
    /// The messages that are settled once it is posted.
    pub settles: Vec<WireId>,
    /// What kind of thing it says.
    pub kind: PostKind,
    /// The text, as Markdown.
    pub text: String,
    /// Buttons below the text.
    pub buttons: Vec<Button>,
    /// The text goes as a file: this is its name, to which the attempt adds a part of the entry's
    /// id before the extension, so that no other post's file has the same.
    #[serde(default)]
    pub as_file: Option<String>,
    /// A file that goes with it.
    #[serde(default)]
    pub file: Option<SentFile>,
    /// It is no message, but this emoji on one; nothing else of it goes out.
    #[serde(default)]
    pub reaction: Option<Reaction>,
    /// It is no message of its own: a post before it is to show what became of what it asks for.
    #[serde(default)]
    pub edit: Option<Edit>,
}

/// That a post is to show what became of what it asks for. What it is to show is looked up when it is
/// done, so that it is the latest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The post that asks.
    pub post: OutboxId,
    /// What it asks for.
    pub approval: ApprovalId,
    /// Whoever has settled it is told by a post of their own: where posts cannot be changed, that is
    /// enough.
    pub is_answered: bool,
}

/// An emoji on a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The message.
    pub message: WireId,
    /// The emoji.
    pub emoji: Emoji,
}

/// A file that goes with a post: a copy of ours, which stays until the post is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentFile {
    /// The entry that the post becomes, so that the file tells whether it is still needed.
    pub owner: OutboxId,
    /// The name that people see, to which the attempt adds as it does to
    /// [`as_file`](NewPost::as_file).
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// An entry of the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Its name.
    pub id: OutboxId,
    /// What it says.
    pub post: NewPost,
    /// How far it is.
    pub state: PostState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was enqueued.
    #[serde(with = "time::millis")]
    pub created_at: SystemTime,
    /// When it may be tried again, if it was put off; while it is sent once more although an
    /// earlier attempt is unclear, when that was begun.
    #[serde(with = "time::optional_millis")]
    pub not_before: Option<SystemTime>,
    /// What went wrong last; cut to 512 bytes.
    pub last_error: Option<String>,
}

/// How far an entry of the outbox is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostState {
    /// The platform certainly does not have it.
    Pending,
    /// The platform may have it.
    Sending {
        /// When it was first tried since the platform certainly did not have it.
        #[serde(with = "time::millis")]
        since: SystemTime,
    },
    /// The platform has it.
    Delivered {
        /// The platform's name of it; of a reaction, the message that it is on.
        wire: WireId,
        /// When the platform said so.
        #[serde(with = "time::millis")]
        at: SystemTime,
    },
    /// The platform will never have it.
    Failed {
        /// Why.
        reason: String,
        /// When that was found.
        #[serde(with = "time::millis")]
        at: SystemTime,
    },
    /// Nobody can say whether the platform has it, and it was given up.
    Unclear {
        /// Why.
        reason: String,
        /// When it was given up.
        #[serde(with = "time::millis")]
        at: SystemTime,
    },
}

/// What can happen to an entry of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostEvent {
    /// It is about to be sent. Again while sending: after a look-up, or because a repeat is
    /// harmless on this platform.
    Attempt {
        /// When.
        at: SystemTime,
    },
    /// The platform has it.
    Delivered {
        /// The platform's name of it.
        wire: WireId,
        /// When the platform said so.
        at: SystemTime,
    },
    /// It was certainly not sent, by this attempt or any before it, and may work later.
    Again {
        /// Not earlier than this.
        not_before: SystemTime,
        /// What happened.
        reason: String,
    },
    /// It is put off; whether the platform has it is as unclear as before.
    PutOff {
        /// Not earlier than this.
        not_before: SystemTime,
        /// What happened.
        reason: String,
    },
    /// It was certainly not sent and never will be.
    Failed {
        /// Why.
        reason: String,
        /// When that was found.
        at: SystemTime,
    },
    /// Nobody can say whether it was sent, and it is given up.
    Unclear {
        /// Why.
        reason: String,
        /// When it was given up.
        at: SystemTime,
    },
}

impl PostState {
    /// Returns the state after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: &PostEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Pending, PostEvent::Attempt { at }) => Ok(Self::Sending { since: *at }),
            (Self::Sending { since }, PostEvent::Attempt { .. }) => Ok(Self::Sending { since }),
            (Self::Sending { .. }, PostEvent::Delivered { wire, at }) => Ok(Self::Delivered {
                wire: wire.clone(),
                at: *at,
            }),
            (Self::Pending | Self::Sending { .. }, PostEvent::Again { .. }) => Ok(Self::Pending),
            (state @ (Self::Pending | Self::Sending { .. }), PostEvent::PutOff { .. }) => Ok(state),
            (Self::Pending | Self::Sending { .. }, PostEvent::Failed { reason, at }) => {
                Ok(Self::Failed {
                    reason: reason.clone(),
                    at: *at,
                })
            }
            (Self::Sending { .. }, PostEvent::Unclear { reason, at }) => Ok(Self::Unclear {
                reason: reason.clone(),
                at: *at,
            }),
            (state, event) => Err(IllegalTransition::new(&state, event)),
        }
    }

    /// Returns whether nothing more can happen to the entry.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Pending | Self::Sending { .. } => false,
            Self::Delivered { .. } | Self::Failed { .. } | Self::Unclear { .. } => true,
        }
    }
}

impl OutboxEntry {
    /// Returns the entry after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: PostEvent) -> Result<Self, IllegalTransition> {
        let was_unclear = matches!(self.state, PostState::Sending { .. });
        let state = self.state.on(&event)?;
        let mut next = Self { state, ..self };
        match event {
            PostEvent::Attempt { at } => {
                next.attempts = next.attempts.saturating_add(1);
                next.not_before = was_unclear.then(|| time::cut(at));
            }
            PostEvent::Delivered { .. } => next.not_before = None,
            PostEvent::Again { not_before, reason } | PostEvent::PutOff { not_before, reason } => {
                next.not_before = Some(time::cut(not_before));
                next.last_error = Some(reason);
            }
            PostEvent::Failed { reason, .. } | PostEvent::Unclear { reason, .. } => {
                next.not_before = None;
                next.last_error = Some(reason);
            }
        }
        Ok(next)
    }
}
