//! Socket Mode: the connection, its life, and the envelopes that come by it.

use std::sync::Arc;

use serde_json::Value;
use tieline_channel::Intake;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::health::HealthBoard;

/// What Slack delivers, with what is needed to acknowledge it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Envelope {
    /// The name of this delivery.
    pub(crate) envelope_id: String,
    /// `events_api`, `interactive`, `slash_commands`.
    pub(crate) kind: String,
    /// What happened.
    pub(crate) payload: Value,
}

/// Keeps the connection up and hands in what comes by it, until `stop` is cancelled.
pub(crate) async fn run(
    _account: &Arc<Account>,
    _health: &HealthBoard,
    _intake: Arc<dyn Intake>,
    _reconnect: &Notify,
    stop: CancellationToken,
) {
    stop.cancelled().await;
}
