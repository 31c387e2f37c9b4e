//! What a connection has to say of the whole process rather than of one thread.

use super::failure::FailureKind;

/// Something that concerns the whole process.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Codex warns: of its configuration, or of something that will go away.
    Warning {
        /// One line.
        summary: String,
        /// More of it.
        details: Option<String>,
    },
    /// Codex sent something we cannot read. It was passed over.
    BadFrame(FrameError),
}

/// Something came in that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not JSON, or not even text.
    #[error("codex sent {bytes} bytes that are not JSON: {problem}")]
    NotJson {
        /// Its size.
        bytes: usize,
        /// What is wrong; none of the content.
        problem: String,
    },
    /// JSON, but no request, answer or notification.
    #[error("codex sent JSON that is no message")]
    UnknownShape,
    /// A notification that we act on has another shape than we know.
    #[error("codex sent a {method} of unknown shape")]
    Notification {
        /// The name on the wire.
        method: String,
    },
}

// === impl FrameError ===

impl FrameError {
    /// Returns the name of the failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NotJson { .. } => FailureKind::BackendJsonParseError,
            Self::UnknownShape | Self::Notification { .. } => FailureKind::BackendResponseInvalid,
        }
    }
}
