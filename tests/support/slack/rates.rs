//! How often a method may be called.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::options::Rates;
use super::{Knowledge as _, State};

/// The posts that one channel takes at once before it is a post a second.
const POST_BURST: f64 = 3.0;
/// What was on its way already when the limit was told is forgiven.
const GRACE: Duration = Duration::from_millis(250);

/// When which method was called.
#[derive(Debug, Default)]
pub(super) struct Meter {
    calls: BTreeMap<String, VecDeque<Instant>>,
    /// How many posts a channel has left, and when that was.
    posts: BTreeMap<String, (f64, Instant)>,
    /// Until when a method was told to wait, and since when.
    closed: BTreeMap<String, (Instant, Instant)>,
}

/// How often a method may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// So many calls a minute.
    PerMinute(usize),
    /// A call a second for each channel.
    Posting,
    /// Not counted.
    Free,
}

impl State {
    /// Counts a call; returns the seconds to wait when it is too much.
    pub(super) fn count(&mut self, method: &str, channel: Option<&str>, tier: Tier) -> Option<u64> {
        let key = key(method, channel, tier);
        let now = Instant::now();
        if let Some((since, until)) = self.meter.closed.get(&key).copied()
            && now < until
        {
            if now > since + GRACE {
                let left = (until - now).as_millis();
                self.violation(format!(
                    "{key}: called {left} ms before Retry-After was over"
                ));
            }
            return Some((until - now).as_secs() + 1);
        }
        let (most, window) = match (self.options.rates, tier) {
            (Rates::Off, _) | (_, Tier::Free) => return None,
            (Rates::Real, Tier::PerMinute(most)) => (most, Duration::from_secs(60)),
            (Rates::Real, Tier::Posting) => {
                let wait = self.take_post(&key, now)?;
                self.close(method, channel, tier, wait);
                return Some(wait);
            }
        };
        let calls = self.meter.calls.entry(key).or_default();
        while calls.front().is_some_and(|at| now - *at >= window) {
            calls.pop_front();
        }
        if calls.len() < most {
            calls.push_back(now);
            return None;
        }
        let wait = (window - (now - calls[0])).as_secs() + 1;
        self.close(method, channel, tier, wait);
        Some(wait)
    }

    /// Takes one of the posts that a channel has left; returns the seconds to wait when there is
    /// none.
    fn take_post(&mut self, key: &str, now: Instant) -> Option<u64> {
        let (left, at) = self
            .meter
            .posts
            .entry(key.to_owned())
            .or_insert((POST_BURST, now));
        let refilled = (now - *at).as_secs_f64();
        *left = (*left + refilled).min(POST_BURST);
        *at = now;
        if *left < 1.0 {
            return Some(1);
        }
        *left -= 1.0;
        None
    }

    /// Takes note that a method was told to wait.
    pub(super) fn close(&mut self, method: &str, channel: Option<&str>, tier: Tier, seconds: u64) {
        let now = Instant::now();
        let until = now + Duration::from_secs(seconds);
        self.meter
            .closed
            .insert(key(method, channel, tier), (now, until));
    }
}

fn key(method: &str, channel: Option<&str>, tier: Tier) -> String {
    match (tier, channel) {
        (Tier::Posting, Some(channel)) => format!("{method} {channel}"),
        _ => method.to_owned(),
    }
}
