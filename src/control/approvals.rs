//! What the model wants and people decide: `/v1/approvals`, and deciding at the machine.
//!
//! Times are as in [`status`](super::status).

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, ChatId, ThreadKey};

use crate::control::body::{Asked, Body, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::id::{ApprovalId, DispatcherId, LaneId};
use crate::ledger::{
    ApprovalRecord, ApprovalState, Decider, Decision, LedgerError, Ruled, VoidReason,
};

/// How many approvals are told at most.
pub const MAX_APPROVALS: usize = 1_000;

/// How many are told when nobody says how many.
const SOME: usize = 100;

/// Approvals, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// One each.
    pub approvals: Vec<ApprovalStatus>,
}

/// An approval at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalStatus {
    /// Our name of it.
    pub id: ApprovalId,
    /// Whose model wants it.
    pub dispatcher: DispatcherId,
    /// The lane.
    pub lane: LaneId,
    /// The teammate that wants it.
    #[serde(default)]
    pub teammate: Option<String>,
    /// Where people are asked.
    pub channel: ChannelId,
    /// The chat.
    pub chat: ChatId,
    /// The thread in it.
    #[serde(default)]
    pub thread: Option<ThreadKey>,
    /// What it is called there.
    pub number: u32,
    /// `command`, `input`, `file_change`, `permissions` or `mcp_tool`.
    pub kind: String,
    /// What is wanted, or a part of it.
    pub what: String,
    /// That is only a part of it: all of it was posted where people are asked.
    pub is_cut: bool,
    /// In which directory.
    #[serde(default)]
    pub place: Option<String>,
    /// Why, in the words of the model.
    #[serde(default)]
    pub reason: Option<String>,
    /// It can be accepted for the session.
    pub for_session: bool,
    /// `open`, `decided`, `expired` or `void`.
    pub state: String,
    /// What codex was answered: `accept`, `accept_for_session`, `decline` or `cancel`.
    #[serde(default)]
    pub decision: Option<String>,
    /// Who has decided: `operator`, or `CHANNEL:USER`.
    #[serde(default)]
    pub by: Option<String>,
    /// The name people see of whoever has decided, if the platform told it.
    #[serde(default)]
    pub by_name: Option<String>,
    /// Why there was nothing to decide any more: `turn_ended`, `stopped`, `restarted`, `codex_lost` or
    /// `withdrawn`.
    #[serde(default)]
    pub void: Option<String>,
    /// When it was asked for.
    #[serde(with = "rfc3339")]
    pub asked_at: SystemTime,
    /// Until when people may decide.
    #[serde(with = "rfc3339")]
    pub expires_at: SystemTime,
    /// When it was settled.
    #[serde(with = "rfc3339::option", default)]
    pub settled_at: Option<SystemTime>,
}

/// What somebody decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDecision {
    /// `accept`, `accept_for_session`, `decline` or `cancel`.
    pub decision: String,
}

impl From<ApprovalRecord> for ApprovalStatus {
    fn from(record: ApprovalRecord) -> Self {
        let (by, by_name, void, settled_at) = match &record.state {
            ApprovalState::Open => (None, None, None, None),
            ApprovalState::Decided { by, at, .. } => match by {
                Decider::Operator => (Some("operator".to_owned()), None, None, Some(*at)),
                Decider::Person {
                    channel,
                    user,
                    name,
                } => (
                    Some(format!("{channel}:{user}")),
                    name.clone(),
                    None,
                    Some(*at),
                ),
            },
            ApprovalState::Expired { at } => (None, None, None, Some(*at)),
            ApprovalState::Void { reason, at } => {
                let reason = match reason {
                    VoidReason::TurnEnded => "turn_ended",
                    VoidReason::Stopped => "stopped",
                    VoidReason::Restarted => "restarted",
                    VoidReason::CodexLost => "codex_lost",
                    VoidReason::Withdrawn => "withdrawn",
                };
                (None, None, Some(reason.to_owned()), Some(*at))
            }
        };
        let verdict = record.state.verdict().map(Decision::as_str);
        Self {
            id: record.id,
            dispatcher: record.dispatcher,
            lane: record.lane,
            teammate: record.wanted.teammate,
            channel: record.origin.channel,
            chat: record.origin.conversation.chat,
            thread: record.origin.conversation.thread,
            number: record.number,
            kind: record.wanted.kind.as_str().to_owned(),
            what: record.wanted.what,
            is_cut: record.wanted.is_cut,
            place: record.wanted.place,
            reason: record.wanted.reason,
            for_session: record.wanted.for_session,
            state: record.state.as_str().to_owned(),
            decision: verdict.map(str::to_owned),
            by,
            by_name,
            void,
            asked_at: record.asked_at,
            expires_at: record.expires_at,
            settled_at,
        }
    }
}

