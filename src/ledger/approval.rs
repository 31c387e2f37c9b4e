//! Something that the model wants and people decide about: an approval and its states.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, EventKey, UserId};

use crate::id::{ApprovalId, DispatcherId, LaneId, OutboxId, TurnKey};
use crate::ledger::error::{IllegalTransition, LedgerError};
use crate::ledger::handle::Ledger;
use crate::ledger::lane::Origin;
use crate::ledger::post::NewPost;
use crate::ledger::time;

/// How many approvals of one turn may be open.
pub const MAX_OPEN_APPROVALS: usize = 16;

/// How long what is wanted may be in a record, in bytes: a longer one is cut before, and whole in a
/// file beside the post.
pub const MAX_WANTED: usize = 1200;

/// How long the place and the reason may each be in a record, in bytes.
pub const MAX_ASIDE: usize = 300;

/// What the model wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What kind of thing.
    pub kind: ApprovalKind,
    /// The thing itself, as people see it; at most [`MAX_WANTED`] bytes.
    pub what: String,
    /// That is only a part of it: the whole is in a file that was posted before.
    pub is_cut: bool,
    /// Where; at most [`MAX_ASIDE`] bytes.
    pub place: Option<String>,
    /// Why, in the words of the model; at most [`MAX_ASIDE`] bytes.
    pub reason: Option<String>,
    /// The teammate that wants it.
    pub teammate: Option<String>,
    /// It can be allowed for as long as the thread is loaded.
    pub for_session: bool,
}

/// What kind of thing the model wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// To run a command.
    Command,
    /// To type something into a command that runs.
    Input,
    /// To change files.
    FileChange,
    /// To have more rights.
    Permissions,
    /// To use a tool of an MCP server.
    McpTool,
}

impl ApprovalKind {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Input => "input",
            Self::FileChange => "file_change",
            Self::Permissions => "permissions",
            Self::McpTool => "mcp_tool",
        }
    }
}

/// Something that people are to decide about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApproval {
    /// Whose model wants it.
    pub dispatcher: DispatcherId,
    /// The lane.
    pub lane: LaneId,
    /// The turn that is open there.
    pub turn: TurnKey,
    /// Codex's name of its request, the same when it is sent again and no other's; at most 512 bytes.
    pub request: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// Where people are asked.
    pub origin: Origin,
    /// How long they may take to decide.
    pub timeout: Duration,
}

/// An approval as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRecord {
    /// Its name.
    pub id: ApprovalId,
    /// Whose model wants it.
    pub dispatcher: DispatcherId,
    /// The lane.
    pub lane: LaneId,
    /// The turn of the lane.
    pub turn: TurnKey,
    /// Codex's name of its request.
    pub request: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// Where people are asked.
    pub origin: Origin,
    /// What it is called there: the approvals of a conversation are counted.
    pub number: u32,
    /// The post that asks.
    pub post: OutboxId,
    /// How far it is.
    pub state: ApprovalState,
    /// Somebody who may not decide was told so.
    pub is_rebuffed: bool,
    /// When it was asked for.
    #[serde(with = "time::millis")]
    pub asked_at: SystemTime,
    /// Until when people may decide.
    #[serde(with = "time::millis")]
    pub expires_at: SystemTime,
    /// What orders it among the others.
    pub(in crate::ledger) order: u64,
}

#[cfg(test)]
impl ApprovalRecord {
    /// Makes one that is open, for the tests of what is said about it.
    pub(crate) fn for_tests(
        id: ApprovalId,
        dispatcher: DispatcherId,
        (lane, turn): (LaneId, TurnKey),
        wanted: Wanted,
        origin: Origin,
        (post, number): (OutboxId, u32),
        (asked_at, expires_at): (SystemTime, SystemTime),
    ) -> Self {
        Self {
            id,
            dispatcher,
            lane,
            turn,
            request: "request".to_owned(),
            wanted,
            origin,
            number,
            post,
            state: ApprovalState::Open,
            is_rebuffed: false,
            asked_at,
            expires_at,
            order: 0,
        }
    }
}

/// How far an approval is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has decided yet.
    Open,
    /// Somebody has.
    Decided {
        /// What.
        decision: Decision,
        /// Who.
        by: Decider,
        /// When.
        #[serde(with = "time::millis")]
        at: SystemTime,
    },
    /// Nobody has, in time: it was declined.
    Expired {
        /// When that was found.
        #[serde(with = "time::millis")]
        at: SystemTime,
    },
    /// There is nothing to decide any more: nothing was granted.
    Void {
        /// Why.
        reason: VoidReason,
        /// Since when.
        #[serde(with = "time::millis")]
        at: SystemTime,
    },
}

/// What people decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may be.
    Accept,
    /// It may be, and the same again for as long as the thread is loaded.
    AcceptForSession,
    /// It may not, and the turn goes on.
    Decline,
    /// It may not, and the turn ends.
    Cancel,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Accept,
        Self::AcceptForSession,
        Self::Decline,
        Self::Cancel,
    ];

    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptForSession => "accept_for_session",
            Self::Decline => "decline",
            Self::Cancel => "cancel",
        }
    }

    /// Returns the one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// Whoever works at the machine.
    Operator,
    /// Somebody on a channel.
    Person {
        /// The channel.
        channel: ChannelId,
        /// Their name there.
        user: UserId,
        /// The name that people see; cut to 64 characters.
        name: Option<String>,
    },
}

