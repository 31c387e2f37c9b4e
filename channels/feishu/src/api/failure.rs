//! Why a call came to nothing, cut by what to do about it.

use std::time::Duration;

use thiserror::Error;
use tieline_channel::SendError;

/// Why a call came to nothing. No text has a token in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Failure {
    /// It was not done: too much at once, or the same call is still running.
    #[error("{reason}")]
    Again {
        /// How long to leave it alone.
        after: Duration,
        /// What happened.
        reason: String,
    },
    /// It was not done: Feishu does not know our token. Get a new one and call once more.
    #[error("{reason}")]
    TokenInvalid {
        /// What happened.
        reason: String,
    },
    /// It was not done and never will be in this form.
    #[error("{reason}")]
    Never {
        /// What may work instead.
        cure: Cure,
        /// What happened.
        reason: String,
    },
    /// It was not done, and no call like it will be until somebody has done something.
    #[error("{remedy} ({reason})")]
    Operator {
        /// What they must do.
        remedy: String,
        /// What happened.
        reason: String,
    },
    /// It may have been done. With the same `uuid`, repeating it is harmless for an hour.
    #[error("{reason}")]
    Unclear {
        /// What happened.
        reason: String,
    },
}

/// What may work instead of what was refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cure {
    /// Nothing that we know.
    Nothing,
    /// The same as a reply outside of a topic.
    PlainReply,
    /// The same as a message of its own: what it answers, or what was to be changed, is gone.
    NewMessage,
    /// The same in a simpler form: not as a card but as rich text, or as plain text.
    SimplerForm,
    /// The same in pieces.
    Split,
    /// A short neutral word that there is an answer which must not be shown here.
    NeutralNotice,
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Again { after, reason } => Self::Again {
                after: Some(after),
                reason,
            },
            Failure::TokenInvalid { reason } => Self::Again {
                after: None,
                reason,
            },
            Failure::Never { cure: _, reason } => Self::Never { reason },
            Failure::Operator { remedy, reason } => Self::Operator { remedy, reason },
            Failure::Unclear { reason } => Self::Unclear { reason },
        }
    }
}
