//! The lanes: `/v1/lanes` and `/v1/lanes/{id}`.
//!
//! The name of a lane has slashes, and is one segment of the path: each is written as `%2F`.

use std::collections::HashMap;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, ChatId, ThreadKey, UserId};

use crate::control::body::{Asked, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::messages::preview;
use crate::control::server::Api;
use crate::control::status::{LaneStatus, LastTurn, OpenTurn, rfc3339};
use crate::id::{DispatcherId, LaneId, MessageId, TeammateId, ThreadId};
use crate::ledger::{LaneRecord, Ledger, LedgerError, MessageRecord, MessageState, SettledTurn};

/// How many messages that wait are told.
const MAX_QUEUE: usize = 100;

/// The lanes, by name, those at work first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lanes {
    /// One each.
    pub lanes: Vec<LaneOverview>,
}

/// A lane at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneOverview {
    /// Whose lane it is.
    pub dispatcher: DispatcherId,
    /// How it is.
    #[serde(flatten)]
    pub lane: LaneStatus,
    /// When a message was last accepted, or a turn opened or settled.
    #[serde(with = "rfc3339")]
    pub used_at: SystemTime,
}

/// A lane, what waits in it, and what it has lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneDetails {
    /// How it is.
    #[serde(flatten)]
    pub lane: LaneOverview,
    /// Where its newest message came from.
    #[serde(default)]
    pub last_from: Option<ConversationStatus>,
    /// The messages that wait, in the order in which they will be taken; the first hundred.
    pub queue: Vec<QueuedMessage>,
    /// How many messages wait.
    pub waiting_messages: u64,
    /// How many results of work wait to be brought up.
    pub waiting_completions: u64,
    /// How many tasks wait, on the lane of a teammate.
    pub waiting_tasks: u64,
    /// Until when results of work wait because turns for them have failed.
    #[serde(with = "rfc3339::option", default)]
    pub held_until: Option<SystemTime>,
    /// The threads that it had before and lost, oldest first.
    pub lost_threads: Vec<LostThreadStatus>,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationStatus {
    /// The channel.
    pub channel: ChannelId,
    /// The chat on it.
    pub chat: ChatId,
    /// The thread in that.
    #[serde(default)]
    pub thread: Option<ThreadKey>,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMessage {
    /// 1 is next.
    pub place: u64,
    /// Our name of it.
    pub id: MessageId,
    /// Who wrote it.
    pub sender: UserId,
    /// Their name, if the platform told it.
    #[serde(default)]
    pub sender_name: Option<String>,
    /// The beginning of its text.
    pub text: String,
    /// When it arrived.
    #[serde(with = "rfc3339")]
    pub received_at: SystemTime,
}

/// A thread that could not be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostThreadStatus {
    /// Which it was.
    pub thread: ThreadId,
    /// When it was found lost.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    /// Why.
    pub reason: String,
}

impl LaneStatus {
    /// Tells how a lane is; `names` are those of teammates.
    pub fn of(lane: LaneRecord, names: &HashMap<TeammateId, String>) -> Self {
        let waiting = lane.inputs();
        let state = match (&lane.open, waiting) {
            (Some(open), _) if open.approvals > 0 => "waits for approval",
            (Some(_), _) => "in turn",
            (None, 0) => "idle",
            (None, _) => "waiting",
        };
        Self {
            id: lane.id,
            teammate: lane.owner.teammate().and_then(|id| names.get(&id).cloned()),
            session: lane.owner.session(),
            thread: lane.thread,
            state: state.to_owned(),
            waiting: waiting as u64,
            last_turn: lane.last.map(last_turn),
            open_turn: lane.open.map(|open| OpenTurn {
                id: open.key,
                started_at: open.opened_at,
                approvals: open.approvals,
            }),
        }
    }
}

impl LaneOverview {
    fn of(lane: LaneRecord, names: &HashMap<TeammateId, String>) -> Self {
        Self {
            dispatcher: lane.dispatcher.clone(),
            used_at: lane.used_at,
            lane: LaneStatus::of(lane, names),
        }
    }
}

impl QueuedMessage {
    fn of(index: usize, record: MessageRecord) -> Self {
        Self {
            place: index as u64 + 1,
            id: record.id,
            text: preview(&record.message),
            sender: record.message.sender.id,
            sender_name: record.message.sender.name,
            received_at: record.received_at,
        }
    }
}

