//! How often a call may be made.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::options::Rates;
use super::{Knowledge as _, State};

/// What was on its way already when the limit was told is forgiven.
const GRACE: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// When which call was made.
#[derive(Debug, Default)]
pub(super) struct Meter {
    calls: BTreeMap<String, VecDeque<Instant>>,
    /// Since and until when a method was told to wait.
    closed: BTreeMap<String, (Instant, Instant)>,
}

/// A call that is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// Of its API: 429 with the seconds to wait.
    Api(u64),
    /// Of a chat or message: 230020.
    Chat,
}

impl State {
    /// Counts a call of a method about something: a chat that is posted to, a card that changes.
    pub(super) fn count(&mut self, method: &str, about: Option<&str>) -> Result<(), Excess> {
        let now = Instant::now();
        if let Some((since, until)) = self.meter.closed.get(method).copied()
            && now < until
        {
            if now > since + GRACE {
                let left = (until - now).as_millis();
                self.violation(format!("{method}: called {left} ms before it may be"));
            }
            return Err(Excess::Api((until - now).as_secs() + 1));
        }
        if self.options.rates == Rates::Off {
            return Ok(());
        }
        let api = [(50, SECOND), (1_000, MINUTE)];
        if let Err(wait) = self.meter.take(method, now, &api) {
            let seconds = wait.as_secs() + 1;
            self.close(method, seconds);
            return Err(Excess::Api(seconds));
        }
        if let Some(about) = about
            && self.meter.take(about, now, &[(5, SECOND)]).is_err()
        {
            return Err(Excess::Chat);
        }
        Ok(())
    }

    /// Takes note that a method was told to wait.
    pub(super) fn close(&mut self, method: &str, seconds: u64) {
        let now = Instant::now();
        let until = now + Duration::from_secs(seconds);
        self.meter.closed.insert(method.to_owned(), (now, until));
    }
}

impl Meter {
    /// Counts one more, or returns how long it is until there may be.
    fn take(
        &mut self,
        key: &str,
        now: Instant,
        limits: &[(usize, Duration)],
    ) -> Result<(), Duration> {
        let calls = self.calls.entry(key.to_owned()).or_default();
        while calls.front().is_some_and(|at| now - *at >= MINUTE) {
            calls.pop_front();
        }
        for (most, window) in limits {
            let recent = calls.iter().rev().take_while(|at| now - **at < *window);
            if recent.count() >= *most {
                return Err(*window - (now - calls[calls.len() - most]));
            }
        }
        calls.push_back(now);
        Ok(())
    }
}
