//! What is remembered of a dispatcher.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::DispatcherId;
use crate::ledger::time;

/// A dispatcher as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatcherRecord {
    /// Its name.
    pub id: DispatcherId,
    /// Where it is in its life.
    pub state: Lifecycle,
    /// When its child was last started.
    #[serde(with = "time::optional_millis")]
    pub last_started_at: Option<SystemTime>,
    /// What went wrong last; cut to 512 bytes.
    pub last_error: Option<String>,
    /// How often its child was replaced.
    pub restarts: u64,
    /// When it came to this state.
    #[serde(with = "time::millis")]
    pub changed_at: SystemTime,
}

/// Where a dispatcher is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// It is configured and was not started.
    Declared,
    /// Its child is being started.
    Starting,
    /// It takes turns.
    Ready,
    /// Its child is gone and is being replaced, or something else needs attention.
    Degraded,
    /// It finishes what runs.
    Stopping,
    /// It has ended.
    Stopped,
}

impl Lifecycle {
    /// Returns the word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}
