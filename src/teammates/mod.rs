//! Teammates: agents beside the dispatcher's own, each with a name, a thread and work of its own.

pub mod worktree;
