//! The other end of the control API, for the command line.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::control::approvals::{ApprovalStatus, NewDecision};
use crate::control::completions::{CompletionReceipt, CompletionReport};
use crate::control::dispatchers::DispatcherDetails;
use crate::control::error::{ErrorBody, ErrorEnvelope};
use crate::control::key::KEY;
use crate::control::lane_orders::{LaneOrderTaken, LaneStopped, NewLaneOrder};
use crate::control::pairings::{PairedPerson, Pairings};
use crate::control::restart::{RestartOrder, RestartOrdered};
use crate::control::runs::{NewRun, RunDetails};
use crate::control::sessions::{
    ChangedSession, NewSession, NewTurn, SessionEnded, SessionStatus, TurnInterrupted, TurnReceipt,
};
use crate::control::status::Status;
use crate::control::stream::EventStream;
use crate::control::teammates::{FurtherTask, NewTeammate, TeammateHalted, TeammateStatus};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same where the daemon waits for codex.
const OPENING_DEADLINE: Duration = Duration::from_secs(25);
/// How long a dispatcher may take to stop or start: turns in flight get a while to end.
const SWITCH_DEADLINE: Duration = Duration::from_secs(40);
/// How long an order is repeated whose answer was lost.
const REPEAT_FOR: Duration = Duration::from_secs(15);
/// How long it rests before it is repeated: a daemon that is restarted takes a moment.
const REPEAT_EVERY: Duration = Duration::from_millis(250);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Asks a running daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why a daemon gave no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon is running: nobody listens on {}", socket.display())]
    NotRunning {
        /// Where it would listen.
        socket: PathBuf,
    },
    /// The socket cannot be connected to.
    #[error("cannot connect to {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing can be asked from this machine.
    #[error("the daemon cannot be asked")]
    NoClient {
        /// What is wrong.
        source: tieline_net::NetError,
    },
    /// The answer takes too long.
    #[error("the daemon did not answer within {seconds} s")]
    Slow {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection failed under way.
    #[error("the daemon broke off")]
    Broken {
        /// What happened.
        source: reqwest::Error,
    },
    /// The answer is longer than any answer is.
    #[error("the answer of the daemon is longer than {} MiB", MAX_ANSWER >> 20)]
    TooLong,
    /// The daemon says no.
    #[error("{message}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// What is wrong, by name; empty when the daemon gave none.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The answer is not what was asked for.
    #[error("the answer of the daemon is not understood")]
    NotUnderstood {
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning { .. } => Some(
                "start it with `tieline run`; if it runs with another configuration, name that \
                 with --config"
                    .to_owned(),
            ),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("only the user who runs the daemon may ask it".to_owned())
            }
            Self::Slow { .. } => {
                Some("it may be very busy: try again, and look at its log".to_owned())
            }
            Self::Refused { hint, .. } => hint.clone(),
            Self::NotUnderstood { .. } => Some(
                "the daemon may be of another version: compare `tieline --version` with what runs"
                    .to_owned(),
            ),
            Self::NoClient { .. } | Self::Connect { .. } | Self::Broken { .. } | Self::TooLong => {
                Some("look at the daemon's log, and try again".to_owned())
            }
        }
    }
}

impl Client {
    /// Makes a client of the daemon that listens on `socket`; connects at each question.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Asks how the daemon is.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is not understood.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Has the daemon restart.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it would not come up again.
    pub async fn restart(&self, order: &RestartOrder) -> Result<RestartOrdered, ClientError> {
        self.request(Method::POST, "/v1/restart", Some(order), None, DEADLINE)
            .await
    }

