//! `tieline run`: the daemon.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::pin::pin;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::logging;
use crate::config::Config;
use crate::daemon::{self, Ended, Secrets};

/// Run the daemon in the foreground
///
/// It logs to standard error, and to the file that `tieline logs` shows. SIGTERM, SIGINT and SIGHUP stop it: turns in flight may end, and it
/// exits with 0 within 20 seconds. A second signal ends it at once; nothing accepted is lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Log to the file alone
    #[arg(long)]
    quiet: bool,
}

/// Runs the daemon until it ends or a signal ends it.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let places = logging::Places {
        stderr: !args.quiet,
        file: config.log_file(),
    };
    logging::start(&config.daemon.log, &places)?;
    let secrets = Secrets::fetch(&config).await?;
    // From here on a signal is ours, also while things start.
    let mut signals = Signals::listen()?;
    announce(&config);

    // Before anybody replaces the file: what is started later is what lies there then.
    let again = Again::of_this_process();
    let stop = CancellationToken::new();
    let daemon = daemon::run(config, secrets, stop.clone());
    match supervise(daemon, stop, async || signals.next().await).await? {
        Ended::Stopped => Ok(()),
        Ended::ToRestart => Err(again.start()),
    }
}

/// How this program was started, to be started so again.
struct Again {
    program: std::io::Result<PathBuf>,
    arguments: Vec<OsString>,
}

impl Again {
    fn of_this_process() -> Self {
        Self {
            program: std::env::current_exe(),
            arguments: std::env::args_os().skip(1).collect(),
        }
    }

    /// Puts the program in place of this one: the same process, so that whoever supervises it is
    /// content, with the same arguments and environment. Nothing of the daemon is left that could
    /// come along: its sockets, files and children are closed and ended, and what the system has us
    /// inherit is marked to be closed. Returns only what kept it from happening.
    fn start(self) -> Failure {
        tracing::info!("starting again in the same process");
        let failed = match self.program {
            Ok(program) => {
                let mut command = std::process::Command::new(&program);
                let error = command.args(self.arguments).exec();
                anyhow::Error::from(error)
                    .context(format!("cannot start {} again", program.display()))
            }
            Err(error) => anyhow::Error::from(error).context("cannot tell which program this is"),
        };
        Failure::new(Exit::Again, failed)
            .hint("start it again; a service manager does so by itself. Nothing is lost")
    }
}

/// Waits for the daemon's end; the first signal cancels `stop`, the second does not wait.
async fn supervise(
    daemon: impl Future<Output = anyhow::Result<Ended>>,
    stop: CancellationToken,
    mut next_signal: impl AsyncFnMut() -> Caught,
) -> Result<Ended, Failure> {
    let mut daemon = pin!(daemon);
    tokio::select! {
        ended = daemon.as_mut() => return ended.map_err(Failure::of),
        caught = next_signal() => {
            tracing::info!(signal = caught.name, "stopping; a second signal ends at once");
            stop.cancel();
        }
    }
    tokio::select! {
        ended = daemon => ended.map_err(Failure::of),
        caught = next_signal() => {
            let error = anyhow!("ended at once by a second signal, {}", caught.name);
            Err(Failure::new(Exit::Signal(caught.number), error)
                .hint("what was in flight is taken up again at the next start"))
        }
    }
}

fn announce(config: &Config) {
    let consoles: Vec<_> = config
        .channels
        .keys()
        .filter_map(|channel| config.console_socket(channel))
        .map(|socket| socket.display().to_string())
        .collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        config = %config.path.display(),
        control = %config.control_socket().display(),
        consoles = consoles.join(" "),
        "tieline"
    );
}

/// A signal that came.
#[derive(Clone, Copy)]
struct Caught {
    name: &'static str,
    number: u8,
}

/// The signals that stop the daemon.
struct Signals {
    /// Writing past a limit of the system is an error like a full disk, and no reason to die.
    _file_size: Signal,
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .context("cannot listen for signals")
                .map_err(|error| Failure::new(Exit::Internal, error))
        };
        Ok(Self {
            _file_size: listen(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Caught {
        let (name, number) = tokio::select! {
            _ = self.hangup.recv() => ("SIGHUP", 1),
            _ = self.interrupt.recv() => ("SIGINT", 2),
            _ = self.terminate.recv() => ("SIGTERM", 15),
        };
        Caught { name, number }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const TERM: Caught = Caught {
        name: "SIGTERM",
        number: 15,
    };

    #[tokio::test]
    async fn daemon_that_ends_by_itself_decides_the_outcome() {
        let stop = CancellationToken::new();
        let outcome = supervise(ready(Ok(Ended::Stopped)), stop.clone(), async || {
            pending().await
        })
        .await;
        assert!(outcome.is_ok());
        let failing = ready(Err(anyhow!("the ledger is gone")));
        let outcome = supervise(failing, stop.clone(), async || pending().await).await;
        assert_eq!(outcome.unwrap_err().exit(), Exit::Internal);
        assert!(!stop.is_cancelled());
    }

    #[tokio::test]
    async fn first_signal_stops_the_daemon_in_order() {
        let stop = CancellationToken::new();
        let cancelled = stop.clone();
        let daemon = async move {
            cancelled.cancelled().await;
            Ok(Ended::Stopped)
        };
        let mut signals = vec![TERM];
        let outcome = supervise(daemon, stop, async || match signals.pop() {
            Some(caught) => caught,
            None => pending().await,
        });
        assert!(outcome.await.is_ok());
    }

    #[tokio::test]
    async fn second_signal_does_not_wait() {
        let stop = CancellationToken::new();
        let outcome = supervise(pending(), stop.clone(), async || TERM).await;
        assert_eq!(outcome.unwrap_err().exit(), Exit::Signal(15));
        assert!(stop.is_cancelled());
    }
}
