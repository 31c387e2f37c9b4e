//! When to read, from when on, and what to think of what was found. Does no IO.

use std::time::{Duration, SystemTime};

use tieline_channel::{CaughtUp, Health, Link};
use tokio::time::Instant;

use super::Pace;
use crate::ledger::HistoryMark;

/// Why history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The connection has come up: what was written before is to be expected.
    Connected,
    /// It has been up all the time since it was last read: nothing is to be expected.
    Periodic {
        /// Since when.
        up_since: SystemTime,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until then, or until the connection changes.
    Wait {
        /// When; without, only the connection can change it.
        until: Option<Instant>,
    },
    /// To read.
    Read(Occasion),
}

/// What has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The connection for which it was read last, by when it came up, and when that was done.
    last: Option<(SystemTime, Instant)>,
    /// The last attempt failed; not again before this.
    not_before: Option<Instant>,
}

impl Reading {
    /// Returns what is to be done now.
    pub(super) fn next(self, health: &Health, now: Instant, every: Duration) -> Next {
        match health.link {
            Link::Up => {}
            Link::Connecting | Link::Down | Link::NeedsOperator | Link::Stopped => {
                return Next::Wait { until: None };
            }
        }
        if let Some(not_before) = self.not_before.filter(|not_before| *not_before > now) {
            return Next::Wait {
                until: Some(not_before),
            };
        }
        match self.last {
            Some((up_since, at)) if up_since == health.since => {
                if now >= at + every {
                    Next::Read(Occasion::Periodic { up_since })
                } else {
                    Next::Wait {
                        until: Some(at + every),
                    }
                }
            }
            Some(_) | None => Next::Read(Occasion::Connected),
        }
    }

    /// Returns what it is after a reading that was begun while the connection was `health`.
    pub(super) fn succeeded(self, health: &Health, now: Instant) -> Self {
        Self {
            last: Some((health.since, now)),
            not_before: None,
        }
    }

    /// Returns what it is after a reading that failed.
    pub(super) fn failed(self, not_before: Instant) -> Self {
        Self {
            not_before: Some(not_before),
            ..self
        }
    }
}

/// Returns from when on to read.
pub(super) fn since(mark: HistoryMark, now: SystemTime, pace: &Pace) -> SystemTime {
    let before =
        |at: SystemTime, by: Duration| at.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH);
    // A clock that was ahead has left a mark that lies ahead.
    before(mark.caught_up_to.min(now), pace.margin)
        .max(mark.begun_at.min(now))
        .max(before(now, pace.furthest))
}

/// Returns whether what was found shows that the connection brings nothing although it was up when
/// it was written, and has had the time to bring it.
pub(super) fn is_deaf(occasion: Occasion, found: &CaughtUp, now: SystemTime, pace: &Pace) -> bool {
    let (Occasion::Periodic { up_since }, Some(written_at)) = (occasion, found.oldest_missed)
    else {
        return false;
    };
    let age = now.duration_since(written_at).unwrap_or_default();
    found.missed > 0 && up_since <= written_at && age >= pace.patience
}

/// How often in a row the connection was found deaf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deafness {
    in_a_row: u32,
}

impl Deafness {
    /// After this many times in a row it is no accident, and making the connection anew has not
    /// helped.
    const IN_VAIN: u32 = 3;

    /// Every so many times it is tried all the same.
    const RARELY: u32 = 6;

    /// Notes what a reading showed, and returns whether the connection is to be made anew. A
    /// platform may be set up not to bring all that its history shows: then that must not cost the
    /// connection at every reading.
    pub(super) fn after(&mut self, occasion: Occasion, is_deaf: bool) -> bool {
        match occasion {
            Occasion::Connected => return false,
            Occasion::Periodic { .. } if is_deaf => self.in_a_row = self.in_a_row.saturating_add(1),
            Occasion::Periodic { .. } => self.in_a_row = 0,
        }
        is_deaf && (self.in_a_row <= Self::IN_VAIN || self.in_a_row.is_multiple_of(Self::RARELY))
    }
}
