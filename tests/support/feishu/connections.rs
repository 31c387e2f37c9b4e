//! What a test does to the connections, and what it sees of them.

use super::super::mock::websocket::Link;
use super::MockFeishu;
use super::garbage;
use super::socket::Socket;

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

impl MockFeishu {
    /// Ends all open connections in some way.
    pub(crate) fn hang_up(&self, how: Hangup) {
        self.shared.update(|state| {
            for id in state.open_connections() {
                let what = match how {
                    Hangup::Close => Socket::Close,
                    Hangup::Drop => Socket::Drop,
                    Hangup::Silence => Socket::Deafen,
                };
                state.tell(id, what);
            }
        });
    }

    /// Sends frames that mean nothing, and worse, to all open connections.
    pub(crate) fn send_garbage(&self) {
        self.shared.update(|state| {
            for id in state.open_connections() {
                for (_, garbage) in garbage::KINDS {
                    state.tell(id, garbage().into());
                }
            }
        });
    }

    /// Changes what pongs, and new endpoints, tell of how to keep a connection.
    pub(crate) fn set_ping(&self, seconds: u64) {
        self.shared
            .update(|state| state.options.timing.ping = seconds);
    }

    /// Pings all open connections by WebSocket, and returns when all of them have answered:
    /// whatever was on its way before is here.
    pub(crate) async fn settle(&self) {
        let asked: Vec<u64> = self.shared.update(|state| {
            let mut open = state.open_connections();
            open.retain(|id| !state.connections[id].is_deaf);
            open.iter().for_each(|id| state.call_out(*id));
            open
        });
        self.wait_for("pongs", move |state| {
            let is_done = |id: &u64| {
                let connection = &state.connections[id];
                connection.echoes.is_empty() || connection.state != Link::Open
            };
            asked.iter().all(is_done).then_some(())
        })
        .await;
    }

    /// Returns how many connections are open, for events.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.look(|state| state.open_connections().len())
    }

    /// Returns how many connections there have ever been.
    pub(crate) fn connections_ever(&self) -> usize {
        self.shared.look(|state| state.connections.len())
    }

    /// Returns how many connections the client still holds in TCP, open or not.
    pub(crate) fn tcp_connections(&self) -> usize {
        self.shared.look(|state| {
            let held = state.connections.values();
            held.filter(|it| !it.is_gone).count()
        })
    }

    /// Returns how often the client has pinged, on all connections.
    pub(crate) fn pings(&self) -> usize {
        self.shared
            .look(|state| state.connections.values().map(|it| it.n_pings).sum())
    }

    /// Waits until so many connections are open.
    pub(crate) async fn wait_for_connections(&self, n: usize) {
        self.until(&format!("{n} connections"), |feishu| {
            (feishu.open_connections() == n).then_some(())
        })
        .await;
    }
}
