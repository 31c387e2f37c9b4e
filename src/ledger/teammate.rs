//! A teammate, and what can be ordered about it.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{DispatcherId, LaneId, TeammateId};
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::keyed::{IdempotencyKey, Once};
use crate::ledger::lane::Stop;
use crate::ledger::task::{Asker, NewTask};

/// How many tasks may wait for one teammate.
pub const MAX_WAITING_TASKS: usize = 16;

/// How many of those that have left are remembered of a dispatcher. The oldest are forgotten beyond
/// that, but none that has left something unfinished.
pub(super) const MAX_CLOSED: usize = 100;

/// A teammate that is to join a dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTeammate {
    /// Who it works for.
    pub dispatcher: DispatcherId,
    /// Its name, unique for the dispatcher. At most 512 bytes.
    pub name: String,
    /// The lane that it works on.
    pub lane: LaneId,
    /// Where it works.
    pub workspace: Workspace,
    /// Its model, if not the dispatcher's.
    pub model: Option<String>,
    /// Its sandbox by the name that the configuration has for it, if not the dispatcher's.
    pub sandbox: Option<String>,
    /// What it is told beside its tasks.
    pub instructions: Option<String>,
    /// How many teammates the dispatcher may have, this one included.
    pub limit: usize,
}

/// Where a teammate works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workspace {
    /// Where the dispatcher works.
    Shared,
    /// In a directory of its own.
    Directory {
        /// Which it is.
        path: PathBuf,
    },
    /// In a git worktree of its own.
    Worktree {
        /// The top level of the repository.
        repository: PathBuf,
        /// Where the worktree is, or will be.
        path: PathBuf,
        /// The branch that it is on.
        branch: String,
        /// Where it works below that.
        inside: PathBuf,
        /// What is to become of it, or became.
        fate: WorktreeFate,
    },
}

impl Workspace {
    /// Returns what is to become of its worktree, or became, if it is one.
    pub fn fate(&self) -> Option<&WorktreeFate> {
        match self {
            Self::Shared | Self::Directory { .. } => None,
            Self::Worktree { fate, .. } => Some(fate),
        }
    }
}

/// What is to become of a worktree, or became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorktreeFate {
    /// Its teammate works in it.
    InUse,
    /// It goes as soon as nobody works in it.
    Leaving {
        /// Also when something would be lost by that.
        force: bool,
    },
    /// It is gone; its branch is there.
    Removed,
    /// It stays: something would be lost.
    Kept {
        /// What; cut to 512 bytes.
        reason: String,
    },
}

/// A teammate as the ledger has it. Its instructions are asked for by themselves: they may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeammateRecord {
    /// Its name here.
    pub id: TeammateId,
    /// Who it works for.
    pub dispatcher: DispatcherId,
    /// Its name.
    pub name: String,
    /// The lane that it works on.
    pub lane: LaneId,
    /// Where it works.
    pub workspace: Workspace,
    /// Its model, if not the dispatcher's.
    pub model: Option<String>,
    /// Its sandbox by the name that the configuration has for it, if not the dispatcher's.
    pub sandbox: Option<String>,
    /// How many results it has reported.
    pub results: u32,
    /// Who gave it its newest task: what it finds out by itself goes there.
    pub asker: Asker,
    /// When it joined.
    pub joined_at: SystemTime,
    /// When it was closed, if it was.
    pub closed_at: Option<SystemTime>,
}

/// Something that is ordered about teammates.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is soon taken apart"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// One joins, and is given its first task.
    Spawn(NewTeammate, NewTask),
    /// One is given a further task.
    Assign(NewTask),
    /// One ends what it does and forgets what waits.
    Stop(Halt),
    /// One stops, and leaves. What is remembered of it stays readable. One that has left and whose
    /// worktree was kept, or is not gone yet, can be closed again with `force`: then that goes whatever
    /// is in it.
    Close {
        /// Which it is.
        halt: Halt,
        /// Its worktree goes also when something would be lost by that.
        force: bool,
    },
}

impl Order {
    /// Returns the name of the teammate that it is about.
    pub fn teammate(&self) -> &str {
        match self {
            Self::Spawn(new, _) => &new.name,
            Self::Assign(task) => &task.teammate,
            Self::Stop(halt) | Self::Close { halt, .. } => &halt.name,
        }
    }
}

/// That a teammate ends what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Who it works for.
    pub dispatcher: DispatcherId,
    /// Its name.
    pub name: String,
    /// Who wants it. A lane is then not told how its own tasks ended.
    pub stop: Stop,
}

