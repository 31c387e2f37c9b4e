//! What a mock knows, behind one lock; who waits for it to change, and the tasks that serve it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Request;
use super::faults::Rule;

/// A mock of a platform. It ends when it is dropped.
pub(crate) struct Mock<K: Knowledge> {
    pub(crate) shared: Arc<Shared<K>>,
}

/// Everything that a mock knows.
pub(crate) trait Knowledge: Sized + Send + 'static {
    /// What happens after a while.
    type Later: Send + 'static;
    /// What a call is made with.
    type Args: 'static;
    /// What a refusal is called.
    type Error: Clone + Send + 'static;

    /// Returns what all mocks know.
    fn common(&self) -> &Common<Self>;

    fn common_mut(&mut self) -> &mut Common<Self>;

    /// Something happens that was to happen later.
    fn happen(&mut self, what: Self::Later);

    /// Returns what helps to see why something did not happen.
    fn describe(&self) -> String;

    /// Returns a number that nothing else has.
    fn next(&mut self) -> u64 {
        let common = self.common_mut();
        common.counter += 1;
        common.counter
    }

    /// Returns a name that nothing else has; later ones sort behind earlier ones.
    fn name(&mut self, prefix: &str) -> String {
        format!("{prefix}{:08}", self.next())
    }

    /// Writes down what a client should not have done.
    fn violation(&mut self, what: impl Into<String>) {
        self.common_mut().violations.push(what.into());
    }

    /// Lets something happen after a while.
    fn later(&mut self, delay: Duration, what: Self::Later) {
        self.common_mut().later.push((delay, what));
    }

    /// Writes down how many connections are open, when that has changed.
    fn mark(&mut self, open: usize) {
        let timeline = &mut self.common_mut().timeline;
        if timeline.last().is_none_or(|(_, before)| *before != open) {
            timeline.push((Instant::now(), open));
        }
    }
}

/// What all mocks know.
pub(crate) struct Common<K: Knowledge> {
    /// Counts everything that needs a name.
    counter: u64,
    pub(super) violations: Vec<String>,
    pub(crate) requests: Vec<Request>,
    pub(super) faults: Vec<Rule<K>>,
    /// How many connections were open, whenever that changed.
    pub(super) timeline: Vec<(Instant, usize)>,
    /// What is to happen later; taken up when the lock is let go.
    later: Vec<(Duration, K::Later)>,
}

/// What a mock knows, for all that serve it.
pub(crate) struct Shared<K: Knowledge> {
    state: Mutex<K>,
    changed: watch::Sender<u64>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl<K: Knowledge> Default for Common<K> {
    fn default() -> Self {
        Self {
            counter: 0,
            violations: Vec::new(),
            requests: Vec::new(),
            faults: Vec::new(),
            timeline: Vec::new(),
            later: Vec::new(),
        }
    }
}

impl<K: Knowledge> Drop for Mock<K> {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl<K: Knowledge> Shared<K> {
    pub(crate) fn new(state: K) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Changes the state, and tells whoever waits.
    pub(crate) fn update<T>(self: &Arc<Self>, change: impl FnOnce(&mut K) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        let later = std::mem::take(&mut state.common_mut().later);
        drop(state);
        self.changed.send_modify(|version| *version += 1);
        for (delay, what) in later {
            self.after(delay, what);
        }
        result
    }

    fn after(self: &Arc<Self>, delay: Duration, what: K::Later) {
        let shared = Arc::clone(self);
        self.spawn(async move {
            tokio::time::sleep(delay).await;
            shared.update(|state| state.happen(what));
        });
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&K) -> T) -> T {
        look(&self.lock())
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Runs a task until it ends or the mock does.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    fn lock(&self) -> MutexGuard<'_, K> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
