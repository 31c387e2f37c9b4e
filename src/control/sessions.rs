//! Conversations of programs with Codex: `/v1/sessions` and what is below it.
//!
//! A session is opened with a thread of its own, takes up one that is there, or is only known. A turn is
//! accepted at once and looked up later; those of a session run one after the other. An order that was
//! begun is carried out also when whoever gave it breaks off.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tieline_channel::WithCauses;

use crate::control::body::{Asked, Body, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::key::{Done, Key, reused};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::dispatcher::{Beginning, Handle, SessionTurn, SessionWish, SessionWishError};
use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, SessionId, TaskId, ThreadId, TurnId};
use crate::ledger::{
    Began, CompletionStatus, LedgerError, Once, SessionChange, SessionError, SessionRecord,
    SessionState, TaskState, TurnStopped,
};
use crate::sessions::{Input, OptionsError, SessionOptions, TurnOptions};

/// How large a request with input may be, in bytes: images come inside of it.
pub(super) const MAX_TURN: usize = 16 * 1024 * 1024;

/// How long is waited for the thread of a session before it is told that it is opening.
const OPENED_WITHIN: Duration = Duration::from_secs(10);

/// How long can be waited for a turn with one request.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A session that a program wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct NewSession {
    /// `open`, which is meant when it is absent, or `registered`: the thread is only known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The thread that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What the program has to remember.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What its thread is set up with.
    #[serde(flatten)]
    pub options: SessionOptions,
}

/// Who works with the thread of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The dispatcher.
    Open,
    /// Somebody else.
    Registered,
}

/// A turn that a program wants, or something that it adds to the one that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct NewTurn {
    /// What goes in: a text, or parts as codex has them.
    pub input: Input,
    /// The turn that is to run, which the input is added to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_turn: Option<String>,
    /// What the turn has another way than its session.
    #[serde(flatten)]
    pub options: TurnOptions,
}

impl TryFrom<Map<String, Value>> for NewSession {
    type Error = String;

    fn try_from(mut map: Map<String, Value>) -> Result<Self, String> {
        Ok(Self {
            mode: take(&mut map, "mode")?,
            thread: take(&mut map, "thread")?,
            purpose: take(&mut map, "purpose")?,
            metadata: take(&mut map, "metadata")?.unwrap_or_default(),
            options: rest(map)?,
        })
    }
}

impl TryFrom<Map<String, Value>> for NewTurn {
    type Error = String;

    fn try_from(mut map: Map<String, Value>) -> Result<Self, String> {
        let input = match map.remove("input") {
            None => return Err("missing field `input`".to_owned()),
            Some(Value::String(text)) => Input::Text(text),
            Some(parts @ Value::Array(_)) => {
                let parts = serde_json::from_value(parts);
                Input::Parts(parts.map_err(|error| format!("`input`: {error}"))?)
            }
            Some(_) => return Err("`input` is neither a text nor a list of parts".to_owned()),
        };
        Ok(Self {
            input,
            expected_turn: take(&mut map, "expected_turn")?,
            options: rest(map)?,
        })
    }
}

fn take<T: serde::de::DeserializeOwned>(
    map: &mut Map<String, Value>,
    field: &str,
) -> Result<Option<T>, String> {
    let value = map.remove(field).filter(|value| !value.is_null());
    let value = value.map(serde_json::from_value).transpose();
    value.map_err(|error| format!("`{field}`: {error}"))
}

fn rest<T: serde::de::DeserializeOwned>(map: Map<String, Value>) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(map)).map_err(|error| {
        match error.path().to_string().as_str() {
            "." | "?" => error.inner().to_string(),
            path => format!("`{path}`: {}", error.inner()),
        }
    })
}

/// What is to be changed of a session. What is absent stays; `null` takes the purpose away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangedSession {
    /// What it is for.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub purpose: Option<Option<String>>,
    /// All that the program has to remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Tells `null` from what is absent.
fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The sessions that are remembered, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// All that were asked for.
    pub sessions: Vec<SessionStatus>,
}

