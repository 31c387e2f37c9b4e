//! What may differ between mocks.

use std::collections::BTreeSet;
use std::time::Duration;

/// What may differ between mocks. The default is the real thing but for rate limits.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The scopes of the app.
    pub(crate) scopes: BTreeSet<String>,
    /// Whether calls are counted.
    pub(crate) rates: Rates,
    /// How long things take.
    pub(crate) timing: Timing,
    /// How payloads are cut into parts.
    pub(crate) cut: Cut,
    /// The most connections that the app may have.
    pub(crate) max_connections: usize,
    /// The most that one page has, whatever the limit of a call.
    pub(crate) page_size: usize,
    /// Whether messages may be of the same millisecond.
    pub(crate) same_times: bool,
    /// Whether what the app recalls itself is told to it.
    pub(crate) tells_own_recalls: bool,
}

/// Whether calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rates {
    /// No.
    Off,
    /// As documented: 50 a second and 1000 a minute for each API, 5 a second for each chat.
    Real,
}

/// How payloads are cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Every payload in one frame.
    Whole,
    /// In parts of so many bytes, in order.
    InOrder(usize),
    /// In parts of so many bytes, the last one first, and one of them twice.
    Shuffled(usize),
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long an acknowledgement may take.
    pub(crate) ack: Duration,
    /// How long after a push that failed the four others come.
    pub(crate) redeliveries: [Duration; 4],
    /// `PingInterval`, in seconds.
    pub(crate) ping: u64,
    /// `ReconnectInterval`, in seconds.
    pub(crate) reconnect: u64,
    /// `ReconnectNonce`, in seconds.
    pub(crate) nonce: u64,
    /// How long a ping may be late.
    pub(crate) ping_grace: Duration,
    /// How long a token lives.
    pub(crate) token: Duration,
    /// How long a `uuid` is remembered.
    pub(crate) uuid: Duration,
    /// How long a message whose answer is lost counts as being sent.
    pub(crate) sending: Duration,
    /// How old a connection becomes before it is closed.
    pub(crate) life: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let scopes = [
            "contact:contact.base:readonly",
            "contact:user.base:readonly",
            "im:chat.members:read",
            "im:chat:read",
            "im:message.group_at_msg.include_bot:readonly",
            "im:message.group_at_msg:readonly",
            "im:message.group_msg",
            "im:message.p2p_msg:readonly",
            "im:message.reactions:write_only",
            "im:message:readonly",
            "im:message:recall",
            "im:message:send_as_bot",
            "im:message:update",
            "im:resource",
        ];
        Self {
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            rates: Rates::Off,
            timing: Timing::default(),
            cut: Cut::Whole,
            max_connections: 50,
            page_size: 50,
            same_times: true,
            tells_own_recalls: true,
        }
    }
}

impl Options {
    /// Returns the options without one scope.
    pub(crate) fn without_scope(mut self, scope: &str) -> Self {
        assert!(self.scopes.remove(scope), "there is no scope {scope}");
        self
    }

    /// Returns the options with the real rate limits.
    pub(crate) fn with_real_rates(mut self) -> Self {
        self.rates = Rates::Real;
        self
    }

    /// Returns the options with payloads cut in this way.
    pub(crate) fn cut(mut self, cut: Cut) -> Self {
        self.cut = cut;
        self
    }

    /// Returns the options with times that a test can wait for: redelivery within seconds.
    pub(crate) fn hasty(mut self) -> Self {
        self.timing.redeliveries = [300, 1_000, 3_000, 10_000].map(Duration::from_millis);
        self.timing.reconnect = 1;
        self.timing.nonce = 0;
        self
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ack: Duration::from_secs(3),
            redeliveries: [15, 300, 3_600, 21_600].map(Duration::from_secs),
            ping: 120,
            reconnect: 120,
            nonce: 30,
            ping_grace: Duration::from_secs(15),
            token: Duration::from_secs(7_200),
            uuid: Duration::from_secs(3_600),
            sending: Duration::ZERO,
            life: None,
        }
    }
}
