//! The acceptance of what comes in: gate, lane, durable record; only then may a channel
//! acknowledge.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tieline_channel::{
    AcceptError, Event, EventKey, Happening, Intake, Message, PostKind, Receipt, RefusalReason,
    Segment,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use super::gate::{Door, MAX_MESSAGE_CHARS, judge};
use crate::config::Access;
use crate::dispatcher::Handle;
use crate::ledger::{Accepted, Ledger, LedgerError, NewMessage, NewPost, RefusedMessage, Revised};

/// Takes what one channel hands in, for the dispatcher that the channel belongs to.
pub struct ChannelIntake {
    /// What the gate has to know about the channel.
    pub door: Door,
    /// Who may speak.
    pub access: Access,
    /// Where it is recorded.
    pub ledger: Ledger,
    /// Who works on it.
    pub dispatcher: Handle,
    /// From then on nothing is accepted.
    pub stopping: CancellationToken,
}

impl ChannelIntake {
    /// Makes the intake a channel can be run with.
    pub fn shared(self) -> Arc<dyn Intake> {
        Arc::new(self)
    }

    async fn accept_message(
        &self,
        key: EventKey,
        mut message: Message,
    ) -> Result<Receipt, LedgerError> {
        let urgent = take_urgency(&mut message);
        if let Err(reason) = judge(&self.access, &self.door, &message) {
            return self.refuse(key, &message, reason).await;
        }
        let lane = self
            .dispatcher
            .lane_of(&self.door.channel, &message.conversation);
        let new = NewMessage {
            channel: self.door.channel.clone(),
            dispatcher: self.dispatcher.id().clone(),
            lane: lane.clone(),
            key,
            message,
            received_at: SystemTime::now(),
            urgent,
        };
        let shown = new.message.clone();
        match self.ledger.accept(new).await? {
            Accepted::New { id, waiting } => {
                info!(message = %id, %lane, waiting, "accepted");
                // In this order: what the lane shows is newer.
                self.dispatcher.show_received(&self.door.channel, &shown);
                self.dispatcher.wake(lane);
                Ok(Receipt::Accepted)
            }
            Accepted::Duplicate { .. } => Ok(Receipt::Duplicate),
        }
    }

    async fn refuse(
        &self,
        key: EventKey,
        message: &Message,
        reason: RefusalReason,
    ) -> Result<Receipt, LedgerError> {
        info!(sender = %message.sender.id, chat = %message.conversation.chat, ?reason, "refused");
        let refused = RefusedMessage {
            channel: self.door.channel.clone(),
            dispatcher: self.dispatcher.id().clone(),
            lane: self
                .dispatcher
                .lane_of(&self.door.channel, &message.conversation),
            key,
            message: message.clone(),
            received_at: SystemTime::now(),
            reason,
            posts: self.explanation(message, reason).into_iter().collect(),
        };
        match self.ledger.refuse(refused).await? {
            Accepted::New { .. } => Ok(Receipt::Refused(reason)),
            Accepted::Duplicate { .. } => Ok(Receipt::Duplicate),
        }
    }

    /// What a sender is told: strangers nothing, people who are let in what they can do.
    fn explanation(&self, message: &Message, reason: RefusalReason) -> Option<NewPost> {
        (reason == RefusalReason::TooLong).then(|| NewPost {
            channel: self.door.channel.clone(),
            to: message.conversation.clone(),
            reply_to: Some(message.id.clone()),
            settles: vec![message.id.clone()],
            kind: PostKind::Failure,
            text: format!(
                "That message is too long for one turn (the limit is {MAX_MESSAGE_CHARS} \
                 characters). Send it in parts, or as a file."
            ),
            buttons: Vec::new(),
            as_file: None,
        })
    }
}

