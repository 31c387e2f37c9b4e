//! Up to when a channel has been read back.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::ledger::time;

/// Up to when a channel has been read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryMark {
    /// When the channel was first looked at: what was written before is none of our business.
    #[serde(with = "time::millis")]
    pub begun_at: SystemTime,
    /// Everything that was written by then has come in.
    #[serde(with = "time::millis")]
    pub caught_up_to: SystemTime,
}
