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

use super::{Knowledge, Shared};

/// A WebSocket from the server's side.
pub(crate) type Server = WebSocketStream<TokioIo<Upgraded>>;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    Closing,
    Closed,
}

/// Makes a WebSocket of a request and lets it be served; `None` when it asks for none.
pub(crate) fn upgrade<K: Knowledge, F>(
    shared: &Arc<Shared<K>>,
    mut request: hyper::Request<Incoming>,
    serve: impl FnOnce(Server, Arc<Shared<K>>) -> F + Send + 'static,
) -> Option<Response<Body>>
where
    F: Future<Output = ()> + Send,
{
    let key = derive_accept_key(request.headers().get(SEC_WEBSOCKET_KEY)?.as_bytes());
    let upgraded = hyper::upgrade::on(&mut request);
    let task = Arc::clone(shared);
    shared.spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let io = TokioIo::new(upgraded);
            let server = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            serve(server, task).await;
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