#[async_trait]
impl Intake for ChannelIntake {
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError> {
        if self.stopping.is_cancelled() {
            return Err(AcceptError::Stopping);
        }
        let channel = &self.door.channel;
        let taken = match event.happening {
            Happening::Message(message) => self.accept_message(event.key, message).await,
            Happening::Edited {
                target,
                mut message,
            } => {
                // An edit is judged like a message: nobody is let in by editing.
                take_urgency(&mut message);
                if judge(&self.access, &self.door, &message).is_err() {
                    return Ok(Receipt::Ignored);
                }
                self.ledger
                    .revise(channel, event.key, target, message)
                    .await
                    .map(revised)
            }
            Happening::Deleted { target, .. } => self
                .ledger
                .withdraw(channel, event.key, target)
                .await
                .map(revised),
            Happening::Pressed(press) => {
                debug!(value = %press.value, "a button that nobody waits for was pressed");
                Ok(Receipt::Ignored)
            }
        };
        taken.map_err(|failure| {
            error!(%channel, error = %failure, "a message could not be recorded; it is not acknowledged");
            AcceptError::NotRecorded { reason: failure.to_string() }
        })
    }
}

fn revised(revised: Revised) -> Receipt {
    match revised {
        Revised::Applied => Receipt::Accepted,
        Revised::Duplicate => Receipt::Duplicate,
        Revised::TooLate | Revised::Unknown => Receipt::Ignored,
    }
}

/// Takes a leading `!` (or the full-width one of a Chinese keyboard) off the text: "interrupt what you do and take this instead".
fn take_urgency(message: &mut Message) -> bool {
    for segment in &mut message.body {
        match segment {
            Segment::Mention { .. } => {}
            Segment::Text(text) if text.trim().is_empty() => {}
            Segment::Text(text) => {
                let Some(rest) = text.trim_start().strip_prefix(['!', '！']) else {
                    return false;
                };
                *text = rest.trim_start().to_owned();
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tieline_channel::{ChatId, ChatKind, Conversation, Sender, SenderKind, UserId, WireId};

    use super::*;

    fn text(text: &str) -> Segment {
        Segment::Text(text.to_owned())
    }

    fn mention() -> Segment {
        Segment::Mention {
            user: UserId::new("U-bot"),
            name: Some("bot".to_owned()),
        }
    }

    fn message(body: Vec<Segment>) -> Message {
        Message {
            id: WireId::new("1"),
            conversation: Conversation {
                chat: ChatId::new("C1"),
                thread: None,
            },
            chat_kind: ChatKind::Group,
            chat_name: None,
            sender: Sender {
                id: UserId::new("U1"),
                name: None,
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::UNIX_EPOCH,
            body,
            addressed: true,
            in_thread: false,
            quote: None,
            attachments: Vec::new(),
        }
    }

    #[test]
    fn only_the_first_words_of_a_message_can_make_it_urgent() {
        let table = [
            (vec![text("!now")], true, vec![text("now")]),
            (vec![text("  ! now")], true, vec![text("now")]),
            (vec![text("！现在")], true, vec![text("现在")]),
            (vec![text("!!now")], true, vec![text("!now")]),
            (vec![text("!")], true, vec![text("")]),
            (vec![text("now!")], false, vec![text("now!")]),
            (vec![text("a != b")], false, vec![text("a != b")]),
            (vec![text("")], false, vec![text("")]),
            (vec![], false, vec![]),
            (
                vec![mention(), text(" !stop that")],
                true,
                vec![mention(), text("stop that")],
            ),
            (
                vec![text(" "), mention(), text("!stop")],
                true,
                vec![text(" "), mention(), text("stop")],
            ),
            (
                vec![text("ask "), mention(), text("!stop")],
                false,
                vec![text("ask "), mention(), text("!stop")],
            ),
            (vec![mention()], false, vec![mention()]),
        ];
        for (body, is_urgent, left) in table {
            let mut message = message(body.clone());
            assert_eq!(take_urgency(&mut message), is_urgent, "{body:?}");
            assert_eq!(message.body, left, "{body:?}");
        }
    }
}
