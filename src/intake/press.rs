//! Buttons that were pressed: one below a question is an answer to it.

use std::time::SystemTime;

use tieline_channel::{
    ChatKind, EventKey, Message, Press, Quote, Receipt, RefusalReason, Segment, WireId,
};
use tracing::{debug, info};

use super::accept::ChannelIntake;
use super::gate::{judge_press, role_of};
use crate::config::Role;
use crate::ledger::{Admission, Conditions, Fate, LedgerError};
use crate::tools::Choice;

impl ChannelIntake {
    /// Takes the press of a button below a question for a message that says what the button does.
    /// Any other press is only recorded, before it is acknowledged.
    pub(super) async fn accept_press(
        &self,
        key: EventKey,
        press: Press,
    ) -> Result<Receipt, LedgerError> {
        let sender = &press.sender.id;
        let conditions = match self.judge_press(&press).await? {
            Ok(conditions) => conditions,
            Err(reason) => {
                info!(%sender, ?reason, "somebody who may not pressed a button");
                return self.note(key).await;
            }
        };
        if role_of(&self.access, &self.door, sender) < Role::User {
            info!(%sender, "a viewer pressed a button");
            return self.note(key).await;
        }
        let Some(choice) = Choice::read(&press.value) else {
            debug!(%sender, "a button that nobody waits for was pressed");
            return self.note(key).await;
        };
        let message = answer(&key, press, choice);
        let lane = self
            .dispatcher
            .lane_of(&self.door.channel, &message.conversation);
        let admission = Admission {
            message: self.new_message(key, lane, message, false),
            conditions,
            fate: Fate::Queue,
        };
        self.admit(admission, |_| Vec::new()).await
    }

    /// Judges a press by the configuration and by who was paired: nobody is offered a code for having
    /// pressed a button, for others may read along.
    async fn judge_press(
        &self,
        press: &Press,
    ) -> Result<Result<Conditions, RefusalReason>, LedgerError> {
        let judged = judge_press(&self.access, &self.door, press);
        Ok(match judged {
            Ok(conditions) if conditions.paired => {
                let (dispatcher, channel) = (self.dispatcher.id(), &self.door.channel);
                let user = &press.sender.id;
                if self.ledger.is_paired(dispatcher, channel, user).await? {
                    Ok(Conditions {
                        paired: false,
                        ..conditions
                    })
                } else {
                    Err(RefusalReason::NotPaired)
                }
            }
            judged => judged,
        })
    }

    /// Records an event that makes no message.
    async fn note(&self, key: EventKey) -> Result<Receipt, LedgerError> {
        let is_new = self.ledger.note(&self.door.channel, key).await?;
        Ok(if is_new {
            Receipt::Ignored
        } else {
            Receipt::Duplicate
        })
    }
}

/// Returns the message that says what a button does: in the words of the button, whatever they would
/// mean if they had been written, and with what was asked as a quote.
fn answer(key: &EventKey, press: Press, choice: Choice) -> Message {
    Message {
        // Nobody has written it, so it needs a name of its own: the question may be answered twice.
        id: WireId::new(format!("press:{}", key.id)),
        conversation: press.conversation,
        // A press does not tell, and nothing asks for it behind the gate.
        chat_kind: ChatKind::Direct,
        chat_name: None,
        sender: press.sender,
        sent_at: SystemTime::now(),
        body: vec![Segment::Text(choice.answer)],
        addressed: true,
        in_thread: false,
        quote: Some(Quote {
            message: press.message,
            sender: None,
            text: choice.question,
        }),
        attachments: Vec::new(),
    }
}
