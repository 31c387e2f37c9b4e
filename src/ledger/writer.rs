//! The one thread that has the database.
//!
//! It takes commands from a bounded queue, runs those that wait together as one group, commits the
//! group, and answers all of them. When the disk fails it drops the database, answers at once
//! that nothing is written, and opens it again with growing pauses until it can write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::ledger::command::{Answer, Command, Request};
use crate::ledger::counts::State;
use crate::ledger::error::{LedgerError, OpenError};
use crate::ledger::health::LedgerHealth;
use crate::ledger::lock::Lock;
use crate::ledger::migration::{MIGRATIONS, Migration};
use crate::ledger::opening;
use crate::ledger::spool::{Spool, SpoolName};
use crate::ledger::store::{Barrier, Change, Fsync, Store, panic_text};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// How many commands may wait; beyond that, callers wait before they are queued.
const MAX_WAITING: usize = 1024;

/// How many commands, and about how many bytes, one group takes.
const MAX_GROUP: usize = 256;
const MAX_GROUP_BYTES: usize = 1024 * 1024;

/// The pauses between attempts to open a database that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a test may replace.
pub(super) struct Parts {
    /// What makes a commit durable.
    pub(super) barrier: Box<dyn Barrier>,
    /// The way from older schemas.
    pub(super) migrations: &'static [Migration],
}

impl Parts {
    /// Returns the parts for everyday use.
    pub(super) fn standard() -> Self {
        Self {
            barrier: Box::new(Fsync),
            migrations: MIGRATIONS,
        }
    }
}

/// A ledger's thread and what leads to it.
pub(super) struct Started {
    pub(super) commands: mpsc::Sender<Request>,
    pub(super) enqueued: watch::Receiver<u64>,
    pub(super) health: watch::Receiver<LedgerHealth>,
    pub(super) thread: LedgerThread,
}

/// The thread that keeps the ledger. It ends when it is closed, or when the last
/// [`Ledger`](super::Ledger) is dropped.
#[derive(Debug)]
#[must_use = "close it at shutdown, or the process may end before the directory's lock is released"]
pub struct LedgerThread {
    commands: mpsc::WeakSender<Request>,
    ended: oneshot::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

impl LedgerThread {
    /// Ends the thread after the commands that are queued, and returns when the directory is free
    /// for another process. Later commands fail with [`LedgerError::Closed`].
    pub async fn close(self) {
        if let Some(commands) = self.commands.upgrade() {
            // It has ended already when this fails.
            commands.send(Request::Stop).await.ok();
        }
        self.ended.await.ok();
        join(self.thread);
    }

    /// Blocks until the last [`Ledger`](super::Ledger) is dropped and the directory is free for
    /// another process.
    pub fn join(self) {
        join(self.thread);
    }
}

fn join(thread: thread::JoinHandle<()>) {
    if let Err(panic) = thread.join() {
        tracing::error!(reason = panic_text(&*panic), "the ledger's thread panicked");
    }
}

/// Opens the database in `dir` and starts its thread.
pub(super) fn start(dir: &Path, parts: Parts) -> Result<Started, OpenError> {
    let lock = Lock::take(dir)?;
    let mut barrier = parts.barrier;
    let (store, spool, state) = opening::open(dir, parts.migrations, &mut *barrier)?;
    let pauses = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| OpenError::Thread { source })?;
    let (commands, waiting) = mpsc::channel(MAX_WAITING);
    let (enqueued, enqueued_receiver) = watch::channel(0);
    let (health, health_receiver) = watch::channel(LedgerHealth::Ok);
    let (ended_sender, ended) = oneshot::channel();
    let writer = Writer {
        dir: dir.to_owned(),
        spool,
        barrier,
        waiting,
        enqueued,
        health,
        pauses,
        _lock: lock,
    };
    let thread = thread::Builder::new()
        .name("ledger".to_owned())
        .spawn(move || {
            writer.run(store, state);
            ended_sender.send(()).ok();
        })
        .map_err(|source| OpenError::Thread { source })?;
    let thread = LedgerThread {
        commands: commands.downgrade(),
        ended,
        thread,
    };
    Ok(Started {
        commands,
        enqueued: enqueued_receiver,
        health: health_receiver,
        thread,
    })
}

/// What the thread has, beside the database.
struct Writer {
    dir: PathBuf,
    spool: Spool,
    barrier: Box<dyn Barrier>,
    waiting: mpsc::Receiver<Request>,
    enqueued: watch::Sender<u64>,
    health: watch::Sender<LedgerHealth>,
    pauses: Runtime,
    _lock: Lock,
}

/// Whether there is a database to work with.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them, for as long as the ledger is open"
)]
enum Connection {
    /// There is.
    Open(Store, State),
    /// It failed and is to be opened again.
    Failing(Failing),
}

/// A database that failed.
struct Failing {
    reason: String,
    since: SystemTime,
    pause: Duration,
    /// Puts back what the group that failed may have changed after all, because its callers were
    /// told that nothing is written.
    undo: Vec<Change>,
}

