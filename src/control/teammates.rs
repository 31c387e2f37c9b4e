//! The agents that work for a dispatcher: `/v1/dispatchers/{id}/teammates` and what is below it.
//!
//! Whoever gives work is a lane: `lane`, or the one that was used last. It is told what comes of the
//! work. An order that was begun is carried out also when whoever gave it breaks off.

use std::error::Error;
use std::path::PathBuf;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::config::Sandbox;
use crate::control::body::{Asked, Body, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::key::{self, Done, Key};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::dispatcher::{Handle, WishError};
use crate::id::LaneId;
use crate::ledger::{
    CompletionStatus, Halted, IdempotencyKey, LedgerError, Once, Ordered, RosterError, TaskRecord,
    TaskState, Workspace, WorktreeFate,
};
use crate::teammates::{
    self, Details, MAX_READ, OrderError, SpawnRequest, Teammate, Wish, WorkspaceRequest,
};

/// A teammate that somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTeammate {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it is to do first.
    pub task: String,
    /// Where it works: `shared`, `worktree`, or the path of a directory; `shared` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// What it is told beside its tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Its model, if not the dispatcher's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What its commands may do, if less than those of the dispatcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// The lane that is told what comes of it. When absent, the one that was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
}

/// A further task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherTask {
    /// What is to be done.
    pub task: String,
    /// The lane that is told what comes of it. When absent, the one that was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
}

/// The teammates of a dispatcher that are remembered, by name, those that have left last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teammates {
    /// All of them.
    pub teammates: Vec<TeammateStatus>,
}

/// A teammate at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeammateStatus {
    /// Its name.
    pub name: String,
    /// `idle`, `waiting`, `working`, `stopping` or `closed`.
    pub state: String,
    /// Since when: that its turn runs, its first task waits, its last one is over, or it has left.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// What it was doing when it was last heard of, while it works.
    #[serde(default)]
    pub doing: Option<DoingStatus>,
    /// How many tasks wait for it.
    pub waiting: u64,
    /// The task that it works on, or else the first that waits, or else the last one that is over.
    #[serde(default)]
    pub task: Option<TaskStatus>,
    /// Where it works.
    pub workspace: WorkspaceStatus,
    /// Its model, if not the dispatcher's.
    #[serde(default)]
    pub model: Option<String>,
    /// What its commands may do, if less than those of the dispatcher.
    #[serde(default)]
    pub sandbox: Option<String>,
    /// The lane that it works on.
    pub lane: LaneId,
    /// When it joined.
    #[serde(with = "rfc3339")]
    pub joined_at: SystemTime,
    /// When it has left.
    #[serde(with = "rfc3339::option", default)]
    pub closed_at: Option<SystemTime>,
}

/// What a teammate was doing when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoingStatus {
    /// On one line.
    pub text: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
}

/// A task at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The beginning of its text, on one line.
    pub beginning: String,
    /// `waiting`, `in_turn`, `done`, `failed`, `stopped` or `unclear`.
    pub state: String,
    /// The name of the failure, if it failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// Nobody gave it: results that came in have led to a turn.
    pub woken: bool,
    /// When it was given.
    #[serde(with = "rfc3339")]
    pub given_at: SystemTime,
    /// When it came to its state.
    #[serde(with = "rfc3339")]
    pub changed_at: SystemTime,
}

/// Where a teammate works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceStatus {
    /// `shared`, `directory` or `worktree`.
    pub kind: String,
    /// Which directory or worktree; absent where the dispatcher works.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// The branch of a worktree.
    #[serde(default)]
    pub branch: Option<String>,
    /// What is to become of a worktree, or became: `in_use`, `leaving`, `removed` or `kept`.
    #[serde(default)]
    pub fate: Option<String>,
    /// Why a worktree was kept.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A teammate, and its last tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeammateDetails {
    /// How it is.
    #[serde(flatten)]
    pub teammate: TeammateStatus,
    /// The last tasks that it took up, oldest first.
    pub tasks: Vec<TaskDetails>,
    /// Those that wait, in the order in which it will take them up.
    #[serde(default)]
    pub waiting_tasks: Vec<TaskStatus>,
}

