//! A piece of work that a lane is given, its states, and what came of it: a task of a teammate, or a
//! turn of a session.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, TaskId, ThreadId, TurnId, TurnKey};
use crate::ledger::completion::CompletionStatus;
use crate::ledger::error::{IllegalTransition, LedgerError};
use crate::ledger::handle::Ledger;
use crate::ledger::lane::{OpenTurn, Origin};
use crate::ledger::message::Outcome;

/// How many settled tasks of a teammate are remembered.
pub(super) const MAX_REMEMBERED_TASKS: usize = 32;

/// What begins the name of every completion that a teammate reports. Nobody else may use it.
pub const TEAMMATE_PREFIX: &str = "teammate:";

/// A piece of work that a teammate is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Who the teammate works for.
    pub dispatcher: DispatcherId,
    /// The teammate's name.
    pub teammate: String,
    /// Who is told what came of it.
    pub asker: Asker,
    /// What it is to do.
    pub text: String,
}

/// Who gave a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The lane that is told what came of it.
    pub lane: LaneId,
    /// The conversation that it is for.
    pub origin: Option<Origin>,
}

/// A task as the ledger has it. Its text and its result are asked for by themselves: they may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its name here.
    pub id: TaskId,
    /// The lane that it was given to.
    pub lane: LaneId,
    /// Who is told what comes of it; nobody, if it is a turn of a session.
    pub asker: Option<Asker>,
    /// Nobody gave it: results that came in have led to a turn.
    pub is_woken: bool,
    /// How far it is.
    pub state: TaskState,
    /// The beginning of its text, on one line.
    pub beginning: String,
    /// When it was given.
    pub given_at: SystemTime,
    /// When it came to its state.
    pub changed_at: SystemTime,
    /// The turn it is or was in.
    pub turn: Option<TurnKey>,
    /// Once it is settled: the thread that it was in.
    pub thread: Option<ThreadId>,
    /// Once it is settled: Codex's name of the last attempt at it, if there was one.
    pub codex_turn: Option<TurnId>,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for the lane.
    Waiting,
    /// It is what the lane's open turn does.
    InTurn,
    /// Its turn ended well.
    Done,
    /// It could not be done.
    Failed {
        /// The name of the failure.
        kind: FailureKind,
    },
    /// Somebody stopped it.
    Stopped,
    /// Nobody can say whether it was done.
    Unclear,
}

/// What can happen to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// A turn takes it.
    Taken,
    /// Somebody stops it before it begins.
    Withdrawn,
    /// Its turn is over.
    Settled(Outcome),
}

/// What a turn has come to, for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// How it ended.
    pub status: CompletionStatus,
    /// What came of it.
    pub body: String,
}

impl TaskState {
    /// Returns the state after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: TaskEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Waiting, TaskEvent::Taken) => Ok(Self::InTurn),
            (Self::Waiting, TaskEvent::Withdrawn) => Ok(Self::Stopped),
            (Self::InTurn, TaskEvent::Settled(outcome)) => Ok(outcome.into()),
            (state, event) => Err(IllegalTransition::new(&state, &event)),
        }
    }

    /// Returns its name without what belongs to it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InTurn => "in_turn",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Stopped => "stopped",
            Self::Unclear => "unclear",
        }
    }

    /// Returns whether nothing more can happen to the task.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Waiting | Self::InTurn => false,
            Self::Done | Self::Failed { .. } | Self::Stopped | Self::Unclear => true,
        }
    }
}

impl From<Outcome> for TaskState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered => Self::Done,
            Outcome::Failed { kind, message: _ } => Self::Failed { kind },
            Outcome::Cancelled => Self::Stopped,
            Outcome::Unclear { reason: _ } => Self::Unclear,
        }
    }
}

impl Ledger {
    /// Returns the tasks of a lane that are remembered, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn tasks(&self, lane: &LaneId) -> Result<Vec<TaskRecord>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.tasks(&lane)).await
    }

    /// Returns a task, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, LedgerError> {
        self.call(move |transaction| transaction.task(id)).await
    }

    /// Returns the text of a task.
    ///
    /// # Errors
    ///
    /// When it is unknown or forgotten, or its text cannot be read.
    pub async fn task_text(&self, id: TaskId) -> Result<String, LedgerError> {
        self.call(move |transaction| transaction.task_text(id))
            .await
    }

    /// Returns what came of a task, if anything did yet.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn task_report(&self, id: TaskId) -> Result<Option<TaskReport>, LedgerError> {
        self.call(move |transaction| transaction.task_report(id))
            .await
    }

    /// Opens a turn that does the task which has waited longest; `None` when none waits.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or a turn is open.
    pub async fn open_task(
        &self,
        lane: &LaneId,
        key: TurnKey,
    ) -> Result<Option<OpenTurn>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.open_task(&lane, key))
            .await
    }
}
