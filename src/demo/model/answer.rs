//! The HTTP side of an answer: the header when the script begins, then what it says.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

/// A piece of the stream, or its violent end.
pub(super) type Chunk = Result<Bytes, io::Error>;

/// How an answer begins.
#[derive(Debug)]
pub(super) enum Head {
    Stream(mpsc::Receiver<Chunk>),
    Plain(Response),
    Cut,
}

/// The HTTP side of a [`Responder`](super::Responder).
#[derive(Debug)]
pub(super) struct Answer(pub(super) oneshot::Receiver<Head>);

impl Answer {
    /// Waits for the script to begin.
    pub(super) async fn into_response(self) -> Response {
        match self.0.await {
            Ok(Head::Stream(chunks)) => event_stream(Body::from_stream(Chunks {
                chunks,
                flush_first: false,
            })),
            Ok(Head::Plain(response)) => response,
            // A body that fails at its first poll takes the unsent header with it.
            Ok(Head::Cut) | Err(_) => event_stream(Body::from_stream(Cut)),
        }
    }
}

fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The body of an answer.
///
/// Pauses after each chunk, so that hyper writes it out before it can see a cut: otherwise the cut
/// would swallow what was said before it.
struct Chunks {
    chunks: mpsc::Receiver<Chunk>,
    flush_first: bool,
}

impl Stream for Chunks {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        if std::mem::take(&mut self.flush_first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chunk = std::task::ready!(self.chunks.poll_recv(cx));
        self.flush_first = true;
        Poll::Ready(chunk)
    }
}

/// A body that breaks the connection.
struct Cut;

impl Stream for Cut {
    type Item = Chunk;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted))))
    }
}
