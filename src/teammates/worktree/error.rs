//! Why there is no worktree, or it is still there.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Why a teammate cannot have a worktree, or be rid of it.
#[derive(Debug, Error)]
pub enum WorktreeError {
    /// No branch and no directory can be called so.
    #[error("{name:?} cannot name a worktree; take 1 to 40 of a-z, 0-9 and -, the first no -")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The dispatcher's workspace is not to be found.
    #[error("the workspace {} cannot be used; see that it is there and can be read", path.display())]
    Workspace {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Git could not tell us of the worktree, or nothing could remember where it is.
    #[error(
        "{} has a line break, or characters that are not Unicode; rename it, or use the \
         shared workspace instead",
        path.display()
    )]
    OddPath {
        /// The path.
        path: PathBuf,
    },
    /// There is no git.
    #[error(
        "git is not installed, or not in the daemon's PATH; install it, or use the shared \
         workspace instead"
    )]
    NoGit,
    /// The workspace belongs to no repository.
    #[error(
        "{} is in no git repository; use the shared workspace instead, or run `git init` there \
         and commit",
        workspace.display()
    )]
    NoRepository {
        /// The workspace.
        workspace: PathBuf,
    },
    /// The workspace is a bare repository, or in the files of one.
    #[error(
        "{} has no checked-out files but those of git itself; use the shared workspace instead, or \
         make a working tree the workspace",
        workspace.display()
    )]
    NoWorkingTree {
        /// The workspace.
        workspace: PathBuf,
    },
    /// Nothing was ever committed.
    #[error(
        "the repository {} has no commit to begin from; commit something, or use the shared \
         workspace instead",
        repository.display()
    )]
    NoCommit {
        /// The top level of its working tree.
        repository: PathBuf,
    },
    /// The repository was removed or moved.
    #[error(
        "the repository {} is not there any more; bring it back, or close the teammate",
        repository.display()
    )]
    RepositoryGone {
        /// Where the top level of its working tree was.
        repository: PathBuf,
    },
    /// There is such a branch, or one that begins like it.
    #[error(
        "there is a branch {branch} already, perhaps of an earlier teammate; choose another name, \
         or use the shared workspace instead"
    )]
    BranchTaken {
        /// The branch.
        branch: String,
    },
    /// Git cannot have a branch inside of a branch.
    #[error(
        "a branch {by} is in the way of branches {by}/…; rename it, or use the shared workspace \
         instead"
    )]
    BranchBlocked {
        /// The branch that is in the way.
        by: String,
    },
    /// Somebody else works on the branch.
    #[error(
        "branch {branch} is checked out in {}; check out another one there, or choose another name",
        at.display()
    )]
    BranchInUse {
        /// The branch.
        branch: String,
        /// Which worktree has it.
        at: PathBuf,
    },
    /// There is something where the worktree is to be.
    #[error("{} is there already; choose another name, or move it away", path.display())]
    PathTaken {
        /// Where it is to be.
        path: PathBuf,
    },
    /// Another of our processes does not come to an end.
    #[error(
        "another worktree of {} is being made or removed, and does not come to an end; look for a \
         git that hangs, and end it",
        repository.display()
    )]
    Busy {
        /// The directory of its own files.
        repository: PathBuf,
    },
    /// A lock of git stays in the way.
    #[error(
        "git found the repository locked by another git, for longer than is usual: {said}; if none is \
         running, remove the file that this names, and try again"
    )]
    Locked {
        /// What git says.
        said: String,
    },
    /// Git took too long.
    #[error(
        "`git {name}` was not done after {} min; run it by hand to see why, or use the shared \
         workspace instead",
        after.as_secs() / 60
    )]
    Slow {
        /// Its command.
        name: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// Git is not content.
    #[error(
        "`git {name}` failed: {said}; mend that and try again, or use the shared workspace instead"
    )]
    Git {
        /// Its command.
        name: &'static str,
        /// What it says.
        said: String,
    },
    /// Git could not be run to its end.
    #[error(
        "`git {name}` could not be run; try again in a minute, or use the shared workspace instead"
    )]
    NotRun {
        /// Its command.
        name: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A directory could not be made, moved or removed.
    #[error("{} cannot be {done}; see to it by hand, and try again", path.display())]
    Directory {
        /// What was to happen to it.
        done: &'static str,
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
