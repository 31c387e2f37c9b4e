//! A first conversation on a machine with nothing set up.
//!
//! `tieline demo` is the daemon itself, the real Codex and the console, on a directory that is
//! made for it and removed after it; only the model is ours and scripted. With `--login` the model
//! is the user's own.
//!
//! - [`provision`]: finds a Codex, or fetches the pinned one through npm
//! - [`model`]: a scripted model that speaks enough of the Responses API for the real Codex; the
//!   tests use it too
//! - [`script`]: what the demo's model says

pub mod model;
pub mod provision;
pub mod script;

pub(crate) mod scratch;
mod stage;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tieline_channel::ChannelId;
use tieline_console::client::Outcome;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::model::ScriptedModel;
use self::provision::{Places, Progress, Wanted, find_or_fetch};
use self::scratch::Scratch;
use self::script::DemoScript;
pub(crate) use self::stage::Stage;
use crate::control::{Client, Status};
use crate::daemon::{self, Secrets};
use crate::terminal;

/// How often it is looked whether anything is under way, once the input is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often in a row nothing must be: what was read last may be on its way to the daemon.
const QUIET_LOOKS: u32 = 6;

/// How a demo is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoArgs {
    /// With the user's own Codex login and model, in the current directory, in place of the
    /// built-in model.
    pub login: bool,
}

/// Holds one conversation on standard input and output, and returns when the input has ended and
/// everything is answered, or at SIGINT, SIGTERM or SIGHUP.
///
/// Answers go to standard output, everything else to standard error.
///
/// # Errors
///
/// When there is no Codex and none can be fetched, or the daemon does not come up; with what to do
/// about it.
pub async fn run(args: DemoArgs) -> anyhow::Result<Outcome> {
    let mut notes = Notes::new();
    let codex = find_or_fetch(&Places::from_env(), Wanted::NewEnough, &mut notes).await?;
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let scratch =
        Scratch::new("demo").context("cannot make a directory for the demo; is TMPDIR right?")?;

    let (stage, model) = if args.login {
        let workspace = env::current_dir().context("cannot tell the current directory")?;
        let home = codex_home()?;
        (Stage::login(&scratch, &codex, home, workspace)?, None)
    } else {
        let model = ScriptedModel::start(DemoScript)
            .await
            .context("cannot start the demo's model on the loopback interface")?;
        (
            Stage::scripted(&scratch, &codex, &model.base_url())?,
            Some(model),
        )
    };
    for line in stage.introduction() {
        notes.say(line);
    }

    let conversation = converse(&stage, stop.clone());
    let interrupted = async {
        signals.next().await;
        stop.cancel();
    };
    let result = tokio::join!(
        stop.clone().run_until_cancelled_owned(interrupted),
        conversation
    )
    .1;
    if let Some(model) = model {
        model.stop().await;
    }
    scratch
        .remove()
        .context("cannot remove the demo's directory")?;
    result
}

/// Runs the daemon on the stage's configuration, with the console's client in front.
async fn converse(stage: &Stage, stop: CancellationToken) -> anyhow::Result<Outcome> {
    let config = stage.config();
    let socket = config
        .console_socket(&ChannelId::new(stage::CONSOLE))
        .context("the demo has no console")?;
    let mut outcome = Outcome::default();
    let client = async {
        let control = config.control_socket();
        let rest = at_rest(&control);
        let greeting = Some(stage.greeting());
        outcome = terminal::converse_until(&socket, "demo", greeting, rest, &stop).await?;
        Ok(())
    };
    stage::together(
        async {
            daemon::run(config.clone(), Secrets::default(), stop.clone())
                .await
                .map(drop)
        },
        client,
        &stop,
    )
    .await?;
    Ok(outcome)
}

/// Waits until nothing has been under way for a while: a teammate may still have something to report.
/// Whoever asks the daemon is told how it is, and nothing by itself.
async fn at_rest(control: &Path) {
    let client = Client::new(control);
    let mut quiet = 0;
    while quiet < QUIET_LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        quiet = match client.status().await {
            Ok(status) if is_at_rest(&status) => quiet + 1,
            Ok(_) | Err(_) => 0,
        };
    }
}

fn is_at_rest(status: &Status) -> bool {
    let mut lanes = status.dispatchers.iter().flat_map(|it| &it.lanes);
    let sends = status.outbox.pending + status.outbox.sending > 0;
    !sends && lanes.all(|lane| lane.waiting == 0 && lane.open_turn.is_none())
}

/// Returns where the user's own Codex keeps its login.
fn codex_home() -> anyhow::Result<PathBuf> {
    let set = env::var_os("CODEX_HOME").filter(|home| !home.is_empty());
    match (set, env::home_dir()) {
        (Some(home), _) => Ok(PathBuf::from(home)),
        (None, Some(home)) => Ok(home.join(".codex")),
        (None, None) => bail!("no home directory to find your Codex login in; set HOME"),
    }
}

/// Tells the user what goes on, on standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notes {
    /// Somebody watches: a line may be written over.
    live: bool,
}

impl Notes {
    /// Looks whether somebody watches.
    pub(crate) fn new() -> Self {
        let live = io::stderr().is_terminal();
        Self { live }
    }

    fn write(text: &str) {
        // Nobody is left to be told that standard error is closed.
        drop(io::stderr().write_all(text.as_bytes()));
    }
}

impl Progress for Notes {
    fn say(&mut self, line: &str) {
        let start = if self.live { "\r\x1b[K" } else { "" };
        Self::write(&format!("{start}{line}\n"));
    }

    fn tick(&mut self, elapsed: Duration) {
        let seconds = elapsed.as_secs();
        if self.live {
            Self::write(&format!("\r\x1b[K  … {seconds} s"));
        } else if seconds.is_multiple_of(30) {
            Self::write(&format!("  … {seconds} s\n"));
        }
    }
}

/// The signals that end a demo.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
