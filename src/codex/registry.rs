//! What is known on disk about running children, so that none outlives its daemon.
//!
//! Each start has a random mark. `<run_dir>/<mark>.json` is its record, `<run_dir>/<mark>.sock` its
//! socket; the child and everything it starts carry the mark in their environment. The record is
//! written before the child is made, so that a crash at any moment leaves something to find it by.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use super::launch::MARK_VARIABLE;
use super::process::{ProcessId, boot_id, marked, raw};

/// How often processes that carry a mark are looked for: one may start another while it is killed.
const ROUNDS: u32 = 20;
const ROUND_PAUSE: Duration = Duration::from_millis(10);

/// One start of one child.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    run_dir: PathBuf,
    mark: String,
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    owner: String,
    boot_id: Option<String>,
    /// Who started it. As long as it lives, nobody else touches the child.
    daemon: Option<ProcessId>,
    /// The child, which leads a process group of the same number. Missing for a moment at start.
    child: Option<ProcessId>,
}

/// What was left behind by a daemon that did not end as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Whose it was.
    pub owner: String,
    /// How many processes had to be killed.
    pub killed: usize,
}

/// The run directory cannot be used. What is shown says what to do as well.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It cannot be made or looked at.
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others could reach our sockets, or put their own in their place.
    NotPrivate(PathBuf),
}

impl RunDirError {
    /// Returns what is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::Io { path, .. } => format!("the run directory {} cannot be used", path.display()),
            Self::NotPrivate(path) => format!(
                "the run directory {} must belong to this user and have mode 0700",
                path.display()
            ),
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Io { .. } => {
                "see that `state_dir` under [daemon] is on a disk with room, and this user's"
                    .to_owned()
            }
            Self::NotPrivate(path) => format!("run `chmod 700 {}`", path.display()),
        }
    }
}

impl fmt::Display for RunDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.remedy())
    }
}

