//! Orders about a lane's thread, the threads it can go back to, and stops.

use tieline_channel::cut;

use crate::id::{DispatcherId, LaneId, OrderId, ThreadId};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::keyed::{IdempotencyKey, Once};
use crate::ledger::lane::{OpenTurn, Origin};
use crate::ledger::message::{MessageEvent, MessageRecord, Outcome};
use crate::ledger::operation::lanes::StoredLane;
use crate::ledger::order::{
    KeptThread, LaneModel, LaneOrder, LaneWish, MAX_BEGINNING, MAX_KEPT, MAX_ORDERS, NewStop,
    OrderEffect, OrderPhase, OrderRefusal, Orderer, Stopped, StoppedTurn, Withdrawn,
};
use crate::ledger::post::NewPost;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// How many waiting messages are looked at when a lane is stopped.
const LOOKED_AT: usize = 1_000;

impl Transaction<'_> {
    /// Takes an order for a lane.
    pub(in crate::ledger) fn order(
        &mut self,
        lane: &LaneId,
        dispatcher: &DispatcherId,
        wish: LaneWish,
        by: Orderer,
    ) -> Result<Result<OrderId, OrderRefusal>, LedgerError> {
        let mut lane = self.lane_or_new(lane, dispatcher)?;
        if lane.teammate.is_some() {
            return Ok(Err(OrderRefusal::Teammate));
        }
        if lane.session.is_some() {
            return Ok(Err(OrderRefusal::Session));
        }
        if lane.orders >= MAX_ORDERS {
            return Ok(Err(OrderRefusal::TooMany));
        }
        let id = OrderId::new();
        let order = LaneOrder {
            id,
            wish,
            by,
            phase: OrderPhase::Waiting,
            given_at: time::now(),
        };
        let number = self.state.take_number();
        let key = key::in_lane(&lane.id, number)?;
        self.put("order", Table::Orders, key, &order)?;
        lane.orders += 1;
        self.put_lane(&lane)?;
        Ok(Ok(id))
    }

    /// Takes an order for a lane, unless that was done before under the same key.
    pub(in crate::ledger) fn order_once(
        &mut self,
        lane: &LaneId,
        dispatcher: &DispatcherId,
        wish: LaneWish,
        by: Orderer,
        key: Option<&IdempotencyKey>,
    ) -> Result<Result<Once<OrderId>, OrderRefusal>, LedgerError> {
        if let Some(key) = key
            && let Some(made) = self.made_under(key)?
        {
            return Ok(Ok(Once::Repeated { made }));
        }
        match self.order(lane, dispatcher, wish, by)? {
            Ok(id) => self.once(key, |_| Ok((id.to_string(), id))).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Returns the orders that wait for a lane.
    pub(in crate::ledger) fn orders(
        &mut self,
        lane: &LaneId,
    ) -> Result<Vec<LaneOrder>, LedgerError> {
        let prefix = key::lane(lane)?;
        self.scan(Table::Orders, &prefix, &prefix, MAX_ORDERS)?
            .into_iter()
            .map(|(_, value)| value.decode("order"))
            .collect()
    }

    /// Notes how far an order is.
    pub(in crate::ledger) fn advance_order(
        &mut self,
        lane: &LaneId,
        id: OrderId,
        phase: OrderPhase,
    ) -> Result<(), LedgerError> {
        let (key, order) = self.known_order(lane, id)?;
        self.put("order", Table::Orders, key, &LaneOrder { phase, ..order })
    }

    /// Gives an order its effect, and forgets it.
    pub(in crate::ledger) fn finish_order(
        &mut self,
        lane: &LaneId,
        id: OrderId,
        effect: OrderEffect,
        posts: Vec<NewPost>,
    ) -> Result<(), LedgerError> {
        let (key, _) = self.known_order(lane, id)?;
        self.remove(Table::Orders, key);
        let mut lane = self.known_lane(lane)?;
        lane.orders = lane.orders.saturating_sub(1);
        match effect {
            OrderEffect::None => {}
            OrderEffect::Leave => {
                self.leave_thread(&mut lane)?;
                lane.renewed = true;
            }
            OrderEffect::GoBack { thread } => {
                self.leave_thread(&mut lane)?;
                let kept = self.kept_thread(&lane.id, &thread)?;
                lane.reach = kept.map(|kept| kept.reach).unwrap_or_default();
                self.take_thread(&mut lane, thread)?;
            }
            OrderEffect::GoOn { copy } => {
                let reach = lane.reach;
                let origin = self.leave_thread(&mut lane)?;
                lane.reach = reach;
                let now = time::now();
                let kept = KeptThread {
                    thread: copy.clone(),
                    number: lane.next_number(),
                    copy_of: origin.as_ref().map(|it| it.number),
                    from: origin.as_ref().and_then(|it| it.from.clone()),
                    beginning: origin.map(|it| it.beginning).unwrap_or_default(),
                    reach,
                    begun_at: now,
                    used_at: now,
                };
                self.take_thread(&mut lane, copy)?;
                self.keep(&lane, &kept)?;
            }
            OrderEffect::Model { name, before } => {
                lane.model = Some(LaneModel {
                    chosen: name,
                    before,
                });
            }
        }
        self.put_lane(&lane)?;
        self.enqueue(posts)?;
        Ok(())
    }

    /// Returns the threads of a lane that had a turn, those used last first.
    pub(in crate::ledger) fn kept_threads(
        &mut self,
        lane: &LaneId,
    ) -> Result<Vec<KeptThread>, LedgerError> {
        let prefix = key::lane(lane)?;
        let mut kept = self
            .scan(Table::Kept, &prefix, &prefix, usize::MAX)?
            .into_iter()
            .map(|(_, value)| value.decode("kept thread"))
            .collect::<Result<Vec<KeptThread>, _>>()?;
        kept.sort_by_key(|kept| std::cmp::Reverse((kept.used_at, kept.number)));
        Ok(kept)
    }

    /// Ends the turn of a lane, and withdraws what waits if that is wanted.
    pub(in crate::ledger) fn stop_lane(
        &mut self,
        id: &LaneId,
        new: &NewStop,
    ) -> Result<Stopped, LedgerError> {
        let Some(lane) = self.lane(id)? else {
            return Ok(Stopped::default());
        };
        let turn = match &lane.open {
            None => StoppedTurn::None,
            Some(open) => {
                let answers = self.origin_of(open)?.or(lane.last_from);
                if !new.any_turn && !is_in_chat(new.origin.as_ref(), answers.as_ref()) {
                    StoppedTurn::OfOthers
                } else if open.stop.is_some() {
                    StoppedTurn::Ended
                } else {
                    self.stop_turn(id, new.stop.clone())?;
                    StoppedTurn::Ends
                }
            }
        };
        let concerned = |message: &MessageRecord| match &new.origin {
            Some(origin) => {
                message.channel == origin.channel
                    && message.message.conversation == origin.conversation
            }
            None => true,
        };
        let mut waiting = self.waiting(id, LOOKED_AT)?;
        waiting.retain(concerned);
        let mut stopped = Stopped {
            turn,
            waiting: waiting.len(),
            withdrawn: Vec::new(),
        };
        if !new.all || waiting.is_empty() {
            return Ok(stopped);
        }
        let mut lane = self.known_lane(id)?;
        for record in waiting {
            let message = self.known_message(record.id)?;
            self.leave_queue(&mut lane, &message)?;
            self.move_message(message, MessageEvent::Settled(Outcome::Cancelled))?;
            stopped.withdrawn.push(Withdrawn {
                id: record.id,
                channel: record.channel,
                conversation: record.message.conversation,
                message: record.message.id,
            });
        }
        stopped.waiting = 0;
        self.put_lane(&lane)?;
        Ok(stopped)
    }

    // === For the other operations ===

    /// Notes that the thread of a lane has a turn, the first one perhaps. The caller stores the lane.
    pub(super) fn use_thread(
        &mut self,
        lane: &mut StoredLane,
        turn: &OpenTurn,
    ) -> Result<(), LedgerError> {
        let Some(thread) = lane
            .thread
            .clone()
            .filter(|_| lane.teammate.is_none() && lane.session.is_none())
        else {
            return Ok(());
        };
        let now = time::now();
        let kept = match self.kept_thread(&lane.id, &thread)? {
            Some(kept) => KeptThread {
                used_at: now,
                ..kept
            },
            None => {
                let first = match turn.messages.first() {
                    Some(first) => match self.message(*first) {
                        Err(LedgerError::Damaged { .. }) => None,
                        first => first?,
                    },
                    None => None,
                };
                KeptThread {
                    thread,
                    number: lane.next_number(),
                    copy_of: None,
                    beginning: first.as_ref().map(beginning).unwrap_or_default(),
                    from: first.map(|first| Origin {
                        channel: first.channel,
                        conversation: first.message.conversation,
                    }),
                    reach: lane.reach,
                    begun_at: now,
                    used_at: now,
                }
            }
        };
        self.keep(lane, &kept)
    }

    /// Forgets a thread that a lane cannot go back to.
    pub(super) fn forget_thread(
        &mut self,
        lane: &LaneId,
        thread: &ThreadId,
    ) -> Result<(), LedgerError> {
        self.remove(Table::Kept, key::kept(lane, thread)?);
        Ok(())
    }

    /// Forgets all threads and orders of a lane.
    pub(super) fn forget_threads(&mut self, lane: &LaneId) -> Result<(), LedgerError> {
        let prefix = key::lane(lane)?;
        for table in [Table::Kept, Table::Orders] {
            for (key, _) in self.scan(table, &prefix, &prefix, usize::MAX)? {
                self.remove(table, key);
            }
        }
        Ok(())
    }

    /// Takes its thread from a lane, and returns what is kept of it: nothing of one that was never used,
    /// for Codex has nothing of it either. The caller stores the lane.
    fn leave_thread(&mut self, lane: &mut StoredLane) -> Result<Option<KeptThread>, LedgerError> {
        let had_turn = std::mem::take(&mut lane.had_turn);
        let reach = std::mem::take(&mut lane.reach);
        let Some(thread) = lane.thread.take() else {
            return Ok(None);
        };
        self.remove(Table::Threads, key::thread(&thread)?);
        if !had_turn {
            return Ok(None);
        }
        let kept = match self.kept_thread(&lane.id, &thread)? {
            Some(kept) => KeptThread { reach, ..kept },
            // It is from before threads were kept.
            None => KeptThread {
                thread,
                number: lane.next_number(),
                copy_of: None,
                beginning: String::new(),
                from: None,
                reach,
                begun_at: lane.used_at,
                used_at: lane.used_at,
            },
        };
        self.keep(lane, &kept)?;
        Ok(Some(kept))
    }

    /// Gives a lane a thread that Codex has on disk. The caller stores the lane.
    fn take_thread(&mut self, lane: &mut StoredLane, thread: ThreadId) -> Result<(), LedgerError> {
        self.put("thread", Table::Threads, key::thread(&thread)?, &lane.id)?;
        lane.thread = Some(thread);
        lane.had_turn = true;
        Ok(())
    }

    fn kept_thread(
        &mut self,
        lane: &LaneId,
        thread: &ThreadId,
    ) -> Result<Option<KeptThread>, LedgerError> {
        self.get("kept thread", Table::Kept, &key::kept(lane, thread)?)
    }

    /// Keeps a thread, and forgets those used longest ago as far as there are too many.
    fn keep(&mut self, lane: &StoredLane, kept: &KeptThread) -> Result<(), LedgerError> {
        let key = key::kept(&lane.id, &kept.thread)?;
        let is_new = !self.contains(Table::Kept, &key)?;
        self.put("kept thread", Table::Kept, key, kept)?;
        if is_new {
            let mut others = self.kept_threads(&lane.id)?;
            let is_present = |thread: &ThreadId| Some(thread) == lane.thread.as_ref();
            others.retain(|it| it.thread != kept.thread && !is_present(&it.thread));
            for excess in others.iter().skip(MAX_KEPT - 2) {
                self.forget_thread(&lane.id, &excess.thread)?;
            }
        }
        Ok(())
    }

    fn known_order(
        &mut self,
        lane: &LaneId,
        id: OrderId,
    ) -> Result<(key::Key, LaneOrder), LedgerError> {
        let prefix = key::lane(lane)?;
        for (key, value) in self.scan(Table::Orders, &prefix, &prefix, MAX_ORDERS)? {
            let order: LaneOrder = value.decode("order")?;
            if order.id == id {
                return Ok((key, order));
            }
        }
        Err(LedgerError::UnknownOrder(id))
    }
}

/// Returns whether what is asked for in one conversation is about what is answered in another one of the
/// same chat: its people read both.
fn is_in_chat(asked: Option<&Origin>, answers: Option<&Origin>) -> bool {
    match (asked, answers) {
        (Some(asked), Some(answers)) => {
            asked.channel == answers.channel && asked.conversation.chat == answers.conversation.chat
        }
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// Returns the first words of a message, on one line.
fn beginning(message: &MessageRecord) -> String {
    let text = message.message.plain_text();
    let words: Vec<_> = text.split_whitespace().take(MAX_BEGINNING).collect();
    cut(&words.join(" "), MAX_BEGINNING)
}
