//! A conversation that a program has with Codex over the API, and the turns that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, SessionId, TaskId, ThreadId, TurnId};
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::keyed::{IdempotencyKey, Once};
use crate::ledger::task::TaskRecord;

/// How many sessions of a dispatcher may be open.
pub const MAX_SESSIONS: usize = 100;

/// How many of those that are over are remembered of a dispatcher; the oldest are forgotten beyond that.
pub(super) const MAX_OVER: usize = 500;

/// How many turns may wait for one session.
pub const MAX_WAITING_TURNS: usize = 16;

/// How many settled turns of a session are remembered.
pub(super) const MAX_REMEMBERED_TURNS: usize = 100;

/// How long a purpose may be, in bytes of JSON.
pub const MAX_PURPOSE: usize = 200;

/// How much metadata a session may have, in bytes of JSON.
pub const MAX_METADATA: usize = 2048;

/// How long the name of something that Codex told may be, in bytes.
const MAX_NAME: usize = 100;

/// How long what a sandbox allows may be, in bytes.
const MAX_SANDBOX: usize = 256;

/// A session that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its name here.
    pub id: SessionId,
    /// Whose child has its thread.
    pub dispatcher: DispatcherId,
    /// The lane that it is worked on. One that is only registered has none.
    pub lane: LaneId,
    /// How it begins.
    pub began: Began,
    /// The thread that is there already. For one that is created, none.
    pub thread: Option<ThreadId>,
    /// What it is for; at most [`MAX_PURPOSE`] bytes.
    pub purpose: Option<String>,
    /// What its program has to remember; at most [`MAX_METADATA`] bytes of JSON.
    pub metadata: BTreeMap<String, String>,
    /// It leaves nothing on disk.
    pub is_ephemeral: bool,
    /// What its thread is set up with, as whoever works on the lane reads it.
    pub options: String,
}

/// How a session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Began {
    /// With a thread of its own.
    Created,
    /// With a thread that was there.
    Resumed,
    /// It is only known: somebody else works with its thread.
    Registered,
}

impl Began {
    /// Returns its name as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Resumed => "resumed",
            Self::Registered => "registered",
        }
    }
}

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Its thread is on its way.
    Opening,
    /// It can be given turns.
    Active,
    /// It has no thread, or has lost it.
    Failed {
        /// What went wrong.
        kind: FailureKind,
        /// In Codex's words; cut to 512 bytes.
        message: String,
    },
    /// Somebody closed it.
    Closed,
}

impl SessionState {
    /// Returns its name without what belongs to it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Active => "active",
            Self::Failed { .. } => "failed",
            Self::Closed => "closed",
        }
    }

    /// Returns whether it takes turns, now or soon.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Opening | Self::Active => true,
            Self::Failed { .. } | Self::Closed => false,
        }
    }
}

/// What a thread runs with in effect, as Codex said when it was opened: what a turn has changed for
/// itself is set back to this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// The model.
    pub model: String,
    /// Its provider.
    pub model_provider: String,
    /// The reasoning effort.
    pub effort: Option<String>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// What its commands may touch, as whoever works on the lane reads it; none if that is long.
    pub sandbox: Option<String>,
}

impl Effective {
    /// Returns it with names that a record has room for.
    pub(super) fn cut(self) -> Self {
        let cut = |mut name: String| {
            while name.len() > MAX_NAME {
                name.pop();
            }
            name
        };
        Self {
            model: cut(self.model),
            model_provider: cut(self.model_provider),
            effort: self.effort.map(cut),
            service_tier: self.service_tier.map(cut),
            sandbox: self.sandbox.filter(|it| it.len() <= MAX_SANDBOX),
        }
    }
}

/// A session as the ledger has it. What it is set up with is asked for by itself: that may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its name here.
    pub id: SessionId,
    /// Whose child has its thread.
    pub dispatcher: DispatcherId,
    /// The lane that it is worked on.
    pub lane: LaneId,
    /// How it began.
    pub began: Began,
    /// How far it is.
    pub state: SessionState,
    /// Its thread, once it has one.
    pub thread: Option<ThreadId>,
    /// What it is for.
    pub purpose: Option<String>,
    /// What its program has to remember.
    pub metadata: BTreeMap<String, String>,
    /// It leaves nothing on disk, and ends with its child.
    pub is_ephemeral: bool,
    /// What its thread runs with, once that is known.
    pub effective: Option<Effective>,
    /// What some turn has had another way, by name: Codex keeps it until it is told otherwise.
    pub touched: BTreeSet<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it came to its state.
    pub changed_at: SystemTime,
}

/// What is to be changed of a session. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionChange {
    /// What it is for; the inner `None` takes it away.
    pub purpose: Option<Option<String>>,
    /// All that its program has to remember.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A turn that a session is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTurn {
    /// What goes in, and how, as whoever works on the lane reads it.
    pub text: String,
    /// The beginning of what goes in, for people.
    pub beginning: String,
    /// What the turn has another way than its session, by name.
    pub touches: BTreeSet<String>,
}

/// A turn that a session was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnAccepted {
    /// The turn.
    pub turn: TaskRecord,
    /// How many wait before it; what runs is one of them.
    pub before: usize,
}

/// What closing a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClosed {
    /// The session.
    pub session: SessionRecord,
    /// It was closed, or had failed, before.
    pub was_over: bool,
    /// A turn ran, and ends.
    pub was_running: bool,
    /// How many turns waited and will not be.
    pub withdrawn: usize,
}

