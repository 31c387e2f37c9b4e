//! What a turn is about.

use super::*;
use crate::ledger::{CompletionRecord, Origin, TaskRecord};
use crate::sessions::TurnRequest;

/// What a turn is about: messages, a task, or completions and messages that joined them.
#[derive(Clone, Debug, Default)]
pub(in crate::dispatcher) struct Work {
    /// What it answers, in order; all of one conversation.
    pub(in crate::dispatcher) messages: Vec<MessageRecord>,
    /// What it brings up, in order.
    pub(super) completions: Vec<CompletionRecord>,
    /// What it does, on the lane of a teammate.
    pub(in crate::dispatcher) task: Option<TaskRecord>,
    /// What codex is given for it, on the lane of a session.
    pub(super) request: Option<TurnRequest>,
    /// It was begun for completions.
    pub(super) is_trigger: bool,
    /// The conversation that hears of it, if there is one.
    pub(in crate::dispatcher) origin: Option<Origin>,
}

impl Work {
    /// A turn for these messages.
    pub(super) fn of(messages: Vec<MessageRecord>) -> Self {
        Self {
            origin: messages.last().map(origin),
            messages,
            completions: Vec::new(),
            task: None,
            request: None,
            is_trigger: false,
        }
    }

    /// Returns what an open turn of a lane is about.
    ///
    /// # Errors
    ///
    /// When the ledger cannot tell.
    pub(in crate::dispatcher) async fn load(
        ledger: &Ledger,
        lane: &LaneId,
        open: &OpenTurn,
    ) -> Result<Self, LedgerError> {
        let mut messages = Vec::with_capacity(open.messages.len());
        for id in &open.messages {
            match ledger.message(*id).await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => warn!(message = %id, "an open turn names a message that is gone"),
                // The rest of the turn does not wait for a text that the disk has lost.
                Err(failure @ LedgerError::Damaged { .. }) => {
                    warn!(message = %id, error = %failure, "a message of an open turn is damaged");
                }
                Err(failure) => return Err(failure),
            }
        }
        let mut completions = Vec::with_capacity(open.completions.len());
        for id in &open.completions {
            match ledger.completion(*id).await? {
                Some(completion) => completions.push(completion),
                None => warn!(completion = %id, "an open turn names a completion that is gone"),
            }
        }
        let task = match open.task {
            Some(id) => ledger.task(id).await?,
            None => None,
        };
        let request = match &task {
            Some(task) if task.asker.is_none() => request(ledger, task).await?,
            Some(_) | None => None,
        };
        let mut work = Self {
            request,
            is_trigger: !open.completions.is_empty(),
            completions,
            task,
            ..Self::of(messages)
        };
        if work.origin.is_none() {
            work.origin = match work.completions.first() {
                Some(first) if first.origin.is_some() => first.origin.clone(),
                _ => ledger.lane(lane).await?.and_then(|lane| lane.last_from),
            };
        }
        Ok(work)
    }

    /// Returns whether a message is of the conversation that hears of this.
    pub(super) fn concerns(&self, message: &MessageRecord) -> bool {
        self.origin.as_ref() == Some(&origin(message))
    }

    /// Returns whether `text` is something that the turn was begun with.
    pub(super) fn is_in(&self, text: &str, turn: TurnKey) -> bool {
        envelope::is_trigger(text, turn)
            || self
                .task
                .as_ref()
                .is_some_and(|task| envelope::is_task(text, task.id))
            || self
                .messages
                .iter()
                .any(|message| is_rendering(text, message))
    }
}

/// Returns what a turn of a session is, unless the disk has lost it.
async fn request(ledger: &Ledger, task: &TaskRecord) -> Result<Option<TurnRequest>, LedgerError> {
    let read = match ledger.task_text(task.id).await {
        Ok(text) => TurnRequest::read(&text).map_err(|error| error.to_string()),
        Err(failure @ LedgerError::Damaged { .. }) => Err(failure.to_string()),
        Err(failure) => return Err(failure),
    };
    if let Err(reason) = &read {
        error!(task = %task.id, reason, "a turn is lost");
    }
    Ok(read.ok())
}

/// Returns where a message came from.
fn origin(message: &MessageRecord) -> Origin {
    Origin {
        channel: message.channel.clone(),
        conversation: message.message.conversation.clone(),
    }
}

/// Returns whether `text` is what the model got of a message.
pub(super) fn is_rendering(text: &str, message: &MessageRecord) -> bool {
    let conversation = &message.message.conversation;
    envelope::is_marked(
        text,
        &message.channel,
        &conversation.chat,
        &message.message.id,
    )
}

impl Lane {
    /// Returns what an open turn is about.
    pub(super) async fn work(&self, open: &OpenTurn) -> Result<Work, StepError> {
        Ok(Work::load(&self.context.ledger, &self.id, open).await?)
    }
}
