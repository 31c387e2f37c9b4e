//! What a test does to the connections, and what it sees of them.

use super::super::mock::websocket::Link;
use super::MockSlack;
use super::socket::Socket;

/// How a connection ends, or nearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// `warning`, then `refresh_requested`, then the end.
    Refresh,
    /// `refresh_requested` without a warning, then the end.
    RefreshAtOnce,
    /// The close handshake, without any word before.
    Close,
    /// TCP breaks.
    Drop,
    /// Silence, while TCP stays.
    Silence,
}

impl MockSlack {
    /// Ends all open connections in some way.
    pub(crate) fn hang_up(&self, how: Hangup) {
        self.shared.update(|state| {
            for id in state.open_connections() {
                match how {
                    Hangup::Refresh => state.refresh(id),
                    Hangup::RefreshAtOnce => state.refresh_now(id),
                    Hangup::Close => state.shut(id),
                    Hangup::Drop => state.tell(id, Socket::Drop),
                    Hangup::Silence => state.tell(id, Socket::Deafen),
                }
            }
        });
    }

    /// Sends frames that are no envelopes to all open connections.
    pub(crate) fn send_garbage(&self) {
        self.shared.update(|state| {
            for id in state.open_connections() {
                state.tell(id, Socket::Text("UNAUTHENTICATED: cache_error".to_owned()));
                state.tell(id, Socket::Text(String::new()));
                state.tell(id, Socket::Binary(vec![0, 159, 146, 150]));
                state.tell(id, Socket::Text("{}".to_owned()));
                state.tell(id, Socket::Text(r#"{"type":"novelty","x":1}"#.to_owned()));
            }
        });
    }

    /// Switches Socket Mode off in the app's settings, or on again.
    pub(crate) fn disable_link(&self, is_disabled: bool) {
        self.shared.update(|state| {
            state.link_disabled = is_disabled;
            if is_disabled {
                for id in state.open_connections() {
                    state.disconnect(id, "link_disabled");
                    state.shut(id);
                }
            }
        });
    }

    /// Pings all open connections, and returns when all of them have answered: whatever was on its
    /// way before is here.
    pub(crate) async fn settle(&self) {
        let asked: Vec<u64> = self.shared.update(|state| {
            let open = state.open_connections();
            let open: Vec<u64> = open
                .into_iter()
                .filter(|id| !state.connections[id].is_deaf)
                .collect();
            open.iter().for_each(|id| state.ping(*id));
            open
        });
        self.wait_for("pongs", move |state| {
            let is_done = |id: &u64| {
                let connection = &state.connections[id];
                connection.pings.is_empty() || connection.state != Link::Open
            };
            asked.iter().all(is_done).then_some(())
        })
        .await;
    }

    /// Returns how many connections are open, for payloads.
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
}
