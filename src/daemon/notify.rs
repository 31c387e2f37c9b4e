//! What the service manager is told: that the daemon runs, restarts, stops, and, again and again, that
//! it is alive.
//!
//! Alive means that the ledger's thread answers, be it that the disk fails, and that the loop of each
//! dispatcher comes round. When one of them does not, nothing is told, and after `WatchdogSec` of the
//! unit the service manager ends the daemon and starts it again; nothing that was accepted is lost.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::dispatcher::Handle;
use crate::id::DispatcherId;
use crate::ledger::{Counts, Ledger, LedgerError, Lifecycle};

/// How long a part may take to answer: far longer than any commit.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the line of the status is told when nobody watches.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Says that the daemon runs.
pub(super) fn running() {
    tell(&[NotifyState::Ready]);
}

/// Says that the daemon replaces itself, and will say when it runs again.
pub(super) fn restarting() {
    let mut states = vec![NotifyState::Reloading, NotifyState::Watchdog];
    states.extend(NotifyState::monotonic_usec_now());
    states.push(NotifyState::Status("restarting"));
    tell(&states);
}

/// Says that the daemon ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says that the daemon is alive as long as it is, until `stop` is cancelled. Ends at once when there
/// is no service manager.
pub(super) async fn keep_telling(
    ledger: Ledger,
    handles: Arc<BTreeMap<DispatcherId, Handle>>,
    stop: CancellationToken,
) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watched = sd_notify::watchdog_enabled();
    // Twice in each period, as its manual asks, and a third to spare.
    let every = watched.map_or(TELL_EVERY, |period| period / 3);
    let mut was_alive = true;
    loop {
        let alive = stop.run_until_cancelled(look(&ledger, &handles)).await;
        match alive {
            None => return,
            Some(Ok(counts)) => {
                if !was_alive {
                    info!("the daemon is alive again");
                }
                was_alive = true;
                let status = line(counts.as_ref(), &handles);
                tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
            }
            Some(Err(stuck)) => {
                if was_alive {
                    error!(
                        part = stuck,
                        "a part does not answer; the service manager is not told that all is well"
                    );
                }
                was_alive = false;
                tell(&[NotifyState::Status(&format!("stuck: {stuck}"))]);
            }
        }
        if stop.run_until_cancelled(sleep(every)).await.is_none() {
            return;
        }
    }
}

/// Looks whether all parts answer; returns the ledger's counts if it has some, or the part that does
/// not answer.
async fn look(
    ledger: &Ledger,
    handles: &BTreeMap<DispatcherId, Handle>,
) -> Result<Option<Counts>, String> {
    let counts = match timeout(PATIENCE, ledger.counts()).await {
        Ok(Ok(counts)) => Some(counts),
        Ok(Err(LedgerError::Closed)) | Err(_) => return Err("the ledger".to_owned()),
        // Its disk fails; it heals by itself, and a new start would do no better.
        Ok(Err(_)) => None,
    };
    for (id, handle) in handles {
        if !timeout(PATIENCE, handle.pulse()).await.unwrap_or(false) {
            return Err(format!("dispatcher {id}"));
        }
    }
    Ok(counts)
}

/// Returns how things are, in one line.
fn line(counts: Option<&Counts>, handles: &BTreeMap<DispatcherId, Handle>) -> String {
    let is_ready = |handle: &&Handle| handle.condition().record.state == Lifecycle::Ready;
    let ready = handles.values().filter(is_ready).count();
    let waiting = counts.map_or("the disk fails".to_owned(), |counts| {
        format!("{} messages waiting", counts.waiting())
    });
    format!("{ready} of {} dispatchers ready, {waiting}", handles.len())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(failure) = sd_notify::notify(states) {
        debug!(error = %failure, "the service manager cannot be told");
    }
}
