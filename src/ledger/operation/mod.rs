//! What the ledger can do, as functions on a [`Transaction`](super::transaction::Transaction).
//!
//! They know records, queues and indexes; they do not know the database, threads or commits.

mod admission;
mod approvals;
mod body;
mod calls;
mod completions;
mod conversations;
mod expiry;
mod history;
mod keyed;
mod lanes;
mod messages;
mod orders;
mod outbox;
mod pairings;
mod restarts;
mod runs;
mod sessions;
mod stories;
mod tasks;
mod teammates;
mod troubles;
mod turns;

pub use self::expiry::Expired;

#[cfg(test)]
pub(super) use self::conversations::MAX_CONVERSATIONS;
pub(super) use self::expiry::{Horizon, is_named};