/// A session at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its name.
    pub id: SessionId,
    /// Whose child has its thread.
    pub dispatcher: DispatcherId,
    /// `opening`, `active`, `failed` or `closed`.
    pub state: String,
    /// What went wrong, if it failed.
    #[serde(default)]
    pub failure: Option<SessionFailure>,
    /// How it began: `created`, `resumed` or `registered`.
    pub began: String,
    /// Its Codex thread, once it has one.
    #[serde(default)]
    pub thread: Option<ThreadId>,
    /// Its lane; absent when it is only registered.
    #[serde(default)]
    pub lane: Option<LaneId>,
    /// What it is for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// What its program has to remember.
    pub metadata: BTreeMap<String, String>,
    /// It leaves nothing on disk, and ends with its child.
    pub ephemeral: bool,
    /// The model that its thread was opened with.
    #[serde(default)]
    pub model: Option<String>,
    /// The provider of that.
    #[serde(default)]
    pub model_provider: Option<String>,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub created_at: SystemTime,
    /// When it came to its state.
    #[serde(with = "rfc3339")]
    pub changed_at: SystemTime,
}

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFailure {
    /// What went wrong, by name.
    pub kind: FailureKind,
    /// In Codex's words.
    pub message: String,
}

/// A session that was closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// How it is now.
    pub session: SessionStatus,
    /// A turn ran, and ends.
    pub was_running: bool,
    /// How many turns waited and will not be.
    pub withdrawn: u64,
}

/// That a turn was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnReceipt {
    /// Always.
    pub accepted: bool,
    /// The session.
    pub session: SessionId,
    /// The name of the turn.
    pub turn: TaskId,
    /// How it is now.
    pub status: String,
    /// How many turns were before it when it was accepted; absent when that was earlier.
    #[serde(default)]
    pub before: Option<u64>,
    /// The input was added to the turn, which ran already.
    #[serde(default)]
    pub steered: bool,
}

/// The turns of a session that are remembered, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Turns {
    /// All of them, without what was said.
    pub turns: Vec<TurnResult>,
}

/// A turn at one moment, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnResult {
    /// The name of the turn.
    pub turn: TaskId,
    /// The session.
    pub session: SessionId,
    /// The thread of the session.
    #[serde(default)]
    pub thread: Option<ThreadId>,
    /// Codex's name of the last attempt at it, once that is known.
    #[serde(default)]
    pub codex_turn: Option<TurnId>,
    /// `waiting`, `running`, `stopping`, `completed`, `failed`, `interrupted` or `unclear`.
    pub status: String,
    /// The same, once nothing more can happen.
    #[serde(default)]
    pub terminal_status: Option<String>,
    /// It has run to its end.
    pub completed: bool,
    /// What went wrong, by name.
    #[serde(default)]
    pub failure_kind: Option<FailureKind>,
    /// What went wrong, in words.
    #[serde(default)]
    pub failure_message: Option<String>,
    /// What the model said last, if it said anything.
    #[serde(default)]
    pub reply: Option<String>,
    /// The beginning of its input, on one line.
    pub beginning: String,
    /// When it was accepted.
    #[serde(with = "rfc3339")]
    pub accepted_at: SystemTime,
    /// When it was begun, while it runs.
    #[serde(with = "rfc3339::option", default)]
    pub started_at: Option<SystemTime>,
    /// When it came to its state.
    #[serde(with = "rfc3339")]
    pub changed_at: SystemTime,
}

/// What interrupting a turn has come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnInterrupted {
    /// The turn as it is now.
    pub turn: TurnResult,
    /// `ends`, `withdrawn`, or `was-over`.
    pub outcome: String,
}

impl SessionStatus {
    fn of(record: SessionRecord) -> Self {
        let state = record.state.as_str().to_owned();
        let failure = match record.state {
            SessionState::Failed { kind, message } => Some(SessionFailure { kind, message }),
            SessionState::Opening | SessionState::Active | SessionState::Closed => None,
        };
        let (model, model_provider) = match record.effective {
            Some(effective) => (Some(effective.model), Some(effective.model_provider)),
            None => (None, None),
        };
        Self {
            id: record.id,
            dispatcher: record.dispatcher,
            state,
            failure,
            began: record.began.as_str().to_owned(),
            thread: record.thread,
            lane: (record.began != Began::Registered).then_some(record.lane),
            purpose: record.purpose,
            metadata: record.metadata,
            ephemeral: record.is_ephemeral,
            model,
            model_provider,
            created_at: record.created_at,
            changed_at: record.changed_at,
        }
    }
}

