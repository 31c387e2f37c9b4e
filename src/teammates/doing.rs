//! What teammates are doing at this moment, by their own words or what is seen of them. Kept in memory:
//! it is of no use to the next run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::id::LaneId;

/// How many characters of what one says are kept.
const MAX_CHARS: usize = 300;

/// What one was doing when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// In its own words, or ours, on one line.
    pub text: String,
    /// When.
    pub at: SystemTime,
}

/// What the lanes with a running turn do. Cheap to clone; one entry for each of them at most.
#[derive(Clone, Debug, Default)]
pub struct WhatTheyDo(Arc<Mutex<HashMap<LaneId, Doing>>>);

impl WhatTheyDo {
    /// Notes what a lane does.
    pub fn note(&self, lane: &LaneId, text: &str) {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let doing = Doing {
            text: tieline_channel::cut(&line, MAX_CHARS),
            at: SystemTime::now(),
        };
        self.all().insert(lane.clone(), doing);
    }

    /// Notes that a lane does nothing any more.
    pub fn forget(&self, lane: &LaneId) {
        self.all().remove(lane);
    }

    /// Returns what a lane does, if it does anything.
    pub fn of(&self, lane: &LaneId) -> Option<Doing> {
        self.all().get(lane).cloned()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<LaneId, Doing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
