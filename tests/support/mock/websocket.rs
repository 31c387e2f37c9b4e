//! WebSockets from the server's side, with the TCP connection below in reach.

use std::sync::Arc;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::connections::Opened;
use super::{Knowledge, Shared};

/// A WebSocket from the server's side.
pub(crate) type Server = WebSocketStream<TokioIo<Upgraded>>;

/// Makes a connection of a request; `None` when it asks for none.
pub(crate) fn upgrade<K: Knowledge>(
    shared: &Arc<Shared<K>>,
    mut request: hyper::Request<Incoming>,
    opened: Opened<K>,
) -> Option<Response<Body>> {
    let key = derive_accept_key(request.headers().get(SEC_WEBSOCKET_KEY)?.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    shared.spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let io = TokioIo::new(upgraded);
            let server = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            opened.serve(server).await;
        }
    });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, key)
        .body(Body::empty());
    Some(response.expect("a response"))
}

/// Waits until the client ends TCP, or the mock is told to.
pub(crate) async fn wait_for_end(server: Server, told: impl Future<Output = ()>) {
    let mut io = server.into_inner();
    let ends = async {
        let mut bytes = [0; 1024];
        while io.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        () = ends => {}
        () = told => {}
    }
}