impl TurnResult {
    fn of(session: &SessionRecord, turn: SessionTurn) -> Self {
        let SessionTurn {
            record,
            report,
            open,
        } = turn;
        let is_stopping = open.as_ref().is_some_and(|open| open.stop.is_some());
        let (status, failure_kind) = match &record.state {
            TaskState::Waiting => ("waiting", None),
            TaskState::InTurn if is_stopping => ("stopping", None),
            TaskState::InTurn => ("running", None),
            TaskState::Done => ("completed", None),
            TaskState::Failed { kind } => ("failed", Some(*kind)),
            TaskState::Stopped => ("interrupted", None),
            TaskState::Unclear => ("unclear", None),
        };
        let (reply, failure_message) = match report {
            Some(report) if report.status == CompletionStatus::Ok => (Some(report.body), None),
            Some(report) => (None, Some(report.body)),
            None => (None, None),
        };
        let something = |text: &String| !text.is_empty();
        let codex_turn = open.as_ref().and_then(|open| open.codex_turn.clone());
        Self {
            turn: record.id,
            session: session.id,
            thread: record.thread.or_else(|| session.thread.clone()),
            codex_turn: record.codex_turn.or(codex_turn),
            status: status.to_owned(),
            terminal_status: record.state.is_settled().then(|| status.to_owned()),
            completed: record.state == TaskState::Done,
            failure_kind,
            failure_message: failure_message.filter(something),
            reply: reply.filter(something),
            beginning: record.beginning,
            accepted_at: record.given_at,
            started_at: open.map(|open| open.opened_at),
            changed_at: record.changed_at,
        }
    }
}

// === The routes ===

impl Wanted for NewSession {
    const HINT: &'static str = "{\"purpose\": \"…\", \"metadata\": {}}; also `thread`, `mode`, `model`, \
                                `model_provider`, `sandbox`, `approval_policy`, `base_instructions`, \
                                `developer_instructions`, `service_tier`, `personality`, `ephemeral`, \
                                `config` and `cwd`; all may be left out";
}

/// Opens one.
pub(super) async fn open(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
    key: Key,
    wanted: Result<Body<NewSession>, ApiError>,
) -> Result<Done<SessionStatus>, ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Body(wanted) = wanted?;
    let key = key.of(handle.id(), "session", &wanted);
    let beginning = match (wanted.mode.unwrap_or(Mode::Open), wanted.thread) {
        (Mode::Open, None) => Beginning::Create,
        (Mode::Open, Some(thread)) => Beginning::Resume(thread),
        (Mode::Registered, Some(thread)) => Beginning::Register(thread),
        (Mode::Registered, None) => {
            return Err(ApiError::new(
                Code::BadRequest,
                "a session that is only registered has no thread",
                "name the `thread` that somebody else works with",
            ));
        }
    };
    let wish = SessionWish {
        beginning,
        purpose: wanted.purpose,
        metadata: wanted.metadata,
        options: wanted.options,
    };
    let once = handle.open_session(wish, key).await;
    let (id, is_replayed) = match once.map_err(|error| refused(&error))? {
        Once::New(session) => (session.id, false),
        Once::Repeated { made } => (made_id(&made)?, true),
    };
    let session = handle.session_opened(id, OPENED_WITHIN).await;
    let session = session.map_err(|error| not_done(&error))?;
    Ok(Done {
        status: StatusCode::CREATED,
        body: SessionStatus::of(session),
        is_replayed,
    })
}

/// Which sessions are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    dispatcher: Option<String>,
    state: Option<String>,
    purpose: Option<String>,
}

impl Wanted for Listing {
    const HINT: &'static str =
        "`dispatcher`, `state` (opening, active, failed or closed) and `purpose` choose among them";
}

