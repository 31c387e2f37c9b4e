//! How long everything may take.

use std::time::Duration;

use tieline_net::uplink::{self, Habits};

/// How long everything may take. Tests have less patience than Slack deserves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// A call of the Web API on the way to a connection.
    pub(super) call: Duration,
    /// The WebSocket's handshake.
    pub(super) connect: Duration,
    /// From the handshake to `hello`.
    pub(super) hello: Duration,
    /// Between pings of ours.
    pub(super) ping: Duration,
    /// Everything after that.
    pub(super) uplink: uplink::Timing,
}

impl Timing {
    /// For Slack itself.
    pub(super) const SLACK: Self = Self {
        call: Duration::from_secs(30),
        connect: Duration::from_secs(10),
        hello: Duration::from_secs(10),
        ping: Duration::from_secs(7),
        uplink: uplink::Timing {
            habits: Habits {
                lived: Duration::from_secs(5),
                longest: Duration::from_secs(30),
                ..uplink::Timing::USUAL.habits
            },
            // With the 7 s before a ping: what a connection may be silent for.
            pong: Duration::from_secs(18),
            pause: Duration::from_secs(5),
            ..uplink::Timing::USUAL
        },
    };
}
