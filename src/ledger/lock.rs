//! The lock that keeps two processes from using one directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

use crate::ledger::error::OpenError;
use crate::ledger::store::{io_error, sync};

/// How long the lock of a process that has died may linger: a process that it was just starting
/// has it until it runs its own program.
const LINGER_LIMIT: Duration = Duration::from_secs(5);

/// The proof that no other process uses the directory.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of `dir`, and makes the directory if need be.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        make(dir)?;
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| io_error("open", &path, source))?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(io_error("lock", &path, source)),
            }
            let holder = holder(&path);
            if holder.is_some_and(is_alive) || started.elapsed() > LINGER_LIMIT {
                return Err(OpenError::Locked {
                    dir: dir.to_owned(),
                    holder,
                });
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Only a help for the one who finds it locked, so a full disk does not matter here.
        fs::write(&path, format!("{}\n", std::process::id())).ok();
        Ok(Self { file })
    }
}

impl Lock {
    /// Fails if another process has the lock of `dir`; changes nothing.
    pub(super) fn is_free(dir: &Path) -> Result<(), OpenError> {
        let path = dir.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(io_error("open", &path, source)),
        };
        match file.try_lock() {
            Ok(()) => file
                .unlock()
                .map_err(|source| io_error("unlock", &path, source)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                dir: dir.to_owned(),
                holder: holder(&path),
            }),
            Err(TryLockError::Error(source)) => Err(io_error("lock", &path, source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it locked while another thread is just starting a process.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "the ledger's lock goes with the process");
        }
    }
}

/// Makes the directory so that a power cut does not take it.
fn make(dir: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => OpenError::NotADirectory {
                path: dir.to_owned(),
            },
            _ => io_error("create", dir, source),
        })?;
    for made in dir.ancestors().take(2) {
        if !made.as_os_str().is_empty() {
            sync(made)?;
        }
    }
    Ok(())
}

/// Returns the process that has the lock, if it has said so.
fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn is_alive(process: u32) -> bool {
    i32::try_from(process)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|process| test_kill_process(process) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::thread;

    use tempfile::TempDir;

    use super::Lock;
    use crate::ledger::OpenError;

    #[test]
    fn lock_of_a_living_process_is_refused_at_once() {
        let dir = TempDir::new().unwrap();
        let _lock = Lock::take(dir.path()).unwrap();
        let holder = Some(std::process::id());
        match Lock::take(dir.path()).unwrap_err() {
            OpenError::Locked { holder: found, .. } => assert_eq!(found, holder),
            error => panic!("{error}"),
        }
    }

    #[test]
    fn lock_that_a_dead_process_has_left_is_waited_for() {
        let dir = TempDir::new().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        // No process has a number as large as this.
        fs::write(dir.path().join("lock"), i32::MAX.to_string()).unwrap();
        let (begun, beginning) = mpsc::channel();
        let waiting = thread::spawn({
            let dir = dir.path().to_owned();
            move || {
                begun.send(()).unwrap();
                Lock::take(&dir)
            }
        });
        beginning.recv().unwrap();
        drop(lock);
        waiting.join().unwrap().unwrap();
    }
}
