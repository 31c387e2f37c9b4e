//! From nothing to `hello`.

use std::sync::Arc;

use futures_util::StreamExt as _;
use serde::Deserialize;
use thiserror::Error;
use tieline_net::uplink::{Late, Opened, Platform, Upkeep, Verdict, within};
use tieline_net::{ConnectError, WebSocket};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::debug;

use super::census::Census;
use super::envelope::{DisconnectReason, Frame};
use super::session::SlackSession;
use super::timing::Timing;
use super::verdict;
use crate::account::Account;
use crate::web::{CallError, Method};

/// The largest frame that is taken. Slack does not say what it sends at most; what people see has
/// some hundred kilobytes.
const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Slack, as an app connects to it.
#[derive(Debug)]
pub(super) struct Slack {
    pub(super) account: Arc<Account>,
    pub(super) census: Census,
    pub(super) timing: Timing,
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
    #[error(transparent)]
    Late(#[from] Late),
}

#[derive(Deserialize)]
struct ConnectionsOpenResponse {
    url: String,
}

impl Platform for Slack {
    const NAME: &'static str = "Slack";

    type Session = SlackSession;
    type Error = OpenError;

    /// Asks who we are, once, and where to connect; connects; awaits `hello`.
    async fn open(&self) -> Result<Opened<SlackSession>, OpenError> {
        let Self {
            account, timing, ..
        } = self;
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
        debug!(num_connections, "Slack says hello");
        Ok(Opened {
            socket,
            session: SlackSession {
                channel: account.settings.id.clone(),
                _counted: self.census.count(num_connections),
            },
            upkeep: Upkeep {
                ping: timing.ping,
                longest: timing.uplink.habits.longest,
            },
        })
    }

    fn verdict(&self, error: &OpenError) -> Verdict {
        verdict::on_failure(&self.account.settings.id, error)
    }
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
