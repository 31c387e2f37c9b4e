//! One-off runs: `/v1/dispatchers/{id}/runs`, `/v1/runs` and what is below it.
//!
//! What a run has in its environment is taken, and never told again: answers have the names alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::control::body::{Asked, Body, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::key::{self, Done, Key};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::control::teammates::whole;
use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, RunId, ThreadId};
use crate::ledger::{
    self, LedgerError, Once, RunEnvironment, RunFilter, RunRecord, RunResult, RunState,
};
use crate::runs::{Doing, PURPOSES, RequestError, RunRequest};

/// How many runs are listed at most.
const MAX_LISTED: usize = 200;

/// How many are listed if nobody says.
const LISTED: usize = 50;

/// How long an answer waits for the end of a run at most.
pub const MAX_WAIT: Duration = Duration::from_secs(30);

/// A run that somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// What it is asked.
    pub prompt: String,
    /// What it is for: `task`, `review`, `check`, `research`, `maintenance` or `other`; `task` when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// Where it works, from the workspace on; the workspace when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// Its model, if not the dispatcher's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its profile of Codex's configuration, if not the dispatcher's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What its commands may do, if less than those of the dispatcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// Images that it is shown, from the workspace on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PathBuf>,
    /// Directories that it may write to beside its own, from the workspace on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writable_dirs: Vec<PathBuf>,
    /// What it has in its environment on top of the dispatcher's.
    #[serde(default, skip_serializing_if = "no_variables")]
    pub env: RunEnvironment,
    /// Settings of Codex, `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<String>,
    /// Whether it also works where there is no git repository; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_git_check: Option<bool>,
    /// Its thread is not kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// The JSON Schema of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<serde_json::Value>,
    /// How long it may take: `10m`; half an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// The session that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The Codex thread that it goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<ThreadId>,
    /// The lane that is told what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_to: Option<LaneId>,
    /// What whoever orders it wants to find again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Some runs, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsPage {
    /// The runs.
    pub runs: Vec<RunStatus>,
    /// What to pass as `cursor` for those before them, if there may be any.
    pub next: Option<String>,
}

/// A run at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Its name.
    pub id: RunId,
    /// Whose it is.
    pub dispatcher: DispatcherId,
    /// What it is for.
    pub purpose: String,
    /// `queued`, `running`, `completed`, `failed`, `blocked`, `cancelled` or `unclear`.
    pub status: String,
    /// Nothing more can happen to it.
    pub terminal: bool,
    /// It is done, and has answered.
    pub completed: bool,
    /// It runs, and somebody wants it to end.
    #[serde(default)]
    pub stopping: bool,
    /// The name of the failure, if it failed or is blocked.
    #[serde(default)]
    pub failure_kind: Option<FailureKind>,
    /// What went wrong, if something did.
    #[serde(default)]
    pub failure_message: Option<String>,
    /// The beginning of its prompt, on one line.
    pub beginning: String,
    /// What it was doing when it was last heard of, while it runs.
    #[serde(default)]
    pub doing: Option<RunDoing>,
    /// Its Codex thread, once it has one.
    #[serde(default)]
    pub thread: Option<ThreadId>,
    /// The lane that is told what came of it.
    #[serde(default)]
    pub report_to: Option<LaneId>,
    /// When it was ordered.
    #[serde(with = "rfc3339")]
    pub queued_at: SystemTime,
    /// When it was begun.
    #[serde(with = "rfc3339::option", default)]
    pub started_at: Option<SystemTime>,
    /// When it was over.
    #[serde(with = "rfc3339::option", default)]
    pub ended_at: Option<SystemTime>,
}

/// What a run was doing when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDoing {
    /// On one line.
    pub text: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
}

