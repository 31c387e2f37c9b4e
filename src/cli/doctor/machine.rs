//! The machine: the state directory, limits, git.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};

use super::Examined;
use crate::cli::checks::{Checks, Outcome};
use crate::cli::failure::Failure;
use crate::codex::Environment;
use crate::codex::binary;
use crate::config::Config;

/// Below that the ledger will soon not be writable, and then nothing is accepted.
const LITTLE_SPACE: u64 = 50 << 20;
/// Below that somebody should look what fills the disk.
const ENOUGH_SPACE: u64 = 500 << 20;
/// How many open files a daemon with some children and connections may need.
const ENOUGH_FILES: u64 = 1024;

/// Looks at it.
pub(super) fn check(
    checks: &mut Checks,
    config: &Config,
    examined: &Examined<'_>,
) -> Result<(), Failure> {
    let state_dir = &config.daemon.state_dir;
    checks.tell("state directory", state_directory(state_dir))?;
    checks.tell("disk", disk(state_dir))?;
    checks.tell(
        "open files",
        open_files(getrlimit(Resource::Nofile).current),
    )?;
    let with_teammates = examined
        .dispatchers
        .iter()
        .any(|(_, it)| it.has_teammates());
    checks.tell("git", git(with_teammates, &Environment::of_this_process()))
}

/// Looks whether the daemon can keep its state there. Leaves nothing behind.
fn state_directory(path: &Path) -> Outcome {
    let shown = path.display();
    let elsewhere = "or choose another `state_dir` under [daemon]";
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = existing(path);
            return match access(above, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => Outcome::Ok(format!("{shown} is made at the first start")),
                Err(error) => Outcome::failed(
                    format!(
                        "{shown} cannot be made, for {} is not writable: {error}",
                        above.display()
                    ),
                    format!("make it for the user that runs tieline, {elsewhere}"),
                ),
            };
        }
        Err(error) => {
            return Outcome::failed(
                format!("{shown} cannot be looked at: {error}"),
                format!("see that the user that runs tieline may enter it, {elsewhere}"),
            );
        }
    };
    if !metadata.is_dir() {
        return Outcome::failed(
            format!("{shown} is not a directory"),
            format!("move it away, {elsewhere}"),
        );
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Outcome::failed(
            format!("{shown} belongs to another user"),
            format!("run tieline, and the doctor, as that user, {elsewhere}"),
        );
    }
    if let Err(error) = try_to_write(path) {
        return Outcome::failed(
            format!("{shown} cannot be written to safely: {error}"),
            format!("see that its disk has room and is mounted to be written to, {elsewhere}"),
        );
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("{shown} is open to other users (mode {mode:03o})");
        return Outcome::warning(what, format!("run `chmod 700 {shown}`"));
    }
    Outcome::Ok(format!(
        "{shown} is private, and what is written there is kept"
    ))
}

/// Returns the nearest directory above that is there.
fn existing(path: &Path) -> &Path {
    let mut above = path.ancestors().skip(1);
    above
        .find(|directory| directory.exists())
        .unwrap_or(Path::new("/"))
}

/// Writes a file as the ledger does, syncs it, and removes it.
fn try_to_write(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".doctor-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(b"tieline doctor\n")?;
            file.sync_all()
        })
        .and_then(|()| File::open(directory)?.sync_all());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => written,
    }
}

fn disk(state_dir: &Path) -> Outcome {
    let at = if state_dir.exists() {
        state_dir
    } else {
        existing(state_dir)
    };
    match statvfs(at) {
        Ok(found) => {
            let entries = (found.f_files > 0).then_some(found.f_favail);
            free(found.f_bavail.saturating_mul(found.f_frsize), entries)
        }
        Err(error) => Outcome::warning(
            format!(
                "the disk of {} does not tell its free space: {error}",
                at.display()
            ),
            "see for yourself with `df`",
        ),
    }
}