/// A task, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetails {
    /// How far it is.
    #[serde(flatten)]
    pub status: TaskStatus,
    /// What was to be done.
    pub text: String,
    /// What came of it, if anything has yet.
    #[serde(default)]
    pub result: Option<TaskResult>,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// How it ended.
    pub status: CompletionStatus,
    /// What came of it.
    pub body: String,
}

/// A teammate that was stopped or closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeammateHalted {
    /// How it is now.
    pub teammate: TeammateStatus,
    /// A turn ran, and ends.
    pub was_working: bool,
    /// How many tasks waited and will not be done.
    pub withdrawn: u64,
}

impl TeammateStatus {
    fn of(teammate: Teammate) -> Self {
        let Teammate {
            record,
            state,
            since,
            waiting,
            task,
            last: _,
        } = teammate;
        let name = state.as_str().to_owned();
        let doing = match state {
            teammates::State::Working { doing } => doing,
            teammates::State::Idle
            | teammates::State::Waiting
            | teammates::State::Stopping
            | teammates::State::Closed => None,
        };
        Self {
            name: record.name,
            state: name,
            since,
            doing: doing.map(|doing| DoingStatus {
                text: doing.text,
                at: doing.at,
            }),
            waiting: waiting as u64,
            task: task.map(TaskStatus::of),
            workspace: WorkspaceStatus::of(record.workspace),
            model: record.model,
            sandbox: record.sandbox,
            lane: record.lane,
            joined_at: record.joined_at,
            closed_at: record.closed_at,
        }
    }
}

impl TaskStatus {
    fn of(record: TaskRecord) -> Self {
        let state = record.state.as_str().to_owned();
        let failure = match record.state {
            TaskState::Failed { kind } => Some(kind.to_string()),
            TaskState::Waiting
            | TaskState::InTurn
            | TaskState::Done
            | TaskState::Stopped
            | TaskState::Unclear => None,
        };
        Self {
            beginning: record.beginning,
            state,
            failure,
            woken: record.is_woken,
            given_at: record.given_at,
            changed_at: record.changed_at,
        }
    }
}

impl WorkspaceStatus {
    fn of(workspace: Workspace) -> Self {
        let (kind, path, branch, fate) = match workspace {
            Workspace::Shared => ("shared", None, None, None),
            Workspace::Directory { path } => ("directory", Some(path), None, None),
            Workspace::Worktree {
                repository: _,
                path,
                branch,
                inside: _,
                fate,
            } => ("worktree", Some(path), Some(branch), Some(fate)),
        };
        let (fate, reason) = match fate {
            None => (None, None),
            Some(WorktreeFate::InUse) => (Some("in_use"), None),
            Some(WorktreeFate::Leaving { force: _ }) => (Some("leaving"), None),
            Some(WorktreeFate::Removed) => (Some("removed"), None),
            Some(WorktreeFate::Kept { reason }) => (Some("kept"), Some(reason)),
        };
        Self {
            kind: kind.to_owned(),
            path,
            branch,
            fate: fate.map(str::to_owned),
            reason,
        }
    }
}

impl TeammateDetails {
    fn of(details: Details) -> Self {
        let tasks = details.tasks.into_iter().map(|task| TaskDetails {
            status: TaskStatus::of(task.record),
            text: task.text,
            result: task.report.map(|report| TaskResult {
                status: report.status,
                body: report.body,
            }),
        });
        Self {
            teammate: TeammateStatus::of(details.teammate),
            tasks: tasks.collect(),
            waiting_tasks: details.waiting.into_iter().map(TaskStatus::of).collect(),
        }
    }
}

// === The routes ===

/// Tells how the teammates of a dispatcher are.
pub(super) async fn list(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
) -> Result<Json<Teammates>, ApiError> {
    let listed = api.dispatcher(&dispatcher)?.teammates().list().await;
    let teammates = listed.map_err(|error| not_read(&error))?;
    Ok(Json(Teammates {
        teammates: teammates.into_iter().map(TeammateStatus::of).collect(),
    }))
}

impl Wanted for NewTeammate {
    const HINT: &'static str = "{\"name\": \"flaky\", \"task\": \"…\", \"workspace\": \"worktree\"}; `workspace`, \
                                `instructions`, `model`, `sandbox` and `lane` may be left out";
    const WHEN_TOO_LARGE: &'static str =
        "put what is long into a file in the workspace, and name that in the task";
}

