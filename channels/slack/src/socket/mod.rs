//! Socket Mode: how connections are opened, and the envelopes that come by them.
//!
//! - `envelope`: what Slack's frames say
//! - `opening`: from nothing to `hello`
//! - `census`: whether the app has connections that are not ours
//! - `verdict`: what to do about a failure, and what to tell the operator
//! - `session`: what goes over one connection after `hello`
//! - `timing`: how long everything may take
//!
//! The connection is kept up by [`uplink`].
//!
//! **Invariant:** an envelope with something for us is acknowledged only when the intake has it on
//! disk, and only on the connection that delivered it. What is not acknowledged comes again.
//!
//! **Invariant:** the URL of a connection is a credential and is in no log and no error.

mod census;
mod envelope;
mod opening;
mod session;
mod timing;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tieline_channel::Intake;
use tieline_channel::health::HealthBoard;
use tieline_net::uplink::{self, Meaning, Reader, Unreadable};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::census::Census;
pub(crate) use self::envelope::Envelope;
use self::opening::Slack;
use self::timing::Timing;
use crate::account::Account;
use crate::inbound;

/// Reads envelopes as the app that we are.
struct AccountReader(Arc<Account>);

#[async_trait]
impl Reader<Envelope> for AccountReader {
    async fn read(&self, envelope: &Envelope) -> Result<Meaning, Unreadable> {
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
    reader: Arc<dyn Reader<Envelope>>,
    intake: Arc<dyn Intake>,
    reconnect: &Notify,
    timing: Timing,
    stop: CancellationToken,
) {
    let slack = Arc::new(Slack {
        account: Arc::clone(account),
        census: Census::default(),
        timing,
    });
    let timing = timing.uplink;
    uplink::run(slack, reader, intake, health, reconnect, timing, &stop).await;
}
