//! Messages: accepted once, changed while they wait, looked up.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, EventKey, Message};

use crate::id::{DispatcherId, LaneId, MessageId, TurnKey};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::lane::Origin;
use crate::ledger::message::{
    Accepted, MessageEvent, MessageRecord, MessageState, NewMessage, Outcome, RefusedMessage,
    Revised,
};
use crate::ledger::operation::body::Body;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// A message as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredMessage {
    pub(super) id: MessageId,
    channel: ChannelId,
    dispatcher: DispatcherId,
    pub(super) lane: LaneId,
    key: EventKey,
    #[serde(with = "time::millis")]
    received_at: SystemTime,
    urgent: bool,
    pub(super) state: MessageState,
    #[serde(with = "time::millis")]
    changed_at: SystemTime,
    pub(super) turn: Option<TurnKey>,
    /// Where it waits in its lane's queue, while it waits.
    pub(super) place: Option<u64>,
    body: Body<Message>,
}

impl StoredMessage {
    fn load(self, transaction: &Transaction<'_>) -> Result<MessageRecord, LedgerError> {
        Ok(MessageRecord {
            id: self.id,
            channel: self.channel,
            dispatcher: self.dispatcher,
            lane: self.lane,
            key: self.key,
            message: self.body.load(transaction)?,
            received_at: self.received_at,
            urgent: self.urgent,
            first_here: false,
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
    /// Queues a message, unless its event was seen before.
    pub(in crate::ledger) fn accept(&mut self, new: NewMessage) -> Result<Accepted, LedgerError> {
        let seen = key::seen(&new.channel, &new.key)?;
        if let Some(duplicate) = self.duplicate(&seen)? {
            return Ok(duplicate);
        }
        let id = MessageId::new();
        let now = time::now();
        let mut lane = self.lane_or_new(&new.lane, &new.dispatcher)?;
        let place = if new.urgent {
            lane.front_place()
        } else {
            lane.back_place()
        };
        self.put(
            "queue entry",
            Table::Queue,
            key::in_lane(&new.lane, place)?,
            &id,
        )?;
        lane.waiting += 1;
        lane.used_at = now;
        lane.last_from = Some(Origin {
            channel: new.channel.clone(),
            conversation: new.message.conversation.clone(),
        });
        let waiting = lane.waiting;
        self.put_lane(&lane)?;
        let body = Body::keep(self, SpoolOwner::Message(id), &new.message)?;
        self.state.move_message(None, Some(&MessageState::Queued));
        self.put_message(&StoredMessage {
            id,
            channel: new.channel,
            dispatcher: new.dispatcher,
            lane: new.lane,
            key: new.key,
            received_at: new.received_at,
            urgent: new.urgent,
            state: MessageState::Queued,
            changed_at: now,
            turn: None,
            place: Some(place),
            body,
        })?;
        self.remember(seen, Some(id), now)?;
        Ok(Accepted::New { id, waiting })
    }

    /// Records that a message was turned away, without what it said.
    pub(in crate::ledger) fn refuse(
        &mut self,
        refused: RefusedMessage,
    ) -> Result<Accepted, LedgerError> {
        let seen = key::seen(&refused.channel, &refused.key)?;
        if let Some(duplicate) = self.duplicate(&seen)? {
            return Ok(duplicate);
        }
        let id = MessageId::new();
        let now = time::now();
        let silent = Message {
            body: Vec::new(),
            quote: None,
            attachments: Vec::new(),
            ..refused.message
        };
        let body = Body::keep(self, SpoolOwner::Message(id), &silent)?;
        let state = MessageState::Refused {
            reason: refused.reason,
        };
        self.state.move_message(None, Some(&state));
        self.put_message(&StoredMessage {
            id,
            channel: refused.channel,
            dispatcher: refused.dispatcher,
            lane: refused.lane,
            key: refused.key,
            received_at: refused.received_at,
            urgent: false,
            state,
            changed_at: now,
            turn: None,
            place: None,
            body,
        })?;
        self.expire_later(Class::Message, now, &key::message(id))?;
        self.remember(seen, Some(id), now)?;
        self.enqueue(refused.posts)?;
        Ok(Accepted::New { id, waiting: 0 })
    }

    /// Gives a waiting message a new text.
    pub(in crate::ledger) fn revise(
        &mut self,
        channel: &ChannelId,
        edit: &EventKey,
        target: &EventKey,
        new: &Message,
    ) -> Result<Revised, LedgerError> {
        self.change_waiting(channel, edit, target, |transaction, mut message| {
            let body = Body::keep(transaction, SpoolOwner::Message(message.id), new)?;
            let old = std::mem::replace(&mut message.body, body);
            if let Some(file) = old.file() {
                transaction.unname_file(file);
            }
            message.changed_at = time::now();
            transaction.put_message(&message)
        })
    }

    /// Takes a waiting message out of its lane for good.
    pub(in crate::ledger) fn withdraw(
        &mut self,
        channel: &ChannelId,
        deletion: &EventKey,
        target: &EventKey,
    ) -> Result<Revised, LedgerError> {
        self.change_waiting(channel, deletion, target, |transaction, message| {
            let mut lane = transaction.lane_or_new(&message.lane, &message.dispatcher)?;
            transaction.leave_queue(&mut lane, &message)?;
            transaction.put_lane(&lane)?;
            transaction.move_message(message, MessageEvent::Withdrawn)?;
            Ok(())
        })
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
            kind: "damaged".to_owned(),
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
        message.state = match message.state.on(event)? {
            MessageState::Failed { kind } => MessageState::Failed {
                kind: cut_reason(&kind),
            },
            state => state,
        };
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

    fn duplicate(&mut self, seen: &Key) -> Result<Option<Accepted>, LedgerError> {
        let Some(Seen { message }) = self.seen(seen)? else {
            return Ok(None);
        };
        let id = match message {
            Some(id) if self.contains(Table::Messages, &key::message(id))? => Some(id),
            Some(_) | None => None,
        };
        Ok(Some(Accepted::Duplicate { id }))
    }

    fn remember(
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
