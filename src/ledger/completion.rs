//! A completion and its states.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;
use crate::id::{CompletionId, DispatcherId, LaneId, ThreadId, TurnKey};
use crate::ledger::error::IllegalTransition;
use crate::ledger::lane::Origin;
use crate::ledger::message::Outcome;
use crate::ledger::time;

/// How many completions one turn brings up. More of them take several turns.
pub const MAX_TURN_COMPLETIONS: usize = 64;

/// The settled result of some work, on its way to the lane that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCompletion {
    /// Who it is for.
    pub dispatcher: DispatcherId,
    /// The lane that is told.
    pub lane: LaneId,
    /// Its producer's name of it, by which another report of it is the same; unique for a
    /// dispatcher. At most 512 bytes.
    pub name: String,
    /// Who did the work. At most 512 bytes.
    pub from: String,
    /// How the work ended.
    pub status: CompletionStatus,
    /// What came of it.
    pub body: String,
    /// Where the work was asked for: where people hear of it. Without one, where the lane's newest
    /// message came from by then.
    pub origin: Option<Origin>,
}

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionStatus {
    /// It is done.
    Ok,
    /// It could not be done.
    Failed,
    /// It was stopped.
    Stopped,
}

/// What [`Ledger::report`](super::Ledger::report) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Its name here.
    pub id: CompletionId,
    /// The lane that is told.
    pub lane: LaneId,
    /// How far it is.
    pub state: CompletionState,
    /// It had not been reported before.
    pub is_new: bool,
}

/// A completion as the ledger has it. What came of the work is asked for by itself: it may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletionRecord {
    /// Its name here.
    pub id: CompletionId,
    /// Who it is for.
    pub dispatcher: DispatcherId,
    /// The lane that is told.
    pub lane: LaneId,
    /// Its producer's name of it.
    pub name: String,
    /// Who did the work.
    pub from: String,
    /// How the work ended.
    pub status: CompletionStatus,
    /// How many characters its text has.
    pub chars: usize,
    /// Where people hear of it.
    pub origin: Option<Origin>,
    /// When it was reported.
    pub reported_at: SystemTime,
    /// How far it is.
    pub state: CompletionState,
    /// The thread whose history has it.
    pub injected_into: Option<ThreadId>,
    /// The turn that brings or brought it up.
    pub turn: Option<TurnKey>,
}

/// How far a completion is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletionState {
    /// It waits for its lane.
    Waiting,
    /// It is part of its lane's open turn.
    InTurn,
    /// A turn of the model has dealt with it.
    Delivered,
    /// It was given up.
    Failed {
        /// The name of the failure.
        kind: FailureKind,
    },
    /// Nobody can say whether the model has dealt with it.
    Unclear,
    /// Who was to be told has ended the work itself, or is a teammate that was stopped.
    Withdrawn,
}

/// What can happen to a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompletionEvent {
    /// A turn takes it.
    Taken,
    /// The turn gives it back.
    Returned,
    /// Who was to be told has ended the work itself, or is a teammate that was stopped.
    Withdrawn,
    /// It is over.
    Settled(Outcome),
}

/// How the completions of a turn that did not deal with them go back to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Return {
    /// The thread's history does not have them any longer.
    pub forgotten: bool,
    /// They do not go on at once.
    pub hold: Option<Hold>,
}

/// Why a lane does not bring completions up for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How many turns for them have failed in a row.
    pub failures: u32,
    /// When the next one may begin.
    #[serde(with = "time::millis")]
    pub until: SystemTime,
}

impl CompletionState {
    /// Returns the state after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: CompletionEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Waiting, CompletionEvent::Taken) => Ok(Self::InTurn),
            (Self::InTurn, CompletionEvent::Returned) => Ok(Self::Waiting),
            (Self::Waiting | Self::InTurn, CompletionEvent::Withdrawn) => Ok(Self::Withdrawn),
            (Self::Waiting | Self::InTurn, CompletionEvent::Settled(outcome)) => Ok(outcome.into()),
            (state, event) => Err(IllegalTransition::new(&state, &event)),
        }
    }

    /// Returns its name without what belongs to it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InTurn => "in_turn",
            Self::Delivered => "delivered",
            Self::Failed { .. } => "failed",
            Self::Unclear => "unclear",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Returns whether nothing more can happen to the completion.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Waiting | Self::InTurn => false,
            Self::Delivered | Self::Failed { .. } | Self::Unclear | Self::Withdrawn => true,
        }
    }
}

impl From<Outcome> for CompletionState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            // A turn that somebody stopped had it in view.
            Outcome::Answered | Outcome::Cancelled => Self::Delivered,
            Outcome::Failed { kind, message: _ } => Self::Failed { kind },
            Outcome::Unclear { reason: _ } => Self::Unclear,
        }
    }
}

impl CompletionStatus {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}
