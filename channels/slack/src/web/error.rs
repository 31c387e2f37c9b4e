//! Why a call came to nothing.

use std::time::Duration;

use thiserror::Error;

/// Why a call came to nothing. None of the texts has a token in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CallError {
    /// Slack certainly did not get it.
    #[error("not sent: {reason}")]
    NotSent {
        /// What happened.
        reason: String,
    },
    /// Slack may have done it: the answer is lost, or says so itself.
    #[error("no clear answer: {reason}")]
    Lost {
        /// What happened.
        reason: String,
    },
    /// It was not done: too many calls.
    #[error("rate limited for {} s", after.as_secs())]
    Limited {
        /// How long to leave it alone.
        after: Duration,
    },
    /// It was not done: Slack said no.
    #[error("{method}: {error}")]
    Refused {
        /// The method.
        method: &'static str,
        /// Slack's word for it.
        error: String,
        /// The scopes that would be needed, if that is it.
        needed: Option<String>,
        /// The scopes that the token has.
        provided: Option<String>,
        /// Slack's explanations.
        messages: Vec<String>,
    },
}
