//! The routes, and who is served.
//!
//! When [`MAX_CONNECTIONS`] are open, the next one waits in the kernel's backlog until one ends.
//! A connection that sends no whole request header in time is closed, so that none is held for
//! ever.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, Uri};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tieline_channel::socket::{BindError, PrivateSocket};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::control::body::{Asked, MAX_JSON, Wanted};
use crate::control::completions::{self, MAX_REPORT};
use crate::control::error::{ApiError, Code};
use crate::control::events::{self, Streams};
use crate::control::health;
use crate::control::messages::{MAX_MESSAGES, Messages};
use crate::control::metrics;
use crate::control::restart::{self, Restarts};
use crate::control::sessions;
use crate::control::status::Status;
use crate::control::teammates;
use crate::control::{pairings, redaction};
use crate::dispatcher::Handle;
use crate::events::Events;
use crate::id::DispatcherId;
use crate::intake::PairingDesk;
use crate::ledger::LedgerError;
use crate::metrics::Metrics;

/// How many connections are served at a time.
///
/// Those that listen to events are among them: [`MAX_STREAMS`](super::events::MAX_STREAMS).
pub const MAX_CONNECTIONS: usize = 256;
/// How long a connection may take to send the header of a request, and may idle between two.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// How long the daemon may take to say how it is.
const STATUS_DEADLINE: Duration = Duration::from_secs(5);
/// How long connections have to end when the server stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(3);
/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who can tell how the daemon is.
#[async_trait]
pub trait StatusSource: Send + Sync + 'static {
    /// Tells it, without waiting for anything slow.
    async fn status(&self) -> Status;

    /// Tells what became of the newest `limit` messages.
    ///
    /// # Errors
    ///
    /// When the ledger cannot be read.
    async fn messages(&self, limit: usize) -> Result<Messages, LedgerError>;
}

/// What the routes look at. A route that needs more adds a field.
#[derive(Clone)]
pub struct Api {
    /// How the daemon is.
    pub status: Arc<dyn StatusSource>,
    /// Who is let in.
    pub pairings: PairingDesk,
    /// Who works.
    pub dispatchers: Arc<BTreeMap<DispatcherId, Handle>>,
    /// What happens.
    pub events: Events,
    /// Who can have the daemon restart.
    pub restarts: Arc<dyn Restarts>,
    /// What was counted.
    pub metrics: Metrics,
}

impl Api {
    /// Returns a dispatcher by its name.
    pub(super) fn dispatcher(&self, name: &str) -> Result<&Handle, ApiError> {
        self.dispatchers
            .get(&DispatcherId::new(name))
            .ok_or_else(|| {
                let known: Vec<&str> = self.dispatchers.keys().map(DispatcherId::as_str).collect();
                ApiError::new(
                    Code::UnknownDispatcher,
                    format!("there is no dispatcher {name:?}"),
                    format!("the configuration has: {}", known.join(", ")),
                )
            })
    }
}

/// Returns every route. A new one is a line here and a function below.
fn routes(api: Api, stop: CancellationToken) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/pairings", get(pairings::list))
        .route(
            "/v1/pairings/{name}",
            post(pairings::confirm).delete(pairings::revoke),
        )
        .route("/v1/messages", get(messages))
        .route("/v1/restart", post(restart::order))
        .route("/v1/events", get(events::page))
        .route("/v1/events/stream", get(events::stream))
        .route("/healthz", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .route(
            "/v1/dispatchers/{id}/completions",
            post(completions::report).layer(DefaultBodyLimit::max(MAX_REPORT)),
        )
        .route(
            "/v1/dispatchers/{id}/teammates",
            get(teammates::list).post(teammates::spawn),
        )
        .route(
            "/v1/dispatchers/{id}/teammates/{name}",
            get(teammates::read).delete(teammates::close),
        )
        .route(
            "/v1/dispatchers/{id}/teammates/{name}/tasks",
            post(teammates::assign),
        )
        .route(
            "/v1/dispatchers/{id}/teammates/{name}/stop",
            post(teammates::stop),
        )
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .route("/v1/dispatchers/{id}/sessions", post(sessions::open))
        .route("/v1/sessions", get(sessions::list))
        .route(
            "/v1/sessions/{id}",
            get(sessions::read)
                .patch(sessions::change)
                .delete(sessions::close),
        )
        .route(
            "/v1/sessions/{id}/turns",
            get(sessions::turns)
                .post(sessions::give)
                .layer(DefaultBodyLimit::max(sessions::MAX_TURN)),
        )
        .route("/v1/sessions/{id}/turns/{turn}", get(sessions::turn))
        .route(
            "/v1/sessions/{id}/turns/{turn}/interrupt",
            post(sessions::interrupt),
        )
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::map_response(redaction::redact))
        .layer(Extension(Streams::until(stop)))
        .with_state(api)
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, ApiError> {
    status_of(&api).await.map(Json)
}

