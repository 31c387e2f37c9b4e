//! How long everything may take, as far as that is ours to say.

use std::time::Duration;

use tieline_net::uplink::Timing;

/// How long everything may take. Tests have less patience than Feishu deserves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// Finding out who we are.
    pub(super) identity: Duration,
    /// Asking where to connect.
    pub(super) discovery: Duration,
    /// The WebSocket's handshake.
    pub(super) connect: Duration,
    /// Between attempts to serve an app that another process serves, where its end cannot be seen.
    pub(super) lock: Duration,
    /// Everything else.
    pub(super) uplink: Timing,
}

impl Deadlines {
    /// For Feishu itself.
    pub(super) const FEISHU: Self = Self {
        identity: Duration::from_secs(30),
        discovery: Duration::from_secs(15),
        connect: Duration::from_secs(15),
        lock: Duration::from_secs(1),
        uplink: Timing::USUAL,
    };
}
