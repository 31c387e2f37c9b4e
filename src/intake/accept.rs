//! The acceptance of what comes in: gate, lane, durable record; only then may a channel
//! acknowledge.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tieline_channel::{
    AcceptError, ChannelId, ChatKind, Conversation, Event, EventKey, Happening, Intake, Language,
    Message, PostKind, Receipt, RefusalReason, Segment, SenderKind, Text, WireId, cut,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::command::Command;
use super::gate::{Door, is_too_long, judge, role_of};
use super::words::commands;
use super::{desk, standing, whereabouts, words};
use crate::config::{Access, Languages, Role, Sessions};
use crate::dispatcher::Handle;
use crate::events::{Event as Told, Events};
use crate::id::LaneId;
use crate::ledger::{
    Admission, Admitted, Conditions, Fate, LaneWish, Ledger, LedgerError, NewMessage, NewPost,
    NewStop, NotACode, Orderer, Origin, PairingCode, Performed, Revised, Stop,
};
use crate::teammates::MAX_READ;

/// How much of somebody's name is told, in characters.
const MAX_NAME: usize = 64;

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
    /// Told of what comes in.
    pub events: Events,
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
        let events = self.events.lane(&lane);
        match self.ledger.admit(admission, say).await? {
            Admitted::Queued { id, waiting } => {
                info!(message = %id, %lane, waiting, "accepted");
                events
                    .message(id)
                    .emit(Told::MessageReceived { place: waiting });
                // In this order: what the lane shows is newer.
                self.dispatcher.show_received(&self.door.channel, &message);
                self.dispatcher.wake(lane);
                Ok(Receipt::Accepted)
            }
            Admitted::Refused { reason, .. } => {
                let (sender, chat) = (&message.sender.id, &message.conversation.chat);
                info!(%sender, %chat, ?reason, "refused");
                events.emit(Told::MessageRefused { reason });
                Ok(Receipt::Refused(reason))
            }
            Admitted::Commanded { id, done } => {
                info!(message = %id, "a command was answered");
                events.message(id).emit(Told::MessageCommanded);
                match done {
                    Performed::Nothing | Performed::Paired(Err(_)) => {}
                    Performed::Paired(Ok(paired)) => {
                        info!(user = %paired.guest.user, by = %message.sender.id, "paired");
                    }
                    Performed::Ordered { order, .. } => {
                        info!(%lane, by = %message.sender.id, ?order, "ordered");
                        self.dispatcher.wake(lane);
                    }
                    Performed::Stopped(stopped) => {
                        info!(%lane, by = %message.sender.id, ?stopped, "stopped");
                        for withdrawn in &stopped.withdrawn {
                            self.dispatcher.show_withdrawn(withdrawn);
                        }
                        self.dispatcher.wake(lane);
                    }
                }
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
        let role = role_of(&self.access, &self.door, &message.sender.id);
        if is_too_long(message) {
            // Last, for its sender is allowed to know.
            let verdict = Verdict::Refuse(RefusalReason::TooLong);
            return Ok((conditions, verdict));
        }
        if message.sender.kind == SenderKind::Bot {
            return Ok((conditions, Verdict::Queue));
        }
        let command = Command::of(message);
        let is_shared = self.dispatcher.sessions() == Sessions::Shared;
        let needed = command
            .as_ref()
            .map_or(Role::User, |command| command.needs(is_shared));
        if role < needed {
            let told = commands::role_needed(needed).within(language).to_owned();
            // What people say to each other is not answered.
            let told = Some(told).filter(|_| message.addressed);
            return Ok((conditions, Verdict::RefuseRole(told)));
        }
        let verdict = match command {
            None => Verdict::Queue,
            Some(command) => self.obey(command, message, lane, role).await?,
        };
        Ok((conditions, verdict))
    }

    /// Says what comes of a command that whoever said it may use.
    async fn obey(
        &self,
        command: Command,
        message: &Message,
        lane: &LaneId,
        role: Role,
    ) -> Result<Verdict, LedgerError> {
        let (channel, here) = (&self.door.channel, &message.conversation);
        let language = self.languages.of(channel);
        let answer = |text: Text| Verdict::Answer(text.within(language).to_owned());
        let now = SystemTime::now();
        let viewer = words::Viewer {
            channel: channel.clone(),
            chat: here.chat.clone(),
            lane: lane.clone(),
            // What is answered in a group is read by all of it.
            is_admin: role == Role::Admin && message.chat_kind == ChatKind::Direct,
        };
        Ok(match command {
            Command::Help => answer(commands::HELP),
            Command::Status => {
                let dispatcher = &self.dispatcher;
                let found = standing::find(&self.ledger, dispatcher, lane, channel, here).await?;
                Verdict::Answer(commands::status(&found, now, language))
            }
            Command::Where => {
                let found = whereabouts::find(&self.ledger, lane, channel, here).await?;
                Verdict::Answer(words::whereabouts(&found, now, language))
            }
            Command::Threads => {
                let found = standing::threads(&self.ledger, lane).await?;
                Verdict::Answer(commands::threads(&found, &viewer, now, language))
            }
            Command::Model => {
                let model = standing::model(&self.ledger, &self.dispatcher, lane).await?;
                Verdict::Answer(commands::model(&model, language))
            }
            Command::Teammates => {
                let all = self.dispatcher.teammates().list().await?;
                Verdict::Answer(words::teammates(&all, &viewer, now, language))
            }
            Command::Teammate { name, is_certain } => {
                match self.dispatcher.teammates().find(&name, MAX_READ).await? {
                    Some(found) => Verdict::Answer(words::teammate(&found, &viewer, now, language)),
                    None if is_certain => Verdict::Answer(words::no_teammate(&name, language)),
                    // A sentence that happens to begin so, of somebody who may have said it.
                    None if role >= Role::User => Verdict::Queue,
                    None => {
                        let told = commands::role_needed(Role::User).within(language);
                        Verdict::RefuseRole(Some(told.to_owned()))
                    }
                }
            }
            Command::Stop { all } => {
                let by = self.orderer(message);
                Verdict::Stop(NewStop {
                    stop: Stop {
                        by: None,
                        origin: by.origin.clone(),
                        user: by.user,
                        name: by.name,
                    },
                    origin: by.origin,
                    any_turn: role == Role::Admin,
                    all,
                })
            }
            Command::Order(wish) => Verdict::Order(wish, self.orderer(message)),
            Command::Misused(misuse) => Verdict::Answer(commands::misused(misuse, language)),
            Command::Unknown(word) => Verdict::Answer(commands::unknown(&word, language)),
            Command::Pair(Ok(code)) => Verdict::Pair(code),
            Command::Pair(Err(NotACode)) => answer(words::NOT_A_CODE),
        })
    }

    /// Returns who sent a message, as somebody who wants something of a lane.
    fn orderer(&self, message: &Message) -> Orderer {
        let sender = &message.sender;
        Orderer {
            origin: Some(Origin {
                channel: self.door.channel.clone(),
                conversation: message.conversation.clone(),
            }),
            message: Some(message.id.clone()),
            user: Some(sender.id.clone()),
            name: Some(cut(
                sender.name.as_deref().unwrap_or(sender.id.as_str()),
                MAX_NAME,
            )),
        }
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
enum Verdict {
    /// It is for the model.
    Queue,
    /// It is turned away.
    Refuse(RefusalReason),
    /// It is turned away because its sender may not do that, and is told so, unless it was not said to
    /// us.
    RefuseRole(Option<String>),
    /// It is a command whose answer is known.
    Answer(String),
    /// It is a command that lets in somebody.
    Pair(PairingCode),
    /// It is a command that wants something of the lane's thread.
    Order(LaneWish, Orderer),
    /// It is a command that ends what the lane is at.
    Stop(NewStop),
}

impl Verdict {
    fn fate(&self) -> Fate {
        match self {
            Self::Queue => Fate::Queue,
            Self::Refuse(reason) => Fate::Refuse(*reason),
            Self::Answer(_) => Fate::Answer,
            Self::RefuseRole(_) => Fate::Refuse(RefusalReason::Role),
            Self::Pair(code) => Fate::Pair(code.clone()),
            Self::Order(wish, by) => Fate::Order(wish.clone(), by.clone()),
            Self::Stop(stop) => Fate::Stop(stop.clone()),
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
            Admitted::Refused {
                reason: RefusalReason::Role,
                ..
            } => match verdict {
                Verdict::RefuseRole(Some(told)) => {
                    vec![self.post(PostKind::Failure, told.clone())]
                }
                _ => Vec::new(),
            },
            Admitted::Refused { .. } => Vec::new(),
            Admitted::Commanded { done, .. } => self.done(verdict, done, language),
        }
    }

    /// Returns what is said about a command.
    fn done(self, verdict: &Verdict, done: &Performed, language: Language) -> Vec<NewPost> {
        match done {
            Performed::Nothing => match verdict {
                Verdict::Answer(text) => vec![self.post(PostKind::Notice, text.clone())],
                _ => Vec::new(),
            },
            Performed::Paired(Ok(paired)) => vec![
                desk::welcome(paired, &self.languages),
                self.post(PostKind::Notice, words::let_in(paired, language)),
            ],
            Performed::Paired(Err(error)) => {
                let text = words::not_let_in(*error).within(language);
                vec![self.post(PostKind::Failure, text.to_owned())]
            }
            Performed::Ordered {
                order: Err(refusal),
                ..
            } => vec![self.post(PostKind::Failure, commands::not_ordered(*refusal, language))],
            // It is answered when it is done.
            Performed::Ordered { waits: false, .. } => Vec::new(),
            Performed::Ordered { waits: true, .. } => {
                let text = commands::AFTER_THE_TURN.within(language);
                vec![NewPost {
                    settles: Vec::new(),
                    ..self.post(PostKind::Notice, text.to_owned())
                }]
            }
            Performed::Stopped(stopped) => {
                let withdrawn = stopped.withdrawn.iter().map(|it| it.message.clone());
                let mut post = self.post(PostKind::Notice, commands::stopped(stopped, language));
                post.settles.extend(withdrawn);
                vec![post]
            }
        }
    }

    fn post(self, kind: PostKind, text: String) -> NewPost {
        NewPost {
            channel: self.channel,
            to: self.conversation,
            reply_to: Some(self.message.clone()),
            settles: vec![self.message],
            kind,
            text,
            buttons: Vec::new(),
            as_file: None,
            file: None,
            reaction: None,
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
            self.events.emit(Told::MessageNotRecorded { reason: failure.to_string() });
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
