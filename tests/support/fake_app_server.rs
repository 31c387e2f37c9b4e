//! An app-server that is played by the test itself, on a real Unix socket: for what the real one
//! does not do when asked.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tieline::codex::{Endpoint, Transport};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::model::within;

/// A socket that accepts.
pub(crate) struct FakeAppServer {
    listener: UnixListener,
    dir: TempDir,
}

/// One connection, seen from the server.
pub(crate) struct Peer {
    socket: WebSocketStream<Box<dyn Stream>>,
}

/// Whatever carries a connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: Value,
    pub(crate) method: String,
    pub(crate) params: Value,
}

impl FakeAppServer {
    pub(crate) fn listen() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("s")).expect("a socket");
        Self { listener, dir }
    }

    pub(crate) fn transport(&self) -> Transport {
        Transport::External(Endpoint::Unix(self.dir.path().join("s")))
    }

    /// Returns how it is named in a configuration.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.dir.path().join("s").display())
    }

    /// Takes the next connection.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = within("a connection", self.listener.accept())
            .await
            .expect("a connection");
        Peer::on(stream).await
    }

    /// Takes the next connection and shakes hands.
    pub(crate) async fn accept_and_greet(&self) -> Peer {
        let mut peer = self.accept().await;
        peer.greet().await;
        peer
    }
}

impl Peer {
    /// Upgrades a connection.
    pub(crate) async fn on(stream: impl Stream + 'static) -> Self {
        let stream: Box<dyn Stream> = Box::new(stream);
        let socket = tokio_tungstenite::accept_async(stream)
            .await
            .expect("an upgrade");
        Self { socket }
    }

    /// Answers the handshake.
    pub(crate) async fn greet(&mut self) {
        let asked = self.expect("initialize").await;
        let facts = json!({
            "userAgent": "tieline/0.169.0 (Fake)",
            "codexHome": "/nowhere",
            "platformFamily": "unix",
            "platformOs": "fake",
        });
        self.answer(&asked, facts).await;
        let initialized = self.message().await;
        assert_eq!(initialized["method"], "initialized");
    }

    /// Takes the directories of skills, and finds nothing wrong with them. Returns them.
    pub(crate) async fn take_skills(&mut self) -> Value {
        let mut set = self.expect("skills/extraRoots/set").await;
        self.answer(&set, json!({})).await;
        let list = self.expect("skills/list").await;
        self.answer(&list, json!({ "data": [] })).await;
        set.params["extraRoots"].take()
    }

    /// Returns the next message, whatever it is.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            match within("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// Returns the next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        let mut message = self.message().await;
        Asked {
            id: message["id"].take(),
            method: message["method"].as_str().expect("a method").to_owned(),
            params: message["params"].take(),
        }
    }

    /// Returns the next request, which has to be this one.
    pub(crate) async fn expect(&mut self, method: &str) -> Asked {
        let asked = self.asked().await;
        assert_eq!(asked.method, method);
        asked
    }

    pub(crate) async fn answer(&mut self, asked: &Asked, result: Value) {
        self.say(json!({ "id": asked.id, "result": result })).await;
    }

    pub(crate) async fn refuse(&mut self, asked: &Asked, code: i64, message: &str) {
        let error = json!({ "code": code, "message": message });
        self.say(json!({ "id": asked.id, "error": error })).await;
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.say(json!({ "method": method, "params": params }))
            .await;
    }

    /// Asks something, and returns the answer to it.
    pub(crate) async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.say(json!({ "id": id, "method": method, "params": params }))
            .await;
        let answer = self.message().await;
        assert_eq!(answer["id"], id);
        answer
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.raw(Message::text(message.to_string())).await;
    }

    /// Sends something that need not be a message.
    pub(crate) async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("a listener");
    }

    /// Answers pings, and takes nothing else, until the other side is gone.
    pub(crate) async fn stay(&mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Returns what else is said before the other side is gone.
    pub(crate) async fn last_words(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(Ok(message)) = within("the end", self.socket.next()).await {
            if let Message::Text(text) = message {
                words.push(text.to_string());
            }
        }
        words
    }

    /// Ends the connection without a word.
    pub(crate) async fn hang_up(&mut self) {
        // The other side may be gone already.
        let _ended = self.socket.get_mut().shutdown().await;
    }
}
