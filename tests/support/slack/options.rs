//! What may differ between mocks.

use std::collections::BTreeSet;
use std::time::Duration;

/// What may differ between mocks. The default is the real thing but for rate limits.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The scopes of the bot token.
    pub(crate) scopes: BTreeSet<String>,
    /// Whether calls are counted.
    pub(crate) rates: Rates,
    /// How long things take.
    pub(crate) timing: Timing,
    /// In which order a mention's two events come.
    pub(crate) mention_order: MentionOrder,
    /// The most that one page has, whatever the limit of a call.
    pub(crate) page_size: usize,
    /// What the open connections are called in `hello`, beyond those that there are.
    pub(crate) strangers: usize,
}

/// Whether calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rates {
    /// No.
    Off,
    /// As the real Slack says it does: windows of a minute for each method, and a post a second
    /// for each channel with short bursts.
    Real,
}

/// In which order a mention's two events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MentionOrder {
    /// `app_mention`, then `message`.
    MentionFirst,
    /// `message`, then `app_mention`.
    MessageFirst,
    /// The one and the other.
    Alternating,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// How long an acknowledgement may take.
    pub(crate) ack: Duration,
    /// How long after a missed acknowledgement the three retries come.
    pub(crate) retries: [Duration; 3],
    /// How often a connection is pinged.
    pub(crate) ping: Duration,
    /// How long a pong may take.
    pub(crate) pong: Duration,
    /// How long after `warning` the `refresh_requested` comes, and after this the end.
    pub(crate) refresh: Duration,
    /// How old a connection becomes before it is refreshed.
    pub(crate) life: Option<Duration>,
    /// How long after a completed upload its message appears.
    pub(crate) share: Duration,
    /// How long a native status stays.
    pub(crate) status: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let scopes = [
            "app_mentions:read",
            "channels:history",
            "channels:read",
            "chat:write",
            "commands",
            "files:read",
            "files:write",
            "groups:history",
            "groups:read",
            "im:history",
            "im:read",
            "im:write",
            "mpim:history",
            "mpim:read",
            "reactions:read",
            "reactions:write",
            "users:read",
        ];
        Self {
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            rates: Rates::Off,
            timing: Timing::default(),
            mention_order: MentionOrder::Alternating,
            page_size: 200,
            strangers: 0,
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

    /// Returns the options with times that a test can wait for: retries within a second.
    pub(crate) fn hasty(mut self) -> Self {
        self.timing.retries = [
            Duration::ZERO,
            Duration::from_millis(300),
            Duration::from_millis(600),
        ];
        self.timing.refresh = Duration::from_millis(200);
        self
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ack: Duration::from_secs(3),
            retries: [
                Duration::ZERO,
                Duration::from_secs(60),
                Duration::from_secs(300),
            ],
            ping: Duration::from_secs(5),
            pong: Duration::from_secs(20),
            refresh: Duration::from_secs(10),
            life: None,
            share: Duration::from_millis(50),
            status: Duration::from_secs(120),
        }
    }
}
