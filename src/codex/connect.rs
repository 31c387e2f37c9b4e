//! Reaching an app-server and shaking hands with it.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::{client_async_with_config, connect_async_with_config};

use super::call::CallError;
use super::client::Client;
use super::launch::Endpoint;
use super::protocol::{
    ClientInfo, Initialize, InitializeCapabilities, InitializeParams, InitializeResponse,
    Notification,
};
use super::wire::{Outgoing, Wire, web_socket_config};

/// An app-server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody accepts.
    #[error("nobody accepts connections at {endpoint}")]
    Refused {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody accepts, and does not speak WebSocket.
    #[error("what accepts at {endpoint} is no app-server")]
    Upgrade {
        /// Where.
        endpoint: Endpoint,
        /// Why.
        #[source]
        source: Box<WsError>,
    },
}

/// Connects to a Unix socket, without the upgrade.
pub(super) async fn unix_stream(path: &Path) -> Result<UnixStream, ConnectError> {
    UnixStream::connect(path)
        .await
        .map_err(|source| ConnectError::Refused {
            endpoint: Endpoint::Unix(path.to_owned()),
            source,
        })
}

/// Upgrades a Unix stream to a WebSocket.
pub(super) async fn upgrade(stream: UnixStream, path: &Path) -> Result<Wire, ConnectError> {
    let config = Some(web_socket_config());
    let (socket, _response) = client_async_with_config("ws://localhost/", stream, config)
        .await
        .map_err(|source| ConnectError::Upgrade {
            endpoint: Endpoint::Unix(path.to_owned()),
            source: Box::new(source),
        })?;
    Ok(Wire::web_socket(socket))
}

/// Connects to an app-server that somebody else runs.
pub(super) async fn connect(endpoint: &Endpoint) -> Result<Wire, ConnectError> {
    match endpoint {
        Endpoint::Unix(path) => upgrade(unix_stream(path).await?, path).await,
        Endpoint::Web(url) => {
            // No Nagle: frames are small and somebody waits for each.
            match connect_async_with_config(url, Some(web_socket_config()), true).await {
                Ok((socket, _response)) => Ok(Wire::web_socket(socket)),
                Err(WsError::Io(source)) => Err(ConnectError::Refused {
                    endpoint: endpoint.clone(),
                    source,
                }),
                Err(source) => Err(ConnectError::Upgrade {
                    endpoint: endpoint.clone(),
                    source: Box::new(source),
                }),
            }
        }
    }
}

/// Says who we are and what we want, and learns who answers.
pub(super) async fn shake_hands(client: &Client) -> Result<InitializeResponse, CallError> {
    let params = InitializeParams {
        client_info: ClientInfo {
            name: "tieline",
            title: "tieline",
            version: env!("CARGO_PKG_VERSION"),
        },
        capabilities: InitializeCapabilities {
            experimental_api: true,
            opt_out_notification_methods: Notification::OPT_OUT,
        },
    };
    let response = client.call::<Initialize>(&params).await?;
    let initialized = Outgoing::Text(r#"{"method":"initialized"}"#.to_owned());
    // If the connection is gone already, the first call will tell.
    drop(client.shared.outgoing.send(initialized).await);
    Ok(response)
}
