//! Lanes: their threads and the places in their queues.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{DispatcherId, LaneId, SessionId, TeammateId, ThreadId, TurnId};
use crate::ledger::completion::Hold;
use crate::ledger::dispatcher::DispatcherRecord;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Key, Table};
use crate::ledger::lane::{
    LaneRecord, LostThread, MAX_REMEMBERED, OpenTurn, Origin, Owner, Reach, SettledTurn,
};
use crate::ledger::operation::messages::StoredMessage;
use crate::ledger::order::LaneModel;
use crate::ledger::post::NewPost;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// The first place of a queue; there is as much room before it as behind it.
const MIDDLE: u64 = 1 << 63;

/// A lane as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredLane {
    pub(super) id: LaneId,
    dispatcher: DispatcherId,
    pub(super) thread: Option<ThreadId>,
    pub(super) had_turn: bool,
    #[serde(default)]
    pub(super) reach: Reach,
    /// The turn that was settled last.
    pub(super) last: Option<SettledTurn>,
    pub(super) waiting: usize,
    /// How many completions wait.
    #[serde(default)]
    pub(super) arrived: usize,
    /// How many tasks wait.
    #[serde(default)]
    pub(super) assigned: usize,
    /// How many orders wait.
    #[serde(default)]
    pub(super) orders: usize,
    /// How many threads were kept so far.
    #[serde(default)]
    kept: u32,
    #[serde(default)]
    pub(super) model: Option<LaneModel>,
    /// Somebody wanted the thread to be a new one.
    #[serde(default)]
    pub(super) renewed: bool,
    /// Whose lane it is, if it is a teammate's.
    #[serde(default)]
    pub(super) teammate: Option<TeammateId>,
    /// Whose lane it is, if it is a session's.
    #[serde(default)]
    pub(super) session: Option<SessionId>,
    /// The newest turn of a thread that somebody else had begun: what came before is not ours.
    #[serde(default)]
    pub(super) before: Option<TurnId>,
    #[serde(default)]
    pub(super) hold: Option<Hold>,
    pub(super) last_from: Option<Origin>,
    #[serde(with = "time::millis")]
    pub(super) used_at: SystemTime,
    /// The first place that was given.
    front: u64,
    /// The first place behind those that were given.
    back: u64,
}

impl StoredLane {
    /// Takes the place before all others.
    pub(super) fn front_place(&mut self) -> u64 {
        self.front -= 1;
        self.front
    }

    /// Takes the number of a thread that is kept.
    pub(super) fn next_number(&mut self) -> u32 {
        self.kept = self.kept.saturating_add(1);
        self.kept
    }

    /// Takes the place behind all others.
    pub(super) fn back_place(&mut self) -> u64 {
        let place = self.back;
        self.back += 1;
        place
    }
}

