//! One app-server process of ours, from spawn to the last trace.
//!
//! A task watches it. However it ends, by us or by itself, that task does the same: kill what is
//! left of its process group *before* the process is reaped, so that the group's number still
//! belongs to it; kill the commands it had detached; remove its files; and only then tell of the
//! exit. So when an exit is seen, nothing is left.

use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::Serialize;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::launch::LaunchConfig;
use super::output::{LogFile, Tail, drain};
use super::process::{ProcessId, raw};
use super::registry::{Entry, kill_all};
use super::spawner::Spawner;

/// How long the kernel and our cleaning up may take after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// How long the rest of the output may take after the end: something may hold the pipes open.
const REST_OF_OUTPUT: Duration = Duration::from_millis(200);

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExitReport {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// When.
    #[serde(serialize_with = "as_rfc3339")]
    pub exited_at: SystemTime,
    /// The last lines on its stderr, oldest first, each at most 160 characters.
    pub last_lines: Vec<String>,
    /// How many processes it had left behind, which were killed.
    pub leftovers: usize,
}

/// A running child; dropping it kills it at once.
pub(super) struct ChildProcess {
    pub(super) pid: u32,
    pub(super) started_at: SystemTime,
    group: Arc<Group>,
    entry: Entry,
    stderr: Tail,
    exit: watch::Receiver<Option<ExitReport>>,
    _tasks: JoinSet<()>,
}

/// The pipes of a child that speaks over them.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
}

/// The process group of a child, for as long as its number is certainly its own.
struct Group {
    id: Pid,
    leader: Option<ProcessId>,
    state: Mutex<GroupState>,
}

#[derive(Default)]
struct GroupState {
    is_reaped: bool,
    /// What descended from the child when it was killed; some of it may have left the group.
    descendants: Vec<ProcessId>,
}

// === impl ChildProcess ===

impl ChildProcess {
    /// Takes charge of a process that was just made.
    ///
    /// Returns the pipes when the child speaks over them; else both are read and logged.
    pub(super) fn watch(
        mut child: Child,
        pid: u32,
        group: Pid,
        entry: Entry,
        config: &LaunchConfig,
        spawner: &Spawner,
    ) -> (Self, Option<Pipes>) {
        let started_at = SystemTime::now();
        let stderr = Tail::default();
        let mut output = JoinSet::new();
        let log = |stream| LogFile::new(&config.log_dir, &config.owner, stream);
        if let Some(reader) = child.stderr.take() {
            output.spawn(drain(reader, log("stderr"), stderr.clone()));
        }
        let pipes = match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Some(Pipes { stdin, stdout }),
            (None, Some(stdout)) => {
                output.spawn(drain(stdout, log("stdout"), Tail::default()));
                None
            }
            (_, None) => None,
        };
        let group = Arc::new(Group {
            id: group,
            leader: ProcessId::of(pid),
            state: Mutex::default(),
        });
        let (exited, exit) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let watcher = Watcher {
            group: group.clone(),
            entry: entry.clone(),
            spawner: spawner.clone(),
            output,
            stderr: stderr.clone(),
        };
        tasks.spawn(async move {
            let report = watcher.run(child, pid).await;
            exited.send_replace(Some(report));
        });
        let process = Self {
            pid,
            started_at,
            group,
            entry,
            stderr,
            exit,
            _tasks: tasks,
        };
        (process, pipes)
    }

    /// Returns how it ended, if it has.
    pub(super) fn exit_report(&self) -> Option<ExitReport> {
        self.exit.borrow().clone()
    }

    /// Waits for its end; never returns when its watcher was stopped.
    pub(super) fn exited(&self) -> impl Future<Output = ExitReport> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            let report = exit.wait_for(Option::is_some).await;
            let report = report.ok().and_then(|report| report.clone());
            match report {
                Some(report) => report,
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the last lines on its stderr.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.stderr.lines()
    }

    /// Asks its process group to end.
    pub(super) fn terminate(&self) -> std::io::Result<()> {
        self.group.signal(Signal::TERM)
    }

    /// Kills its process group.
    pub(super) fn kill(&self) -> std::io::Result<()> {
        self.group.note_descendants();
        self.group.signal(Signal::KILL)
    }

    /// Kills it and waits until nothing of it is left.
    pub(super) async fn end_now(&self, warnings: &mut Vec<String>) -> Option<ExitReport> {
        if let Err(error) = self.kill() {
            warnings.push(format!("cannot kill codex: {error}"));
        }
        let exit = timeout(AFTER_KILL, self.exited()).await.ok();
        if exit.is_none() {
            warnings.push(format!("codex, process {}, does not die", self.pid));
        }
        exit
    }
}

