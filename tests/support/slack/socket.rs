//! Socket Mode connections: opened with a ticket, kept alive, refreshed, broken.

use std::sync::Arc;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::super::mock::connections::{self, Link, Opened, Socket};
use super::super::mock::http::plain;
use super::super::mock::websocket;
use super::state::Later;
use super::{APP, Knowledge as _, Shared, State};

/// The most connections that an app may have.
const MAX_CONNECTIONS: usize = 10;

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
    let upgraded = is_valid.then(|| {
        let opened = Opened::new(shared, State::open);
        websocket::upgrade(shared, request, opened)
    });
    upgraded
        .flatten()
        .unwrap_or_else(|| plain(StatusCode::FORBIDDEN, "invalid ticket"))
}

impl State {
    fn open(&mut self, id: u64) {
        let n_open = self.common.connections.open().len();
        let is_too_many = n_open > MAX_CONNECTIONS;
        if is_too_many || self.link_disabled {
            let reason = if is_too_many {
                "too_many_websockets"
            } else {
                "link_disabled"
            };
            self.disconnect(id, reason);
            return self.shut(id);
        }
        let num_connections = n_open + self.options.strangers;
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
        let ping = Later::Ping { connection: id };
        self.later(self.options.timing.ping, ping);
        self.deal_waiting();
    }

    pub(super) fn tell(&mut self, connection: u64, what: Socket) {
        self.common.connections.tell(connection, what);
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

    /// Pings a connection, again and again.
    pub(super) fn keep_alive(&mut self, id: u64) {
        let connection = self.common.connections.get(id);
        if connection.is_some_and(|it| it.link == Link::Open && !it.is_deaf) {
            let timing = self.options.timing;
            connections::ping(self, id, "Ping from applink-mock:", timing.pong);
            self.later(timing.ping, Later::Ping { connection: id });
        }
    }
}
