//! What people want of a lane's thread: orders that the lane carries out when it is idle, and the
//! threads that it can go back to.
//!
//! An order is recorded in the commit that records the event which made it. It leaves the ledger in the
//! commit that has its effect and tells its people what came of it. So it has its effect once, however
//! often the lane has to begin anew; what Codex is asked before that commit must do no harm when it is
//! asked again.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tieline_channel::{ChannelId, Conversation, UserId, WireId};

use crate::id::{DispatcherId, LaneId, MessageId, OrderId, ThreadId, TurnId};
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::keyed::{IdempotencyKey, Once};
use crate::ledger::lane::{Origin, Reach, Stop};
use crate::ledger::post::NewPost;
use crate::ledger::time;

/// How many orders of a lane wait at most.
pub const MAX_ORDERS: usize = 8;

/// How many threads of a lane are kept to go back to.
pub const MAX_KEPT: usize = 20;

/// How much of the first message of a thread is kept, in characters.
pub const MAX_BEGINNING: usize = 60;

/// What is wanted of a lane's thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneWish {
    /// The next turn begins in a new one.
    New,
    /// The lane goes back to one of its earlier ones.
    Resume {
        /// Which.
        which: Which,
    },
    /// The lane goes on in a copy of it.
    Fork,
    /// Its history is shortened.
    Compact,
    /// Its turns are run by another model.
    Model {
        /// Which; without, the one of the configuration.
        name: Option<String>,
    },
}

/// Which of a lane's threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// By its number in the lane.
    Number(u32),
    /// By Codex's name of it.
    Thread(ThreadId),
}

/// Who wants something of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orderer {
    /// Where it was asked for; on the machine, if nowhere.
    pub origin: Option<Origin>,
    /// What is answered.
    pub message: Option<WireId>,
    /// Who asked.
    pub user: Option<UserId>,
    /// What they are called.
    pub name: Option<String>,
}

/// Something that is wanted of a lane's thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOrder {
    /// Its name here.
    pub id: OrderId,
    /// What is wanted.
    pub wish: LaneWish,
    /// By whom.
    pub by: Orderer,
    /// How far it is.
    pub phase: OrderPhase,
    /// When it was given.
    #[serde(with = "time::millis")]
    pub given_at: SystemTime,
}

/// How far an order is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderPhase {
    /// Nothing has been done.
    Waiting,
    /// Codex was, or is about to be, asked for something that shows in the history of the thread.
    Begun {
        /// The thread.
        thread: ThreadId,
        /// The newest turn that it had before.
        after: Option<TurnId>,
    },
}

/// What an order changes when it leaves the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEffect {
    /// Nothing that the ledger knows.
    None,
    /// The next turn begins in a new thread; the present one is kept.
    Leave,
    /// The lane goes on in a thread that was kept.
    GoBack {
        /// The thread.
        thread: ThreadId,
    },
    /// The lane goes on in a copy of its thread; the present one is kept.
    GoOn {
        /// The copy.
        copy: ThreadId,
    },
    /// The lane's turns are run by another model.
    Model {
        /// Which; without, the one of the configuration.
        name: Option<String>,
        /// What runs without one being named.
        before: Option<String>,
    },
}

/// The model of a lane, once somebody has named one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneModel {
    /// The one that was named, unless the lane has gone back.
    pub chosen: Option<String>,
    /// What ran before one was named, and runs again when the configuration names none: a thread goes on
    /// with the model of its last turn unless it is told another one.
    pub before: Option<String>,
}

/// A thread that a lane has, or can go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptThread {
    /// Codex's name of it.
    pub thread: ThreadId,
    /// Its number in the lane, which stays.
    pub number: u32,
    /// The number of the one that it is a copy of.
    pub copy_of: Option<u32>,
    /// The beginning of its first message, on one line; empty if that was no message of people.
    pub beginning: String,
    /// Where that was written: what is said in one chat is not for another one.
    pub from: Option<Origin>,
    /// How its model reaches people.
    pub reach: Reach,
    /// When it had its first turn.
    #[serde(with = "time::millis")]
    pub begun_at: SystemTime,
    /// When it had its last turn.
    #[serde(with = "time::millis")]
    pub used_at: SystemTime,
}

