//! Frames: text that goes in and out, whatever carries it.
//!
//! A WebSocket over a Unix or TCP socket, or lines on the pipes of a child. Knows nothing of what
//! the text means.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt, sink, stream};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

/// The largest message we read. Resuming a thread of 2,000 turns is 1.6 MB.
const READ_LIMIT: usize = 256 << 20;

/// The largest message we send: what codex takes in one frame. It drops the connection, without a
/// word, of who sends more.
pub(super) const WRITE_LIMIT: usize = 16 << 20;

/// How a connection ended. Every caller that still waits is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("the connection to codex was closed by us")]
    Requested,
    /// Codex closed it; its process may have ended, or we read too slowly.
    #[error("codex closed the connection")]
    Ended,
    /// Nothing was heard for this long, not even the answer to a ping.
    #[error("codex has been silent for {} s", .0.as_secs())]
    Deaf(Duration),
    /// Reading or writing failed.
    #[error("the connection to codex broke: {0}")]
    Broken(String),
    /// Codex sent what no WebSocket peer may send, or far too much.
    #[error("codex broke the WebSocket protocol: {0}")]
    Protocol(String),
}

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming {
    /// One message.
    Text(Utf8Bytes),
    /// Bytes that are no message: the peer lives, and sent something it should not.
    Garbage(&'static str),
    /// The peer lives.
    Heard,
}

/// What goes out.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// One message.
    Text(String),
    /// A question that a living peer answers by itself.
    Ping,
    /// We are leaving.
    Close,
}

type Source = Pin<Box<dyn Stream<Item = Result<Incoming, CloseReason>> + Send>>;
type Drain = Pin<Box<dyn Sink<Outgoing, Error = CloseReason> + Send>>;

/// Both directions of a connection. The source ends, or gives an error as its last item, when the
/// peer is gone.
pub(super) struct Wire {
    pub(super) source: Source,
    pub(super) sink: Drain,
}

/// Returns the limits for reading and writing.
pub(super) fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(READ_LIMIT))
        .max_frame_size(Some(READ_LIMIT))
}

impl Wire {
    /// Wraps a WebSocket after its upgrade.
    pub(super) fn web_socket<S>(socket: WebSocketStream<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sink, source) = socket.split();
        Self {
            source: Box::pin(source.filter_map(|message| async {
                match message {
                    Ok(Message::Text(text)) => Some(Ok(Incoming::Text(text))),
                    Ok(Message::Ping(_) | Message::Pong(_)) => Some(Ok(Incoming::Heard)),
                    Ok(Message::Binary(_)) => Some(Ok(Incoming::Garbage("a binary frame"))),
                    Ok(Message::Close(_) | Message::Frame(_)) => None,
                    Err(error) => Some(Err(close_reason(error))),
                }
            })),
            sink: Box::pin(sink.sink_map_err(close_reason).with(|outgoing| {
                std::future::ready(Ok(match outgoing {
                    Outgoing::Text(text) => Message::text(text),
                    Outgoing::Ping => Message::Ping(Vec::new().into()),
                    Outgoing::Close => Message::Close(None),
                }))
            })),
        }
    }

    /// Wraps the pipes of a child that speaks one message per line.
    ///
    /// A last line without its end is still a message: a child that dies may leave one.
    pub(super) fn lines<R, W>(reader: R, writer: W) -> Self
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let reader = BufReader::with_capacity(64 << 10, reader);
        let source = stream::unfold(Some((reader, Vec::new())), |state| async {
            let (mut reader, mut line) = state?;
            match read_line(&mut reader, &mut line).await {
                Ok(LineRead::Ended) => None,
                Ok(LineRead::Line { last }) => {
                    let text = std::mem::take(&mut line);
                    let incoming = match String::from_utf8(text) {
                        Ok(text) => Incoming::Text(text.into()),
                        Err(_) => Incoming::Garbage("a line that is not UTF-8"),
                    };
                    if last {
                        tracing::debug!("took a last line of codex that had no end");
                    }
                    Some((Ok(incoming), (!last).then_some((reader, line))))
                }
                Err(reason) => Some((Err(reason), None)),
            }
        });
        let sink = sink::unfold(writer, |mut writer, outgoing| async move {
            let mut line = match outgoing {
                Outgoing::Text(text) => text,
                // Lines have no ping of their own: any request is answered. The id is a string,
                // ours are numbers, so that nobody waits for it.
                Outgoing::Ping => {
                    r#"{"id":"ping","method":"server/diagnostics","params":{}}"#.to_owned()
                }
                Outgoing::Close => {
                    // End of file on its stdin ends the child.
                    let _closed = writer.shutdown().await;
                    return Ok(writer);
                }
            };
            line.push('\n');
            writer.write_all(line.as_bytes()).await.map_err(broken)?;
            writer.flush().await.map_err(broken)?;
            Ok(writer)
        });
        Self {
            source: Box::pin(source),
            sink: Box::pin(sink),
        }
    }
}

enum LineRead {
    Line { last: bool },
    Ended,
}

async fn read_line<R>(
    reader: &mut BufReader<R>,
    line: &mut Vec<u8>,
) -> Result<LineRead, CloseReason>
where
    R: AsyncRead + Unpin,
{
    loop {
        let chunk = reader.fill_buf().await.map_err(broken)?;
        if chunk.is_empty() {
            return Ok(if line.is_empty() {
                LineRead::Ended
            } else {
                LineRead::Line { last: true }
            });
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        line.extend_from_slice(&chunk[..taken]);
        reader.consume(end.map_or(taken, |end| end + 1));
        if line.len() > READ_LIMIT {
            return Err(CloseReason::Protocol(format!(
                "a line of more than {READ_LIMIT} bytes"
            )));
        }
        if end.is_some() && !line.iter().all(u8::is_ascii_whitespace) {
            return Ok(LineRead::Line { last: false });
        }
        if end.is_some() {
            line.clear();
        }
    }
}

fn broken(error: std::io::Error) -> CloseReason {
    CloseReason::Broken(error.to_string())
}

pub(super) fn close_reason(error: WsError) -> CloseReason {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CloseReason::Ended,
        WsError::Io(error) => CloseReason::Broken(error.to_string()),
        other => CloseReason::Protocol(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn texts(input: &'static [u8]) -> Vec<String> {
        let mut wire = Wire::lines(input, tokio::io::sink());
        let mut texts = Vec::new();
        while let Some(incoming) = wire.source.next().await {
            texts.push(match incoming {
                Ok(Incoming::Text(text)) => text.to_string(),
                other => format!("{other:?}"),
            });
        }
        texts
    }

    #[tokio::test]
    async fn a_last_line_without_its_end_is_a_message() {
        assert_eq!(
            texts(b"{\"a\":1}\n{\"b\":2}").await,
            ["{\"a\":1}", "{\"b\":2}"]
        );
    }

    #[tokio::test]
    async fn empty_lines_are_nothing_and_broken_text_is_garbage() {
        assert_eq!(
            texts(b"\n  \n\xff\xfe\nx\n").await,
            ["Ok(Garbage(\"a line that is not UTF-8\"))", "x"]
        );
    }
}
