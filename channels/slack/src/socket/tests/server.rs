//! A Slack that does what the test says: two methods of the Web API, and WebSockets that the test
//! holds in its hands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};
use url::Url;

/// How long anything may take. It is only there so that a failure does not hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Part of every URL that is handed out, and in no log.
pub(super) const TICKET: &str = "very-secret-ticket";

pub(super) struct Server {
    port: u16,
    answers: Answers,
    sockets: mpsc::Receiver<Peer>,
    _tasks: JoinSet<()>,
}

/// What a method answers instead of success.
type Answers = Arc<Mutex<HashMap<&'static str, Answer>>>;

#[derive(Clone)]
struct Answer {
    status: &'static str,
    body: Value,
    n_calls: usize,
}

/// The server's end of a connection.
pub(super) struct Peer {
    socket: WebSocketStream<TcpStream>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Answers::default();
        let (sender, sockets) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&answers), sender));
        let server = Self {
            port,
            answers,
            sockets,
            _tasks: tasks,
        };
        server.answer(
            "auth.test",
            json!({"ok": true, "user_id": "UBOT", "bot_id": "BBOT", "team_id": "T1", "team": "us"}),
        );
        let url = format!("ws://127.0.0.1:{port}/link/?ticket={TICKET}");
        server.answer("apps.connections.open", json!({"ok": true, "url": url}));
        server
    }

    pub(super) fn api_url(&self) -> Url {
        format!("http://127.0.0.1:{}/api/", self.port)
            .parse()
            .unwrap()
    }

    /// Has a method answer this from now on.
    pub(super) fn answer(&self, method: &'static str, body: Value) {
        self.answer_with(method, "200 OK", body);
    }

    /// Has a method answer this from now on; the status may bring headers.
    pub(super) fn answer_with(&self, method: &'static str, status: &'static str, body: Value) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let n_calls = answers.get(method).map_or(0, |answer| answer.n_calls);
        answers.insert(
            method,
            Answer {
                status,
                body,
                n_calls,
            },
        );
    }

    /// Returns what a method answers now.
    pub(super) fn current_answer(&self, method: &'static str) -> Value {
        self.look(method, |answer| answer.body.clone())
    }

    pub(super) fn n_calls(&self, method: &'static str) -> usize {
        self.look(method, |answer| answer.n_calls)
    }

    fn look<T>(&self, method: &'static str, look: impl FnOnce(&Answer) -> T) -> T {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        look(&answers[method])
    }

    /// Waits for the next WebSocket, which has had its handshake and no `hello`.
    pub(super) async fn socket(&mut self) -> Peer {
        within(self.sockets.recv()).await.unwrap()
    }

    /// Waits for the next WebSocket and says hello.
    pub(super) async fn connected(&mut self) -> Peer {
        let mut peer = self.socket().await;
        peer.hello(1).await;
        peer
    }

    /// Whether there is another WebSocket already.
    pub(super) fn has_socket(&mut self) -> bool {
        !self.sockets.is_empty()
    }
}

impl Peer {
    pub(super) async fn hello(&mut self, num_connections: usize) {
        self.send(json!({"type": "hello", "num_connections": num_connections}))
            .await;
    }

    pub(super) async fn disconnect(&mut self, reason: &str) {
        self.send(json!({"type": "disconnect", "reason": reason}))
            .await;
    }

    /// Delivers a message; what [`TestReader`](super::TestReader) makes of it stands there.
    pub(super) async fn deliver(&mut self, envelope_id: &str, chat: &str, text: &str) {
        self.send(json!({
            "type": "events_api",
            "envelope_id": envelope_id,
            "accepts_response_payload": false,
            "retry_attempt": 0,
            "payload": {"event": {"channel": chat, "text": text}},
        }))
        .await;
    }

    pub(super) async fn send(&mut self, value: Value) {
        self.frame(Message::text(value.to_string())).await;
    }

    pub(super) async fn frame(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    /// Returns the next frame that is no ping; `None` when the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            match within(self.socket.next()).await? {
                Ok(Message::Ping(_)) => {}
                Ok(message) => return Some(message),
                Err(_) => return None,
            }
        }
    }

    /// Returns the next frame, which must be an acknowledgement, and what it acknowledges.
    pub(super) async fn acknowledged(&mut self) -> String {
        let message = self.next().await.expect("the connection is gone");
        let Message::Text(text) = &message else {
            panic!("no acknowledgement: {message:?}");
        };
        let value: Value = serde_json::from_str(text).unwrap();
        let envelope_id = value["envelope_id"].as_str().unwrap();
        assert_eq!(value, json!({"envelope_id": envelope_id}));
        envelope_id.to_owned()
    }

    pub(super) async fn acknowledges(&mut self, n: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..n {
            ids.push(self.acknowledged().await);
        }
        ids
    }

    /// Checks that the next frame is the close frame, and that TCP ends by the other side's doing.
    pub(super) async fn gets_closed(mut self) {
        let message = self.next().await;
        assert!(matches!(message, Some(Message::Close(_))), "{message:?}");
        // Answers the close frame and, as Slack does, leaves TCP open.
        within(async {
            self.socket.flush().await.ok();
            let mut rest = [0; 64];
            while let Ok(1..) = self.socket.get_mut().read(&mut rest).await {}
        })
        .await;
    }

    /// Reads nothing more and answers nothing, and keeps TCP open as long as it is held.
    pub(super) fn into_silence(self) -> TcpStream {
        self.socket.into_inner()
    }
}

/// Returns what `future` does, or panics when it takes for ever.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("it takes much too long")
}

async fn listen(listener: TcpListener, answers: Answers, sockets: mpsc::Sender<Peer>) {
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tasks.spawn(serve(stream, Arc::clone(&answers), sockets.clone()));
        while tasks.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, answers: Answers, sockets: mpsc::Sender<Peer>) {
    let mut start = [0; 4];
    while stream.peek(&mut start).await.unwrap_or(0) < start.len() {
        if stream.peek(&mut start).await.unwrap_or(0) == 0 {
            return;
        }
    }
    if &start == b"GET " {
        if let Ok(socket) = accept_async(stream).await {
            sockets.send(Peer { socket }).await.ok();
        }
        return;
    }
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    let (status, body) = {
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers
            .iter_mut()
            .find(|(method, _)| request.starts_with(&format!("POST /api/{method} ")));
        match answer {
            Some((_, answer)) => {
                answer.n_calls += 1;
                (answer.status, answer.body.clone())
            }
            None => ("404 Not Found", json!({})),
        }
    };
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// Reads a request with its body.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(String::from_utf8_lossy(&request).into_owned());
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
