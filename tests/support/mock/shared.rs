//! What a mock knows, behind one lock; who waits for it to change, and the tasks that serve it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::scan::Scanner;
use super::connections::Connections;
use super::delivery::Push;
use super::faults::Rule;
use super::{EventId, Request};

/// What a client signs in with.
const SIGNING_IN: [&str; 2] = ["token", "endpoint"];

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
    type Error: Clone + fmt::Debug + Send + 'static;
    /// The kinds of what is delivered.
    type Kind: Send + 'static;
    /// How it was delivered.
    type Sent: Send + 'static;

    /// Whether TCP stays open after the close handshake, for the client to end.
    const LEAVES_TCP_OPEN: bool;

    /// Returns what all mocks know.
    fn common(&self) -> &Common<Self>;

    fn common_mut(&mut self) -> &mut Common<Self>;

    /// Something happens that was to happen later.
    fn happen(&mut self, what: Self::Later);

    /// Takes what a client sent.
    fn hear(&mut self, connection: u64, said: &Message);

    /// Delivers a push once more, to any one of the open connections.
    fn deal(&mut self, push: usize);

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

    /// Delivers something new.
    fn push(&mut self, kind: Self::Kind, id: String, about: String, payload: Value) -> EventId {
        let event = EventId(id.clone());
        let common = self.common_mut();
        let index = common.pushes.len();
        common.pushes.push(Push {
            id,
            kind,
            about,
            payload,
            attempts: Vec::new(),
            response: None,
        });
        match &mut common.held {
            Some(held) => held.push_back(index),
            None => self.deal(index),
        }
        event
    }

    /// Returns any one of the open connections.
    fn any_connection(&mut self) -> Option<u64> {
        // Not in turn: nobody may rely on which.
        let dice = (self.next() as usize).wrapping_mul(2_654_435_761) >> 7;
        let open = self.common().connections.open();
        (!open.is_empty()).then(|| open[dice % open.len()])
    }
}

/// What all mocks know.
pub(crate) struct Common<K: Knowledge> {
    /// Counts everything that needs a name.
    counter: u64,
    pub(super) violations: Vec<String>,
    pub(crate) requests: Vec<Request>,
    pub(super) faults: Vec<Rule<K>>,
    pub(crate) connections: Connections,
    pub(crate) pushes: Vec<Push<K>>,
    /// While there, new events wait here.
    pub(super) held: Option<VecDeque<usize>>,
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
            connections: Connections::default(),
            pushes: Vec::new(),
            held: None,
            later: Vec::new(),
        }
    }
}

impl<K: Knowledge> Drop for Mock<K> {
    /// What clients said is looked through for secrets, but for how they signed in.
    fn drop(&mut self) {
        self.shared.stop.cancel();
        if std::thread::panicking() {
            return;
        }
        let scanner = Scanner::new();
        let leaks: Vec<_> = self
            .requests()
            .into_iter()
            .filter(|it| !it.method().is_some_and(|name| SIGNING_IN.contains(&name)))
            .filter(|it| scanner.finds_in(&it.body) || scanner.finds_in(it.path.as_bytes()))
            .map(|it| it.method.unwrap_or(it.path))
            .collect();
        assert_eq!(leaks, Vec::<String>::new(), "a secret was sent");
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
