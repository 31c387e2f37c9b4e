//! How often each method may be called.
//!
//! Each method has a budget of its own, and posting has one more for each channel. A budget is a
//! bucket that fills steadily: what was saved up may be spent at once, a call that finds nothing
//! reserves the next place and waits for it, and a call that would wait for long is turned away
//! with the time at which it is worth coming back. The last places are kept for what is more
//! urgent, so that answers do not queue behind statuses.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::error::CallError;
use super::method::{Method, Urgency};

/// How long a call waits for its turn at the most.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far ahead those are put off that are turned away.
const FURTHEST_PROMISE: Duration = Duration::from_secs(60);

/// From this many channels on, those are forgotten that have not been posted to lately.
const MANY_CHANNELS: usize = 256;

/// One budget: so many calls at once, then one each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    burst: u32,
    interval: Duration,
}

impl Budget {
    const fn per_minute(calls: u64, burst: u32) -> Self {
        Self {
            burst,
            interval: Duration::from_millis(60_000 / calls),
        }
    }

    /// Returns how much is left to those that are more urgent.
    fn kept_from(self, urgency: Urgency) -> u32 {
        match urgency {
            Urgency::Answer => 0,
            Urgency::Ordinary => self.burst / 3,
            Urgency::Low => self.burst / 2,
        }
    }
}

/// What Slack promises to take of each tier; it tolerates more for a moment.
const TIER_2: Budget = Budget::per_minute(20, 10);
const TIER_3: Budget = Budget::per_minute(50, 15);
const TIER_4: Budget = Budget::per_minute(100, 30);
/// Which is not documented: this only keeps a great burst from being refused as a whole.
const WORKSPACE_POSTS: Budget = Budget::per_minute(1_200, 100);
/// One a second, and a little less for what the way there takes now more and now less. No bursts:
/// how short a "short burst" is, is not documented, and a refusal stops posts to all channels.
const CHANNEL_POSTS: Budget = Budget::per_minute(57, 1);
const STATUSES: Budget = Budget::per_minute(600, 40);

/// Returns a method's budget; `None` for what is only left alone when Slack asks for it.
fn budget(method: Method) -> Option<Budget> {
    match method {
        // Its callers keep their own distance, and an open connection matters more than a 429.
        Method::AppsConnectionsOpen => None,
        Method::ChatPostMessage => Some(WORKSPACE_POSTS),
        Method::SetStatus => Some(STATUSES),
        Method::ReactionsRemove | Method::ConversationsList => Some(TIER_2),
        Method::ChatUpdate
        | Method::ChatDelete
        | Method::ReactionsAdd
        | Method::ConversationsInfo
        | Method::ConversationsHistory
        | Method::ConversationsReplies => Some(TIER_3),
        Method::AuthTest
        | Method::UsersInfo
        | Method::FilesInfo
        | Method::FilesGetUploadUrlExternal
        | Method::FilesCompleteUploadExternal => Some(TIER_4),
    }
}

/// The budgets of all methods.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    methods: HashMap<Method, Bucket>,
    channels: HashMap<String, Bucket>,
    /// Until when Slack wants no call of a method.
    blocked: HashMap<Method, Instant>,
    /// How many channels there may be before the idle ones are forgotten.
    crowded_at: usize,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    budget: Budget,
    /// When it is full again if nobody takes anything. In the past: it is full.
    full_at: Instant,
    /// The next time to promise to somebody who is turned away, so that they come back one by one.
    promise: Instant,
}

