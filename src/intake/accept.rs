//! The acceptance of what comes in: gate, lane, durable record; only then may a channel
//! acknowledge.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tieline_channel::{
    AcceptError, ChannelId, ChatKind, Conversation, Event, EventKey, Happening, Intake, Message,
    PostKind, Receipt, RefusalReason, Segment, SenderKind, Text, WireId,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::command::Command;
use super::gate::{Door, is_admin, is_too_long, judge};
use super::{decision, desk, whereabouts, words};
use crate::approvals;
use crate::config::{Access, Languages};
use crate::dispatcher::Handle;
use crate::id::LaneId;
use crate::ledger::{
    Admission, Admitted, Conditions, Fate, Ledger, LedgerError, NewMessage, NewPost, NotACode,
    PairingCode, Revised, Ruling,
};
use crate::teammates::MAX_READ;

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
    /// What the people of each channel are spoken to in.
    pub languages: Languages,
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
        let lane = self
            .dispatcher
            .lane_of(&self.door.channel, &message.conversation);
        let (conditions, verdict) = self.verdict(&message, &lane).await?;
        let admission = Admission {
            message: self.new_message(key, lane, message.clone(), urgent),
            conditions,
            fate: verdict.fate(),
        };
        let asked = Asked::of(&self.door, &message, &self.languages);
        let say = move |admitted: &Admitted| asked.answer(&verdict, admitted);
        self.admit(admission, say).await
    }

    /// Returns a message as the ledger takes it.
    pub(super) fn new_message(
        &self,
        key: EventKey,
        lane: LaneId,
        message: Message,
        urgent: bool,
    ) -> NewMessage {
        NewMessage {
            channel: self.door.channel.clone(),
            dispatcher: self.dispatcher.id().clone(),
            lane,
            key,
            message,
            received_at: SystemTime::now(),
            urgent,
        }
    }

    /// Records what becomes of a message, and wakes whoever works on it.
    pub(super) async fn admit(
        &self,
        admission: Admission,
        say: impl FnOnce(&Admitted) -> Vec<NewPost> + Send + 'static,
    ) -> Result<Receipt, LedgerError> {
        let lane = admission.message.lane.clone();
        let message = admission.message.message.clone();
        match self.ledger.admit(admission, say).await? {
            Admitted::Queued { id, waiting } => {
                info!(message = %id, %lane, waiting, "accepted");
                // In this order: what the lane shows is newer.
                self.dispatcher.show_received(&self.door.channel, &message);
                self.dispatcher.wake(lane);
                Ok(Receipt::Accepted)
            }
            Admitted::Refused { reason, .. } => {
                let (sender, chat) = (&message.sender.id, &message.conversation.chat);
                info!(%sender, %chat, ?reason, "refused");
                Ok(Receipt::Refused(reason))
            }
            Admitted::Commanded { id, paired } => {
                info!(message = %id, "a command was answered");
                if let Some(Ok(paired)) = paired {
                    info!(user = %paired.guest.user, by = %message.sender.id, "paired");
                }
                Ok(Receipt::Accepted)
            }
            Admitted::Ruled { ruled, .. } => {
                decision::log(&message.sender.id, &ruled);
                Ok(Receipt::Accepted)
            }
            Admitted::Duplicate { .. } => Ok(Receipt::Duplicate),
        }
    }

    /// Judges a message by the configuration and by what it says.
    async fn verdict(
        &self,
        message: &Message,
        lane: &LaneId,
    ) -> Result<(Conditions, Verdict), LedgerError> {
        let conditions = match judge(&self.access, &self.door, message) {
            Ok(conditions) => conditions,
            Err(reason) => return Ok((Conditions::default(), Verdict::Refuse(reason))),
        };
        let language = self.languages.of(&self.door.channel);
        let answer = |text: Text| Verdict::Answer(text.within(language).to_owned());
        let is_admin = is_admin(&self.access, &self.door, &message.sender.id);
        let viewer = || words::Viewer {
            channel: self.door.channel.clone(),
            chat: message.conversation.chat.clone(),
            lane: lane.clone(),
            // What is answered in a group is read by all of it.
            is_admin: is_admin && message.chat_kind == ChatKind::Direct,
        };
        let verdict = if is_too_long(message) {
            // Last, for its sender is allowed to know.
            Verdict::Refuse(RefusalReason::TooLong)
        } else if message.sender.kind == SenderKind::Bot {
            Verdict::Queue
        } else if let Some(verdict) = self.typed(message).await? {
            verdict
        } else {
            match Command::of(message) {
                None => Verdict::Queue,
                Some(Command::Help) => answer(words::HELP),
                Some(Command::Where) => {
                    let (channel, here) = (&self.door.channel, &message.conversation);
                    let found = whereabouts::find(&self.ledger, lane, channel, here).await?;
                    Verdict::Answer(words::whereabouts(&found, SystemTime::now(), language))
                }
                Some(Command::Teammates) => {
                    let all = self.dispatcher.teammates().list().await?;
                    let now = SystemTime::now();
                    Verdict::Answer(words::teammates(&all, &viewer(), now, language))
                }
                Some(Command::Teammate { name, is_certain }) => {
                    let found = self.dispatcher.teammates().find(&name, MAX_READ).await?;
                    match found {
                        Some(found) => {
                            let now = SystemTime::now();
                            Verdict::Answer(words::teammate(&found, &viewer(), now, language))
                        }
                        None if is_certain => Verdict::Answer(words::no_teammate(&name, language)),
                        // A sentence that happens to begin so.
                        None => Verdict::Queue,
                    }
                }
                Some(Command::Pair(_)) if !is_admin => answer(words::ONLY_ADMINS),
                Some(Command::Pair(Ok(code))) => Verdict::Pair(code),
                Some(Command::Pair(Err(NotACode))) => answer(words::NOT_A_CODE),
            }
        };
        Ok((conditions, verdict))
    }

    /// Judges an edit like a message, for nobody is let in by editing. What must be on record was,
    /// or the message that is edited does not wait.
    async fn accept_edit(
        &self,
        key: EventKey,
        target: EventKey,
        mut message: Message,
    ) -> Result<Receipt, LedgerError> {
        take_urgency(&mut message);
        if judge(&self.access, &self.door, &message).is_err() || is_too_long(&message) {
            // It changes nothing whenever it comes, so there is nothing to remember.
            return Ok(Receipt::Ignored);
        }
        self.ledger
            .revise(&self.door.channel, key, target, message)
            .await
            .map(revised)
    }
}