/// Has one join.
pub(super) async fn spawn(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
    key: Key,
    wanted: Result<Body<NewTeammate>, ApiError>,
) -> Result<Done<TeammateStatus>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Body(wanted) = wanted?;
    let key = key.of(handle.id(), "spawn", &wanted);
    let sandbox = wanted.sandbox.as_deref().map(sandbox).transpose()?;
    let name = wanted.name.clone();
    let request = SpawnRequest {
        name: wanted.name,
        task: wanted.task,
        workspace: WorkspaceRequest::of(wanted.workspace.as_deref().unwrap_or_default()),
        instructions: wanted.instructions,
        model: wanted.model,
        sandbox,
    };
    let once = order(handle, Wish::Spawn(request), wanted.lane, key).await?;
    Ok(Done {
        status: StatusCode::CREATED,
        body: look(handle, &name).await?,
        is_replayed: matches!(once, Once::Repeated { .. }),
    })
}

/// What can be asked of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    #[serde(default = "Reading::default_tasks")]
    tasks: usize,
}

impl Wanted for Reading {
    const HINT: &'static str = "`tasks` is a number from 1 to 10";
}

impl Reading {
    fn default_tasks() -> usize {
        3
    }
}

/// Tells how one is, and what came of its last tasks.
pub(super) async fn read(
    State(api): State<Api>,
    Segments((dispatcher, name)): Segments<(String, String)>,
    wanted: Result<Asked<Reading>, ApiError>,
) -> Result<Json<TeammateDetails>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Asked(Reading { tasks }) = wanted?;
    if !(1..=MAX_READ).contains(&tasks) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("{tasks} tasks cannot be read at once"),
            Reading::HINT,
        ));
    }
    let details = handle.teammates().read(&name, tasks).await;
    let details = details.map_err(|error| refused(&error))?;
    Ok(Json(TeammateDetails::of(details)))
}

impl Wanted for FurtherTask {
    const HINT: &'static str = "{\"task\": \"…\"}; `lane` may be left out";
    const WHEN_TOO_LARGE: &'static str = NewTeammate::WHEN_TOO_LARGE;
}

/// Gives one a further task.
pub(super) async fn assign(
    State(api): State<Api>,
    Segments((dispatcher, name)): Segments<(String, String)>,
    key: Key,
    wanted: Result<Body<FurtherTask>, ApiError>,
) -> Result<Done<TeammateStatus>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Body(wanted) = wanted?;
    let key = key.of(handle.id(), "assign", &(&name, &wanted));
    let wish = Wish::Assign {
        name: name.clone(),
        task: wanted.task,
    };
    let once = order(handle, wish, wanted.lane, key).await?;
    Ok(Done {
        status: StatusCode::ACCEPTED,
        body: look(handle, &name).await?,
        is_replayed: matches!(once, Once::Repeated { .. }),
    })
}

/// Has one end what it does and forget what waits.
pub(super) async fn stop(
    State(api): State<Api>,
    Segments((dispatcher, name)): Segments<(String, String)>,
) -> Result<Json<TeammateHalted>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let wish = Wish::Stop { name: name.clone() };
    let halted = halt(handle, wish).await?;
    let teammate = look(handle, &name).await?;
    Ok(Json(TeammateHalted::of(teammate, halted)))
}

/// How one can be closed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    #[serde(default)]
    discard: bool,
}

impl Wanted for Closing {
    const HINT: &'static str = "`discard` is true or false";
}

/// Has one leave.
pub(super) async fn close(
    State(api): State<Api>,
    Segments((dispatcher, name)): Segments<(String, String)>,
    closing: Result<Asked<Closing>, ApiError>,
) -> Result<Json<TeammateHalted>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Asked(Closing { discard }) = closing?;
    let wish = Wish::Close {
        name: name.clone(),
        discard,
    };
    let halted = halt(handle, wish).await?;
    let teammate = look(handle, &name).await?;
    Ok(Json(TeammateHalted::of(teammate, halted)))
}

impl TeammateHalted {
    fn of(teammate: TeammateStatus, halted: Halted) -> Self {
        Self {
            teammate,
            was_working: halted.is_running,
            withdrawn: halted.waiting as u64,
        }
    }
}

/// Stops or closes one.
async fn halt(handle: &Handle, wish: Wish) -> Result<Halted, ApiError> {
    match order(handle, wish, None, None).await? {
        Once::New(ordered) => Ok(ordered.halted),
        Once::Repeated { .. } => Ok(Halted::default()),
    }
}

