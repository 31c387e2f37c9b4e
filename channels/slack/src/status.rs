//! What people see while a message is worked on: reactions, and the native status of its thread.

use tieline_channel::{Conversation, SendError, Status, WireId};
use tokio_util::sync::CancellationToken;

use crate::account::Account;

/// Shows statuses, and keeps up those that Slack lets expire.
#[derive(Debug)]
pub(crate) struct StatusKeeper;

impl StatusKeeper {
    pub(crate) fn new() -> Self {
        Self
    }

    /// Shows how far a message is.
    pub(crate) async fn show(
        &self,
        _account: &Account,
        _at: &Conversation,
        _message: &WireId,
        _status: &Status,
    ) -> Result<(), SendError> {
        Ok(())
    }

    /// Renews what expires, until `stop` is cancelled.
    pub(crate) async fn run(&self, _account: &Account, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
