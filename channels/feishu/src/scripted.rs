//! A server for tests that answers as it is told, and remembers what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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

use crate::account::Account;
use crate::{Language, Settings};

/// Something that the server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `GET`, …
    pub(crate) method: String,
    /// The path without `/open-apis/`.
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    /// The body as JSON; null if it is none.
    pub(crate) body: Value,
}

impl Asked {
    /// Returns a parameter, empty when it is missing.
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

/// What the server answers.
pub(crate) type Answer = Response<Body>;

type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// The server; it ends when this is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server that answers by `script`, but for the token and for who we are: the bot
    /// `ou_bot` of the app `cli_us`.
    pub(crate) async fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let script: Script = Arc::new(script);
        let router = Router::new().fallback({
            let asked = Arc::clone(&asked);
            move |request: Request| answer(request, Arc::clone(&asked), Arc::clone(&script))
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            asked,
            _tasks: tasks,
        }
    }

    /// Returns what was asked, without the token and who we are.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the paths that were asked for, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.asked().into_iter().map(|asked| asked.path).collect();
        paths.sort();
        paths
    }

    /// Returns an account whose Open API is this server.
    pub(crate) fn account(&self) -> Account {
        let settings = Settings {
            id: ChannelId::new("team"),
            app_id: "cli_us".to_owned(),
            app_secret: "of-the-test".into(),
            base_url: Url::parse(&format!("http://{}", self.address)).unwrap(),
            reactions: false,
            language: Language::English,
        };
        Account::new(settings, Net::new().unwrap())
    }
}

async fn answer(request: Request, asked: Arc<Mutex<Vec<Asked>>>, script: Script) -> Answer {
    let path = request.uri().path().trim_start_matches("/open-apis/");
    match path {
        "auth/v3/tenant_access_token/internal" => {
            return json_with(
                200,
                &json!({"code": 0, "msg": "ok", "tenant_access_token": "t-1", "expire": 7200}),
            );
        }
        "bot/v3/info" => {
            return json_with(200, &json!({"code": 0, "bot": {"open_id": "ou_bot"}}));
        }
        _ => {}
    }
    let query = request.uri().query().unwrap_or_default();
    let (method, path) = (request.method().to_string(), path.to_owned());
    let query = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap();
    let call = Asked {
        method,
        path,
        query,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    asked.lock().unwrap().push(call.clone());
    script(&call)
}

/// An answer that it was done.
pub(crate) fn ok(data: Value) -> Answer {
    json_with(200, &json!({"code": 0, "msg": "success", "data": data}))
}

/// An answer that it was not.
pub(crate) fn refused(code: i64, message: &str) -> Answer {
    json_with(400, &json!({"code": code, "msg": message}))
}

/// An answer that begins and does not go on.
pub(crate) fn silent() -> Answer {
    let body = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    Response::new(Body::from_stream(body))
}

/// Any answer in JSON.
pub(crate) fn json_with(status: u16, body: &Value) -> Answer {
    Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .body(Body::from(body.to_string()))
        .unwrap()
}
