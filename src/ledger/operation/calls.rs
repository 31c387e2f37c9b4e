//! Calls of tools: each done once while its turn is open, and forgotten with it.

use crate::id::{LaneId, TurnKey};
use crate::ledger::call::{CallRecord, Done, NewCall};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::story::About;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

impl Transaction<'_> {
    /// Does a call, unless it was done before.
    pub(in crate::ledger) fn do_call(&mut self, new: NewCall) -> Result<Done, LedgerError> {
        let mut turn = self.open(&new.lane, new.turn)?;
        if let Some(before) = self.done_call(&new.lane, new.turn, &new.call)? {
            return Ok(Done {
                receipt: before.receipt,
                is_new: false,
                ordered: None,
            });
        }
        let ordered = match new.order {
            Some(order) => Some(self.carry_out(order)?),
            None => None,
        };
        let halted = ordered.as_ref().map(|ordered| ordered.halted);
        let receipt = match halted.unwrap_or_default().to_string() {
            nothing if nothing.is_empty() => new.receipt,
            halted => format!("{}; {halted}", new.receipt),
        };
        let record = CallRecord {
            number: self.state.take_number(),
            tool: new.tool,
            receipt: cut_reason(&receipt),
        };
        let key = key::call(&new.lane, new.turn, &new.call)?;
        self.put("call", Table::Calls, key, &record)?;
        if new.is_said {
            turn.said = turn.said.saturating_add(1);
            self.put_turn(&new.lane, turn)?;
        }
        self.enqueue_about(Some(About::Turn(new.turn)), new.posts)?;
        Ok(Done {
            receipt: record.receipt,
            is_new: true,
            ordered,
        })
    }

    /// Returns a call that was done.
    pub(in crate::ledger) fn done_call(
        &mut self,
        lane: &LaneId,
        turn: TurnKey,
        call: &str,
    ) -> Result<Option<CallRecord>, LedgerError> {
        self.get("call", Table::Calls, &key::call(lane, turn, call)?)
    }

    /// Returns the calls of a turn, in the order in which they were done.
    pub(in crate::ledger) fn done_calls(
        &mut self,
        lane: &LaneId,
        turn: TurnKey,
    ) -> Result<Vec<CallRecord>, LedgerError> {
        let prefix = key::calls(lane, turn)?;
        let mut calls = Vec::new();
        for (_, value) in self.scan(Table::Calls, &prefix, &prefix, usize::MAX)? {
            calls.push(value.decode::<CallRecord>("call")?);
        }
        calls.sort_by_key(|call| call.number);
        Ok(calls)
    }

    /// Forgets the calls of a turn: nobody asks for them again.
    pub(super) fn forget_calls(&mut self, lane: &LaneId, turn: TurnKey) -> Result<(), LedgerError> {
        let prefix = key::calls(lane, turn)?;
        for (key, _) in self.scan(Table::Calls, &prefix, &prefix, usize::MAX)? {
            self.remove(Table::Calls, key);
        }
        Ok(())
    }
}
