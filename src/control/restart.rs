//! Restarting the daemon: `POST /v1/restart`.

use std::time::SystemTime;

use async_trait::async_trait;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::control::error::{ApiError, Code};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::ledger::MAX_NOTICE;

/// Who can have the daemon restart.
#[async_trait]
pub trait Restarts: Send + Sync + 'static {
    /// Has it restart: returns when that is certain, before it happens.
    ///
    /// # Errors
    ///
    /// When a daemon that starts now would not come up: nothing has changed.
    async fn order(&self, notice: Option<String>) -> Result<RestartOrdered, RestartRefused>;
}

/// What is asked of a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartOrder {
    /// What chats and models are told beside that there is one; at most 500 characters.
    #[serde(default)]
    pub notice: Option<String>,
}

/// The answer when the daemon is about to restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartOrdered {
    /// The process, which stays.
    pub pid: u32,
    /// When the daemon that restarts was started: the one that comes has another time.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
}

/// Why the daemon does not restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartRefused {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Of a daemon that is part of another program, and cannot be restarted alone.
#[derive(Clone, Copy, Debug)]
pub struct NoRestarts;

#[async_trait]
impl Restarts for NoRestarts {
    async fn order(&self, _notice: Option<String>) -> Result<RestartOrdered, RestartRefused> {
        Err(RestartRefused {
            message: "this daemon is part of another program and cannot be restarted".to_owned(),
            hint: "end that program and start it again".to_owned(),
        })
    }
}

/// Has the daemon restart. An empty body is an order without a notice.
pub(super) async fn order(
    State(api): State<Api>,
    body: Bytes,
) -> Result<(StatusCode, Json<RestartOrdered>), ApiError> {
    let order = if body.is_empty() {
        RestartOrder::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            ApiError::new(
                Code::BadRequest,
                format!("the order is not understood: {error}"),
                "it is {} or {\"notice\": \"…\"}",
            )
        })?
    };
    let notice = order.notice.filter(|notice| !notice.trim().is_empty());
    if notice
        .as_ref()
        .is_some_and(|it| it.chars().count() > MAX_NOTICE)
    {
        return Err(ApiError::new(
            Code::BadRequest,
            format!("the notice has more than {MAX_NOTICE} characters"),
            "people read it in a chat: shorten it",
        ));
    }
    match api.restarts.order(notice).await {
        Ok(ordered) => Ok((StatusCode::ACCEPTED, Json(ordered))),
        Err(RestartRefused { message, hint }) => {
            Err(ApiError::new(Code::CannotRestart, message, hint))
        }
    }
}
