//! A repository, as far as its worktrees need it.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;

use super::files::is_empty;
use super::git::Call;
use super::{Turn, WorktreeError};

/// What git writes into the lock of a worktree that is not whole yet.
const INITIALIZING: &str = "initializing";

/// How git shows what is staged for a submodule: its mode is that of no file.
const SUBMODULE: &str = "160000 ";

/// A repository in which it is our turn.
pub(super) struct Repository {
    top_level: PathBuf,
    common_dir: PathBuf,
    turn: Turn,
}

/// A worktree that the repository knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Registered {
    /// Where it should be; the directory may be missing.
    pub(super) path: PathBuf,
    /// What is checked out; nothing in a bare repository.
    pub(super) checked_out: Option<CheckedOut>,
    /// Why it is locked, if it is; empty if nobody says.
    pub(super) lock: Option<String>,
}

/// What is checked out in a worktree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CheckedOut {
    /// A branch, without `refs/heads/`. It may have no commit.
    Branch(String),
    /// A commit, and no branch.
    Commit(String),
}

impl Repository {
    /// Waits for our turn in the repository of a working tree.
    ///
    /// # Errors
    ///
    /// When there is none any more, or git cannot be run.
    pub(super) async fn take(top_level: &Path) -> Result<Self, WorktreeError> {
        let gone = || WorktreeError::RepositoryGone {
            repository: top_level.to_owned(),
        };
        if !fs::try_exists(top_level).await.unwrap_or(true) {
            return Err(gone());
        }
        let answer = Call::new(top_level, "rev-parse --path-format=absolute")
            .arg("--git-common-dir")
            .answer()
            .await?;
        if answer.says("not a git repository") {
            return Err(gone());
        }
        let common_dir = PathBuf::from(answer.or_error()?);
        Ok(Self {
            top_level: top_level.to_owned(),
            turn: Turn::take(&common_dir).await?,
            common_dir,
        })
    }

    /// Begins a call in its working tree.
    pub(super) fn call(&self, name: &'static str) -> Call {
        Call::new(&self.top_level, name).within(&self.turn)
    }

    /// Returns all its worktrees, the main one too.
    pub(super) async fn worktrees(&self) -> Result<Vec<Registered>, WorktreeError> {
        let list = self.call("worktree list --porcelain").run().await?;
        Ok(read_list(&list))
    }

    /// Returns whether there is a branch of this name, with a commit.
    pub(super) async fn has_branch(&self, branch: &str) -> Result<bool, WorktreeError> {
        has_commit(&self.top_level, &format!("refs/heads/{branch}")).await
    }

    /// Returns where the files of git for a worktree are, after putting the file right that leads
    /// there from its directory. `None` if that does not help.
    pub(super) async fn mend(&self, path: &Path) -> Result<Option<PathBuf>, WorktreeError> {
        if let Some(git_dir) = self.git_dir_of(path).await? {
            return Ok(Some(git_dir));
        }
        // What it says is about all worktrees: only the result for ours matters.
        self.call("worktree repair").answer().await?;
        self.git_dir_of(path).await
    }

    async fn git_dir_of(&self, path: &Path) -> Result<Option<PathBuf>, WorktreeError> {
        let answer = Call::new(path, "rev-parse --path-format=absolute")
            .args(["--show-toplevel", "--git-common-dir", "--git-dir"])
            .answer()
            .await?;
        let lines: Vec<&Path> = answer.printed.lines().map(Path::new).collect();
        Ok(match lines[..] {
            [top_level, common_dir, git_dir]
                if answer.is_ok && top_level == path && common_dir == self.common_dir =>
            {
                Some(git_dir.to_owned())
            }
            _ => None,
        })
    }

    /// Makes a worktree of a branch; of a new one at the present commit if there is none.
    pub(super) async fn add(&self, path: &Path, branch: &str) -> Result<(), WorktreeError> {
        let add = self.call("worktree add");
        let add = if self.has_branch(branch).await? {
            add.arg("--").arg(path).arg(branch)
        } else {
            add.args(["--no-track", "-b", branch, "--"])
                .arg(path)
                .arg("HEAD")
        };
        add.run().await?;
        Ok(())
    }

    /// Forgets a worktree whose directory is missing, and no other.
    pub(super) async fn forget(&self, path: &Path) -> Result<(), WorktreeError> {
        // Forced twice, it goes if it is locked as well.
        self.call("worktree remove --force --force --")
            .arg(path)
            .run()
            .await?;
        Ok(())
    }

    /// Returns how many commits of a branch are on no other branch, of here or as known from elsewhere.
    pub(super) async fn commits_only_on(&self, branch: &str) -> Result<u64, WorktreeError> {
        let count = self
            .call("rev-list --count")
            .arg(format!("refs/heads/{branch}"))
            .arg("--not")
            .arg(format!("--exclude={branch}"))
            .args(["--branches", "--remotes"]);
        self.count_beside_head(count).await
    }

