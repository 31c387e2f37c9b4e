//! The gate's last word: judged by what is recorded, and recorded in the same commit.

use tieline_channel::{ChatKind, EventKey, Message, RefusalReason};

use crate::id::MessageId;
use crate::ledger::admission::{Admission, Admitted, Conditions, Fate, Performed};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Table};
use crate::ledger::message::{Accepted, MessageState, NewMessage, Outcome};
use crate::ledger::operation::messages::StoredMessage;
use crate::ledger::pairing::{Confirmation, Guest, Host};
use crate::ledger::post::NewPost;
use crate::ledger::story::About;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

impl Transaction<'_> {
    /// Takes a message at the gate and enqueues what is to be said about it, unless its event was
    /// seen before.
    pub(in crate::ledger) fn admit(
        &mut self,
        admission: Admission,
        say: impl FnOnce(&Admitted) -> Vec<NewPost>,
    ) -> Result<Admitted, LedgerError> {
        let Admission {
            message: new,
            conditions,
            fate,
        } = admission;
        let seen = key::seen(&new.channel, &new.key)?;
        if let Some(id) = self.duplicate(&seen)? {
            return Ok(Admitted::Duplicate { id });
        }
        let admitted = match (self.unmet(&new, &conditions)?, fate) {
            (Some(reason), _) | (None, Fate::Refuse(reason)) => self.refuse(new, reason)?,
            (None, Fate::Queue) => {
                let (id, waiting) = self.queue(new, &conditions)?;
                Admitted::Queued { id, waiting }
            }
            (None, fate) => {
                let done = self.perform(&new, fate)?;
                Admitted::Commanded {
                    id: self.answer(new)?,
                    done,
                }
            }
        };
        let posts = say(&admitted);
        let about = match &admitted {
            Admitted::Queued { id, .. }
            | Admitted::Refused { id, .. }
            | Admitted::Commanded { id, .. } => Some(About::Message(*id)),
            Admitted::Duplicate { .. } => None,
        };
        self.enqueue_about(about, posts)?;
        Ok(admitted)
    }

    /// Queues a message, unless its event was seen before.
    pub(in crate::ledger) fn accept(&mut self, new: NewMessage) -> Result<Accepted, LedgerError> {
        let seen = key::seen(&new.channel, &new.key)?;
        if let Some(id) = self.duplicate(&seen)? {
            return Ok(Accepted::Duplicate { id });
        }
        let (id, waiting) = self.queue(new, &Conditions::default())?;
        Ok(Accepted::New { id, waiting })
    }

    /// Notes an event that makes and changes no message; returns whether it is new.
    pub(in crate::ledger) fn note(
        &mut self,
        channel: &tieline_channel::ChannelId,
        event: &EventKey,
    ) -> Result<bool, LedgerError> {
        let seen = key::seen(channel, event)?;
        if self.contains(Table::Seen, &seen)? {
            return Ok(false);
        }
        self.remember(seen, None, time::now())?;
        Ok(true)
    }

    /// Does what a command says.
    fn perform(&mut self, new: &NewMessage, fate: Fate) -> Result<Performed, LedgerError> {
        Ok(match fate {
            Fate::Queue | Fate::Refuse(_) | Fate::Answer => Performed::Nothing,
            Fate::Pair(code) => Performed::Paired(self.confirm(Confirmation {
                code,
                dispatcher: Some(new.dispatcher.clone()),
                by: Host::Admin {
                    channel: new.channel.clone(),
                    user: new.message.sender.id.clone(),
                },
            })?),
            Fate::Order(wish, by) => Performed::Ordered {
                order: self.order(&new.lane, &new.dispatcher, wish, by)?,
                waits: self.lane(&new.lane)?.is_some_and(|it| it.open.is_some()),
            },
            Fate::Stop(stop) => Performed::Stopped(self.stop_lane(&new.lane, &stop)?),
        })
    }

    /// Returns why a message is not let in, if what is recorded speaks against it.
    fn unmet(
        &mut self,
        new: &NewMessage,
        conditions: &Conditions,
    ) -> Result<Option<RefusalReason>, LedgerError> {
        let NewMessage {
            channel, message, ..
        } = new;
        let (at, user) = (&message.conversation, &message.sender.id);
        let now = time::now();
        if conditions.paired && !self.is_paired(&new.dispatcher, channel, user)? {
            return Ok(Some(RefusalReason::NotPaired));
        }
        if conditions.joined && !self.is_joined(channel, at)? {
            return Ok(Some(RefusalReason::NotMentioned));
        }
        if let Some(limit) = conditions.programs
            && !self.programs_may_write(channel, at, limit, now)?
        {
            return Ok(Some(RefusalReason::TooOften));
        }
        if let Some(limit) = conditions.sender
            && !self.sender_may_write(channel, user, limit, now)?
        {
            return Ok(Some(RefusalReason::TooOften));
        }
        Ok(None)
    }

    /// Puts a message into its lane's queue.
    fn queue(
        &mut self,
        new: NewMessage,
        conditions: &Conditions,
    ) -> Result<(MessageId, usize), LedgerError> {
        let now = time::now();
        let message = &new.message;
        let joins = message.addressed
            && message.chat_kind == ChatKind::Group
            && message.conversation.thread.is_some();
        let first_here = self.use_conversation(
            &new.channel,
            &message.conversation,
            joins,
            conditions.programs,
            now,
        )?;
        if let Some(limit) = conditions.sender {
            self.note_sender(&new.channel, &message.sender.id, limit, now)?;
        }
        let place = self.take_place(&new, now)?;
        let waiting = place.waiting;
        let id = self.record(new, MessageState::Queued, Some(place.number), first_here)?;
        self.put("queue entry", Table::Queue, place.key, &id)?;
        Ok((id, waiting))
    }

    /// Records that a message was turned away, without what it said.
    fn refuse(&mut self, new: NewMessage, reason: RefusalReason) -> Result<Admitted, LedgerError> {
        let invitation = match reason {
            RefusalReason::NotPaired => self.invite(Guest {
                dispatcher: new.dispatcher.clone(),
                channel: new.channel.clone(),
                user: new.message.sender.id.clone(),
                name: new.message.sender.name.clone(),
                conversation: new.message.conversation.clone(),
            })?,
            RefusalReason::DirectOff
            | RefusalReason::UserNotListed
            | RefusalReason::GroupsOff
            | RefusalReason::ChatNotListed
            | RefusalReason::NotMentioned
            | RefusalReason::Bot
            | RefusalReason::Outsider
            | RefusalReason::TooOften
            | RefusalReason::Empty
            | RefusalReason::TooLong
            | RefusalReason::Role => None,
        };
        let silent = NewMessage {
            message: Message {
                body: Vec::new(),
                quote: None,
                attachments: Vec::new(),
                ..new.message
            },
            ..new
        };
        let id = self.record(silent, MessageState::Refused { reason }, None, false)?;
        Ok(Admitted::Refused {
            id,
            reason,
            invitation,
        })
    }

    /// Records a message that is settled by being answered at once.
    fn answer(&mut self, new: NewMessage) -> Result<MessageId, LedgerError> {
        self.record(new, Outcome::Answered.into(), None, false)
    }

    /// Records a message in its first state.
    fn record(
        &mut self,
        new: NewMessage,
        state: MessageState,
        place: Option<u64>,
        first_here: bool,
    ) -> Result<MessageId, LedgerError> {
        let id = MessageId::new();
        let now = time::now();
        let seen = key::seen(&new.channel, &new.key)?;
        let body = StoredMessage::keep_body(self, id, &new.message)?;
        self.state.move_message(None, Some(&state));
        if state.is_settled() {
            self.expire_later(Class::Message, now, &key::message(id))?;
        }
        self.put_message(&StoredMessage {
            id,
            channel: new.channel,
            dispatcher: new.dispatcher,
            lane: new.lane,
            key: new.key,
            received_at: new.received_at,
            urgent: new.urgent,
            state,
            changed_at: now,
            turn: None,
            place,
            first_here,
            past: Vec::new(),
            settled_with: None,
            body,
        })?;
        self.remember(seen, Some(id), now)?;
        Ok(id)
    }
}
