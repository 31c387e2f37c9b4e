//! What to do with a turn that was open when something broke.
//!
//! The thread itself decides, never a guess: its turns are asked for our key, and its rollout
//! for the message in the envelope, because Codex writes a user's text a moment before the key.
//! This module does no IO: it takes what was found and says the next step.

#[cfg(test)]
mod tests;

use crate::codex::protocol::{AgentPhase, Item, TurnStatus};
use crate::codex::{Failure, FoundTurn};
use crate::config::OnInterrupted;
use crate::id::TurnId;

/// How often an interrupted turn is continued before people are asked: a message that brings codex
/// down each time must come to an end.
pub(super) const MAX_CONTINUATIONS: u32 = 10;

/// What the thread knows of an open turn.
#[derive(Clone, Debug)]
pub(super) enum Trace {
    /// A turn of the thread is ours: it carries our key, or it follows the one that does.
    Turn(FoundTurn),
    /// The text is in the history, but no turn of ours can be seen.
    TextOnly,
    /// Neither the key nor the text is there.
    Absent,
    /// It cannot be told.
    Unreadable(String),
}

/// The next step with an open turn.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It runs: follow it to its end.
    Follow(TurnId),
    /// It has its answer.
    Deliver(String),
    /// It has run to its end without one: what people have is what was sent by tools.
    Conclude,
    /// It failed.
    Fail(Failure),
    /// It was cut off: let the model go on from what it has, without repeating the message.
    Continue,
    /// It never arrived: submit it.
    Submit,
    /// It was cut off, and people are to decide.
    Ask,
    /// It was cut off so often that going on does not help.
    StopTrying,
    /// It cannot be told what became of it.
    GiveUp(String),
}

/// Says the next step with an open turn that was delivered or not, and continued so often.
pub(super) fn next_step(
    trace: Trace,
    delivered: bool,
    continuations: u32,
    policy: OnInterrupted,
) -> Step {
    let go_on = || match policy {
        OnInterrupted::Ask => Step::Ask,
        OnInterrupted::Continue if continuations >= MAX_CONTINUATIONS => Step::StopTrying,
        OnInterrupted::Continue => Step::Continue,
    };
    match trace {
        Trace::Turn(turn) => match turn.status {
            TurnStatus::InProgress => Step::Follow(turn.turn_id),
            TurnStatus::Completed => match turn.answer {
                Some(answer) => Step::Deliver(answer),
                // Room was made for it, and it was not gone on with.
                None if is_compaction(&turn) => go_on(),
                None => Step::Conclude,
            },
            TurnStatus::Interrupted => match complete_answer(turn) {
                Some(answer) => Step::Deliver(answer),
                None => go_on(),
            },
            TurnStatus::Failed => Step::Fail(turn.failure.unwrap_or_else(Failure::no_answer)),
            TurnStatus::Other => Step::GiveUp("codex reports an unknown state".to_owned()),
        },
        Trace::TextOnly => go_on(),
        Trace::Absent if delivered => {
            Step::GiveUp("the thread no longer has the message it had taken".to_owned())
        }
        Trace::Absent => Step::Submit,
        Trace::Unreadable(reason) => Step::GiveUp(reason),
    }
}

/// Returns the answer of a turn that was cut off after it: the last thing it did was to give it.
fn complete_answer(turn: FoundTurn) -> Option<String> {
    match turn.items.last()? {
        Item::AgentMessage {
            phase: None | Some(AgentPhase::FinalAnswer),
            ..
        } => turn.answer,
        _ => None,
    }
}

/// Returns whether the history was shortened in a turn before the model did anything.
pub(super) fn begins_with_compaction(turn: &FoundTurn) -> bool {
    let mut items = turn.items.iter();
    let first = items.find(|item| !matches!(item, Item::UserMessage { .. }));
    matches!(first, Some(Item::ContextCompaction { .. }))
}

/// Returns whether the history was shortened in a turn.
pub(super) fn has_compaction(turn: &FoundTurn) -> bool {
    let mut items = turn.items.iter();
    items.any(|item| matches!(item, Item::ContextCompaction { .. }))
}

/// Returns whether all that a turn did was to shorten the history.
fn is_compaction(turn: &FoundTurn) -> bool {
    !turn.items.is_empty()
        && turn
            .items
            .iter()
            .all(|item| matches!(item, Item::ContextCompaction { .. }))
}

impl Step {
    /// Returns the name for the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Follow(_) => "follow",
            Self::Deliver(_) => "deliver",
            Self::Conclude => "conclude",
            Self::Fail(_) => "fail",
            Self::Continue => "continue",
            Self::Submit => "submit",
            Self::Ask => "ask",
            Self::StopTrying => "stop trying",
            Self::GiveUp(_) => "give up",
        }
    }

    /// Returns whether people have to wait for the outcome.
    pub(super) fn takes_time(&self) -> bool {
        match self {
            Self::Follow(_) | Self::Continue | Self::Submit => true,
            Self::Deliver(_)
            | Self::Conclude
            | Self::Fail(_)
            | Self::Ask
            | Self::StopTrying
            | Self::GiveUp(_) => false,
        }
    }
}
