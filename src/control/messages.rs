//! What became of the messages: `/v1/messages`, and the whole story of one: `/v1/messages/{id}`.
//!
//! Times are as in [`status`](super::status).

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tieline_channel::{
    ChannelId, ChatId, Message, PostKind, RefusalReason, ThreadKey, UserId, WireId,
};

use crate::control::body::{Asked, Segments, Wanted};
use crate::control::error::{ApiError, Code};
use crate::control::server::Api;
use crate::control::status::rfc3339;
use crate::id::{DispatcherId, LaneId, MessageId, OutboxId, TaskId, ThreadId, TurnId, TurnKey};
use crate::ledger::{
    CompletionRecord, CompletionStatus, EndedTurn, Found, Ledger, LedgerError, MAX_FOUND,
    MessageFilter, MessageRecord, MessageState, PostState, Saying, Story, StoryTurn, TurnPhase,
};

/// How many messages are told at most.
pub const MAX_MESSAGES: usize = MAX_FOUND;

/// How far into a lane's queue a message's place is told.
const PLACES: usize = 100;

/// How much of a text is told in a list, in characters.
const PREVIEW: usize = 80;

/// The newest messages that were asked for, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// One each.
    pub messages: Vec<MessageStatus>,
    /// What to ask for as `cursor` for those before them; absent when there are none.
    #[serde(default)]
    pub next: Option<MessageId>,
}

/// A message at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageStatus {
    /// Our name of it.
    pub id: MessageId,
    /// Where it came in.
    pub channel: ChannelId,
    /// The chat.
    pub chat: ChatId,
    /// The thread in it.
    #[serde(default)]
    pub thread: Option<ThreadKey>,
    /// The platform's name of it.
    pub message: WireId,
    /// Who wrote it.
    pub sender: UserId,
    /// Their name, if the platform told it.
    #[serde(default)]
    pub sender_name: Option<String>,
    /// The beginning of its text; empty for what was refused, of which none is kept.
    pub text: String,
    /// Its lane.
    pub lane: LaneId,
    /// `queued`, `in_turn`, `answered`, `failed`, `cancelled`, `unclear` or `refused`.
    pub state: String,
    /// Its place among those that wait in its lane: 1 is next. Absent beyond the first hundred.
    #[serde(default)]
    pub place: Option<usize>,
    /// The name of the failure, if it failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// Why it was turned away, if it was refused.
    #[serde(default)]
    pub refusal: Option<RefusalReason>,
    /// When it was written, by the platform's clock.
    #[serde(with = "rfc3339")]
    pub sent_at: SystemTime,
    /// When it arrived here.
    #[serde(with = "rfc3339")]
    pub received_at: SystemTime,
    /// When it came to its state.
    #[serde(with = "rfc3339")]
    pub changed_at: SystemTime,
}

/// All that is known of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageStory {
    /// How it is. Its text is whole here.
    #[serde(flatten)]
    pub message: MessageStatus,
    /// Who it is for.
    pub dispatcher: DispatcherId,
    /// How many files came with it.
    pub attachments: u64,
    /// The states that it has been in, oldest first, the present one last.
    pub states: Vec<StateStatus>,
    /// The turn that it is or was in.
    #[serde(default)]
    pub turn: Option<TurnStatus>,
    /// The results of work that the same turn brought up.
    pub completions: Vec<BroughtUp>,
    /// What was said about it, in order: what the model sent, its answer, and notices.
    pub posts: Vec<PostStatus>,
}

/// A state that a message came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStatus {
    /// As `state` of the message.
    pub state: String,
    /// When it came to it.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
}