/// Why there is nothing to decide any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoidReason {
    /// The turn has ended.
    TurnEnded,
    /// Somebody has stopped the turn.
    Stopped,
    /// The daemon was started again.
    Restarted,
    /// Codex ended unexpectedly.
    CodexLost,
    /// Codex does not ask any more.
    Withdrawn,
}

/// What can happen to an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalEvent {
    /// Somebody decides.
    Decided {
        /// What.
        decision: Decision,
        /// Who.
        by: Decider,
        /// When.
        at: SystemTime,
    },
    /// Its time is over.
    Expired {
        /// When that was found.
        at: SystemTime,
    },
    /// It is needed no longer.
    Voided {
        /// Why.
        reason: VoidReason,
        /// Since when.
        at: SystemTime,
    },
}

impl ApprovalState {
    /// Returns the state after `event`. The first event counts.
    ///
    /// # Errors
    ///
    /// When `event` cannot happen in this state.
    pub fn on(self, event: ApprovalEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Open, ApprovalEvent::Decided { decision, by, at }) => {
                Ok(Self::Decided { decision, by, at })
            }
            (Self::Open, ApprovalEvent::Expired { at }) => Ok(Self::Expired { at }),
            (Self::Open, ApprovalEvent::Voided { reason, at }) => Ok(Self::Void { reason, at }),
            (state @ (Self::Decided { .. } | Self::Expired { .. } | Self::Void { .. }), event) => {
                Err(IllegalTransition::new(&state, &event))
            }
        }
    }

    /// Returns whether it is still to be decided.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Returns its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Decided { .. } => "decided",
            Self::Expired { .. } => "expired",
            Self::Void { .. } => "void",
        }
    }

    /// Returns what codex is answered by it; nothing while it is open.
    pub fn verdict(&self) -> Option<Decision> {
        match self {
            Self::Open => None,
            Self::Decided { decision, .. } => Some(*decision),
            Self::Expired { .. } | Self::Void { .. } => Some(Decision::Decline),
        }
    }
}

/// What asking came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// People are asked, or were when codex asked before.
    Yes {
        /// The approval.
        record: Box<ApprovalRecord>,
        /// They were not asked before.
        is_new: bool,
    },
    /// Too many are open already; nothing was done.
    TooMany,
}

/// Somebody's word on an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Which one.
    pub approval: ApprovalId,
    /// What they decide.
    pub decision: Decision,
    /// Who.
    pub by: Decider,
    /// They may.
    pub may: bool,
    /// They are told what came of it, so that nobody else need be where posts cannot be changed.
    pub is_answered: bool,
}

/// What came of somebody's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// It counts.
    Decided(Box<ApprovalRecord>),
    /// It comes too late: this is how it was settled.
    Settled(Box<ApprovalRecord>),
    /// They may not.
    NotAllowed {
        /// What about.
        record: Box<ApprovalRecord>,
        /// Nobody was told so before about this one.
        is_first: bool,
    },
    /// There is no such approval.
    Unknown,
    /// The event was seen before; nothing changed.
    Duplicate,
}

/// Which approvals are void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voided {
    /// All of a dispatcher.
    Dispatcher(DispatcherId),
    /// All of a turn.
    Turn(LaneId, TurnKey),
    /// The one that a request has led to; by lane, turn and codex's name of the request.
    Request(LaneId, TurnKey, String),
}

impl Ledger {
    /// Asks people, unless codex has asked the same before. `say` makes what they read; the last post
    /// is the one that is changed when it is settled.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or the turn is not open any more.
    pub async fn ask(
        &self,
        new: NewApproval,
        say: impl FnOnce(&ApprovalRecord) -> Vec<NewPost> + Send + 'static,
    ) -> Result<Asked, LedgerError> {
        self.call(move |transaction| transaction.ask(new, say))
            .await
    }

    /// Takes somebody's word that came by an event of a channel, unless that was seen before.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn rule(
        &self,
        ruling: Ruling,
        event: Option<(ChannelId, EventKey)>,
        say: impl FnOnce(&Ruled) -> Vec<NewPost> + Send + 'static,
    ) -> Result<Ruled, LedgerError> {
        self.call(move |transaction| transaction.rule_on(ruling, event, say))
            .await
    }

    /// Declines an approval whose time is over; returns it as it is then.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn expire_approval(
        &self,
        id: ApprovalId,
    ) -> Result<Option<ApprovalRecord>, LedgerError> {
        self.call(move |transaction| transaction.expire_approval(id))
            .await
    }

    /// Ends what is open and needed no longer; returns it.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn void_approvals(
        &self,
        which: Voided,
        reason: VoidReason,
    ) -> Result<Vec<ApprovalRecord>, LedgerError> {
        self.call(move |transaction| transaction.void_approvals(&which, reason))
            .await
    }

    /// Returns an approval.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRecord>, LedgerError> {
        self.call(move |transaction| transaction.approval(id)).await
    }

    /// Returns the approvals of a dispatcher that are open, in the order in which they were asked for.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn open_approvals(
        &self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<ApprovalRecord>, LedgerError> {
        let dispatcher = dispatcher.clone();
        self.call(move |transaction| transaction.open_approvals(&dispatcher))
            .await
    }

    /// Returns the newest approvals, the newest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn recent_approvals(&self, limit: usize) -> Result<Vec<ApprovalRecord>, LedgerError> {
        self.call(move |transaction| transaction.recent_approvals(limit))
            .await
    }
}