    /// Asks who waits to be let in, and who was.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn pairings(&self) -> Result<Pairings, ClientError> {
        self.get("/v1/pairings").await
    }

    /// Lets in whoever was given a code.
    ///
    /// # Errors
    ///
    /// When there is no answer, or nobody was let in.
    pub async fn pair(&self, code: &str) -> Result<PairedPerson, ClientError> {
        let route = format!("/v1/pairings/{}", segment(code));
        self.ask(Method::POST, &route).await
    }

    /// Lets somebody, `CHANNEL:USER`, in no longer; returns who they were, once for each
    /// dispatcher.
    ///
    /// # Errors
    ///
    /// When there is no answer, or they were not let in.
    pub async fn unpair(&self, who: &str) -> Result<Vec<PairedPerson>, ClientError> {
        let route = format!("/v1/pairings/{}", segment(who));
        self.ask(Method::DELETE, &route).await
    }

    /// Decides about what the model wants.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it was settled before.
    pub async fn decide(&self, id: &str, decision: &str) -> Result<ApprovalStatus, ClientError> {
        let route = format!("/v1/approvals/{}", segment(id));
        let decision = NewDecision {
            decision: decision.to_owned(),
        };
        self.request(Method::POST, &route, Some(&decision), None, DEADLINE)
            .await
    }

    /// Reports a result to a dispatcher.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it was not taken.
    pub async fn complete(
        &self,
        dispatcher: &str,
        report: &CompletionReport,
    ) -> Result<CompletionReceipt, ClientError> {
        let route = format!("/v1/dispatchers/{}/completions", segment(dispatcher));
        self.order(&route, report).await
    }

    /// Switches a dispatcher: `start`, `stop` or `restart`. Returns when it is so, or takes long.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn switch(
        &self,
        dispatcher: &str,
        action: &str,
    ) -> Result<DispatcherDetails, ClientError> {
        let route = format!("{}/{action}", dispatcher_route(dispatcher));
        let (method, body) = (Method::POST, None::<&()>);
        self.request(method, &route, body, None, SWITCH_DEADLINE)
            .await
    }

    /// Has a teammate join a dispatcher.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it cannot be.
    pub async fn spawn(
        &self,
        dispatcher: &str,
        teammate: &NewTeammate,
    ) -> Result<TeammateStatus, ClientError> {
        self.order(&teammates_route(dispatcher), teammate).await
    }

    /// Gives a teammate a further task.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn assign(
        &self,
        dispatcher: &str,
        name: &str,
        task: &FurtherTask,
    ) -> Result<TeammateStatus, ClientError> {
        let route = format!("{}/tasks", teammate_route(dispatcher, name));
        self.order(&route, task).await
    }

    /// Has a teammate end what it does and forget what waits.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn stop(&self, dispatcher: &str, name: &str) -> Result<TeammateHalted, ClientError> {
        let route = format!("{}/stop", teammate_route(dispatcher, name));
        self.ask(Method::POST, &route).await
    }

    /// Has a teammate leave. `discard`: its worktree goes also when something would be lost by that,
    /// and also when it was kept before.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn close(
        &self,
        dispatcher: &str,
        name: &str,
        discard: bool,
    ) -> Result<TeammateHalted, ClientError> {
        let route = teammate_route(dispatcher, name);
        let route = format!("{route}?discard={discard}");
        self.ask(Method::DELETE, &route).await
    }

    /// Orders a one-off run.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn exec(&self, dispatcher: &str, run: &NewRun) -> Result<RunDetails, ClientError> {
        let route = format!("/v1/dispatchers/{}/runs", segment(dispatcher));
        self.order(&route, run).await
    }

    /// Has a run end, or not begin.
    ///
    /// # Errors
    ///
    /// When there is no answer, or no such run.
    pub async fn cancel_run(&self, id: &str) -> Result<RunDetails, ClientError> {
        let route = format!("/v1/runs/{}/cancel", segment(id));
        self.ask(Method::POST, &route).await
    }

    /// Orders something of a lane's thread.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn order_lane(
        &self,
        lane: &str,
        order: &NewLaneOrder,
    ) -> Result<LaneOrderTaken, ClientError> {
        self.order(&format!("{}/orders", lane_route(lane)), order)
            .await
    }

    /// Has a lane end its turn; with `all`, what waits is withdrawn as well.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub async fn stop_lane(&self, lane: &str, all: bool) -> Result<LaneStopped, ClientError> {
        let route = format!("{}/stop?all={all}", lane_route(lane));
        self.ask(Method::POST, &route).await
    }

    /// Has a session opened.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it cannot be.
    pub async fn open_session(
        &self,
        dispatcher: &str,
        session: &NewSession,
    ) -> Result<SessionStatus, ClientError> {
        let route = format!("/v1/dispatchers/{}/sessions", segment(dispatcher));
        self.order_within(&route, session, OPENING_DEADLINE).await
    }

    /// Gives a session a turn.
    ///
    /// # Errors
    ///
    /// As [`open_session`](Self::open_session).
    pub async fn give_turn(
        &self,
        session: &str,
        turn: &NewTurn,
    ) -> Result<TurnReceipt, ClientError> {
        let route = format!("{}/turns", session_route(session));
        self.order(&route, turn).await
    }

    /// Adds to the turn of a session that runs, which `turn` names.
    ///
    /// # Errors
    ///
    /// As [`open_session`](Self::open_session).
    pub async fn steer(&self, session: &str, turn: &NewTurn) -> Result<TurnReceipt, ClientError> {
        let route = format!("{}/turns", session_route(session));
        self.request(Method::POST, &route, Some(turn), None, OPENING_DEADLINE)
            .await
    }

    /// Has a turn of a session end, or not begin.
    ///
    /// # Errors
    ///
    /// As [`open_session`](Self::open_session).
    pub async fn interrupt(
        &self,
        session: &str,
        turn: &str,
    ) -> Result<TurnInterrupted, ClientError> {
        let route = format!("{}/interrupt", session_turn_route(session, turn));
        self.request(Method::POST, &route, None::<&()>, None, DEADLINE)
            .await
    }

    /// Changes what a session is for, and what its program remembers.
    ///
    /// # Errors
    ///
    /// As [`open_session`](Self::open_session).
    pub async fn change_session(
        &self,
        session: &str,
        change: &ChangedSession,
    ) -> Result<SessionStatus, ClientError> {
        let route = session_route(session);
        self.request(Method::PATCH, &route, Some(change), None, DEADLINE)
            .await
    }

    /// Closes a session.
    ///
    /// # Errors
    ///
    /// As [`open_session`](Self::open_session).
    pub async fn close_session(&self, session: &str) -> Result<SessionEnded, ClientError> {
        let route = session_route(session);
        self.request(Method::DELETE, &route, None::<&()>, None, DEADLINE)
            .await
    }

    /// Asks any route. As [`serde_json::Value`] the answer keeps what this version does not know.
    ///
    /// # Errors
    ///
    /// When there is no answer, it is not a success, or it is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, route: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, route).await
    }

    /// Has something made. An order whose answer is lost is repeated under the same idempotency key,
    /// also when the daemon is restarted meanwhile: it is carried out once.
    async fn order<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.order_within(route, body, DEADLINE).await
    }

    async fn order_within<T: DeserializeOwned>(
        &self,
        route: &str,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let key = Uuid::now_v7().to_string();
        let until = Instant::now() + REPEAT_FOR;
        let mut lost = None;
        loop {
            let given = self.request(Method::POST, route, Some(body), Some(&key), deadline);
            match given.await {
                Err(error @ (ClientError::Broken { .. } | ClientError::Slow { .. })) => {
                    lost = Some(error);
                }
                Err(ClientError::NotRunning { .. }) if lost.is_some() => {}
                answer => return answer,
            }
            if Instant::now() >= until
                && let Some(error) = lost
            {
                return Err(error);
            }
            sleep(REPEAT_EVERY).await;
        }
    }

    /// Asks without a body.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
    ) -> Result<T, ClientError> {
        self.request(method, route, None::<&()>, None, DEADLINE)
            .await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
        key: Option<&str>,
        within: Duration,
    ) -> Result<T, ClientError> {
        let (status, bytes) = timeout(within, self.send(method, route, body, key))
            .await
            .map_err(|_elapsed| ClientError::Slow {
                seconds: within.as_secs(),
            })??;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|source| ClientError::NotUnderstood { source });
        }
        Err(refused(status, &bytes))
    }

    /// Listens to events as they happen.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is not a success.
    pub async fn stream(&self, route: &str) -> Result<EventStream, ClientError> {
        let client = tieline_net::local_http(&self.socket)
            .map_err(|source| ClientError::NoClient { source })?;
        let request = client.get(format!("http://localhost{route}"));
        let answer = timeout(DEADLINE, request.send())
            .await
            .map_err(|_elapsed| slow())?
            .map_err(|error| self.failed(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(EventStream::new(self.clone(), answer));
        }
        let bytes = timeout(DEADLINE, answer.bytes())
            .await
            .map_err(|_elapsed| slow())?
            .map_err(|error| self.failed(error))?;
        Err(refused(status, &bytes))
    }

    async fn send(
        &self,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
        key: Option<&str>,
    ) -> Result<(StatusCode, Vec<u8>), ClientError> {
        let socket = self.socket.as_path();
        let client =
            tieline_net::local_http(socket).map_err(|source| ClientError::NoClient { source })?;
        let mut request = client.request(method, format!("http://localhost{route}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header(KEY, key);
        }
        let mut answer = request.send().await.map_err(|error| self.failed(error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(ClientError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((answer.status(), bytes))
    }

    pub(super) fn failed(&self, error: reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        if !error.is_connect() {
            return ClientError::Broken {
                source: error.without_url(),
            };
        }
        match io_kind(&error) {
            Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                ClientError::NotRunning { socket }
            }
            kind => ClientError::Connect {
                socket,
                source: kind.map_or_else(|| io::Error::other(error.without_url()), io::Error::from),
            },
        }
    }
}

/// Returns the route of a dispatcher.
pub fn dispatcher_route(dispatcher: &str) -> String {
    format!("/v1/dispatchers/{}", segment(dispatcher))
}

/// Returns the route of a lane.
pub fn lane_route(lane: &str) -> String {
    format!("/v1/lanes/{}", segment(lane))
}

/// Returns a route with a query of the values that are there.
pub fn with_query(route: &str, query: &[(&str, Option<String>)]) -> String {
    let mut route = route.to_owned();
    let mut sign = '?';
    for (name, value) in query {
        if let Some(value) = value {
            route.push_str(&format!("{sign}{name}={}", segment(value)));
            sign = '&';
        }
    }
    route
}

fn slow() -> ClientError {
    ClientError::Slow {
        seconds: DEADLINE.as_secs(),
    }
}

/// Returns what an answer says that is not a success.
fn refused(status: StatusCode, bytes: &[u8]) -> ClientError {
    let ErrorBody {
        code,
        message,
        hint,
    } = serde_json::from_slice(bytes)
        .map(|ErrorEnvelope { error }| error)
        .unwrap_or_else(|_| ErrorBody {
            code: String::new(),
            message: format!("the daemon answered {status}"),
            hint: None,
        });
    ClientError::Refused {
        status,
        code,
        message,
        hint,
    }
}

/// Returns the route of a dispatcher's teammates.
pub fn teammates_route(dispatcher: &str) -> String {
    format!("{}/teammates", dispatcher_route(dispatcher))
}

/// Returns the route of a teammate.
pub fn teammate_route(dispatcher: &str, name: &str) -> String {
    format!("{}/{}", teammates_route(dispatcher), segment(name))
}

/// Returns the route of a run that is over, or for which `wait` has passed, at most `30s`.
pub fn run_route(id: &str, wait: &str) -> String {
    format!("/v1/runs/{}?wait={}", segment(id), segment(wait))
}

/// Returns the route of a session.
pub fn session_route(session: &str) -> String {
    format!("/v1/sessions/{}", segment(session))
}

/// Returns the route of a turn of a session.
pub fn session_turn_route(session: &str, turn: &str) -> String {
    format!("{}/turns/{}", session_route(session), segment(turn))
}

/// Returns text as one segment of a path.
fn segment(text: &str) -> String {
    let mut segment = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b':' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
    }
    segment
}

/// Returns what the system said, somewhere among the causes.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
