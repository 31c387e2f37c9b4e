//! A server that answers as a test tells it, and remembers what it was asked.
//!
//! It panics where a test would fail anyway.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long anything may take. It is only there so that a failure does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

const JSON: &str = "Content-Type: application/json\r\n";

/// A call as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST` …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What follows the path.
    pub query: BTreeMap<String, String>,
    /// Their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What was sent.
    pub body: Vec<u8>,
}

/// How a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// With status 200 and this.
    Json(Value),
    /// With a status, further header lines, each with its end, and a body.
    Http(u16, String, String),
    /// Not at all: the connection ends.
    Lost,
    /// Not at all: the connection stays.
    Never,
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

/// A server at work. It ends with this.
pub struct Scripted {
    address: String,
    calls: watch::Sender<Vec<Call>>,
    _server: JoinSet<()>,
}

impl Call {
    /// Returns the body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the method and the path, as people write them.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Reply {
    /// Answers with a status and JSON.
    pub fn status(status: u16, value: &Value) -> Self {
        Self::Http(status, JSON.to_owned(), value.to_string())
    }
}

impl Scripted {
    /// Starts a server that answers each call by `script`.
    pub async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port of this machine is free");
        let address = listener.local_addr().expect("it is bound").to_string();
        let calls = watch::Sender::new(Vec::new());
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::new(script), calls.clone()));
        Self {
            address,
            calls,
            _server: server,
        }
    }

    /// Starts a server that gives each call in turn the next of these answers, for ever the last.
    pub async fn with(replies: Vec<Reply>) -> Self {
        let mut last = Reply::Lost;
        let mut replies = replies.into_iter();
        let next = Mutex::new(move || {
            if let Some(reply) = replies.next() {
                last = reply;
            }
            last.clone()
        });
        Self::start(move |_| (next.lock().unwrap_or_else(PoisonError::into_inner))()).await
    }

    /// Returns the URL of a path that begins with `/`.
    pub fn url(&self, path: &str) -> Url {
        let url = Url::parse(&format!("http://{}{path}", self.address));
        url.expect("a path begins with a slash")
    }

    /// Returns the calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// Waits until there are so many calls.
    pub async fn called(&self, n: usize) -> Vec<Call> {
        let mut calls = self.calls.subscribe();
        let waited = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| calls.len() >= n)).await;
        match waited {
            Ok(Ok(calls)) => calls.clone(),
            _ => panic!("{n} calls were expected: {:#?}", self.calls()),
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn serve(listener: TcpListener, script: Arc<Script>, calls: watch::Sender<Vec<Call>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (script, calls) = (Arc::clone(&script), calls.clone());
        connections.spawn(async move {
            answer(stream, &*script, &calls).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one call and closes the connection.
async fn answer(
    mut stream: TcpStream,
    script: &Script,
    calls: &watch::Sender<Vec<Call>>,
) -> Option<()> {
    let call = read(&mut stream).await?;
    let reply = script(&call);
    calls.send_modify(|calls| calls.push(call));
    let (status, headers, body) = match reply {
        Reply::Json(value) => (200, JSON.to_owned(), value.to_string()),
        Reply::Http(status, headers, body) => (status, headers, body),
        Reply::Lost => return None,
        Reply::Never => return pending().await,
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

async fn read(stream: &mut TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let method = words.next()?.to_owned();
    let url = Url::parse("http://server").ok()?.join(words.next()?).ok()?;
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = match (headers.get("content-length"), method.as_str()) {
        (Some(length), _) => length.parse().ok()?,
        (None, "GET" | "DELETE") => 0,
        // Servers may refuse such a call without it, also when nothing follows.
        (None, _) => return None,
    };
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Call {
        method,
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
        body,
    })
}
