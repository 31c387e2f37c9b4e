//! The long connection: how it is opened, and the events that come by it.
//!
//! - `lock`: one process of this machine for each app
//! - `opening`: from nothing to an open connection, and what to do when there is none
//! - `session`: what goes over one connection
//! - `push`: an event on its way to the intake, and its acknowledgement
//! - `deadlines`: how long everything may take
//!
//! The connection is kept up by [`uplink`].
//!
//! **Invariant:** an event with something for us is acknowledged with success only when the intake
//! has it on disk, and only on the connection that brought it. What is not comes again.
//!
//! **Invariant:** the URL of a connection is a credential and is in no log and no error.

mod deadlines;
mod lock;
mod opening;
mod push;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tieline_channel::Intake;
use tieline_channel::health::HealthBoard;
use tieline_net::uplink::{self, Meaning, Reader, Unreadable};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::error;

use self::deadlines::Deadlines;
use self::opening::Feishu;
use self::push::Push;
use crate::account::Account;
use crate::api::Failure;
use crate::inbound::{self, Delivered};

/// Says what events mean.
#[async_trait]
trait EventReader: Reader<Push> {
    /// Makes sure that events can be read.
    ///
    /// # Errors
    ///
    /// When they cannot be read now.
    async fn prepare(&self) -> Result<(), Failure>;
}

/// Reads events as the app that we are.
struct AccountReader(Arc<Account>);

#[async_trait]
impl EventReader for AccountReader {
    async fn prepare(&self) -> Result<(), Failure> {
        self.0.identity().await.map(drop)
    }
}

#[async_trait]
impl Reader<Push> for AccountReader {
    async fn read(&self, push: &Push) -> Result<Meaning, Unreadable> {
        Ok(match inbound::lookup::read(&self.0, &push.payload).await? {
            // What it lacks was looked up as far as it could be.
            Delivered::Event { event, .. } => Meaning::Event(event),
            Delivered::Nothing(reason) => Meaning::Nothing(reason),
        })
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
    reader: Arc<dyn EventReader>,
    intake: Arc<dyn Intake>,
    reconnect: &Notify,
    deadlines: Deadlines,
    stop: CancellationToken,
) {
    let settings = &account.settings;
    let taken = |remedy: String| {
        error!(remedy, "not connecting to Feishu until somebody acts");
        health.needs_operator(remedy);
    };
    let lock = lock::take(&settings.app_id, &settings.base_url, deadlines.lock, taken);
    let Some(_lock) = stop.run_until_cancelled(lock).await else {
        return;
    };
    let feishu = Arc::new(Feishu {
        account: Arc::clone(account),
        reader: Arc::clone(&reader),
        deadlines,
    });
    let timing = deadlines.uplink;
    uplink::run(feishu, reader, intake, health, reconnect, timing, &stop).await;
}