/// Tells which there are.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Asked<Listing>, ApiError>,
) -> Result<Json<Sessions>, ApiError> {
    let Asked(wanted) = wanted?;
    let states = ["opening", "active", "failed", "closed"];
    if let Some(state) = wanted.state.as_deref().filter(|it| !states.contains(it)) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("there is no state {state:?}"),
            Listing::HINT,
        ));
    }
    let handles: Vec<&Handle> = match &wanted.dispatcher {
        Some(name) => vec![api.dispatcher(name)?],
        None => api.dispatchers.values().collect(),
    };
    let mut sessions = Vec::new();
    for handle in handles {
        let listed = handle.list_sessions().await;
        let listed = listed.map_err(|error| not_done(&error))?;
        sessions.extend(listed.into_iter().map(SessionStatus::of));
    }
    sessions.retain(|session| {
        wanted.state.as_ref().is_none_or(|it| *it == session.state)
            && (wanted.purpose.is_none() || wanted.purpose == session.purpose)
    });
    sessions.sort_by_key(|session| std::cmp::Reverse(session.id));
    Ok(Json(Sessions { sessions }))
}

/// Tells how one is.
pub(super) async fn read(
    State(api): State<Api>,
    Segments(id): Segments<String>,
) -> Result<Json<SessionStatus>, ApiError> {
    let (_, session) = known(&api, &id).await?;
    Ok(Json(SessionStatus::of(session)))
}

impl Wanted for ChangedSession {
    const HINT: &'static str = "{\"purpose\": \"…\", \"metadata\": {\"key\": \"value\"}}; what is left out \
                                stays, and `metadata` is replaced as a whole";
}

/// Changes what one is for, and what its program remembers.
pub(super) async fn change(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    wanted: Result<Body<ChangedSession>, ApiError>,
) -> Result<Json<SessionStatus>, ApiError> {
    let (handle, session) = known(&api, &id).await?;
    let Body(ChangedSession { purpose, metadata }) = wanted?;
    let change = SessionChange { purpose, metadata };
    let changed = handle.change_session(session.id, change).await;
    let changed = changed.map_err(|error| not_done(&error))?;
    Ok(Json(SessionStatus::of(changed)))
}

/// Closes one.
pub(super) async fn close(
    State(api): State<Api>,
    Segments(id): Segments<String>,
) -> Result<Json<SessionEnded>, ApiError> {
    let (handle, session) = known(&api, &id).await?;
    let closed = handle.close_session(session.id).await;
    let closed = closed.map_err(|error| not_done(&error))?;
    Ok(Json(SessionEnded {
        session: SessionStatus::of(closed.session),
        was_running: closed.was_running,
        withdrawn: closed.withdrawn as u64,
    }))
}

impl Wanted for NewTurn {
    const HINT: &'static str = "{\"input\": \"…\"}, or a list of parts; also `model`, `effort`, `cwd`, \
                                `sandbox_policy`, `approval_policy`, `service_tier`, `personality`, \
                                `summary`, `output_schema` and `collaboration_mode` for this turn, or \
                                `expected_turn` to add to the one that runs";
    const WHEN_TOO_LARGE: &'static str =
        "put what is long into a file in the workspace, and name that in the input";
}

/// Gives one a turn, or adds to the one that runs.
pub(super) async fn give(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    key: Key,
    wanted: Result<Body<NewTurn>, ApiError>,
) -> Result<Done<TurnReceipt>, ApiError> {
    let (handle, session) = known(&api, &id).await?;
    let Body(wanted) = wanted?;
    let key = key.of(handle.id(), "turn", &(session.id, &wanted));
    if let Some(expected) = &wanted.expected_turn {
        if key.is_some() {
            return Err(ApiError::new(
                Code::BadRequest,
                "what is added to a turn that runs has no idempotency key: codex knows none",
                "leave the header out, and look at the turn before you repeat it",
            ));
        }
        if wanted.options != TurnOptions::default() {
            return Err(ApiError::new(
                Code::BadRequest,
                "a turn that runs keeps its options: `expected_turn` goes with `input` alone",
                "leave the options out, or give a turn of its own without `expected_turn`",
            ));
        }
        let steered = handle.steer_turn(session.id, expected, wanted.input).await;
        let turn = steered.map_err(|error| refused(&error))?;
        return Ok(Done {
            status: StatusCode::ACCEPTED,
            body: TurnReceipt {
                accepted: true,
                session: session.id,
                turn,
                status: "running".to_owned(),
                before: None,
                steered: true,
            },
            is_replayed: false,
        });
    }
    let once = handle
        .give_turn(session.id, wanted.input, wanted.options, key)
        .await;
    let (turn, before, is_replayed) = match once.map_err(|error| refused(&error))? {
        Once::New(accepted) => (accepted.turn.id, Some(accepted.before as u64), false),
        Once::Repeated { made } => (made_id(&made)?, None, true),
    };
    let status = match is_replayed {
        false => "waiting".to_owned(),
        true => match handle.session_turn(&session, turn, Duration::ZERO).await {
            Ok(turn) => TurnResult::of(&session, turn).status,
            // It was, and is remembered no longer.
            Err(LedgerError::Session(SessionError::UnknownTurn { .. })) => "forgotten".to_owned(),
            Err(error) => return Err(not_done(&error)),
        },
    };
    Ok(Done {
        status: StatusCode::ACCEPTED,
        body: TurnReceipt {
            accepted: true,
            session: session.id,
            turn,
            status,
            before,
            steered: false,
        },
        is_replayed,
    })
}

