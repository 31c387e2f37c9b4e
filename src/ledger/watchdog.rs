//! Wakes a commit that the database library would let wait for ever.
//!
//! When the write that ends a transaction fails, sled 0.34.7 notes the error but does not wake the
//! thread that waits for the write in `flush` (`Log::exit_reservation`; the other write path,
//! `maybe_seal_and_write_iobuf`, does). Another call of `flush` finds the error and wakes all.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a commit may take before somebody looks after it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks after the commits of one database from a thread of its own, which rests while nothing is
/// committed.
#[derive(Debug)]
pub(super) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    watch: Mutex<Watch>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Watch {
    /// The number of the commit that runs, or ran last.
    commit: u64,
    running: bool,
    resting: bool,
    ended: bool,
}

impl Watchdog {
    /// Starts looking after `db`.
    pub(super) fn start(db: sled::Db) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new()
            .name("ledger-watch".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || watch(&shared, &db)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Runs a commit under supervision.
    pub(super) fn supervise<T>(&self, commit: impl FnOnce() -> T) -> T {
        {
            let mut watch = self.shared.lock();
            watch.commit += 1;
            watch.running = true;
            if watch.resting {
                self.shared.changed.notify_one();
            }
        }
        let result = commit();
        self.shared.lock().running = false;
        result
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::debug!("the ledger's watchdog panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn watch(shared: &Shared, db: &sled::Db) {
    let mut watch = shared.lock();
    while !watch.ended {
        if !watch.running {
            watch.resting = true;
            watch = wait(&shared.changed, watch);
            watch.resting = false;
            continue;
        }
        let commit = watch.commit;
        watch = wait_for(&shared.changed, watch, PATIENCE);
        if watch.running && watch.commit == commit && db.context.global_error().is_err() {
            drop(watch);
            // Fails at once, and wakes the commit.
            db.flush().ok();
            watch = shared.lock();
        }
    }
}

fn wait<'a>(changed: &Condvar, watch: MutexGuard<'a, Watch>) -> MutexGuard<'a, Watch> {
    changed.wait(watch).unwrap_or_else(PoisonError::into_inner)
}

fn wait_for<'a>(
    changed: &Condvar,
    watch: MutexGuard<'a, Watch>,
    time: Duration,
) -> MutexGuard<'a, Watch> {
    changed
        .wait_timeout(watch, time)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}
