//! What can go wrong, by name: the one list that records, the API, events and metrics share.
//!
//! How a failure is told from another is in [`codex`](crate::codex); the sentence that a chat is shown
//! is made by the dispatcher.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Codex answered something that cannot be used.
    BackendResponseInvalid,
    /// Codex sent something that is not JSON.
    BackendJsonParseError,
    /// Codex or the model fell silent.
    BackendTimeout,
    /// Codex could not be started, or ended at once.
    BackendSpawnFailed,
    /// The model provider does not accept the login.
    ProviderAuthFailed,
    /// The model provider wants less, or later; or the quota is used up.
    ProviderRateLimited,
    /// The model provider refused a tool call in the history.
    ProviderInvalidToolCall,
    /// The model provider cannot compact a history.
    ProviderCompactUnsupported,
    /// The model's answer was cut off.
    ProviderStreamDisconnected,
    /// The model provider refused the request.
    ProviderHttpError,
    /// The model provider cannot be reached or is overloaded.
    ProviderUnavailable,
    /// The key for the model provider is missing.
    SecretUnavailable,
    /// The thread could not be loaded.
    ThreadResumeFailed,
    /// The thread's history is gone.
    SessionStoreEvicted,
    /// Somebody stopped it.
    Cancelled,
    /// A file that it takes cannot be written.
    Disk,
    /// There is no place for a teammate to work at.
    Workspace,
    /// What was to be done is on disk no longer, or cannot be read.
    Damaged,
    /// A name that this version does not know: of a record that another one wrote.
    #[serde(other)]
    Unknown,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::BackendResponseInvalid,
        Self::BackendJsonParseError,
        Self::BackendTimeout,
        Self::BackendSpawnFailed,
        Self::ProviderAuthFailed,
        Self::ProviderRateLimited,
        Self::ProviderInvalidToolCall,
        Self::ProviderCompactUnsupported,
        Self::ProviderStreamDisconnected,
        Self::ProviderHttpError,
        Self::ProviderUnavailable,
        Self::SecretUnavailable,
        Self::ThreadResumeFailed,
        Self::SessionStoreEvicted,
        Self::Cancelled,
        Self::Disk,
        Self::Workspace,
        Self::Damaged,
        Self::Unknown,
    ];
}

impl FailureKind {
    /// Returns the name as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackendResponseInvalid => "backend-response-invalid",
            Self::BackendJsonParseError => "backend-json-parse-error",
            Self::BackendTimeout => "backend-timeout",
            Self::BackendSpawnFailed => "backend-spawn-failed",
            Self::ProviderAuthFailed => "provider-auth-failed",
            Self::ProviderRateLimited => "provider-rate-limited",
            Self::ProviderInvalidToolCall => "provider-invalid-tool-call",
            Self::ProviderCompactUnsupported => "provider-compact-unsupported",
            Self::ProviderStreamDisconnected => "provider-stream-disconnected",
            Self::ProviderHttpError => "provider-http-error",
            Self::ProviderUnavailable => "provider-unavailable",
            Self::SecretUnavailable => "secret-unavailable",
            Self::ThreadResumeFailed => "thread-resume-failed",
            Self::SessionStoreEvicted => "session-store-evicted",
            Self::Cancelled => "cancelled",
            Self::Disk => "disk",
            Self::Workspace => "workspace",
            Self::Damaged => "damaged",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_text_and_json() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_name_of_another_version_is_read() {
        let kind: FailureKind = serde_json::from_str("\"from-the-future\"").unwrap();
        assert_eq!(kind, FailureKind::Unknown);
    }
}
