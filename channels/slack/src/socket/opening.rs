//! From nothing to `hello`.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use thiserror::Error;
use tieline_net::{ConnectError, WebSocket};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use super::envelope::{DisconnectReason, Frame};
use super::timing::Timing;
use crate::account::Account;
use crate::web::{CallError, Method};

/// The largest frame that is taken. Slack does not say what it sends at most; what people see has
/// some hundred kilobytes.
const MAX_FRAME: usize = 16 * 1024 * 1024;

/// A connection on which Slack has said `hello`.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) socket: WebSocket,
    /// How many connections the app has, this one included.
    pub(super) num_connections: Option<usize>,
}

/// Why there is no connection. No text has the URL in it.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    /// The Web API did not say who we are or where to connect.
    #[error("Slack's Web API gave no connection")]
    Call(#[from] CallError),
    /// There is no WebSocket.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Slack said goodbye instead of hello.
    #[error("Slack ended the connection instead of saying hello: {0:?}")]
    TurnedAway(DisconnectReason),
    /// The connection broke before `hello`.
    #[error("the connection broke before Slack said hello")]
    Broken(#[source] tungstenite::Error),
    /// The connection was closed before `hello`.
    #[error("the connection was closed before Slack said hello")]
    Closed,
    /// A step took too long.
    #[error("{step} took more than {within:?}")]
    Deadline {
        /// What was waited for.
        step: &'static str,
        /// For how long.
        within: Duration,
    },
    /// Opening it panicked, which is a defect of ours.
    #[error("opening a connection panicked")]
    Panicked,
}

#[derive(Deserialize)]
struct ConnectionsOpenResponse {
    url: String,
}

/// Opens a connection: asks who we are, once, and where to connect; connects; awaits `hello`.
///
/// # Errors
///
/// When any of it fails or takes too long.
pub(super) async fn open(account: Arc<Account>, timing: Timing) -> Result<Opened, OpenError> {
    // Without knowing who we are nothing that arrives can be read.
    within("auth.test", timing.call, account.identity()).await??;
    let place = account
        .web
        .call::<ConnectionsOpenResponse>(Method::AppsConnectionsOpen, Vec::new());
    let place = within("apps.connections.open", timing.call, place).await??;
    let (mut socket, _response) = account
        .net
        .open_websocket(&place.url, MAX_FRAME, timing.connect)
        .await?;
    let num_connections = within("Slack's hello", timing.hello, hello(&mut socket)).await??;
    Ok(Opened {
        socket,
        num_connections,
    })
}

/// Waits for `hello` and returns how many connections the app has.
async fn hello(socket: &mut WebSocket) -> Result<Option<usize>, OpenError> {
    loop {
        let message = match socket.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(OpenError::Broken(error)),
            None => return Err(OpenError::Closed),
        };
        match message {
            Message::Text(text) => match Frame::read(&text) {
                Frame::Hello { num_connections } => return Ok(num_connections),
                Frame::Disconnect(reason) => return Err(OpenError::TurnedAway(reason)),
                // Not acknowledged, so it comes again.
                Frame::Envelope(_)
                | Frame::AppRateLimited { .. }
                | Frame::Unknown { .. }
                | Frame::Noise => {}
            },
            Message::Close(_) => return Err(OpenError::Closed),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

async fn within<T>(
    step: &'static str,
    within: Duration,
    future: impl Future<Output = T>,
) -> Result<T, OpenError> {
    timeout(within, future)
        .await
        .map_err(|_elapsed| OpenError::Deadline { step, within })
}