/// What an order has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The lane of the teammate: it is to be woken.
    pub lane: LaneId,
    /// Lanes that are told of work that was stopped: they are to be woken.
    pub told: Vec<LaneId>,
    /// What happened to what it did and was to do.
    pub halted: Halted,
}

/// What stopping a teammate has stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halted {
    /// It was at work.
    pub is_running: bool,
    /// How many tasks waited and will not be done.
    pub waiting: usize,
    /// How many results were there that whoever stopped it has not been shown, and will not be.
    pub unseen: usize,
}

/// What there is to say of it; nothing if nothing was stopped.
impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.is_running.then(|| "its turn ends".to_owned()),
            (self.waiting > 0).then(|| {
                let plural = if self.waiting == 1 { "" } else { "s" };
                format!("{} waiting task{plural} will not be done", self.waiting)
            }),
            (self.unseen > 0).then(|| {
                format!(
                    "results not brought to you: {}; read it to see them",
                    self.unseen
                )
            }),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// Why an order cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RosterError {
    /// There is one of this name.
    #[error(
        "there is a teammate {name:?} already: give it the work, or choose another name for a new one"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// There was one of this name, which can still be read.
    #[error("a teammate {name:?} was closed lately and can still be read: choose another name")]
    NameRemembered {
        /// The name.
        name: String,
    },
    /// The dispatcher has as many as it may have.
    #[error(
        "there are {limit} teammates, which is the most: close one that is not needed any more, or give \
         the work to one of them"
    )]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// There is none of this name.
    #[error("there is no teammate {name:?}: the list of teammates says who there is")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It has left.
    #[error("teammate {name:?} is closed: it can be read, and does nothing any more")]
    Closed {
        /// The name.
        name: String,
    },
    /// Too much waits for it.
    #[error(
        "{MAX_WAITING_TASKS} tasks wait for teammate {name:?} already, which is the most: give this to \
         another one, or when it has reported a result"
    )]
    Overworked {
        /// The name.
        name: String,
    },
}

impl RosterError {
    /// Returns why nobody else can have the name of somebody who is there, or has left.
    pub fn taken(name: String, has_left: bool) -> Self {
        if has_left {
            Self::NameRemembered { name }
        } else {
            Self::NameTaken { name }
        }
    }
}

impl Ledger {
    /// Carries an order out.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or cannot be carried out.
    pub async fn carry_out(&self, order: Order) -> Result<Ordered, LedgerError> {
        self.call(move |transaction| transaction.carry_out(order))
            .await
    }

    /// Carries an order out, unless that was done before under the same key.
    ///
    /// # Errors
    ///
    /// As [`carry_out`](Self::carry_out), and when another order was given the key.
    pub async fn carry_out_once(
        &self,
        order: Order,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<Ordered>, LedgerError> {
        self.call(move |transaction| {
            let made = order.teammate().to_owned();
            transaction.once(key.as_ref(), |transaction| {
                Ok((made, transaction.carry_out(order)?))
            })
        })
        .await
    }

    /// Returns the teammates of a dispatcher that are remembered, by name; closed ones as well.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn teammates(
        &self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<TeammateRecord>, LedgerError> {
        let dispatcher = dispatcher.clone();
        self.call(move |transaction| transaction.teammates(&dispatcher))
            .await
    }

    /// Returns a teammate, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn teammate(&self, id: TeammateId) -> Result<Option<TeammateRecord>, LedgerError> {
        self.call(move |transaction| transaction.teammate(id)).await
    }

    /// Returns the teammate of a name, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn teammate_named(
        &self,
        dispatcher: &DispatcherId,
        name: &str,
    ) -> Result<Option<TeammateRecord>, LedgerError> {
        let (dispatcher, name) = (dispatcher.clone(), name.to_owned());
        self.call(move |transaction| transaction.teammate_named(&dispatcher, &name))
            .await
    }

    /// Returns what a teammate is told beside its tasks.
    ///
    /// # Errors
    ///
    /// When it is unknown or forgotten, or the text cannot be read.
    pub async fn instructions(&self, id: TeammateId) -> Result<Option<String>, LedgerError> {
        self.call(move |transaction| transaction.instructions(id))
            .await
    }

    /// Notes what became of a teammate's worktree, of which `wanted` was to become this. Nothing if
    /// something else is to become of it by now: that is still to be done.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the teammate is unknown.
    pub async fn worktree_left(
        &self,
        id: TeammateId,
        wanted: WorktreeFate,
        became: WorktreeFate,
    ) -> Result<(), LedgerError> {
        self.call(move |transaction| transaction.worktree_left(id, &wanted, became))
            .await
    }
}