async fn order(
    handle: &Handle,
    wish: Wish,
    lane: Option<LaneId>,
    key: Option<IdempotencyKey>,
) -> Result<Once<Ordered>, ApiError> {
    handle.fulfil(wish, lane, key).await.map_err(|error| {
        let code = match &error {
            WishError::Order(error) => return refused(error),
            WishError::UnknownLane { .. } => Code::UnknownLane,
            WishError::NotAnAsker { .. } => Code::BadRequest,
        };
        ApiError::new(code, error.to_string(), LANES)
    })
}

/// What to do about a lane that cannot be told.
const LANES: &str =
    "`tieline status --json` names the lanes; leave `lane` out for the one that was used last";

/// Returns how one is to whom something has just happened.
async fn look(handle: &Handle, name: &str) -> Result<TeammateStatus, ApiError> {
    let details = handle.teammates().read(name, 1).await;
    let details = details.map_err(|error| {
        ApiError::new(
            Code::LedgerUnavailable,
            format!(
                "it is done, but how {name} is cannot be read: {}",
                whole(&error)
            ),
            "`tieline teammates` lists them; `tieline status` says how the ledger is",
        )
    })?;
    Ok(TeammateStatus::of(details.teammate))
}

fn sandbox(name: &str) -> Result<Sandbox, ApiError> {
    Sandbox::named(name).ok_or_else(|| {
        ApiError::new(
            Code::BadRequest,
            format!("there is no sandbox {name:?}"),
            "`sandbox` is read-only, workspace-write or danger-full-access",
        )
    })
}

/// Says why an order was not carried out, and what to do.
fn refused(error: &OrderError) -> ApiError {
    let (code, hint) = match error {
        OrderError::Off => (
            Code::TurnedOff,
            "set `max` in the dispatcher's `teammates`, and restart the daemon",
        ),
        OrderError::Name { .. } => (Code::BadRequest, "for example: fix-login, docs-2"),
        OrderError::Text { .. } => (
            Code::BadRequest,
            "put what is long into a file in its workspace, and name that in the task",
        ),
        OrderError::Sandbox { .. } => (
            Code::BadRequest,
            "leave `sandbox` out for the one of the dispatcher",
        ),
        OrderError::Directory { .. } => (
            Code::BadRequest,
            "`workspace` is \"shared\", \"worktree\", or a directory below the dispatcher's workspace",
        ),
        OrderError::Worktree(_) => (
            Code::WorkspaceConflict,
            "with `workspace` \"shared\" it works where the dispatcher does",
        ),
        OrderError::TooSlow => (
            Code::Busy,
            "see whether the repository can be reached, and its disk is not overloaded",
        ),
        OrderError::Roster(error) => match error {
            RosterError::NameTaken { .. } => (
                Code::NameTaken,
                "`tieline teammates send` gives further work to one that is there",
            ),
            RosterError::NameRemembered { .. } => (
                Code::NameTaken,
                "`tieline teammates read` shows what the earlier one has done",
            ),
            RosterError::TooMany { .. } => (
                Code::TooMany,
                "`tieline teammates` lists them; `max` in the dispatcher's `teammates` is the limit",
            ),
            RosterError::Closed { .. } => (
                Code::Closed,
                "for new work, spawn one of another name; a worktree that was kept goes with \
                 `tieline teammates close NAME --discard`",
            ),
            RosterError::Overworked { .. } => (
                Code::TooMany,
                "`tieline teammates stop` makes it forget what waits",
            ),
            RosterError::Unknown { .. } => {
                (Code::UnknownTeammate, "`tieline teammates` lists them")
            }
        },
        OrderError::TooLarge { .. } => (
            Code::BadRequest,
            "choose shorter names; long instructions and tasks are no problem",
        ),
        OrderError::Ledger(LedgerError::KeyReused { key }) => return key::reused(key),
        OrderError::Ledger(error) => return not_read(error),
    };
    ApiError::new(code, whole(error), hint)
}

fn not_read(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        format!("the teammates are out of reach: {}", whole(error)),
        "look with `tieline teammates` what was done before you repeat it; `tieline status` says how the ledger is",
    )
}

/// Returns what an error says, and its causes.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
pub(super) mod tests;
