//! Long connections: opened with a ticket, kept alive by the client's pings, broken.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};

use super::super::mock::connections::{Link, Opened, Socket};
use super::super::mock::websocket;
use super::state::Later;
use super::wire::Frame;
use super::{Args, Fault, Knowledge as _, MockFeishu, Shared, State};

/// What an app with too many connections is told.
const TOO_MANY: i64 = 1_000_040_350;

/// The other end of a connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) service: i32,
    /// How often it has pinged.
    n_pings: usize,
}

/// Takes a WebSocket request.
pub(super) fn upgrade(
    shared: &Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Option<Response<Body>> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let ticket = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "ticket")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let service = match shared.update(|state| state.take_ticket(&ticket)) {
        Ok(service) => service,
        Err(Refused::Gone) => return None,
        Err(Refused::With(code)) => return Some(refusal(code)),
    };
    // Before the client hears of it: whatever is delivered from now on goes to it.
    let opened = Opened::new(shared, |state, id| state.open(id, service));
    websocket::upgrade(shared, request, opened).or_else(|| Some(refusal(403)))
}

enum Refused {
    With(i64),
    /// The connection breaks.
    Gone,
}

/// Which HTTP status a refused handshake has is not documented.
fn refusal(code: i64) -> Response<Body> {
    let response = Response::builder().status(StatusCode::FORBIDDEN);
    let response = match code {
        403 => response.header("Handshake-Status", "403"),
        code => response
            .header("Handshake-Status", "514")
            .header("Handshake-Autherrcode", code.to_string()),
    };
    response
        .header("Handshake-Msg", "refused")
        .body(Body::empty())
        .expect("a response")
}

impl From<Frame> for Socket {
    fn from(frame: Frame) -> Self {
        Self::Binary(frame.encode())
    }
}

impl State {
    fn take_ticket(&mut self, ticket: &str) -> Result<i32, Refused> {
        match self.common_mut().take_fault("handshake", &Args::default()) {
            Some(Fault::Error(code)) => return Err(Refused::With(code)),
            Some(_) => return Err(Refused::Gone),
            None => {}
        }
        let Some(service) = self.tickets.remove(ticket) else {
            let why = if self.used_tickets.contains(ticket) {
                "used"
            } else {
                "unknown"
            };
            self.violation(format!("a connection with a ticket that is {why}"));
            return Err(Refused::With(403));
        };
        self.used_tickets.insert(ticket.to_owned());
        if self.common.connections.open().len() >= self.options.max_connections {
            return Err(Refused::With(TOO_MANY));
        }
        Ok(service)
    }

    fn open(&mut self, id: u64, service: i32) {
        let client = Client {
            service,
            n_pings: 0,
        };
        self.clients.insert(id, client);
        self.expect_ping(id);
        if let Some(life) = self.options.timing.life {
            self.later(life, Later::Close { connection: id });
        }
    }

    pub(super) fn tell(&mut self, connection: u64, what: impl Into<Socket>) {
        self.common.connections.tell(connection, what.into());
    }

    /// Takes what a client sent.
    pub(super) fn take(&mut self, id: u64, bytes: &[u8]) {
        let frame = match Frame::decode(bytes) {
            Ok(frame) => frame,
            Err(why) => return self.violation(format!("a frame that cannot be read: {why}")),
        };
        match frame.method {
            0 => self.take_control(id, &frame),
            1 => self.take_ack(id, &frame),
            other => self.violation(format!("a frame of method {other}")),
        }
    }

    fn take_control(&mut self, id: u64, frame: &Frame) {
        let service = self.clients[&id].service;
        let ping = Frame {
            service,
            headers: vec![("type".to_owned(), "ping".to_owned())],
            ..Frame::default()
        };
        if *frame != ping {
            return self.violation(format!("a control frame that is no ping: {frame:?}"));
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.n_pings += 1;
        }
        let pong = Frame {
            service,
            headers: vec![("type".to_owned(), "pong".to_owned())],
            payload: Some(self.client_config().to_string().into_bytes()),
            ..Frame::default()
        };
        self.tell(id, pong);
        self.expect_ping(id);
    }

    fn expect_ping(&mut self, id: u64) {
        let due = Later::PingDue {
            connection: id,
            pings: self.clients[&id].n_pings,
        };
        let timing = &self.options.timing;
        let within = Duration::from_secs(timing.ping) + timing.ping_grace;
        self.later(within, due);
    }

    pub(super) fn ping_is_due(&mut self, id: u64, pings: usize) {
        let is_missed = self.clients[&id].n_pings == pings;
        let connection = self.common.connections.get(id);
        let is_owed = connection.is_some_and(|it| it.link == Link::Open && !it.is_deaf);
        if is_missed && is_owed {
            self.violation("no ping within the interval");
        }
    }
}

impl MockFeishu {
    /// Returns how often the client has pinged, on all connections.
    pub(crate) fn pings(&self) -> usize {
        self.shared
            .look(|state| state.clients.values().map(|it| it.n_pings).sum())
    }
}