/// A turn, as it is told to whoever asks after a message of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnStatus {
    /// Our name of it; empty only in answers of other versions.
    pub id: Option<TurnKey>,
    /// `opened`, `submitted` or `delivered` while it runs: how far its input has come; then
    /// `answered`, `failed`, `cancelled` or `unclear`; `forgotten` if no more is known of it.
    pub state: String,
    /// Somebody has asked for its end, which has not come yet.
    pub stopping: bool,
    /// The Codex thread that it runs on, or ran on.
    #[serde(default)]
    pub thread: Option<ThreadId>,
    /// Codex's name of its last attempt.
    #[serde(default)]
    pub codex_turn: Option<TurnId>,
    /// All the messages that it answers.
    #[serde(default)]
    pub messages: Vec<MessageId>,
    /// The task that it does.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// How often it was interrupted and continued.
    pub continuations: u32,
    /// How often it was submitted again because Codex did not have it.
    pub resubmissions: u32,
    /// When it was opened.
    #[serde(with = "rfc3339::option", default)]
    pub opened_at: Option<SystemTime>,
    /// When it was over.
    #[serde(with = "rfc3339::option", default)]
    pub settled_at: Option<SystemTime>,
    /// The name of the failure, if it failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// The cause, in words for operators.
    #[serde(default)]
    pub cause: Option<String>,
}

/// A result of work that a turn brought up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtUp {
    /// Its producer's name of it.
    pub id: String,
    /// Who did the work.
    pub from: String,
    /// How the work ended.
    pub status: CompletionStatus,
    /// How far it is, as its receipt says.
    pub state: String,
    /// When it was reported.
    #[serde(with = "rfc3339")]
    pub reported_at: SystemTime,
}

/// Something that was said, or is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostStatus {
    /// Our name of it.
    pub id: OutboxId,
    /// `answer`, `failure`, `notice` or `reaction`; absent if the disk has lost it.
    #[serde(default)]
    pub kind: Option<String>,
    /// The channel.
    pub channel: ChannelId,
    /// The chat.
    #[serde(default)]
    pub chat: Option<ChatId>,
    /// The thread in it.
    #[serde(default)]
    pub thread: Option<ThreadKey>,
    /// The beginning of its text, or the emoji.
    #[serde(default)]
    pub text: Option<String>,
    /// `pending`, `sending`, `delivered`, `failed` or `unclear`.
    pub state: String,
    /// The platform's name of it, once it is delivered.
    #[serde(default)]
    pub message: Option<WireId>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was to be said.
    #[serde(with = "rfc3339")]
    pub created_at: SystemTime,
    /// When it came to its state, but for `pending`.
    #[serde(with = "rfc3339::option", default)]
    pub changed_at: Option<SystemTime>,
    /// When it may be tried again, if it was put off.
    #[serde(with = "rfc3339::option", default)]
    pub next_try_at: Option<SystemTime>,
    /// What went wrong last.
    #[serde(default)]
    pub problem: Option<String>,
}

impl MessageStatus {
    /// Tells how a message is; `place` is its place in its lane, from 1 on.
    pub fn of(record: MessageRecord, place: Option<usize>) -> Self {
        let (failure, refusal) = match &record.state {
            MessageState::Failed { kind } => (Some(kind.to_string()), None),
            MessageState::Refused { reason } => (None, Some(*reason)),
            MessageState::Queued
            | MessageState::InTurn
            | MessageState::Answered
            | MessageState::Cancelled
            | MessageState::Unclear => (None, None),
        };
        let text = preview(&record.message);
        let message = record.message;
        Self {
            id: record.id,
            channel: record.channel,
            chat: message.conversation.chat,
            thread: message.conversation.thread,
            message: message.id,
            sender: message.sender.id,
            sender_name: message.sender.name,
            text,
            lane: record.lane,
            state: record.state.as_str().to_owned(),
            place,
            failure,
            refusal,
            sent_at: message.sent_at,
            received_at: record.received_at,
            changed_at: record.changed_at,
        }
    }
}

impl MessageStory {
    fn of(story: Story) -> Self {
        let Story {
            message,
            past,
            place,
            turn,
            completions,
            said,
        } = story;
        let mut states: Vec<StateStatus> = past
            .into_iter()
            .map(|past| StateStatus {
                state: past.state.as_str().to_owned(),
                at: past.since,
            })
            .collect();
        states.push(StateStatus {
            state: message.state.as_str().to_owned(),
            at: message.changed_at,
        });
        let text = message.message.plain_text();
        Self {
            dispatcher: message.dispatcher.clone(),
            attachments: message.message.attachments.len() as u64,
            states,
            turn: turn.map(TurnStatus::of),
            completions: completions.into_iter().map(BroughtUp::of).collect(),
            posts: said.into_iter().map(PostStatus::of).collect(),
            message: MessageStatus {
                text,
                ..MessageStatus::of(message, place)
            },
        }
    }
}

