//! Completions: reported once, brought up by a turn, given back if it did not deal with them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{CompletionId, DispatcherId, LaneId, ThreadId, TurnKey};
use crate::ledger::completion::{
    CompletionEvent, CompletionRecord, CompletionState, CompletionStatus, MAX_TURN_COMPLETIONS,
    NewCompletion, Reported, Return,
};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Table};
use crate::ledger::lane::{OpenTurn, Origin};
use crate::ledger::message::Outcome;
use crate::ledger::operation::body::Body;
use crate::ledger::operation::lanes::StoredLane;
use crate::ledger::session::SessionError;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::teammate::RosterError;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// A completion as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredCompletion {
    id: CompletionId,
    pub(super) dispatcher: DispatcherId,
    lane: LaneId,
    pub(super) name: String,
    from: String,
    status: CompletionStatus,
    origin: Option<Origin>,
    #[serde(with = "time::millis")]
    reported_at: SystemTime,
    pub(super) state: CompletionState,
    pub(super) injected_into: Option<ThreadId>,
    turn: Option<TurnKey>,
    /// Where it waits among the lane's completions, also after it was given back.
    place: u64,
    chars: usize,
    body: Body<String>,
}

impl StoredCompletion {
    fn into_record(self) -> CompletionRecord {
        CompletionRecord {
            id: self.id,
            dispatcher: self.dispatcher,
            lane: self.lane,
            name: self.name,
            from: self.from,
            status: self.status,
            chars: self.chars,
            origin: self.origin,
            reported_at: self.reported_at,
            state: self.state,
            injected_into: self.injected_into,
            turn: self.turn,
        }
    }

    /// Returns the name of the file that has its text, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.body.file()
    }
}

