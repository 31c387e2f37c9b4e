//! The dispatchers: `/v1/dispatchers` and `/v1/dispatchers/{id}`, and switching one off and on.

use std::path::PathBuf;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tieline_channel::ChannelId;

use crate::control::body::Segments;
use crate::control::error::{ApiError, Code};
use crate::control::server::{self, Api};
use crate::control::status::{
    ChildStatus, DispatcherStatus, LoginProblem, ProfileStatus, SandboxStatus, TeammateCounts,
    rfc3339,
};
use crate::dispatcher::Handle;
use crate::id::DispatcherId;
use crate::ledger::{LaneRecord, LedgerError, Lifecycle};
use crate::tools::{self, Set};

/// The dispatchers, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dispatchers {
    /// One each.
    pub dispatchers: Vec<DispatcherOverview>,
}

/// A dispatcher at one moment, without its lanes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DispatcherOverview {
    /// Its name in the configuration.
    pub id: DispatcherId,
    /// How far it is.
    pub state: Lifecycle,
    /// Since when it is so.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// When its app-server was last started.
    #[serde(with = "rfc3339::option", default)]
    pub last_started_at: Option<SystemTime>,
    /// Its last failure, in one sentence.
    #[serde(default)]
    pub last_error: Option<String>,
    /// Why Codex cannot sign in to its model, if it cannot.
    #[serde(default)]
    pub login_problem: Option<LoginProblem>,
    /// What is wrong with it and does not keep it from working, each in one sentence.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How often its app-server was replaced since the daemon started.
    pub restarts: u64,
    /// Its app-server.
    #[serde(default)]
    pub child: Option<ChildStatus>,
    /// How its lanes are.
    pub lanes: LaneCounts,
    /// How many inputs wait for a turn, over all lanes.
    pub waiting: u64,
    /// How its teammates are.
    #[serde(default)]
    pub teammates: TeammateCounts,
}

/// How many of a dispatcher's lanes are at what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCounts {
    /// They have a turn.
    pub in_turn: u64,
    /// Something waits in them, and no turn runs.
    pub waiting: u64,
    /// They have nothing to do.
    pub idle: u64,
}

/// A dispatcher, how it is set up, and what it can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DispatcherDetails {
    /// How it is.
    #[serde(flatten)]
    pub dispatcher: DispatcherOverview,
    /// Where its threads work.
    pub workspace: PathBuf,
    /// Its channels.
    pub channels: Vec<ChannelId>,
    /// What a lane stands for: `shared`, `chat` or `thread`.
    pub sessions: String,
    /// What happens when the model wants more than the sandbox allows: `deny` or `chat`.
    pub approvals: String,
    /// What commands of the model may do.
    #[serde(default)]
    pub sandbox: Option<SandboxStatus>,
    /// The profile that it has.
    #[serde(default)]
    pub profile: Option<ProfileStatus>,
    /// Which model works.
    pub model: ModelStatus,
    /// What it can do.
    pub capabilities: DispatcherCapabilities,
}

/// Which model works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// What is asked of Codex; Codex's own choice if absent.
    #[serde(default)]
    pub requested: Option<String>,
    /// What Codex said of the thread that was loaded last.
    #[serde(default)]
    pub effective: Option<String>,
    /// The effort that is asked of it.
    #[serde(default)]
    pub effort: Option<String>,
}

/// What a dispatcher can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DispatcherCapabilities {
    /// The version of Codex that runs; absent until one did.
    #[serde(default)]
    pub codex_version: Option<String>,
    /// How its app-server is reached: `unix`, `stdio`, or the address of one that somebody else runs.
    pub transport: String,
    /// The version of the tools that its model is given.
    pub tools_version: u32,
    /// Their names.
    pub tools: Vec<String>,
    /// What can be ordered of it, by name.
    pub features: Vec<String>,
}

impl DispatcherOverview {
    fn of(status: DispatcherStatus, lanes: &[LaneRecord]) -> Self {
        Self {
            id: status.id,
            state: status.state,
            since: status.since,
            last_started_at: status.last_started_at,
            last_error: status.last_error,
            login_problem: status.login_problem,
            warnings: status.warnings,
            restarts: status.restarts,
            child: status.child,
            lanes: LaneCounts::of(lanes),
            waiting: status.waiting,
            teammates: status.teammates,
        }
    }
}

