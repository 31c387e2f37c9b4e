//! Who is attached, and which posts wait for a word from them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tieline_channel::{ChatId, Health, Link, PostKey};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::protocol::DaemonLine;

/// How many lines may wait for a client that is slow to read. One more, and it is dropped.
pub(crate) const QUEUE: usize = 64;

/// Why there is nobody to post to.
const NOBODY: &str = "no terminal is attached";

/// A connection, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(u64);

/// The way to a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientHandle {
    /// Its queue of [`QUEUE`] lines.
    pub(crate) lines: mpsc::Sender<DaemonLine>,
    /// Ends the connection.
    pub(crate) dropped: CancellationToken,
}

/// What became of a post that was put before clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A client has shown it.
    Shown,
    /// Every client that may have shown it is gone.
    Unknown,
}

/// All attached clients.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    health: watch::Sender<Health>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    clients: BTreeMap<ClientId, Attached>,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Attached {
    chat: ChatId,
    handle: ClientHandle,
}

#[derive(Debug)]
struct Waiting {
    key: PostKey,
    clients: BTreeSet<ClientId>,
    fate: oneshot::Sender<Fate>,
}

/// A post that waits to be shown. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    hub: &'a Hub,
    number: u64,
    fate: oneshot::Receiver<Fate>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            health: watch::Sender::new(Health::connecting(SystemTime::now())),
        }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Notes that terminals can attach from now on; none has yet.
    pub(crate) fn listening(&self) {
        self.report(Link::Down, Some(NOBODY));
    }

    /// Adds a client to a chat. The change of health tells the daemon to try waiting posts.
    pub(crate) fn attach(&self, chat: ChatId, handle: ClientHandle) -> ClientId {
        let mut state = self.state();
        let id = ClientId(state.next_number());
        state.clients.insert(id, Attached { chat, handle });
        self.report(Link::Up, None);
        id
    }

    /// Forgets a client; what it may or may not have shown is unclear from now on.
    pub(crate) fn detach(&self, client: ClientId) {
        let mut state = self.state();
        if state.clients.remove(&client).is_none() {
            return;
        }
        state.settle(Fate::Unknown, |waiting| {
            waiting.clients.remove(&client) && waiting.clients.is_empty()
        });
        if state.clients.is_empty() {
            self.report(Link::Down, Some(NOBODY));
        }
    }

    /// Notes a sign of life.
    pub(crate) fn heard(&self) {
        self.health
            .send_modify(|health| health.heard_at = Some(SystemTime::now()));
    }

    /// Notes that the channel cannot work, and why.
    pub(crate) fn needs_operator(&self, error: &str) {
        self.report(Link::NeedsOperator, Some(error));
    }

    /// Notes that the channel has ended.
    pub(crate) fn stopped(&self) {
        self.report(Link::Stopped, None);
    }

    /// Puts a post before every client of a chat; `None` when none takes it, so that it was
    /// certainly not shown.
    pub(crate) fn show(
        &self,
        chat: &ChatId,
        key: &PostKey,
        line: &DaemonLine,
    ) -> Option<Shown<'_>> {
        let mut state = self.state();
        let mut clients = BTreeSet::new();
        for (id, handle) in state.of_chat(chat) {
            match handle.lines.try_send(line.clone()) {
                Ok(()) => {
                    clients.insert(id);
                }
                Err(TrySendError::Full(_)) => {
                    tracing::warn!(%chat, "a client does not read; disconnecting it");
                    handle.dropped.cancel();
                }
                Err(TrySendError::Closed(_)) => {} // about to be detached
            }
        }
        if clients.is_empty() {
            return None;
        }
        let (sender, fate) = oneshot::channel();
        let number = state.next_number();
        let waiting = Waiting {
            key: key.clone(),
            clients,
            fate: sender,
        };
        state.waiting.insert(number, waiting);
        Some(Shown {
            hub: self,
            number,
            fate,
        })
    }

    /// Notes that a client has shown a post.
    pub(crate) fn shown(&self, client: ClientId, key: &PostKey) {
        self.state().settle(Fate::Shown, |waiting| {
            waiting.key == *key && waiting.clients.contains(&client)
        });
    }

    /// Tells every client of a chat something that may get lost; returns whether any heard it.
    pub(crate) fn mention(&self, chat: &ChatId, line: &DaemonLine) -> bool {
        let mut heard = false;
        for (_, handle) in self.state().of_chat(chat) {
            // The other half of the queue is for posts.
            if handle.lines.capacity() > QUEUE / 2 {
                heard |= handle.lines.try_send(line.clone()).is_ok();
            }
        }
        heard
    }

    fn report(&self, link: Link, error: Option<&str>) {
        let now = SystemTime::now();
        self.health.send_modify(|health| {
            if health.link != link {
                health.link = link;
                health.since = now;
            }
            if link == Link::Up {
                health.heard_at = Some(now);
            }
            health.last_error = error.map(str::to_owned);
        });
    }

    /// The state is whole between any two statements that could panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Ends the wait of those posts for which `is_settled`.
    fn settle(&mut self, fate: Fate, mut is_settled: impl FnMut(&mut Waiting) -> bool) {
        let settled: Vec<u64> = self
            .waiting
            .iter_mut()
            .filter_map(|(number, waiting)| is_settled(waiting).then_some(*number))
            .collect();
        for waiting in settled
            .iter()
            .filter_map(|number| self.waiting.remove(number))
        {
            // Whoever waited may have given up in this moment.
            let _: Result<(), Fate> = waiting.fate.send(fate);
        }
    }

    fn of_chat(&self, chat: &ChatId) -> impl Iterator<Item = (ClientId, &ClientHandle)> {
        self.clients
            .iter()
            .filter(move |(_, attached)| attached.chat == *chat)
            .map(|(id, attached)| (*id, &attached.handle))
    }
}

impl Shown<'_> {
    /// Returns what became of the post.
    pub(crate) async fn fate(&mut self) -> Fate {
        (&mut self.fate).await.unwrap_or(Fate::Unknown)
    }

    /// Disconnects the clients that keep silent about the post: they are stopped or broken, and
    /// other posts should not wait for them.
    pub(crate) fn drop_silent_clients(&self) {
        let state = self.hub.state();
        let Some(waiting) = state.waiting.get(&self.number) else {
            return;
        };
        for client in &waiting.clients {
            if let Some(attached) = state.clients.get(client) {
                attached.handle.dropped.cancel();
            }
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.hub.state().waiting.remove(&self.number);
    }
}
