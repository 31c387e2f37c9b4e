//! Working trees of git for teammates, so that several of them do not stand in each other's way.
//!
//! A teammate works in `<root>/<name>`, on a branch `tieline/<name>` that begins at what the
//! dispatcher's repository has checked out when the worktree is made. What is not committed there stays
//! there, and submodules are empty until somebody initializes them.
//!
//! **Invariant**: no commit is ever lost. A branch stays when its worktree goes; and unless it is
//! forced, a worktree stays as long as it has anything that no branch has. Only files that the
//! repository ignores, such as what a build made, go with it unasked.
//!
//! People, other daemons and git's own housekeeping may be at the same repository at any time, and we
//! may be killed at any step. [`make`] and [`leave`] therefore look first and do what is missing, each
//! time they are called. Git 2.31 or later is needed.

mod error;
mod files;
mod git;
mod repository;
#[cfg(test)]
mod tests;
mod turn;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tieline_channel::retry::RetryPolicy;
use tokio::fs;
use tokio::time::{Instant, sleep};

pub use error::WorktreeError;
use files::{doomed, is_empty, make_room, remove_all};
use git::Call;
use repository::{
    CheckedOut, Registered, Repository, commits_only_in_submodules, filled_submodules, has_commit,
    uncommitted_changes,
};
use turn::Turn;

/// What the branches of all teammates begin with.
const BRANCHES: &str = "tieline";

/// How many characters a name may have.
const MAX_NAME: usize = 40;

/// How long a lock of somebody else's git may be in the way: they last for moments.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a teammate works apart from the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    /// The top level of the working tree that the dispatcher's workspace lies in.
    pub repository: PathBuf,
    /// Where the worktree is or will be.
    pub path: PathBuf,
    /// Its branch: `tieline/<name>`.
    pub branch: String,
    /// The way from the top level to the dispatcher's workspace; empty when they are the same.
    pub inside: PathBuf,
}

/// What became of a worktree that was to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was removed.
    Removed,
    /// It was not there, or not any more.
    Gone,
    /// It is still there.
    Kept {
        /// Why, for people: a sentence about the worktree, without capital and full stop.
        reason: String,
    },
}

impl Worktree {
    /// Returns where the teammate works: the place of the dispatcher's workspace in the worktree.
    pub fn cwd(&self) -> PathBuf {
        // An empty path would add a slash.
        if self.inside.as_os_str().is_empty() {
            self.path.clone()
        } else {
            self.path.join(&self.inside)
        }
    }
}

/// Looks whether a teammate of a dispatcher can have a worktree in `root`, where all those of the
/// dispatcher lie, and says which. Changes nothing.
///
/// # Errors
///
/// When it cannot: there is no git, no repository with a commit, or something has its place or branch.
pub async fn plan(workspace: &Path, root: &Path, name: &str) -> Result<Worktree, WorktreeError> {
    if !is_harmless(name) {
        return Err(WorktreeError::Name {
            name: name.chars().take(MAX_NAME).collect(),
        });
    }
    let unusable = |source| WorktreeError::Workspace {
        path: workspace.to_owned(),
        source,
    };
    let workspace = fs::canonicalize(workspace).await.map_err(unusable)?;
    let repository = top_level_of(&workspace).await?;
    let root = files::real(root).await?;
    for path in [&workspace, &root] {
        if path.to_str().is_none_or(|path| path.contains('\n')) {
            return Err(WorktreeError::OddPath { path: path.clone() });
        }
    }
    if !has_commit(&repository, "HEAD").await? {
        return Err(WorktreeError::NoCommit { repository });
    }
    let branch = format!("{BRANCHES}/{name}");
    see_that_branch_is_free(&repository, &branch).await?;
    let path = root.join(name);
    if fs::symlink_metadata(&path).await.is_ok() {
        return Err(WorktreeError::PathTaken { path });
    }
    let inside = workspace.strip_prefix(&repository).unwrap_or(Path::new(""));
    Ok(Worktree {
        inside: inside.to_owned(),
        repository,
        path,
        branch,
    })
}

