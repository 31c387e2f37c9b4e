//! How much of what there is.

use serde::{Deserialize, Serialize};

use crate::ledger::message::MessageState;
use crate::ledger::post::PostState;

/// How much of what the ledger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages by state.
    pub messages: MessageCounts,
    /// Entries of the outbox by state.
    pub outbox: PostCounts,
    /// Lanes with an open turn.
    pub open_turns: u64,
    /// Deduplication keys.
    pub keys: u64,
    /// Conversations that are known.
    #[serde(default)]
    pub conversations: u64,
    /// Bytes on disk. What is forgotten is used again, not given back.
    pub size_on_disk: u64,
}

impl Counts {
    /// Returns how many messages wait.
    pub fn waiting(&self) -> u64 {
        self.messages.queued
    }
}

/// Messages by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCounts {
    /// Waiting.
    pub queued: u64,
    /// In an open turn.
    pub in_turn: u64,
    /// Answered.
    pub answered: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Unclear.
    pub unclear: u64,
    /// Refused.
    pub refused: u64,
}

impl MessageCounts {
    /// Returns all of them together.
    pub fn total(&self) -> u64 {
        self.queued
            + self.in_turn
            + self.answered
            + self.failed
            + self.cancelled
            + self.unclear
            + self.refused
    }

    fn of(&mut self, state: &MessageState) -> &mut u64 {
        match state {
            MessageState::Queued => &mut self.queued,
            MessageState::InTurn => &mut self.in_turn,
            MessageState::Answered => &mut self.answered,
            MessageState::Failed { .. } => &mut self.failed,
            MessageState::Cancelled => &mut self.cancelled,
            MessageState::Unclear => &mut self.unclear,
            MessageState::Refused { .. } => &mut self.refused,
        }
    }
}

/// Entries of the outbox by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostCounts {
    /// Certainly not sent.
    pub pending: u64,
    /// Perhaps sent.
    pub sending: u64,
    /// Delivered.
    pub delivered: u64,
    /// Failed.
    pub failed: u64,
    /// Unclear.
    pub unclear: u64,
}

impl PostCounts {
    /// Returns all of them together.
    pub fn total(&self) -> u64 {
        self.pending + self.sending + self.delivered + self.failed + self.unclear
    }

    fn of(&mut self, state: &PostState) -> &mut u64 {
        match state {
            PostState::Pending => &mut self.pending,
            PostState::Sending { .. } => &mut self.sending,
            PostState::Delivered { .. } => &mut self.delivered,
            PostState::Failed { .. } => &mut self.failed,
            PostState::Unclear { .. } => &mut self.unclear,
        }
    }
}

/// The ledger's own counters, written with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// How many commits there were.
    pub(super) commit: u64,
    /// The number of the next entry of the outbox, or of the next lost thread: what orders them,
    /// whatever the clock does.
    pub(super) next_number: u64,
    /// How much of what there is; its size on disk is not kept.
    pub(super) counts: Counts,
    /// How many runs that are over are remembered.
    #[serde(default)]
    pub(super) ended_runs: u64,
}

impl State {
    /// Takes the next number.
    pub(super) fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Counts a message from one state to another; `None` is being absent.
    pub(super) fn move_message(&mut self, from: Option<&MessageState>, to: Option<&MessageState>) {
        let counts = &mut self.counts.messages;
        if let Some(from) = from {
            *counts.of(from) = counts.of(from).saturating_sub(1);
        }
        if let Some(to) = to {
            *counts.of(to) += 1;
        }
    }

    /// Counts an entry of the outbox from one state to another; `None` is being absent.
    pub(super) fn move_post(&mut self, from: Option<&PostState>, to: Option<&PostState>) {
        let counts = &mut self.counts.outbox;
        if let Some(from) = from {
            *counts.of(from) = counts.of(from).saturating_sub(1);
        }
        if let Some(to) = to {
            *counts.of(to) += 1;
        }
    }
}