/// A run, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDetails {
    /// How it is.
    #[serde(flatten)]
    pub run: RunStatus,
    /// How many wait before it, while it waits.
    #[serde(default)]
    pub ahead: u64,
    /// The last message of the model, if it is over.
    #[serde(default)]
    pub reply: Option<String>,
    /// How many tokens it took: `input_tokens`, `cached_input_tokens`, `output_tokens`,
    /// `reasoning_output_tokens`; empty when Codex did not say.
    #[serde(default)]
    pub usage: BTreeMap<String, u64>,
    /// The exit code of its process.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// The signal that ended its process.
    #[serde(default)]
    pub exit_signal: Option<i32>,
    /// How many lines of Codex's output could not be read.
    #[serde(default)]
    pub ignored_lines: u64,
    /// What it is asked.
    pub prompt: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// Its model, if not the dispatcher's.
    #[serde(default)]
    pub model: Option<String>,
    /// Its profile, if not the dispatcher's.
    #[serde(default)]
    pub profile: Option<String>,
    /// What its commands may do.
    pub sandbox: String,
    /// Images that it is shown.
    pub images: Vec<PathBuf>,
    /// Directories that it may write to beside its own.
    pub writable_dirs: Vec<PathBuf>,
    /// The names of the variables that it is given.
    pub env: Vec<String>,
    /// Settings of Codex.
    pub config: Vec<String>,
    /// It also works where there is no git repository.
    pub skip_git_check: bool,
    /// Its thread is not kept.
    pub ephemeral: bool,
    /// The JSON Schema of its answer.
    #[serde(default)]
    pub output_schema: Option<serde_json::Value>,
    /// How long it may take.
    pub timeout: String,
    /// The thread that it goes on with.
    #[serde(default)]
    pub resume: Option<ThreadId>,
    /// What whoever ordered it wants to find again.
    pub metadata: BTreeMap<String, String>,
}

fn no_variables(env: &RunEnvironment) -> bool {
    env.0.is_empty()
}

impl RunStatus {
    fn of(record: RunRecord, doing: Option<Doing>) -> Self {
        Self {
            id: record.id,
            dispatcher: record.dispatcher,
            purpose: record.purpose,
            status: record.state.as_str().to_owned(),
            terminal: record.state.is_over(),
            completed: record.state == RunState::Completed,
            stopping: record.is_stopping && !record.state.is_over(),
            failure_kind: record.state.failure(),
            failure_message: record.problem,
            beginning: record.beginning,
            doing: doing.map(|Doing { text, at }| RunDoing { text, at }),
            thread: record.thread,
            report_to: record.report_to,
            queued_at: record.queued_at,
            started_at: record.started_at,
            ended_at: record.ended_at,
        }
    }
}

impl RunDetails {
    fn of(details: ledger::RunDetails, doing: Option<Doing>) -> Self {
        let ledger::RunDetails {
            record,
            order,
            result,
            ahead,
        } = details;
        let RunResult {
            reply,
            problem,
            usage,
            exit_code,
            exit_signal,
            ignored_lines,
        } = result.unwrap_or_default();
        let mut run = RunStatus::of(record, doing);
        // The record has the beginning alone.
        run.failure_message = problem.or(run.failure_message);
        Self {
            run,
            ahead: ahead as u64,
            reply,
            usage,
            exit_code,
            exit_signal,
            ignored_lines,
            prompt: order.prompt,
            cwd: order.cwd,
            model: order.model,
            profile: order.profile,
            sandbox: order.sandbox,
            images: order.images,
            writable_dirs: order.writable_dirs,
            env: order.env.0.into_keys().collect(),
            config: order.config,
            skip_git_check: order.skip_git_check,
            ephemeral: order.ephemeral,
            output_schema: order.output_schema,
            timeout: humantime::format_duration(order.timeout).to_string(),
            resume: order.resume,
            metadata: order.metadata,
        }
    }
}

// === The routes ===

impl Wanted for NewRun {
    const HINT: &'static str = "{\"prompt\": \"…\"}; `purpose`, `cwd`, `model`, `profile`, `sandbox`, `images`, \
                                `writable_dirs`, `env`, `config`, `skip_git_check`, `ephemeral`, `output_schema`, \
                                `timeout`, `session`, `resume`, `report_to` and `metadata` may be left out";
    const WHEN_TOO_LARGE: &'static str =
        "put what is long into a file in the workspace, and name that in the prompt";
}

