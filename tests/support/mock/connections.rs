//! Connections for events: opened, broken, and what is seen of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::websocket::{Server, wait_for_end};
use super::{Knowledge, Mock, Shared};

/// How long a client may take to answer a ping that only a test is waiting for.
const NO_HURRY: Duration = Duration::from_secs(120);

/// A connection of the app.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What is to be sent. As long as what tests send at once.
    to_send: mpsc::UnboundedSender<Socket>,
    pub(crate) link: Link,
    /// Nothing is read nor written, and TCP stays.
    pub(crate) is_deaf: bool,
    /// Whether TCP has ended.
    is_gone: bool,
    /// Until when which ping of WebSocket must be answered.
    pings: VecDeque<(Instant, String)>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    Closing,
    Closed,
}

/// What happens on a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Text(String),
    Binary(Vec<u8>),
    Ping(String),
    /// The close handshake.
    Close,
    /// TCP ends, without a word.
    Drop,
    /// Silence with TCP kept open.
    Deafen,
}

/// How a connection ends, or nearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// The close handshake, without any word before.
    Close,
    /// TCP breaks.
    Drop,
    /// Silence, while TCP stays.
    Silence,
}

/// A connection, from the answer to its request until it ends.
pub(crate) struct Opened<K: Knowledge> {
    shared: Arc<Shared<K>>,
    pub(crate) id: u64,
    sending: mpsc::UnboundedReceiver<Socket>,
}

/// All connections that there have ever been.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    by_id: BTreeMap<u64, Connection>,
    /// How many were open, whenever that changed.
    timeline: Vec<(Instant, usize)>,
}

impl Connections {
    pub(crate) fn get(&self, id: u64) -> Option<&Connection> {
        self.by_id.get(&id)
    }

    /// Returns those that events go to: also those that nobody reads.
    pub(crate) fn open(&self) -> Vec<u64> {
        let open = self.by_id.iter();
        open.filter(|(_, it)| it.link == Link::Open)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Says something on a connection, or does something to it.
    pub(crate) fn tell(&mut self, id: u64, what: Socket) {
        let Some(it) = self.by_id.get_mut(&id) else {
            return;
        };
        match what {
            Socket::Close | Socket::Drop => it.link = Link::Closing,
            Socket::Deafen => it.is_deaf = true,
            Socket::Text(_) | Socket::Binary(_) | Socket::Ping(_) => {}
        }
        // A connection that has just ended hears nothing.
        let _sent = it.to_send.send(what);
        self.mark();
    }

    /// Writes down how many are open, when that has changed.
    pub(crate) fn mark(&mut self) {
        let open = self.open().len();
        if self
            .timeline
            .last()
            .is_none_or(|(_, before)| *before != open)
        {
            self.timeline.push((Instant::now(), open));
        }
    }

    fn close(&mut self, id: u64) {
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.link = Link::Closed;
        }
        self.mark();
    }

    fn gone(&mut self, id: u64) {
        if let Some(connection) = self.by_id.get_mut(&id) {
            connection.is_gone = true;
        }
        self.close(id);
    }
}

impl<K: Knowledge> Opened<K> {
    /// Writes down that there is a connection, and lets the mock say the first word. Whatever is
    /// delivered from now on may go to it.
    pub(crate) fn new(shared: &Arc<Shared<K>>, begin: impl FnOnce(&mut K, u64)) -> Self {
        let (to_send, sending) = mpsc::unbounded_channel();
        let id = shared.update(|state| {
            let id = state.next();
            let connection = Connection {
                to_send,
                link: Link::Open,
                is_deaf: false,
                is_gone: false,
                pings: VecDeque::new(),
            };
            state.common_mut().connections.by_id.insert(id, connection);
            begin(state, id);
            state.common_mut().connections.mark();
            id
        });
        Self {
            shared: Arc::clone(shared),
            id,
            sending,
        }
    }

    /// Serves it until one of the two ends it.
    pub(crate) async fn serve(mut self, mut server: Server) {
        let id = self.id;
        let is_closed = loop {
            tokio::select! {
                said = self.sending.recv() => {
                    let Some(said) = said else { break false };
                    let message = match said {
                        Socket::Text(text) => Message::text(text),
                        Socket::Binary(bytes) => Message::binary(bytes),
                        Socket::Ping(text) => Message::Ping(text.into_bytes().into()),
                        Socket::Close => Message::Close(None),
                        Socket::Drop => break false,
                        Socket::Deafen => return wait_for_end(server, self.told_to_end()).await,
                    };
                    if server.send(message).await.is_err() {
                        break false;
                    }
                }
                heard = server.next() => match heard {
                    Some(Ok(Message::Pong(payload))) => {
                        self.shared.update(|state| take_pong(state, id, &payload));
                    }
                    Some(Ok(Message::Close(_))) => {
                        // The answer to it goes out with the next flush.
                        let _flushed = server.flush().await;
                        break true;
                    }
                    Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                    Some(Ok(said)) => self.shared.update(|state| state.hear(id, &said)),
                    Some(Err(_)) | None => break false,
                },
            }
        };
        self.shared
            .update(|state| state.common_mut().connections.close(id));
        if is_closed && K::LEAVES_TCP_OPEN {
            wait_for_end(server, self.told_to_end()).await;
        }
    }

