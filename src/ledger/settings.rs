//! What can be chosen about a ledger.

use std::time::{Duration, SystemTime};

use crate::ledger::operation::Horizon;

/// How long a deduplication key is kept at the very least: platforms deliver again for days.
pub const MIN_DEDUP_RETENTION: Duration = Duration::from_secs(7 * DAY);

/// How long an order can be repeated under its idempotency key.
pub const KEY_RETENTION: Duration = Duration::from_secs(3 * DAY);

const DAY: u64 = 24 * 60 * 60;

/// What can be chosen about a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerSettings {
    /// How long settled messages and outbox entries are kept.
    pub retention: Duration,
    /// How long deduplication keys are kept; at least [`MIN_DEDUP_RETENTION`].
    pub dedup_retention: Duration,
    /// How long a conversation is known after the last message that was accepted from it: so long
    /// its people are heard without a mention.
    pub conversation_retention: Duration,
}

impl LedgerSettings {
    /// Returns the settings for everyday use: messages and keys for eight days, a day more than
    /// promised, conversations for thirty.
    pub fn standard() -> Self {
        Self {
            retention: Duration::from_secs(8 * DAY),
            dedup_retention: Duration::from_secs(8 * DAY),
            conversation_retention: Duration::from_secs(30 * DAY),
        }
    }

    /// Returns what may be forgotten at `now`.
    pub(super) fn horizon(&self, now: SystemTime) -> Horizon {
        let before = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        Horizon {
            now,
            settled: before(self.retention),
            seen: before(self.dedup_retention.max(MIN_DEDUP_RETENTION)),
            conversations: before(self.conversation_retention),
            ordered: before(KEY_RETENTION),
        }
    }
}
