//! How a request can fail, cut by what can be done about it.

use std::time::Duration;

use tieline_channel::WithCauses;

use super::failure::{Failure, FailureKind};
use super::protocol::RpcError;
use super::wire::CloseReason;

/// A request did not get a usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection ended before the answer came. Whether codex acted is not known.
    #[error("no answer to {method}")]
    Closed {
        /// The request.
        method: &'static str,
        /// Why the connection ended.
        #[source]
        reason: CloseReason,
    },
    /// The answer did not come in time. Whether codex acted is not known.
    #[error("no answer to {method} within {} s", after.as_secs_f32())]
    TimedOut {
        /// The request.
        method: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// Codex refused.
    #[error("codex refused {method}")]
    Refused {
        /// The request.
        method: &'static str,
        /// What it said.
        #[source]
        error: RpcError,
    },
    /// The request is larger than codex takes; it was not sent.
    #[error("{method} is {bytes} bytes, and codex takes {limit}: send less text")]
    TooLarge {
        /// The request.
        method: &'static str,
        /// Its size.
        bytes: usize,
        /// The largest that is sent.
        limit: usize,
    },
    /// The request could not be written as JSON; it was not sent.
    #[error("{method} could not be encoded")]
    Encode {
        /// The request.
        method: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The answer has another shape than we know. Codex did act.
    #[error("the answer to {method} cannot be understood; this codex may be too new or too old")]
    Response {
        /// The request.
        method: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Why codex refused, as far as it makes a difference.
///
/// Nearly all refusals carry the code -32600, so the texts tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This codex does not know the method.
    UnknownMethod,
    /// The thread has no stored history: it never had a turn, or its rollout is gone.
    NoRollout,
    /// The thread is loaded and never had a turn: there is nothing to list.
    NoTurnYet,
    /// Codex knows the method, though not for this thread; it says so of threads without a turn.
    NotSupportedYet,
    /// Another process has the thread.
    ActiveWriter,
    /// The thread is archived.
    Archived,
    /// The thread is not loaded: resume it first.
    ThreadNotFound,
    /// There is no turn to interrupt or steer, or not yet.
    NoActiveTurn,
    /// Another turn runs.
    OtherTurn,
    /// A compaction runs; it takes no input.
    NotSteerable,
    /// Codex is about to end.
    Draining,
    /// Codex has too many requests; nothing was done.
    Overloaded,
    /// The input has too many characters.
    InputTooLarge,
    /// The configuration of codex cannot be loaded.
    BadConfiguration,
    /// A required MCP server did not start.
    McpServerFailed,
    /// Something else.
    Other,
}

impl CallError {
    /// Returns why codex refused, if it did.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { method, error } => Some(Refusal::of(method, error)),
            Self::TooLarge { .. } => Some(Refusal::InputTooLarge),
            _ => None,
        }
    }

    /// Returns whether codex certainly did nothing.
    pub fn is_without_effect(&self) -> bool {
        match self {
            Self::Refused { .. } | Self::TooLarge { .. } | Self::Encode { .. } => true,
            Self::Closed { .. } | Self::TimedOut { .. } | Self::Response { .. } => false,
        }
    }

    /// Returns what this means for a turn.
    pub fn to_failure(&self) -> Failure {
        let kind = match self {
            Self::Closed {
                reason: CloseReason::Deaf(_),
                ..
            }
            | Self::TimedOut { .. } => FailureKind::BackendTimeout,
            // Nothing but a shorter message helps, as when the provider says so.
            _ if self.refusal() == Some(Refusal::InputTooLarge) => FailureKind::ProviderHttpError,
            Self::Closed { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Encode { .. }
            | Self::Response { .. } => FailureKind::BackendResponseInvalid,
        };
        Failure::new(kind, WithCauses(self).to_string())
    }

    /// Returns what this means when the request was `thread/resume`.
    ///
    /// `had_turns` says whether the thread is known to have a history.
    pub fn to_resume_failure(&self, had_turns: bool) -> Failure {
        let kind = match self.refusal() {
            Some(Refusal::NoRollout) if had_turns => FailureKind::SessionStoreEvicted,
            Some(_) => FailureKind::ThreadResumeFailed,
            None => return self.to_failure(),
        };
        Failure::new(kind, WithCauses(self).to_string())
    }
}

impl Refusal {
    fn of(method: &str, error: &RpcError) -> Self {
        let says = |text: &str| error.message.contains(text);
        let reason = |key: &str| {
            let data = error.data.as_ref()?;
            data.get(key)?.as_str()
        };
        if error.code == -32601 && !says("is not supported yet")
            || says(&format!("unknown variant `{method}`"))
        {
            return Self::UnknownMethod;
        }
        if error.code == -32001 {
            return Self::Overloaded;
        }
        if reason("reason") == Some("serverShuttingDown") || says("Server is draining") {
            return Self::Draining;
        }
        if reason("input_error_code") == Some("input_too_large") {
            return Self::InputTooLarge;
        }
        let texts = [
            ("no rollout found", Self::NoRollout),
            ("is not supported yet", Self::NotSupportedYet),
            ("is not materialized yet", Self::NoTurnYet),
            ("already has an active writer", Self::ActiveWriter),
            ("is archived", Self::Archived),
            ("thread not found", Self::ThreadNotFound),
            ("thread not loaded", Self::ThreadNotFound),
            ("no active turn", Self::NoActiveTurn),
            ("expected active turn id", Self::OtherTurn),
            ("ActiveTurnNotSteerable", Self::NotSteerable),
            ("failed to load configuration", Self::BadConfiguration),
            ("required MCP servers failed", Self::McpServerFailed),
        ];
        texts
            .into_iter()
            .find_map(|(text, refusal)| says(text).then_some(refusal))
            .unwrap_or(Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_are_told_apart_by_their_texts() {
        let cases = [
            (
                -32600,
                "no rollout found for thread id 01a1",
                Refusal::NoRollout,
            ),
            (
                -32600,
                "thread 01a1 already has an active writer",
                Refusal::ActiveWriter,
            ),
            (
                -32600,
                "session 01a1 is archived. Run `codex unarchive`",
                Refusal::Archived,
            ),
            (-32600, "thread not found: 01a1", Refusal::ThreadNotFound),
            (-32600, "no active turn to interrupt", Refusal::NoActiveTurn),
            (
                -32600,
                "expected active turn id `A` but found `B`",
                Refusal::OtherTurn,
            ),
            (
                -32603,
                "failed to submit turn input: ActiveTurnNotSteerable { turn_kind: Compact }",
                Refusal::NotSteerable,
            ),
            (
                -32001,
                "Server overloaded; retry later.",
                Refusal::Overloaded,
            ),
            (-32601, "Method not found", Refusal::UnknownMethod),
            (
                -32600,
                "Invalid request: unknown variant `thread/resume`, expected one of `initialize`",
                Refusal::UnknownMethod,
            ),
            (
                -32600,
                "Invalid request: unknown variant `blue`, expected `red`",
                Refusal::Other,
            ),
            (
                -32601,
                "thread/items/list is not supported yet",
                Refusal::NotSupportedYet,
            ),
            (
                -32600,
                "thread x is not materialized yet; thread/turns/list is unavailable",
                Refusal::NoTurnYet,
            ),
        ];
        for (code, message, expected) in cases {
            let error = RpcError {
                code,
                message: message.to_owned(),
                data: None,
            };
            assert_eq!(Refusal::of("thread/resume", &error), expected, "{message}");
        }
        let draining = RpcError {
            code: -32600,
            message: "later".to_owned(),
            data: Some(json!({ "reason": "serverShuttingDown" })),
        };
        assert_eq!(Refusal::of("turn/start", &draining), Refusal::Draining);
    }

    #[test]
    fn a_missing_history_is_an_eviction_only_if_there_was_one() {
        let error = CallError::Refused {
            method: "thread/resume",
            error: RpcError {
                code: -32600,
                message: "no rollout found for thread id x".to_owned(),
                data: None,
            },
        };
        assert_eq!(
            error.to_resume_failure(true).kind,
            FailureKind::SessionStoreEvicted
        );
        assert_eq!(
            error.to_resume_failure(false).kind,
            FailureKind::ThreadResumeFailed
        );
    }
}