impl Transaction<'_> {
    /// Returns the lanes of a dispatcher.
    pub(in crate::ledger) fn lanes(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<LaneRecord>, LedgerError> {
        let mut lanes = Vec::new();
        for (_, value) in self.scan(Table::Lanes, &Key::first(), &Key::first(), usize::MAX)? {
            let lane: StoredLane = value.decode("lane")?;
            if lane.dispatcher == *dispatcher {
                lanes.push(self.whole_lane(lane)?);
            }
        }
        Ok(lanes)
    }

    /// Returns a lane.
    pub(in crate::ledger) fn lane(
        &mut self,
        lane: &LaneId,
    ) -> Result<Option<LaneRecord>, LedgerError> {
        self.stored_lane(lane)?
            .map(|lane| self.whole_lane(lane))
            .transpose()
    }

    /// Gives a lane a new thread that has had no turn.
    pub(in crate::ledger) fn set_thread(
        &mut self,
        lane: &LaneId,
        thread: ThreadId,
        reach: Reach,
    ) -> Result<(), LedgerError> {
        let mut lane = self.known_lane(lane)?;
        if let Some(before) = lane.thread.replace(thread.clone()) {
            self.let_go(&lane.id, &before)?;
        }
        self.note_thread(&lane.id, &thread)?;
        lane.had_turn = false;
        lane.reach = reach;
        self.put_lane(&lane)
    }

    /// Notes that a lane's model was told that it reaches people in another way.
    pub(in crate::ledger) fn set_reach(
        &mut self,
        lane: &LaneId,
        reach: Reach,
    ) -> Result<(), LedgerError> {
        let mut lane = self.known_lane(lane)?;
        lane.reach = reach;
        self.put_lane(&lane)
    }

    /// Notes that a thread is lost, and tells the chats.
    pub(in crate::ledger) fn lose_thread(
        &mut self,
        lane: &LaneId,
        lost: LostThread,
        posts: Vec<NewPost>,
    ) -> Result<(), LedgerError> {
        let mut lane = self.known_lane(lane)?;
        if lane.thread.as_ref() == Some(&lost.thread) {
            lane.thread = None;
            lane.had_turn = false;
            lane.reach = Reach::default();
            lane.renewed = false;
            self.let_go(&lane.id, &lost.thread)?;
        }
        self.forget_thread(&lane.id, &lost.thread)?;
        let number = self.state.take_number();
        let lost = LostThread {
            reason: cut_reason(&lost.reason),
            ..lost
        };
        self.put(
            "lost thread",
            Table::Lost,
            key::in_lane(&lane.id, number)?,
            &lost,
        )?;
        let prefix = key::lane(&lane.id)?;
        let all = self.scan(Table::Lost, &prefix, &prefix, usize::MAX)?;
        let excess = all.len().saturating_sub(MAX_REMEMBERED);
        for (key, _) in all.into_iter().take(excess) {
            self.remove(Table::Lost, key);
        }
        self.put_lane(&lane)?;
        self.enqueue(posts)?;
        Ok(())
    }

    /// Returns the lane of a dispatcher that has this thread.
    pub(in crate::ledger) fn lane_of_thread(
        &mut self,
        dispatcher: &DispatcherId,
        thread: &ThreadId,
    ) -> Result<Option<LaneRecord>, LedgerError> {
        let Some(lane) = self.holder(thread)? else {
            return Ok(None);
        };
        let lane = self.lane(&lane)?;
        Ok(lane
            .filter(|lane| lane.dispatcher == *dispatcher && lane.thread.as_ref() == Some(thread)))
    }

    /// Stores what is to be remembered of a dispatcher.
    pub(in crate::ledger) fn set_dispatcher(
        &mut self,
        record: DispatcherRecord,
    ) -> Result<(), LedgerError> {
        let record = DispatcherRecord {
            last_error: record.last_error.as_deref().map(cut_reason),
            ..record
        };
        let key = key::dispatcher(&record.id)?;
        self.put("dispatcher", Table::Dispatchers, key, &record)
    }

    /// Returns all dispatchers that are remembered.
    pub(in crate::ledger) fn dispatchers(&mut self) -> Result<Vec<DispatcherRecord>, LedgerError> {
        self.scan(Table::Dispatchers, &Key::first(), &Key::first(), usize::MAX)?
            .into_iter()
            .map(|(_, value)| value.decode("dispatcher"))
            .collect()
    }

    // === For the other operations ===

    /// Returns a lane that must be there.
    pub(super) fn known_lane(&mut self, lane: &LaneId) -> Result<StoredLane, LedgerError> {
        self.stored_lane(lane)?
            .ok_or_else(|| LedgerError::UnknownLane(lane.clone()))
    }

    /// Returns a lane, or what it is when nothing has happened on it.
    pub(super) fn lane_or_new(
        &mut self,
        lane: &LaneId,
        dispatcher: &DispatcherId,
    ) -> Result<StoredLane, LedgerError> {
        Ok(self.stored_lane(lane)?.unwrap_or_else(|| StoredLane {
            id: lane.clone(),
            dispatcher: dispatcher.clone(),
            thread: None,
            had_turn: false,
            reach: Reach::default(),
            last: None,
            waiting: 0,
            arrived: 0,
            assigned: 0,
            orders: 0,
            kept: 0,
            model: None,
            renewed: false,
            teammate: None,
            session: None,
            before: None,
            hold: None,
            last_from: None,
            used_at: time::now(),
            front: MIDDLE,
            back: MIDDLE,
        }))
    }

    /// Stores a lane.
    pub(super) fn put_lane(&mut self, lane: &StoredLane) -> Result<(), LedgerError> {
        self.put("lane", Table::Lanes, key::lane(&lane.id)?, lane)
    }

    /// Forgets a lane on which nothing will happen any more.
    pub(super) fn forget_lane(&mut self, lane: &LaneId) -> Result<(), LedgerError> {
        let Some(stored) = self.stored_lane(lane)? else {
            return Ok(());
        };
        let key = key::lane(lane)?;
        for (lost, _) in self.scan(Table::Lost, &key, &key, usize::MAX)? {
            self.remove(Table::Lost, lost);
        }
        self.forget_threads(lane)?;
        self.remove(Table::Troubles, key.clone());
        if let Some(thread) = &stored.thread {
            self.let_go(lane, thread)?;
        }
        self.remove(Table::Lanes, key);
        Ok(())
    }

    /// Notes that a thread is that of a lane no longer. Another one may have it by now.
    pub(super) fn let_go(&mut self, lane: &LaneId, thread: &ThreadId) -> Result<(), LedgerError> {
        if self.holder(thread)?.as_ref() == Some(lane) {
            self.remove(Table::Threads, key::thread(thread)?);
        }
        Ok(())
    }

    /// Returns the lane that has a thread.
    pub(super) fn holder(&mut self, thread: &ThreadId) -> Result<Option<LaneId>, LedgerError> {
        self.get("thread", Table::Threads, &key::thread(thread)?)
    }

    /// Notes that a lane has a thread.
    pub(super) fn note_thread(
        &mut self,
        lane: &LaneId,
        thread: &ThreadId,
    ) -> Result<(), LedgerError> {
        self.put("thread", Table::Threads, key::thread(thread)?, lane)
    }

    /// Takes a message out of its lane's queue. The caller stores both.
    pub(super) fn leave_queue(
        &mut self,
        lane: &mut StoredLane,
        message: &StoredMessage,
    ) -> Result<(), LedgerError> {
        let misplaced = || LedgerError::Misplaced {
            message: message.id,
            lane: lane.id.clone(),
        };
        if message.lane != lane.id {
            return Err(misplaced());
        }
        let place = message.place.ok_or_else(misplaced)?;
        self.remove(Table::Queue, key::in_lane(&lane.id, place)?);
        lane.waiting = lane.waiting.saturating_sub(1);
        Ok(())
    }

    pub(super) fn stored_lane(&mut self, lane: &LaneId) -> Result<Option<StoredLane>, LedgerError> {
        self.get("lane", Table::Lanes, &key::lane(lane)?)
    }

    fn whole_lane(&mut self, lane: StoredLane) -> Result<LaneRecord, LedgerError> {
        let key = key::lane(&lane.id)?;
        let open: Option<OpenTurn> = self.get("turn", Table::Turns, &key)?;
        let lost = self
            .scan(Table::Lost, &key, &key, MAX_REMEMBERED)?
            .into_iter()
            .map(|(_, value)| value.decode("lost thread"))
            .collect::<Result<_, _>>()?;
        let trouble = self.get("trouble", Table::Troubles, &key)?;
        Ok(LaneRecord {
            id: lane.id,
            dispatcher: lane.dispatcher,
            thread: lane.thread,
            had_turn: lane.had_turn,
            reach: lane.reach,
            lost,
            open,
            last: lane.last,
            waiting: lane.waiting,
            arrived: lane.arrived,
            assigned: lane.assigned,
            orders: lane.orders,
            model: lane.model,
            renewed: lane.renewed,
            owner: match (lane.session, lane.teammate) {
                (Some(id), _) => Owner::Session(id),
                (None, Some(id)) => Owner::Teammate(id),
                (None, None) => Owner::Chat,
            },
            hold: lane.hold,
            trouble,
            last_from: lane.last_from,
            used_at: lane.used_at,
        })
    }
}
