//! Results that are reported from outside: `POST /v1/dispatchers/{id}/completions`.
//!
//! ```json
//! {"id": "build-17", "from": "ci", "status": "ok", "body": "all green"}
//! ```
//!
//! `id` is unique for the dispatcher: what is reported again under it changes nothing and is answered
//! like the first time, so a report without an answer can simply be repeated: it needs no idempotency key. 202 says that it is on
//! disk and new, 200 that it was there before.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::control::body::{Body, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::server::Api;
use crate::dispatcher::{Report, ReportError};
use crate::id::LaneId;
use crate::ledger::{CompletionStatus, LedgerError, RUN_PREFIX, Reported, TEAMMATE_PREFIX};

/// How large the body of a report may be, in bytes of UTF-8.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

/// How large a whole report may be, in bytes of JSON, which may take more for the same text.
pub(super) const MAX_REPORT: usize = 4 * MAX_BODY;

/// How long `id` and `from` may be, in bytes of UTF-8.
const MAX_NAME: usize = 200;

/// A result that is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompletionReport {
    /// Its producer's name of it.
    pub id: String,
    /// Who did the work.
    pub from: String,
    /// How the work ended; `ok` when absent.
    #[serde(default = "CompletionReport::default_status")]
    pub status: CompletionStatus,
    /// What came of it.
    #[serde(default)]
    pub body: String,
    /// The lane that is told, as `tieline status` names it. When absent, the one that was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
}

/// What became of a reported result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletionReceipt {
    /// Its producer's name of it.
    pub id: String,
    /// How far it is: `waiting`, `in_turn`, `delivered`, `failed`, `unclear`, or `withdrawn`: nobody is
    /// told of it any more.
    pub state: String,
    /// It had been reported before.
    pub repeated: bool,
}

impl CompletionReport {
    fn default_status() -> CompletionStatus {
        CompletionStatus::Ok
    }
}

impl Wanted for CompletionReport {
    const HINT: &'static str = "{\"id\": \"build-17\", \"from\": \"ci\", \"status\": \"ok\", \"body\": \"…\"}; `status` is ok, failed or stopped";
    const WHEN_TOO_LARGE: &'static str = "put the result into a file and report its path";
}

/// Takes a result for a dispatcher.
pub(super) async fn report(
    State(api): State<Api>,
    Segments(dispatcher): Segments<String>,
    report: Result<Body<CompletionReport>, ApiError>,
) -> Result<(StatusCode, Json<CompletionReceipt>), ApiError> {
    let handle = api.dispatcher(&dispatcher)?;
    let Body(report) = report?;
    for (name, value) in [("id", &report.id), ("from", &report.from)] {
        check_name(name, value)?;
    }
    if report.id.starts_with(TEAMMATE_PREFIX) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("`id` begins with `{TEAMMATE_PREFIX}`, which results of teammates do"),
            "choose another `id`; what a teammate does is reported by itself",
        ));
    }
    if report.id.starts_with(RUN_PREFIX) {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("`id` begins with `{RUN_PREFIX}`, which results of runs do"),
            "choose another `id`; a run with `report_to` is reported by itself",
        ));
    }
    if report.body.len() > MAX_BODY {
        return Err(too_large());
    }
    let id = report.id.clone();
    let reported = handle.report(Report {
        name: report.id,
        from: report.from,
        status: report.status,
        body: report.body,
        lane: report.lane,
    });
    let Reported { state, is_new, .. } = reported.await.map_err(|error| failed(&error))?;
    let status = if is_new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let receipt = CompletionReceipt {
        id,
        state: state.as_str().to_owned(),
        repeated: !is_new,
    };
    Ok((status, Json(receipt)))
}

fn check_name(name: &str, value: &str) -> Result<(), ApiError> {
    let wrong = if value.trim().is_empty() {
        "is empty".to_owned()
    } else if value.len() > MAX_NAME {
        format!("is longer than {MAX_NAME} bytes")
    } else if value.chars().any(char::is_control) {
        "has control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(ApiError::new(
        Code::BadRequest,
        format!("`{name}` {wrong}"),
        "`id` names this one result, `from` who did the work; both are short texts",
    ))
}

fn too_large() -> ApiError {
    let limit = MAX_BODY >> 20;
    ApiError::new(
        Code::TooLarge,
        format!("the result is larger than {limit} MiB"),
        "put it into a file and report its path",
    )
}

fn failed(error: &ReportError) -> ApiError {
    match error {
        ReportError::UnknownLane { .. } => ApiError::new(
            Code::UnknownLane,
            error.to_string(),
            "`tieline status --json` names the lanes; leave `lane` out for the newest one",
        ),
        ReportError::Session { .. } => ApiError::new(
            Code::WrongMode,
            error.to_string(),
            "`tieline sessions turn` gives a session a turn",
        ),
        ReportError::Closed { .. } => ApiError::new(
            Code::Closed,
            error.to_string(),
            "leave `lane` out for the one that was used last",
        ),
        ReportError::Ledger(LedgerError::TooLarge { .. }) => {
            ApiError::new(Code::BadRequest, error.to_string(), "choose shorter names")
        }
        ReportError::Ledger(_) => ApiError::new(
            Code::LedgerUnavailable,
            format!("the result is not recorded: {error}"),
            "report it again with the same id; `tieline status` says how the ledger is",
        ),
    }
}
