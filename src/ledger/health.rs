//! Whether the ledger can write.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::ledger::time;

/// Whether the ledger can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerHealth {
    /// It can.
    Ok,
    /// It cannot, and tries again by itself. Until then nothing can be accepted.
    Failing {
        /// What the disk said.
        reason: String,
        /// Since when.
        #[serde(with = "time::millis")]
        since: SystemTime,
    },
}