/// Tells which turns one has and had.
pub(super) async fn turns(
    State(api): State<Api>,
    Segments(id): Segments<String>,
) -> Result<Json<Turns>, ApiError> {
    let (handle, session) = known(&api, &id).await?;
    let turns = handle.session_turns(&session).await;
    let turns = turns.map_err(|error| not_done(&error))?;
    let turns = turns.into_iter().map(|turn| TurnResult {
        // Each may be long: they are asked for one by one.
        reply: None,
        ..TurnResult::of(&session, turn)
    });
    Ok(Json(Turns {
        turns: turns.collect(),
    }))
}

/// How a turn can be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    wait: Option<String>,
}

impl Wanted for Waiting {
    const HINT: &'static str = "`wait` is how long to wait for its end: 30s, at most 60s";
}

/// Tells how a turn is, and what came of it.
pub(super) async fn turn(
    State(api): State<Api>,
    Segments((id, turn)): Segments<(String, String)>,
    wanted: Result<Asked<Waiting>, ApiError>,
) -> Result<Json<TurnResult>, ApiError> {
    let (handle, session) = known(&api, &id).await?;
    let Asked(Waiting { wait }) = wanted?;
    let wait = match wait.as_deref().map(humantime::parse_duration) {
        None => Duration::ZERO,
        Some(Ok(wait)) if wait <= LONGEST_WAIT => wait,
        Some(Ok(_) | Err(_)) => {
            return Err(ApiError::new(
                Code::BadRequest,
                "the query is not understood: `wait` is no such time",
                Waiting::HINT,
            ));
        }
    };
    let turn = turn_id(&session, &turn)?;
    let turn = handle.session_turn(&session, turn, wait).await;
    let turn = turn.map_err(|error| not_done(&error))?;
    Ok(Json(TurnResult::of(&session, turn)))
}

/// Has a turn end, or not begin.
pub(super) async fn interrupt(
    State(api): State<Api>,
    Segments((id, turn)): Segments<(String, String)>,
) -> Result<Json<TurnInterrupted>, ApiError> {
    let (handle, session) = known(&api, &id).await?;
    let turn = turn_id(&session, &turn)?;
    let stopped = handle.interrupt_turn(&session, turn).await;
    let outcome = match stopped.map_err(|error| not_done(&error))? {
        TurnStopped::Ends => "ends",
        TurnStopped::Withdrawn => "withdrawn",
        TurnStopped::WasOver => "was-over",
    };
    let turn = handle.session_turn(&session, turn, Duration::ZERO).await;
    let turn = turn.map_err(|error| not_done(&error))?;
    Ok(Json(TurnInterrupted {
        turn: TurnResult::of(&session, turn),
        outcome: outcome.to_owned(),
    }))
}