/// What the configuration makes of a message.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is for the model.
    Queue,
    /// It is turned away.
    Refuse(RefusalReason),
    /// It is a command whose answer is known.
    Answer(String),
    /// It is a command that lets in somebody.
    Pair(PairingCode),
    /// It decides about something that the model wants.
    Rule(Ruling),
}

impl Verdict {
    fn fate(&self) -> Fate {
        match self {
            Self::Queue => Fate::Queue,
            Self::Refuse(reason) => Fate::Refuse(*reason),
            Self::Answer(_) => Fate::Answer,
            Self::Pair(code) => Fate::Pair(code.clone()),
            Self::Rule(ruling) => Fate::Rule(ruling.clone()),
        }
    }
}

/// Where a message wants its answer.
struct Asked {
    channel: ChannelId,
    conversation: Conversation,
    message: WireId,
    languages: Languages,
}

impl Asked {
    fn of(door: &Door, message: &Message, languages: &Languages) -> Self {
        Self {
            channel: door.channel.clone(),
            conversation: message.conversation.clone(),
            message: message.id.clone(),
            languages: languages.clone(),
        }
    }

    /// Returns what is said about what became of the message: strangers hear nothing but how they
    /// can be let in.
    fn answer(self, verdict: &Verdict, admitted: &Admitted) -> Vec<NewPost> {
        let language = self.languages.of(&self.channel);
        match admitted {
            Admitted::Queued { .. } | Admitted::Duplicate { .. } => Vec::new(),
            Admitted::Refused {
                invitation: Some(code),
                ..
            } => vec![self.post(PostKind::Notice, words::invitation(code, language))],
            Admitted::Refused {
                reason: RefusalReason::TooLong,
                ..
            } => vec![self.post(PostKind::Failure, words::too_long(language))],
            Admitted::Refused { .. } => Vec::new(),
            Admitted::Commanded {
                paired: Some(Ok(paired)),
                ..
            } => vec![
                desk::welcome(paired, &self.languages),
                self.post(PostKind::Notice, words::let_in(paired, language)),
            ],
            Admitted::Commanded {
                paired: Some(Err(error)),
                ..
            } => {
                let text = words::not_let_in(*error).within(language);
                vec![self.post(PostKind::Failure, text.to_owned())]
            }
            Admitted::Commanded { paired: None, .. } => match verdict {
                Verdict::Answer(text) => vec![self.post(PostKind::Notice, text.clone())],
                Verdict::Queue | Verdict::Refuse(_) | Verdict::Pair(_) | Verdict::Rule(_) => {
                    Vec::new()
                }
            },
            Admitted::Ruled { ruled, .. } => {
                let text = approvals::words::answer(ruled, language);
                text.into_iter()
                    .map(|text| self.post(PostKind::Notice, text))
                    .collect()
            }
        }
    }

    fn post(&self, kind: PostKind, text: String) -> NewPost {
        NewPost {
            channel: self.channel.clone(),
            to: self.conversation.clone(),
            reply_to: Some(self.message.clone()),
            settles: vec![self.message.clone()],
            kind,
            text,
            buttons: Vec::new(),
            as_file: None,
            file: None,
            reaction: None,
            edit: None,
        }
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
            Happening::Edited { target, message } => {
                self.accept_edit(event.key, target, message).await
            }
            Happening::Deleted { target, .. } => self
                .ledger
                .withdraw(channel, event.key, target)
                .await
                .map(revised),
            Happening::Pressed(press) => self.accept_press(event.key, press).await,
        };
        taken.map_err(|failure| {
            error!(%channel, error = %failure, "an event could not be recorded; it is not acknowledged");
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

/// Takes a leading `!` (or the full-width one of a Chinese keyboard) off the text: "interrupt what you
/// do and take this instead".
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
    use tieline_channel::UserId;

    use super::*;
    use crate::intake::fixture;

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
            body,
            ..fixture::message("U1")
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