impl Writer {
    fn run(mut self, store: Store, state: State) {
        let mut connection = Connection::Open(store, state);
        loop {
            connection = match connection {
                Connection::Open(store, state) => match self.waiting.blocking_recv() {
                    Some(Request::Run(command)) => self.run_group(store, state, command),
                    Some(Request::Stop) | None => {
                        release(store);
                        break;
                    }
                },
                Connection::Failing(failing) => {
                    if !self.decline_during(&failing) {
                        break;
                    }
                    self.reopen(failing)
                }
            }
        }
        self.waiting.close();
        while let Some(request) = self.waiting.blocking_recv() {
            if let Request::Run(command) = request {
                command.decline(LedgerError::Closed);
            }
        }
    }

    /// Runs a command and those that wait behind it, commits them together and answers them.
    fn run_group(&mut self, store: Store, state: State, first: Box<dyn Command>) -> Connection {
        let mut answers = Vec::new();
        match self.commit_group(&store, state, first, &mut answers) {
            Ok(Committed { state, enqueued }) => {
                if enqueued {
                    self.enqueued.send_modify(|number| *number += 1);
                }
                for answer in answers {
                    answer.give(Ok(()));
                }
                Connection::Open(store, state)
            }
            Err(Broken { reason, undo }) => {
                release(store);
                let failing = self.fail(reason.clone(), undo);
                for answer in answers {
                    answer.give(Err(LedgerError::NotWritten {
                        reason: reason.clone(),
                    }));
                }
                Connection::Failing(failing)
            }
        }
    }

    fn commit_group(
        &mut self,
        store: &Store,
        state: State,
        first: Box<dyn Command>,
        answers: &mut Vec<Box<dyn Answer>>,
    ) -> Result<Committed, Broken> {
        let mut transaction = Transaction::new(store, &self.spool, state);
        let mut next = Some(first);
        while let Some(command) = next.take() {
            answers.push(command.run(&mut transaction));
            if answers.len() < MAX_GROUP && transaction.size() < MAX_GROUP_BYTES {
                match self.waiting.try_recv() {
                    Ok(Request::Run(command)) => next = Some(command),
                    // What was queued before still comes.
                    Ok(Request::Stop) => self.waiting.close(),
                    Err(_) => {}
                }
            }
        }
        let prepared = catch_unwind(AssertUnwindSafe(|| transaction.prepare()))
            .unwrap_or_else(|panic| Err(panic_text(&*panic)))
            .map_err(Broken::harmless)?;
        if !prepared.changes.is_empty()
            && let Err(reason) = store.commit(&prepared.changes, &mut *self.barrier)
        {
            self.remove_files(&prepared.aftermath.written_files);
            return Err(Broken {
                reason,
                undo: prepared.previous,
            });
        }
        self.remove_files(&prepared.aftermath.unnamed_files);
        Ok(Committed {
            state: prepared.state,
            enqueued: prepared.aftermath.enqueued,
        })
    }

    fn remove_files(&self, names: &[SpoolName]) {
        for name in names {
            self.spool.remove(name);
        }
    }

    /// Raises the alarm.
    fn fail(&self, reason: String, undo: Vec<Change>) -> Failing {
        tracing::error!(
            dir = %self.dir.display(),
            reason,
            "the ledger cannot write; nothing is accepted until it can"
        );
        let since = time::now();
        self.health.send_replace(LedgerHealth::Failing {
            reason: reason.clone(),
            since,
        });
        Failing {
            reason,
            since,
            pause: FIRST_PAUSE,
            undo,
        }
    }

    /// Answers commands with the reason of the failure until it is time to try again; returns
    /// whether to go on.
    fn decline_during(&mut self, failing: &Failing) -> bool {
        let waiting = &mut self.waiting;
        self.pauses.block_on(async {
            let end = tokio::time::Instant::now() + failing.pause;
            loop {
                match tokio::time::timeout_at(end, waiting.recv()).await {
                    Ok(Some(Request::Run(command))) => command.decline(LedgerError::NotWritten {
                        reason: failing.reason.clone(),
                    }),
                    Ok(Some(Request::Stop) | None) => return false,
                    Err(_) => return true,
                }
            }
        })
    }

    /// Tries to open the database again and to write to it.
    fn reopen(&mut self, failing: Failing) -> Connection {
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            opening::reopen(&self.dir, &failing.undo, &mut *self.barrier)
        }))
        .unwrap_or_else(|panic| Err(panic_text(&*panic)));
        match attempt {
            Ok((store, spool, state)) => {
                self.spool = spool;
                tracing::info!(dir = %self.dir.display(), "the ledger can write again");
                self.health.send_replace(LedgerHealth::Ok);
                Connection::Open(store, state)
            }
            Err(reason) => {
                tracing::debug!(reason, "the ledger still cannot write");
                self.health.send_replace(LedgerHealth::Failing {
                    reason: reason.clone(),
                    since: failing.since,
                });
                Connection::Failing(Failing {
                    reason,
                    pause: (failing.pause * 2).min(LONGEST_PAUSE),
                    ..failing
                })
            }
        }
    }
}

/// What a committed group leaves.
struct Committed {
    state: State,
    /// It has enqueued posts.
    enqueued: bool,
}

/// Why a group is not on disk.
struct Broken {
    reason: String,
    undo: Vec<Change>,
}

impl Broken {
    /// A failure before anything was written.
    fn harmless(reason: String) -> Self {
        Self {
            reason,
            undo: Vec::new(),
        }
    }
}

/// Drops a database, which does not go quietly when it is broken.
fn release(store: Store) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(store))) {
        tracing::debug!(
            reason = panic_text(&*panic),
            "the database gave up when closed"
        );
    }
}
