//! What becomes of a delivery that finds the queue full.
//!
//! At first nothing more is read, so that the platform waits as well. When there is no room for a
//! whole pause we read on all the same, because pings want to be answered and pongs to be heard:
//! what comes then is refused, and comes again.
//!
//! **Architecture Invariant:** this module does no IO.

use std::future;
use std::mem;

use tokio::time::Instant;

use super::Arrival;
use super::lines::{Delivery, Place, Queue};

/// Whether there is room for what comes.
pub(super) enum Room<D: Delivery> {
    /// There was for the last one.
    Enough,
    /// Not for this one; nothing more is read before there is, or it is time to refuse it.
    Awaited {
        /// What waits.
        arrival: Arrival<D>,
        /// When it is refused.
        until: Instant,
    },
    /// There was none for a whole pause; what comes is refused at once.
    Exhausted,
}

impl<D: Delivery> Room<D> {
    /// Whether a delivery waits for room.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited { .. })
    }

    /// Returns when what waits is refused.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Awaited { until, .. } => Some(*until),
            Self::Enough | Self::Exhausted => None,
        }
    }

    /// Waits for room for what waits; for ever if nothing does. Cancel-safe.
    pub(super) async fn place(&self, queue: &Queue<D>) -> Place {
        match self {
            Self::Awaited { arrival, .. } => queue.place(arrival.bytes).await,
            Self::Enough | Self::Exhausted => future::pending().await,
        }
    }

    /// Returns what waits, which has room now, or is given up.
    pub(super) fn end_wait(&mut self, next: Self) -> Option<Arrival<D>> {
        match mem::replace(self, next) {
            Self::Awaited { arrival, .. } => Some(arrival),
            Self::Enough | Self::Exhausted => None,
        }
    }
}
