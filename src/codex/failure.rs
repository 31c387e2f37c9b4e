//! What can go wrong with a turn, by name.
//!
//! The names are for people and scripts; the message is for operators and may quote the provider.
//! The sentence a chat is shown is made elsewhere.

use serde::{Deserialize, Serialize};

use super::protocol::{CodexErrorInfo, TurnError};
pub use crate::failure::FailureKind;

/// A failure: its name, and what an operator wants to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// In codex's or the provider's words, cut to 2,000 characters.
    pub message: String,
    /// The provider's HTTP status, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Whether the history has become too long for the model: compact it, then try again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub context_exceeded: bool,
}

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum During {
    /// An ordinary turn.
    Turn,
    /// A compaction, asked for or automatic.
    Compaction,
}

impl Failure {
    /// Makes a failure of a kind, with a message for operators.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(2_000) {
            message.truncate(end);
            message.push('…');
        }
        Self {
            kind,
            message,
            http_status: None,
            context_exceeded: false,
        }
    }

    /// Returns the failure of a turn that completed without having said anything.
    pub fn no_answer() -> Self {
        Self::new(
            FailureKind::BackendResponseInvalid,
            "the turn completed without a message of the model",
        )
    }

    /// Classifies what codex reported at the end of a turn.
    pub(super) fn of_turn(error: Option<&TurnError>, during: During) -> Self {
        let Some(error) = error else {
            return Self::new(
                FailureKind::BackendResponseInvalid,
                "the turn failed and codex gave no reason",
            );
        };
        let info = error.codex_error_info.as_ref();
        let name = info.map_or("other", |info| info.name.as_str());
        let http_status = info
            .and_then(|info| info.http_status)
            .or_else(|| status_in(&error.message));
        let cause = kind_of(name, http_status, &error.message);
        let kind = match during {
            During::Compaction if cannot_compact(cause, http_status, &error.message) => {
                FailureKind::ProviderCompactUnsupported
            }
            During::Compaction | During::Turn => cause,
        };
        let message = match &error.additional_details {
            Some(details) => format!("{}: {details}", error.message),
            None => error.message.clone(),
        };
        Self {
            http_status,
            context_exceeded: name == "contextWindowExceeded",
            ..Self::new(kind, message)
        }
    }

    /// Describes a server that codex could not reach, going by the last retry it told us of.
    pub(super) fn unreachable(retry: &TurnError) -> Self {
        let http_status = retry
            .codex_error_info
            .as_ref()
            .and_then(|info: &CodexErrorInfo| info.http_status);
        let details = retry.additional_details.as_deref().unwrap_or_default();
        Self {
            http_status,
            ..Self::new(
                FailureKind::ProviderUnavailable,
                format!("codex kept trying in vain: {} {details}", retry.message),
            )
        }
    }
}

/// The table of causes. Most come as `other` with nothing but a message to tell them apart.
fn kind_of(name: &str, http_status: Option<u16>, message: &str) -> FailureKind {
    match (name, http_status) {
        ("unauthorized", _) | ("httpConnectionFailed", Some(401 | 403)) => {
            FailureKind::ProviderAuthFailed
        }
        ("usageLimitExceeded" | "rateLimitExceeded" | "sessionBudgetExceeded", _)
        | (_, Some(429)) => FailureKind::ProviderRateLimited,
        ("serverOverloaded" | "internalServerError" | "flexUnavailable", _) => {
            FailureKind::ProviderUnavailable
        }
        ("httpConnectionFailed" | "responseStreamConnectionFailed", None | Some(500..)) => {
            FailureKind::ProviderUnavailable
        }
        ("responseTooManyFailedAttempts", Some(500..)) => FailureKind::ProviderUnavailable,
        ("responseStreamDisconnected", None) => FailureKind::ProviderStreamDisconnected,
        ("responseStreamDisconnected", Some(500..)) => FailureKind::ProviderUnavailable,
        ("responseStreamDisconnected", Some(401 | 403)) => FailureKind::ProviderAuthFailed,
        ("other", _) => kind_of_text(message),
        _ => FailureKind::ProviderHttpError,
    }
}

fn kind_of_text(message: &str) -> FailureKind {
    if message.starts_with("Missing environment variable")
        || message.starts_with("provider auth command")
    {
        return FailureKind::SecretUnavailable;
    }
    if message.starts_with("Incomplete response returned") {
        return FailureKind::BackendResponseInvalid;
    }
    if let Some(rest) = message.strip_prefix("stream disconnected before completion:") {
        let rest = rest.trim_start();
        let is_cut = [
            "error sending request",
            "Transport error",
            "stream closed",
            "idle timeout",
        ]
        .iter()
        .any(|start| rest.starts_with(start));
        return if is_cut {
            FailureKind::ProviderStreamDisconnected
        } else {
            FailureKind::ProviderHttpError
        };
    }
    let lower = message.to_lowercase();
    let speaks_of_calls = ["tool_call", "tool call", "function_call", "function call"]
        .iter()
        .any(|words| lower.contains(words));
    if speaks_of_calls {
        FailureKind::ProviderInvalidToolCall
    } else {
        FailureKind::ProviderHttpError
    }
}

