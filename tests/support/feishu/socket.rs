//! Long connections: opened with a ticket, kept alive by the client's pings, broken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::super::mock::websocket::{self, Link, Server, wait_for_end};
use super::state::Later;
use super::wire::Frame;
use super::{Args, Fault, Knowledge as _, Shared, State};

/// What an app with too many connections is told.
const TOO_MANY: i64 = 1_000_040_350;

/// A connection of the app.
#[derive(Debug)]
pub(super) struct Connection {
    /// What is to be sent. As long as what tests send at once.
    to_send: mpsc::UnboundedSender<Socket>,
    pub(super) service: i32,
    pub(super) state: Link,
    /// Nothing is read nor written, and TCP stays.
    pub(super) is_deaf: bool,
    /// Whether TCP has ended.
    pub(super) is_gone: bool,
    /// How often the client has pinged.
    pub(super) n_pings: usize,
    /// Pings of WebSocket that are not answered yet.
    pub(super) echoes: BTreeSet<String>,
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum Socket {
    Frame(Frame),
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
    let (to_send, sending) = mpsc::unbounded_channel();
    let id = shared.update(|state| state.open(to_send, service));
    let opened = Opened {
        shared: Arc::clone(shared),
        id,
        sending,
    };
    let serve = async move |server, _| serve(server, opened).await;
    websocket::upgrade(shared, request, serve).or_else(|| Some(refusal(403)))
}

/// A connection, from the answer to its request until it ends.
struct Opened {
    shared: Arc<Shared>,
    id: u64,
    sending: mpsc::UnboundedReceiver<Socket>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.shared.update(|state| state.gone(self.id));
    }
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

async fn serve(mut server: Server, mut opened: Opened) {
    let (shared, id) = (Arc::clone(&opened.shared), opened.id);
    let sending = &mut opened.sending;
    loop {
        tokio::select! {
            said = sending.recv() => {
                let Some(said) = said else { break };
                let message = match said {
                    Socket::Frame(frame) => Message::binary(frame.encode()),
                    Socket::Text(text) => Message::text(text),
                    Socket::Binary(bytes) => Message::binary(bytes),
                    Socket::Ping(text) => Message::Ping(text.into_bytes().into()),
                    Socket::Close => Message::Close(None),
                    Socket::Drop => break,
                    Socket::Deafen => {
                        wait_for_end(server, told_to_end(sending)).await;
                        break;
                    }
                };
                if server.send(message).await.is_err() {
                    break;
                }
            }
            heard = server.next() => match heard {
                Some(Ok(Message::Binary(bytes))) => {
                    shared.update(|state| state.hear(id, &bytes));
                }
                Some(Ok(Message::Pong(payload))) => {
                    shared.update(|state| state.take_echo(id, &payload));
                }
                Some(Ok(Message::Text(_))) => {
                    shared.update(|state| state.violation("a client sent a text frame"));
                }
                Some(Ok(Message::Close(_))) => {
                    // The answer to it goes out with the next flush.
                    let _flushed = server.flush().await;
                    break;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
}

async fn told_to_end(sending: &mut mpsc::UnboundedReceiver<Socket>) {
    while let Some(said) = sending.recv().await {
        if matches!(said, Socket::Drop) {
            return;
        }
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
        if self.open_connections().len() >= self.options.max_connections {
            return Err(Refused::With(TOO_MANY));
        }
        Ok(service)
    }

    fn open(&mut self, to_send: mpsc::UnboundedSender<Socket>, service: i32) -> u64 {
        let id = self.next();
        self.connections.insert(
            id,
            Connection {
                to_send,
                service,
                state: Link::Open,
                is_deaf: false,
                is_gone: false,
                n_pings: 0,
                echoes: BTreeSet::new(),
            },
        );
        self.mark_connections();
        self.expect_ping(id);
        if let Some(life) = self.options.timing.life {
            self.later(life, Later::Close { connection: id });
        }
        id
    }

    /// Returns the connections that events go to: also those that nobody reads.
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

    /// Takes what a client sent.
    fn hear(&mut self, id: u64, bytes: &[u8]) {
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
        let service = self.connections[&id].service;
        let ping = Frame {
            service,
            headers: vec![("type".to_owned(), "ping".to_owned())],
            ..Frame::default()
        };
        if *frame != ping {
            return self.violation(format!("a control frame that is no ping: {frame:?}"));
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.n_pings += 1;
        }
        let pong = Frame {
            service,
            headers: vec![("type".to_owned(), "pong".to_owned())],
            payload: Some(self.client_config().to_string().into_bytes()),
            ..Frame::default()
        };
        self.tell(id, Socket::Frame(pong));
        self.expect_ping(id);
    }

    fn expect_ping(&mut self, id: u64) {
        let due = Later::PingDue {
            connection: id,
            pings: self.connections[&id].n_pings,
        };
        let timing = &self.options.timing;
        let within = Duration::from_secs(timing.ping) + timing.ping_grace;
        self.later(within, due);
    }

    pub(super) fn ping_is_due(&mut self, id: u64, pings: usize) {
        let connection = &self.connections[&id];
        let is_missed = connection.n_pings == pings && connection.state == Link::Open;
        if is_missed && !connection.is_deaf {
            self.violation("no ping within the interval");
        }
    }

    /// Sends a ping of WebSocket.
    pub(super) fn call_out(&mut self, id: u64) {
        let name = self.name("echo-");
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.echoes.insert(name.clone());
        }
        self.tell(id, Socket::Ping(name));
    }

    fn take_echo(&mut self, id: u64, payload: &[u8]) {
        let name = String::from_utf8_lossy(payload).into_owned();
        if let Some(connection) = self.connections.get_mut(&id) {
            // An answer may stand for the pings before it.
            connection.echoes.retain(|it| *it > name);
        }
    }

    fn gone(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = Link::Closed;
            connection.is_gone = true;
        }
        self.mark_connections();
    }

    fn mark_connections(&mut self) {
        self.mark(self.open_connections().len());
    }
}