/// Takes an order.
pub(super) async fn order(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
    key: Key,
    wanted: Result<Body<NewRun>, ApiError>,
) -> Result<Done<RunDetails>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Some(desk) = api.runs.desk(handle.id()) else {
        return Err(refused(&RequestError::Off));
    };
    let Body(wanted) = wanted?;
    let key = key.of(handle.id(), "run", &wanted);
    if let Some(session) = &wanted.session {
        return Err(ApiError::new(
            Code::UnknownSession,
            format!("there is no session {session:?}"),
            "leave `session` out; `resume` goes on with a Codex thread",
        ));
    }
    if let Some(lane) = &wanted.report_to
        && !handle.has_lane(lane).await.map_err(|it| not_read(&it))?
    {
        return Err(ApiError::new(
            Code::UnknownLane,
            format!("the dispatcher has no lane {lane}"),
            "`tieline status --json` names the lanes; leave `report_to` out and nobody is told",
        ));
    }
    let once = desk.order(request(wanted)?, key).await;
    let once = once.map_err(|error| refused(&error))?;
    let (id, is_replayed) = match once {
        Once::New(run) => (Some(run.id), false),
        Once::Repeated { made } => (made.parse().ok(), true),
    };
    Ok(Done {
        status: StatusCode::ACCEPTED,
        body: look(&api, id, Duration::ZERO).await?,
        is_replayed,
    })
}

fn request(wanted: NewRun) -> Result<RunRequest, ApiError> {
    let timeout = match &wanted.timeout {
        None => None,
        Some(text) => Some(humantime::parse_duration(text).map_err(|_| {
            ApiError::new(
                Code::BadRequest,
                format!("`timeout` cannot be {text:?}"),
                "it is a time such as \"90s\", \"10m\" or \"2h\", at most \"24h\"",
            )
        })?),
    };
    Ok(RunRequest {
        prompt: wanted.prompt,
        purpose: wanted.purpose,
        cwd: wanted.cwd,
        model: wanted.model,
        profile: wanted.profile,
        sandbox: wanted.sandbox,
        images: wanted.images,
        writable_dirs: wanted.writable_dirs,
        env: wanted.env,
        config: wanted.config,
        skip_git_check: wanted.skip_git_check,
        ephemeral: wanted.ephemeral,
        output_schema: wanted.output_schema,
        timeout,
        resume: wanted.resume,
        report_to: wanted.report_to,
        metadata: wanted.metadata,
    })
}

/// Which runs are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    #[serde(default)]
    dispatcher: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    cursor: Option<RunId>,
}

impl Wanted for Listing {
    const HINT: &'static str = "`dispatcher`, `state` and `purpose` say which runs, `limit` how many, from 1 to 200; \
                                `cursor` is the `next` of the page before";
}

/// Lists the newest.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Asked<Listing>, ApiError>,
) -> Result<Json<RunsPage>, ApiError> {
    let Asked(wanted) = wanted?;
    let limit = wanted.limit.unwrap_or(LISTED);
    if !(1..=MAX_LISTED).contains(&limit) {
        let problem = format!("{limit} runs cannot be listed at once");
        return Err(ApiError::new(Code::BadRequest, problem, Listing::HINT));
    }
    check_listed("state", wanted.state.as_deref(), &RunState::NAMES)?;
    check_listed("purpose", wanted.purpose.as_deref(), &PURPOSES)?;
    // One that has left the configuration may have runs still.
    let filter = RunFilter {
        dispatcher: wanted.dispatcher.map(DispatcherId::new),
        state: wanted.state,
        purpose: wanted.purpose,
    };
    let page = api.runs.list(filter, wanted.cursor, limit).await;
    let page = page.map_err(|error| not_read(&error))?;
    let runs = page.runs.into_iter().map(|record| {
        let doing = api.runs.doing(&record);
        RunStatus::of(record, doing)
    });
    Ok(Json(RunsPage {
        runs: runs.collect(),
        next: page.next.map(|id| id.to_string()),
    }))
}

