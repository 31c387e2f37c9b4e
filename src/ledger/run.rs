//! A one-off run, its states, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, RunId, ThreadId};
use crate::ledger::error::{IllegalTransition, LedgerError};
use crate::ledger::handle::Ledger;
use crate::ledger::keyed::{IdempotencyKey, Once};

/// How many runs may wait for a dispatcher.
pub const MAX_WAITING_RUNS: usize = 100;

/// How many runs that are over are remembered, of all dispatchers together.
pub(super) const MAX_REMEMBERED_RUNS: u64 = 5_000;

/// What begins the name of every completion that a run reports. Nobody else may use it.
pub const RUN_PREFIX: &str = "run:";

/// A run that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRun {
    /// Whose it is.
    pub dispatcher: DispatcherId,
    /// What it is for, in a word.
    pub purpose: String,
    /// What is to be done.
    pub order: RunOrder,
    /// The lane that is told what came of it.
    pub report_to: Option<LaneId>,
}

/// What a run is to do, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOrder {
    /// What it is asked.
    pub prompt: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// Its model, if not the dispatcher's.
    #[serde(default)]
    pub model: Option<String>,
    /// Its profile of Codex's configuration, if not the dispatcher's.
    #[serde(default)]
    pub profile: Option<String>,
    /// What its commands may do.
    pub sandbox: String,
    /// Images that it is shown.
    #[serde(default)]
    pub images: Vec<PathBuf>,
    /// Directories that it may write to beside its own.
    #[serde(default)]
    pub writable_dirs: Vec<PathBuf>,
    /// What it has in its environment on top of the dispatcher's. The values are gone when it is over.
    #[serde(default)]
    pub env: RunEnvironment,
    /// Settings of Codex, `key=value`.
    #[serde(default)]
    pub config: Vec<String>,
    /// It also works where there is no git repository.
    pub skip_git_check: bool,
    /// Its thread is not kept.
    pub ephemeral: bool,
    /// The JSON Schema of its answer.
    #[serde(default)]
    pub output_schema: Option<serde_json::Value>,
    /// The thread that it goes on with.
    #[serde(default)]
    pub resume: Option<ThreadId>,
    /// How long it may take.
    pub timeout: Duration,
    /// What whoever ordered it wants to find again.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

/// Variables and their values, which do not show in debug output.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunEnvironment(pub BTreeMap<String, String>);

impl RunEnvironment {
    /// Forgets the values.
    pub(super) fn forget_values(&mut self) {
        self.0.values_mut().for_each(String::clear);
    }
}

impl fmt::Debug for RunEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A run as the ledger has it. What it is to do and what came of it are asked for by themselves: they
/// may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its name here.
    pub id: RunId,
    /// Whose it is.
    pub dispatcher: DispatcherId,
    /// What it is for, in a word.
    pub purpose: String,
    /// How far it is.
    pub state: RunState,
    /// Somebody wants it to end.
    pub is_stopping: bool,
    /// The beginning of its prompt, on one line.
    pub beginning: String,
    /// What went wrong, on one line, if something did.
    pub problem: Option<String>,
    /// Its Codex thread, once it has one.
    pub thread: Option<ThreadId>,
    /// The lane that is told what came of it.
    pub report_to: Option<LaneId>,
    /// When it was ordered.
    pub queued_at: SystemTime,
    /// When it was begun.
    pub started_at: Option<SystemTime>,
    /// When it was over.
    pub ended_at: Option<SystemTime>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It waits for its turn.
    Queued,
    /// It is being done.
    Running,
    /// It is done, and has answered.
    Completed,
    /// It could not be done.
    Failed {
        /// The name of the failure.
        kind: FailureKind,
    },
    /// It could not be begun, or went no further, until an operator mends something.
    Blocked {
        /// The name of the failure.
        kind: FailureKind,
    },
    /// Somebody stopped it.
    Cancelled,
    /// It was being done when the daemon broke: nobody can say how far it came.
    Unclear,
}