fn cannot_compact(cause: FailureKind, http_status: Option<u16>, message: &str) -> bool {
    match http_status {
        Some(status) => matches!(status, 400 | 404 | 405 | 501),
        // A refused request (HTTP 400) comes as the provider's bare text.
        None => {
            matches!(
                cause,
                FailureKind::ProviderHttpError | FailureKind::ProviderInvalidToolCall
            ) && !message.starts_with("stream disconnected")
        }
    }
}

fn status_in(message: &str) -> Option<u16> {
    let rest = message.split_once("unexpected status ")?.1;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(info: serde_json::Value, message: &str, during: During) -> FailureKind {
        let error: TurnError =
            serde_json::from_value(json!({ "message": message, "codexErrorInfo": info })).unwrap();
        Failure::of_turn(Some(&error), during).kind
    }

    #[test]
    fn every_seen_cause_has_its_name() {
        use FailureKind as K;
        let http = |status: u16| json!({ "httpConnectionFailed": { "httpStatusCode": status } });
        let other = || json!("other");
        let cases = [
            (
                http(401),
                "unexpected status 401 Unauthorized: x",
                K::ProviderAuthFailed,
            ),
            (
                http(403),
                "unexpected status 403 Forbidden: x",
                K::ProviderAuthFailed,
            ),
            (
                other(),
                "Missing environment variable: `X`.",
                K::SecretUnavailable,
            ),
            (
                other(),
                "provider auth command `x` exited with status 1",
                K::SecretUnavailable,
            ),
            (
                json!({ "responseTooManyFailedAttempts": { "httpStatusCode": 429 } }),
                "exceeded retry limit, last status: 429 Too Many Requests",
                K::ProviderRateLimited,
            ),
            (
                json!("usageLimitExceeded"),
                "Quota exceeded.",
                K::ProviderRateLimited,
            ),
            (
                json!("rateLimitExceeded"),
                "rate limit exceeded: x",
                K::ProviderRateLimited,
            ),
            (
                other(),
                "{\"error\":\"bad temperature\"}",
                K::ProviderHttpError,
            ),
            (
                other(),
                "{\"error\":\"No tool call found for function call output\"}",
                K::ProviderInvalidToolCall,
            ),
            (
                json!("contextWindowExceeded"),
                "Codex ran out of room",
                K::ProviderHttpError,
            ),
            (
                json!("modelNotFound"),
                "no such model",
                K::ProviderHttpError,
            ),
            (http(402), "unexpected status 402", K::ProviderHttpError),
            (http(413), "unexpected status 413", K::ProviderHttpError),
            (
                json!("internalServerError"),
                "high demand",
                K::ProviderUnavailable,
            ),
            (http(502), "unexpected status 502", K::ProviderUnavailable),
            (http(503), "unexpected status 503", K::ProviderUnavailable),
            (http(529), "unexpected status 529", K::ProviderUnavailable),
            (
                json!("serverOverloaded"),
                "at capacity",
                K::ProviderUnavailable,
            ),
            (
                json!({ "httpConnectionFailed": { "httpStatusCode": null } }),
                "Connection failed: error sending request",
                K::ProviderUnavailable,
            ),
            (
                other(),
                "stream disconnected before completion: error sending request",
                K::ProviderStreamDisconnected,
            ),
            (
                other(),
                "stream disconnected before completion: Transport error: network error: x",
                K::ProviderStreamDisconnected,
            ),
            (
                other(),
                "stream disconnected before completion: stream closed before response.completed",
                K::ProviderStreamDisconnected,
            ),
            (
                other(),
                "stream disconnected before completion: idle timeout waiting for SSE",
                K::ProviderStreamDisconnected,
            ),
            (
                other(),
                "stream disconnected before completion: the provider's own words",
                K::ProviderHttpError,
            ),
            (
                other(),
                "Incomplete response returned, reason: max_output_tokens",
                K::BackendResponseInvalid,
            ),
            (
                json!({ "brandNew": { "x": 1 } }),
                "from the future",
                K::ProviderHttpError,
            ),
            (
                json!(null),
                "no classification at all",
                K::ProviderHttpError,
            ),
        ];
        for (info, message, expected) in cases {
            assert_eq!(
                of(info.clone(), message, During::Turn),
                expected,
                "{info} {message}"
            );
        }
    }

    #[test]
    fn a_refused_compaction_has_a_name_of_its_own() {
        let http = |status: u16| json!({ "httpConnectionFailed": { "httpStatusCode": status } });
        assert_eq!(
            of(http(404), "unexpected status 404", During::Compaction),
            FailureKind::ProviderCompactUnsupported
        );
        assert_eq!(
            of(json!("other"), "{\"error\":\"no\"}", During::Compaction),
            FailureKind::ProviderCompactUnsupported
        );
        assert_eq!(
            of(http(503), "unexpected status 503", During::Compaction),
            FailureKind::ProviderUnavailable
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::new(FailureKind::Cancelled, "ß".repeat(5_000));
        assert_eq!(failure.message.chars().count(), 2_001);
    }
}