/// What interrupting a turn has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnStopped {
    /// It runs, and ends.
    Ends,
    /// It waited, and will not be.
    Withdrawn,
    /// It was over.
    WasOver,
}

/// Why something cannot be done about a session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// There is none of this name.
    #[error("there is no session {id}")]
    Unknown {
        /// The name.
        id: SessionId,
    },
    /// It takes no turns any more.
    #[error("session {id} is not active: it is {state}")]
    NotActive {
        /// Its name.
        id: SessionId,
        /// The name of its state.
        state: &'static str,
    },
    /// Somebody else works with its thread.
    #[error("session {id} is only registered: tieline does not work with its thread")]
    WrongMode {
        /// Its name.
        id: SessionId,
    },
    /// It is given turns, and told nothing beside them.
    #[error("the lane is that of session {id}, which is told of nothing: give it a turn")]
    NotTold {
        /// Its name.
        id: SessionId,
    },
    /// It has no thread yet.
    #[error("session {id} has no thread yet")]
    NoThread {
        /// Its name.
        id: SessionId,
    },
    /// The dispatcher has as many as it may have.
    #[error("{limit} sessions are open, which is the most")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// Somebody has the thread already.
    #[error("thread {thread} is that of {holder} already")]
    ThreadTaken {
        /// The thread.
        thread: ThreadId,
        /// The lane or session that has it.
        holder: String,
    },
    /// Too much waits for it.
    #[error("{MAX_WAITING_TURNS} turns wait for session {id} already, which is the most")]
    Overworked {
        /// Its name.
        id: SessionId,
    },
    /// It has, or remembers, no such turn.
    #[error("session {id} has no turn {turn}")]
    UnknownTurn {
        /// Its name.
        id: SessionId,
        /// The name of the turn.
        turn: TaskId,
    },
}

impl Ledger {
    /// Records a session, unless that was done before under the same key.
    ///
    /// # Errors
    ///
    /// When it is not on disk, the thread is somebody's, there are too many, or another order was given
    /// the key.
    pub async fn create_session(
        &self,
        new: NewSession,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<SessionRecord>, LedgerError> {
        self.call(move |transaction| {
            transaction.once(key.as_ref(), |transaction| {
                let session = transaction.create_session(new)?;
                Ok((session.id.to_string(), session))
            })
        })
        .await
    }

    /// Returns the sessions of a dispatcher that are remembered, the oldest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn sessions(
        &self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<SessionRecord>, LedgerError> {
        let dispatcher = dispatcher.clone();
        self.call(move |transaction| transaction.sessions(&dispatcher))
            .await
    }

    /// Returns a session, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRecord>, LedgerError> {
        self.call(move |transaction| transaction.session(id)).await
    }

    /// Returns what a session is set up with.
    ///
    /// # Errors
    ///
    /// When it is unknown or forgotten, or that cannot be read.
    pub async fn session_options(&self, id: SessionId) -> Result<String, LedgerError> {
        self.call(move |transaction| transaction.session_options(id))
            .await
    }

    /// Changes what a session is for, and what its program remembers.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the session is unknown.
    pub async fn change_session(
        &self,
        id: SessionId,
        change: SessionChange,
    ) -> Result<SessionRecord, LedgerError> {
        self.call(move |transaction| transaction.change_session(id, change))
            .await
    }

    /// Notes that a session has its thread. `before` is the newest turn of a thread that was there; what
    /// comes after it is ours. Nothing if it is over by now.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the session is unknown.
    pub async fn session_opened(
        &self,
        id: SessionId,
        thread: ThreadId,
        effective: Effective,
        before: Option<TurnId>,
    ) -> Result<SessionRecord, LedgerError> {
        self.call(move |transaction| transaction.session_opened(id, thread, effective, before))
            .await
    }

    /// Notes that a session has no thread, and will have none. Nothing if it is over by now.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the session is unknown.
    pub async fn session_failed(
        &self,
        id: SessionId,
        kind: FailureKind,
        message: String,
    ) -> Result<SessionRecord, LedgerError> {
        self.call(move |transaction| transaction.session_failed(id, kind, &message))
            .await
    }

    /// Closes a session: its turn is to end, what waits will not be, and it takes nothing more.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the session is unknown.
    pub async fn close_session(&self, id: SessionId) -> Result<SessionClosed, LedgerError> {
        self.call(move |transaction| transaction.close_session(id))
            .await
    }

    /// Gives a session a turn, unless that was done before under the same key.
    ///
    /// # Errors
    ///
    /// When it is not on disk, the session takes none, or another order was given the key.
    pub async fn give_turn(
        &self,
        id: SessionId,
        new: NewTurn,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<TurnAccepted>, LedgerError> {
        self.call(move |transaction| {
            transaction.once(key.as_ref(), |transaction| {
                let accepted = transaction.give_turn(id, new)?;
                Ok((accepted.turn.id.to_string(), accepted))
            })
        })
        .await
    }

    /// Has a turn of a session end, or not begin.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the session or the turn is unknown.
    pub async fn interrupt_turn(
        &self,
        id: SessionId,
        turn: TaskId,
    ) -> Result<TurnStopped, LedgerError> {
        self.call(move |transaction| transaction.interrupt_turn(id, turn))
            .await
    }
}
