//! A message and its states.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, EventKey, Message, RefusalReason};

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, MessageId, TurnKey};
use crate::ledger::error::IllegalTransition;
use crate::ledger::time;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    /// Where it came in.
    pub channel: ChannelId,
    /// Who it is for.
    pub dispatcher: DispatcherId,
    /// The lane it waits in.
    pub lane: LaneId,
    /// What makes another delivery of it the same; the channel's id completes the tuple.
    pub key: EventKey,
    /// What was written.
    pub message: Message,
    /// When it arrived here.
    #[serde(with = "time::millis")]
    pub received_at: SystemTime,
    /// It goes before everything that waits.
    pub urgent: bool,
}

/// What [`Ledger::accept`](super::Ledger::accept) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is recorded.
    New {
        /// Its name from now on.
        id: MessageId,
        /// How many messages wait in its lane, this one included.
        waiting: usize,
    },
    /// The same event was recorded before; nothing changed.
    Duplicate {
        /// The message it made then, if it made one that is still recorded.
        id: Option<MessageId>,
    },
}

/// What became of an edit or a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revised {
    /// The message was still waiting and has changed.
    Applied,
    /// The message is no longer waiting; nothing changed.
    TooLate,
    /// No such message is recorded. Nothing changed; a deleted one is not taken any more should it
    /// still come.
    Unknown,
    /// The same event was recorded before; nothing changed.
    Duplicate,
}

/// A message as the ledger has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Its name here.
    pub id: MessageId,
    /// Where it came in.
    pub channel: ChannelId,
    /// Who it is for.
    pub dispatcher: DispatcherId,
    /// Its lane.
    pub lane: LaneId,
    /// What made it new.
    pub key: EventKey,
    /// What was written.
    pub message: Message,
    /// When it arrived here.
    #[serde(with = "time::millis")]
    pub received_at: SystemTime,
    /// It went before everything that waited.
    pub urgent: bool,
    /// It was the first of its conversation that came to this lane: what was said in its thread
    /// before it, the model does not know.
    #[serde(default)]
    pub first_here: bool,
    /// How far it is.
    pub state: MessageState,
    /// When it came to this state.
    #[serde(with = "time::millis")]
    pub changed_at: SystemTime,
    /// The turn it is or was in.
    pub turn: Option<TurnKey>,
}

/// How far a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It waits in its lane.
    Queued,
    /// It is part of its lane's open turn.
    InTurn,
    /// Its turn ended well.
    Answered,
    /// It came to no answer.
    Failed {
        /// The name of the failure.
        kind: FailureKind,
    },
    /// It was withdrawn, or its turn was stopped.
    Cancelled,
    /// Nobody can say whether it was answered.
    Unclear,
    /// The gate turned it away.
    Refused {
        /// Why.
        reason: RefusalReason,
    },
}

/// What can happen to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageEvent {
    /// A turn takes it.
    Taken,
    /// The turn gives it back.
    Returned,
    /// Its sender deleted it.
    Withdrawn,
    /// It is over.
    Settled(Outcome),
}

/// How a turn, or a message that never had one, ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The turn ended well.
    Answered,
    /// It failed.
    Failed {
        /// The name of the failure.
        kind: FailureKind,
        /// What happened.
        message: String,
    },
    /// It was stopped.
    Cancelled,
    /// Nobody can say how it ended.
    Unclear {
        /// Why not.
        reason: String,
    },
}

impl MessageState {
    /// Returns the state after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: MessageEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Queued, MessageEvent::Taken) => Ok(Self::InTurn),
            (Self::InTurn, MessageEvent::Returned) => Ok(Self::Queued),
            (Self::Queued, MessageEvent::Withdrawn) => Ok(Self::Cancelled),
            (Self::Queued | Self::InTurn, MessageEvent::Settled(outcome)) => Ok(outcome.into()),
            (state, event) => Err(IllegalTransition::new(&state, &event)),
        }
    }

    /// Returns its name without what belongs to it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InTurn => "in_turn",
            Self::Answered => "answered",
            Self::Failed { .. } => "failed",
            Self::Cancelled => "cancelled",
            Self::Unclear => "unclear",
            Self::Refused { .. } => "refused",
        }
    }

    /// Returns whether nothing more can happen to the message.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Queued | Self::InTurn => false,
            Self::Answered
            | Self::Failed { .. }
            | Self::Cancelled
            | Self::Unclear
            | Self::Refused { .. } => true,
        }
    }
}

impl From<Outcome> for MessageState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered => Self::Answered,
            Outcome::Failed { kind, message: _ } => Self::Failed { kind },
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Unclear { reason: _ } => Self::Unclear,
        }
    }
}
