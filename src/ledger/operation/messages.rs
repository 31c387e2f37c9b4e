//! Messages: accepted once, changed while they wait, looked up.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, EventKey, Message};

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, MessageId, TurnKey};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::lane::Origin;
use crate::ledger::message::{
    MessageEvent, MessageRecord, MessageState, NewMessage, Outcome, Revised,
};
use crate::ledger::operation::body::Body;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// How large a message may be inside of its record, in bytes of JSON: the states that it will have been
/// in have room beside it.
const MAX_INLINE: usize = 2304;

/// How many states a message remembers. It comes to more only when it is given back again and again.
const MAX_PAST: usize = 8;

/// A message as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredMessage {
    pub(super) id: MessageId,
    pub(super) channel: ChannelId,
    pub(super) dispatcher: DispatcherId,
    pub(super) lane: LaneId,
    pub(super) key: EventKey,
    #[serde(with = "time::millis")]
    pub(super) received_at: SystemTime,
    pub(super) urgent: bool,
    pub(super) state: MessageState,
    #[serde(with = "time::millis")]
    pub(super) changed_at: SystemTime,
    pub(super) turn: Option<TurnKey>,
    /// Where it waits in its lane's queue, while it waits.
    pub(super) place: Option<u64>,
    /// It is the first that was accepted from its conversation.
    #[serde(default)]
    pub(super) first_here: bool,
    /// The states that it was in before, and when it came to them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) past: Vec<(MessageState, u64)>,
    /// The message whose answers are also about this one, which was settled without a turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settled_with: Option<MessageId>,
    pub(super) body: Body<Message>,
}

/// A place in a lane's queue.
pub(super) struct Place {
    /// Its number.
    pub(super) number: u64,
    /// Where it is stored.
    pub(super) key: Key,
    /// How many messages wait in the lane when it is filled.
    pub(super) waiting: usize,
}

impl StoredMessage {
    /// Keeps what was written, in a file if need be.
    pub(super) fn keep_body(
        transaction: &mut Transaction<'_>,
        id: MessageId,
        message: &Message,
    ) -> Result<Body<Message>, LedgerError> {
        Body::keep_beside(transaction, SpoolOwner::Message(id), message, MAX_INLINE)
    }

    /// Remembers the state that it leaves.
    fn note_past(&mut self, state: MessageState) {
        if self.past.len() >= MAX_PAST {
            // How it began, and how it went on last.
            self.past.remove(1);
        }
        self.past.push((state, time::to_millis(self.changed_at)));
    }

    pub(super) fn load(self, transaction: &Transaction<'_>) -> Result<MessageRecord, LedgerError> {
        Ok(MessageRecord {
            id: self.id,
            channel: self.channel,
            dispatcher: self.dispatcher,
            lane: self.lane,
            key: self.key,
            message: self.body.load(transaction)?,
            received_at: self.received_at,
            urgent: self.urgent,
            first_here: self.first_here,
            state: self.state,
            changed_at: self.changed_at,
            turn: self.turn,
        })
    }

    /// Returns the name of the file that has its text, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.body.file()
    }
}

/// What is remembered of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The message it made or changed.
    pub(super) message: Option<MessageId>,
}

