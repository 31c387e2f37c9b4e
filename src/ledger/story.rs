//! What became of messages: the whole story of one, and those that a question is about.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, ChatId};

use crate::id::{
    CompletionId, DispatcherId, LaneId, MessageId, OutboxId, TaskId, ThreadId, TurnId, TurnKey,
};
use crate::ledger::completion::CompletionRecord;
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::lane::OpenTurn;
use crate::ledger::message::{MessageRecord, MessageState};
use crate::ledger::post::{NewPost, PostState};
use crate::ledger::time;

/// How many messages are found at a time.
pub const MAX_FOUND: usize = 1_000;

/// How many messages are looked at in one command: others are served in between.
const STEP: usize = 512;

/// What a post is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// A turn, and all that it answers.
    Turn(TurnKey),
    /// A message that had no turn, and those that were settled with it.
    Message(MessageId),
}

/// All that is on record about a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// The message as it is now.
    pub message: MessageRecord,
    /// The states that it was in before, oldest first. Of many the first and the last are known.
    pub past: Vec<PastState>,
    /// Its place among those that wait in its lane, from 1 on, while it waits and is among the first
    /// hundred.
    pub place: Option<usize>,
    /// The turn that it is or was in.
    pub turn: Option<StoryTurn>,
    /// The completions that the same turn brought up.
    pub completions: Vec<CompletionRecord>,
    /// What was said about it, in order: its answer, what the model sent meanwhile, notices.
    pub said: Vec<Saying>,
}

/// A state that a message was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastState {
    /// Which.
    pub state: MessageState,
    /// When it came to it.
    pub since: SystemTime,
}

/// The turn of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoryTurn {
    /// It runs.
    Open {
        /// The turn.
        turn: OpenTurn,
        /// The thread that it runs on.
        thread: Option<ThreadId>,
    },
    /// It is over.
    Ended(EndedTurn),
    /// It is over, and no more is known of it.
    Forgotten(TurnKey),
}

/// A turn that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTurn {
    /// Our name of it.
    pub key: TurnKey,
    /// Its lane.
    pub lane: LaneId,
    /// The thread that the lane had.
    pub thread: Option<ThreadId>,
    /// Codex's name of its last attempt.
    pub codex_turn: Option<TurnId>,
    /// What it answered, in order.
    pub messages: Vec<MessageId>,
    /// What it brought up, in order.
    pub completions: Vec<CompletionId>,
    /// The piece of work that it did.
    pub task: Option<TaskId>,
    /// How often it was interrupted and continued.
    pub continuations: u32,
    /// How often it was submitted again because Codex did not have it.
    pub resubmissions: u32,
    /// When it was opened.
    #[serde(with = "time::millis")]
    pub opened_at: SystemTime,
    /// When it was settled.
    #[serde(with = "time::millis")]
    pub settled_at: SystemTime,
    /// The state that its messages came to.
    pub state: MessageState,
    /// The cause of a failure, for operators; cut to 512 bytes.
    pub cause: Option<String>,
}

/// Something that was said about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying {
    /// Its name in the outbox.
    pub id: OutboxId,
    /// The channel that says it.
    pub channel: ChannelId,
    /// What is said; `None` if the disk has lost it.
    pub post: Option<NewPost>,
    /// How far it is.
    pub state: PostState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was enqueued.
    pub created_at: SystemTime,
    /// When it may be tried again, if it was put off.
    pub not_before: Option<SystemTime>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Which messages a question is about; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Those for this dispatcher.
    pub dispatcher: Option<DispatcherId>,
    /// Those of this lane.
    pub lane: Option<LaneId>,
    /// Those that came in there.
    pub channel: Option<ChannelId>,
    /// Those of this chat.
    pub chat: Option<ChatId>,
    /// Those in this state, by its name.
    pub state: Option<String>,
    /// Those that failed in this way.
    pub failure: Option<String>,
    /// Those of this person: their id, or their name in any case.
    pub sender: Option<String>,
    /// Those that have this in their text, in any case.
    pub text: Option<String>,
    /// Those that arrived then or later.
    pub since: Option<SystemTime>,
    /// Those that arrived before.
    pub until: Option<SystemTime>,
}

/// A page of messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The messages, newest first.
    pub messages: Vec<MessageRecord>,
    /// The message before which the next page begins, if there may be one.
    pub next: Option<MessageId>,
}

impl MessageFilter {
    /// Returns whether a message is one of those, as far as that can be told without its text.
    pub(super) fn may_match(
        &self,
        dispatcher: &DispatcherId,
        lane: &LaneId,
        channel: &ChannelId,
        state: &MessageState,
        received_at: SystemTime,
    ) -> bool {
        let failed_so = |failure: &String| matches!(state, MessageState::Failed { kind } if kind.as_str() == failure);
        self.dispatcher.as_ref().is_none_or(|it| it == dispatcher)
            && self.lane.as_ref().is_none_or(|it| it == lane)
            && self.channel.as_ref().is_none_or(|it| it == channel)
            && self.state.as_ref().is_none_or(|it| it == state.as_str())
            && self.failure.as_ref().is_none_or(failed_so)
            && self.since.is_none_or(|since| received_at >= since)
            && self.until.is_none_or(|until| received_at < until)
    }

    /// Returns whether what was written is that of one of those.
    pub(super) fn matches_text(&self, record: &MessageRecord) -> bool {
        let message = &record.message;
        let is_sender = |wanted: &String| {
            let name = message.sender.name.as_deref().unwrap_or_default();
            message.sender.id.as_str() == wanted || name.to_lowercase() == wanted.to_lowercase()
        };
        let has_text = |wanted: &String| {
            let text = message.plain_text().to_lowercase();
            text.contains(&wanted.to_lowercase())
        };
        self.chat
            .as_ref()
            .is_none_or(|it| *it == message.conversation.chat)
            && self.sender.as_ref().is_none_or(is_sender)
            && self.text.as_ref().is_none_or(has_text)
    }
}

impl Ledger {
    /// Returns all that is on record about a message, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn story(&self, id: MessageId) -> Result<Option<Story>, LedgerError> {
        self.call(move |transaction| transaction.story(id)).await
    }

    /// Returns up to `limit` messages, newest first, from the newest before `before` on. Others are
    /// served while it looks.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn find_messages(
        &self,
        filter: MessageFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Found, LedgerError> {
        let mut found = Found {
            messages: Vec::new(),
            next: before,
        };
        let limit = limit.min(MAX_FOUND);
        while found.messages.len() < limit {
            let (filter, before) = (filter.clone(), found.next);
            let room = limit - found.messages.len();
            let step = move |transaction: &mut super::transaction::Transaction<'_>| {
                transaction.find_step(&filter, before, room, STEP)
            };
            let page = self.call(step).await?;
            found.messages.extend(page.messages);
            found.next = page.next;
            if found.next.is_none() {
                break;
            }
        }
        Ok(found)
    }
}