/// Makes the run directory if need be, and sees that it is private.
pub(super) fn prepare(run_dir: &Path) -> Result<(), RunDirError> {
    let failed = |source| RunDirError::Io {
        path: run_dir.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .map_err(failed)?;
    let metadata = fs::metadata(run_dir).map_err(failed)?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !is_ours || metadata.mode() & 0o077 != 0 {
        return Err(RunDirError::NotPrivate(run_dir.to_owned()));
    }
    Ok(())
}

/// Ends what daemons before us have left in a run directory, and removes its files.
///
/// Blocks for up to 200 ms per orphan. Children of a daemon that lives, this one included, are
/// left alone; so is everything that is not certainly one of ours.
///
/// # Errors
/// The directory cannot be made or read. A single record that cannot be read is removed: what it
/// stood for still dies by its parent-death signal.
pub fn reap_orphans(run_dir: &Path) -> Result<Vec<Orphan>, RunDirError> {
    prepare(run_dir)?;
    let failed = |source| RunDirError::Io {
        path: run_dir.to_owned(),
        source,
    };
    let mut orphans = Vec::new();
    for file in fs::read_dir(run_dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        let Some(mark) = path.file_stem().and_then(OsStr::to_str) else {
            continue;
        };
        let entry = Entry {
            run_dir: run_dir.to_owned(),
            mark: mark.to_owned(),
        };
        match path.extension().and_then(OsStr::to_str) {
            Some("json") => {}
            // A socket whose record is gone, or a record that was never finished.
            Some("sock" | "tmp") if !entry.record_path().exists() => {
                entry.remove_files();
                continue;
            }
            _ => continue,
        }
        let record: Option<Record> = fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let Some(record) = record else {
            tracing::warn!(path = %path.display(), "removed a record that cannot be read");
            entry.remove_files();
            continue;
        };
        if record.boot_id == boot_id() && record.daemon.is_some_and(ProcessId::is_alive) {
            continue;
        }
        let killed = if record.boot_id == boot_id() {
            record.child.map_or(0, kill_group_of) + entry.kill_marked()
        } else {
            0
        };
        entry.remove_files();
        tracing::warn!(
            owner = record.owner,
            killed,
            "cleaned up after an earlier daemon"
        );
        orphans.push(Orphan {
            owner: record.owner,
            killed,
        });
    }
    Ok(orphans)
}

/// Kills the group that a process leads, if it is still that process.
fn kill_group_of(child: ProcessId) -> usize {
    let Some(group) = raw(child.pid) else {
        return 0;
    };
    // While the leader is there, its number cannot belong to another group.
    let descendants = child.descendants();
    if !child.is_alive() || kill_process_group(group, Signal::KILL).is_err() {
        return 0;
    }
    1 + kill_all(&descendants)
}

/// Kills those processes that are still there.
pub(super) fn kill_all(processes: &[ProcessId]) -> usize {
    processes
        .iter()
        .filter(|process| process.signal(Signal::KILL))
        .count()
}

impl Entry {
    /// Records that a child is about to be made.
    pub(super) fn create(run_dir: &Path, owner: &str) -> Result<Self, RunDirError> {
        let entry = Self {
            run_dir: run_dir.to_owned(),
            mark: uuid::Uuid::now_v7().simple().to_string(),
        };
        entry.write(owner, None)?;
        Ok(entry)
    }

    /// Records which process the child is.
    pub(super) fn set_child(&self, owner: &str, pid: u32) -> Result<(), RunDirError> {
        self.write(owner, ProcessId::of(pid))
    }

    /// Returns the mark.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Returns where the socket is to be.
    pub(super) fn socket_path(&self) -> PathBuf {
        self.run_dir.join(format!("{}.sock", self.mark))
    }

    /// Kills everything that carries the mark, and returns how many there were.
    pub(super) fn kill_marked(&self) -> usize {
        let mut killed = 0;
        for round in 0..ROUNDS {
            let processes = marked(MARK_VARIABLE, &self.mark);
            if processes.is_empty() {
                break;
            }
            // Those killed in the round before may still be on their way out.
            if round == 0 {
                killed = processes.len();
            }
            kill_all(&processes);
            std::thread::sleep(ROUND_PAUSE);
        }
        killed
    }

    /// Removes the socket, what codex keeps for it elsewhere, and the record, which goes last.
    pub(super) fn remove_files(&self) {
        let link = self.socket_path();
        if let Ok(target) = fs::read_link(&link)
            && is_codex_socket(&target)
        {
            let mut lock = target.clone().into_os_string();
            lock.push(".lock");
            remove(&target);
            remove(Path::new(&lock));
        }
        let is_removable = fs::symlink_metadata(&link)
            .is_ok_and(|metadata| metadata.is_symlink() || metadata.file_type().is_socket());
        if is_removable {
            remove(&link);
        }
        remove(&self.path_with("tmp"));
        remove(&self.record_path());
    }

    fn write(&self, owner: &str, child: Option<ProcessId>) -> Result<(), RunDirError> {
        let record = Record {
            owner: owner.to_owned(),
            boot_id: boot_id(),
            daemon: ProcessId::of(std::process::id()),
            child,
        };
        let temporary = self.path_with("tmp");
        serde_json::to_vec(&record)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&temporary, text))
            .and_then(|()| fs::rename(&temporary, self.record_path()))
            .map_err(|source| RunDirError::Io {
                path: self.run_dir.clone(),
                source,
            })
    }

    fn record_path(&self) -> PathBuf {
        self.path_with("json")
    }

    fn path_with(&self, extension: &str) -> PathBuf {
        self.run_dir.join(format!("{}.{extension}", self.mark))
    }
}

