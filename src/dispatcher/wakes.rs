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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn lanes(names: &[&str]) -> HashSet<LaneId> {
        names.iter().map(|name| LaneId::new(*name)).collect()
    }

    #[tokio::test]
    async fn a_lane_woken_many_times_is_taken_once() {
        let wakes = Wakes::default();
        for name in ["a", "b", "a", "a"] {
            wakes.add(LaneId::new(name));
        }
        assert_eq!(wakes.take().await, lanes(&["a", "b"]));
        assert!(wakes.take().now_or_never().is_none(), "taken twice");
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_the_next_one() {
        let wakes = Wakes::default();
        let mut take = Box::pin(wakes.take());
        assert!(take.as_mut().now_or_never().is_none());
        wakes.add(LaneId::new("a"));
        assert_eq!(take.await, lanes(&["a"]));
    }

    #[tokio::test]
    async fn what_was_woken_while_a_waiter_was_dropped_is_not_lost() {
        let wakes = Wakes::default();
        let mut take = Box::pin(wakes.take());
        assert!(take.as_mut().now_or_never().is_none());
        wakes.add(LaneId::new("a"));
        drop(take);
        assert_eq!(wakes.take().await, lanes(&["a"]));
    }
}
