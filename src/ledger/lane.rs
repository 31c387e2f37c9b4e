//! A lane and its one open turn.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, Conversation, UserId};

use crate::failure::FailureKind;
use crate::id::{
    CompletionId, DispatcherId, LaneId, MessageId, SessionId, TaskId, TeammateId, ThreadId, TurnId,
    TurnKey,
};
use crate::ledger::completion::Hold;
use crate::ledger::error::IllegalTransition;
use crate::ledger::message::MessageState;
use crate::ledger::order::LaneModel;
use crate::ledger::time;

/// How many messages one turn can hold. A longer burst takes several turns.
pub const MAX_TURN_MESSAGES: usize = 64;

/// How many lost threads a lane remembers.
pub const MAX_REMEMBERED: usize = 16;

/// A lane as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRecord {
    /// Its name.
    pub id: LaneId,
    /// Whose lane it is.
    pub dispatcher: DispatcherId,
    /// Its Codex thread.
    pub thread: Option<ThreadId>,
    /// The thread has had a turn, so Codex has it on disk.
    pub had_turn: bool,
    /// How the model of its thread reaches people, as it was told.
    #[serde(default)]
    pub reach: Reach,
    /// The threads it had before and lost, oldest first; at most [`MAX_REMEMBERED`].
    pub lost: Vec<LostThread>,
    /// The turn that runs.
    pub open: Option<OpenTurn>,
    /// The turn that was settled last.
    pub last: Option<SettledTurn>,
    /// How many messages wait.
    pub waiting: usize,
    /// How many completions wait.
    #[serde(default)]
    pub arrived: usize,
    /// How many tasks wait.
    #[serde(default)]
    pub assigned: usize,
    /// How many orders wait.
    #[serde(default)]
    pub orders: usize,
    /// Its model, once somebody has named one.
    #[serde(default)]
    pub model: Option<LaneModel>,
    /// Somebody wanted the thread to be a new one: that it knows nothing is no surprise.
    #[serde(default)]
    pub renewed: bool,
    /// Whose lane it is.
    #[serde(default)]
    pub owner: Owner,
    /// Why completions wait although nothing runs.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Why its turns do not get through, if they do not.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// Where the newest accepted message came from: where notices go.
    pub last_from: Option<Origin>,
    /// When a message was last accepted or a turn opened or settled.
    #[serde(with = "time::millis")]
    pub used_at: SystemTime,
}

/// Whose lane it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// That of people who write to the dispatcher.
    #[default]
    Chat,
    /// A teammate's.
    Teammate(TeammateId),
    /// That of a program that has a session.
    Session(SessionId),
}

impl Owner {
    /// Returns the teammate, if it is one.
    pub fn teammate(self) -> Option<TeammateId> {
        match self {
            Self::Teammate(id) => Some(id),
            Self::Chat | Self::Session(_) => None,
        }
    }

    /// Returns the session, if it is one.
    pub fn session(self) -> Option<SessionId> {
        match self {
            Self::Session(id) => Some(id),
            Self::Chat | Self::Teammate(_) => None,
        }
    }
}

impl LaneRecord {
    /// Returns how many inputs wait: messages, completions and tasks.
    pub fn inputs(&self) -> usize {
        self.waiting + self.arrived + self.assigned
    }

    /// Returns whether the model has forgotten what people said, and does not know that.
    pub fn has_forgotten(&self) -> bool {
        !self.lost.is_empty() && !self.had_turn && !self.renewed
    }
}

/// How many conversations are told that the turns of a lane do not get through.
pub const MAX_TOLD: usize = 64;

/// That the turns of a lane do not get through until an operator has done something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What went wrong.
    pub kind: FailureKind,
    /// Since when.
    #[serde(with = "time::millis")]
    pub since: SystemTime,
    /// Who was told, and is to be told when it is over; at most [`MAX_TOLD`].
    pub told: Vec<Origin>,
}

/// How a model reaches people, as its thread was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The version of the tools that the thread was begun with; 0 when it has none.
    pub tools: u32,
    /// Only the tools reach people: the final answer does not.
    pub only_tools: bool,
}

/// How the last turn of a lane ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledTurn {
    /// Our name of it.
    pub key: TurnKey,
    /// Codex's name of its last attempt, or of the last turn before it that had one.
    pub codex_turn: Option<TurnId>,
    /// The state that its messages came to.
    pub state: MessageState,
    /// The cause of a failure, for operators; cut to 512 bytes.
    pub cause: Option<String>,
    /// When.
    #[serde(with = "time::millis")]
    pub at: SystemTime,
}

/// Where a message came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The channel.
    pub channel: ChannelId,
    /// The conversation on it.
    pub conversation: Conversation,
}

