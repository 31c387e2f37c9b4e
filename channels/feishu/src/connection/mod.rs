//! The long connection: its life, and the events that come by it.
//!
//! - `lock`: one process of this machine for each app
//! - `opening`: from nothing to an open connection, and what to do when there is none
//! - `wire`: one WebSocket from its opening to its end
//! - `over`: how it ends
//! - `pulse`: when to ping, and when silence means that nobody is there, without IO
//! - `push`: an event on its way to the intake, and its acknowledgement
//! - `keeper`: the task that holds it all together
//!
//! **Invariant:** an event with something for us is acknowledged with success only when the intake
//! has it on disk, and only on the connection that brought it. What is not comes again.
//!
//! **Invariant:** the URL of a connection is a credential and is in no log and no error.

mod deadlines;
mod keeper;
mod lock;
mod opening;
mod over;
mod pulse;
mod push;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use tieline_channel::Intake;
use tieline_channel::health::HealthBoard;
use tieline_net::lines;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::deadlines::Deadlines;
use self::keeper::Keeper;
use crate::account::Account;
use crate::api::Failure;
use crate::inbound::{self, Delivered};

/// Says what an event means.
#[async_trait]
trait Reader: Send + Sync {
    /// Makes sure that events can be read.
    ///
    /// # Errors
    ///
    /// When they cannot be read now.
    async fn prepare(&self) -> Result<(), Failure>;

    /// Reads the payload of one event.
    ///
    /// # Errors
    ///
    /// When it cannot be read for now; it must come again.
    async fn read(&self, payload: &[u8]) -> Result<Delivered, Failure>;
}

/// Reads events as the app that we are.
struct AccountReader(Arc<Account>);

#[async_trait]
impl Reader for AccountReader {
    async fn prepare(&self) -> Result<(), Failure> {
        self.0.identity().await.map(drop)
    }

    async fn read(&self, payload: &[u8]) -> Result<Delivered, Failure> {
        inbound::lookup::read(&self.0, payload).await
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
    let deadlines = Deadlines::FEISHU;
    run_with(account, health, reader, intake, reconnect, deadlines, stop).await;
}

async fn run_with(
    account: &Arc<Account>,
    health: &HealthBoard,
    reader: Arc<dyn Reader>,
    intake: Arc<dyn Intake>,
    reconnect: &Notify,
    deadlines: Deadlines,
    stop: CancellationToken,
) {
    let (queue, works) = lines::queue();
    let hands = Arc::new(push::Hands(Arc::clone(&reader)));
    let keeper = Keeper::new(account, health, reconnect, reader, queue, deadlines);
    // The keeper goes first and takes its end of the queue with it; that ends the other.
    tokio::join!(
        keeper.run(&stop),
        lines::run(works, hands, intake, &stop, deadlines.patience.drain),
    );
}