fn check_listed(
    field: &str,
    value: Option<&str>,
    allowed: &[&'static str],
) -> Result<(), ApiError> {
    match value {
        Some(value) if !allowed.contains(&value) => Err(ApiError::new(
            Code::BadRequest,
            format!("`{field}` cannot be {value:?}"),
            format!("it is one of {}", allowed.join(", ")),
        )),
        _ => Ok(()),
    }
}

/// How one is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    #[serde(default)]
    wait: Option<String>,
}

impl Wanted for Reading {
    const HINT: &'static str = "`wait` is how long to wait for its end, from \"0s\" to \"30s\"";
}

/// Tells how one is, once it is over or it was waited long enough.
pub(super) async fn read(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    wanted: Result<Asked<Reading>, ApiError>,
) -> Result<Json<RunDetails>, ApiError> {
    let Asked(Reading { wait }) = wanted?;
    let patience = match &wait {
        None => Duration::ZERO,
        Some(text) => humantime::parse_duration(text)
            .ok()
            .filter(|wait| *wait <= MAX_WAIT)
            .ok_or_else(|| {
                let problem = format!("`wait` cannot be {text:?}");
                ApiError::new(Code::BadRequest, problem, Reading::HINT)
            })?,
    };
    let id = id.parse().map_err(|_| unknown(&id))?;
    look(&api, Some(id), patience).await.map(Json)
}

/// Has one end, or not begin.
pub(super) async fn cancel(
    State(api): State<Api>,
    Segments(id): Segments<String>,
) -> Result<(StatusCode, Json<RunDetails>), ApiError> {
    let id: RunId = id.parse().map_err(|_| unknown(&id))?;
    let cancelled = api.runs.cancel(id).await;
    match cancelled.map_err(|error| not_read(&error))? {
        None => Err(unknown(&id.to_string())),
        Some(record) => {
            let status = match record.state.is_over() {
                true => StatusCode::OK,
                false => StatusCode::ACCEPTED,
            };
            Ok((status, Json(look(&api, Some(id), Duration::ZERO).await?)))
        }
    }
}

async fn look(api: &Api, id: Option<RunId>, patience: Duration) -> Result<RunDetails, ApiError> {
    let Some(id) = id else {
        return Err(unknown("of that key"));
    };
    let read = api.runs.read(id, patience).await;
    let details = read.map_err(|error| not_read(&error))?;
    let details = details.ok_or_else(|| unknown(&id.to_string()))?;
    let doing = api.runs.doing(&details.record);
    Ok(RunDetails::of(details, doing))
}

fn unknown(id: &str) -> ApiError {
    ApiError::new(
        Code::UnknownRun,
        format!("there is no run {id}"),
        "`tieline exec list` lists them; they are remembered for 30 days",
    )
}

/// Says why an order was not taken, and what to do.
fn refused(error: &RequestError) -> ApiError {
    let (code, hint) = match error {
        RequestError::Off => (
            Code::TurnedOff,
            "set `parallel` in the dispatcher's `runs`, and restart the daemon",
        ),
        RequestError::NotListed { .. } => (Code::BadRequest, "leave it out for the usual one"),
        RequestError::Wider { .. } => (
            Code::BadRequest,
            "leave `sandbox` out for the one of the dispatcher",
        ),
        RequestError::Unusable { .. } => (Code::BadRequest, "mend it, or leave it out"),
        RequestError::Path { .. } => (
            Code::BadRequest,
            "paths are read from the dispatcher's workspace on, and stay in it",
        ),
        RequestError::Ledger(LedgerError::TooManyRuns { .. }) => (
            Code::TooMany,
            "wait until some are done, or cancel some: `tieline exec list --state queued`",
        ),
        RequestError::Ledger(LedgerError::KeyReused { key }) => return key::reused(key),
        RequestError::Ledger(error @ LedgerError::TooLarge { .. }) => {
            return ApiError::new(Code::BadRequest, whole(error), "choose shorter names");
        }
        RequestError::Ledger(error) => return not_read(error),
    };
    ApiError::new(code, whole(error), hint)
}

fn not_read(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        format!("the runs are out of reach: {}", whole(error)),
        "look with `tieline exec list` what was done before you repeat it; `tieline status` says how the ledger is",
    )
}
