//! Errors for people who cannot ask back: with everything that caused them.

use std::error::Error;
use std::fmt;

/// Shows an error and its causes on one line, from the outermost to the root.
///
/// Our errors say only their own level, so one that is shown, logged or stored without this says
/// what failed and not why.
pub(crate) struct WithCauses<'a>(pub(crate) &'a (dyn Error + 'a));

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

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write the ledger")]
    struct Unwritten(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
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