/// Returns how the daemon is.
pub(super) async fn status_of(api: &Api) -> Result<Status, ApiError> {
    timeout(STATUS_DEADLINE, api.status.status())
        .await
        .map_err(|_elapsed| {
            ApiError::new(
                Code::Busy,
                format!(
                    "the daemon did not say how it is within {} s",
                    STATUS_DEADLINE.as_secs()
                ),
                "it may be very busy: try again, and look at its log",
            )
        })
}

/// What can be asked of the messages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Newest {
    #[serde(default = "Newest::default_limit")]
    limit: usize,
}

impl Wanted for Newest {
    const HINT: &'static str = "`limit` is a number from 1 to 1000";
}

impl Newest {
    fn default_limit() -> usize {
        20
    }
}

async fn messages(
    State(api): State<Api>,
    wanted: Result<Asked<Newest>, ApiError>,
) -> Result<Json<Messages>, ApiError> {
    let Asked(Newest { limit }) = wanted?;
    if !(1..=MAX_MESSAGES).contains(&limit) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("{limit} messages cannot be told at once"),
            Newest::HINT,
        ));
    }
    api.status.messages(limit).await.map(Json).map_err(|error| {
        ApiError::new(
            Code::LedgerUnavailable,
            format!("the messages cannot be read: {error}"),
            "`tieline status` says how the ledger is",
        )
    })
}

async fn unknown_route(uri: Uri) -> ApiError {
    ApiError::new(
        Code::UnknownRoute,
        format!("there is no route {}", uri.path()),
        "try GET /v1/status; the daemon may be older than what asks it",
    )
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        Code::WrongMethod,
        format!("{} cannot be asked with {method}", uri.path()),
        "the answer's `allow` header says how it can",
    )
}

/// The control API on its socket.
#[derive(Debug)]
pub struct ControlServer {
    socket: PrivateSocket,
}

impl ControlServer {
    /// Listens on `path`; nobody is answered until [`serve`](Self::serve) runs.
    ///
    /// # Errors
    ///
    /// As [`PrivateSocket::bind`].
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let socket = PrivateSocket::bind(path).await?;
        Ok(Self { socket })
    }

    /// Returns where it listens.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Answers until `stop` is cancelled. Then requests that have begun are answered, within
    /// 3 s, and the socket file is removed. All tasks that this starts have ended when it
    /// returns.
    pub async fn serve(self, api: Api, stop: CancellationToken) {
        let router = routes(api, stop.clone());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept(), if connections.len() < MAX_CONNECTIONS => {
                    match accepted {
                        Ok(stream) => {
                            connections.spawn(serve_connection(stream, router.clone(), stop.clone()));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a control connection");
                            sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a control connection failed");
                    }
                }
            }
        }
        let drained = timeout(DRAIN_DEADLINE, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(n = connections.len(), "control connections cut off");
            connections.shutdown().await;
        }
    }
}

async fn serve_connection(stream: UnixStream, router: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a control connection ended early");
    }
}
