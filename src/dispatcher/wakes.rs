//! "There is work for this lane": said from anywhere, never blocking, as often as one likes.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::id::LaneId;

/// The lanes that have been woken and not yet looked at. Bounded by the number of lanes.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    lanes: Mutex<HashSet<LaneId>>,
    some: Notify,
}

impl Wakes {
    /// Adds a lane.
    pub(super) fn add(&self, lane: LaneId) {
        self.lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(lane);
        self.some.notify_one();
    }

    /// Waits until there are some, and takes them. Cancel-safe.
    pub(super) async fn take(&self) -> HashSet<LaneId> {
        loop {
            let taken =
                std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.some.notified().await;
        }
    }
}
