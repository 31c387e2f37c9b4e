//! Tells of parts that say how they are and do not know events themselves.

use tieline_channel::{Health, Link};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::events::{Event, Events};
use crate::ledger::LedgerHealth;

/// Tells whenever a channel's connection comes or goes, until `stop` is cancelled.
pub(super) async fn tell_channel(
    mut health: watch::Receiver<Health>,
    events: Events,
    stop: CancellationToken,
) {
    let mut told = Link::Connecting;
    loop {
        let now = health.borrow_and_update().clone();
        if now.link != told {
            told = now.link;
            match now.link {
                Link::Up => events.emit(Event::ChannelUp),
                Link::Down | Link::NeedsOperator => events.emit(Event::ChannelDown {
                    needs_operator: now.link == Link::NeedsOperator,
                    reason: now.last_error,
                }),
                Link::Stopped => events.emit(Event::ChannelStopped),
                Link::Connecting => {}
            }
        }
        match stop.run_until_cancelled(health.changed()).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// Tells whenever the ledger begins or ceases to fail, until `stop` is cancelled.
pub(super) async fn tell_ledger(
    mut health: watch::Receiver<LedgerHealth>,
    events: Events,
    stop: CancellationToken,
) {
    let mut is_failing = false;
    loop {
        let now = health.borrow_and_update().clone();
        match now {
            LedgerHealth::Failing { reason, .. } if !is_failing => {
                is_failing = true;
                events.emit(Event::LedgerFailing { reason });
            }
            LedgerHealth::Ok if is_failing => {
                is_failing = false;
                events.emit(Event::LedgerRecovered);
            }
            LedgerHealth::Failing { .. } | LedgerHealth::Ok => {}
        }
        match stop.run_until_cancelled(health.changed()).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}
