//! What people order about teammates: whoever asks is a lane, which is then told what comes of it.

use thiserror::Error;

use super::Handle;
use super::report::NoListener;
use crate::events::{Event, Events};
use crate::id::LaneId;
use crate::ledger::{Asker, IdempotencyKey, LedgerError, Once, Order, Ordered, Stop};
use crate::teammates::{OrderError, Roster, Wish};

/// Why a wish is not fulfilled.
#[derive(Debug, Error)]
pub enum WishError {
    /// The dispatcher has no such lane.
    #[error("the dispatcher has no lane {lane}")]
    UnknownLane {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The lane is that of a teammate, or of a session.
    #[error("lane {lane} is that of a teammate or a session, which is told of nobody's work")]
    NotAnAsker {
        /// The lane that was named.
        lane: LaneId,
    },
    /// The order cannot be carried out.
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl From<NoListener> for WishError {
    fn from(none: NoListener) -> Self {
        match none {
            NoListener::Unknown(lane) => Self::UnknownLane { lane },
            NoListener::Ledger(error) => Self::Order(error.into()),
        }
    }
}

impl Handle {
    /// Fulfils a wish: it is on disk when this returns. `lane` is told what comes of a task; without,
    /// the one that was used last is. Whoever asks may break off: until the order is ready nothing has
    /// begun, and nothing comes of it, for git may take long to say whether it can be. From then on it
    /// goes on when this is dropped. A wish that was fulfilled before under the same key is not
    /// fulfilled again, whether or not it still could be.
    ///
    /// # Errors
    ///
    /// When it cannot be fulfilled, is not on disk, the lane cannot be told, or another wish had the key.
    pub async fn fulfil(
        &self,
        wish: Wish,
        lane: Option<LaneId>,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<Ordered>, WishError> {
        if let Some(key) = &key
            && let Some(made) = self.made_under(key).await?
        {
            return Ok(Once::Repeated { made });
        }
        let order = self.order(wish, lane).await?;
        let roster = self.teammates().clone();
        let events = self.events.clone();
        let fulfilled = self.reports.spawn(async move {
            let kind = Ordering::of(&order);
            let ordered = roster.carry_out_once(order, key).await?;
            if let Once::New(ordered) = &ordered {
                tell_of_order(&events, &kind, ordered);
            }
            Ok(ordered)
        });
        let closed = || OrderError::Ledger(LedgerError::Closed);
        fulfilled.await.unwrap_or_else(|_| Err(closed().into()))
    }

    /// Returns how many orders and results are on their way to disk: a daemon that stops waits for them.
    #[cfg(test)]
    pub(crate) fn n_reports(&self) -> usize {
        self.reports.len()
    }

    /// Returns the order for a wish.
    async fn order(&self, wish: Wish, lane: Option<LaneId>) -> Result<Order, WishError> {
        let roster: &Roster = self.teammates();
        // Who stops or closes one is a person: whoever asked for the work is told.
        Ok(match wish {
            Wish::Spawn(request) => roster.spawn(request, self.asker(lane).await?).await?,
            Wish::Assign { name, task } => roster.send(name, task, self.asker(lane).await?)?,
            Wish::Stop { name } => roster.stop(name, Stop::by_person()),
            Wish::Close { name, discard } => roster.close(name, Stop::by_person(), discard),
        })
    }

    async fn made_under(&self, key: &IdempotencyKey) -> Result<Option<String>, WishError> {
        let made = self.ledger.made_under(key).await;
        Ok(made.map_err(OrderError::from)?)
    }

    async fn asker(&self, lane: Option<LaneId>) -> Result<Asker, WishError> {
        let listener = self.listener(lane).await?;
        if listener.is_teammate || listener.is_session {
            let lane = listener.lane;
            return Err(WishError::NotAnAsker { lane });
        }
        Ok(Asker {
            lane: listener.lane,
            origin: None,
        })
    }
}

/// An order, as far as it is told.
pub(super) enum Ordering {
    /// One joins, and is given a task.
    Joins(String),
    /// One is given a task.
    Assigned(String),
    /// One ends what it does.
    Stops(String),
    /// One leaves.
    Leaves(String),
}

impl Ordering {
    pub(super) fn of(order: &Order) -> Self {
        match order {
            Order::Spawn(teammate, _) => Self::Joins(teammate.name.clone()),
            Order::Assign(task) => Self::Assigned(task.teammate.clone()),
            Order::Stop(halt) => Self::Stops(halt.name.clone()),
            Order::Close { halt, .. } => Self::Leaves(halt.name.clone()),
        }
    }
}

/// Tells of an order that was carried out.
pub(super) fn tell_of_order(events: &Events, order: &Ordering, ordered: &Ordered) {
    let (Ordering::Joins(name)
    | Ordering::Assigned(name)
    | Ordering::Stops(name)
    | Ordering::Leaves(name)) = order;
    let events = events.teammate(name).lane(&ordered.lane);
    match order {
        Ordering::Joins(_) => {
            events.emit(Event::TeammateJoined);
            events.emit(Event::TeammateAssigned);
        }
        Ordering::Assigned(_) => events.emit(Event::TeammateAssigned),
        Ordering::Stops(_) => events.emit(Event::TeammateStopped {
            was_working: ordered.halted.is_running,
            withdrawn: ordered.halted.waiting as u64,
        }),
        Ordering::Leaves(_) => events.emit(Event::TeammateClosed),
    }
}
