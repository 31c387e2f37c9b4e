//! An answer that is not a success: the same shape on every route.
//!
//! ```json
//! {"error": {"code": "unknown-dispatcher", "message": "there is no dispatcher \"fow\"",
//!            "hint": "the configuration has: flow"}}
//! ```
//!
//! `code` is for programs and stays as it is; `message` and `hint` are for people and may change.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// What is wrong, by name: each stands for one status of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request cannot be read, or a value in it is none that can be.
    BadRequest,
    /// No such route.
    UnknownRoute,
    /// The route is there, but not with this method.
    WrongMethod,
    /// The request is larger than it may be.
    TooLarge,
    /// The body of the request did not arrive in time.
    TooSlow,
    /// The body of the request is not said to be JSON.
    UnsupportedMediaType,
    /// Another request was given the same idempotency key.
    KeyReused,
    /// No such dispatcher.
    UnknownDispatcher,
    /// No such lane.
    UnknownLane,
    /// No such teammate.
    UnknownTeammate,
    /// No such message.
    UnknownMessage,
    /// No such run.
    UnknownRun,
    /// No such approval.
    UnknownApproval,
    /// No such code of a newcomer, or no such person.
    UnknownPairing,
    /// The code of a newcomer was good once.
    Expired,
    /// Somebody has, or had, that name.
    NameTaken,
    /// There are as many as there may be.
    TooMany,
    /// As many listen as can.
    TooManyListeners,
    /// It is closed, and takes nothing more.
    Closed,
    /// It was settled before; that counts.
    AlreadySettled,
    /// The configuration has it turned off.
    TurnedOff,
    /// No such session.
    UnknownSession,
    /// The session has no such turn.
    UnknownTurn,
    /// The session has no thread yet.
    NoThread,
    /// The session was closed, or has failed.
    SessionNotActive,
    /// Somebody else works with the session's thread.
    WrongMode,
    /// Some lane, or another session, has the thread.
    ThreadTaken,
    /// Another turn runs, or none does.
    TurnMismatch,
    /// Codex does not take it.
    CodexRefused,
    /// There is no answer of Codex.
    CodexUnavailable,
    /// It is about the lane of a teammate, of which that cannot be ordered.
    OfTeammate,
    /// It cannot be done as things are in the workspace.
    WorkspaceConflict,
    /// A daemon that is started now would not come up.
    CannotRestart,
    /// The daemon cannot use its disk now; nothing has changed.
    LedgerUnavailable,
    /// The daemon did not come to it in time.
    Busy,
}

impl Code {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::BadRequest,
        Self::UnknownRoute,
        Self::WrongMethod,
        Self::TooLarge,
        Self::TooSlow,
        Self::UnsupportedMediaType,
        Self::KeyReused,
        Self::UnknownDispatcher,
        Self::UnknownLane,
        Self::UnknownTeammate,
        Self::UnknownMessage,
        Self::UnknownRun,
        Self::UnknownApproval,
        Self::UnknownPairing,
        Self::Expired,
        Self::NameTaken,
        Self::TooMany,
        Self::TooManyListeners,
        Self::Closed,
        Self::AlreadySettled,
        Self::TurnedOff,
        Self::UnknownSession,
        Self::UnknownTurn,
        Self::NoThread,
        Self::SessionNotActive,
        Self::WrongMode,
        Self::ThreadTaken,
        Self::TurnMismatch,
        Self::CodexRefused,
        Self::CodexUnavailable,
        Self::OfTeammate,
        Self::WorkspaceConflict,
        Self::CannotRestart,
        Self::LedgerUnavailable,
        Self::Busy,
    ];

    /// Returns its name as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::UnknownRoute => "unknown-route",
            Self::WrongMethod => "wrong-method",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::KeyReused => "key-reused",
            Self::UnknownDispatcher => "unknown-dispatcher",
            Self::UnknownLane => "unknown-lane",
            Self::UnknownTeammate => "unknown-teammate",
            Self::UnknownMessage => "unknown-message",
            Self::UnknownRun => "unknown-run",
            Self::UnknownApproval => "unknown-approval",
            Self::UnknownPairing => "unknown-pairing",
            Self::Expired => "expired",
            Self::NameTaken => "name-taken",
            Self::TooMany => "too-many",
            Self::TooManyListeners => "too-many-listeners",
            Self::Closed => "closed",
            Self::AlreadySettled => "already-settled",
            Self::TurnedOff => "turned-off",
            Self::UnknownSession => "unknown-session",
            Self::UnknownTurn => "unknown-turn",
            Self::NoThread => "no-thread",
            Self::SessionNotActive => "session-not-active",
            Self::WrongMode => "wrong-mode",
            Self::ThreadTaken => "thread-taken",
            Self::TurnMismatch => "turn-mismatch",
            Self::CodexRefused => "codex-refused",
            Self::CodexUnavailable => "codex-unavailable",
            Self::OfTeammate => "of-teammate",
            Self::WorkspaceConflict => "workspace-conflict",
            Self::CannotRestart => "cannot-restart",
            Self::LedgerUnavailable => "ledger-unavailable",
            Self::Busy => "busy",
        }
    }

    /// Returns the status of the answers that have it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::UnknownRoute
            | Self::UnknownDispatcher
            | Self::UnknownLane
            | Self::UnknownTeammate
            | Self::UnknownTurn
            | Self::UnknownMessage
            | Self::UnknownRun
            | Self::UnknownSession
            | Self::UnknownApproval
            | Self::UnknownPairing => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Expired => StatusCode::GONE,
            Self::KeyReused
            | Self::NameTaken
            | Self::TooMany
            | Self::Closed
            | Self::AlreadySettled
            | Self::TurnedOff
            | Self::NoThread
            | Self::SessionNotActive
            | Self::WrongMode
            | Self::ThreadTaken
            | Self::TurnMismatch
            | Self::CodexRefused
            | Self::OfTeammate
            | Self::WorkspaceConflict
            | Self::CannotRestart => StatusCode::CONFLICT,
            Self::LedgerUnavailable
            | Self::TooManyListeners
            | Self::Busy
            | Self::CodexUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    code: Code,
    message: String,
    hint: String,
}

impl ApiError {
    /// Says what is wrong, and what to do about it.
    pub(super) fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// What it says, for tests.
#[cfg(test)]
impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (code, message) = (self.code.as_str(), &self.message);
        write!(f, "{code}: {message}")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let error = ErrorBody {
            code: self.code.as_str().to_owned(),
            message: self.message,
            hint: Some(self.hint),
        };
        (status, Json(ErrorEnvelope { error })).into_response()
    }
}

/// What an answer that is not a success holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorEnvelope {
    /// The error.
    pub(crate) error: ErrorBody,
}

/// The content of an answer that is not a success, as its reader has it: a daemon of another version
/// may know other codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    /// What is wrong, by name.
    #[serde(default)]
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(default)]
    pub(crate) hint: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_as_it_is_named() {
        for code in Code::ALL {
            let written = serde_json::to_value(code).unwrap();
            assert_eq!(written, code.as_str());
        }
    }
}
