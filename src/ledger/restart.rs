//! A restart that was ordered, remembered over it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::ChannelId;

use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::lane::Origin;
use crate::ledger::post::NewPost;
use crate::ledger::time;

/// How long the notice of a restart may be, in characters.
pub const MAX_NOTICE: usize = 500;

/// A restart that was ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// What whoever ordered it has to say about it.
    pub notice: Option<String>,
    /// When it was ordered.
    #[serde(with = "time::millis")]
    pub at: SystemTime,
}

impl Ledger {
    /// Records that a restart was ordered, and which conversations are to be told when it is over,
    /// and enqueues what they are told before it, all at once.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn announce_restart(
        &self,
        restart: Restart,
        told: Vec<Origin>,
        posts: Vec<NewPost>,
    ) -> Result<(), LedgerError> {
        self.call(move |transaction| transaction.announce_restart(&restart, &told, posts))
            .await
    }

    /// Returns the restart that was ordered last.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn last_restart(&self) -> Result<Option<Restart>, LedgerError> {
        self.call(|transaction| transaction.last_restart()).await
    }

    /// Enqueues what `say` has to say to each conversation of these channels that was told of a
    /// restart and not yet of its end, and forgets that they wait for it, all at once; returns how
    /// many there were. `say` is called in the ledger's thread: it must not wait for anything.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn restart_is_over(
        &self,
        channels: Vec<ChannelId>,
        say: impl Fn(&Origin) -> NewPost + Send + 'static,
    ) -> Result<usize, LedgerError> {
        self.call(move |transaction| transaction.restart_is_over(&channels, say))
            .await
    }
}
