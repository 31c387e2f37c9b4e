//! How often a platform may be called.
//!
//! Each kind of call has a budget of its own, and posting has one more for each chat. A budget is a
//! bucket that fills steadily: what was saved up may be spent at once, a call that finds nothing
//! reserves the next place and waits for it, and a call that would wait for long is turned away
//! with the time at which it is worth coming back. The last places are kept for what is more
//! urgent, so that answers do not queue behind statuses.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, sleep_until};

/// How long a call waits for its turn at the most.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far ahead those are put off that are turned away.
pub const FURTHEST_PROMISE: Duration = Duration::from_secs(60);

/// From this many chats on, those are forgotten that have not been posted to lately.
const MANY_CHATS: usize = 256;

/// One budget: so many calls at once, then one each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many calls may be made at once after a long silence. At least one.
    pub burst: u32,
    /// How much later each further one is.
    pub interval: Duration,
}

/// Who is served first when there is not enough for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody misses it: statuses, reactions, names. It is refused rather than kept waiting.
    Low,
    /// What has time.
    Ordinary,
    /// Somebody waits for it.
    Answer,
}

/// No call was made, because it would have had to wait for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("to be called again in {after:?}")]
pub struct Limited {
    /// How long to leave it alone.
    pub after: Duration,
}

/// The budgets of all kinds of calls, `K`, and of the chats that are posted to.
pub struct Pace<K> {
    /// Returns a kind's budget; `None` for what is only left alone when the platform asks for it.
    budget: fn(K) -> Option<Budget>,
    books: Mutex<Books<K>>,
}

#[derive(Debug)]
struct Books<K> {
    calls: HashMap<K, Bucket>,
    chats: Chats,
    /// Until when the platform wants no call of a kind.
    blocked: HashMap<K, Instant>,
}

#[derive(Debug)]
struct Chats {
    budget: Budget,
    buckets: HashMap<String, Bucket>,
    /// How many there may be before the idle ones are forgotten.
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
struct Place<'a, K: Copy + Eq + Hash> {
    pace: &'a Pace<K>,
    call: K,
    chat: Option<&'a str>,
    at: Instant,
    is_used: bool,
}

impl Budget {
    /// Returns a budget of so many calls a minute once the first `burst` are spent.
    pub const fn per_minute(calls: u64, burst: u32) -> Self {
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

impl<K: Copy + Eq + Hash> Pace<K> {
    /// Begins with everything saved up. `budget` returns what a kind of call has, `None` for what is
    /// only left alone when the platform asks for it; each chat has `per_chat`.
    pub fn new(budget: fn(K) -> Option<Budget>, per_chat: Budget) -> Self {
        Self {
            budget,
            books: Mutex::new(Books {
                calls: HashMap::new(),
                chats: Chats {
                    budget: per_chat,
                    buckets: HashMap::new(),
                    crowded_at: MANY_CHATS,
                },
                blocked: HashMap::new(),
            }),
        }
    }

    /// Waits until a call may be made; one with a `chat` takes from that chat's budget too. Calls of
    /// one urgency are admitted in the order in which they came. Dropping it gives the place back.
    ///
    /// # Errors
    ///
    /// At once when it would wait for more than a few seconds, and for [`Urgency::Low`] when it
    /// would wait at all.
    pub async fn admit(
        &self,
        call: K,
        urgency: Urgency,
        chat: Option<&str>,
    ) -> Result<(), Limited> {
        let patience = match urgency {
            Urgency::Low => Duration::ZERO,
            Urgency::Ordinary | Urgency::Answer => PATIENCE,
        };
        let latest = Instant::now() + patience;
        loop {
            let mut place = self.reserve(call, urgency, chat, latest)?;
            if place.at > Instant::now() {
                sleep_until(place.at).await;
            }
            if !self.books().is_blocked(call) {
                place.is_used = true;
                return Ok(());
            }
        }
    }

    /// Takes note that the platform asked to be left alone: by calls of this kind, in all chats.
    pub fn limited(&self, call: K, chat: Option<&str>, after: Duration) {
        let until = Instant::now() + after;
        let mut books = self.books();
        let blocked = books.blocked.entry(call).or_insert(until);
        *blocked = until.max(*blocked);
        // It begins again at the steady pace, not with what was saved up meanwhile.
        for bucket in self.buckets(&mut books, call, chat) {
            bucket.rest_until(until);
        }
    }

    /// Takes note that the platform asked to be left alone in one chat.
    pub fn limited_in(&self, chat: &str, after: Duration) {
        let until = Instant::now() + after;
        self.books().chats.bucket(chat).rest_until(until);
    }

    fn reserve<'a>(
        &'a self,
        call: K,
        urgency: Urgency,
        chat: Option<&'a str>,
        latest: Instant,
    ) -> Result<Place<'a, K>, Limited> {
        let now = Instant::now();
        let mut books = self.books();
        let unblocked = books.blocked.get(&call).copied().unwrap_or(now).max(now);
        let mut buckets = self.buckets(&mut books, call, chat);
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
            return Err(Limited { after });
        }
        for bucket in buckets {
            bucket.take(at);
        }
        Ok(Place {
            pace: self,
            call,
            chat,
            at,
            is_used: false,
        })
    }

    /// Returns the buckets that a call takes from.
    fn buckets<'a>(
        &self,
        books: &'a mut Books<K>,
        call: K,
        chat: Option<&str>,
    ) -> Vec<&'a mut Bucket> {
        let mut buckets = Vec::with_capacity(2);
        if let Some(budget) = (self.budget)(call) {
            let bucket = books.calls.entry(call);
            buckets.push(bucket.or_insert_with(|| Bucket::full(budget)));
        }
        if let Some(chat) = chat {
            buckets.push(books.chats.bucket(chat));
        }
        buckets
    }

    fn books(&self) -> MutexGuard<'_, Books<K>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Books<K> {
    fn is_blocked(&self, call: K) -> bool {
        let until = self.blocked.get(&call);
        until.is_some_and(|until| *until > Instant::now())
    }
}

impl Chats {
    fn bucket(&mut self, chat: &str) -> &mut Bucket {
        if self.buckets.len() >= self.crowded_at {
            let now = Instant::now();
            self.buckets.retain(|_, bucket| bucket.full_at > now);
            self.crowded_at = MANY_CHATS.max(2 * self.buckets.len());
        }
        let bucket = self.buckets.entry(chat.to_owned());
        bucket.or_insert_with(|| Bucket::full(self.budget))
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

    /// Leaves nothing until then, and after it only what comes steadily.
    fn rest_until(&mut self, until: Instant) {
        self.full_at = self.full_at.max(until + self.tolerance());
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

impl<K: Copy + Eq + Hash> Drop for Place<'_, K> {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let mut books = self.pace.books();
        // When the platform has asked for quiet, nothing that was saved up counts any more.
        if !books.is_blocked(self.call) {
            for bucket in self.pace.buckets(&mut books, self.call, self.chat) {
                bucket.give_back();
            }
        }
    }
}

impl<K: Copy + Eq + Hash + fmt::Debug> fmt::Debug for Pace<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("books", &*self.books())
            .finish_non_exhaustive()
    }
}
