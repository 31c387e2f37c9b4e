//! Wakes a commit that the database library would let wait for ever.
//!
//! When the write that ends a transaction fails, sled 0.34.7 notes the error but does not wake the
//! thread that waits for that write in `flush` (`Log::exit_reservation`; the other way to write,
//! `maybe_seal_and_write_iobuf`, does). Another call of `flush` finds the error and wakes all.

use std::io;
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
    /// Starts a watchdog that calls `look_after`, again and again, while a commit takes too long.
    pub(super) fn start(look_after: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new()
            .name("ledger-watch".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.watch(look_after)
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
    fn watch(&self, mut look_after: impl FnMut()) {
        let mut watch = self.lock();
        while !watch.ended {
            if !watch.running {
                watch.resting = true;
                watch = self
                    .changed
                    .wait(watch)
                    .unwrap_or_else(PoisonError::into_inner);
                watch.resting = false;
                continue;
            }
            let commit = watch.commit;
            (watch, _) = self
                .changed
                .wait_timeout(watch, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            if watch.running && watch.commit == commit {
                drop(watch);
                look_after();
                watch = self.lock();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::Watchdog;

    #[test]
    fn commit_that_hangs_is_looked_after() {
        let (wake, woken) = mpsc::channel();
        let watchdog = Watchdog::start(move || wake.send(()).unwrap()).unwrap();
        // Each of these would wait for ever; the second begins while the watchdog is awake.
        for _ in 0..2 {
            watchdog.supervise(|| woken.recv()).unwrap();
        }
    }
}
