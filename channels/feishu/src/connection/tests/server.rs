//! A Feishu that does what the test says: discovery, and long connections that the test holds in
//! its hands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};
use url::Url;

use crate::frame::{Frame, Header, Kind};

/// How long anything may take. It is only there so that a failure does not hang.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Part of every URL that is handed out, and in no log.
pub(super) const TICKET: &str = "very-secret-ticket";

/// As well.
pub(super) const ACCESS_KEY: &str = "very-secret-key";

pub(super) const SERVICE_ID: i32 = 33_554_678;

pub(super) struct Server {
    port: u16,
    script: Script,
    sockets: mpsc::Receiver<Peer>,
    _tasks: JoinSet<()>,
}

type Script = Arc<Mutex<Lines>>;

/// What the server says.
struct Lines {
    /// The answer of discovery, with its status.
    discovery: (&'static str, Value),
    /// What each handshake is refused with.
    refusal: Option<&'static str>,
    /// The questions to discovery.
    questions: Vec<Value>,
}

/// The server's end of a connection.
pub(super) struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// What was pushed, by the header `message_id` and `seq`.
    pushed: HashMap<(String, String), Frame>,
    n_pushed: u64,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Lines {
            discovery: ("200 OK", json!({})),
            refusal: None,
            questions: Vec::new(),
        }));
        let (sender, sockets) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, Arc::clone(&script), sender));
        let server = Self {
            port,
            script,
            sockets,
            _tasks: tasks,
        };
        server.discovery_works(json!(null));
        server
    }

    pub(super) fn base_url(&self) -> Url {
        format!("http://127.0.0.1:{}", self.port).parse().unwrap()
    }

    /// Has discovery hand out places from now on.
    pub(super) fn discovery_works(&self, config: Value) {
        let url = format!(
            "ws://127.0.0.1:{}/ws/v2?fpid=493&device_id=7&access_key={ACCESS_KEY}\
             &service_id={SERVICE_ID}&ticket={TICKET}",
            self.port
        );
        self.discovery_says(
            json!({"code": 0, "msg": "", "data": {"URL": url, "ClientConfig": config}}),
        );
    }

    /// Has discovery say this from now on.
    pub(super) fn discovery_says(&self, body: Value) {
        self.script().discovery = ("200 OK", body);
    }

    /// Has discovery answer with another status from now on.
    pub(super) fn discovery_fails(&self, status: &'static str) {
        self.script().discovery = (status, json!({}));
    }

    /// Has handshakes be refused with this from now on.
    pub(super) fn refuse_handshakes(&self, answer: Option<&'static str>) {
        self.script().refusal = answer;
    }

    /// Returns what discovery was asked.
    pub(super) fn questions(&self) -> Vec<Value> {
        self.script().questions.clone()
    }

    /// Waits for the next connection.
    pub(super) async fn connected(&mut self) -> Peer {
        within(self.sockets.recv()).await.unwrap()
    }

    fn script(&self) -> MutexGuard<'_, Lines> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn header(key: &str, value: &str) -> Header {
    Header {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// Makes the payload of a message; what [`TestReader`](super::TestReader) makes of it stands there.
pub(super) fn message(event_id: &str, chat: &str, text: &str) -> Value {
    json!({
        "schema": "2.0",
        "header": {"event_id": event_id, "event_type": "im.message.receive_v1"},
        "event": {"message": {"chat_id": chat, "text": text}},
    })
}

impl Peer {
    /// Delivers a message whose push is called `id`.
    pub(super) async fn deliver(&mut self, id: &str, chat: &str, text: &str) {
        self.push(id, &message(id, chat, text).to_string()).await;
    }

    /// Pushes a payload as one frame.
    pub(super) async fn push(&mut self, id: &str, payload: &str) {
        self.part(id, 1, 0, payload.as_bytes()).await;
    }

    /// Pushes one part of a payload.
    pub(super) async fn part(&mut self, id: &str, sum: u64, seq: u64, payload: &[u8]) {
        let frame = Frame {
            seq_id: self.n_pushed,
            log_id: u64::MAX - self.n_pushed,
            service: SERVICE_ID,
            method: 1,
            headers: vec![
                header("type", "event"),
                header("message_id", id),
                header("sum", &sum.to_string()),
                header("seq", &seq.to_string()),
                header("trace_id", id),
                header("timestamp", "1700000000000"),
                header("instance_id", &format!("instance-{}", self.n_pushed)),
            ],
            payload: Some(payload.to_vec()),
            log_id_new: Some(format!("log-{}", self.n_pushed)),
            ..Frame::default()
        };
        self.n_pushed += 1;
        self.send(Message::binary(frame.write())).await;
        self.pushed.insert((id.to_owned(), seq.to_string()), frame);
    }

    /// Sends a frame without a payload.
    pub(super) async fn frame(&mut self, method: i32, kind: &str) {
        let frame = Frame {
            method,
            headers: vec![header("type", kind), header("message_id", "m")],
            ..Frame::default()
        };
        self.send(Message::binary(frame.write())).await;
    }

    /// Answers a ping.
    pub(super) async fn pong(&mut self, config: &Value) {
        let pong = Frame {
            service: SERVICE_ID,
            headers: vec![header("type", "pong")],
            payload: Some(config.to_string().into_bytes()),
            ..Frame::default()
        };
        self.send(Message::binary(pong.write())).await;
    }

    pub(super) async fn send(&mut self, message: Message) {
        within(self.socket.send(message)).await.unwrap();
    }

    /// Waits for a ping, which must be the next thing that comes.
    pub(super) async fn pinged(&mut self) {
        let message = within(self.socket.next()).await.unwrap().unwrap();
        let Message::Binary(bytes) = &message else {
            panic!("no ping: {message:?}");
        };
        assert_eq!(Frame::read(bytes).unwrap(), Frame::ping(SERVICE_ID));
    }

    /// Returns the next message that is no ping; `None` when the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            match within(self.socket.next()).await? {
                Ok(Message::Binary(bytes)) if is_ping(&bytes) => {}
                Ok(message) => return Some(message),
                Err(_) => return None,
            }
        }
    }

    /// Returns the next acknowledgement: of which push, and its code. It must be the frame that
    /// was pushed in all but its payload and the time that it took.
    pub(super) async fn acknowledged(&mut self) -> (String, u64) {
        let message = self.next().await.expect("the connection is gone");
        let Message::Binary(bytes) = &message else {
            panic!("no acknowledgement: {message:?}");
        };
        let mut ack = Frame::read(bytes).unwrap();
        let header = |name| ack.header(name).unwrap().to_owned();
        let (id, seq) = (header("message_id"), header("seq"));
        let took = ack.headers.pop().unwrap();
        assert_eq!(took.key, "biz_rt");
        took.value.parse::<u64>().unwrap();
        let payload: Value = serde_json::from_slice(&ack.payload.take().unwrap()).unwrap();
        let code = payload["code"].as_u64().unwrap();
        assert_eq!(payload, json!({"code": code}));
        let mut pushed = self.pushed[&(id.clone(), seq)].clone();
        pushed.payload = None;
        assert_eq!(ack, pushed);
        (id, code)
    }

    /// Checks that the next acknowledgement is this one.
    pub(super) async fn acknowledges(&mut self, id: &str, code: u64) {
        assert_eq!(self.acknowledged().await, (id.to_owned(), code));
    }

    /// Checks that the next message is the close frame, and that TCP ends by the other side's doing.
    pub(super) async fn gets_closed(mut self) {
        let message = self.next().await;
        assert!(matches!(message, Some(Message::Close(_))), "{message:?}");
        // Answers the close frame and leaves TCP open.
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

fn is_ping(bytes: &[u8]) -> bool {
    Frame::read(bytes).is_ok_and(|frame| frame.kind() == Kind::Ping)
}

/// Returns what `future` does, or panics when it takes for ever.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .expect("it takes much too long")
}

