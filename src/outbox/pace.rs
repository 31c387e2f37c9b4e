//! How patient a delivery is.

use std::time::Duration;

use tieline_channel::retry::RetryPolicy;

/// How patient a delivery is. Tests are less so.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// The first and the greatest ceiling of the pauses after failures.
    pub(super) retry: (Duration, Duration),
    /// How long one call to the platform may take before its fate counts as unclear.
    pub(super) call: Duration,
    /// How long after an unclear attempt a look-up can be trusted: the platform may still be busy
    /// with the post.
    pub(super) settling: Duration,
    /// The pause while only the operator can mend it.
    pub(super) operator: Duration,
    /// The longest pause that a platform is granted, and that is believed after a restart: the
    /// clock may have been wrong.
    pub(super) longest: Duration,
    /// The pause after the ledger failed.
    pub(super) ledger: Duration,
    /// How long attempts under way may take once the worker is to stop.
    pub(super) grace: Duration,
}

impl Pace {
    /// Returns the pace for everyday use.
    pub(super) fn standard() -> Self {
        Self {
            retry: (Duration::from_secs(1), Duration::from_secs(30)),
            call: Duration::from_secs(60),
            settling: Duration::from_secs(1),
            operator: Duration::from_secs(60),
            longest: Duration::from_secs(60 * 60),
            ledger: Duration::from_secs(1),
            grace: Duration::from_secs(3),
        }
    }

    /// Returns the policy for the failures of one post.
    pub(super) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::between(self.retry.0, self.retry.1)
    }
}
