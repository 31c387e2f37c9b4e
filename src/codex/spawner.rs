//! The thread that starts every child.
//!
//! The kernel sends a parent-death signal when the *thread* that made the child ends, not the
//! process. A worker thread of the runtime may be retired at any time; this one lives as long as
//! the last [`Spawner`].

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::launch::Environment;

/// Starts children from one thread of its own; cheap to clone.
///
/// **Keep one as long as the daemon lives**: when the last is dropped, the kernel kills all
/// children that it started.
#[derive(Clone, Debug)]
pub struct Spawner {
    jobs: Arc<mpsc::Sender<Job>>,
}

/// The spawner's thread is gone; this process is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread that starts processes has ended; restart tieline")]
pub struct SpawnerGone;

/// What is to be started.
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Environment,
    pub(super) cwd: PathBuf,
    /// Whether its stdin is a pipe of ours or empty.
    pub(super) with_stdin: bool,
}

type Job = Box<dyn FnOnce() + Send>;

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn new() -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(16);
        std::thread::Builder::new()
            .name("codex-spawner".to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    // A panic here would end the thread and with it every child.
                    let job = std::panic::AssertUnwindSafe(job);
                    if std::panic::catch_unwind(job).is_err() {
                        tracing::error!("a job of the spawner panicked");
                    }
                }
            })?;
        Ok(Self {
            jobs: Arc::new(jobs),
        })
    }

    /// Runs something that blocks for moments on the thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SpawnerGone> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move || {
            // The caller may have gone.
            drop(sender.send(job()));
        });
        self.jobs.send(job).await.map_err(|_gone| SpawnerGone)?;
        receiver.await.map_err(|_panicked| SpawnerGone)
    }

    /// Starts a program in a process group of its own.
    pub(super) async fn spawn(&self, program: Program) -> Result<io::Result<Child>, SpawnerGone> {
        let runtime = Handle::current();
        self.run(move || {
            let _entered = runtime.enter();
            let mut command = Command::new(&program.path);
            command
                .args(&program.arguments)
                .env_clear()
                .envs(program.environment.iter())
                .current_dir(&program.cwd)
                .stdin(if program.with_stdin {
                    Stdio::piped()
                } else {
                    Stdio::null()
                })
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0)
                .kill_on_drop(true);
            die_with_parent(&mut command);
            command.spawn()
        })
        .await
    }
}

/// Has the kernel kill the child when we are gone.
///
/// SIGKILL and not SIGTERM: on SIGTERM codex waits for its running turns, without limit, and an
/// orphan that hangs there keeps the writer locks of its threads, so that the next daemon could
/// not resume them. The price are a socket and a lock file that codex does not remove; the
/// registry does that at the next start. Nothing else is lost: what a turn has recorded is on disk.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the parent-death signal can only be set between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

    let parent: Pid = getpid();
    // SAFETY: between fork and exec only async-signal-safe functions may be called, and nothing
    // may allocate. These are two plain system calls, and the error is made from a number.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // Had the parent died before, nobody would ever send the signal.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(
                    rustix::io::Errno::SRCH.raw_os_error(),
                ));
            }
            Ok(())
        });
    }
}

/// Other systems have no such signal; orphans are found by their records at the next start.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}
