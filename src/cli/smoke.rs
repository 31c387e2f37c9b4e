//! `tieline smoke`: a daemon of its own, through all that a conversation goes through.
//!
//! `staging` makes what it runs on, `talk` speaks to it.

mod staging;
mod talk;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::staging::Staged;
use self::talk::Talk;
use crate::cli::checks::{Checks, Outcome};
use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure};
use crate::config::Config;
use crate::control::{Client, DispatcherStatus};
use crate::daemon::{self, Directories, Ended, Secrets};
use crate::ledger::{self, Lifecycle};

/// How long one step may take: models think.
const PATIENCE: Duration = Duration::from_secs(120);

/// For how long a codex that fails is tried again.
const GIVE_UP: Duration = Duration::from_secs(5);

/// How long the daemon may take to end.
const END_WITHIN: Duration = Duration::from_secs(20);

/// How often what does not tell by itself is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Try the whole way of a message on a private daemon
///
/// Starts a daemon of its own with a console in a temporary directory, has two messages answered,
/// kills Codex in between, and looks that nothing is lost and nothing left behind. It uses the Codex,
/// login and model of a dispatcher, and two short questions of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Try the Codex of this dispatcher; else $TIELINE_DISPATCHER, or the only one there is
    #[arg(long, value_name = "NAME", conflicts_with = "demo_model")]
    dispatcher: Option<String>,

    /// Use a scripted model on this machine: needs no configuration and no account
    #[arg(long)]
    demo_model: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Takes every step; the first that fails ends it, and what is left behind is looked for all the same.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut checks = Checks::new(args.json);
    let begun = Instant::now();
    let staged = staging::stage(&args).await?;
    checks.tell_timed(
        "prepare",
        Outcome::Ok(format!("{} {}", staged.codex, staged.model_name())),
        begun.elapsed(),
    )?;
    let mut running = Running::start(&staged.config);
    let walked = walk(&mut checks, &mut running, &staged.config).await;
    let begun = Instant::now();
    let stopped = running.stop().await;
    tell(&mut checks, "stop", begun, stopped)?;
    let begun = Instant::now();
    let clean = running
        .left()
        .map(|()| "no process and no socket".to_owned());
    tell(&mut checks, "nothing is left", begun, clean)?;
    if walked? {
        let begun = Instant::now();
        tell(&mut checks, "ledger", begun, read_ledger(&staged))?;
    }
    staged
        .remove()
        .await
        .map_err(|error| Failure::new(Exit::Io, error))?;
    checks.finish()
}

