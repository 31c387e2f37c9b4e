//! Builds everything, runs it, and shuts it down in three steps.
//!
//! Knows all the parts and does the work of none. Whatever a step of the shutdown does not finish
//! in its time is on disk and goes on at the next start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use tieline_channel::socket::create_private_directory;
use tieline_channel::{Channel, ChannelId, Intake};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use crate::backfill::{self, Backfill, Pace};
use crate::codex::protocol::ThreadSettings;
use crate::codex::{self, Launch, LaunchConfig, Spawner};
use crate::config::{Config, DispatcherConfig, Languages};
use crate::control::{Api, ControlServer};
use crate::dispatcher::{Dispatcher, Handle, Line, attachments, spill};
use crate::events::{Event, Events, EventsSettings, EventsThread};
use crate::id::DispatcherId;
use crate::intake::{ChannelIntake, Door, PairingDesk};
use crate::ledger::{Ledger, LedgerSettings, LedgerThread, Restart};
use crate::metrics::Metrics;
use crate::outbox;
use crate::redact::redactor;
use crate::tools::file;

mod channels;
mod health;
mod notify;
mod profile;
mod restart;
mod sandbox;
mod secrets;
mod settings;
mod skills;
mod status;

use self::restart::Restarter;
pub(crate) use self::sandbox::Sandboxed;
pub use self::secrets::{MissingSecrets, Secrets};

/// How often what has outlived its retention is removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

/// How long posts that wait are still sent when the daemon stops.
const FLUSH_FOR: Duration = Duration::from_secs(2);

/// How a daemon ended that had no defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// It is to be started again, with everything as it was.
    ToRestart,
}

/// A daemon that is built and not yet running.
pub struct Daemon {
    parts: Parts,
    ledger: Ledger,
    ledger_thread: LedgerThread,
    attachments: PathBuf,
    completions: PathBuf,
    outgoing: PathBuf,
    handles: Arc<BTreeMap<DispatcherId, Handle>>,
    control: ControlServer,
    events: Events,
    events_thread: EventsThread,
    metrics: Metrics,
    status: Arc<status::Reporter>,
    languages: Languages,
    restarter: Restarter,
    orders: watch::Receiver<Option<Restart>>,
}

struct Parts {
    dispatchers: Vec<Dispatcher>,
    lines: BTreeMap<ChannelId, Line>,
    intakes: BTreeMap<ChannelId, ChannelIntake>,
    backfills: BTreeMap<ChannelId, Backfill>,
    /// From then on nothing is accepted.
    stopping: CancellationToken,
}

/// Builds the daemon and runs it until `stop` is cancelled or a restart is ordered.
///
/// # Errors
///
/// When it cannot be built: another one runs, the ledger cannot be opened, a socket cannot be
/// bound. A running daemon mends its parts; it fails only when one of them ends by a defect.
pub async fn run(
    config: Config,
    secrets: Secrets,
    stop: CancellationToken,
) -> anyhow::Result<Ended> {
    Daemon::build(config, &secrets).await?.run(stop).await
}