impl Drop for ChildProcess {
    /// The way out when nobody has stopped it: thorough, and blocking for moments.
    fn drop(&mut self) {
        if self.exit.borrow().is_some() {
            return;
        }
        if let Err(error) = self.kill() {
            tracing::warn!(pid = self.pid, %error, "cannot kill codex");
        }
        kill_all(&self.group.descendants());
        self.entry.kill_marked();
        self.entry.remove_files();
    }
}

// === impl Group ===

impl Group {
    fn signal(&self, signal: Signal) -> std::io::Result<()> {
        let state = self.lock();
        // Once the child is reaped, somebody else's group may have its number.
        if state.is_reaped {
            return Ok(());
        }
        match kill_process_group(self.id, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reaps the child and lets go of the group's number.
    async fn reap(&self, child: &mut Child) -> std::io::Result<std::process::ExitStatus> {
        // Polled only when it has ended, this reaps at once: nothing may be signalled from here on.
        self.lock().is_reaped = true;
        child.wait().await
    }

    fn note_descendants(&self) {
        if let Some(leader) = self.leader {
            let descendants = leader.descendants();
            self.lock().descendants.extend(descendants);
        }
    }

    fn descendants(&self) -> Vec<ProcessId> {
        self.lock().descendants.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, GroupState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    group: Arc<Group>,
    entry: Entry,
    spawner: Spawner,
    output: JoinSet<()>,
    stderr: Tail,
}

impl Watcher {
    async fn run(mut self, mut child: Child, pid: u32) -> ExitReport {
        let killed = match wait_without_reaping(pid).await {
            Ok(()) => self.group.signal(Signal::KILL),
            // It may still run: its group must not be touched, and what it leaves is found by its mark.
            Err(error) => Err(error),
        };
        if let Err(error) = killed {
            tracing::warn!(pid, %error, "cannot kill what is left of codex's process group");
        }
        let status = self.group.reap(&mut child).await;
        let exited_at = SystemTime::now();
        let descendants = self.group.descendants();
        let entry = self.entry.clone();
        let leftovers = self.spawner.run(move || {
            let killed = kill_all(&descendants) + entry.kill_marked();
            entry.remove_files();
            killed
        });
        let leftovers = leftovers.await.unwrap_or_else(|error| {
            tracing::warn!(pid, %error, "cannot clean up after codex; the next start will");
            0
        });
        let rest = async { while self.output.join_next().await.is_some() {} };
        // What is still held open by then is nothing that codex said.
        drop(timeout(REST_OF_OUTPUT, rest).await);
        let (code, signal) = match &status {
            Ok(status) => (status.code(), status.signal()),
            Err(error) => {
                tracing::warn!(pid, %error, "cannot learn how codex ended");
                (None, None)
            }
        };
        ExitReport {
            code,
            signal,
            exited_at,
            last_lines: self.stderr.lines(),
            leftovers,
        }
    }
}

impl std::fmt::Display for ExitReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (_, Some(signal)) => write!(f, "codex was ended by signal {signal}")?,
            (Some(code), None) => write!(f, "codex ended with code {code}")?,
            (None, None) => write!(f, "codex ended")?,
        }
        // The line that tells is the last that starts with `Error:`, else the last.
        let telling = self
            .last_lines
            .iter()
            .rev()
            .find(|line| line.starts_with("Error:"))
            .or(self.last_lines.last());
        match telling {
            Some(line) => write!(f, " and said: {line}"),
            None => Ok(()),
        }
    }
}

/// Waits until a child has ended and leaves it a zombie, which keeps its number from being given
/// to another process or group.
async fn wait_without_reaping(pid: u32) -> std::io::Result<()> {
    let pid = raw(pid).ok_or(std::io::ErrorKind::InvalidInput)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // Listening comes before looking: an end in between is not missed.
    let mut some_child_changed = signal(SignalKind::child())?;
    while waitid(WaitId::Pid(pid), options)?.is_none() {
        some_child_changed.recv().await;
    }
    Ok(())
}

pub(super) fn as_rfc3339<S: serde::Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}
