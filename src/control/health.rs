//! Whether the daemon does its work: `GET /healthz`, 200 or 503.
//!
//! ```json
//! {"status": "failing", "problems": [{"part": "ledger", "message": "failing: No space left on device"}]}
//! ```

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tieline_channel::Link;

use crate::control::error::ApiError;
use crate::control::server::{Api, status_of};
use crate::control::status::{ChannelStatus, DispatcherStatus, Status};
use crate::ledger::Lifecycle;

/// How long Codex may take to start, and a channel to be connected again, before that is a problem.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the daemon does its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// `ok`, or `failing` when there are problems.
    pub status: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is wrong with: `ledger`, `dispatcher NAME`, `channel NAME`.
    pub part: String,
    /// What it is, in one sentence.
    pub message: String,
}

/// Tells whether the daemon does its work.
pub(super) async fn health(
    State(api): State<Api>,
) -> Result<(StatusCode, Json<HealthStatus>), ApiError> {
    let status = status_of(&api).await?;
    let problems = problems(&status, SystemTime::now());
    let (code, word) = if problems.is_empty() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "failing")
    };
    let health = HealthStatus {
        status: word.to_owned(),
        problems,
    };
    Ok((code, Json(health)))
}

/// Returns what is wrong, as of `now`.
fn problems(status: &Status, now: SystemTime) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |part: String, message: String| problems.push(Problem { part, message });
    if status.ledger.state != "ok" {
        add("ledger".to_owned(), status.ledger.state.clone());
    }
    for dispatcher in &status.dispatchers {
        if let Some(message) = of_dispatcher(dispatcher, now) {
            add(format!("dispatcher {}", dispatcher.id), message);
        }
    }
    for channel in &status.channels {
        if let Some(message) = of_channel(channel, now) {
            add(format!("channel {}", channel.id), message);
        }
    }
    problems
}

fn of_dispatcher(dispatcher: &DispatcherStatus, now: SystemTime) -> Option<String> {
    let reason = dispatcher.last_error.as_deref();
    let because = |what: &str| match reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    };
    match dispatcher.state {
        Lifecycle::Ready => None,
        Lifecycle::Degraded => Some(because("Codex does not run")),
        // Between two attempts it is starting, too.
        Lifecycle::Declared | Lifecycle::Starting => {
            let is_again = dispatcher.restarts > 0 && reason.is_some();
            let is_slow = elapsed(dispatcher.since, now) > PATIENCE;
            (is_again || is_slow).then(|| because("Codex is being started"))
        }
        Lifecycle::Stopping | Lifecycle::Stopped => Some("it is stopping".to_owned()),
    }
}

fn of_channel(channel: &ChannelStatus, now: SystemTime) -> Option<String> {
    let because = |what: &str| match &channel.last_error {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    };
    match channel.state {
        Link::Up => None,
        Link::NeedsOperator => Some(because("somebody must do something")),
        Link::Stopped => Some(because("it has ended")),
        Link::Connecting | Link::Down => {
            let is_long = elapsed(channel.since, now) > PATIENCE;
            is_long.then(|| because("it is not connected"))
        }
    }
}

fn elapsed(since: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(since).unwrap_or_default()
}