impl Transaction<'_> {
    /// Records a completion, unless one of its name was recorded before.
    pub(in crate::ledger) fn report(
        &mut self,
        new: NewCompletion,
    ) -> Result<Reported, LedgerError> {
        let reported = key::reported(&new.dispatcher, &new.name)?;
        if let Some(id) = self.get("completion's name", Table::Reported, &reported)? {
            let known = self.known_completion(id)?;
            return Ok(Reported {
                id,
                lane: known.lane,
                state: known.state,
                is_new: false,
            });
        }
        let id = CompletionId::new();
        let place = self.state.take_number();
        let mut lane = self.lane_or_new(&new.lane, &new.dispatcher)?;
        if let Some(teammate) = self.teammate_of(lane.teammate)?
            && teammate.closed_at.is_some()
        {
            let name = teammate.name;
            return Err(RosterError::Closed { name }.into());
        }
        if let Some(id) = lane.session {
            return Err(SessionError::NotTold { id }.into());
        }
        lane.arrived += 1;
        let body = Body::keep(self, SpoolOwner::Completion(id), &new.body)?;
        let arrival = key::in_lane(&new.lane, place)?;
        self.put("arrival", Table::Arrivals, arrival, &id)?;
        self.put("completion's name", Table::Reported, reported, &id)?;
        self.put_lane(&lane)?;
        self.put_completion(&StoredCompletion {
            id,
            dispatcher: new.dispatcher,
            lane: new.lane.clone(),
            name: new.name,
            from: new.from,
            status: new.status,
            origin: new.origin.or(lane.last_from.clone()),
            reported_at: time::now(),
            state: CompletionState::Waiting,
            injected_into: None,
            turn: None,
            place,
            chars: new.body.chars().count(),
            body,
        })?;
        Ok(Reported {
            id,
            lane: new.lane,
            state: CompletionState::Waiting,
            is_new: true,
        })
    }

    /// Returns a completion.
    pub(in crate::ledger) fn completion(
        &mut self,
        id: CompletionId,
    ) -> Result<Option<CompletionRecord>, LedgerError> {
        let stored = self.stored_completion(id)?;
        Ok(stored.map(StoredCompletion::into_record))
    }

    /// Returns what came of the work.
    pub(in crate::ledger) fn completion_body(
        &mut self,
        id: CompletionId,
    ) -> Result<String, LedgerError> {
        self.known_completion(id)?.body.load(self)
    }

    /// Returns the completions that wait for a lane, oldest first.
    pub(in crate::ledger) fn arrivals(
        &mut self,
        lane: &LaneId,
        limit: usize,
    ) -> Result<Vec<CompletionRecord>, LedgerError> {
        let arrived = self.arrived(lane, limit)?;
        Ok(arrived
            .into_iter()
            .map(StoredCompletion::into_record)
            .collect())
    }

    /// Opens a turn that brings up completions that wait.
    pub(in crate::ledger) fn open_trigger(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        completions: &[CompletionId],
    ) -> Result<OpenTurn, LedgerError> {
        if completions.len() > MAX_TURN_COMPLETIONS {
            return Err(LedgerError::TooManyCompletions {
                limit: MAX_TURN_COMPLETIONS,
            });
        }
        self.begin_turn(lane, key, |transaction, lane, turn| {
            for id in completions {
                let mut completion = transaction.known_completion(*id)?;
                let arrival = key::in_lane(&lane.id, completion.place)?;
                if completion.lane != lane.id || completion.state != CompletionState::Waiting {
                    return Err(LedgerError::NotArrived {
                        completion: *id,
                        lane: lane.id.clone(),
                    });
                }
                transaction.remove(Table::Arrivals, arrival);
                lane.arrived = lane.arrived.saturating_sub(1);
                completion.turn = Some(key);
                transaction.move_completion(completion, CompletionEvent::Taken)?;
            }
            turn.completions = completions.to_vec();
            Ok(())
        })
    }

    /// Notes that a thread's history has the completions of the open turn.
    pub(in crate::ledger) fn completions_injected(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        thread: &ThreadId,
    ) -> Result<(), LedgerError> {
        let turn = self.open(lane, key)?;
        for id in turn.completions {
            let mut completion = self.known_completion(id)?;
            completion.injected_into = Some(thread.clone());
            self.put_completion(&completion)?;
        }
        let mut lane = self.known_lane(lane)?;
        if lane.thread.as_ref() == Some(thread) && !lane.had_turn {
            lane.had_turn = true;
            self.put_lane(&lane)?;
        }
        Ok(())
    }

    /// Notes that the lane's thread has lost what was injected into it, as far as that still waits.
    pub(in crate::ledger) fn forget_injections(
        &mut self,
        lane: &LaneId,
    ) -> Result<(), LedgerError> {
        for mut completion in self.arrived(lane, MAX_TURN_COMPLETIONS)? {
            if completion.injected_into.take().is_some() {
                self.put_completion(&completion)?;
            }
        }
        Ok(())
    }

    // === For the other operations ===

    /// Settles the completions of a turn that ends. The caller stores the lane.
    pub(super) fn settle_completions(
        &mut self,
        lane: &mut StoredLane,
        turn: &OpenTurn,
        outcome: &Outcome,
    ) -> Result<(), LedgerError> {
        for id in &turn.completions {
            let completion = self.known_completion(*id)?;
            self.move_completion(completion, CompletionEvent::Settled(outcome.clone()))?;
        }
        let is_answered = *outcome == Outcome::Answered && lane.thread.is_some();
        if is_answered || !turn.completions.is_empty() {
            // Those that were held are over, however they ended.
            lane.hold = None;
        }
        // Most lanes have none: then nothing is read.
        if !is_answered || lane.arrived == 0 {
            return Ok(());
        }
        let origin = self.origin_of(turn)?;
        // The model had in view whatever its thread has: what a turn has given back, which waits
        // before everything that came later.
        for completion in self.arrived(&lane.id, MAX_TURN_COMPLETIONS)? {
            let is_theirs = completion.origin.is_none() || completion.origin == origin;
            if is_theirs && completion.injected_into == lane.thread {
                self.remove(Table::Arrivals, key::in_lane(&lane.id, completion.place)?);
                lane.arrived = lane.arrived.saturating_sub(1);
                self.move_completion(completion, CompletionEvent::Settled(Outcome::Answered))?;
            }
        }
        Ok(())
    }

    /// Gives the completions of a turn that ends back to the lane, each to its place. Those of a turn
    /// that somebody has stopped do not begin another one. The caller stores the lane.
    pub(super) fn return_completions(
        &mut self,
        lane: &mut StoredLane,
        turn: &OpenTurn,
        back: Return,
    ) -> Result<(), LedgerError> {
        for id in &turn.completions {
            let mut completion = self.known_completion(*id)?;
            if turn.stop.is_some() {
                self.move_completion(completion, CompletionEvent::Withdrawn)?;
                continue;
            }
            completion.turn = None;
            if back.forgotten {
                completion.injected_into = None;
            }
            self.put(
                "arrival",
                Table::Arrivals,
                key::in_lane(&lane.id, completion.place)?,
                id,
            )?;
            lane.arrived += 1;
            self.move_completion(completion, CompletionEvent::Returned)?;
        }
        lane.hold = match lane.arrived {
            0 => None,
            _ => back.hold.or(lane.hold),
        };
        Ok(())
    }

    /// Takes back such completions as wait for a lane. Returns how many.
    pub(super) fn withdraw_arrivals(
        &mut self,
        lane: &LaneId,
        is_meant: impl Fn(&StoredCompletion) -> bool,
    ) -> Result<usize, LedgerError> {
        let Some(mut stored) = self.stored_lane(lane)? else {
            return Ok(0);
        };
        let mut withdrawn = self.arrived(lane, usize::MAX)?;
        withdrawn.retain(is_meant);
        let count = withdrawn.len();
        for completion in withdrawn {
            self.remove(Table::Arrivals, key::in_lane(lane, completion.place)?);
            self.move_completion(completion, CompletionEvent::Withdrawn)?;
        }
        if count > 0 {
            stored.arrived = stored.arrived.saturating_sub(count);
            if stored.arrived == 0 {
                // Nothing is left that it could be about.
                stored.hold = None;
            }
            self.put_lane(&stored)?;
        }
        Ok(count)
    }

    /// Returns whether a completion of that name was reported, and is remembered.
    pub(super) fn is_reported(
        &mut self,
        dispatcher: &DispatcherId,
        name: &str,
    ) -> Result<bool, LedgerError> {
        self.contains(Table::Reported, &key::reported(dispatcher, name)?)
    }

    /// Returns a completion as it is stored.
    pub(super) fn stored_completion(
        &mut self,
        id: CompletionId,
    ) -> Result<Option<StoredCompletion>, LedgerError> {
        self.get("completion", Table::Completions, &key::completion(id))
    }

    fn known_completion(&mut self, id: CompletionId) -> Result<StoredCompletion, LedgerError> {
        self.stored_completion(id)?
            .ok_or(LedgerError::UnknownCompletion(id))
    }

    fn put_completion(&mut self, completion: &StoredCompletion) -> Result<(), LedgerError> {
        self.put(
            "completion",
            Table::Completions,
            key::completion(completion.id),
            completion,
        )
    }

    fn move_completion(
        &mut self,
        mut completion: StoredCompletion,
        event: CompletionEvent,
    ) -> Result<(), LedgerError> {
        completion.state = completion.state.on(event)?;
        if completion.state.is_settled() {
            let key = key::completion(completion.id);
            self.expire_later(Class::Completion, time::now(), &key)?;
        }
        self.put_completion(&completion)
    }

    fn arrived(
        &mut self,
        lane: &LaneId,
        limit: usize,
    ) -> Result<Vec<StoredCompletion>, LedgerError> {
        let prefix = key::lane(lane)?;
        self.scan(Table::Arrivals, &prefix, &prefix, limit)?
            .into_iter()
            .map(|(_, value)| self.known_completion(value.decode("arrival")?))
            .collect()
    }
}