/// A place that somebody waits for; given back unless it is used.
struct Place<'a> {
    pace: &'a Pace,
    method: Method,
    channel: Option<&'a str>,
    at: Instant,
    is_used: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Books {
            crowded_at: MANY_CHANNELS,
            ..Books::default()
        }))
    }

    /// Waits until a call may be made. Calls of one urgency are admitted in the order in which they
    /// came. Dropping it gives the place back.
    ///
    /// # Errors
    ///
    /// [`CallError::Limited`] at once when it would wait for more than a few seconds, and for
    /// [`Urgency::Low`] when it would wait at all.
    pub(super) async fn admit(
        &self,
        method: Method,
        urgency: Urgency,
        conversation: Option<&str>,
    ) -> Result<(), CallError> {
        let channel = conversation.filter(|_| method == Method::ChatPostMessage);
        let patience = match urgency {
            Urgency::Low => Duration::ZERO,
            Urgency::Ordinary | Urgency::Answer => PATIENCE,
        };
        let latest = Instant::now() + patience;
        loop {
            let mut place = self.reserve(method, urgency, channel, latest)?;
            if place.at > Instant::now() {
                sleep_until(place.at).await;
            }
            if !self.books().is_blocked(method) {
                place.is_used = true;
                return Ok(());
            }
        }
    }

    /// Takes note that Slack asked to be left alone: by this method, everywhere.
    pub(super) fn limited(&self, method: Method, conversation: Option<&str>, after: Duration) {
        let until = Instant::now() + after;
        let mut books = self.books();
        let blocked = books.blocked.entry(method).or_insert(until);
        *blocked = until.max(*blocked);
        // It begins again at the steady pace, not with what was saved up meanwhile.
        for bucket in books.of(
            method,
            conversation.filter(|_| method == Method::ChatPostMessage),
        ) {
            bucket.full_at = bucket.full_at.max(until + bucket.tolerance());
        }
    }

    fn reserve<'a>(
        &'a self,
        method: Method,
        urgency: Urgency,
        channel: Option<&'a str>,
        latest: Instant,
    ) -> Result<Place<'a>, CallError> {
        let now = Instant::now();
        let mut books = self.books();
        let unblocked = books.blocked.get(&method).copied().unwrap_or(now).max(now);
        let mut buckets = books.of(method, channel);
        let at = buckets
            .iter()
            .map(|bucket| bucket.next(urgency))
            .fold(unblocked, Instant::max);
        // A moment has passed since `latest` was set.
        if at > latest.max(now) {
            let promise = buckets
                .iter_mut()
                .map(|bucket| bucket.promise(at, now))
                .fold(at, Instant::max);
            let after = promise - now;
            return Err(CallError::Limited { after });
        }
        for bucket in buckets {
            bucket.take(at);
        }
        Ok(Place {
            pace: self,
            method,
            channel,
            at,
            is_used: false,
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn is_blocked(&self, method: Method) -> bool {
        let until = self.blocked.get(&method);
        until.is_some_and(|until| *until > Instant::now())
    }

    /// Returns the buckets that a call takes from.
    fn of(&mut self, method: Method, channel: Option<&str>) -> Vec<&mut Bucket> {
        let mut buckets = Vec::with_capacity(2);
        if let Some(budget) = budget(method) {
            let bucket = self.methods.entry(method);
            buckets.push(bucket.or_insert_with(|| Bucket::full(budget)));
        }
        if let Some(channel) = channel {
            if self.channels.len() >= self.crowded_at {
                let now = Instant::now();
                self.channels.retain(|_, bucket| bucket.full_at > now);
                self.crowded_at = MANY_CHANNELS.max(2 * self.channels.len());
            }
            let bucket = self.channels.entry(channel.to_owned());
            buckets.push(bucket.or_insert_with(|| Bucket::full(CHANNEL_POSTS)));
        }
        buckets
    }
}

impl Bucket {
    fn full(budget: Budget) -> Self {
        let now = Instant::now();
        Self {
            budget,
            full_at: now,
            promise: now,
        }
    }

    /// Returns how long before it is full there is something to take.
    fn tolerance(&self) -> Duration {
        self.budget.interval * (self.budget.burst - 1)
    }

    /// Returns when a call of this urgency may take something.
    fn next(&self, urgency: Urgency) -> Instant {
        let kept = self.budget.interval * self.budget.kept_from(urgency);
        let ahead = self.tolerance().saturating_sub(kept);
        self.full_at.checked_sub(ahead).unwrap_or(self.full_at)
    }

    fn take(&mut self, at: Instant) {
        self.full_at = self.full_at.max(at) + self.budget.interval;
    }

    fn give_back(&mut self) {
        let full_at = self.full_at.checked_sub(self.budget.interval);
        self.full_at = full_at.unwrap_or(self.full_at);
    }

    /// Returns when somebody who could go at `at` should come back, each one later than the last.
    fn promise(&mut self, at: Instant, now: Instant) -> Instant {
        let promise = self.promise.max(at);
        self.promise = (promise + self.budget.interval).min(at.max(now + FURTHEST_PROMISE));
        promise
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let mut books = self.pace.books();
        // When Slack has asked for quiet, nothing that was saved up counts any more.
        if !books.is_blocked(self.method) {
            for bucket in books.of(self.method, self.channel) {
                bucket.give_back();
            }
        }
    }
}
