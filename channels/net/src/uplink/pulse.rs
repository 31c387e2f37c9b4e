//! When to ping, and when silence means that nobody is there.
//!
//! A connection may look alive for hours after a sleep or a change of network while nothing comes
//! by it any more. So each ping has a deadline: whatever comes in keeps it.
//!
//! **Architecture Invariant:** this module does no IO.

use std::time::Duration;

use tokio::time::Instant;

/// The pings of a connection and what is heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pulse {
    /// Between pings.
    every: Duration,
    /// After a ping something must be heard within this.
    within: Duration,
    ping_at: Instant,
    /// When the first ping that nothing was heard after has waited too long.
    dead_at: Option<Instant>,
}

impl Pulse {
    /// Begins with a ping at once.
    pub(super) fn begin(every: Duration, within: Duration, now: Instant) -> Self {
        Self {
            every,
            within,
            ping_at: now,
            dead_at: None,
        }
    }

    /// Returns when to ping.
    pub(super) fn ping_at(&self) -> Instant {
        self.ping_at
    }

    /// Returns when the connection is dead, if nothing is heard before.
    pub(super) fn dead_at(&self) -> Option<Instant> {
        self.dead_at
    }

    /// A ping is sent.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.ping_at = now + self.every;
        self.dead_at.get_or_insert(now + self.within);
    }

    /// Something came in.
    pub(super) fn heard(&mut self) {
        self.dead_at = None;
    }

    /// We listen again after a while in which we did not: silence only counts from now on.
    pub(super) fn listens_again(&mut self, now: Instant) {
        if let Some(dead_at) = &mut self.dead_at {
            *dead_at = now + self.within;
        }
    }

    /// Pings are to be sent this often from now on.
    pub(super) fn ping_every(&mut self, every: Duration, now: Instant) {
        self.every = every;
        self.ping_at = self.ping_at.min(now + every);
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[derive(Debug)]
    enum Step {
        Pinged,
        Heard,
        ListensAgain,
        PingEvery(u64),
    }

    #[test]
    fn pings_and_deadlines_follow_from_what_happens() {
        use Step::{Heard, ListensAgain, PingEvery, Pinged};
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let mut pulse = Pulse::begin(Duration::from_secs(30), Duration::from_secs(20), at(0));
        assert_eq!((pulse.ping_at(), pulse.dead_at()), (at(0), None));
        // When, what; the next ping, the deadline.
        let table = [
            (0, Pinged, 30, Some(20)),
            (1, Heard, 30, None),
            (5, Heard, 30, None),
            (30, Pinged, 60, Some(50)),
            // The older ping counts.
            (40, Pinged, 70, Some(50)),
            (45, ListensAgain, 70, Some(65)),
            (46, Heard, 70, None),
            (47, ListensAgain, 70, None),
            (50, PingEvery(10), 60, None),
            (60, Pinged, 70, Some(80)),
            // A longer pause begins after the next ping.
            (61, PingEvery(100), 70, Some(80)),
            (70, Pinged, 170, Some(80)),
        ];
        for (now, step, ping_at, dead_at) in table {
            match step {
                Pinged => pulse.pinged(at(now)),
                Heard => pulse.heard(),
                ListensAgain => pulse.listens_again(at(now)),
                PingEvery(secs) => pulse.ping_every(Duration::from_secs(secs), at(now)),
            }
            assert_eq!(
                (pulse.ping_at(), pulse.dead_at()),
                (at(ping_at), dead_at.map(at)),
                "{step:?} at {now} s"
            );
        }
    }
}
