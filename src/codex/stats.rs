//! Figures about a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Figures about a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientStats {
    /// Frames that could not be read.
    pub bad_frames: u64,
    /// Answers nobody waited for any more.
    pub late_answers: u64,
    /// Events that were left out because their reader was behind.
    pub dropped_events: u64,
    /// Notifications we have no use for.
    pub unknown_notifications: u64,
}

/// Where the figures are kept up.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) bad_frames: AtomicU64,
    pub(super) late_answers: AtomicU64,
    pub(super) dropped_events: AtomicU64,
    pub(super) unknown_notifications: AtomicU64,
}

impl Counters {
    /// Returns the figures of this moment.
    pub(super) fn read(&self) -> ClientStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClientStats {
            bad_frames: read(&self.bad_frames),
            late_answers: read(&self.late_answers),
            dropped_events: read(&self.dropped_events),
            unknown_notifications: read(&self.unknown_notifications),
        }
    }
}
