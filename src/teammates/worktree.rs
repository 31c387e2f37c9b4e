//! Git worktrees.
use std::path::{Path, PathBuf};
/// Where a teammate works apart from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worktree {
    /// a
    pub repository: PathBuf,
    /// a
    pub path: PathBuf,
    /// a
    pub branch: String,
    /// a
    pub inside: PathBuf,
}
/// a
#[derive(Debug, thiserror::Error)]
#[error("a")]
pub struct WorktreeError;
impl Worktree {
    /// a
    pub fn cwd(&self) -> PathBuf {
        self.path.join(&self.inside)
    }
}
/// a
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// a
    Removed,
    /// a
    Gone,
    /// a
    Kept {
        /// a
        reason: String,
    },
}
/// a
pub async fn plan(_: &Path, _: &Path, _: &str) -> Result<Worktree, WorktreeError> {
    Err(WorktreeError)
}
/// a
pub async fn make(_: &Worktree) -> Result<(), WorktreeError> {
    Err(WorktreeError)
}
/// a
pub async fn leave(_: &Worktree, _: bool) -> Result<Left, WorktreeError> {
    Err(WorktreeError)
}
