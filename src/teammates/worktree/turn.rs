//! One at a time in a repository.
//!
//! Git guards its files by locks that it does not wait for, and a worktree that is being made looks
//! like one whose maker died. So we take turns: among ourselves in order, and with other processes of
//! ours by a lock on the repository's directory that git does not know. Whatever git we start inherits
//! that: when we are killed and started again, we wait for the git that was left behind.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use tieline_channel::retry::RetryPolicy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::WorktreeError;

/// How long another process may keep us waiting: a little longer than any of its calls may take.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

/// Who is at work in this process, by repository.
static SEMAPHORES: LazyLock<Mutex<HashMap<PathBuf, Weak<Semaphore>>>> =
    LazyLock::new(Mutex::default);

/// Our turn in a repository, until it is dropped.
pub(super) struct Turn {
    /// Not there where directories cannot be locked, as on some network file systems.
    lock: Option<File>,
    _permit: OwnedSemaphorePermit,
}

impl Turn {
    /// Waits for our turn in the repository whose files are in `common_dir`.
    ///
    /// # Errors
    ///
    /// When another process does not come to an end.
    pub(super) async fn take(common_dir: &Path) -> Result<Self, WorktreeError> {
        let semaphore = semaphore_of(common_dir);
        let permit = semaphore.acquire_owned().await.expect("nobody closes it");
        Ok(Self {
            lock: lock(common_dir).await?,
            _permit: permit,
        })
    }

    /// Returns an empty input that keeps the turn for as long as anybody has it open.
    pub(super) fn to_inherit(&self) -> Stdio {
        let lock = self.lock.as_ref().and_then(|lock| lock.try_clone().ok());
        lock.map_or_else(Stdio::null, Stdio::from)
    }
}

fn semaphore_of(common_dir: &Path) -> Arc<Semaphore> {
    let mut semaphores = SEMAPHORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(semaphore) = semaphores.get(common_dir).and_then(Weak::upgrade) {
        return semaphore;
    }
    semaphores.retain(|_, semaphore| semaphore.strong_count() > 0);
    let semaphore = Arc::new(Semaphore::new(1));
    semaphores.insert(common_dir.to_owned(), Arc::downgrade(&semaphore));
    semaphore
}

async fn lock(common_dir: &Path) -> Result<Option<File>, WorktreeError> {
    let Ok(directory) = File::open(common_dir) else {
        return Ok(None);
    };
    let give_up_at = Instant::now() + PATIENCE;
    let mut delays = RetryPolicy::between(Duration::from_millis(50), Duration::from_secs(1));
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(directory)),
            Err(TryLockError::Error(_unsupported)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() < give_up_at => {
                sleep(delays.next_delay()).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(WorktreeError::Busy {
                    repository: common_dir.to_owned(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_a_git_that_was_left_behind() {
        let repository = tempfile::tempdir().unwrap();
        let turn = Turn::take(repository.path()).await.unwrap();
        let mut left_behind = Command::new("sleep")
            .arg("600")
            .stdin(turn.to_inherit())
            .spawn()
            .unwrap();
        drop(turn);
        let other = File::open(repository.path()).unwrap();
        // Often, for a child of another test has it too until it becomes the program that it runs.
        let is_locked = (0..20_000).all(|_| {
            std::thread::yield_now();
            matches!(other.try_lock(), Err(TryLockError::WouldBlock))
        });
        left_behind.kill().unwrap();
        left_behind.wait().unwrap();
        assert!(is_locked);
        Turn::take(repository.path()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn another_process_is_not_waited_for_for_ever() {
        let repository = tempfile::tempdir().unwrap();
        let other = File::open(repository.path()).unwrap();
        other.lock().unwrap();
        let busy = Turn::take(repository.path()).await;
        assert!(matches!(busy, Err(WorktreeError::Busy { .. })));
    }

    #[tokio::test]
    async fn a_repository_has_one_turn_at_a_time_and_another_has_its_own() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let turn = Turn::take(one.path()).await.unwrap();
        assert_eq!(semaphore_of(one.path()).available_permits(), 0);
        Turn::take(other.path()).await.unwrap();
        drop(turn);
        assert_eq!(semaphore_of(one.path()).available_permits(), 1);
    }
}