/// A thread that could not be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostThread {
    /// Which it was.
    pub thread: ThreadId,
    /// When it was found lost.
    #[serde(with = "time::millis")]
    pub at: SystemTime,
    /// Why; cut to 512 bytes.
    pub reason: String,
}

/// The turn that runs on a lane, over all its attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTurn {
    /// Our name of it.
    pub key: TurnKey,
    /// What it answers, in order.
    pub messages: Vec<MessageId>,
    /// What it brings up, in order.
    #[serde(default)]
    pub completions: Vec<CompletionId>,
    /// The piece of work that it does.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// Somebody wants it to end.
    #[serde(default)]
    pub stop: Option<Stop>,
    /// How far it is.
    pub phase: TurnPhase,
    /// Codex's name of the present attempt.
    pub codex_turn: Option<TurnId>,
    /// The last Codex turn that the lane settled before this one: whatever the thread has after
    /// it belongs to this one.
    pub after: Option<TurnId>,
    /// How often it was interrupted and continued.
    pub continuations: u32,
    /// How often it was submitted again because Codex did not have it.
    pub resubmissions: u32,
    /// How often the model has reached people by a tool: a reaction says something, too.
    #[serde(default)]
    pub said: u32,
    /// How many decisions of people it waits for.
    #[serde(default)]
    pub approvals: u32,
    /// When it was opened.
    #[serde(with = "time::millis")]
    pub opened_at: SystemTime,
}

/// That somebody wants a turn to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The lane whose model wants it; a person, if none.
    pub by: Option<LaneId>,
    /// The conversation in which it was asked for, if it was in one: its people know. Those of another
    /// one do not, also when it has the same lane.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The person, if it was one in a chat.
    #[serde(default)]
    pub user: Option<UserId>,
    /// What that person is called.
    #[serde(default)]
    pub name: Option<String>,
}

impl Stop {
    /// Returns that a person wants it who was in no conversation.
    pub fn by_person() -> Self {
        Self {
            by: None,
            origin: None,
            user: None,
            name: None,
        }
    }
}

/// How far an open turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnPhase {
    /// Nothing has been sent, as far as anybody knows.
    Opened,
    /// Codex has answered the submission.
    Submitted,
    /// The messages are part of the thread.
    Delivered,
}

/// What can happen to an open turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEvent {
    /// Codex has answered the submission, or that of a continuation.
    Submitted {
        /// Codex's name of the attempt.
        turn: TurnId,
    },
    /// The messages are part of the thread.
    Delivered {
        /// Codex's name of the attempt, when known.
        turn: Option<TurnId>,
    },
    /// It was interrupted and goes on in a new Codex turn: the thread has the messages, so it
    /// counts as delivered.
    Continued,
    /// It failed for a reason that somebody has mended, or will, and is tried again in a new Codex
    /// turn: the thread has the messages. However often that is, it does not count.
    Retried,
    /// Codex does not have it, so it starts from the beginning. Whether that is so is for the
    /// caller to know: it is allowed in every phase.
    Resubmitted,
}

impl OpenTurn {
    /// Returns a turn about nothing so far, of which nothing has been sent.
    pub fn new(key: TurnKey, after: Option<TurnId>, opened_at: SystemTime) -> Self {
        Self {
            key,
            messages: Vec::new(),
            completions: Vec::new(),
            task: None,
            stop: None,
            phase: TurnPhase::Opened,
            codex_turn: None,
            after,
            continuations: 0,
            resubmissions: 0,
            said: 0,
            approvals: 0,
            opened_at,
        }
    }

    /// Returns the turn after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this phase.
    pub fn on(self, event: TurnEvent) -> Result<Self, IllegalTransition> {
        match (self.phase, event) {
            (TurnPhase::Opened | TurnPhase::Submitted, TurnEvent::Submitted { turn }) => Ok(Self {
                phase: TurnPhase::Submitted,
                codex_turn: Some(turn),
                ..self
            }),
            (TurnPhase::Delivered, TurnEvent::Submitted { turn }) => Ok(Self {
                codex_turn: Some(turn),
                ..self
            }),
            (_, TurnEvent::Delivered { turn }) => Ok(Self {
                phase: TurnPhase::Delivered,
                codex_turn: turn.or(self.codex_turn),
                ..self
            }),
            (_, TurnEvent::Continued) => Ok(Self {
                phase: TurnPhase::Delivered,
                codex_turn: None,
                continuations: self.continuations.saturating_add(1),
                ..self
            }),
            (_, TurnEvent::Retried) => Ok(Self {
                phase: TurnPhase::Delivered,
                codex_turn: None,
                ..self
            }),
            (_, TurnEvent::Resubmitted) => Ok(Self {
                phase: TurnPhase::Opened,
                codex_turn: None,
                resubmissions: self.resubmissions.saturating_add(1),
                ..self
            }),
        }
    }
}
