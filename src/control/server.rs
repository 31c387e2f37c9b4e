//! The routes, and who is served.
//!
//! When [`MAX_CONNECTIONS`] are open, the next one waits in the kernel's backlog until one ends.
//! A connection that sends no whole request in time, or does not take its answer, is closed, so that
//! none is held for ever.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{DefaultBodyLimit, State};
use axum::handler::Handler;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, patch, post};
use axum::{Extension, Json, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tieline_channel::socket::{BindError, PrivateSocket};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::control::approvals;
use crate::control::body::MAX_JSON;
use crate::control::completions::{self, MAX_REPORT};
use crate::control::error::{ApiError, Code};
use crate::control::events::{self, Streams};
use crate::control::health;
use crate::control::lane_orders;
use crate::control::metrics;
use crate::control::patient::Patient;
use crate::control::redaction;
use crate::control::restart::{self, Restarts};
use crate::control::runs;
use crate::control::sessions;
use crate::control::status::Status;
use crate::control::teammates;
use crate::control::{dispatchers, lanes, messages, pairings};
use crate::dispatcher;
use crate::events::Events;
use crate::id::DispatcherId;
use crate::intake::PairingDesk;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::runs::Runs;

/// What can be asked, and what is answered, for programs: OpenAPI 3.1. Tests compare it with the routes,
/// the codes of errors and what is really answered.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

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
}

/// What the routes look at. A route that needs more adds a field.
#[derive(Clone)]
pub struct Api {
    /// How the daemon is.
    pub status: Arc<dyn StatusSource>,
    /// What is on record.
    pub ledger: Ledger,
    /// Who is let in.
    pub pairings: PairingDesk,
    /// Who works.
    pub dispatchers: Arc<BTreeMap<DispatcherId, dispatcher::Handle>>,
    /// One-off runs.
    pub runs: Runs,
    /// What happens.
    pub events: Events,
    /// Who can have the daemon restart.
    pub restarts: Arc<dyn Restarts>,
    /// What was counted.
    pub metrics: Metrics,
}

impl Api {
    /// Returns a dispatcher by its name.
    pub(super) fn dispatcher(&self, name: &str) -> Result<&dispatcher::Handle, ApiError> {
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

/// One method of one route.
pub(super) struct Route {
    /// The method.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "a test compares the routes with their description"
        )
    )]
    pub(super) method: Method,
    /// The path, with the names of its variable segments.
    pub(super) path: &'static str,
    serve: MethodRouter<Api>,
}

impl Route {
    fn get<T: 'static>(path: &'static str, handler: impl Handler<T, Api>) -> Self {
        Self {
            method: Method::GET,
            path,
            serve: get(handler),
        }
    }

    fn post<T: 'static>(path: &'static str, handler: impl Handler<T, Api>) -> Self {
        Self {
            method: Method::POST,
            path,
            serve: post(handler),
        }
    }

    fn patch<T: 'static>(path: &'static str, handler: impl Handler<T, Api>) -> Self {
        Self {
            method: Method::PATCH,
            path,
            serve: patch(handler),
        }
    }

    fn delete<T: 'static>(path: &'static str, handler: impl Handler<T, Api>) -> Self {
        Self {
            method: Method::DELETE,
            path,
            serve: delete(handler),
        }
    }

    /// Takes bodies of up to so many bytes.
    fn with_body(self, limit: usize) -> Self {
        Self {
            serve: self.serve.layer(DefaultBodyLimit::max(limit)),
            ..self
        }
    }
}

/// Returns every route. A new one is a line here, a function in its module, and a path in
/// `openapi.json`; a test compares the two.
pub(super) fn table() -> Vec<Route> {
    vec![
        Route::get("/v1/openapi.json", description),
        Route::get("/v1/status", status),
        Route::get("/v1/pairings", pairings::list),
        Route::post("/v1/pairings/{name}", pairings::confirm),
        Route::delete("/v1/pairings/{name}", pairings::revoke),
        Route::get("/v1/messages", messages::list),
        Route::get("/v1/messages/{id}", messages::read),
        Route::post("/v1/restart", restart::order),
        Route::get("/v1/events", events::page),
        Route::get("/v1/events/stream", events::stream),
        Route::get("/healthz", health::health),
        Route::get("/metrics", metrics::metrics),
        Route::get("/v1/lanes", lanes::list),
        Route::get("/v1/lanes/{id}", lanes::read),
        Route::post("/v1/lanes/{id}/stop", lane_orders::stop),
        Route::post("/v1/lanes/{id}/orders", lane_orders::order),
        Route::get("/v1/lanes/{id}/threads", lane_orders::threads),
        Route::get("/v1/dispatchers", dispatchers::list),
        Route::get("/v1/dispatchers/{id}", dispatchers::read),
        Route::post("/v1/dispatchers/{id}/start", dispatchers::start),
        Route::post("/v1/dispatchers/{id}/stop", dispatchers::stop),
        Route::post("/v1/dispatchers/{id}/restart", dispatchers::restart),
        Route::post("/v1/dispatchers/{id}/completions", completions::report).with_body(MAX_REPORT),
        Route::post("/v1/dispatchers/{id}/sessions", sessions::open),
        Route::get("/v1/sessions", sessions::list),
        Route::get("/v1/sessions/{id}", sessions::read),
        Route::patch("/v1/sessions/{id}", sessions::change),
        Route::delete("/v1/sessions/{id}", sessions::close),
        Route::get("/v1/sessions/{id}/turns", sessions::turns),
        Route::post("/v1/sessions/{id}/turns", sessions::give).with_body(sessions::MAX_TURN),
        Route::get("/v1/sessions/{id}/turns/{turn}", sessions::turn),
        Route::post(
            "/v1/sessions/{id}/turns/{turn}/interrupt",
            sessions::interrupt,
        ),
        Route::get("/v1/dispatchers/{id}/teammates", teammates::list),
        Route::post("/v1/dispatchers/{id}/teammates", teammates::spawn),
        Route::get("/v1/dispatchers/{id}/teammates/{name}", teammates::read),
        Route::delete("/v1/dispatchers/{id}/teammates/{name}", teammates::close),
        Route::post(
            "/v1/dispatchers/{id}/teammates/{name}/tasks",
            teammates::assign,
        ),
        Route::post(
            "/v1/dispatchers/{id}/teammates/{name}/stop",
            teammates::stop,
        ),
        Route::get("/v1/approvals", approvals::list),
        Route::post("/v1/approvals/{id}", approvals::decide),
        Route::post("/v1/dispatchers/{id}/runs", runs::order),
        Route::get("/v1/runs", runs::list),
        Route::get("/v1/runs/{id}", runs::read),
        Route::post("/v1/runs/{id}/cancel", runs::cancel),
    ]
}

/// Returns what serves every route.
fn routes(api: Api, stop: CancellationToken) -> Router {
    let mut router = Router::new();
    for route in table() {
        router = router.route(route.path, route.serve);
    }
    router
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::map_response(redaction::redact))
        .layer(Extension(Streams::until(stop)))
        .with_state(api)
}

/// Tells what can be asked, for programs.
async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn status(State(api): State<Api>) -> Result<Json<Status>, ApiError> {
    status_of(&api).await.map(Json)
}

/// Asks the daemon how it is.
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
        .serve_connection(
            TokioIo::new(Patient::new(stream)),
            TowerToHyperService::new(router),
        );
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