fn last_turn(last: SettledTurn) -> LastTurn {
    let (outcome, failure) = match last.state {
        MessageState::Answered => ("answered", None),
        MessageState::Failed { kind } => ("failed", Some(kind)),
        MessageState::Cancelled => ("cancelled", None),
        MessageState::Queued
        | MessageState::InTurn
        | MessageState::Unclear
        | MessageState::Refused { .. } => ("unclear", None),
    };
    LastTurn {
        id: last.key,
        outcome: outcome.to_owned(),
        failure: failure.map(|kind| kind.to_string()),
        cause: last.cause,
        settled_at: last.at,
    }
}

// === The routes ===

/// Which lanes are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    dispatcher: Option<String>,
    state: Option<String>,
}

impl Wanted for Which {
    const HINT: &'static str = "`dispatcher` is a name of the configuration, `state` is in_turn, waits_for_approval, \
                                waiting or idle; both may be left out";
}

/// Tells how the lanes are.
pub(super) async fn list(
    State(api): State<Api>,
    which: Result<Asked<Which>, ApiError>,
) -> Result<Json<Lanes>, ApiError> {
    let Asked(Which { dispatcher, state }) = which?;
    let state = state.map(|state| state.replace('_', " "));
    if let Some(state) = &state
        && !["in turn", "waits for approval", "waiting", "idle"].contains(&state.as_str())
    {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("no lane is ever {state:?}"),
            Which::HINT,
        ));
    }
    let ids: Vec<&DispatcherId> = match &dispatcher {
        Some(name) => vec![api.dispatcher(name)?.id()],
        None => api.dispatchers.keys().collect(),
    };
    let mut lanes = Vec::new();
    for id in ids {
        let names = teammates(&api.ledger, id).await?;
        let records = api.ledger.lanes(id).await;
        let records = records.map_err(|error| not_read(&error))?;
        lanes.extend(records.into_iter().map(|it| LaneOverview::of(it, &names)));
    }
    lanes.retain(|it| state.as_ref().is_none_or(|state| it.lane.state == *state));
    lanes.sort_by(|a, b| {
        let key = |it: &LaneOverview| (it.lane.open_turn.is_none(), it.lane.waiting == 0);
        key(a).cmp(&key(b)).then_with(|| a.lane.id.cmp(&b.lane.id))
    });
    Ok(Json(Lanes { lanes }))
}

/// Tells how one is, what waits in it, and what it has lost.
pub(super) async fn read(
    State(api): State<Api>,
    Segments(lane): Segments<String>,
) -> Result<Json<LaneDetails>, ApiError> {
    let id = LaneId::new(&*lane);
    let record = api.ledger.lane(&id).await;
    let record = record.map_err(|error| not_read(&error))?.ok_or_else(|| {
        ApiError::new(
            Code::UnknownLane,
            format!("there is no lane {lane:?}"),
            "`tieline lanes` lists them; in a path, the slashes of a name are written as %2F",
        )
    })?;
    let names = teammates(&api.ledger, &record.dispatcher).await?;
    let queue = api.ledger.waiting(&id, MAX_QUEUE).await;
    let queue = queue.map_err(|error| not_read(&error))?;
    let last_from = record.last_from.clone().map(|origin| ConversationStatus {
        channel: origin.channel,
        chat: origin.conversation.chat,
        thread: origin.conversation.thread,
    });
    Ok(Json(LaneDetails {
        last_from,
        queue: queue
            .into_iter()
            .enumerate()
            .map(|(index, record)| QueuedMessage::of(index, record))
            .collect(),
        waiting_messages: record.waiting as u64,
        waiting_completions: record.arrived as u64,
        waiting_tasks: record.assigned as u64,
        held_until: record.hold.map(|hold| hold.until),
        lost_threads: record
            .lost
            .iter()
            .map(|lost| LostThreadStatus {
                thread: lost.thread.clone(),
                at: lost.at,
                reason: lost.reason.clone(),
            })
            .collect(),
        lane: LaneOverview::of(record, &names),
    }))
}

async fn teammates(
    ledger: &Ledger,
    dispatcher: &DispatcherId,
) -> Result<HashMap<TeammateId, String>, ApiError> {
    let records = ledger.teammates(dispatcher).await;
    let records = records.map_err(|error| not_read(&error))?;
    Ok(records.into_iter().map(|it| (it.id, it.name)).collect())
}

fn not_read(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        format!("the lanes cannot be read: {error}"),
        "`tieline status` says how the ledger is",
    )
}
