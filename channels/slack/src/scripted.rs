//! A server for tests that answers as it is told, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use tieline_channel::ChannelId;
use tieline_net::Net;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::Settings;
use crate::account::Account;

/// The bot token of every test.
pub(crate) const BOT_TOKEN: &str = "xoxb-of-the-test";

/// Something that the server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The path without what `/api/` stands before.
    pub(crate) path: String,
    /// The fields of the form.
    pub(crate) form: BTreeMap<String, String>,
    /// What was sent to prove who asks.
    pub(crate) token: Option<String>,
}

impl Call {
    /// Returns a field of the form, empty when it is missing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.form.get(name).map_or("", String::as_str)
    }
}

/// What the server answers.
pub(crate) type Answer = Response<Body>;

type Script = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

/// The server; it ends when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server that answers by `script`, but for `auth.test`: there we are U0, B0 of T1.
    pub(crate) async fn start(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let script: Script = Arc::new(script);
        let router = Router::new().fallback({
            let calls = Arc::clone(&calls);
            move |request: Request| answer(request, Arc::clone(&calls), Arc::clone(&script))
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            calls,
            _tasks: tasks,
        }
    }

    /// Returns what was asked, without `auth.test`.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns an address of this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Returns an account whose Web API is this server.
    pub(crate) fn account(&self) -> Account {
        let settings = Settings {
            id: ChannelId::new("team"),
            app_token: "xapp-of-the-test".into(),
            bot_token: BOT_TOKEN.into(),
            api_url: Url::parse(&self.url("api/")).unwrap(),
            reactions: false,
            thread_direct: false,
            language: tieline_channel::Language::English,
        };
        Account::new(settings, Net::new().unwrap())
    }
}

async fn answer(request: Request, calls: Arc<Mutex<Vec<Call>>>, script: Script) -> Answer {
    let path = request.uri().path().trim_start_matches('/');
    let path = path.strip_prefix("api/").unwrap_or(path).to_owned();
    let token = request
        .headers()
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap();
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let call = Call { path, form, token };
    if call.path == "auth.test" {
        return ok(json!({"user_id": "U0", "bot_id": "B0", "team_id": "T1", "team": "Test"}));
    }
    calls.lock().unwrap().push(call.clone());
    script(&call)
}

/// An answer of the Web API that it went well.
pub(crate) fn ok(mut answer: Value) -> Answer {
    answer["ok"] = json!(true);
    Response::new(Body::from(answer.to_string()))
}

/// An answer of the Web API that it did not.
pub(crate) fn refused(error: &str) -> Answer {
    Response::new(Body::from(json!({"ok": false, "error": error}).to_string()))
}

/// Any answer.
pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

/// Runs `future` on a clock that goes twenty times as fast, for what waits its turn at Slack's pace.
///
/// A paused clock is not for real sockets: it would jump to every deadline while they are waited
/// for.
pub(crate) async fn hurried<T>(future: impl Future<Output = T>) -> T {
    let hurry = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            tokio::time::pause();
            tokio::time::advance(Duration::from_millis(200)).await;
            tokio::time::resume();
        }
    };
    tokio::select! {
        output = future => output,
        () = hurry => unreachable!("it hurries for ever"),
    }
}
