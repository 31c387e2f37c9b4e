//! How far a connection is: from its orders to its end, without IO.

use std::time::Duration;

use tokio::time::Instant;

/// How long a connection that has to go may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A replaced connection by which nothing came for this long has brought all it had.
    pub quiet: Duration,
    /// How long a replaced connection may go on until it is quiet.
    pub retire: Duration,
    /// How long what is in flight may take on a connection that has to go.
    pub finish: Duration,
    /// How long what is in flight may take after `stop`.
    pub drain: Duration,
}

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// There is another one: end when nothing comes any longer and nothing is in flight.
    Retire,
    /// End soon: take nothing more, acknowledge what is in flight.
    Close,
    /// As [`Close`](Self::Close), with the patience of the channel's end.
    Stop,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It reads.
    Serving,
    /// It reads until nothing comes any longer.
    Retiring {
        /// Since when.
        since: Instant,
    },
    /// It only acknowledges.
    Finishing {
        /// By when it ends in any case.
        until: Instant,
    },
}

/// What goes on on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    /// Whether a delivery is without a settlement, or without a place in the queue.
    pub(super) is_in_flight: bool,
    /// When the last delivery came.
    pub(super) delivered_at: Option<Instant>,
}

/// What follows from a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is this phase now; ask again then, or when something happened.
    Phase(Phase, Option<Instant>),
    /// The connection ends.
    End,
}

impl Phase {
    /// Returns what an order means.
    pub(super) fn ordered(order: Order, patience: &Patience, now: Instant) -> Self {
        let until = match order {
            Order::Serve => return Self::Serving,
            Order::Retire => return Self::Retiring { since: now },
            Order::Close => now + patience.finish,
            // The queue drops the rest a little earlier, and then there is nothing to wait for.
            Order::Stop => now + patience.drain + patience.finish,
        };
        Self::Finishing { until }
    }

    /// Whether deliveries are taken.
    pub(super) fn reads(self) -> bool {
        match self {
            Self::Serving | Self::Retiring { .. } => true,
            Self::Finishing { .. } => false,
        }
    }

    /// Returns what follows.
    pub(super) fn next(self, traffic: Traffic, patience: &Patience, now: Instant) -> Next {
        match self {
            Self::Serving => Next::Phase(self, None),
            Self::Retiring { since } => {
                let until = since + patience.retire;
                let quiet_at = traffic.delivered_at.unwrap_or(since).max(since) + patience.quiet;
                if now >= until {
                    let until = now + patience.finish;
                    Self::Finishing { until }.next(traffic, patience, now)
                } else if traffic.is_in_flight {
                    Next::Phase(self, Some(until))
                } else if now < quiet_at {
                    Next::Phase(self, Some(quiet_at.min(until)))
                } else {
                    Next::End
                }
            }
            Self::Finishing { until } => {
                if traffic.is_in_flight && now < until {
                    Next::Phase(self, Some(until))
                } else {
                    Next::End
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn phases_follow_from_orders_traffic_and_time() {
        let patience = Patience {
            quiet: Duration::from_millis(200),
            retire: Duration::from_secs(3),
            finish: Duration::from_millis(500),
            drain: Duration::from_secs(2),
        };
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let retiring = Phase::Retiring { since: at(0) };
        let finishing = |until| Phase::Finishing { until: at(until) };
        let stay = |phase, wakes_at: u64| Next::Phase(phase, Some(at(wakes_at)));
        // Phase, in flight, last delivery, now; what follows.
        let cases = [
            (
                Phase::Serving,
                true,
                None,
                0,
                Next::Phase(Phase::Serving, None),
            ),
            (
                Phase::Serving,
                false,
                None,
                9_999,
                Next::Phase(Phase::Serving, None),
            ),
            (retiring, false, None, 0, stay(retiring, 200)),
            (retiring, false, None, 199, stay(retiring, 200)),
            (retiring, false, None, 200, Next::End),
            (retiring, false, Some(100), 200, stay(retiring, 300)),
            (retiring, false, Some(2_900), 2_950, stay(retiring, 3_000)),
            (retiring, true, Some(100), 2_000, stay(retiring, 3_000)),
            (
                retiring,
                true,
                Some(100),
                3_000,
                stay(finishing(3_500), 3_500),
            ),
            (retiring, false, Some(2_999), 3_000, Next::End),
            (finishing(500), true, None, 499, stay(finishing(500), 500)),
            (finishing(500), true, None, 500, Next::End),
            (finishing(500), false, Some(10), 10, Next::End),
        ];
        for (phase, is_in_flight, delivered_at, now, expected) in cases {
            let traffic = Traffic {
                is_in_flight,
                delivered_at: delivered_at.map(at),
            };
            assert_eq!(
                phase.next(traffic, &patience, at(now)),
                expected,
                "{phase:?} {traffic:?} at {now} ms"
            );
        }
        for (order, phase) in [
            (Order::Serve, Phase::Serving),
            (Order::Retire, retiring),
            (Order::Close, finishing(500)),
            (Order::Stop, finishing(2_500)),
        ] {
            assert_eq!(Phase::ordered(order, &patience, at(0)), phase, "{order:?}");
        }
    }
}
