//! The `git` program, as everything here calls it.
//!
//! A teammate may have written whatever it likes into its worktree, and git is not confined as the
//! teammate is: no hook and no file system monitor that a repository names is run, and git is not sent
//! into submodules, which have settings of their own. Filters are those of the repository's settings,
//! whatever the worktree asks for.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Turn, WorktreeError};

/// How long a call may take: a large repository on a slow disk is checked out for minutes.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// How much of what it prints is kept, in bytes. The rest is read, so that it does not wait.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// How many lines people are shown of what it says went wrong, and of how many characters.
const SHOWN_LINES: usize = 3;
const SHOWN_CHARACTERS: usize = 300;

/// What tells git which repository to work on, and how: `git rev-parse --local-env-vars`, and what
/// is akin to it. A daemon that was started by a hook has them.
const REPOSITORY_VARIABLES: [&str; 19] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TRACE",
    "GIT_WORK_TREE",
];

/// A call of git.
pub(super) struct Call {
    command: Command,
    name: &'static str,
    only: Option<&'static str>,
}

/// How a call ended.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether git was content.
    pub(super) is_ok: bool,
    /// What it printed, without the last line's end.
    pub(super) printed: String,
    /// What it said beside that.
    said: String,
    name: &'static str,
}

impl Call {
    /// Begins a call in a directory; `name` is the command of git, such as `worktree add`.
    pub(super) fn new(directory: &Path, name: &'static str) -> Self {
        Self::with(&[OsStr::new("-C"), directory.as_os_str()], name)
    }

    /// Begins a call in a working tree, the files of its repository being where we say and not where
    /// something in it says.
    pub(super) fn in_tree(tree: &Path, git_dir: &Path, name: &'static str) -> Self {
        let tree = tree.as_os_str();
        let before = [
            OsStr::new("-C"),
            tree,
            OsStr::new("--git-dir"),
            git_dir.as_os_str(),
            OsStr::new("--work-tree"),
            tree,
        ];
        Self::with(&before, name)
    }

    /// Begins a call on the files of a repository, whatever working tree belongs to it.
    pub(super) fn on_files(git_dir: &Path, name: &'static str) -> Self {
        Self::with(&[OsStr::new("--git-dir"), git_dir.as_os_str()], name)
    }

    fn with(before: &[&OsStr], name: &'static str) -> Self {
        let mut command = Command::new("git");
        for variable in REPOSITORY_VARIABLES {
            command.env_remove(variable);
        }
        command
            // What it says is read, and nobody is there to be asked.
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // One that is there: when a start fails for want of a file, the program is missing.
            .current_dir("/")
            .args(before)
            .args([
                "-c",
                "core.hooksPath=/dev/null",
                "-c",
                "core.fsmonitor=false",
                // Codex guards `.git`, and not what has the files of a repository without it.
                "-c",
                "safe.bareRepository=explicit",
            ])
            .args(name.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        Self {
            command,
            name,
            only: None,
        }
    }

    /// Keeps of what it prints only the entries that begin so, each with the NUL that ends it.
    pub(super) fn only(mut self, beginning: &'static str) -> Self {
        self.only = Some(beginning);
        self
    }

    /// Lets the turn last as long as git and everything that it starts, even if we end before.
    pub(super) fn within(mut self, turn: &Turn) -> Self {
        self.command.stdin(turn.to_inherit());
        self
    }

    /// Adds an argument.
    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(super) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Makes the call, and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or git is not content.
    pub(super) async fn run(self) -> Result<String, WorktreeError> {
        self.answer().await?.or_error()
    }

    /// Makes the call, and returns how it ended.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or a lock is in the way.
    pub(super) async fn answer(mut self) -> Result<Answer, WorktreeError> {
        let (name, only) = (self.name, self.only);
        let failed = |source| WorktreeError::NotRun { name, source };
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => {
                return Err(WorktreeError::NoGit);
            }
            Err(failure) => return Err(failed(failure)),
        };
        // It starts others, as for a checkout: they are to go with it.
        let mut group = KillOnDrop(child.id().and_then(raw));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let everything = async {
            let printed = async {
                match only {
                    None => beginning_of(stdout).await,
                    Some(beginning) => entries_of(stdout, beginning).await,
                }
            };
            let (printed, said) = tokio::try_join!(printed, beginning_of(stderr))?;
            Ok((printed, said, child.wait().await?))
        };
        let (mut printed, said, status) = timeout(DEADLINE, everything)
            .await
            .map_err(|_elapsed| WorktreeError::Slow {
                name,
                after: DEADLINE,
            })?
            .map_err(failed)?;
        group.0 = None;
        if printed.ends_with('\n') {
            printed.pop();
        }
        let answer = Answer {
            is_ok: status.success(),
            printed,
            said,
            name,
        };
        if !answer.is_ok && tells_of_a_lock(&answer.said) {
            return Err(WorktreeError::Locked {
                said: shown(&answer.said),
            });
        }
        Ok(answer)
    }
}

impl Answer {
    /// Returns whether git said this when it was not content.
    pub(super) fn says(&self, words: &str) -> bool {
        !self.is_ok && self.said.contains(words)
    }

    /// Returns what git printed.
    ///
    /// # Errors
    ///
    /// When it was not content.
    pub(super) fn or_error(self) -> Result<String, WorktreeError> {
        if self.is_ok {
            return Ok(self.printed);
        }
        Err(WorktreeError::Git {
            name: self.name,
            said: shown(&self.said),
        })
    }
}

/// Returns whether another git was at the same files at the same moment, or died doing that.
pub(super) fn tells_of_a_lock(said: &str) -> bool {
    said.contains("File exists")
        && (said.contains(".lock'") || said.contains("could not lock config file"))
}

