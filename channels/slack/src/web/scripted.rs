//! A server that answers as a test tells it, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use tieline_channel::ChannelId;
use tieline_net::Net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::{Url, form_urlencoded};

use crate::Settings;
use crate::account::Account;

pub(crate) const APP_TOKEN: &str = "xapp-1-scripted-secret";
pub(crate) const BOT_TOKEN: &str = "xoxb-scripted-secret";

/// How long anything may take. It is only there so that a failure does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// What comes after `/api/`, or the whole path.
    pub(crate) method: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) form: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn arg(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.arg(name)).unwrap_or_default()
    }
}

/// How a call is answered.
pub(crate) enum Reply {
    /// With status 200.
    Json(Value),
    /// With a status, further header lines and a body.
    Http(u16, &'static str, &'static str),
    /// Not at all: the connection ends.
    Lost,
}

/// Refuses a call.
pub(crate) fn error(error: &str) -> Reply {
    Reply::Json(json!({"ok": false, "error": error}))
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

/// A server at work. It ends with this.
pub(crate) struct Scripted {
    address: String,
    calls: watch::Sender<Vec<Call>>,
    _server: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
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
    pub(crate) async fn with(replies: Vec<Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter().peekable());
        let last = Mutex::new(None::<Value>);
        Self::start(move |_| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
            match replies.next() {
                Some(Reply::Json(value)) => {
                    *last = Some(value.clone());
                    Reply::Json(value)
                }
                Some(other) => other,
                None => last.clone().map_or(Reply::Lost, Reply::Json),
            }
        })
        .await
    }

    /// Returns an account that has its API here.
    pub(crate) fn account(&self) -> Account {
        account(&format!("http://{}/api/", self.address), true)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// Returns the methods that were called.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.method).collect()
    }

    /// Waits until there are so many calls.
    pub(crate) async fn called(&self, n: usize) -> Vec<Call> {
        let mut calls = self.calls.subscribe();
        let waited = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| calls.len() >= n)).await;
        match waited {
            Ok(Ok(calls)) => calls.clone(),
            _ => panic!("{n} calls were expected: {:#?}", self.calls()),
        }
    }
}

/// Returns an account with its API at `api_url`.
pub(crate) fn account(api_url: &str, reactions: bool) -> Account {
    let settings = Settings {
        id: ChannelId::new("team"),
        app_token: SecretString::from(APP_TOKEN),
        bot_token: SecretString::from(BOT_TOKEN),
        api_url: Url::parse(api_url).unwrap(),
        reactions,
        thread_direct: false,
    };
    Account::new(settings, Net::new().unwrap())
}

async fn serve(listener: TcpListener, script: Arc<Script>, calls: watch::Sender<Vec<Call>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
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
        Reply::Json(value) => (200, "Content-Type: application/json\r\n", value.to_string()),
        Reply::Http(status, headers, body) => (status, headers, body.to_owned()),
        Reply::Lost => return None,
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
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    // Servers may refuse a call without it, also when nothing follows.
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let is_form = headers
        .get("content-type")
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    let form = if is_form {
        form_urlencoded::parse(&body).into_owned().collect()
    } else {
        BTreeMap::new()
    };
    Some(Call {
        method: path.strip_prefix("/api/").unwrap_or(&path).to_owned(),
        headers,
        form,
        body,
    })
}
