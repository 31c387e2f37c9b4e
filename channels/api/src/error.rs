//! Failures, cut by what to do about them.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Why an event was not accepted: it must not be acknowledged, so that it comes again.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// The event could not be written to disk.
    #[error("cannot record the message: {reason}")]
    NotRecorded {
        /// What the disk or the ledger said.
        reason: String,
    },
    /// The daemon is shutting down.
    #[error("shutting down")]
    Stopping,
}

/// Why something was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// It was certainly not sent, and may work later.
    #[error("not sent, may work later: {reason}")]
    Again {
        /// How long the platform wants us to wait.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// It was certainly not sent and never will be in this form.
    #[error("cannot be sent: {reason}")]
    Never {
        /// What happened.
        reason: String,
    },
    /// It was certainly not sent, and will not be until a person has done something.
    #[error("not sent until the operator acts: {remedy} ({reason})")]
    Operator {
        /// What the operator must do.
        remedy: String,
        /// What happened.
        reason: String,
    },
    /// It may or may not have been sent.
    #[error("unclear whether it was sent: {reason}")]
    Unclear {
        /// What happened.
        reason: String,
    },
}

/// Why a channel stopped for good.
#[derive(Debug, Error)]
pub enum RunError {
    /// The channel cannot work until the operator has changed something.
    #[error("{remedy} ({reason})")]
    Operator {
        /// What the operator must do.
        remedy: String,
        /// What happened.
        reason: String,
    },
}

/// Shows an error and its causes on one line, from the outermost to the root.
///
/// Our errors say only their own level, so one that is shown, logged or stored without this says
/// what failed and not why. A channel fills its `reason` with it.
pub struct WithCauses<'a>(pub &'a (dyn StdError + 'a));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = *self;
        write!(f, "{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot write the ledger")]
    struct Unwritten(#[source] io::Error);

    #[derive(Debug, Error)]
    #[error("cannot start")]
    struct Unstarted(#[source] Unwritten);

    #[test]
    fn every_cause_is_told_once_and_in_order() {
        let error = Unstarted(Unwritten(io::Error::other("disk full")));
        assert_eq!(
            WithCauses(&error).to_string(),
            "cannot start: cannot write the ledger: disk full"
        );
    }
}