impl LaneCounts {
    fn of(lanes: &[LaneRecord]) -> Self {
        let mut counts = Self::default();
        for lane in lanes {
            let count = match (&lane.open, lane.inputs()) {
                (Some(_), _) => &mut counts.in_turn,
                (None, 0) => &mut counts.idle,
                (None, _) => &mut counts.waiting,
            };
            *count += 1;
        }
        counts
    }
}

impl DispatcherDetails {
    fn of(status: DispatcherStatus, lanes: &[LaneRecord], handle: &Handle) -> Self {
        let config = &handle.settings().config;
        let observed = handle.observed();
        let (sandbox, profile) = (status.sandbox.clone(), status.profile.clone());
        Self {
            dispatcher: DispatcherOverview::of(status, lanes),
            workspace: config.workspace.clone(),
            channels: config.channels.clone(),
            sessions: config.sessions.to_string(),
            approvals: config.approvals.to_string(),
            sandbox,
            profile,
            model: ModelStatus {
                requested: config.model.clone(),
                effective: observed.map(|thread| thread.model),
                effort: config.effort.clone(),
            },
            capabilities: DispatcherCapabilities::of(handle),
        }
    }
}

impl DispatcherCapabilities {
    fn of(handle: &Handle) -> Self {
        let config = &handle.settings().config;
        let facts = handle.condition().facts;
        let has_teammates = config.has_teammates();
        let set = if has_teammates {
            Set::Dispatching
        } else {
            Set::Chat
        };
        let tools = set.declaration();
        let tools = tools.iter().filter_map(|tool| tool["name"].as_str());
        let mut features = vec!["completions", "messages", "start", "stop", "restart"];
        if has_teammates {
            features.push("teammates");
        }
        Self {
            codex_version: facts.and_then(|facts| facts.version),
            transport: config.codex.transport.to_string(),
            tools_version: tools::VERSION,
            tools: tools.map(str::to_owned).collect(),
            features: features.into_iter().map(str::to_owned).collect(),
        }
    }
}

// === The routes ===

/// Tells how the dispatchers are.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Dispatchers>, ApiError> {
    let mut dispatchers = Vec::new();
    for status in server::status_of(&api).await?.dispatchers {
        let lanes = api.ledger.lanes(&status.id).await;
        let lanes = lanes.map_err(|error| not_read(&error))?;
        dispatchers.push(DispatcherOverview::of(status, &lanes));
    }
    Ok(Json(Dispatchers { dispatchers }))
}

/// Tells how one is, how it is set up, and what it can do.
pub(super) async fn read(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
) -> Result<Json<DispatcherDetails>, ApiError> {
    look(&api, &dispatcher).await.map(Json)
}

/// Has one work.
pub(super) async fn start(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
) -> Result<(StatusCode, Json<DispatcherDetails>), ApiError> {
    let reached = api.dispatcher(&dispatcher)?.start().await;
    switched(&api, &dispatcher, reached).await
}

/// Has one take no more turns until it is started again.
pub(super) async fn stop(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
) -> Result<(StatusCode, Json<DispatcherDetails>), ApiError> {
    let reached = api.dispatcher(&dispatcher)?.stop().await;
    switched(&api, &dispatcher, reached).await
}

/// Stops one, and has it begin anew.
pub(super) async fn restart(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
) -> Result<(StatusCode, Json<DispatcherDetails>), ApiError> {
    let reached = api.dispatcher(&dispatcher)?.restart().await;
    switched(&api, &dispatcher, reached).await
}

async fn switched(
    api: &Api,
    dispatcher: &str,
    reached: bool,
) -> Result<(StatusCode, Json<DispatcherDetails>), ApiError> {
    let status = if reached {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(look(api, dispatcher).await?)))
}

async fn look(api: &Api, dispatcher: &str) -> Result<DispatcherDetails, ApiError> {
    let handle = api.dispatcher(dispatcher)?;
    let all = server::status_of(api).await?.dispatchers;
    let status = all.into_iter().find(|status| status.id == *handle.id());
    let Some(status) = status else {
        return Err(ApiError::new(
            Code::Busy,
            format!("how {dispatcher} is is not known at the moment"),
            "try again",
        ));
    };
    let lanes = api.ledger.lanes(handle.id()).await;
    let lanes = lanes.map_err(|error| not_read(&error))?;
    Ok(DispatcherDetails::of(status, &lanes, handle))
}

fn not_read(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        format!("the lanes cannot be read: {error}"),
        "`tieline status` says how the ledger is",
    )
}