    async fn told_to_end(&mut self) {
        while let Some(said) = self.sending.recv().await {
            if matches!(said, Socket::Drop) {
                return;
            }
        }
    }
}

impl<K: Knowledge> Drop for Opened<K> {
    fn drop(&mut self) {
        let id = self.id;
        self.shared
            .update(|state| state.common_mut().connections.gone(id));
    }
}

/// Pings a connection; one that has not answered in time is closed.
pub(crate) fn ping<K: Knowledge>(state: &mut K, id: u64, name: &str, within: Duration) {
    let name = state.name(name);
    let Some(connection) = state.common_mut().connections.by_id.get_mut(&id) else {
        return;
    };
    let now = Instant::now();
    if connection
        .pings
        .front()
        .is_some_and(|(until, _)| *until < now)
    {
        connection.pings.clear();
        state.violation("a ping was not answered");
        return state.common_mut().connections.tell(id, Socket::Close);
    }
    connection.pings.push_back((now + within, name.clone()));
    state.common_mut().connections.tell(id, Socket::Ping(name));
}

fn take_pong<K: Knowledge>(state: &mut K, id: u64, payload: &[u8]) {
    let Some(connection) = state.common_mut().connections.by_id.get_mut(&id) else {
        return;
    };
    let mut pings = connection.pings.iter();
    match pings.position(|(_, name)| name.as_bytes() == payload) {
        // A pong may stand for the pings before it.
        Some(at) => drop(connection.pings.drain(..=at)),
        // Unasked for, as a sign of life.
        None if payload.is_empty() => {}
        None => state.violation("a pong with another payload than its ping"),
    }
}

impl<K: Knowledge> Mock<K> {
    /// Ends all open connections in some way.
    pub(crate) fn hang_up(&self, how: Hangup) {
        self.tell_all(|| match how {
            Hangup::Close => Socket::Close,
            Hangup::Drop => Socket::Drop,
            Hangup::Silence => Socket::Deafen,
        });
    }

    /// Says something on all open connections, or does something to them.
    pub(crate) fn tell_all(&self, what: impl Fn() -> Socket) {
        self.shared.update(|state| {
            let connections = &mut state.common_mut().connections;
            for id in connections.open() {
                connections.tell(id, what());
            }
        });
    }

    /// Pings all open connections by WebSocket, and returns when all of them have answered:
    /// whatever was on its way before is here.
    pub(crate) async fn settle(&self) {
        let asked: Vec<u64> = self.shared.update(|state| {
            let connections = &state.common().connections;
            let mut open = connections.open();
            open.retain(|id| !connections.by_id[id].is_deaf);
            open.iter()
                .for_each(|id| ping(state, *id, "settle-", NO_HURRY));
            open
        });
        self.wait_for("pongs", move |state| {
            let is_done = |id: &u64| {
                let connection = &state.common().connections.by_id[id];
                connection.pings.is_empty() || connection.link != Link::Open
            };
            asked.iter().all(is_done).then_some(())
        })
        .await;
    }

    /// Returns how many connections are open, for events.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared
            .look(|state| state.common().connections.open().len())
    }

    /// Returns how many connections there have ever been.
    pub(crate) fn connections_ever(&self) -> usize {
        self.shared
            .look(|state| state.common().connections.by_id.len())
    }

    /// Returns how many connections the client still holds in TCP, open or not.
    pub(crate) fn tcp_connections(&self) -> usize {
        self.shared.look(|state| {
            let held = state.common().connections.by_id.values();
            held.filter(|it| !it.is_gone).count()
        })
    }

    /// Returns how many connections were open, whenever that changed.
    pub(crate) fn timeline(&self) -> Vec<(Instant, usize)> {
        self.shared
            .look(|state| state.common().connections.timeline.clone())
    }

    /// Waits until so many connections are open.
    pub(crate) async fn wait_for_connections(&self, n: usize) {
        self.until(&format!("{n} connections"), |mock| {
            (mock.open_connections() == n).then_some(())
        })
        .await;
    }
}
