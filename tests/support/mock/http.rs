//! HTTP as mocks speak it: connections that may break, plain answers, headers.

use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

/// The most that a request may have.
pub(crate) const MAX_BODY: usize = 64 << 20;

/// The connection ends without an answer.
#[derive(Debug, Error)]
#[error("the connection is dropped")]
pub(crate) struct Dropped;

/// Serves one TCP connection until it ends.
pub(crate) async fn converse<S>(stream: TcpStream, service: S)
where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Small frames must not wait for each other: latency is measured. A client may be gone.
    let _set = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // However it ends: what matters was written down.
    let _ended = connection.await;
}

pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "text/html")
        .body(Body::from(text.to_owned()))
        .expect("a response")
}

/// Returns a 5xx as a gateway makes it.
pub(crate) fn broken(status: u16) -> Response<Body> {
    plain(
        StatusCode::from_u16(status).expect("a status"),
        "<html><body>upstream connect error</body></html>",
    )
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    header(headers, AUTHORIZATION.as_str())?.strip_prefix("Bearer ")
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns all headers as text.
pub(crate) fn all(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    pairs.collect()
}
