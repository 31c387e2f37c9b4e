//! A scripted model: an HTTP server on loopback that speaks enough of the Responses API for the
//! real Codex.
//!
//! One implementation serves the demo and the tests. A [`Script`] decides what the model says to
//! each [`Request`], through the primitives of a [`Responder`]; all failures that a real provider
//! shows can be played as well. Everything that was asked is kept in a bounded log.
//!
//! Knows nothing of chat, and keeps nothing on disk.

mod answer;
mod request;
mod responder;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::request::{Request, ToolOutput};
pub use self::responder::{Gone, Message, Phase, Responder};

/// The name under which Codex knows the scripted model and its provider.
pub const MODEL: &str = "tieline-demo";

/// How long a request may be; Codex sends the whole history each time.
const MAX_REQUEST_BYTES: usize = 256 * 1024 * 1024;

/// How many bytes of requests the log keeps before it forgets the oldest.
const MAX_LOG_BYTES: usize = 64 * 1024 * 1024;

/// How long a shutdown waits for clients that do not read.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Returns the `key=value` settings that make Codex use the model at `base_url`, and nothing else
/// on the network.
///
/// Retries are off, so that one failure of the script is one failure of the turn.
pub fn provider_config(base_url: &str) -> Vec<String> {
    let provider = |key: &str, value: &str| format!("model_providers.{MODEL}.{key}={value}");
    vec![
        format!("model=\"{MODEL}\""),
        format!("model_provider=\"{MODEL}\""),
        provider("name", &format!("\"{MODEL}\"")),
        provider("base_url", &format!("\"{base_url}\"")),
        provider("wire_api", "\"responses\""),
        provider("request_max_retries", "0"),
        provider("stream_max_retries", "0"),
        provider("stream_idle_timeout_ms", "60000"),
        "features.plugins=false".to_owned(),
        "features.shell_snapshot=false".to_owned(),
        "features.unbounded_connection_retries=false".to_owned(),
        "web_search=\"disabled\"".to_owned(),
    ]
}

/// Returns [`provider_config`] as arguments of the codex program.
pub fn provider_args(base_url: &str) -> Vec<String> {
    provider_config(base_url)
        .into_iter()
        .flat_map(|setting| ["-c".to_owned(), setting])
        .collect()
}

/// What a model says.
#[async_trait]
pub trait Script: Send + Sync + 'static {
    /// Answers one request. An answer that was begun and not ended is completed on return; a
    /// script that does nothing gives a completed answer without a message.
    ///
    /// # Errors
    ///
    /// [`Gone`] when nobody listens any more; the primitives of the responder say so.
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone>;
}

/// A running scripted model. Stops when dropped; [`stop`](Self::stop) also waits for the end.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    log: Arc<Log>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ScriptedModel {
    /// Starts a model on a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn start(script: impl Script) -> io::Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    /// Starts a model at `address`, for instance where an earlier one was.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub async fn start_at(address: SocketAddr, script: impl Script) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let log = Arc::new(Log::new());
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let router = Router::new().fallback(respond).with_state(Server {
            script: Arc::new(script),
            log: log.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        });
        let serving = axum::serve(listener, router)
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        tasks.spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!(%error, "scripted model ended");
            }
        });
        Ok(Self {
            address,
            log,
            tasks,
            stop,
        })
    }

    /// Returns where the model listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the provider's base URL, for [`provider_args`].
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the requests so far, oldest first.
    ///
    /// Beyond 64 MiB the oldest are forgotten; [`forgotten`](Self::forgotten) counts them.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.log
            .with(|entries| entries.requests.iter().cloned().collect())
    }

    /// Returns how many requests the log has forgotten.
    pub fn forgotten(&self) -> u64 {
        self.log.with(|entries| entries.forgotten)
    }

    /// Waits until the requests so far satisfy `predicate`. Has no limit of its own.
    pub async fn wait_for(&self, mut predicate: impl FnMut(&[Arc<Request>]) -> bool) {
        let mut changes = self.log.changes.subscribe();
        while !predicate(&self.requests()) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends all answers and connections, and waits until they have ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(STOP_GRACE, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("a client of the scripted model does not read: left to itself");
        }
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a request needs.
#[derive(Clone)]
struct Server {
    script: Arc<dyn Script>,
    log: Arc<Log>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Answers one HTTP request: the script runs in a task of its own and streams into the body.
async fn respond(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if !uri.path().ends_with("/responses") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(json) = serde_json::from_slice(&body) else {
        return (StatusCode::BAD_REQUEST, "the body is not JSON").into_response();
    };
    let request = server
        .log
        .push(|number| Request::new(number, &headers, json));
    let (mut responder, answer) = responder::pair(request.number(), &request, server.stop);
    server.tasks.spawn(async move {
        if server.script.answer(&request, &mut responder).await.is_ok() {
            // An error would say that nobody listens, which is no news at the end.
            let _: Result<(), Gone> = responder.finish().await;
        }
    });
    answer.into_response().await
}

/// The requests so far.
#[derive(Debug)]
struct Log {
    entries: Mutex<Entries>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Entries {
    requests: VecDeque<Arc<Request>>,
    bytes: usize,
    next_number: u64,
    forgotten: u64,
}

impl Log {
    fn new() -> Self {
        Self {
            entries: Mutex::new(Entries {
                requests: VecDeque::new(),
                bytes: 0,
                next_number: 1,
                forgotten: 0,
            }),
            changes: watch::Sender::new(0),
        }
    }

    fn with<T>(&self, read: impl FnOnce(&mut Entries) -> T) -> T {
        read(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, make: impl FnOnce(u64) -> Request) -> Arc<Request> {
        let request = self.with(|entries| {
            let request = Arc::new(make(entries.next_number));
            entries.next_number += 1;
            entries.requests.push_back(request.clone());
            entries.bytes += request.weight();
            while entries.bytes > MAX_LOG_BYTES {
                let Some(oldest) = entries.requests.pop_front() else {
                    break;
                };
                entries.bytes -= oldest.weight();
                entries.forgotten += 1;
            }
            request
        });
        self.changes.send_replace(request.number());
        request
    }
}