impl Daemon {
    /// Builds the daemon: opens the ledger, cleans up after an unclean end, binds the sockets.
    ///
    /// # Errors
    ///
    /// As [`run`].
    pub async fn build(config: Config, secrets: &Secrets) -> anyhow::Result<Self> {
        let (config, sandboxes) = sandbox::narrow(config)?;
        let state_dir = config.daemon.state_dir.clone();
        let directories = Directories::create(&state_dir)?;
        // The ledger's lock is the daemon's: whoever has it may reap what an earlier one left.
        let (ledger, ledger_thread) = Ledger::open(&directories.ledger, LedgerSettings::standard())
            .context("the ledger cannot be opened")?;
        let restart_notice = restart::notice_of_this_start(&ledger).await;
        for orphan in codex::reap_orphans(&directories.run)
            .context("what an earlier run left cannot be cleaned up")?
        {
            warn!(
                owner = orphan.owner,
                processes = orphan.killed,
                "an earlier run had left codex; it was ended"
            );
        }
        let metrics = Metrics::new();
        let observing = metrics.clone();
        let settings = EventsSettings {
            redact: Box::new(|text| match redactor().redact(text) {
                Cow::Borrowed(_) => None,
                Cow::Owned(redacted) => Some(redacted),
            }),
            observe: Box::new(move |about, event| observing.observe(about, event)),
            ..EventsSettings::standard()
        };
        let (events, events_thread) = Events::open(&directories.events, settings)
            .context("the thread that writes events cannot be started")?;
        let spawner = Spawner::new().context("the thread that starts codex cannot be started")?;
        let launcher: Arc<dyn Launch> = Arc::new(spawner);

        let skills = skills::write(&directories.skills).with_context(|| {
            let shown = directories.skills.display();
            format!("the skills that come with tieline cannot be written to {shown}")
        })?;
        let languages = config.languages();
        let mut builder = channels::Builder::new(&config, secrets);
        let stopping = CancellationToken::new();
        let mut lines = BTreeMap::new();
        let mut intakes = BTreeMap::new();
        let mut dispatchers = Vec::new();
        let mut handles: BTreeMap<DispatcherId, Handle> = BTreeMap::new();
        for (id, dispatcher_config) in &config.dispatchers {
            let mut own = BTreeMap::new();
            for channel_id in &dispatcher_config.channels {
                let line = builder.build(channel_id, dispatcher_config)?;
                own.insert(channel_id.clone(), line.clone());
                lines.insert(channel_id.clone(), line);
            }
            let mut settings = settings::of_dispatcher(
                id,
                dispatcher_config,
                &directories,
                &skills,
                &config,
                &events,
            )?;
            settings.restart_notice.clone_from(&restart_notice);
            let (dispatcher, handle) =
                Dispatcher::new(settings, ledger.clone(), own.clone(), Arc::clone(&launcher));
            for (channel_id, line) in own {
                let intake = ChannelIntake {
                    door: Door {
                        channel: channel_id.clone(),
                        operator_only: line.channel.capabilities().operator_only,
                    },
                    access: dispatcher_config.access.clone(),
                    ledger: ledger.clone(),
                    dispatcher: handle.clone(),
                    languages: languages.clone(),
                    stopping: stopping.clone(),
                    events: events.dispatcher(id).channel(&channel_id),
                };
                intakes.insert(channel_id, intake);
            }
            dispatchers.push(dispatcher);
            handles.insert(id.clone(), handle);
        }
        let control = ControlServer::bind(&config.control_socket())
            .await
            .context("the control socket cannot be opened")?;
        let (backfills, histories) = read_back(&ledger, &lines);
        let started_at = SystemTime::now();
        let (restarter, orders) = Restarter::new(config.path.clone(), started_at);
        let status = Arc::new(status::Reporter::new(
            &config,
            &sandboxes,
            started_at,
            ledger.clone(),
            lines.clone(),
            handles.clone(),
            histories,
        ));
        let parts = Parts {
            dispatchers,
            lines,
            intakes,
            backfills,
            stopping,
        };
        Ok(Self {
            parts,
            ledger,
            ledger_thread,
            attachments: directories.attachments,
            completions: directories.completions,
            outgoing: directories.outgoing,
            handles: Arc::new(handles),
            control,
            events,
            events_thread,
            metrics,
            status,
            languages,
            restarter,
            orders,
        })
    }

    /// Runs until `stop` is cancelled or a restart is ordered, and returns when everything has
    /// ended: nothing is open, and nothing of it runs.
    ///
    /// # Errors
    ///
    /// When a part ended by a defect: whoever started the daemon should start it again, for what
    /// was accepted would wait for ever.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<Ended> {
        let Self {
            parts,
            ledger,
            ledger_thread,
            attachments,
            completions,
            outgoing,
            handles,
            control,
            events,
            events_thread,
            metrics,
            status,
            languages,
            restarter,
            mut orders,
        } = self;
        let Parts {
            dispatchers,
            lines,
            intakes,
            mut backfills,
            stopping,
        } = parts;

        events.emit(Event::DaemonStarted {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            after_clean_end: events.after_clean_end(),
        });
        // Not a child of `stop`: a dispatcher that ends before the stop is noticed is a defect.
        let stop_dispatchers = CancellationToken::new();
        let stop_rest = CancellationToken::new();
        let mut working = JoinSet::new();
        for dispatcher in dispatchers {
            working.spawn(dispatcher.run(stop_dispatchers.clone()));
        }
        let mut rest = JoinSet::new();
        let api = Api {
            status,
            ledger: ledger.clone(),
            pairings: PairingDesk::new(ledger.clone(), languages),
            dispatchers: Arc::clone(&handles),
            events: events.clone(),
            restarts: Arc::new(restarter),
            metrics,
        };
        rest.spawn(control.serve(api, stop_rest.clone()));
        let directories = [attachments, completions, outgoing];
        rest.spawn(housekeep(ledger.clone(), directories, stop_rest.clone()));
        for line in lines.values() {
            let worker =
                outbox::Worker::new(ledger.clone(), Arc::clone(&line.channel), line.language)
                    .telling(&events);
            let health = line.channel.health();
            rest.spawn(health::tell_channel(
                health,
                events.channel(line.channel.id()),
                stop_rest.clone(),
            ));
            rest.spawn(worker.run(stop_rest.clone()));
        }
        rest.spawn(health::tell_ledger(
            ledger.health(),
            events.clone(),
            stop_rest.clone(),
        ));
        for (id, intake) in intakes {
            if let Some(line) = lines.get(&id) {
                let channel = Arc::clone(&line.channel);
                let span = info_span!("channel", %id);
                let intake = intake.shared();
                if let Some(backfill) = backfills.remove(&id) {
                    let reading = backfill.run(Arc::clone(&intake), stopping.clone());
                    rest.spawn(reading.instrument(span.clone()));
                }
                rest.spawn(run_channel(channel, intake, stop_rest.clone()).instrument(span));
            }
        }
        for handle in handles.values() {
            let is_its = |(id, _): &(&ChannelId, &Line)| handle.has_channel(id);
            let own = lines.iter().filter(is_its);
            let own = own.map(|(id, line)| (id.clone(), line.clone())).collect();
            let telling = restart::tell_over(ledger.clone(), handle.clone(), own);
            // No longer than that: what is announced then is for the next start to say.
            let until = stopping.clone();
            rest.spawn(async move {
                until.run_until_cancelled(telling).await;
            });
        }
        let alive = notify::keep_telling(ledger.clone(), Arc::clone(&handles), stopping.clone());
        rest.spawn(alive);
        info!("running");
        notify::running();

