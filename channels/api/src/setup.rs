//! What a check of a platform's app finds wrong.

/// Something that is wrong. Neither text has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do about it: where to click.
    pub remedy: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The channel does not work.
    Error,
    /// Something is missing, or could not be seen.
    Warning,
}
