//! What the operator orders about a lane on the machine: its people are told what comes of it.

use thiserror::Error;

use super::Handle;
use super::words::orders as say;
use crate::id::{LaneId, OrderId, ThreadId};
use crate::ledger::{
    IdempotencyKey, KeptThread, LaneModel, LaneRecord, LaneWish, LedgerError, NewPost, NewStop,
    Once, OrderRefusal, Orderer, Owner, Stop, Stopped,
};
use crate::outbox;

/// Why nothing is ordered.
#[derive(Debug, Error)]
pub enum LaneError {
    /// The dispatcher has no such lane.
    #[error("there is no lane {0}")]
    Unknown(LaneId),
    /// The order is not taken.
    #[error(transparent)]
    Refused(#[from] OrderRefusal),
    /// It is not on disk.
    #[error("the ledger did not take it")]
    Ledger(#[from] LedgerError),
}

/// The threads of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneThreads {
    /// Those that had a turn, used last first.
    pub kept: Vec<KeptThread>,
    /// The one that goes on.
    pub present: Option<ThreadId>,
    /// Its model, once somebody has named one.
    pub model: Option<LaneModel>,
    /// How many orders wait.
    pub orders: usize,
}

impl Handle {
    /// Orders something of a lane's thread: it is on disk when this returns. Returns the order, and
    /// whether a turn runs for which it waits.
    ///
    /// # Errors
    ///
    /// When there is no such lane, or the order is not taken or not on disk.
    pub async fn order_lane(
        &self,
        lane: &LaneId,
        wish: LaneWish,
        key: Option<IdempotencyKey>,
    ) -> Result<(Once<OrderId>, bool), LaneError> {
        let record = self.lane_record(lane).await?;
        let by = Orderer::default();
        let order = self.ledger.order(lane, self.id(), wish, by, key).await??;
        self.wake(lane.clone());
        Ok((order, record.open.is_some()))
    }

    /// Ends what a lane is at; with `all`, what waits as well. Whoever has written that is told.
    ///
    /// # Errors
    ///
    /// As [`order_lane`](Self::order_lane).
    pub async fn stop_lane(&self, lane: &LaneId, all: bool) -> Result<Stopped, LaneError> {
        let record = self.lane_record(lane).await?;
        match record.owner {
            Owner::Chat => {}
            Owner::Teammate(_) => return Err(OrderRefusal::Teammate.into()),
            Owner::Session(_) => return Err(OrderRefusal::Session.into()),
        }
        let stop = NewStop {
            stop: Stop::by_person(),
            origin: None,
            any_turn: true,
            all,
        };
        let languages = self.languages.clone();
        let stopped = self.ledger.stop_lane(lane, stop, move |stopped| {
            let mut posts: Vec<NewPost> = Vec::new();
            for withdrawn in &stopped.withdrawn {
                let language = languages.of(&withdrawn.channel);
                let (channel, to) = (&withdrawn.channel, &withdrawn.conversation);
                posts.push(NewPost {
                    reply_to: Some(withdrawn.message.clone()),
                    settles: vec![withdrawn.message.clone()],
                    ..outbox::notice(channel, to, say::WITHDRAWN.within(language))
                });
            }
            posts
        });
        let stopped = stopped.await?;
        for withdrawn in &stopped.withdrawn {
            self.show_withdrawn(withdrawn);
        }
        self.wake(lane.clone());
        Ok(stopped)
    }

    /// Returns the threads of a lane.
    ///
    /// # Errors
    ///
    /// When there is no such lane, or they cannot be read.
    pub async fn threads_of(&self, lane: &LaneId) -> Result<LaneThreads, LaneError> {
        let record = self.lane_record(lane).await?;
        Ok(LaneThreads {
            kept: self.ledger.kept_threads(lane).await?,
            present: record.thread.filter(|_| record.had_turn),
            model: record.model,
            orders: record.orders,
        })
    }

    async fn lane_record(&self, lane: &LaneId) -> Result<LaneRecord, LaneError> {
        let record = self.ledger.lane(lane).await?;
        record
            .filter(|record| record.dispatcher == *self.id())
            .ok_or_else(|| LaneError::Unknown(lane.clone()))
    }
}
