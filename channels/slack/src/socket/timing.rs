//! How long everything may take.

use std::time::Duration;

use tieline_net::phase::Patience;

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
    /// Without any frame a connection is dead after this; holds several pings.
    pub(super) silence: Duration,
    /// One write. Only a peer that reads nothing makes us wait.
    pub(super) write: Duration,
    /// How long reading may pause for want of room. Slack gives a delivery up after 3 s, and pings
    /// want to be answered.
    pub(super) pause: Duration,
    /// A connection that has to go.
    pub(super) patience: Patience,
    /// How long the peer may take to answer our close frame.
    pub(super) close: Duration,
    /// How long TCP may stay open after the close handshake: Slack leaves that to us.
    pub(super) tcp: Duration,
    /// Between attempts that need the operator first.
    pub(super) slow: Duration,
}

impl Timing {
    /// For Slack itself.
    pub(super) const SLACK: Self = Self {
        call: Duration::from_secs(30),
        connect: Duration::from_secs(10),
        hello: Duration::from_secs(10),
        ping: Duration::from_secs(7),
        silence: Duration::from_secs(25),
        write: Duration::from_secs(5),
        pause: Duration::from_secs(5),
        patience: Patience {
            quiet: Duration::from_millis(200),
            retire: Duration::from_secs(3),
            finish: Duration::from_millis(500),
            drain: Duration::from_secs(2),
        },
        close: Duration::from_secs(1),
        tcp: Duration::from_secs(1),
        slow: Duration::from_secs(60),
    };
}