impl TurnStatus {
    fn of(turn: StoryTurn) -> Self {
        match turn {
            StoryTurn::Open { turn, thread } => Self {
                id: Some(turn.key),
                state: match turn.phase {
                    TurnPhase::Opened => "opened",
                    TurnPhase::Submitted => "submitted",
                    TurnPhase::Delivered => "delivered",
                }
                .to_owned(),
                stopping: turn.stop.is_some(),
                thread,
                codex_turn: turn.codex_turn,
                messages: turn.messages,
                task: turn.task,
                continuations: turn.continuations,
                resubmissions: turn.resubmissions,
                opened_at: Some(turn.opened_at),
                ..Self::default()
            },
            StoryTurn::Ended(turn) => Self::ended(turn),
            StoryTurn::Forgotten(key) => Self {
                id: Some(key),
                state: "forgotten".to_owned(),
                ..Self::default()
            },
        }
    }

    fn ended(turn: EndedTurn) -> Self {
        let failure = match &turn.state {
            MessageState::Failed { kind } => Some(kind.to_string()),
            _ => None,
        };
        Self {
            id: Some(turn.key),
            state: turn.state.as_str().to_owned(),
            stopping: false,
            thread: turn.thread,
            codex_turn: turn.codex_turn,
            messages: turn.messages,
            task: turn.task,
            continuations: turn.continuations,
            resubmissions: turn.resubmissions,
            opened_at: Some(turn.opened_at),
            settled_at: Some(turn.settled_at),
            failure,
            cause: turn.cause,
        }
    }
}

impl BroughtUp {
    fn of(record: CompletionRecord) -> Self {
        Self {
            state: record.state.as_str().to_owned(),
            id: record.name,
            from: record.from,
            status: record.status,
            reported_at: record.reported_at,
        }
    }
}

impl PostStatus {
    fn of(saying: Saying) -> Self {
        let (state, changed_at, message, reason) = match saying.state {
            PostState::Pending => ("pending", None, None, None),
            PostState::Sending { since } => ("sending", Some(since), None, None),
            PostState::Delivered { wire, at } => ("delivered", Some(at), Some(wire), None),
            PostState::Failed { reason, at } => ("failed", Some(at), None, Some(reason)),
            PostState::Unclear { reason, at } => ("unclear", Some(at), None, Some(reason)),
        };
        let post = saying.post.as_ref();
        let kind = post.map(|post| match (&post.reaction, post.kind) {
            (Some(_), _) => "reaction",
            (None, PostKind::Answer) => "answer",
            (None, PostKind::Failure) => "failure",
            (None, PostKind::Notice) => "notice",
        });
        let text = post.map(|post| match &post.reaction {
            Some(reaction) => reaction.emoji.name().to_owned(),
            None => cut(&post.text),
        });
        Self {
            id: saying.id,
            kind: kind.map(str::to_owned),
            channel: saying.channel,
            chat: post.map(|post| post.to.chat.clone()),
            thread: post.and_then(|post| post.to.thread.clone()),
            text,
            state: state.to_owned(),
            message,
            attempts: saying.attempts,
            created_at: saying.created_at,
            changed_at,
            next_try_at: saying.not_before,
            problem: reason.or(saying.last_error),
        }
    }
}

/// Returns the beginning of what was written.
pub(super) fn preview(message: &Message) -> String {
    cut(&message.plain_text())
}

fn cut(text: &str) -> String {
    text.chars().take(PREVIEW).collect()
}

// === The routes ===

/// Which messages are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default = "Which::default_limit")]
    limit: usize,
    cursor: Option<MessageId>,
    dispatcher: Option<DispatcherId>,
    lane: Option<LaneId>,
    channel: Option<ChannelId>,
    chat: Option<ChatId>,
    state: Option<String>,
    failure: Option<String>,
    sender: Option<String>,
    text: Option<String>,
    #[serde(default, with = "rfc3339::option")]
    since: Option<SystemTime>,
    #[serde(default, with = "rfc3339::option")]
    until: Option<SystemTime>,
}

