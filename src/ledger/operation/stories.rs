//! What became of messages, put together from all that is on record.

use std::time::SystemTime;

use crate::id::{LaneId, MessageId, TurnKey};
use crate::ledger::completion::CompletionRecord;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Table};
use crate::ledger::lane::OpenTurn;
use crate::ledger::message::{MessageState, Outcome};
use crate::ledger::operation::lanes::StoredLane;
use crate::ledger::operation::messages::StoredMessage;
use crate::ledger::story::{About, EndedTurn, Found, MessageFilter, PastState, Story, StoryTurn};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::{Value, cut_reason};

/// How far into a lane's queue a message's place is told.
const PLACES: usize = 100;

impl Transaction<'_> {
    /// Returns all that is on record about a message.
    pub(in crate::ledger) fn story(&mut self, id: MessageId) -> Result<Option<Story>, LedgerError> {
        let Some(stored) = self.stored_message(id)? else {
            return Ok(None);
        };
        let past = stored.past.iter().map(|(state, at)| PastState {
            state: state.clone(),
            since: time::from_millis(*at),
        });
        let past = past.collect();
        let own = About::Message(stored.settled_with.unwrap_or(id));
        let message = stored.load(self)?;
        let place = match message.state {
            MessageState::Queued => self.place_of(&message.lane, id)?,
            _ => None,
        };
        let (turn, completions) = match message.turn {
            None => (None, Vec::new()),
            Some(key) => self.turn_of(&message.lane, key)?,
        };
        let mut said = self.said_about(own)?;
        if let Some(key) = message.turn {
            said.extend(self.said_about(About::Turn(key))?);
        }
        Ok(Some(Story {
            message,
            past,
            place,
            turn,
            completions,
            said,
        }))
    }

    /// Looks at up to `step` messages, and returns up to `limit` of them.
    pub(in crate::ledger) fn find_step(
        &mut self,
        filter: &MessageFilter,
        before: Option<MessageId>,
        limit: usize,
        step: usize,
    ) -> Result<Found, LedgerError> {
        let before = before.map(key::message);
        let looked_at = self.scan_before(Table::Messages, before.as_ref(), step)?;
        let is_last = looked_at.len() < step;
        let mut found = Found::default();
        for (_, value) in looked_at {
            let stored: StoredMessage = value.decode("message")?;
            found.next = Some(stored.id);
            if !filter.may_match(
                &stored.dispatcher,
                &stored.lane,
                &stored.channel,
                &stored.state,
                stored.received_at,
            ) {
                continue;
            }
            let record = stored.load(self)?;
            if filter.matches_text(&record) {
                found.messages.push(record);
                if found.messages.len() == limit {
                    return Ok(found);
                }
            }
        }
        if is_last {
            found.next = None;
        }
        Ok(found)
    }

    /// Keeps what a turn was that is over.
    pub(super) fn keep_ended(
        &mut self,
        lane: &StoredLane,
        turn: &OpenTurn,
        outcome: &Outcome,
        at: SystemTime,
    ) -> Result<(), LedgerError> {
        let ended = EndedTurn {
            key: turn.key,
            lane: lane.id.clone(),
            thread: lane.thread.clone(),
            codex_turn: turn.codex_turn.clone(),
            messages: turn.messages.clone(),
            completions: turn.completions.clone(),
            task: turn.task,
            continuations: turn.continuations,
            resubmissions: turn.resubmissions,
            opened_at: turn.opened_at,
            settled_at: at,
            state: outcome.clone().into(),
            cause: match outcome {
                Outcome::Failed { message: cause, .. } | Outcome::Unclear { reason: cause } => {
                    Some(cut_reason(cause))
                }
                Outcome::Answered | Outcome::Cancelled => None,
            },
        };
        let at_key = key::ended(turn.key);
        self.expire_later(Class::Ended, at, &at_key)?;
        // That a turn ends must not depend on how much there is to be remembered of it.
        match Value::encode("ended turn", &ended) {
            Ok(_) => self.put("ended turn", Table::Ended, at_key, &ended),
            Err(_) => {
                let shortened = EndedTurn {
                    messages: Vec::new(),
                    cause: None,
                    ..ended
                };
                self.put("ended turn", Table::Ended, at_key, &shortened)
            }
        }
    }

    fn turn_of(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
    ) -> Result<(Option<StoryTurn>, Vec<CompletionRecord>), LedgerError> {
        let open = self.turn(lane)?.filter(|turn| turn.key == key);
        let ended: Option<EndedTurn> = match open {
            Some(_) => None,
            None => self.get("ended turn", Table::Ended, &key::ended(key))?,
        };
        let (turn, ids) = match (open, ended) {
            (Some(turn), _) => {
                let ids = turn.completions.clone();
                let thread = self.stored_lane(lane)?.and_then(|lane| lane.thread);
                (StoryTurn::Open { turn, thread }, ids)
            }
            (None, Some(ended)) => {
                let ids = ended.completions.clone();
                (StoryTurn::Ended(ended), ids)
            }
            (None, None) => (StoryTurn::Forgotten(key), Vec::new()),
        };
        let mut completions = Vec::with_capacity(ids.len());
        for id in ids {
            completions.extend(self.completion(id)?);
        }
        Ok((Some(turn), completions))
    }

    fn place_of(&mut self, lane: &LaneId, id: MessageId) -> Result<Option<usize>, LedgerError> {
        let prefix = key::lane(lane)?;
        for (index, (_, value)) in self
            .scan(Table::Queue, &prefix, &prefix, PLACES)?
            .into_iter()
            .enumerate()
        {
            if value.decode::<MessageId>("queue entry")? == id {
                return Ok(Some(index + 1));
            }
        }
        Ok(None)
    }
}