    /// Returns how many commits would be on no branch and under no tag if a commit were forgotten.
    pub(super) async fn commits_only_at(&self, commit: &str) -> Result<u64, WorktreeError> {
        let count = self.call("rev-list --count").arg(commit).args([
            "--not",
            "--branches",
            "--remotes",
            "--tags",
        ]);
        self.count_beside_head(count).await
    }

    /// Counts commits, but for those that people have checked out without a branch: a worktree that
    /// began there has none of its own.
    async fn count_beside_head(&self, count: Call) -> Result<u64, WorktreeError> {
        let on_branch = self.call("symbolic-ref --quiet HEAD").answer().await?;
        let count = if on_branch.is_ok {
            count
        } else {
            count.arg("HEAD")
        };
        Ok(number_in(&count.run().await?))
    }
}

impl Registered {
    /// Returns whether git was stopped before it was whole, so that nobody has worked in it.
    pub(super) fn is_half_made(&self) -> bool {
        self.lock.as_deref() == Some(INITIALIZING)
    }
}

/// Returns whether a revision names a commit.
pub(super) async fn has_commit(directory: &Path, revision: &str) -> Result<bool, WorktreeError> {
    let answer = Call::new(directory, "rev-parse --verify --quiet")
        .arg(format!("{revision}^{{commit}}"))
        .answer()
        .await?;
    Ok(answer.is_ok)
}

/// Returns how many changes there are that no commit has; ignored files are none. Of submodules it is
/// only seen which commit they have.
pub(super) async fn uncommitted_changes(
    tree: &Path,
    git_dir: &Path,
) -> Result<usize, WorktreeError> {
    // Whatever the repository's own settings hide. In a submodule, git would start another git, which
    // does what the settings say that are there: those are the teammate's.
    let status = Call::in_tree(tree, git_dir, "status --porcelain")
        .args(["--untracked-files=normal", "--ignore-submodules=dirty"])
        .run()
        .await?;
    Ok(status.lines().count())
}

/// Returns how many submodules have anything in their directories. Whether that is changed, nobody can
/// say without a git that trusts what is there.
pub(super) async fn filled_submodules(tree: &Path, git_dir: &Path) -> Result<usize, WorktreeError> {
    let submodules = Call::in_tree(tree, git_dir, "ls-files --stage -z")
        .only(SUBMODULE)
        .run()
        .await?;
    let mut filled = 0;
    for entry in submodules.split_terminator('\0') {
        let path = entry.split_once('\t').map_or("", |(_, path)| path);
        // One that is no Unicode is not found as it is shown: better kept than lost.
        let is_readable = !path.contains(char::REPLACEMENT_CHARACTER);
        if !is_readable || !is_empty(&tree.join(path)).await {
            filled += 1;
        }
    }
    Ok(filled)
}

/// Returns how many commits of a worktree's submodules are on no remote: those are in the worktree's
/// own files, and go with it.
///
/// # Errors
///
/// When they cannot be looked at.
pub(super) async fn commits_only_in_submodules(git_dir: &Path) -> Result<u64, WorktreeError> {
    let mut commits = 0;
    let mut directories = vec![git_dir.join("modules")];
    while let Some(directory) = directories.pop() {
        if fs::try_exists(directory.join("HEAD")).await.unwrap_or(true) {
            let count = Call::on_files(&directory, "rev-list --count --all --not --remotes");
            commits += number_in(&count.run().await?);
            directories.push(directory.join("modules"));
        } else {
            directories.extend(directories_in(&directory).await.map_err(|source| {
                WorktreeError::Directory {
                    done: "read",
                    path: directory,
                    source,
                }
            })?);
        }
    }
    Ok(commits)
}

async fn directories_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries = match fs::read_dir(directory).await {
        Ok(entries) => entries,
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(failure) => return Err(failure),
    };
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_type().await?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Reads what `git worktree list --porcelain` prints. What it has for newer gits is passed over.
pub(super) fn read_list(list: &str) -> Vec<Registered> {
    let mut worktrees: Vec<Registered> = Vec::new();
    let mut head = "";
    for line in list.lines() {
        let (label, value) = line.split_once(' ').unwrap_or((line, ""));
        if label == "worktree" {
            worktrees.push(Registered {
                path: PathBuf::from(value),
                ..Registered::default()
            });
            continue;
        }
        let Some(worktree) = worktrees.last_mut() else {
            continue;
        };
        match label {
            "HEAD" => head = value,
            "branch" => {
                let branch = value.strip_prefix("refs/heads/").unwrap_or(value);
                worktree.checked_out = Some(CheckedOut::Branch(branch.to_owned()));
            }
            "detached" => worktree.checked_out = Some(CheckedOut::Commit(head.to_owned())),
            "locked" => worktree.lock = Some(value.to_owned()),
            _ => {}
        }
    }
    worktrees
}

/// Returns the number that git printed. One that cannot be read counts as more than none, so that
/// nothing is removed for it.
fn number_in(printed: &str) -> u64 {
    printed.trim().parse().unwrap_or(1)
}
