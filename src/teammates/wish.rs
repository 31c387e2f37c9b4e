//! What people and models want of teammates, as they say it: nothing of it is checked yet.

use std::path::PathBuf;

use crate::config::Sandbox;

/// Something that somebody wants of a teammate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One joins, and is given its first task.
    Spawn(SpawnRequest),
    /// One is given a further task.
    Assign {
        /// Its name.
        name: String,
        /// What it is to do.
        task: String,
    },
    /// One ends what it does and forgets what waits.
    Stop {
        /// Its name.
        name: String,
    },
    /// One leaves.
    Close {
        /// Its name.
        name: String,
        /// Its worktree goes also when something would be lost by that, and also when it was kept
        /// before.
        discard: bool,
    },
}

/// A teammate that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnRequest {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What it is to do first.
    pub task: String,
    /// Where it works.
    pub workspace: WorkspaceRequest,
    /// What it is told beside its tasks.
    pub instructions: Option<String>,
    /// Its model, if not the dispatcher's.
    pub model: Option<String>,
    /// What its commands may do, if less than those of the dispatcher.
    pub sandbox: Option<Sandbox>,
}

/// Where a teammate is to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkspaceRequest {
    /// Where the dispatcher works.
    Shared,
    /// In a git worktree of its own.
    Worktree,
    /// In this directory, from the dispatcher's workspace on.
    Directory(PathBuf),
}

impl WorkspaceRequest {
    /// Reads what people and models write: `shared`, `worktree`, or the path of a directory.
    pub fn of(text: &str) -> Self {
        match text.trim() {
            "" | "shared" => Self::Shared,
            "worktree" => Self::Worktree,
            path => Self::Directory(PathBuf::from(path)),
        }
    }
}
