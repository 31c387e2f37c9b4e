//! How long everything may take, as far as that is ours to say.

use std::time::Duration;

use tieline_net::phase::Patience;

/// How long everything may take. Tests have less patience than Feishu deserves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// Finding out who we are.
    pub(super) identity: Duration,
    /// Asking where to connect.
    pub(super) discovery: Duration,
    /// The WebSocket's handshake.
    pub(super) connect: Duration,
    /// After a ping a connection by which nothing comes for so long is dead. Three seconds were
    /// too few in the field.
    pub(super) pong: Duration,
    /// One write. Only a peer that reads nothing makes us wait.
    pub(super) write: Duration,
    /// How long reading may pause for want of room. Feishu gives a delivery up after 3 s.
    pub(super) pause: Duration,
    /// A connection that has to go.
    pub(super) patience: Patience,
    /// How long the peer may take to answer our close frame.
    pub(super) close: Duration,
    /// How long TCP may stay open after the close handshake.
    pub(super) tcp: Duration,
    /// A connection that lived this long was a good one: the next failure is a new accident.
    pub(super) lived: Duration,
    /// Between attempts that need the operator first.
    pub(super) slow: Duration,
    /// Between attempts to serve an app that another process serves, where its end cannot be seen.
    pub(super) lock: Duration,
}

impl Deadlines {
    /// For Feishu itself.
    pub(super) const FEISHU: Self = Self {
        identity: Duration::from_secs(30),
        discovery: Duration::from_secs(15),
        connect: Duration::from_secs(15),
        pong: Duration::from_secs(20),
        write: Duration::from_secs(5),
        pause: Duration::from_secs(2),
        patience: Patience {
            quiet: Duration::from_millis(200),
            retire: Duration::from_secs(3),
            finish: Duration::from_millis(500),
            drain: Duration::from_secs(2),
        },
        close: Duration::from_secs(1),
        tcp: Duration::from_secs(1),
        lived: Duration::from_secs(60),
        slow: Duration::from_secs(60),
        lock: Duration::from_secs(1),
    };
}
