//! The terminal's side: lines in, answers out.
//!
//! What goes where: answers, failures and whatever else replies to a message go to stdout;
//! progress, notices and the client's own words go to stderr. Without a terminal, an answer to
//! somebody else's message in the same chat goes to stderr too, so that stdout has the answers to
//! the lines of stdin and nothing else.
//!
//! A line is a message; empty lines are passed over. At the end of input the client ends when all
//! its messages are on the daemon's disk and, without a terminal, settled. Messages are sent one
//! at a time, the next when the one before it was acknowledged, and again with the same id after
//! a lost connection: in order, once each.

mod exchange;
mod screen;
mod stdin;
mod terminal;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use self::stdin::stdin;
use self::terminal::Terminal;
use crate::protocol::PROTOCOL;

/// How a terminal is used.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The chat to attach to.
    pub chat: String,
    /// The name of whoever types.
    pub name: String,
    /// What to say before the first prompt; only shown to a person.
    pub greeting: Option<String>,
    /// Stdin is a terminal.
    pub stdin_is_terminal: bool,
    /// Stdout is a terminal: control characters are not passed on to it.
    pub stdout_is_terminal: bool,
    /// Stderr is a terminal.
    pub stderr_is_terminal: bool,
    /// Colour may be used where there is a terminal (`NO_COLOR` is not set).
    pub colour: bool,
    /// How long to wait for a daemon before giving up; `None` waits for ever.
    pub patience: Option<Duration>,
}

impl ClientOptions {
    /// Whether a person types and reads, rather than a script.
    fn is_interactive(&self) -> bool {
        self.stdin_is_terminal && self.stdout_is_terminal
    }
}

/// How the messages of a client fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// So many were settled with an answer.
    pub settled: usize,
    /// So many were refused, failed, or could not even be sent.
    pub failed: usize,
    /// So many were not settled yet when the client ended: a person left, or it was stopped.
    pub unsettled: usize,
}

impl Outcome {
    /// Returns whether every message that should have an answer got one.
    pub fn is_success(&self) -> bool {
        self.failed == 0
    }
}

/// Why a client ended before its input did.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listened for longer than the options allow.
    #[error("no tieline answers at {}; is the daemon running?", socket.display())]
    NoDaemon {
        /// Where it should.
        socket: PathBuf,
        /// What the last attempt said.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be used.
    #[error("cannot connect to {}", socket.display())]
    Connect {
        /// Which.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The daemon turned the client away.
    #[error("the daemon turned this client away: {reason}")]
    TurnedAway {
        /// What it said.
        reason: String,
    },
    /// The daemon speaks another version of the protocol.
    #[error(
        "the daemon speaks version {theirs} of the console protocol, this program version {PROTOCOL}; use the same tieline for both"
    )]
    Version {
        /// Its version.
        theirs: u32,
    },
    /// Stdout cannot be written.
    #[error("cannot write to stdout")]
    Output(#[source] io::Error),
}

/// Carries lines from `input` to the daemon at `socket` and its answers to `output`, until the
/// input is over or `stop` is cancelled. `aside` is stderr.
///
/// An output that nobody reads any more (a broken pipe) ends it without an error.
///
/// # Errors
///
/// When the daemon cannot be used, or stdout cannot be written.
pub async fn run_client<I, O, E>(
    socket: &Path,
    options: ClientOptions,
    input: I,
    output: O,
    aside: E,
    stop: &CancellationToken,
) -> Result<Outcome, ClientError>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    E: AsyncWrite + Unpin,
{
    let mut terminal = Terminal::new(socket, options, input, output, aside);
    match stop.run_until_cancelled(terminal.run()).await {
        Some(Err(ClientError::Output(error))) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Some(Err(error)) => return Err(error),
        Some(Ok(())) | None => {}
    }
    Ok(terminal.leave().await)
}
