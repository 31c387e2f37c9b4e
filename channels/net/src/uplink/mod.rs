//! A channel's connection to its platform, kept up, and what comes by it handed in.
//!
//! A [`Platform`] opens connections and judges why that fails; its [`Session`] knows what goes over
//! one of them. All else is the same for every platform and is here:
//!
//! - `platform`: what a platform has of its own
//! - `timing`: how long everything may take
//! - `keeper`: the task that holds the connections together
//! - `connection`: one connection from its opening to its end
//! - `life`: which connections there should be, as a state machine without IO
//! - `phase`: how far one connection is on its way to its end, without IO
//! - `lines`: what comes by them, on its way to the intake
//! - `room`: what becomes of a delivery that finds the queue full, without IO
//! - `pulse`: when to ping, and when silence means that nobody is there, without IO
//!
//! **Architecture Invariant:** a delivery is acknowledged as taken only when the intake has it on
//! disk, and only on the connection that brought it. What is not comes again.
//!
//! **Architecture Invariant:** no URL comes here: it may be a credential.

mod connection;
mod keeper;
mod life;
mod lines;
mod phase;
mod platform;
mod pulse;
mod room;
#[cfg(test)]
mod tests;
mod timing;

use std::future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tieline_channel::Intake;
use tieline_channel::health::HealthBoard;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::keeper::Keeper;
pub use self::life::{Habits, Verdict};
pub use self::lines::{Delivery, Meaning, Outcome, Reader, Unreadable};
pub use self::phase::Patience;
pub use self::platform::{Arrival, DeliveryOf, Heard, Opened, Platform, Session, SlipOf, Upkeep};
pub use self::timing::Timing;

/// A step on the way to a connection took too long.
#[derive(Debug, Error)]
#[error("{step} took more than {within:?}")]
pub struct Late {
    /// What was waited for; the beginning of a sentence.
    pub step: &'static str,
    /// For how long.
    pub within: Duration,
}

/// Keeps a connection up and hands in what comes by it, until `stop` is cancelled. Whoever notifies
/// `reconnect` has it replaced.
pub async fn run<P: Platform>(
    platform: Arc<P>,
    reader: Arc<dyn Reader<DeliveryOf<P>>>,
    intake: Arc<dyn Intake>,
    health: &HealthBoard,
    reconnect: &Notify,
    timing: Timing,
    stop: &CancellationToken,
) {
    let (queue, works) = lines::queue();
    let keeper = Keeper::new(platform, health, reconnect, queue, timing);
    // The keeper goes first and takes its end of the queue with it; that ends the other.
    tokio::join!(
        keeper.run(stop),
        lines::run(works, reader, intake, stop, timing.patience.drain),
    );
}

/// Returns what a step on the way to a connection gives.
///
/// # Errors
///
/// When it takes too long.
pub async fn within<T>(
    step: &'static str,
    within: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Late> {
    timeout(within, future)
        .await
        .map_err(|_elapsed| Late { step, within })
}

/// Waits until then; for ever if there is no such time.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => future::pending().await,
    }
}