/// What can happen to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// It is begun.
    Started,
    /// Somebody stops it before it begins.
    Withdrawn,
    /// It is over.
    Ended(RunEnding),
    /// The daemon broke while it was being done.
    Lost,
}

/// How a run that was begun is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnding {
    /// It is done.
    Completed,
    /// It could not be done; the name of the failure.
    Failed(FailureKind),
    /// An operator must mend something; the name of the failure.
    Blocked(FailureKind),
    /// Somebody stopped it.
    Cancelled,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// The last message of the model.
    #[serde(default)]
    pub reply: Option<String>,
    /// What went wrong, whole.
    #[serde(default)]
    pub problem: Option<String>,
    /// What it took: names and numbers of tokens.
    #[serde(default)]
    pub usage: BTreeMap<String, u64>,
    /// The exit code of its process.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The signal that ended its process.
    #[serde(default)]
    pub exit_signal: Option<i32>,
    /// How many lines of its output were none that tieline can read.
    #[serde(default)]
    pub ignored_lines: u64,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// How it is over.
    pub ending: RunEnding,
    /// Its thread, if it had one.
    pub thread: Option<ThreadId>,
    /// What came of it.
    pub result: RunResult,
}

/// A run, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDetails {
    /// How it is.
    pub record: RunRecord,
    /// What it is to do. Of its environment only the names are told.
    pub order: RunOrder,
    /// What came of it, if anything has yet.
    pub result: Option<RunResult>,
    /// How many wait before it, while it waits.
    pub ahead: usize,
}

/// Which runs are meant; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Whose they are.
    pub dispatcher: Option<DispatcherId>,
    /// How far they are: a [`RunState::as_str`].
    pub state: Option<String>,
    /// What they are for.
    pub purpose: Option<String>,
}

/// Some runs, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// Behind which one to look for more, if there may be any.
    pub next: Option<RunId>,
}

impl RunState {
    /// The names of all states.
    pub const NAMES: [&'static str; 7] = [
        "queued",
        "running",
        "completed",
        "failed",
        "blocked",
        "cancelled",
        "unclear",
    ];

    /// Returns the state after `event`.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: RunEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Queued, RunEvent::Started) => Ok(Self::Running),
            (Self::Queued, RunEvent::Withdrawn) => Ok(Self::Cancelled),
            (Self::Running, RunEvent::Ended(ending)) => Ok(match ending {
                RunEnding::Completed => Self::Completed,
                RunEnding::Failed(kind) => Self::Failed { kind },
                RunEnding::Blocked(kind) => Self::Blocked { kind },
                RunEnding::Cancelled => Self::Cancelled,
            }),
            (Self::Running, RunEvent::Lost) => Ok(Self::Unclear),
            (state, event) => Err(IllegalTransition::new(&state, &event)),
        }
    }

    /// Returns its name without what belongs to it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Blocked { .. } => "blocked",
            Self::Cancelled => "cancelled",
            Self::Unclear => "unclear",
        }
    }

    /// Returns whether nothing more can happen to the run.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Returns the name of the failure, if it is one.
    pub fn failure(&self) -> Option<FailureKind> {
        match self {
            Self::Failed { kind } | Self::Blocked { kind } => Some(*kind),
            Self::Queued | Self::Running | Self::Completed | Self::Cancelled | Self::Unclear => {
                None
            }
        }
    }
}

impl Ledger {
    /// Queues a run, once for each key.
    ///
    /// # Errors
    ///
    /// When it is not on disk, too many wait, or another order was given the same key.
    pub async fn queue_run(
        &self,
        new: NewRun,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<RunRecord>, LedgerError> {
        self.call(move |transaction| {
            transaction.once(key.as_ref(), |transaction| {
                let record = transaction.queue_run(new)?;
                Ok((record.id.to_string(), record))
            })
        })
        .await
    }

    /// Begins the run of a dispatcher that has waited longest; `None` when none waits.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn begin_run(
        &self,
        dispatcher: &DispatcherId,
    ) -> Result<Option<RunRecord>, LedgerError> {
        let dispatcher = dispatcher.clone();
        self.call(move |transaction| transaction.begin_run(&dispatcher))
            .await
    }