/// Walks a message's way; `false` when a step failed.
async fn walk(
    checks: &mut Checks,
    running: &mut Running,
    config: &Config,
) -> Result<bool, Failure> {
    let begun = Instant::now();
    let ready = running.ready(None).await;
    let first = ready.as_ref().ok().and_then(child);
    let told = ready.map(|it| format!("codex is ready, process {}", child(&it).unwrap_or(0)));
    if !tell(checks, "start", begun, told)? {
        return Ok(false);
    }
    let begun = Instant::now();
    let talk = Talk::open(&socket(config)).await;
    let opened = talk.as_ref().map(|_| "a console is attached".to_owned());
    let opened = opened.map_err(|error| anyhow!("{error:#}"));
    if !tell(checks, "conversation", begun, opened)? {
        return Ok(false);
    }
    let Ok(mut talk) = talk else {
        return Ok(false);
    };
    let begun = Instant::now();
    let answered = patiently(talk.ask("smoke-1", "Answer with the one word: ready")).await;
    if !tell(checks, "turn", begun, answered)? {
        return Ok(false);
    }
    let thread = running.thread().await;

    let begun = Instant::now();
    let replaced = running.replace_codex(first).await;
    if !tell(checks, "restart of codex", begun, replaced)? {
        return Ok(false);
    }
    let begun = Instant::now();
    let answered = patiently(talk.ask("smoke-2", "And again: ready")).await;
    if !tell(checks, "turn after it", begun, answered)? {
        return Ok(false);
    }
    let begun = Instant::now();
    let resumed = match (thread, running.thread().await) {
        (Ok(before), Ok(now)) if before == now => Ok(format!("the same thread, {now}")),
        (Ok(before), Ok(now)) => Err(anyhow!(
            "the thread was {before}, and is {now}: it was lost"
        )),
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    if !tell(checks, "resumed thread", begun, resumed)? {
        return Ok(false);
    }
    let begun = Instant::now();
    let recorded = running.recorded().await;
    tell(checks, "messages", begun, recorded)
}

/// Tells how a step ended; `false` when it failed.
fn tell(
    checks: &mut Checks,
    name: &str,
    begun: Instant,
    outcome: anyhow::Result<String>,
) -> Result<bool, Failure> {
    let outcome = outcome.map_or_else(
        |error| {
            let remedy = "`tieline doctor` looks at everything that this depends on";
            Outcome::failed(format!("{error:#}"), remedy)
        },
        Outcome::Ok,
    );
    let is_well = !outcome.is_failed();
    checks.tell_timed(name, outcome, begun.elapsed())?;
    Ok(is_well)
}

async fn patiently<T>(step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(PATIENCE, step)
        .await
        .unwrap_or_else(|_elapsed| bail!("not within {} s", PATIENCE.as_secs()))
}

fn child(status: &DispatcherStatus) -> Option<u32> {
    status.child.as_ref()?.pid
}

fn socket(config: &Config) -> std::path::PathBuf {
    let mut consoles = config.channels.keys();
    let socket = consoles.find_map(|id| config.console_socket(id));
    socket.unwrap_or_default()
}

/// Reads the ledger of the daemon that has ended.
fn read_ledger(staged: &Staged) -> anyhow::Result<String> {
    let directories = Directories::below(&staged.config.daemon.state_dir);
    let scratch = staged.scratch.directory("ledger-copy")?;
    let found = ledger::inspect(&directories.ledger, &scratch)?.context("there is no ledger")?;
    let counts = found.counts;
    if counts.messages.answered != 2 || counts.open_turns != 0 || counts.outbox.pending != 0 {
        bail!("it does not have two messages that were answered and nothing open: {counts:?}");
    }
    Ok("two messages answered, nothing open".to_owned())
}

/// The daemon that is tried.
struct Running {
    client: Client,
    config: Config,
    stop: CancellationToken,
    daemon: JoinSet<anyhow::Result<Ended>>,
    /// Every codex that was seen.
    children: Vec<u32>,
}

impl Running {
    fn start(config: &Config) -> Self {
        let stop = CancellationToken::new();
        let mut daemon = JoinSet::new();
        // Only a console: there are no secrets.
        daemon.spawn(daemon::run(
            config.clone(),
            Secrets::default(),
            stop.clone(),
        ));
        Self {
            client: Client::new(&config.control_socket()),
            config: config.clone(),
            stop,
            daemon,
            children: Vec::new(),
        }
    }

    /// Waits until the dispatcher is ready with a codex that is not `earlier`.
    async fn ready(&mut self, earlier: Option<u32>) -> anyhow::Result<DispatcherStatus> {
        let mut last = None;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE / 2 {
            if let Some(ended) = self.daemon.try_join_next() {
                return Err(match ended {
                    Ok(Ok(_)) => anyhow!("the daemon ended by itself"),
                    Ok(Err(error)) => error.context("the daemon did not start"),
                    Err(defect) => anyhow!(defect).context("the daemon ended by a defect"),
                });
            }
            if let Ok(status) = self.client.status().await
                && let Some(dispatcher) = status.dispatchers.into_iter().next()
            {
                let pid = child(&dispatcher);
                if dispatcher.state == Lifecycle::Ready && pid.is_some() && pid != earlier {
                    self.children.extend(pid);
                    return Ok(dispatcher);
                }
                last = dispatcher.last_error;
                if last.is_some() && earlier.is_none() && begun.elapsed() > GIVE_UP {
                    break;
                }
            }
            sleep(LOOK_EVERY).await;
        }
        match last {
            Some(error) => bail!("codex does not get ready: {error}"),
            None => bail!("codex is not ready within {} s", PATIENCE.as_secs() / 2),
        }
    }

    /// Kills codex as a crash would, and waits for the next.
    async fn replace_codex(&mut self, first: Option<u32>) -> anyhow::Result<String> {
        let pid = first.and_then(process).context("codex has no process")?;
        kill_process(pid, Signal::KILL).context("codex cannot be killed")?;
        let next = self.ready(first).await?;
        Ok(format!(
            "killed, and there is another, process {}",
            child(&next).unwrap_or(0)
        ))
    }

    /// Returns the thread of the conversation.
    async fn thread(&self) -> anyhow::Result<String> {
        let status = self.client.status().await?;
        let mut lanes = status.dispatchers.iter().flat_map(|it| &it.lanes);
        let thread = lanes.find_map(|lane| lane.thread.as_ref());
        Ok(thread
            .context("the conversation has no thread")?
            .to_string())
    }

    /// Looks at what the daemon tells of the messages.
    async fn recorded(&self) -> anyhow::Result<String> {
        let answer: serde_json::Value = self.client.get("/v1/messages?limit=10").await?;
        let states: Vec<_> = answer["messages"]
            .as_array()
            .map(|messages| messages.iter().map(|it| it["state"].to_string()).collect())
            .unwrap_or_default();
        if states != ["\"answered\"", "\"answered\""] {
            bail!("they are told to be {}", states.join(", "));
        }
        Ok("two, both answered".to_owned())
    }

    async fn stop(&mut self) -> anyhow::Result<String> {
        self.stop.cancel();
        match timeout(END_WITHIN, self.daemon.join_next()).await {
            Ok(Some(Ok(ended))) => ended.map(|_| "in order".to_owned()),
            Ok(Some(Err(defect))) => Err(anyhow!(defect).context("it ended by a defect")),
            // It ended before, which was told.
            Ok(None) => Ok("it had ended".to_owned()),
            Err(_elapsed) => bail!("it did not end within {} s", END_WITHIN.as_secs()),
        }
    }

    /// Looks for what must not be there any more.
    fn left(&self) -> anyhow::Result<()> {
        let mut alive = self
            .children
            .iter()
            .filter(|pid| process(**pid).is_some_and(|pid| test_kill_process(pid).is_ok()));
        if let Some(pid) = alive.next() {
            bail!("codex still runs, process {pid}");
        }
        for path in [self.config.control_socket(), socket(&self.config)] {
            if path.exists() {
                bail!("{} is left", path.display());
            }
        }
        let run = Directories::below(&self.config.daemon.state_dir).run;
        if let Some(entry) = first_of(&run) {
            bail!("{entry} is left");
        }
        Ok(())
    }
}

fn first_of(directory: &Path) -> Option<String> {
    let entry = std::fs::read_dir(directory).ok()?.flatten().next()?;
    Some(entry.path().display().to_string())
}

fn process(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
