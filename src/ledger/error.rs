//! What can go wrong, cut by who can do something about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::id::{
    CompletionId, LaneId, MessageId, OrderId, OutboxId, RunId, TaskId, TeammateId, TurnKey,
};
use crate::ledger::session::SessionError;
use crate::ledger::teammate::RosterError;

/// Why a ledger could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "another tieline is running on {}{}; stop it first, or give this one another state_dir",
        .dir.display(),
        .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The ledger's directory.
        dir: PathBuf,
        /// The process that has it, if it said so.
        holder: Option<u32>,
    },
    /// The path is something else.
    #[error("{} is not a directory; move it away or choose another state_dir", .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The file system does not let us.
    #[error("no permission for {}; make it readable and writable for the user that runs tieline", .path.display())]
    Permission {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another failure of the file system.
    #[error("cannot {doing} {}; check the disk and its free space", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database cannot be read.
    #[error(
        "the ledger in {} is damaged ({reason}); keep a copy of the directory for examination, \
         restore a backup, or move it away to begin with an empty one",
        .dir.display()
    )]
    Corrupt {
        /// The ledger's directory.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The database has values outside of its file, which it does not keep safely.
    #[error(
        "the ledger in {} has files in store/blobs, which are not safe against power cuts; this \
         version never writes any: restore a backup or move the directory away",
        .dir.display()
    )]
    Blobs {
        /// The ledger's directory.
        dir: PathBuf,
    },
    /// A newer tieline wrote it.
    #[error(
        "the ledger in {} has schema {found}, this tieline knows {known}; run the newer tieline \
         again, or restore a backup from before the update",
        .dir.display()
    )]
    NewerSchema {
        /// The ledger's directory.
        dir: PathBuf,
        /// The schema on disk.
        found: u32,
        /// The newest schema this program knows.
        known: u32,
    },
    /// The ledger's thread could not be started.
    #[error("cannot start a thread for the ledger; check the limit of processes")]
    Thread {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why the ledger did not do what was asked. Nothing has changed when one of these is returned.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// The disk did not take it. The ledger tries to recover by itself; ask again later.
    #[error(
        "not written to disk: {reason}; free space or repair the disk, nothing needs a restart"
    )]
    NotWritten {
        /// What the disk said.
        reason: String,
    },
    /// The ledger has been closed.
    #[error("the ledger is closed")]
    Closed,
    /// No such lane.
    #[error("there is no lane {0}")]
    UnknownLane(LaneId),
    /// There is no such order, or it was carried out.
    #[error("there is no order {0}")]
    UnknownOrder(OrderId),
    /// No such message.
    #[error("there is no message {0}")]
    UnknownMessage(MessageId),
    /// No such entry of the outbox.
    #[error("there is no outbox entry {0}")]
    UnknownPost(OutboxId),
    /// No such completion.
    #[error("there is no completion {0}")]
    UnknownCompletion(CompletionId),
    /// No such task.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// No such run.
    #[error("there is no run {0}")]
    UnknownRun(RunId),
    /// As many runs of the dispatcher wait as may.
    #[error("{limit} runs wait already")]
    TooManyRuns {
        /// How many may.
        limit: usize,
    },
    /// No such teammate.
    #[error("there is no teammate with the id {0}")]
    UnknownTeammate(TeammateId),
    /// The teammates are not such that the order can be carried out.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The session is not such that it can be done.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The completion does not wait for the lane.
    #[error("completion {completion} does not wait for lane {lane}")]
    NotArrived {
        /// The completion.
        completion: CompletionId,
        /// The lane.
        lane: LaneId,
    },
    /// A turn cannot bring that many completions up.
    #[error("a turn brings up at most {limit} completions")]
    TooManyCompletions {
        /// How many it can bring up.
        limit: usize,
    },
    /// The lane has a turn already.
    #[error("lane {lane} has the open turn {open}")]
    TurnOpen {
        /// The lane.
        lane: LaneId,
        /// Its turn.
        open: TurnKey,
    },
    /// The turn is not the lane's open turn.
    #[error("turn {key} is not open on lane {lane}")]
    TurnNotOpen {
        /// The lane.
        lane: LaneId,
        /// The turn that was named.
        key: TurnKey,
    },
    /// The message is of another lane, or not part of the turn.
    #[error("message {message} is not in lane {lane}, or not in its open turn")]
    Misplaced {
        /// The message.
        message: MessageId,
        /// The lane.
        lane: LaneId,
    },
    /// A turn cannot hold that many messages.
    #[error("a turn holds at most {limit} messages")]
    TooManyMessages {
        /// How many it can hold.
        limit: usize,
    },
    /// The state does not allow it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// Another order was given the same idempotency key.
    #[error("the key {key:?} was used for another order")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// Something that must be short is too long.
    #[error("{what} has {bytes} bytes, {limit} are allowed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A stored value cannot be read.
    #[error("the ledger's {what} is damaged: {reason}; stop tieline and restore a backup")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// An event that cannot happen in a state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{event} cannot happen when {state}")]
pub struct IllegalTransition {
    /// The state.
    pub state: String,
    /// The event.
    pub event: String,
}

impl IllegalTransition {
    /// Names a state and an event that do not go together. Only the names of their variants are
    /// kept: an error must not carry a message's text.
    pub(super) fn new(state: &impl fmt::Debug, event: &impl fmt::Debug) -> Self {
        Self {
            state: variant(state),
            event: variant(event),
        }
    }
}

/// Returns the name of the variant, without its fields.
fn variant(value: &impl fmt::Debug) -> String {
    format!("{value:?}")
        .split([' ', '(', '{'])
        .next()
        .unwrap_or_default()
        .to_owned()
}