/// Which approvals are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    dispatcher: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
}

impl Wanted for Which {
    const HINT: &'static str = "`dispatcher` is a name, `state` is open, decided, expired or void, `limit` a number \
                                from 1 to 1000";
}

/// Tells what is to be decided, and lately was.
pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Asked<Which>, ApiError>,
) -> Result<Json<Approvals>, ApiError> {
    let Asked(which) = wanted?;
    let limit = which.limit.unwrap_or(SOME);
    if !(1..=MAX_APPROVALS).contains(&limit) {
        let problem = format!("{limit} approvals cannot be listed at once");
        return Err(ApiError::new(Code::BadRequest, problem, Which::HINT));
    }
    let state = which.state.as_deref();
    let states = ["open", "decided", "expired", "void"];
    if let Some(state) = state.filter(|it| !states.contains(it)) {
        let problem = format!("there is no state {state:?}");
        return Err(ApiError::new(Code::BadRequest, problem, Which::HINT));
    }
    let only = match &which.dispatcher {
        Some(name) => Some(api.dispatcher(name)?.id().clone()),
        None => None,
    };
    let mut records = Vec::new();
    if state == Some("open") {
        // All of them, however old.
        for handle in api.dispatchers.values() {
            records.extend(handle.open_approvals().await.map_err(|it| failed(&it))?);
        }
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
    } else if let Some(handle) = api.dispatchers.values().next() {
        let recent = handle.recent_approvals(MAX_APPROVALS).await;
        records = recent.map_err(|it| failed(&it))?;
    }
    let wanted = records
        .into_iter()
        .filter(|it| only.as_ref().is_none_or(|only| it.dispatcher == *only))
        .filter(|it| state.is_none_or(|state| it.state.as_str() == state));
    Ok(Json(Approvals {
        approvals: wanted.take(limit).map(ApprovalStatus::from).collect(),
    }))
}

impl Wanted for NewDecision {
    const HINT: &'static str =
        "{\"decision\": …}, one of accept, accept_for_session, decline and cancel";
}

/// Decides. The first decision counts; a later one is refused, with what was decided.
pub(super) async fn decide(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    wanted: Result<Body<NewDecision>, ApiError>,
) -> Result<Json<ApprovalStatus>, ApiError> {
    let Body(NewDecision { decision }) = wanted?;
    let decision = Decision::named(&decision).ok_or_else(|| {
        ApiError::new(
            Code::BadRequest,
            format!("{decision:?} is no decision"),
            format!("send {}", NewDecision::HINT),
        )
    })?;
    let unknown = || {
        ApiError::new(
            Code::UnknownApproval,
            format!("there is no approval {id}"),
            "`tieline approvals` lists those that are open",
        )
    };
    let approval: ApprovalId = id.parse().map_err(|_not_one| unknown())?;
    for handle in api.dispatchers.values() {
        let ruled = handle.decide(approval, decision).await;
        match ruled.map_err(|it| failed(&it))? {
            Ruled::Decided(record) => return Ok(Json((*record).into())),
            Ruled::Settled(record) => {
                let status = ApprovalStatus::from(*record);
                return Err(ApiError::new(
                    Code::AlreadySettled,
                    format!("approval {id} is settled already: {}", outcome(&status)),
                    "the first decision counts; if the model still wants it, it asks again",
                ));
            }
            Ruled::NotAllowed { .. } | Ruled::Unknown | Ruled::Duplicate => {}
        }
    }
    Err(unknown())
}

/// Says in a few words how an approval stands.
pub fn outcome(status: &ApprovalStatus) -> String {
    let decision = status.decision.as_deref().unwrap_or("open");
    let decision = decision.replace('_', " ");
    match (&status.by, &status.void, status.state.as_str()) {
        (Some(by), _, _) => {
            let who = status.by_name.as_ref().unwrap_or(by);
            format!("{decision} by {who}")
        }
        (None, Some(reason), _) => format!("void ({})", reason.replace('_', " ")),
        (None, None, "expired") => "declined: nobody decided in time".to_owned(),
        (None, None, state) => state.to_owned(),
    }
}

fn failed(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        error.to_string(),
        "nothing has changed; `tieline status` shows how the ledger is",
    )
}
