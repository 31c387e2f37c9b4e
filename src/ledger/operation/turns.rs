//! Turns: one at a time per lane, opened, followed and settled.

use crate::id::{LaneId, MessageId, OutboxId, TurnKey};
use crate::ledger::completion::Return;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::lane::{MAX_TURN_MESSAGES, OpenTurn, Origin, SettledTurn, Stop, TurnEvent};
use crate::ledger::message::{MessageEvent, MessageRecord, MessageState, Outcome};
use crate::ledger::operation::lanes::StoredLane;
use crate::ledger::post::NewPost;
use crate::ledger::story::About;
use crate::ledger::task::TaskReport;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// What settling a turn has led to.
pub(in crate::ledger) struct Settled {
    /// What was enqueued.
    pub(in crate::ledger) posts: Vec<OutboxId>,
    /// The lane that is told what came of a teammate's work.
    pub(in crate::ledger) told: Option<LaneId>,
}

impl Transaction<'_> {
    /// Opens a turn with messages that wait.
    pub(in crate::ledger) fn open_turn(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        messages: Vec<MessageId>,
    ) -> Result<OpenTurn, LedgerError> {
        check_size(messages.len())?;
        self.begin_turn(lane, key, |transaction, lane, turn| {
            for message in &messages {
                transaction.take_message(lane, key, *message)?;
            }
            turn.messages = messages;
            Ok(())
        })
    }

    /// Opens a turn with what `take` takes into it.
    pub(super) fn begin_turn(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        take: impl FnOnce(&mut Self, &mut StoredLane, &mut OpenTurn) -> Result<(), LedgerError>,
    ) -> Result<OpenTurn, LedgerError> {
        let mut lane = self.known_lane(lane)?;
        if let Some(open) = self.turn(&lane.id)? {
            return Err(LedgerError::TurnOpen {
                lane: lane.id,
                open: open.key,
            });
        }
        let now = time::now();
        let settled = lane.last.as_ref().and_then(|last| last.codex_turn.clone());
        let after = settled.or_else(|| lane.before.clone());
        let mut turn = OpenTurn::new(key, after, now);
        take(self, &mut lane, &mut turn)?;
        lane.used_at = now;
        self.put_lane(&lane)?;
        self.state.counts.open_turns += 1;
        self.put_turn(&lane.id, turn)
    }

    /// Notes what happened to the open turn.
    pub(in crate::ledger) fn advance_turn(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        event: TurnEvent,
    ) -> Result<OpenTurn, LedgerError> {
        let turn = self.open(lane, key)?;
        if let TurnEvent::Delivered { .. } = event {
            let mut lane = self.known_lane(lane)?;
            self.use_thread(&mut lane, &turn)?;
            lane.had_turn = true;
            self.put_lane(&lane)?;
        }
        self.put_turn(lane, turn.on(event)?)
    }

    /// Lets a waiting message join the open turn.
    pub(in crate::ledger) fn join_turn(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        message: MessageId,
    ) -> Result<OpenTurn, LedgerError> {
        let mut turn = self.open(lane, key)?;
        check_size(turn.messages.len() + turn.completions.len() + 1)?;
        let mut lane = self.known_lane(lane)?;
        self.take_message(&mut lane, key, message)?;
        self.put_lane(&lane)?;
        turn.messages.push(message);
        self.put_turn(&lane.id, turn)
    }

    /// Puts messages of the open turn before everything that waits, in the order given.
    pub(in crate::ledger) fn leave_turn(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        messages: &[MessageId],
    ) -> Result<OpenTurn, LedgerError> {
        let mut turn = self.open(lane, key)?;
        let mut lane = self.known_lane(lane)?;
        for id in messages.iter().rev() {
            let position = turn
                .messages
                .iter()
                .position(|other| other == id)
                .ok_or_else(|| LedgerError::Misplaced {
                    message: *id,
                    lane: lane.id.clone(),
                })?;
            turn.messages.remove(position);
            let mut message = self.known_message(*id)?;
            let place = lane.front_place();
            self.put(
                "queue entry",
                Table::Queue,
                key::in_lane(&lane.id, place)?,
                id,
            )?;
            lane.waiting += 1;
            message.place = Some(place);
            message.turn = None;
            self.move_message(message, MessageEvent::Returned)?;
        }
        self.put_lane(&lane)?;
        self.put_turn(&lane.id, turn)
    }

    /// Closes the open turn, settles its messages and its task, and enqueues what is to be said. Its
    /// completions are settled as well, or given back.
    pub(in crate::ledger) fn settle_turn(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
        outcome: &Outcome,
        back: Option<Return>,
        report: Option<TaskReport>,
        posts: Vec<NewPost>,
    ) -> Result<Settled, LedgerError> {
        let turn = self.open(lane, key)?;
        for id in &turn.messages {
            let message = self.known_message(*id)?;
            self.move_message(message, MessageEvent::Settled(outcome.clone()))?;
        }
        let mut lane = self.known_lane(lane)?;
        match back {
            None => self.settle_completions(&mut lane, &turn, outcome)?,
            Some(back) => self.return_completions(&mut lane, &turn, back)?,
        }
        let at = time::now();
        lane.used_at = at;
        lane.last = Some(SettledTurn {
            key,
            codex_turn: turn
                .codex_turn
                .clone()
                .or(lane.last.and_then(|last| last.codex_turn)),
            state: MessageState::InTurn.on(MessageEvent::Settled(outcome.clone()))?,
            cause: match outcome {
                Outcome::Failed { message: cause, .. } | Outcome::Unclear { reason: cause } => {
                    Some(cut_reason(cause))
                }
                Outcome::Answered | Outcome::Cancelled => None,
            },
            at,
        });
        self.put_lane(&lane)?;
        self.keep_ended(&lane, &turn, outcome, at)?;
        self.forget_requests(&lane.id, key)?;
        let told = self.settle_task(&lane, &turn, outcome, report)?;
        self.remove(Table::Turns, key::lane(&lane.id)?);
        self.forget_calls(&lane.id, key)?;
        self.state.counts.open_turns = self.state.counts.open_turns.saturating_sub(1);
        let posts = self.enqueue_about(Some(About::Turn(key)), posts)?;
        Ok(Settled { posts, told })
    }

    /// Notes that the open turn of a lane is to end; `false` when none is open. Who wanted it first
    /// counts.
    pub(super) fn stop_turn(&mut self, lane: &LaneId, stop: Stop) -> Result<bool, LedgerError> {
        let Some(mut turn) = self.turn(lane)? else {
            return Ok(false);
        };
        turn.stop.get_or_insert(stop);
        self.put_turn(lane, turn)?;
        Ok(true)
    }

    /// Settles messages that wait, without a turn.
    pub(in crate::ledger) fn settle_waiting(
        &mut self,
        lane: &LaneId,
        messages: &[MessageId],
        outcome: &Outcome,
        posts: Vec<NewPost>,
    ) -> Result<Vec<OutboxId>, LedgerError> {
        let mut lane = self.known_lane(lane)?;
        for id in messages {
            let mut message = self.known_message(*id)?;
            self.leave_queue(&mut lane, &message)?;
            message.settled_with = messages.first().copied();
            self.move_message(message, MessageEvent::Settled(outcome.clone()))?;
        }
        self.put_lane(&lane)?;
        let about = messages.first().copied().map(About::Message);
        self.enqueue_about(about, posts)
    }

    /// Returns where the people are who hear of a turn. What cannot be read any more tells nothing.
    pub(super) fn origin_of(&mut self, turn: &OpenTurn) -> Result<Option<Origin>, LedgerError> {
        let origin = |message: MessageRecord| Origin {
            channel: message.channel,
            conversation: message.message.conversation,
        };
        match (turn.messages.last(), turn.completions.first()) {
            (Some(id), _) => match self.message(*id) {
                Ok(message) => Ok(message.map(origin)),
                Err(LedgerError::Damaged { .. }) => Ok(None),
                Err(error) => Err(error),
            },
            (None, Some(id)) => Ok(self.completion(*id)?.and_then(|it| it.origin)),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn turn(&mut self, lane: &LaneId) -> Result<Option<OpenTurn>, LedgerError> {
        self.get("turn", Table::Turns, &key::lane(lane)?)
    }

    pub(super) fn open(&mut self, lane: &LaneId, key: TurnKey) -> Result<OpenTurn, LedgerError> {
        self.turn(lane)?
            .filter(|turn| turn.key == key)
            .ok_or_else(|| LedgerError::TurnNotOpen {
                lane: lane.clone(),
                key,
            })
    }

    pub(super) fn put_turn(
        &mut self,
        lane: &LaneId,
        turn: OpenTurn,
    ) -> Result<OpenTurn, LedgerError> {
        self.put("turn", Table::Turns, key::lane(lane)?, &turn)?;
        Ok(turn)
    }

    /// Moves a message from the queue into a turn. The caller stores the lane.
    fn take_message(
        &mut self,
        lane: &mut StoredLane,
        key: TurnKey,
        id: MessageId,
    ) -> Result<(), LedgerError> {
        let mut message = self.known_message(id)?;
        self.leave_queue(lane, &message)?;
        message.turn = Some(key);
        self.move_message(message, MessageEvent::Taken)
    }
}

fn check_size(messages: usize) -> Result<(), LedgerError> {
    if messages > MAX_TURN_MESSAGES {
        return Err(LedgerError::TooManyMessages {
            limit: MAX_TURN_MESSAGES,
        });
    }
    Ok(())
}
