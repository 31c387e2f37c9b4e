//! The long connection: its life, and the events that come by it.

use std::sync::Arc;

use tieline_channel::Intake;
use tieline_channel::health::HealthBoard;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::account::Account;

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