/// Sees to it that a worktree is there, and [`Worktree::cwd`] in it. One that is there stays as it is;
/// one that an earlier call left half-made is made again; what else is in its place is moved aside.
///
/// # Errors
///
/// When it is not there afterwards. Calling again does no harm, and may help.
pub async fn make(worktree: &Worktree) -> Result<(), WorktreeError> {
    patiently(|| make_now(worktree)).await
}

/// Removes a worktree if nothing would be lost by that, or if `force`. Its branch and the commits on it
/// stay in either case.
///
/// Lost would be: changes that are not committed and files that are not ignored; commits that are
/// checked out and on no branch; commits in submodules that no remote has. Kept is also what somebody
/// has locked, what has commits on its branch that no other branch has, for somebody still has to
/// look at them, and what has a submodule with files in it: a git that compared those would do what the
/// submodule's settings say, which whoever worked there may have written.
///
/// # Errors
///
/// When that cannot be found out or done. Calling again does no harm, and may help.
pub async fn leave(worktree: &Worktree, force: bool) -> Result<Left, WorktreeError> {
    patiently(|| leave_now(worktree, force)).await
}

/// Tries again while a lock of another git is in the way.
async fn patiently<T, Attempt>(attempt: impl Fn() -> Attempt) -> Result<T, WorktreeError>
where
    Attempt: Future<Output = Result<T, WorktreeError>>,
{
    let give_up_at = Instant::now() + PATIENCE;
    let mut delays = RetryPolicy::between(Duration::from_millis(100), Duration::from_secs(1));
    loop {
        match attempt().await {
            Err(WorktreeError::Locked { .. }) if Instant::now() < give_up_at => {
                sleep(delays.next_delay()).await;
            }
            ended => return ended,
        }
    }
}

async fn make_now(worktree: &Worktree) -> Result<(), WorktreeError> {
    let path = &worktree.path;
    let repository = Repository::take(&worktree.repository).await?;
    remove_all(&doomed(path)).await?;
    let worktrees = repository.worktrees().await?;
    let registered = worktrees.iter().find(|other| other.path == *path);
    if registered.is_some_and(Registered::is_half_made) {
        discard(&repository, path).await?;
    } else if registered.is_none() || is_empty(path).await || repository.mend(path).await?.is_none()
    {
        make_room(path).await?;
        if registered.is_some() {
            repository.forget(path).await?;
        }
    } else {
        return files::make(&worktree.cwd()).await;
    }
    if !has_commit(&worktree.repository, "HEAD").await? {
        return Err(WorktreeError::NoCommit {
            repository: worktree.repository.clone(),
        });
    }
    let ours = CheckedOut::Branch(worktree.branch.clone());
    let has_ours = |other: &&Registered| other.checked_out.as_ref() == Some(&ours);
    let mut others = worktrees.iter().filter(|other| other.path != *path);
    if let Some(other) = others.find(has_ours) {
        return Err(WorktreeError::BranchInUse {
            branch: worktree.branch.clone(),
            at: other.path.clone(),
        });
    }
    if let Some(root) = path.parent() {
        files::make_private(root).await?;
    }
    repository.add(path, &worktree.branch).await?;
    // It may be one that no commit has.
    files::make(&worktree.cwd()).await
}

async fn leave_now(worktree: &Worktree, force: bool) -> Result<Left, WorktreeError> {
    let path = &worktree.path;
    let repository = match Repository::take(&worktree.repository).await {
        Err(WorktreeError::RepositoryGone { .. }) => {
            return leave_files(path, force, "its repository is not there any more").await;
        }
        taken => taken?,
    };
    let swept = remove_all(&doomed(path)).await?;
    let worktrees = repository.worktrees().await?;
    let Some(registered) = worktrees.iter().find(|other| other.path == *path) else {
        let left = leave_files(path, force, "git does not know it as a worktree any more").await?;
        return Ok(if swept && left == Left::Gone {
            Left::Removed
        } else {
            left
        });
    };
    let was_there = swept || !is_empty(path).await;
    if !force
        && !registered.is_half_made()
        && let Some(reason) = reason_to_stay(&repository, worktree, registered).await?
    {
        return Ok(Left::Kept { reason });
    }
    discard(&repository, path).await?;
    Ok(if was_there { Left::Removed } else { Left::Gone })
}