        let outcome = tokio::select! {
            () = stop.cancelled() => {
                notify::stopping();
                Ok(Ended::Stopped)
            }
            restart = restart::ordered(&mut orders) => {
                notify::restarting();
                restart::announce(restart, &ledger, &handles, &lines).await;
                Ok(Ended::ToRestart)
            }
            error = defect(&mut working, &mut rest) => {
                notify::stopping();
                Err(error)
            }
        };
        info!("stopping: nothing more is accepted");
        events.emit(Event::DaemonStopping);
        stopping.cancel();
        stop_dispatchers.cancel();
        join(&mut working).await;
        if tokio::time::timeout(FLUSH_FOR, flushed(&ledger, &lines))
            .await
            .is_err()
        {
            info!("posts that wait stay in the outbox; the next start sends them");
        }
        stop_rest.cancel();
        join(&mut rest).await;
        drop(ledger);
        ledger_thread.close().await;
        events.emit(Event::DaemonStopped);
        events_thread.close().await;
        info!("stopped");
        match outcome {
            // Whoever wants it stopped comes before whoever wants it restarted.
            Ok(Ended::ToRestart) if stop.is_cancelled() => Ok(Ended::Stopped),
            outcome => outcome,
        }
    }
}

/// Returns how the daemon starts the Codex of a dispatcher.
///
/// # Errors
///
/// When its endpoint is none.
pub(crate) fn launch_config(
    config: &Config,
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
) -> anyhow::Result<LaunchConfig> {
    let directories = Directories::below(&config.daemon.state_dir);
    settings::launch(id, dispatcher, &directories, config)
}

/// Returns how the threads of a dispatcher's conversations are set up.
pub(crate) fn thread_settings(config: &Config, dispatcher: &DispatcherConfig) -> ThreadSettings {
    let profile = config.profile_of(dispatcher).map(|(_, profile)| profile);
    settings::thread(dispatcher, profile)
}

/// Where things are below the state directory; all of it private.
pub(crate) struct Directories {
    /// The ledger.
    pub(crate) ledger: PathBuf,
    /// Sockets and the registry of children.
    pub(crate) run: PathBuf,
    /// What the children print.
    pub(crate) logs: PathBuf,
    /// What came with messages.
    pub(crate) attachments: PathBuf,
    /// Completions that are too long.
    pub(crate) completions: PathBuf,
    /// The skills that come with tieline.
    pub(crate) skills: PathBuf,
    /// Files that models send.
    pub(crate) outgoing: PathBuf,
    /// Git worktrees of teammates.
    pub(crate) worktrees: PathBuf,
    /// Homes of codex that profiles have for themselves.
    pub(crate) homes: PathBuf,
    /// What happened.
    pub(crate) events: PathBuf,
}

impl Directories {
    pub(crate) fn below(state_dir: &Path) -> Self {
        Self {
            ledger: state_dir.join("ledger"),
            run: state_dir.join("run"),
            logs: state_dir.join("logs"),
            attachments: state_dir.join("attachments"),
            completions: state_dir.join("completions"),
            skills: state_dir.join("skills"),
            outgoing: state_dir.join("outgoing"),
            worktrees: state_dir.join("worktrees"),
            homes: state_dir.join("homes"),
            events: state_dir.join("events"),
        }
    }