impl Transaction<'_> {
    /// Gives a waiting message a new text.
    pub(in crate::ledger) fn revise(
        &mut self,
        channel: &ChannelId,
        edit: &EventKey,
        target: &EventKey,
        new: &Message,
    ) -> Result<Revised, LedgerError> {
        self.change_waiting(channel, edit, target, |transaction, mut message| {
            let body = StoredMessage::keep_body(transaction, message.id, new)?;
            let old = std::mem::replace(&mut message.body, body);
            if let Some(file) = old.file() {
                transaction.unname_file(file);
            }
            message.changed_at = time::now();
            transaction.put_message(&message)
        })
    }

    /// Takes a waiting message out of its lane for good. One that is deleted before it came is taken
    /// for seen when it comes.
    pub(in crate::ledger) fn withdraw(
        &mut self,
        channel: &ChannelId,
        deletion: &EventKey,
        target: &EventKey,
    ) -> Result<Revised, LedgerError> {
        let revised = self.change_waiting(channel, deletion, target, |transaction, message| {
            let mut lane = transaction.lane_or_new(&message.lane, &message.dispatcher)?;
            transaction.leave_queue(&mut lane, &message)?;
            transaction.put_lane(&lane)?;
            transaction.move_message(message, MessageEvent::Withdrawn)?;
            Ok(())
        })?;
        if revised == Revised::Unknown {
            let target = key::seen(channel, target)?;
            if !self.contains(Table::Seen, &target)? {
                self.remember(target, None, time::now())?;
            }
        }
        Ok(revised)
    }

    /// Returns a message.
    pub(in crate::ledger) fn message(
        &mut self,
        id: MessageId,
    ) -> Result<Option<MessageRecord>, LedgerError> {
        self.stored_message(id)?
            .map(|message| message.load(self))
            .transpose()
    }

    /// Returns the message that an event made or changed.
    pub(in crate::ledger) fn find_message(
        &mut self,
        channel: &ChannelId,
        event: &EventKey,
    ) -> Result<Option<MessageRecord>, LedgerError> {
        let seen = key::seen(channel, event)?;
        match self.seen(&seen)? {
            Some(Seen { message: Some(id) }) => self.message(id),
            Some(Seen { message: None }) | None => Ok(None),
        }
    }

    /// Returns the newest messages, newest first.
    pub(in crate::ledger) fn recent_messages(
        &mut self,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, LedgerError> {
        self.scan_back(Table::Messages, limit)?
            .into_iter()
            .map(|(_, value)| value.decode::<StoredMessage>("message")?.load(self))
            .collect()
    }

    /// Returns the messages that wait in a lane, oldest first.
    pub(in crate::ledger) fn waiting(
        &mut self,
        lane: &LaneId,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, LedgerError> {
        let prefix = key::lane(lane)?;
        let mut waiting = Vec::new();
        for (_, value) in self.scan(Table::Queue, &prefix, &prefix, limit)? {
            let message = self.known_message(value.decode("queue entry")?)?;
            match message.clone().load(self) {
                Ok(record) => waiting.push(record),
                Err(LedgerError::Damaged { reason, .. }) => {
                    self.give_up_message(lane, message, &reason)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(waiting)
    }

    /// Settles a message whose text is gone from the disk: no turn can be made of it, and it must
    /// not hold up those behind it.
    fn give_up_message(
        &mut self,
        lane: &LaneId,
        message: StoredMessage,
        reason: &str,
    ) -> Result<(), LedgerError> {
        tracing::error!(message = %message.id, reason, "the text of a message is damaged; it cannot run");
        let mut lane = self.known_lane(lane)?;
        self.leave_queue(&mut lane, &message)?;
        self.put_lane(&lane)?;
        let outcome = Outcome::Failed {
            kind: FailureKind::Damaged,
            message: reason.to_owned(),
        };
        self.move_message(message, MessageEvent::Settled(outcome))
    }

    // === For the other operations ===

    /// Returns a message as it is stored.
    pub(super) fn stored_message(
        &mut self,
        id: MessageId,
    ) -> Result<Option<StoredMessage>, LedgerError> {
        self.get("message", Table::Messages, &key::message(id))
    }

    /// Returns a message that must be there.
    pub(super) fn known_message(&mut self, id: MessageId) -> Result<StoredMessage, LedgerError> {
        self.stored_message(id)?
            .ok_or(LedgerError::UnknownMessage(id))
    }

    /// Stores a message.
    pub(super) fn put_message(&mut self, message: &StoredMessage) -> Result<(), LedgerError> {
        self.put(
            "message",
            Table::Messages,
            key::message(message.id),
            message,
        )
    }

    /// Stores a message with what `event` makes of its state.
    pub(super) fn move_message(
        &mut self,
        mut message: StoredMessage,
        event: MessageEvent,
    ) -> Result<(), LedgerError> {
        let before = message.state.clone();
        message.state = message.state.on(event)?;
        message.note_past(before.clone());
        message.changed_at = time::now();
        if message.state != MessageState::Queued {
            message.place = None;
        }
        self.state.move_message(Some(&before), Some(&message.state));
        if message.state.is_settled() {
            self.expire_later(
                Class::Message,
                message.changed_at,
                &key::message(message.id),
            )?;
        }
        self.put_message(&message)
    }

    /// Returns what is remembered of an event.
    pub(super) fn seen(&mut self, seen: &Key) -> Result<Option<Seen>, LedgerError> {
        self.get("deduplication key", Table::Seen, seen)
    }

    /// Returns, for an event that was seen before, the message it made, if that is still recorded.
    pub(super) fn duplicate(
        &mut self,
        seen: &Key,
    ) -> Result<Option<Option<MessageId>>, LedgerError> {
        let Some(Seen { message }) = self.seen(seen)? else {
            return Ok(None);
        };
        match message {
            Some(id) if self.contains(Table::Messages, &key::message(id))? => Ok(Some(Some(id))),
            Some(_) | None => Ok(Some(None)),
        }
    }

    /// Takes the place in its lane's queue where a message is to wait.
    pub(super) fn take_place(
        &mut self,
        new: &NewMessage,
        now: SystemTime,
    ) -> Result<Place, LedgerError> {
        let mut lane = self.lane_or_new(&new.lane, &new.dispatcher)?;
        let number = if new.urgent {
            lane.front_place()
        } else {
            lane.back_place()
        };
        lane.waiting += 1;
        lane.used_at = now;
        lane.last_from = Some(Origin {
            channel: new.channel.clone(),
            conversation: new.message.conversation.clone(),
        });
        self.put_lane(&lane)?;
        Ok(Place {
            number,
            key: key::in_lane(&new.lane, number)?,
            waiting: lane.waiting,
        })
    }

    /// Remembers an event.
    pub(super) fn remember(
        &mut self,
        seen: Key,
        message: Option<MessageId>,
        now: SystemTime,
    ) -> Result<(), LedgerError> {
        self.expire_later(Class::Seen, now, &seen)?;
        self.state.counts.keys += 1;
        self.put("deduplication key", Table::Seen, seen, &Seen { message })
    }

    fn change_waiting(
        &mut self,
        channel: &ChannelId,
        event: &EventKey,
        target: &EventKey,
        change: impl FnOnce(&mut Self, StoredMessage) -> Result<(), LedgerError>,
    ) -> Result<Revised, LedgerError> {
        let event = key::seen(channel, event)?;
        if self.contains(Table::Seen, &event)? {
            return Ok(Revised::Duplicate);
        }
        let target = key::seen(channel, target)?;
        let message = match self.seen(&target)? {
            Some(Seen { message: Some(id) }) => self.stored_message(id)?,
            Some(Seen { message: None }) | None => None,
        };
        self.remember(
            event,
            message.as_ref().map(|message| message.id),
            time::now(),
        )?;
        match message {
            None => Ok(Revised::Unknown),
            Some(message) if message.state != MessageState::Queued => Ok(Revised::TooLate),
            Some(message) => change(self, message).map(|()| Revised::Applied),
        }
    }
}
