//! Socket Mode connections: opened with a ticket, kept alive, refreshed, broken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::super::mock::http::plain;
use super::super::mock::websocket::{self, Link, Server, wait_for_end};
use super::state::Later;
use super::{APP, Knowledge as _, Shared, State};

/// The most connections that an app may have.
const MAX_CONNECTIONS: usize = 10;

/// A connection of the app.
#[derive(Debug)]
pub(super) struct Connection {
    /// What is to be sent. As long as what tests send at once.
    to_send: mpsc::UnboundedSender<Socket>,
    pub(super) state: Link,
    /// Nothing is read nor written, and TCP stays.
    pub(super) is_deaf: bool,
    /// Whether the client has closed TCP.
    pub(super) is_gone: bool,
    /// Until when which ping must be answered.
    pub(super) pings: VecDeque<(Instant, String)>,
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum Socket {
    Text(String),
    Binary(Vec<u8>),
    Ping(String),
    /// The close handshake, after which TCP stays open.
    Close,
    /// TCP ends, without a word.
    Drop,
    /// Silence with TCP kept open.
    Deafen,
}

/// Takes a WebSocket request.
pub(super) fn upgrade(shared: &Arc<Shared>, request: hyper::Request<Incoming>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let ticket = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "ticket")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let is_valid = shared.update(|state| {
        if state.tickets.remove(&ticket) {
            return state.used_tickets.insert(ticket);
        }
        let why = if state.used_tickets.contains(&ticket) {
            "used"
        } else {
            "unknown"
        };
        state.violation(format!("a socket with a ticket that is {why}"));
        false
    });
    let serve = async |server, shared: Arc<Shared>| serve(server, &shared).await;
    let upgraded = is_valid.then(|| websocket::upgrade(shared, request, serve));
    upgraded
        .flatten()
        .unwrap_or_else(|| plain(StatusCode::FORBIDDEN, "invalid ticket"))
}

