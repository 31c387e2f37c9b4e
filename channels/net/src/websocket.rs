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
    #[error("the WebSocket could not be opened within {0:?}")]
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::future::pending;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;
    use tokio_tungstenite::tungstenite::{Message, error::CapacityError};

    use super::*;

    /// Never reached unless something is wrong.
    const PATIENCE: Duration = Duration::from_secs(60);

    const MAX_BYTES: usize = 1_000;

    /// Something in the URL that nobody may see.
    const TICKET: &str = "very-secret-ticket";

    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, format!("ws://127.0.0.1:{port}/link/?t={TICKET}"))
    }

    async fn open(url: &str, deadline: Duration) -> Result<WebSocket, ConnectError> {
        let net = Net::new().unwrap();
        let opened = net.open_websocket(url, MAX_BYTES, deadline).await;
        opened.map(|(socket, _response)| socket)
    }

    /// Opens a WebSocket to a server that answers whatever it is asked with this.
    async fn open_answered(answer: &str) -> Result<WebSocket, ConnectError> {
        let (listener, url) = listen().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _n = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(open(&url, PATIENCE), serve).0
    }

    /// Returns everything that an error can be made to say, but for what its fields show.
    fn words(error: &ConnectError) -> String {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            words.push_str(&error.to_string());
            source = error.source();
        }
        words
    }

    #[tokio::test]
    async fn plain_websocket_carries_messages_both_ways() {
        let (listener, url) = listen().await;
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let message = socket.next().await.unwrap().unwrap();
            socket.send(message).await.unwrap();
        };
        let exchange = async {
            let mut socket = open(&url, PATIENCE).await.unwrap();
            socket.send(Message::text("hello")).await.unwrap();
            socket.next().await.unwrap().unwrap()
        };
        let (echo, ()) = tokio::join!(exchange, serve);
        assert_eq!(echo, Message::text("hello"));
    }

    #[tokio::test]
    async fn message_that_is_too_large_is_an_error() {
        let (listener, url) = listen().await;
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            for size in [MAX_BYTES, MAX_BYTES + 1] {
                socket.send(Message::text("x".repeat(size))).await.unwrap();
            }
        };
        let read = async {
            let mut socket = open(&url, PATIENCE).await.unwrap();
            let first = socket.next().await.unwrap().unwrap();
            (first.len(), socket.next().await.unwrap())
        };
        let ((first, second), ()) = tokio::join!(read, serve);
        assert_eq!(first, MAX_BYTES);
        assert!(
            matches!(
                second,
                Err(tungstenite::Error::Capacity(
                    CapacityError::MessageTooLong { .. }
                ))
            ),
            "{second:?}"
        );
    }

    #[tokio::test]
    async fn refusal_tells_status_and_headers() {
        let error = open_answered(
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
        )
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the WebSocket was refused with HTTP status 429 Too Many Requests"
        );
        let ConnectError::Refused(response) = error else {
            panic!("{error:?}");
        };
        assert_eq!(response.headers()["retry-after"], "7");
    }

    #[tokio::test]
    async fn redirect_is_a_refusal() {
        let error = open_answered(
            "HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        )
        .await
        .unwrap_err();
        assert!(matches!(error, ConnectError::Refused(_)), "{error:?}");
    }

    #[tokio::test]
    async fn silent_server_costs_no_more_than_the_deadline() {
        let (listener, url) = listen().await;
        let silence = async {
            let _connection = listener.accept().await.unwrap();
            pending::<()>().await;
        };
        let outcome = tokio::select! {
            outcome = open(&url, Duration::from_millis(50)) => outcome,
            () = silence => unreachable!("it never ends"),
        };
        let error = outcome.unwrap_err();
        assert!(matches!(error, ConnectError::Deadline(_)), "{error:?}");
        assert_eq!(
            error.to_string(),
            "the WebSocket could not be opened within 50ms"
        );
    }

    #[tokio::test]
    async fn no_failure_tells_the_url() {
        let nobody = {
            let (_listener, url) = listen().await;
            url
        };
        let urls = [
            nobody,
            format!("https://127.0.0.1:1/?t={TICKET}"),
            format!("ws:///?t={TICKET}"),
            format!("ws://[::/?t={TICKET}"),
            format!("no URL {TICKET}"),
        ];
        for url in urls {
            let error = open(&url, PATIENCE).await.unwrap_err();
            assert!(matches!(error, ConnectError::Failed(_)), "{error:?}");
            assert!(!words(&error).contains(TICKET), "{}", words(&error));
        }
        for answer in ["SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 200 OK\r\n\r\n", ""] {
            let error = open_answered(answer).await.unwrap_err();
            assert!(!words(&error).contains(TICKET), "{}", words(&error));
        }
    }
}
