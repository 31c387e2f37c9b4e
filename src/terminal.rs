//! This process's own terminal, or its pipes, as a client of a console channel.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use anyhow::Context as _;
use futures_util::FutureExt as _;
use tieline_console::client::{ClientOptions, Outcome, run_client, stdin};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
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
    converse_until(socket, chat, greeting, std::future::ready(()), stop).await
}

/// As [`converse`], but what is not a person's terminal is over only when `rest` is as well.
///
/// # Errors
///
/// As [`converse`].
pub async fn converse_until(
    socket: &Path,
    chat: &str,
    greeting: Option<String>,
    rest: impl Future<Output = ()>,
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
    let is_person = options.stdin_is_terminal;
    let rest = async move {
        if !is_person {
            rest.await;
        }
    };
    // It may be asked again after its end.
    let rest = End(pin!(rest.fuse()));
    let input = stdin().context("cannot read standard input")?.chain(rest);
    let (output, aside) = (tokio::io::stdout(), tokio::io::stderr());
    Ok(run_client(socket, options, input, output, aside, stop).await?)
}

/// An input that is empty, and ends when the future does.
struct End<F>(F);

impl<F: Future<Output = ()> + Unpin> AsyncRead for End<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll(context).map(Ok)
    }
}