async fn serve(mut server: Server, shared: &Arc<Shared>) {
    let (to_send, mut sending) = mpsc::unbounded_channel();
    let id = shared.update(|state| state.open(to_send));
    let mut ping = tokio::time::interval(shared.look(|state| state.options.timing.ping));
    ping.reset();
    let is_closed = loop {
        tokio::select! {
            said = sending.recv() => {
                let Some(said) = said else { break false };
                let message = match said {
                    Socket::Text(text) => Message::text(text),
                    Socket::Binary(bytes) => Message::binary(bytes),
                    Socket::Ping(text) => Message::Ping(text.into_bytes().into()),
                    Socket::Close => Message::Close(None),
                    Socket::Drop => break false,
                    Socket::Deafen => {
                        wait_for_end(server, told_to_end(&mut sending)).await;
                        shared.update(|state| state.gone(id));
                        return;
                    }
                };
                if server.send(message).await.is_err() {
                    break false;
                }
            }
            heard = server.next() => match heard {
                Some(Ok(Message::Text(text))) => {
                    shared.update(|state| state.take_ack(id, text.as_str()));
                }
                Some(Ok(Message::Pong(payload))) => {
                    shared.update(|state| state.take_pong(id, &payload));
                }
                Some(Ok(Message::Close(_))) => {
                    // The answer to it goes out with the next flush.
                    let _flushed = server.flush().await;
                    break true;
                }
                Some(Ok(Message::Binary(_))) => {
                    shared.update(|state| state.violation("a client sent a binary frame"));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break false,
            },
            _ = ping.tick() => shared.update(|state| state.ping(id)),
        }
    };
    shared.update(|state| state.close_connection(id));
    if is_closed {
        // Slack leaves TCP open; it is the client's to end.
        wait_for_end(server, told_to_end(&mut sending)).await;
    }
    shared.update(|state| state.gone(id));
}

async fn told_to_end(sending: &mut mpsc::UnboundedReceiver<Socket>) {
    while let Some(said) = sending.recv().await {
        if matches!(said, Socket::Drop) {
            return;
        }
    }
}

impl State {
    fn open(&mut self, to_send: mpsc::UnboundedSender<Socket>) -> u64 {
        let id = self.next();
        let is_too_many = self.open_connections().len() >= MAX_CONNECTIONS;
        self.connections.insert(
            id,
            Connection {
                to_send,
                state: Link::Open,
                is_deaf: false,
                is_gone: false,
                pings: VecDeque::new(),
            },
        );
        if is_too_many || self.link_disabled {
            let reason = if is_too_many {
                "too_many_websockets"
            } else {
                "link_disabled"
            };
            self.disconnect(id, reason);
            self.shut(id);
            return id;
        }
        self.mark_connections();
        let num_connections = self.open_connections().len() + self.options.strangers;
        let hello = json!({
            "type": "hello", "num_connections": num_connections,
            "debug_info": {
                "host": "applink-mock", "build_number": 10, "approximate_connection_time": 18060,
            },
            "connection_info": {"app_id": APP},
        });
        self.tell(id, Socket::Text(hello.to_string()));
        if let Some(life) = self.options.timing.life {
            self.later(life, Later::Refresh { connection: id });
        }
        self.deal_waiting();
        id
    }

    /// Returns the connections that payloads go to: also those that nobody reads.
    pub(super) fn open_connections(&self) -> Vec<u64> {
        let open = self.connections.iter();
        open.filter(|(_, it)| it.state == Link::Open)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn tell(&mut self, connection: u64, what: Socket) {
        let Some(it) = self.connections.get_mut(&connection) else {
            return;
        };
        match what {
            Socket::Close | Socket::Drop => it.state = Link::Closing,
            Socket::Deafen => it.is_deaf = true,
            _ => {}
        }
        // A connection that has just ended hears nothing.
        let _sent = it.to_send.send(what);
        self.mark_connections();
    }

    pub(super) fn disconnect(&mut self, connection: u64, reason: &str) {
        let frame = json!({
            "type": "disconnect", "reason": reason, "debug_info": {"host": "applink-mock"},
        });
        self.tell(connection, Socket::Text(frame.to_string()));
    }

    pub(super) fn shut(&mut self, connection: u64) {
        self.tell(connection, Socket::Close);
    }

    pub(super) fn refresh(&mut self, connection: u64) {
        self.disconnect(connection, "warning");
        let next = Later::RefreshNow { connection };
        self.later(self.options.timing.refresh, next);
    }

    pub(super) fn refresh_now(&mut self, connection: u64) {
        self.disconnect(connection, "refresh_requested");
        let next = Later::Close { connection };
        self.later(self.options.timing.refresh, next);
    }

    pub(super) fn ping(&mut self, id: u64) {
        let name = self.name("Ping from applink-mock:");
        let until = Instant::now() + self.options.timing.pong;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection
            .pings
            .front()
            .is_some_and(|(until, _)| *until < Instant::now())
        {
            connection.pings.clear();
            self.violation("a ping was not answered");
            return self.shut(id);
        }
        connection.pings.push_back((until, name.clone()));
        self.tell(id, Socket::Ping(name));
    }

    fn take_pong(&mut self, id: u64, payload: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let at = connection
            .pings
            .iter()
            .position(|(_, name)| name.as_bytes() == payload);
        match at {
            // A pong may stand for the pings before it.
            Some(at) => drop(connection.pings.drain(..=at)),
            // Unasked for, as a sign of life.
            None if payload.is_empty() => {}
            None => self.violation("a pong with another payload than its ping"),
        }
    }

    fn close_connection(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = Link::Closed;
        }
        self.mark_connections();
    }

    fn gone(&mut self, id: u64) {
        self.close_connection(id);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_gone = true;
        }
    }

    fn mark_connections(&mut self) {
        self.mark(self.open_connections().len());
    }
}
