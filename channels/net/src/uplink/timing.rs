//! How long everything may take that is the same for every platform.

use std::time::Duration;

use super::life::Habits;
use super::phase::Patience;

/// How long everything may take. Tests have less patience than a platform deserves.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How patiently connections are made again. The longest wait holds until the first connection
    /// is there, whose [`Upkeep`](super::Upkeep) has another.
    pub habits: Habits,
    /// After a ping a connection by which nothing comes for so long is dead.
    pub pong: Duration,
    /// One write. Only a peer that reads nothing makes us wait.
    pub write: Duration,
    /// How long reading may pause for want of room. A platform gives a delivery up after some
    /// seconds, and pings want to be answered.
    pub pause: Duration,
    /// A connection that has to go.
    pub patience: Patience,
    /// How long the peer may take to answer our close frame.
    pub close: Duration,
    /// How long TCP may stay open after the close handshake; some leave that to us.
    pub tcp: Duration,
}

impl Timing {
    /// What is good for most platforms.
    pub const USUAL: Self = Self {
        habits: Habits {
            lived: Duration::from_secs(60),
            longest: Duration::from_secs(120),
            slow: Duration::from_secs(60),
        },
        // Three seconds were too few in the field.
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
    };
}
