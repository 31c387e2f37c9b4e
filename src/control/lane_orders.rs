//! What is ordered about a lane: `/v1/lanes/{id}/stop`, `/v1/lanes/{id}/orders` and
//! `/v1/lanes/{id}/threads`. The name of a lane is one segment of the path: its slashes are written `%2F`.
//!
//! An order is taken at once and carried out when the lane is idle, before its next turn. Its people are
//! told what came of it; `threads` shows what it has changed.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::control::body::{Asked, Body, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::key::{self, Done, Key};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::dispatcher::{Handle, LaneError, LaneThreads};
use crate::id::{LaneId, ThreadId};
use crate::intake::may_be_model;
use crate::ledger::{
    KeptThread, LaneWish, LedgerError, MAX_ORDERS, Once, OrderRefusal, Stopped, StoppedTurn, Which,
};

/// What is wanted of a lane's thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLaneOrder {
    /// What is to be done.
    #[serde(rename = "do")]
    pub action: LaneAction,
    /// The thread to go back to, for `resume`: its number in the lane, or Codex's name of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The model, for `model`; `default` goes back to the one of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What can be done with a lane's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneAction {
    /// The next turn begins in a new one.
    New,
    /// The lane goes back to an earlier one.
    Resume,
    /// The lane goes on in a copy.
    Fork,
    /// Its history is shortened.
    Compact,
    /// Its turns are run by another model.
    Model,
}

/// An order that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOrderTaken {
    /// Its name.
    pub order: String,
    /// The lane.
    pub lane: LaneId,
    /// A turn runs, and the order is carried out when that is over.
    pub waits_for_turn: bool,
}

/// What a stop has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStopped {
    /// `stopping`: it ends; `stopping_already`: somebody had stopped it before; `none`: nothing ran.
    pub turn: String,
    /// How many messages still wait.
    pub waiting: usize,
    /// How many messages waited and will not be worked on.
    pub withdrawn: usize,
}

/// The threads of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneThreadsStatus {
    /// Those that had a turn, used last first.
    pub threads: Vec<ThreadStatus>,
    /// The model that somebody named, if the lane has not gone back to that of the configuration.
    #[serde(default)]
    pub model: Option<String>,
    /// How many orders wait.
    pub orders: usize,
}

/// A thread that a lane has or can go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadStatus {
    /// Its number in the lane.
    pub number: u32,
    /// Codex's name of it.
    pub thread: ThreadId,
    /// The lane goes on in it.
    pub present: bool,
    /// The number of the one that it is a copy of.
    #[serde(default)]
    pub copy_of: Option<u32>,
    /// The beginning of its first message, on one line.
    pub beginning: String,
    /// When it had its first turn.
    #[serde(with = "rfc3339")]
    pub begun_at: SystemTime,
    /// When it had its last turn.
    #[serde(with = "rfc3339")]
    pub used_at: SystemTime,
}

impl LaneThreadsStatus {
    fn of(found: LaneThreads) -> Self {
        let present = found.present;
        let status = |kept: KeptThread| ThreadStatus {
            present: Some(&kept.thread) == present.as_ref(),
            number: kept.number,
            thread: kept.thread,
            copy_of: kept.copy_of,
            beginning: kept.beginning,
            begun_at: kept.begun_at,
            used_at: kept.used_at,
        };
        Self {
            threads: found.kept.into_iter().map(status).collect(),
            model: found.model.and_then(|model| model.chosen),
            orders: found.orders,
        }
    }
}

impl LaneStopped {
    fn of(stopped: &Stopped) -> Self {
        let turn = match stopped.turn {
            StoppedTurn::Ends => "stopping",
            StoppedTurn::Ended => "stopping_already",
            StoppedTurn::None | StoppedTurn::OfOthers => "none",
        };
        Self {
            turn: turn.to_owned(),
            waiting: stopped.waiting,
            withdrawn: stopped.withdrawn.len(),
        }
    }
}

// === The routes ===

impl Wanted for NewLaneOrder {
    const HINT: &'static str = "{\"do\": \"new\"}, {\"do\": \"resume\", \"thread\": \"2\"}, {\"do\": \"fork\"}, \
                                {\"do\": \"compact\"} or {\"do\": \"model\", \"model\": \"NAME\"}";
}

/// Takes an order for a lane.
pub(super) async fn order(
    State(api): State<Api>,
    Segments(lane): Segments<String>,
    key: Key,
    wanted: Result<Body<NewLaneOrder>, ApiError>,
) -> Result<Done<LaneOrderTaken>, ApiError> {
    let (handle, lane) = find(&api, lane)?;
    let Body(wanted) = wanted?;
    let key = key.of(handle.id(), "lane-order", &(&lane, &wanted));
    let wish = wanted.wish()?;
    let ordered = handle.order_lane(&lane, wish, key).await;
    let (order, waits_for_turn) = ordered.map_err(|error| refused(&error))?;
    let (order, is_replayed) = match order {
        Once::New(id) => (id.to_string(), false),
        Once::Repeated { made } => (made, true),
    };
    Ok(Done {
        status: StatusCode::ACCEPTED,
        body: LaneOrderTaken {
            order,
            lane,
            waits_for_turn,
        },
        is_replayed,
    })
}

