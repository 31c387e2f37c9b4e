//! This process's own terminal, or its pipes, as a client of a console channel.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use tieline_console::client::{ClientOptions, Outcome, run_client, stdin};
use tokio_util::sync::CancellationToken;

/// Holds a conversation on standard input and output with the console at `socket`, until the
/// input is over and everything is answered, or `stop` is cancelled.
///
/// # Errors
///
/// When the console cannot be used, or standard output cannot be written.
pub async fn converse(
    socket: &Path,
    chat: &str,
    greeting: Option<String>,
    stop: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let options = ClientOptions {
        chat: chat.to_owned(),
        name: std::env::var("USER").unwrap_or_else(|_| "operator".to_owned()),
        greeting,
        stdin_is_terminal: io::stdin().is_terminal(),
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
        colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        patience: None,
    };
    let input = stdin().context("cannot read standard input")?;
    let (output, aside) = (tokio::io::stdout(), tokio::io::stderr());
    Ok(run_client(socket, options, input, output, aside, stop).await?)
}
