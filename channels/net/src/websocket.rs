//! WebSockets, over TLS or without.

use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, tungstenite};

use crate::Net;

/// A WebSocket to a platform.
pub type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why there is no WebSocket. No variant shows the URL, which may be a credential.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The server answered with something else.
    #[error("the WebSocket was refused with HTTP status {}", .0.status())]
    Refused(Box<http::Response<Option<Vec<u8>>>>),
    /// It took too long.
    #[error("the WebSocket could not be opened within {} s", .0.as_secs())]
    Deadline(Duration),
    /// The network or the server failed.
    #[error("the WebSocket could not be opened")]
    Failed(#[source] Box<tungstenite::Error>),
}

impl Net {
    /// Opens a WebSocket: `ws://` or `wss://`, without Nagle's algorithm, so that small frames do
    /// not wait for each other. Frames and messages of up to `max_bytes` are taken.
    ///
    /// # Errors
    ///
    /// When it is not open within `deadline`.
    pub async fn open_websocket(
        &self,
        url: &str,
        max_bytes: usize,
        deadline: Duration,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_bytes))
            .max_frame_size(Some(max_bytes));
        let connector = Connector::Rustls(self.tls.clone());
        let opened = tokio_tungstenite::connect_async_tls_with_config(
            url,
            Some(config),
            true,
            Some(connector),
        );
        match timeout(deadline, opened).await {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(tungstenite::Error::Http(response))) => Err(ConnectError::Refused(response)),
            Ok(Err(failure)) => Err(ConnectError::Failed(Box::new(failure))),
            Err(_elapsed) => Err(ConnectError::Deadline(deadline)),
        }
    }
}
