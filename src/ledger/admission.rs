//! A message at the gate: what has to be on record for it to be let in, and what became of it.
//!
//! What the configuration says is judged before; here is only what must be judged in the same
//! commit that records the message, so that two that come at once cannot miss each other.

use std::time::Duration;

use tieline_channel::RefusalReason;

use crate::id::{MessageId, OrderId};
use crate::ledger::message::NewMessage;
use crate::ledger::order::{LaneWish, NewStop, OrderRefusal, Orderer, Stopped};
use crate::ledger::pairing::{Paired, PairingCode, PairingError};

/// A message at the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// The message.
    pub message: NewMessage,
    /// What has to be on record for it to be let in.
    pub conditions: Conditions,
    /// What becomes of it then.
    pub fate: Fate,
}

/// What has to be on record for a message to be let in; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its sender was paired with the dispatcher; else it is refused as
    /// [`NotPaired`](RefusalReason::NotPaired), and the sender may get a one-time code.
    pub paired: bool,
    /// Its conversation was joined: a message that was addressed to us was accepted from it. Else
    /// it is refused as [`NotMentioned`](RefusalReason::NotMentioned).
    pub joined: bool,
    /// How many messages its sender may write; more are refused as
    /// [`TooOften`](RefusalReason::TooOften).
    pub sender: Option<Limit>,
    /// How many messages programs may write in its conversation, its sender being one; more are
    /// refused as [`TooOften`](RefusalReason::TooOften).
    pub programs: Option<Limit>,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// This often; at most [`Limit::MOST`] counts.
    pub times: usize,
    /// Within any time this long.
    pub within: Duration,
}

impl Limit {
    /// The greatest number of times that is counted.
    pub const MOST: usize = 240;
}

/// What becomes of a message whose conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits in its lane for a turn.
    Queue,
    /// It is turned away.
    Refuse(RefusalReason),
    /// It is a command that is done by being answered: it is settled without a turn.
    Answer,
    /// It is a command that lets in whoever was given this code by its dispatcher; settled without
    /// a turn.
    Pair(PairingCode),
    /// It is a command that wants something of its lane's thread; settled without a turn, whenever that
    /// is done.
    Order(LaneWish, Orderer),
    /// It is a command that ends what its lane is at; settled without a turn.
    Stop(NewStop),
}

/// What became of a message at the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It waits.
    Queued {
        /// Its name from now on.
        id: MessageId,
        /// How many messages wait in its lane, this one included.
        waiting: usize,
    },
    /// It was turned away, and recorded without its text, quote and attachments.
    Refused {
        /// Its name from now on.
        id: MessageId,
        /// Why.
        reason: RefusalReason,
        /// The code that its sender is now to be told.
        invitation: Option<PairingCode>,
    },
    /// It was a command, and is settled.
    Commanded {
        /// Its name from now on.
        id: MessageId,
        /// What that has led to.
        done: Performed,
    },
    /// The same event was recorded before; nothing changed.
    Duplicate {
        /// The message it made then, if it made one that is still recorded.
        id: Option<MessageId>,
    },
}

/// What a command has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performed {
    /// Nothing: it is done by being answered.
    Nothing,
    /// It was to let in somebody.
    Paired(Result<Paired, PairingError>),
    /// It wants something of its lane's thread.
    Ordered {
        /// The order, or why it is not taken.
        order: Result<OrderId, OrderRefusal>,
        /// A turn runs, which is not interrupted for it.
        waits: bool,
    },
    /// It was to end what its lane is at.
    Stopped(Stopped),
}