/// Returns a session by its name, and whose it is.
async fn known<'a>(api: &'a Api, id: &str) -> Result<(&'a Handle, SessionRecord), ApiError> {
    if let Ok(id) = id.parse() {
        for handle in api.dispatchers.values() {
            let found = handle.find_session(id).await;
            if let Some(session) = found.map_err(|error| not_done(&error))? {
                return Ok((handle, session));
            }
        }
    }
    Err(ApiError::new(
        Code::UnknownSession,
        format!("there is no session {id:?}"),
        "`tieline sessions` lists them; one that is over is remembered for 30 days",
    ))
}

fn turn_id(session: &SessionRecord, turn: &str) -> Result<TaskId, ApiError> {
    turn.parse().map_err(|_| {
        ApiError::new(
            Code::UnknownTurn,
            format!("session {} has no turn {turn:?}", session.id),
            TURNS,
        )
    })
}

/// What to do about a turn that is not there.
const TURNS: &str =
    "`tieline sessions show` lists its turns; the last 100 that are over are remembered";

fn made_id<T: std::str::FromStr>(made: &str) -> Result<T, ApiError> {
    made.parse().map_err(|_| {
        ApiError::new(
            Code::LedgerUnavailable,
            format!("what was made under the key, {made:?}, is nothing that is known"),
            "give the order again under a new key",
        )
    })
}

/// Says why something was not done, and what to do.
fn refused(error: &SessionWishError) -> ApiError {
    let (code, hint) = match error {
        SessionWishError::Ledger(error) => return not_done(error),
        SessionWishError::Options(OptionsError::Sandbox { .. } | OptionsError::Key { .. }) => (
            Code::BadRequest,
            "leave it out: a session has what the dispatcher has",
        ),
        SessionWishError::Options(OptionsError::Directory { .. }) => (
            Code::BadRequest,
            "`cwd` is a directory that is there, below the dispatcher's workspace",
        ),
        SessionWishError::Options(OptionsError::Input(_)) => (
            Code::BadRequest,
            "`input` is a text, or a list of parts, of which one is a text or an image",
        ),
        SessionWishError::Options(_) => {
            (Code::BadRequest, "see docs/sessions.md for what it can be")
        }
        SessionWishError::EphemeralThread => (Code::BadRequest, "leave one of the two out"),
        SessionWishError::TurnMismatch { .. } => (
            Code::TurnMismatch,
            "look at the session's turns; without `expected_turn` it becomes a turn of its own",
        ),
        SessionWishError::Refused(_) => (
            Code::CodexRefused,
            "give it as a turn of its own, without `expected_turn`",
        ),
        SessionWishError::Unclear(_) => (
            Code::CodexUnavailable,
            "look at what the turn comes to before you repeat it",
        ),
        SessionWishError::NotYet => (
            Code::CodexUnavailable,
            "try again; `tieline status` says how codex is",
        ),
    };
    ApiError::new(code, WithCauses(error).to_string(), hint)
}

fn not_done(error: &LedgerError) -> ApiError {
    let (code, hint) = match error {
        LedgerError::KeyReused { key } => return reused(key),
        LedgerError::TooLarge { .. } => (Code::BadRequest, "make it shorter"),
        LedgerError::Session(error) => match error {
            SessionError::Unknown { .. } => (Code::UnknownSession, "`tieline sessions` lists them"),
            SessionError::NotActive { .. } => (
                Code::SessionNotActive,
                "open another one; with `thread` it goes on where this one was",
            ),
            SessionError::WrongMode { .. } | SessionError::NotTold { .. } => (
                Code::WrongMode,
                "close it and open one with its `thread`, once nobody else works with that",
            ),
            SessionError::NoThread { .. } => (
                Code::NoThread,
                "wait until it is active; a turn without `expected_turn` waits by itself",
            ),
            SessionError::TooMany { .. } => {
                (Code::TooMany, "close sessions that are not needed any more")
            }
            SessionError::ThreadTaken { .. } => (
                Code::ThreadTaken,
                "use the session that has it, or close it",
            ),
            SessionError::Overworked { .. } => (Code::TooMany, "wait until some of them are over"),
            SessionError::UnknownTurn { .. } => (Code::UnknownTurn, TURNS),
        },
        _ => (
            Code::LedgerUnavailable,
            "look with `tieline sessions` what was done before you repeat it; `tieline status` says how \
             the ledger is",
        ),
    };
    ApiError::new(code, WithCauses(error).to_string(), hint)
}