/// Leaves a directory behind that git does not know, or not any more.
async fn leave_files(path: &Path, force: bool, reason: &str) -> Result<Left, WorktreeError> {
    if is_empty(path).await {
        remove_all(path).await?;
        return Ok(Left::Gone);
    }
    if !force {
        let reason = reason.to_owned();
        return Ok(Left::Kept { reason });
    }
    remove_all(path).await?;
    Ok(Left::Removed)
}

/// Returns what would be lost, or what somebody still has to do, if anything.
async fn reason_to_stay(
    repository: &Repository,
    worktree: &Worktree,
    registered: &Registered,
) -> Result<Option<String>, WorktreeError> {
    if let Some(lock) = &registered.lock {
        return Ok(Some(match lock.as_str() {
            "" => "it is locked".to_owned(),
            why => format!("it is locked: {}", git::shown(why)),
        }));
    }
    if let Some(CheckedOut::Commit(commit)) = &registered.checked_out
        && let commits @ 1.. = repository.commits_only_at(commit).await?
    {
        let commits = counted(commits, "commit");
        return Ok(Some(format!("it has {commits} that no branch has")));
    }
    if is_empty(&worktree.path).await {
        return Ok(None);
    }
    let Some(git_dir) = repository.mend(&worktree.path).await? else {
        return Ok(Some(
            "its directory does not lead to its repository any more".to_owned(),
        ));
    };
    if let changes @ 1.. = uncommitted_changes(&worktree.path, &git_dir).await? {
        let changes = counted(changes as u64, "uncommitted change");
        return Ok(Some(format!("it has {changes}")));
    }
    if let commits @ 1.. = commits_only_in_submodules(&git_dir).await? {
        let commits = counted(commits, "commit");
        return Ok(Some(format!(
            "its submodules have {commits} that no remote has"
        )));
    }
    if let submodules @ 1.. = filled_submodules(&worktree.path, &git_dir).await? {
        let submodules = counted(submodules as u64, "submodule");
        return Ok(Some(format!(
            "it has files in {submodules}, which may be changed"
        )));
    }
    let branch = &worktree.branch;
    if repository.has_branch(branch).await?
        && let commits @ 1.. = repository.commits_only_on(branch).await?
    {
        let commits = counted(commits, "commit");
        return Ok(Some(format!(
            "branch {branch} has {commits} that no other branch has"
        )));
    }
    Ok(None)
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Returns whether a name can be that of a branch and of a directory, and of nothing else.
fn is_harmless(name: &str) -> bool {
    let is_taken = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('-') && name.chars().all(is_taken)
}

async fn top_level_of(workspace: &Path) -> Result<PathBuf, WorktreeError> {
    let answer = Call::new(workspace, "rev-parse --show-toplevel")
        .answer()
        .await?;
    let workspace = || workspace.to_owned();
    if answer.says("not a git repository") {
        return Err(WorktreeError::NoRepository {
            workspace: workspace(),
        });
    }
    if answer.says("must be run in a work tree") || answer.says("cannot use bare repository") {
        return Err(WorktreeError::NoWorkingTree {
            workspace: workspace(),
        });
    }
    answer.or_error().map(PathBuf::from)
}

async fn see_that_branch_is_free(repository: &Path, branch: &str) -> Result<(), WorktreeError> {
    if has_commit(repository, &format!("refs/heads/{BRANCHES}")).await? {
        return Err(WorktreeError::BranchBlocked {
            by: BRANCHES.to_owned(),
        });
    }
    // Those inside of it as well.
    let taken = Call::new(
        repository,
        "for-each-ref --count=1 --format=%(refname:short)",
    )
    .arg(format!("refs/heads/{branch}"))
    .run()
    .await?;
    if taken.is_empty() {
        return Ok(());
    }
    Err(WorktreeError::BranchTaken { branch: taken })
}

/// Removes a worktree and all its files, in an order that leaves nothing half removed in its place.
async fn discard(repository: &Repository, path: &Path) -> Result<(), WorktreeError> {
    let doomed = doomed(path);
    match fs::rename(path, &doomed).await {
        Err(failure) if failure.kind() != io::ErrorKind::NotFound => {
            return Err(files::error("removed", path)(failure));
        }
        _renamed_or_missing => {}
    }
    repository.forget(path).await?;
    remove_all(&doomed).await?;
    Ok(())
}
