//! Socket Mode: the connection, its life, and the envelopes that come by it.
//!
//! - `envelope`: what Slack's frames say
//! - `opening`: from nothing to `hello`
//! - `verdict`: what to do about a failure, and what to tell the operator
//! - `connection`: one WebSocket from `hello` to its end
//! - `queue`: envelopes on their way to the intake
//! - `keeper`: the task that holds it all together
//!
//! **Invariant:** an envelope with something for us is acknowledged only when the intake has it on
//! disk, and only on the connection that delivered it. What is not acknowledged comes again.
//!
//! **Invariant:** the URL of a connection is a credential and is in no log and no error.

mod connection;
mod envelope;
mod keeper;
mod opening;
mod queue;
mod timing;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tieline_channel::Intake;
use tieline_net::lines;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use self::envelope::Envelope;
use self::keeper::Keeper;
use self::timing::Timing;
use crate::account::Account;
use crate::inbound::{self, Delivered};
use crate::web::CallError;
use tieline_channel::health::HealthBoard;

/// Says what an envelope means.
#[async_trait]
trait Reader: Send + Sync {
    /// Reads one envelope.
    ///
    /// # Errors
    ///
    /// When it cannot be read for now; it is not acknowledged and comes again.
    async fn read(&self, envelope: &Envelope) -> Result<Delivered, CallError>;
}

/// Reads envelopes as the app that we are.
struct AccountReader(Arc<Account>);

#[async_trait]
impl Reader for AccountReader {
    async fn read(&self, envelope: &Envelope) -> Result<Delivered, CallError> {
        let us = self.0.identity().await?;
        Ok(inbound::read(&self.0, us, envelope).await)
    }
}

/// Keeps the connection up and hands in what comes by it, until `stop` is cancelled.
pub(crate) async fn run(
    account: &Arc<Account>,
    health: &HealthBoard,
    intake: Arc<dyn Intake>,
    reconnect: &Notify,
    stop: CancellationToken,
) {
    let reader = Arc::new(AccountReader(Arc::clone(account)));
    run_with(
        account,
        health,
        reader,
        intake,
        reconnect,
        Timing::SLACK,
        stop,
    )
    .await;
}

async fn run_with(
    account: &Arc<Account>,
    health: &HealthBoard,
    reader: Arc<dyn Reader>,
    intake: Arc<dyn Intake>,
    reconnect: &Notify,
    timing: Timing,
    stop: CancellationToken,
) {
    let (queue, works) = lines::queue();
    let hands = Arc::new(queue::Hands(reader));
    let keeper = Keeper::new(account, health, reconnect, queue, timing);
    // The keeper goes first and takes its end of the queue with it; that ends the other.
    tokio::join!(
        keeper.run(&stop),
        lines::run(works, hands, intake, &stop, timing.patience.drain),
    );
}