async fn listen(listener: TcpListener, script: Script, sockets: mpsc::Sender<Peer>) {
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tasks.spawn(serve(stream, Arc::clone(&script), sockets.clone()));
        while tasks.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, script: Script, sockets: mpsc::Sender<Peer>) {
    let mut start = [0; 4];
    while stream.peek(&mut start).await.unwrap_or(0) < start.len() {
        if stream.peek(&mut start).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let lock = || script.lock().unwrap_or_else(PoisonError::into_inner);
    let refusal = lock().refusal;
    let is_handshake = &start == b"GET ";
    if is_handshake && refusal.is_none() {
        if let Ok(socket) = accept_async(stream).await {
            let peer = Peer {
                socket,
                pushed: HashMap::new(),
                n_pushed: 0,
            };
            sockets.send(peer).await.ok();
        }
        return;
    }
    let Some((head, body)) = read_request(&mut stream).await else {
        return;
    };
    let answer = match refusal {
        Some(refusal) if is_handshake => refusal.to_owned(),
        Some(_) | None => {
            assert!(head.starts_with("POST /callback/ws/endpoint "), "{head}");
            assert!(head.contains("locale: zh\r\n"), "{head}");
            assert!(
                head.contains("content-type: application/json\r\n"),
                "{head}"
            );
            assert!(head.contains("user-agent: "), "{head}");
            assert!(!head.contains("authorization"), "{head}");
            let mut script = lock();
            script.questions.push(serde_json::from_str(&body).unwrap());
            let (status, body) = &script.discovery;
            let body = body.to_string();
            format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        }
    };
    stream.write_all(answer.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// Reads a request: its head, and its body.
async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some((format!("{head}\r\n"), body.to_owned()));
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}
