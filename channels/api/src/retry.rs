//! When to try again: the named policies, and the only user of the `backoff` crate.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// A run this long counts as healthy: the next failure starts from the beginning.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// When a dead child is replaced.
///
/// The first restart after a healthy run is immediate: most deaths are single accidents, and
/// somebody is waiting. After that the delay is random between nothing and a ceiling that
/// doubles from `base` to `max` (full jitter, so that several dispatchers on one machine do not
/// start in step), for ever.
#[derive(Debug)]
pub struct RestartPolicy {
    delays: ExponentialBackoff,
    fresh: bool,
}

impl RestartPolicy {
    /// Makes the policy with its first ceiling and its greatest.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self {
            delays: full_jitter(base, max),
            fresh: true,
        }
    }

    /// Returns how long to wait after a run that was healthy for `uptime`, zero if it never
    /// became ready.
    pub fn after_run(&mut self, uptime: Duration) -> Duration {
        if uptime >= HEALTHY_AFTER {
            self.delays.reset();
            self.fresh = true;
        }
        if std::mem::take(&mut self.fresh) {
            return Duration::ZERO;
        }
        next(&mut self.delays)
    }
}

/// When something that failed for now is tried again: 0–1 s at first, doubling to 0–30 s.
#[derive(Debug)]
pub struct RetryPolicy(ExponentialBackoff);

impl RetryPolicy {
    /// Makes the policy.
    pub fn new() -> Self {
        Self::between(Duration::from_secs(1), Duration::from_secs(30))
    }

    /// Makes a policy with another first ceiling and another greatest.
    pub fn between(base: Duration, max: Duration) -> Self {
        Self(full_jitter(base, max))
    }

    /// Returns how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        next(&mut self.0)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The crate spreads a delay around the interval; full jitter up to a ceiling is therefore half
/// the ceiling with a factor of one.
fn full_jitter(base: Duration, max: Duration) -> ExponentialBackoff {
    // Nothing would stay nothing however often it is doubled.
    let base = base.max(Duration::from_millis(1));
    let max = max.max(base);
    let mut delays = ExponentialBackoff {
        initial_interval: base / 2,
        max_interval: max / 2,
        multiplier: 2.0,
        randomization_factor: 1.0,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    delays.reset();
    delays
}

fn next(delays: &mut ExponentialBackoff) -> Duration {
    // `None` is for policies that give up; ours has no `max_elapsed_time`.
    delays.next_backoff().unwrap_or(delays.max_interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(30);

    /// Asserts that over many runs the delays fill the room below each ceiling, in seconds.
    fn assert_ceilings<const N: usize>(ceilings: [f64; N], run: impl Fn() -> [Duration; N]) {
        let mut least = [f64::MAX; N];
        let mut greatest = [0.0_f64; N];
        for _ in 0..2_000 {
            for (index, delay) in run().iter().enumerate() {
                least[index] = least[index].min(delay.as_secs_f64());
                greatest[index] = greatest[index].max(delay.as_secs_f64());
            }
        }
        for (index, ceiling) in ceilings.iter().enumerate() {
            let (least, greatest) = (least[index], greatest[index]);
            assert!(
                greatest <= ceiling + 1e-6 && greatest > ceiling * 0.95 && least < ceiling * 0.05,
                "delay {index} goes from {least} to {greatest}, not from nothing to {ceiling}"
            );
        }
    }

    #[test]
    fn restarts_wait_at_random_below_a_ceiling_that_doubles_from_base_to_max() {
        assert_ceilings([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0], || {
            let mut policy = RestartPolicy::new(BASE, MAX);
            policy.after_run(Duration::ZERO);
            std::array::from_fn(|_| policy.after_run(Duration::ZERO))
        });
    }

    #[test]
    fn retries_wait_at_random_below_a_ceiling_that_doubles_from_one_to_thirty_seconds() {
        assert_ceilings([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0], || {
            let mut policy = RetryPolicy::new();
            std::array::from_fn(|_| policy.next_delay())
        });
    }

    #[test]
    fn ceilings_follow_odd_settings() {
        let milli = Duration::from_millis(1);
        let second = Duration::from_secs(1);
        for (base, max, ceilings) in [
            (Duration::ZERO, second, [0.001, 0.002, 0.004]),
            (milli * 600, second, [0.6, 1.0, 1.0]),
            (second, second, [1.0, 1.0, 1.0]),
            (second * 2, second, [2.0, 2.0, 2.0]),
        ] {
            assert_ceilings(ceilings, || {
                let mut policy = RetryPolicy::between(base, max);
                std::array::from_fn(|_| policy.next_delay())
            });
        }
    }

    #[test]
    fn retries_never_end() {
        let mut policy = RetryPolicy::between(BASE, MAX);
        let total: Duration = (0..100_000).map(|_| policy.next_delay()).sum();
        assert!(total > MAX * 40_000 && total < MAX * 60_000, "{total:?}");
    }

    #[test]
    fn first_restart_is_immediate_and_the_second_is_not_free() {
        let mut policy = RestartPolicy::new(BASE, MAX);
        assert_eq!(policy.after_run(Duration::from_secs(5)), Duration::ZERO);
        let total: Duration = (0..50)
            .map(|_| policy.after_run(Duration::from_secs(5)))
            .sum();
        assert!(
            total > Duration::from_secs(60),
            "50 quick deaths waited only {total:?}"
        );
    }

    #[test]
    fn a_minute_of_health_starts_over() {
        let mut policy = RestartPolicy::new(BASE, MAX);
        for _ in 0..10 {
            policy.after_run(Duration::ZERO);
        }
        assert_eq!(policy.after_run(HEALTHY_AFTER), Duration::ZERO);
        assert!(policy.after_run(Duration::ZERO) <= BASE);
    }
}