    /// Makes them. One that others may enter and that is not ours to close is refused.
    fn create(state_dir: &Path) -> anyhow::Result<Self> {
        let directories = Self::below(state_dir);
        create_private_directory(state_dir, Path::new("ledger"))
            .context("the state directory cannot be used")?;
        for directory in [
            &directories.run,
            &directories.logs,
            &directories.attachments,
            &directories.completions,
            &directories.skills,
            &directories.outgoing,
            &directories.worktrees,
            &directories.homes,
            &directories.events,
        ] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o700)))
                .with_context(|| {
                    format!(
                        "the directory {} cannot be made private",
                        directory.display()
                    )
                })?;
        }
        Ok(directories)
    }
}

/// Makes what reads back each channel that has a history, and where one sees what it comes to.
fn read_back(
    ledger: &Ledger,
    lines: &BTreeMap<ChannelId, Line>,
) -> (
    BTreeMap<ChannelId, Backfill>,
    BTreeMap<ChannelId, watch::Receiver<backfill::Report>>,
) {
    lines
        .iter()
        .filter(|(_, line)| line.channel.capabilities().history)
        .map(|(id, line)| {
            let channel = Arc::clone(&line.channel);
            let (backfill, report) = Backfill::new(ledger.clone(), channel, Pace::standard());
            ((id.clone(), backfill), (id.clone(), report))
        })
        .unzip()
}

async fn run_channel(channel: Arc<dyn Channel>, intake: Arc<dyn Intake>, stop: CancellationToken) {
    if let Err(failure) = channel.run(intake, stop).await {
        error!(error = %failure, "the channel has ended; the others go on");
    }
}

/// Removes what has outlived its retention, at the start and then from time to time.
async fn housekeep(
    ledger: Ledger,
    [attachments, completions, outgoing]: [PathBuf; 3],
    stop: CancellationToken,
) {
    loop {
        match ledger.expire(SystemTime::now()).await {
            Ok(expired) => info!(?expired, "the ledger was tidied"),
            Err(failure) => warn!(error = %failure, "the ledger could not be tidied"),
        }
        let now = SystemTime::now();
        for (what, tidied) in [
            (
                "messages",
                attachments::tidy(&attachments, &ledger, now).await,
            ),
            ("completions", spill::tidy(&completions, &ledger).await),
            ("posts", file::tidy(&outgoing, &ledger, now).await),
        ] {
            match tidied {
                Ok(0) => {}
                Ok(removed) => info!(what, removed, "old files were removed"),
                Err(failure) => {
                    warn!(what, error = %failure, "old files could not be looked for");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Waits until nothing is left to send.
async fn flushed(ledger: &Ledger, lines: &BTreeMap<ChannelId, Line>) {
    let mut changes = ledger.outbox_changes();
    for id in lines.keys() {
        while let Ok(waiting) = ledger.undelivered(id, None, 1).await
            && !waiting.is_empty()
        {
            // A delivery is no change of the outbox's that is announced; look again soon.
            let soon = Duration::from_millis(20);
            if let Ok(Err(_closed)) = tokio::time::timeout(soon, changes.changed()).await {
                return;
            }
        }
    }
}

/// Waits until a part ends that must not: a dispatcher at all, another one by a defect. A channel
/// may end; it has said why.
async fn defect(dispatchers: &mut JoinSet<()>, rest: &mut JoinSet<()>) -> anyhow::Error {
    loop {
        let (what, ended) = tokio::select! {
            Some(ended) = dispatchers.join_next() => ("a dispatcher", ended),
            Some(ended) = rest.join_next() => match ended {
                Ok(()) => continue,
                Err(_) => ("a part", ended),
            },
        };
        let error = match ended {
            Ok(()) => anyhow!("{what} has ended"),
            Err(failure) => anyhow!(failure).context(format!("{what} has ended")),
        };
        error!(error = format!("{error:#}"), "this is a defect of tieline");
        return error.context("stopped by a defect of tieline; start it again, nothing is lost");
    }
}

async fn join(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(failure) = ended {
            error!(error = %failure, "a part ended by a defect of tieline");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_may_end_and_a_part_that_breaks_or_a_dispatcher_may_not() {
        let mut dispatchers = JoinSet::new();
        dispatchers.spawn(std::future::pending());
        let mut rest = JoinSet::new();
        rest.spawn(async {});
        rest.spawn(async { panic!("a defect") });
        let error = defect(&mut dispatchers, &mut rest).await;
        assert!(
            format!("{error:#}").contains("a part has ended"),
            "{error:#}"
        );

        dispatchers.spawn(async {});
        rest.spawn(std::future::pending());
        let error = defect(&mut dispatchers, &mut rest).await;
        assert!(
            format!("{error:#}").contains("a dispatcher has ended"),
            "{error:#}"
        );
    }
}