impl Wanted for Which {
    const HINT: &'static str = "`limit` is a number from 1 to 1000, `cursor` the `next` of an answer; \
                                `dispatcher`, `lane`, `channel`, `chat`, `state`, `failure`, `sender` and \
                                `text` choose by what a message has; `since` and `until` are times as \
                                2026-11-20T09:15:00Z";
}

impl Which {
    fn default_limit() -> usize {
        20
    }

    fn check(&self) -> Result<(), ApiError> {
        let wrong =
            |problem: String, hint: &str| Err(ApiError::new(Code::BadRequest, problem, hint));
        if !(1..=MAX_MESSAGES).contains(&self.limit) {
            let problem = format!("{} messages cannot be told at once", self.limit);
            return wrong(problem, "`limit` is a number from 1 to 1000");
        }
        if let Some(state) = &self.state
            && !STATES.contains(&state.as_str())
        {
            let known = format!("`state` is one of {}", STATES.join(", "));
            return wrong(format!("no message is ever {state:?}"), &known);
        }
        Ok(())
    }
}

/// The states of messages, by name.
pub(crate) const STATES: [&str; 7] = [
    "queued",
    "in_turn",
    "answered",
    "failed",
    "cancelled",
    "unclear",
    "refused",
];

/// Tells what became of messages.
pub(super) async fn list(
    State(api): State<Api>,
    which: Result<Asked<Which>, ApiError>,
) -> Result<Json<Messages>, ApiError> {
    let Asked(which) = which?;
    which.check()?;
    let filter = MessageFilter {
        dispatcher: which.dispatcher,
        lane: which.lane,
        channel: which.channel,
        chat: which.chat,
        state: which.state,
        failure: which.failure,
        sender: which.sender,
        text: which.text,
        since: which.since,
        until: which.until,
    };
    let found = api.ledger.find_messages(filter, which.cursor, which.limit);
    let found = found.await.map_err(|error| not_read(&error))?;
    let told = tell(&api.ledger, found).await;
    told.map(Json).map_err(|error| not_read(&error))
}

/// Tells the whole story of one.
pub(super) async fn read(
    State(api): State<Api>,
    Segments(id): Segments<String>,
) -> Result<Json<MessageStory>, ApiError> {
    let id: MessageId = id.parse().map_err(|_error| {
        ApiError::new(
            Code::BadRequest,
            format!("{id:?} is not the id of a message"),
            "one is written as 01997a6e-52f0-7cc0-8000-000000000000; `tieline messages --json` has them",
        )
    })?;
    let story = api.ledger.story(id).await;
    let story = story.map_err(|error| not_read(&error))?.ok_or_else(|| {
        ApiError::new(
            Code::UnknownMessage,
            format!("there is no message {id}"),
            "what was settled is remembered for eight days; `tieline messages` lists the newest",
        )
    })?;
    Ok(Json(MessageStory::of(story)))
}

/// Tells what became of messages that were found, with their places.
async fn tell(ledger: &Ledger, found: Found) -> Result<Messages, LedgerError> {
    let mut queues: BTreeMap<LaneId, Vec<MessageId>> = BTreeMap::new();
    let mut messages = Vec::with_capacity(found.messages.len());
    for record in found.messages {
        let mut place = None;
        if record.state == MessageState::Queued {
            if !queues.contains_key(&record.lane) {
                let waiting = ledger.waiting(&record.lane, PLACES).await?;
                let ids = waiting.into_iter().map(|message| message.id).collect();
                queues.insert(record.lane.clone(), ids);
            }
            let queue = queues.get(&record.lane).map_or(&[][..], Vec::as_slice);
            place = queue.iter().position(|id| *id == record.id);
        }
        messages.push(MessageStatus::of(record, place.map(|index| index + 1)));
    }
    Ok(Messages {
        messages,
        next: found.next,
    })
}

fn not_read(error: &LedgerError) -> ApiError {
    ApiError::new(
        Code::LedgerUnavailable,
        format!("the messages cannot be read: {error}"),
        "`tieline status` says how the ledger is",
    )
}
