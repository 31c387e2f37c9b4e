//! How a verb fails: an error to read, hints, and an exit code.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use tieline_channel::socket::BindError;
use tieline_console::client::Outcome;

use crate::config::{LoadError, NotFound};
use crate::control::ClientError;
use crate::daemon::MissingSecrets;
use crate::ledger::OpenError;
use crate::redact::redactor;

/// The exit codes, as in `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A message came to no answer, or a code or person to nothing.
    Unanswered,
    /// A check failed; which, stands above.
    Check,
    /// The command line is not understood.
    Usage,
    /// The daemon cannot be reached.
    Unreachable,
    /// Something failed that should not.
    Internal,
    /// Reading or writing failed.
    Io,
    /// It was to start again and could not; whoever started it is to do so.
    Again,
    /// The configuration cannot be used.
    Config,
    /// A second signal of this number said to end at once.
    Signal(u8),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Unanswered | Self::Check => 1,
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::Internal => 70,
            Self::Io => 74,
            Self::Again => 75,
            Self::Config => 78,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a verb failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hints: Vec<String>,
}

impl Failure {
    /// Makes a failure without hints.
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// Makes a failure of something that ran: the cause decides the exit code.
    pub(crate) fn of(error: anyhow::Error) -> Self {
        let mut hints = Vec::new();
        let exit = if let Some(bind) = error.downcast_ref::<BindError>() {
            hints.push(bind.remedy());
            hints.push("the control socket is in `state_dir` of [daemon]".to_owned());
            match bind {
                BindError::TooLong { .. }
                | BindError::NotPrivate { .. }
                | BindError::NotOurs { .. }
                | BindError::NotASocket { .. } => Exit::Config,
                BindError::Directory { .. }
                | BindError::Lock { .. }
                | BindError::Listen { .. }
                | BindError::Taken { .. } => Exit::Io,
            }
        } else if error.downcast_ref::<OpenError>().is_some()
            || error.root_cause().is::<io::Error>()
        {
            Exit::Io
        } else {
            Exit::Internal
        };
        Self { exit, error, hints }
    }

    /// Makes a failure of a request. What the daemon does not take is told from a daemon that fails.
    pub(crate) fn of_request(error: ClientError) -> Self {
        match error.hint() {
            Some(hint) if matches!(&error, ClientError::Refused { status, .. } if status.is_client_error()) => {
                Self::new(Exit::Unanswered, error).hint(hint)
            }
            _ => error.into(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns what is printed.
    pub(crate) fn text(&self) -> String {
        self.render().trim_end().to_owned()
    }

    /// Prints it to standard error.
    pub(crate) fn print(&self) {
        let text = redactor().redact_owned(self.render());
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }

    /// Writes the error, its causes a line each, and the hints.
    fn render(&self) -> String {
        let mut text = String::new();
        let mut causes = self.error.chain();
        if let Some(LoadError::Invalid(report)) = self.error.downcast_ref() {
            // All of it is in the report.
            causes.by_ref().for_each(drop);
            let path = report.path().display();
            let n_errors = count(report.n_errors(), "error");
            let warnings = match report.n_warnings() {
                0 => String::new(),
                n => format!(" and {}", count(n, "warning")),
            };
            push_line(&mut text, format_args!("{report}"));
            push_line(
                &mut text,
                format_args!("error: {path} has {n_errors}{warnings}"),
            );
        }
        for (index, cause) in causes.enumerate() {
            let prefix = if index == 0 { "error" } else { "  caused by" };
            push_line(&mut text, format_args!("{prefix}: {cause}"));
        }
        for hint in &self.hints {
            push_line(&mut text, format_args!("hint: {hint}"));
        }
        text
    }
}

fn push_line(text: &mut String, line: fmt::Arguments<'_>) {
    text.push_str(&format!("{line}\n"));
}

/// Returns `1 error`, `2 errors`.
pub(crate) fn count(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// Fails when a message of a conversation came to no answer; what was wrong stands above already.
pub(crate) fn unless_answered(outcome: &Outcome) -> Result<(), Failure> {
    if outcome.is_success() {
        return Ok(());
    }
    let messages = count(outcome.failed, "message");
    Err(Failure::new(
        Exit::Unanswered,
        anyhow!("{messages} came to no answer"),
    ))
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let hint = match &error {
            LoadError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "`--config` and $TIELINE_CONFIG name the file itself; leave them out to look for it",
            ),
            LoadError::Read { .. } | LoadError::Invalid(_) => None,
        };
        let mut failure = Self::new(Exit::Config, error);
        failure.hints.extend(hint.map(str::to_owned));
        failure
    }
}

impl From<NotFound> for Failure {
    fn from(error: NotFound) -> Self {
        let hints = error.hints();
        Self {
            hints,
            ..Self::new(Exit::Config, error)
        }
    }
}

impl From<MissingSecrets> for Failure {
    fn from(error: MissingSecrets) -> Self {
        Self::new(Exit::Config, error)
            .hint("a variable is set where tieline is started, for a service in its unit")
            .hint("`tieline init slack --tokens` and `tieline init feishu --app` ask for those of an app, and \
                 keep them")
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NotRunning { .. }
            | ClientError::Connect { .. }
            | ClientError::Slow { .. }
            | ClientError::Broken { .. }
            | ClientError::TooLong => Exit::Unreachable,
            ClientError::NoClient { .. }
            | ClientError::Refused { .. }
            | ClientError::NotUnderstood { .. } => Exit::Internal,
        };
        let hints = error.hint().into_iter().collect();
        Self {
            hints,
            ..Self::new(exit, error)
        }
    }
}

/// Makes a failure of bad usage that clap cannot see.
pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, anyhow!(message.into()))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn error_prints_each_cause_on_a_line_and_hints_apart() {
        let error = Err::<(), _>(io::Error::other("disk full"))
            .context("cannot write the ledger")
            .context("cannot start")
            .unwrap_err();
        insta::assert_snapshot!(
            Failure::of(error).hint("free some space").render(),
            @r"
        error: cannot start
          caused by: cannot write the ledger
          caused by: disk full
        hint: free some space
        "
        );
    }

    #[test]
    fn socket_that_cannot_be_had_says_what_to_do() {
        let error = BindError::Taken {
            path: "/s/control.sock".into(),
        };
        let error = anyhow::Error::from(error).context("the control socket cannot be opened");
        insta::assert_snapshot!(
            Failure::of(error).render(),
            @r"
        error: the control socket cannot be opened
          caused by: another process listens on /s/control.sock
        hint: stop the other process, or give the socket another path
        hint: the control socket is in `state_dir` of [daemon]
        "
        );
    }

    #[test]
    fn cause_decides_the_exit_code() {
        let of = |error: anyhow::Error| Failure::of(error).exit().code();
        assert_eq!(of(anyhow!("bug")), 70);
        assert_eq!(
            of(anyhow::Error::from(io::Error::other("disk")).context("writing")),
            74
        );
        let taken = BindError::NotASocket {
            path: "/tmp/control.sock".into(),
        };
        assert_eq!(of(anyhow::Error::from(taken).context("starting")), 78);
        assert_eq!(Exit::Signal(15).code(), 143);
    }
}
