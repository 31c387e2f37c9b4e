//! What is looked up on the platform and remembered for a while: the names of people and chats.
//!
//! Whoever reads a message waits for a name only briefly, and not at all while the platform is
//! slow: the message matters more. What is asked for goes into a bounded queue, is looked up once
//! by [`Lookups::run`], and is there the next time.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long somebody waits for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long nobody waits for any answer after one took longer than that.
const IMPATIENCE: Duration = Duration::from_secs(10);

/// How long an answer is taken for true. After that it is looked up again, and used until then.
const FRESH_FOR: Duration = Duration::from_secs(60 * 60);

/// When to ask again for what the platform does not tell, and for what it could not tell.
const ABSENT_FOR: Duration = Duration::from_secs(10 * 60);
const FAILED_FOR: Duration = Duration::from_secs(30);

const MAX_KNOWN: usize = 10_000;
const MAX_WANTED: usize = 256;
const MAX_LOOKUPS: usize = 4;

/// Answers of a platform, each asked for once and remembered for a while.
#[derive(Debug)]
pub struct Lookups<K, V> {
    state: Mutex<State<K, V>>,
    /// Something was added to the queue.
    wanted: Notify,
    /// A lookup came to its end.
    settled: watch::Sender<()>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The platform does not tell, and will not for a while.
    Absent,
    /// It could not tell.
    Failed,
    /// It does not want to be asked for so long.
    Limited(Duration),
}

#[derive(Debug)]
struct State<K, V> {
    known: HashMap<K, Entry<V>>,
    /// What waits to be looked up.
    queue: VecDeque<K>,
    /// What waits or is being looked up.
    pending: HashSet<K>,
    /// Until then nobody waits.
    impatient_until: Instant,
}

/// `found` is `None` when there is nothing to be known for now.
#[derive(Clone, Debug)]
struct Entry<V> {
    found: Option<V>,
    until: Instant,
}

/// What is to be done about something that somebody asked for.
#[derive(Debug, PartialEq, Eq)]
enum Ask {
    /// It is known, or known not to be.
    Known,
    /// It is being looked up, and may be waited for.
    Wait,
    /// It is being looked up, or cannot be for now.
    Later,
}

impl<K: Clone + Eq + Hash, V: Clone> Lookups<K, V> {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State::new(Instant::now())),
            wanted: Notify::new(),
            settled: watch::Sender::new(()),
        }
    }

    /// Returns what is known. Never waits.
    pub fn known(&self, key: &K) -> Option<V> {
        self.state().known.get(key)?.found.clone()
    }

    /// Finds something out, if that is quick, and tells whether it brought anything new.
    pub async fn learn(&self, key: K) -> bool {
        // Before asking, so that no answer is missed.
        let mut settled = self.settled.subscribe();
        if self.ask(&key) != Ask::Wait {
            return false;
        }
        let answered = async {
            while self.state().pending.contains(&key) {
                if settled.changed().await.is_err() {
                    break;
                }
            }
        };
        if timeout(PATIENCE, answered).await.is_err() {
            self.state().impatient_until = Instant::now() + IMPATIENCE;
            return false;
        }
        true
    }

    /// Has something looked up for the next time.
    pub fn want(&self, key: &K) {
        self.ask(key);
    }

    /// Takes an answer that came by the way.
    pub fn heard(&self, key: K, found: V) {
        let now = Instant::now();
        self.state().settle(key, Some(found), FRESH_FOR, now);
    }

    /// Returns when nothing that was asked for is still to be looked up.
    pub async fn settled(&self) {
        let mut settled = self.settled.subscribe();
        while !self.state().pending.is_empty() {
            if settled.changed().await.is_err() {
                break;
            }
        }
    }

    /// Looks up what is asked for, until `stop` is cancelled.
    pub async fn run<F>(&self, look_up: impl Fn(K) -> F, stop: CancellationToken)
    where
        F: Future<Output = Result<V, NoAnswer>>,
    {
        let mut lookups = FuturesUnordered::new();
        loop {
            while lookups.len() < MAX_LOOKUPS {
                let Some(key) = self.state().queue.pop_front() else {
                    break;
                };
                let answer = look_up(key.clone());
                lookups.push(async { self.settle(key, answer.await) });
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wanted.notified() => {}
                Some(()) = lookups.next(), if !lookups.is_empty() => {}
            }
        }
        let mut state = self.state();
        state.queue.clear();
        state.pending.clear();
    }

    fn ask(&self, key: &K) -> Ask {
        let (ask, queued) = self.state().ask(key, Instant::now());
        if queued {
            self.wanted.notify_one();
        }
        ask
    }

    fn settle(&self, key: K, answer: Result<V, NoAnswer>) {
        let (found, fresh_for) = match answer {
            Ok(found) => (Some(found), FRESH_FOR),
            Err(NoAnswer::Absent) => (None, ABSENT_FOR),
            Err(NoAnswer::Failed) => (None, FAILED_FOR),
            Err(NoAnswer::Limited(after)) => (None, after),
        };
        self.state().settle(key, found, fresh_for, Instant::now());
        self.settled.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Default for Lookups<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

// === impl State ===

impl<K: Clone + Eq + Hash, V: Clone> State<K, V> {
    fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            queue: VecDeque::new(),
            pending: HashSet::new(),
            impatient_until: now,
        }
    }

    /// Returns what to do about something, and whether it has just been queued.
    fn ask(&mut self, key: &K, now: Instant) -> (Ask, bool) {
        let usable = match self.known.get(key) {
            Some(entry) if now < entry.until => return (Ask::Known, false),
            Some(entry) => entry.found.is_some(),
            None => false,
        };
        let mut queued = false;
        if !self.pending.contains(key) {
            if self.queue.len() >= MAX_WANTED {
                return (Ask::Later, false);
            }
            self.pending.insert(key.clone());
            self.queue.push_back(key.clone());
            queued = true;
        }
        let ask = if usable {
            Ask::Known
        } else if now < self.impatient_until {
            Ask::Later
        } else {
            Ask::Wait
        };
        (ask, queued)
    }

    fn settle(&mut self, key: K, found: Option<V>, fresh_for: Duration, now: Instant) {
        self.pending.remove(&key);
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|_, entry| now < entry.until);
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        // What was found once is better than nothing.
        let found = found.or_else(|| self.known.get(&key)?.found.clone());
        let until = now + fresh_for;
        self.known.insert(key, Entry { found, until });
    }
}
