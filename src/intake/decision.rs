//! Decisions of people about what the model wants: by a button, or by words.

use tieline_channel::{EventKey, Message, Press, Receipt, UserId};
use tracing::info;

use super::accept::{ChannelIntake, Verdict};
use super::command::text_after_mentions;
use super::gate::may_approve;
use crate::approvals::{Pressed, Typed, Which, words};
use crate::ledger::{ApprovalRecord, Decider, Decision, LedgerError, Ruled, Ruling};
use crate::outbox;
use crate::tools;

/// Among how many of the newest approvals one is looked for that is settled.
const NEWEST: usize = 200;

impl ChannelIntake {
    /// Takes the press of a button that decides. The first decision counts; what it was is on disk, with
    /// the event, before the press is acknowledged. Whoever may not decide changes nothing, and is told
    /// so once for each approval.
    pub(super) async fn accept_decision(
        &self,
        key: EventKey,
        press: &Press,
        pressed: Pressed,
    ) -> Result<Receipt, LedgerError> {
        let sender = &press.sender.id;
        match self.ledger.approval(pressed.approval).await? {
            Some(record) if record.dispatcher == *self.dispatcher.id() => {}
            _ => return self.note(key).await,
        }
        let ruling = Ruling {
            approval: pressed.approval,
            decision: pressed.decision,
            by: self.decider(sender, press.sender.name.as_deref()),
            may: may_approve(&self.access, &self.door, sender),
            is_answered: false,
        };
        let language = self.languages.of(&self.door.channel);
        let say = move |ruled: &Ruled| match ruled {
            Ruled::NotAllowed {
                record,
                is_first: true,
            } => {
                let text = words::only_approvers(record, language);
                let origin = &record.origin;
                vec![outbox::notice(&origin.channel, &origin.conversation, &text)]
            }
            // What everybody sees says it.
            _ => Vec::new(),
        };
        let event = (self.door.channel.clone(), key);
        let ruled = self.ledger.rule(ruling, Some(event), say).await?;
        log(sender, &ruled);
        Ok(match ruled {
            Ruled::Decided(_) => Receipt::Accepted,
            Ruled::Duplicate => Receipt::Duplicate,
            Ruled::Settled(_) | Ruled::NotAllowed { .. } | Ruled::Unknown => Receipt::Ignored,
        })
    }

    /// Returns what a message decides, if it does: what else it could say is for the model.
    pub(super) async fn typed(&self, message: &Message) -> Result<Option<Verdict>, LedgerError> {
        if !message.attachments.is_empty() {
            return Ok(None);
        }
        let Some(typed) = text_after_mentions(&message.body).and_then(Typed::read) else {
            return Ok(None);
        };
        let language = self.languages.of(&self.door.channel);
        let open: Vec<_> = self
            .ledger
            .open_approvals(self.dispatcher.id())
            .await?
            .into_iter()
            .filter(|record| self.is_here(record, message))
            .collect();
        let (record, decision) = match (typed, open.as_slice()) {
            (Typed::Choice(number), [only]) => match Typed::choice(number, only) {
                Some(decision) if self.is_numbered(only).await? => (only.clone(), decision),
                _ => return Ok(None),
            },
            (Typed::Choice(_), _) => return Ok(None),
            (
                Typed::Words {
                    decision,
                    which: Which::Only,
                    ..
                },
                [only],
            ) => (only.clone(), decision),
            (
                Typed::Words {
                    which: Which::Only,
                    is_certain,
                    ..
                },
                [],
            ) => {
                let text = words::NOTHING_OPEN.within(language);
                return Ok(is_certain.then(|| Verdict::Answer(text.to_owned())));
            }
            (
                Typed::Words {
                    which: Which::Only, ..
                },
                several,
            ) => {
                return Ok(Some(Verdict::Answer(words::which(several, language))));
            }
            (
                Typed::Words {
                    decision,
                    which: Which::Number(number),
                    is_certain,
                },
                open,
            ) => {
                let record = match open.iter().find(|it| it.number == number) {
                    Some(record) => Some(record.clone()),
                    None => self.settled(number, message).await?,
                };
                match record {
                    Some(record) => (record, decision),
                    None => {
                        let text = words::UNKNOWN.within(language);
                        return Ok(is_certain.then(|| Verdict::Answer(text.to_owned())));
                    }
                }
            }
        };
        Ok(Some(Verdict::Rule(self.ruling(&record, decision, message))))
    }

    fn ruling(&self, record: &ApprovalRecord, decision: Decision, message: &Message) -> Ruling {
        let sender = &message.sender;
        Ruling {
            approval: record.id,
            decision,
            by: self.decider(&sender.id, sender.name.as_deref()),
            may: may_approve(&self.access, &self.door, &sender.id),
            is_answered: true,
        }
    }

    fn decider(&self, user: &UserId, name: Option<&str>) -> Decider {
        if self.door.operator_only {
            return Decider::Operator;
        }
        Decider::Person {
            channel: self.door.channel.clone(),
            user: user.clone(),
            name: name.map(str::to_owned),
        }
    }

    /// Returns whether the people of a message are those who are asked.
    fn is_here(&self, record: &ApprovalRecord, message: &Message) -> bool {
        let origin = &record.origin;
        origin.channel == self.door.channel && origin.conversation == message.conversation
    }

    /// Returns whether a number alone can mean a choice of this approval: where there are buttons, they
    /// may have become a numbered list; but so may those of a question of the same turn.
    async fn is_numbered(&self, record: &ApprovalRecord) -> Result<bool, LedgerError> {
        if !self.dispatcher.has_buttons(&self.door.channel) {
            return Ok(false);
        }
        let calls = self.ledger.done_calls(&record.lane, record.turn).await?;
        Ok(calls.iter().all(|call| call.tool != tools::ASK_USER))
    }

    /// Returns the approval of this number that is settled.
    async fn settled(
        &self,
        number: u32,
        message: &Message,
    ) -> Result<Option<ApprovalRecord>, LedgerError> {
        let recent = self.ledger.recent_approvals(NEWEST).await?;
        Ok(recent
            .into_iter()
            .find(|it| it.number == number && self.is_here(it, message)))
    }
}

/// Logs what came of somebody's word.
pub(super) fn log(sender: &UserId, ruled: &Ruled) {
    match ruled {
        Ruled::Decided(record) => {
            let decision = record.state.verdict().map(Decision::as_str);
            info!(approval = %record.id, %sender, decision, "somebody has decided");
        }
        Ruled::Settled(record) => {
            info!(approval = %record.id, %sender, "somebody has decided too late");
        }
        Ruled::NotAllowed { record, .. } => {
            info!(approval = %record.id, %sender, "somebody who may not has decided");
        }
        Ruled::Unknown | Ruled::Duplicate => {}
    }
}