/// Why an order is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OrderRefusal {
    /// As many wait as may.
    #[error("{MAX_ORDERS} orders wait for this lane already")]
    TooMany,
    /// It is the lane of a teammate, whose thread is its own.
    #[error("the lane is that of a teammate")]
    Teammate,
    /// It is the lane of a session, whose thread is its own.
    #[error("the lane is that of a session")]
    Session,
}

/// What somebody wants to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStop {
    /// By whom, and where.
    pub stop: Stop,
    /// Whose turn may be stopped, and whose messages are withdrawn; everything, if none.
    pub origin: Option<Origin>,
    /// The turn is stopped whomever it answers.
    pub any_turn: bool,
    /// What waits is withdrawn as well.
    pub all: bool,
}

/// What a stop has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// What was found.
    pub turn: StoppedTurn,
    /// How many messages still wait, of those that could have been withdrawn.
    pub waiting: usize,
    /// The messages that were withdrawn.
    pub withdrawn: Vec<Withdrawn>,
}

/// A message that waited and will not be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Its name here.
    pub id: MessageId,
    /// Where it came from.
    pub channel: ChannelId,
    /// And the conversation there.
    pub conversation: Conversation,
    /// The platform's name of it.
    pub message: WireId,
}

/// What a stop has found to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoppedTurn {
    /// Nothing runs.
    #[default]
    None,
    /// It ends now.
    Ends,
    /// Somebody had stopped it before.
    Ended,
    /// What runs is for others.
    OfOthers,
}

impl Ledger {
    /// Takes an order for a lane, which is made if nothing has happened on it. The inner error is for
    /// whoever gave it.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn order(
        &self,
        lane: &LaneId,
        dispatcher: &DispatcherId,
        wish: LaneWish,
        by: Orderer,
        key: Option<IdempotencyKey>,
    ) -> Result<Result<Once<OrderId>, OrderRefusal>, LedgerError> {
        let (lane, dispatcher) = (lane.clone(), dispatcher.clone());
        self.call(move |transaction| {
            transaction.order_once(&lane, &dispatcher, wish, by, key.as_ref())
        })
        .await
    }

    /// Returns the orders that wait for a lane, in the order in which they were given.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn orders(&self, lane: &LaneId) -> Result<Vec<LaneOrder>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.orders(&lane))
            .await
    }

    /// Notes how far an order is.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such order.
    pub async fn advance_order(
        &self,
        lane: &LaneId,
        id: OrderId,
        phase: OrderPhase,
    ) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.advance_order(&lane, id, phase))
            .await
    }

    /// Gives an order its effect, forgets it and enqueues what is said about it, all at once.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such order.
    pub async fn finish_order(
        &self,
        lane: &LaneId,
        id: OrderId,
        effect: OrderEffect,
        posts: Vec<NewPost>,
    ) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.finish_order(&lane, id, effect, posts))
            .await
    }

    /// Returns the threads of a lane that had a turn, those used last first; the present one among them.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn kept_threads(&self, lane: &LaneId) -> Result<Vec<KeptThread>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.kept_threads(&lane))
            .await
    }

    /// Ends the turn of a lane, withdraws what waits if that is wanted, and enqueues what `say` has to say
    /// about it, all at once. `say` is called in the ledger's thread: it must not wait for anything.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn stop_lane(
        &self,
        lane: &LaneId,
        stop: NewStop,
        say: impl FnOnce(&Stopped) -> Vec<NewPost> + Send + 'static,
    ) -> Result<Stopped, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| {
            let stopped = transaction.stop_lane(&lane, &stop)?;
            transaction.enqueue(say(&stopped))?;
            Ok(stopped)
        })
        .await
    }
}
