//! What there is to know about a child at a moment, and how stopping it went.

use std::time::SystemTime;

use serde::Serialize;
use tieline_channel::WithCauses;

use super::child::{ExitReport, as_rfc3339};
use super::start_error::StartError;

/// The state of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChildState {
    /// Nothing was started.
    Idle,
    /// It is on its way.
    Starting,
    /// It runs.
    Running,
    /// Somebody else runs it.
    External,
    /// It could not be started, or ended unasked.
    Failed,
    /// It was stopped.
    Stopped,
}

/// What there is to know about a child at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChildSnapshot {
    /// Its state.
    pub state: ChildState,
    /// Its process id.
    pub pid: Option<u32>,
    /// When it was started.
    #[serde(serialize_with = "optional_time")]
    pub started_at: Option<SystemTime>,
    /// When it ended.
    #[serde(serialize_with = "optional_time")]
    pub exited_at: Option<SystemTime>,
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// How stopping went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopReport {
    /// The state it is in now.
    pub snapshot: ChildSnapshot,
    /// How it ended; `None` if it was never ours, or could not be seen to end.
    pub exit: Option<ExitReport>,
    /// Whether it had to be killed.
    pub was_forced: bool,
    /// What did not work on the way.
    pub warnings: Vec<String>,
}

// === impl ChildSnapshot ===

impl ChildSnapshot {
    /// Returns the snapshot of a state without any process: for whoever has no
    /// [`AppServer`](super::AppServer) yet.
    pub fn of_state(state: ChildState) -> Self {
        Self {
            state,
            pid: None,
            started_at: None,
            exited_at: None,
            code: None,
            signal: None,
            last_error: None,
        }
    }

    /// Returns the snapshot after a failed start.
    pub fn of_failure(error: &StartError) -> Self {
        let failed = Self {
            last_error: Some(WithCauses(error).to_string()),
            ..Self::of_state(ChildState::Failed)
        };
        match error {
            StartError::Exited(report) => failed.ended(ChildState::Failed, report),
            _ => failed,
        }
    }

    pub(super) fn ended(self, state: ChildState, report: &ExitReport) -> Self {
        Self {
            state,
            exited_at: Some(report.exited_at),
            code: report.code,
            signal: report.signal,
            ..self
        }
    }
}

fn optional_time<S: serde::Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}