/// Returns the lines that say what went wrong, for people.
pub(super) fn shown(said: &str) -> String {
    let is_telling = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let all = || said.lines().filter(|line| !line.trim().is_empty());
    let telling: Vec<&str> = match all().filter(is_telling).take(SHOWN_LINES).collect() {
        none if Vec::<&str>::is_empty(&none) => all().take(SHOWN_LINES).collect(),
        telling => telling,
    };
    let text = without_credentials(&telling.join("\n"));
    text.chars().take(SHOWN_CHARACTERS).collect()
}

/// Takes out what stands before the host in addresses: `https://user:token@host/`.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let host_ends = part
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(part.len());
        let host_begins = part[..host_ends].rfind('@').map_or(0, |at| at + 1);
        clean.push_str("://");
        clean.push_str(&part[host_begins..]);
    }
    clean
}

async fn beginning_of(reader: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut reader) = reader {
        (&mut reader)
            .take(MAX_OUTPUT)
            .read_to_end(&mut kept)
            .await?;
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?;
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// Returns the entries that begin with `beginning`, of which only few are expected.
async fn entries_of(reader: Option<impl AsyncRead + Unpin>, beginning: &str) -> io::Result<String> {
    let mut kept = Vec::new();
    let Some(reader) = reader else {
        return Ok(String::new());
    };
    let mut reader = BufReader::new(reader);
    let mut entry = Vec::new();
    while reader.read_until(0, &mut entry).await? > 0 {
        if entry.starts_with(beginning.as_bytes()) {
            kept.append(&mut entry);
        }
        entry.clear();
    }
    Ok(String::from_utf8_lossy(&kept).into_owned())
}

/// A process group that is not to outlive its usefulness. Its leader must not have been reaped.
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have gone by itself, which is as good.
            let _gone: Result<(), Errno> = kill_process_group(group, Signal::KILL);
        }
    }
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: &str = "Preparing worktree (new branch 'tieline/b')
fatal: cannot lock ref 'refs/heads/tieline/b': Unable to create '/r/.git/refs/heads/tieline/b.lock': File exists.

Another git process seems to be running in this repository, e.g.
an editor opened by 'git commit'. Please make sure all processes
are terminated then try again.";

    #[test]
    fn only_the_lock_of_another_git_is_waited_for() {
        for said in [
            LOCKED,
            "fatal: Unable to create '/r/.git/index.lock': File exists.",
            "error: could not lock config file .git/config: File exists",
        ] {
            assert!(tells_of_a_lock(said), "{said}");
        }
        for said in [
            "",
            "fatal: '/w' already exists",
            "fatal: could not create directory of '/w': File exists",
            "fatal: Unable to create '/r/.git/index.lock': Permission denied",
            "fatal: cannot lock ref 'refs/heads/tieline/b': 'refs/heads/tieline' exists",
        ] {
            assert!(!tells_of_a_lock(said), "{said}");
        }
    }

    #[test]
    fn people_are_shown_the_lines_that_say_what_went_wrong() {
        assert_eq!(
            shown(LOCKED),
            "fatal: cannot lock ref 'refs/heads/tieline/b': Unable to create \
             '/r/.git/refs/heads/tieline/b.lock': File exists."
        );
        assert_eq!(shown("a\n\nb\nc\nd\n"), "a\nb\nc");
        assert_eq!(shown(&"ä".repeat(1_000)).chars().count(), SHOWN_CHARACTERS);
    }

    #[test]
    fn nothing_that_gives_access_to_a_remote_is_shown() {
        for (said, expected) in [
            (
                "unable to access 'https://me:secret@host/r.git/': 403",
                "unable to access 'https://host/r.git/': 403",
            ),
            ("https://secret@host ssh://a@b@c", "https://host ssh://c"),
            ("at https://host/a@b", "at https://host/a@b"),
            ("mail a@b", "mail a@b"),
        ] {
            assert_eq!(shown(said), expected);
        }
    }

    #[tokio::test]
    async fn a_missing_git_is_told_from_a_missing_directory() {
        let mut call = Call::new(Path::new("/"), "status");
        call.command.env("PATH", "/nowhere");
        assert!(matches!(call.run().await, Err(WorktreeError::NoGit)));
        let call = Call::new(Path::new("/nowhere"), "status");
        assert!(matches!(call.run().await, Err(WorktreeError::Git { .. })));
    }

    #[tokio::test]
    async fn more_than_is_kept_is_read_all_the_same() {
        let lines = vec![b'x'; 3 * MAX_OUTPUT as usize];
        let mut reader = lines.as_slice();
        let kept = beginning_of(Some(&mut reader)).await.unwrap();
        assert_eq!(kept.len(), MAX_OUTPUT as usize);
        assert!(reader.is_empty());
    }

    #[tokio::test]
    async fn only_the_entries_that_are_asked_for_are_kept_however_many_others_there_are() {
        let others = "100644 x\tfile\0".repeat(MAX_OUTPUT as usize / 8);
        let printed = format!("160000 a\tone\0{others}160000 b\ttwo\n2\0");
        let mut reader = printed.as_bytes();
        let kept = entries_of(Some(&mut reader), "160000 ").await.unwrap();
        assert_eq!(kept, "160000 a\tone\x00160000 b\ttwo\n2\0");
    }

    #[test]
    fn git_is_told_nothing_of_another_repository() {
        let call = Call::new(Path::new("/"), "status");
        let unset: Vec<_> = call
            .command
            .as_std()
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        let local = std::process::Command::new("git")
            .args(["rev-parse", "--local-env-vars"])
            .output()
            .unwrap();
        for variable in String::from_utf8(local.stdout).unwrap().lines() {
            assert!(unset.iter().any(|name| name == variable), "{variable}");
        }
    }
}