/// Judges how many bytes, and how many entries if they are limited, are free.
fn free(bytes: u64, entries: Option<u64>) -> Outcome {
    let remedy =
        "free some space; when it is used up nothing more is accepted, and nothing is lost";
    let text = format!("{} MiB are free", bytes >> 20);
    if let Some(entries @ 0..1_000) = entries {
        return Outcome::failed(format!("{entries} more files can be made"), remedy);
    }
    if bytes < LITTLE_SPACE {
        return Outcome::failed(text, remedy);
    }
    if bytes < ENOUGH_SPACE {
        return Outcome::warning(text, remedy);
    }
    Outcome::Ok(text)
}

/// Judges the limit of open files.
fn open_files(limit: Option<u64>) -> Outcome {
    match limit {
        Some(limit) if limit < ENOUGH_FILES => Outcome::warning(
            format!("a process may have {limit} files open, which may be too few"),
            format!(
                "run `ulimit -n {ENOUGH_FILES}` before `tieline run`; the service sets it by itself"
            ),
        ),
        Some(limit) => Outcome::Ok(format!("a process may have {limit}")),
        None => Outcome::Ok("a process may have any number".to_owned()),
    }
}

/// Looks for git, which makes the worktrees of teammates.
fn git(with_teammates: bool, environment: &Environment) -> Outcome {
    match binary::on_path(Path::new("git"), environment) {
        _ if !with_teammates => {
            Outcome::Skipped("there are no teammates, who alone need it".to_owned())
        }
        Some(path) => Outcome::Ok(path.display().to_string()),
        None => Outcome::warning(
            "git is not on the PATH: teammates cannot be given a worktree",
            "install git, or see that the PATH of the daemon leads to it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn assert_tells(outcome: &Outcome, what: &str, remedy: &str) {
        let Outcome::Problem(problem) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(problem.what.contains(what), "{problem:?}");
        assert!(problem.remedy.contains(remedy), "{problem:?}");
    }

    #[test]
    fn state_directory_in_order_is_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let found = state_directory(&state);
        assert!(matches!(&found, Outcome::Ok(text) if text.contains("first start")));
        assert!(!state.exists());
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(state_directory(&state), Outcome::Ok(_)));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    #[test]
    fn state_directory_that_cannot_be_used_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let found = state_directory(&file);
        assert_tells(&found, "is not a directory", "move it away");
        assert!(found.is_failed());
        let found = state_directory(&file.join("state"));
        assert_tells(&found, "cannot be looked at", "state_dir");
        assert!(found.is_failed());
        let found = state_directory(Path::new("/proc/self"));
        assert_tells(&found, "cannot be written to", "room");
        let open = directory.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o750)).unwrap();
        let found = state_directory(&open);
        assert_tells(&found, "mode 750", "chmod 700");
        assert!(!found.is_failed());
    }

    #[test]
    fn full_disk_is_told_before_it_is_full() {
        assert!(matches!(free(10 << 30, Some(10_000)), Outcome::Ok(_)));
        let low = free(100 << 20, None);
        assert_tells(&low, "100 MiB", "free some space");
        assert!(!low.is_failed());
        assert!(free(10 << 20, None).is_failed());
        let found = free(10 << 30, Some(3));
        assert_tells(&found, "3 more files", "free some space");
        assert!(found.is_failed());
    }

    #[test]
    fn few_open_files_are_a_doubt() {
        assert_tells(&open_files(Some(256)), "256", "ulimit -n 1024");
        assert!(matches!(open_files(Some(1_048_576)), Outcome::Ok(_)));
        assert!(matches!(open_files(None), Outcome::Ok(_)));
    }

    #[test]
    fn git_is_missed_by_teammates_alone() {
        let nowhere = Environment::from_iter([("PATH", "/nonexistent")]);
        assert_tells(&git(true, &nowhere), "not on the PATH", "install git");
        assert!(matches!(git(false, &nowhere), Outcome::Skipped(_)));
    }
}
