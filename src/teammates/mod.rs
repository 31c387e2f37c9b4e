//! The agents that work for a dispatcher: who they are, what they do, and where.
//!
//! A teammate is a lane of the dispatcher's own child, with a thread, a directory, a model and a
//! sandbox of its own. What it is given are tasks; what comes of each goes as a completion to the lane
//! that asked. Everything that matters is in the ledger, so that a teammate is there again after a
//! restart.
//!
//! - [`Roster`]: checks what is ordered, carries it out, and tells how teammates are
//! - [`worktree`]: git worktrees, in which teammates do not trip over each other
//! - [`Wish`]: what somebody wants of one, before it is checked
//! - `doing`: what they are at this moment
//!
//! **Invariants.** A teammate may never do more than its dispatcher: not write elsewhere, not hand work
//! on. An order is checked before it is carried out and carried out in one commit; what it means for
//! the disk happens later, by the teammate's lane, and again after whatever broke.

mod doing;
mod roster;
mod wish;
pub mod worktree;

pub use self::doing::{Doing, WhatTheyDo};
pub use self::roster::{
    Details, MAX_INSTRUCTIONS, MAX_MODEL, MAX_NAME, MAX_READ, MAX_TASK, OrderError, Roster, Rules,
    State, TaskDetails, Teammate, worktree_of,
};
pub use self::wish::{SpawnRequest, Wish, WorkspaceRequest};