    /// Returns what a run is to do, with its environment.
    ///
    /// # Errors
    ///
    /// When it is unknown or forgotten, or cannot be read.
    pub async fn run_order(&self, id: RunId) -> Result<RunOrder, LedgerError> {
        self.call(move |transaction| transaction.run_order(id))
            .await
    }

    /// Notes which thread a run has.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such run.
    pub async fn set_run_thread(&self, id: RunId, thread: ThreadId) -> Result<(), LedgerError> {
        self.call(move |transaction| transaction.set_run_thread(id, thread))
            .await
    }

    /// Notes the end of a run that was begun, and reports it to whoever is to be told: the lane that is
    /// returned is to be woken.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or no such run was begun.
    pub async fn end_run(&self, id: RunId, end: RunEnd) -> Result<Option<LaneId>, LedgerError> {
        self.call(move |transaction| transaction.end_run(id, end))
            .await
    }

    /// Ends a run that waits, or notes of one that was begun that it is to end. Of one that is over
    /// nothing changes. Returns it, and the lane that is to be woken; `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn cancel_run(
        &self,
        id: RunId,
    ) -> Result<Option<(RunRecord, Option<LaneId>)>, LedgerError> {
        self.call(move |transaction| transaction.cancel_run(id))
            .await
    }

    /// Gives up those runs that an earlier daemon has left in the middle. Returns them.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn lose_runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        self.call(|transaction| transaction.lose_runs()).await
    }

    /// Returns a run, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRecord>, LedgerError> {
        self.call(move |transaction| transaction.run_record(id))
            .await
    }

    /// Returns a run, whole, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn run_details(&self, id: RunId) -> Result<Option<RunDetails>, LedgerError> {
        self.call(move |transaction| transaction.run_details(id))
            .await
    }

    /// Returns the newest runs, from the first behind `behind` on, newest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn runs(
        &self,
        filter: RunFilter,
        behind: Option<RunId>,
        limit: usize,
    ) -> Result<RunPage, LedgerError> {
        self.call(move |transaction| transaction.runs(&filter, behind, limit))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_one_way_only() {
        use {RunEnding as E, RunEvent as V, RunState as S};
        let failed = || S::Failed {
            kind: FailureKind::Disk,
        };
        let blocked = || S::Blocked {
            kind: FailureKind::Disk,
        };
        let states = [
            S::Queued,
            S::Running,
            S::Completed,
            failed(),
            blocked(),
            S::Cancelled,
            S::Unclear,
        ];
        let events = [
            V::Started,
            V::Withdrawn,
            V::Ended(E::Completed),
            V::Ended(E::Failed(FailureKind::Disk)),
            V::Ended(E::Blocked(FailureKind::Disk)),
            V::Ended(E::Cancelled),
            V::Lost,
        ];
        for state in states {
            for event in events.clone() {
                let after = state.clone().on(event.clone()).ok();
                let expected = match (&state, &event) {
                    (S::Queued, V::Started) => Some(S::Running),
                    (S::Queued, V::Withdrawn) => Some(S::Cancelled),
                    (S::Running, V::Ended(E::Completed)) => Some(S::Completed),
                    (S::Running, V::Ended(E::Failed(_))) => Some(failed()),
                    (S::Running, V::Ended(E::Blocked(_))) => Some(blocked()),
                    (S::Running, V::Ended(E::Cancelled)) => Some(S::Cancelled),
                    (S::Running, V::Lost) => Some(S::Unclear),
                    _ => None,
                };
                assert_eq!(after, expected, "{state:?} {event:?}");
            }
            assert!(S::NAMES.contains(&state.as_str()));
        }
    }

    #[test]
    fn values_of_variables_do_not_show() {
        let env = RunEnvironment(BTreeMap::from([("TOKEN".into(), "hunter2".into())]));
        assert_eq!(format!("{env:?}"), "{\"TOKEN\"}");
    }
}