/// Codex puts the real socket into `/tmp/codex-daemon-<uid>/` under 64 hex digits. A link that
/// leads anywhere else is not followed.
fn is_codex_socket(target: &Path) -> bool {
    let directory = format!("/tmp/codex-daemon-{}", rustix::process::geteuid().as_raw());
    let name = target
        .file_name()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    target.parent() == Some(Path::new(&directory))
        && name.len() == 64
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove a file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_directory_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(
            prepare(dir.path()),
            Err(RunDirError::NotPrivate(_))
        ));
    }

    /// A private directory inside of another.
    fn run_dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        prepare(&run_dir).unwrap();
        (dir, run_dir)
    }

    fn rewrite(entry: &Entry, boot_id: Option<String>, child: Option<ProcessId>) {
        let record = Record {
            owner: "flow".to_owned(),
            boot_id,
            daemon: None,
            child,
        };
        fs::write(entry.record_path(), serde_json::to_vec(&record).unwrap()).unwrap();
    }

    fn orphan(killed: usize) -> [Orphan; 1] {
        let owner = "flow".to_owned();
        [Orphan { owner, killed }]
    }

    fn sleeper(mark: Option<&str>) -> std::process::Child {
        let mut command = std::process::Command::new("sleep");
        command.arg("1000").process_group(0);
        if let Some(mark) = mark {
            command.env(MARK_VARIABLE, mark);
        }
        let child = command.spawn().unwrap();
        // A process that has just begun may not show its environment yet.
        let environ = format!("/proc/{}/environ", child.id());
        let shows = |mark: &str| {
            let environ = fs::read(&environ).unwrap_or_default();
            String::from_utf8_lossy(&environ).contains(mark)
        };
        while cfg!(target_os = "linux") && mark.is_some_and(|mark| !shows(mark)) {
            std::thread::yield_now();
        }
        child
    }

    #[test]
    fn the_children_of_a_living_daemon_are_left_alone() {
        let (_dir, run_dir) = run_dir();
        let entry = Entry::create(&run_dir, "flow").unwrap();
        assert_eq!(reap_orphans(&run_dir).unwrap(), []);
        assert!(entry.record_path().exists());
    }

    #[test]
    fn of_an_earlier_boot_only_the_files_are_removed() {
        let (_dir, run_dir) = run_dir();
        let entry = Entry::create(&run_dir, "flow").unwrap();
        // Our own number: were the boot not looked at, this test would not end.
        let ourselves = ProcessId::of(std::process::id());
        rewrite(&entry, Some("another".to_owned()), ourselves);
        assert_eq!(reap_orphans(&run_dir).unwrap(), orphan(0));
        assert!(!entry.record_path().exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_orphan_and_what_carries_its_mark_are_killed() {
        use std::os::unix::process::ExitStatusExt;

        let (_dir, run_dir) = run_dir();
        let entry = Entry::create(&run_dir, "flow").unwrap();
        let mut child = sleeper(None);
        let mut detached = sleeper(Some(entry.mark()));
        rewrite(&entry, boot_id(), ProcessId::of(child.id()));
        // Processes that are zombies for want of a waiting parent count as gone.
        assert_eq!(reap_orphans(&run_dir).unwrap(), orphan(2));
        for process in [&mut child, &mut detached] {
            assert_eq!(process.wait().unwrap().signal(), Some(9));
        }
        assert_eq!(fs::read_dir(&run_dir).unwrap().count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_crash_before_the_child_was_recorded_leaves_it_to_be_found_by_its_mark() {
        use std::os::unix::process::ExitStatusExt;

        let (_dir, run_dir) = run_dir();
        let entry = Entry::create(&run_dir, "flow").unwrap();
        let mut child = sleeper(Some(entry.mark()));
        rewrite(&entry, boot_id(), None);
        assert_eq!(reap_orphans(&run_dir).unwrap(), orphan(1));
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stranger_that_was_given_the_number_is_left_alone() {
        let (_dir, run_dir) = run_dir();
        let entry = Entry::create(&run_dir, "flow").unwrap();
        let mut stranger = sleeper(Some("another-mark"));
        let mut recorded = ProcessId::of(stranger.id()).unwrap();
        recorded.start_time -= 1;
        rewrite(&entry, boot_id(), Some(recorded));
        assert_eq!(reap_orphans(&run_dir).unwrap(), orphan(0));
        assert_eq!(stranger.try_wait().unwrap(), None, "it runs");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[test]
    fn a_record_that_cannot_be_read_is_removed() {
        let (_dir, run_dir) = run_dir();
        let entry = Entry::create(&run_dir, "flow").unwrap();
        fs::write(entry.record_path(), "{").unwrap();
        assert_eq!(reap_orphans(&run_dir).unwrap(), []);
        assert!(!entry.record_path().exists());
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_removed_and_its_target_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "x").unwrap();
        let entry = Entry::create(dir.path(), "flow").unwrap();
        symlink(&precious, entry.socket_path()).unwrap();
        entry.remove_files();
        assert!(precious.exists());
        assert!(fs::symlink_metadata(entry.socket_path()).is_err());
    }

    #[test]
    fn a_file_in_the_socket_s_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry::create(dir.path(), "flow").unwrap();
        fs::write(entry.socket_path(), "x").unwrap();
        entry.remove_files();
        assert!(entry.socket_path().exists());
    }
}