/// What can be asked of a stop.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stopping {
    #[serde(default)]
    all: bool,
}

impl Wanted for Stopping {
    const HINT: &'static str = "`all` is true or false";
}

/// Ends what a lane is at.
pub(super) async fn stop(
    State(api): State<Api>,
    Segments(lane): Segments<String>,
    wanted: Result<Asked<Stopping>, ApiError>,
) -> Result<Json<LaneStopped>, ApiError> {
    let (handle, lane) = find(&api, lane)?;
    let Asked(Stopping { all }) = wanted?;
    let stopped = handle.stop_lane(&lane, all).await;
    let stopped = stopped.map_err(|error| refused(&error))?;
    Ok(Json(LaneStopped::of(&stopped)))
}

/// Tells the threads of a lane.
pub(super) async fn threads(
    State(api): State<Api>,
    Segments(lane): Segments<String>,
) -> Result<Json<LaneThreadsStatus>, ApiError> {
    let (handle, lane) = find(&api, lane)?;
    let found = handle.threads_of(&lane).await;
    let found = found.map_err(|error| refused(&error))?;
    Ok(Json(LaneThreadsStatus::of(found)))
}

impl NewLaneOrder {
    fn wish(&self) -> Result<LaneWish, ApiError> {
        let wrong =
            |what: String| ApiError::new(Code::BadRequest, what, format!("send {}", Self::HINT));
        match (self.action, &self.thread, &self.model) {
            (LaneAction::New, None, None) => Ok(LaneWish::New),
            (LaneAction::Fork, None, None) => Ok(LaneWish::Fork),
            (LaneAction::Compact, None, None) => Ok(LaneWish::Compact),
            (LaneAction::Resume, Some(thread), None) => Ok(LaneWish::Resume {
                which: match thread.parse() {
                    Ok(number) => Which::Number(number),
                    Err(_) if !thread.is_empty() && thread.len() <= MAX_THREAD => {
                        Which::Thread(ThreadId::new(thread.as_str()))
                    }
                    Err(_) => return Err(wrong(format!("{thread:?} is no thread"))),
                },
            }),
            (LaneAction::Resume, None, None) => Err(wrong("`thread` is missing".to_owned())),
            (LaneAction::Model, None, Some(model)) => match model.as_str() {
                "default" => Ok(LaneWish::Model { name: None }),
                name if may_be_model(name) => Ok(LaneWish::Model {
                    name: Some(name.to_owned()),
                }),
                name => Err(wrong(format!("{name:?} is no name of a model"))),
            },
            (LaneAction::Model, None, None) => Err(wrong("`model` is missing".to_owned())),
            (_, Some(_), _) => Err(wrong("`thread` is for `resume` alone".to_owned())),
            (_, _, Some(_)) => Err(wrong("`model` is for `model` alone".to_owned())),
        }
    }
}

/// How long the name of a thread may be, in bytes.
const MAX_THREAD: usize = 200;

/// Returns a lane and its dispatcher, which the name begins with.
fn find(api: &Api, lane: String) -> Result<(&Handle, LaneId), ApiError> {
    let dispatcher = lane.split('/').next().unwrap_or_default();
    let lane = LaneId::new(lane.as_str());
    match api.dispatcher(dispatcher) {
        Ok(handle) => Ok((handle, lane)),
        Err(_) => Err(refused(&LaneError::Unknown(lane))),
    }
}

fn refused(error: &LaneError) -> ApiError {
    let (code, hint) = match error {
        LaneError::Unknown(_) => (
            Code::UnknownLane,
            "`tieline status` names the lanes; in a path the slashes of a name are written %2F".to_owned(),
        ),
        LaneError::Refused(OrderRefusal::TooMany) => (
            Code::TooMany,
            format!("{MAX_ORDERS} may wait; they are carried out when the turn that runs is over"),
        ),
        LaneError::Refused(OrderRefusal::Teammate) => (
            Code::OfTeammate,
            "a teammate is stopped and closed by `tieline teammates`; for another thread, have another \
             one join"
                .to_owned(),
        ),
        LaneError::Refused(OrderRefusal::Session) => (
            Code::WrongMode,
            "its program ends its turns, and closes it: `tieline sessions`".to_owned(),
        ),
        LaneError::Ledger(LedgerError::KeyReused { key }) => return key::reused(key),
        LaneError::Ledger(_) => (
            Code::LedgerUnavailable,
            "nothing has changed; `tieline status` says how the ledger is".to_owned(),
        ),
    };
    ApiError::new(code, error.to_string(), hint)
}
