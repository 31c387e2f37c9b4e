//! What a turn leads to: its messages settled and their people told, in one commit.

use tieline_channel::{PostKind, Status, Text};

use super::*;
use crate::codex::Failure;
use crate::ledger::NewPost;

/// What people are told at the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    /// Codex's own words.
    Answer(&'a str),
    /// Ours, in the language of their channel.
    Notice(Text),
}

impl Lane {
    pub(super) async fn settle_failed(
        &self,
        open: &OpenTurn,
        failure: &Failure,
    ) -> Result<(), StepError> {
        warn!(kind = failure.kind.as_str(), reason = %failure.message, "the turn failed");
        let outcome = Outcome::Failed {
            kind: failure.kind.as_str().to_owned(),
            message: failure.message.clone(),
        };
        let words = Told::Notice(words::failure(failure.kind));
        self.settle(open, outcome, words).await
    }

    /// Ends a turn of which nobody can say what became of it.
    pub(super) async fn settle_unclear(
        &self,
        open: &OpenTurn,
        reason: String,
    ) -> Result<(), StepError> {
        warn!(%reason, "it cannot be told what became of a message");
        let words = Told::Notice(words::UNCLEAR);
        self.settle(open, Outcome::Unclear { reason }, words).await
    }

    /// Returns a turn as it is now: messages may have joined it.
    pub(super) async fn current(&self, open: &OpenTurn) -> Result<OpenTurn, StepError> {
        let record = self.context.ledger.lane(&self.id).await?;
        let current = record.and_then(|record| record.open);
        Ok(current.unwrap_or_else(|| open.clone()))
    }

    /// Ends the open turn: its messages, and what their people are told, in one commit.
    pub(super) async fn settle(
        &self,
        open: &OpenTurn,
        outcome: Outcome,
        words: Told<'_>,
    ) -> Result<(), StepError> {
        let ledger = &self.context.ledger;
        let messages = self.messages(&self.current(open).await?).await?;
        let (kind, status) = match &outcome {
            Outcome::Answered => (PostKind::Answer, Status::Done),
            Outcome::Cancelled => (PostKind::Notice, Status::Failed),
            Outcome::Failed { .. } | Outcome::Unclear { .. } => (PostKind::Failure, Status::Failed),
        };
        let posts = self.reply(&messages, kind, words);
        ledger
            .settle_turn(&self.id, open.key, outcome, posts)
            .await?;
        self.show(&messages, &status);
        Ok(())
    }

    /// Makes the posts that answer these messages, all of one conversation.
    pub(super) fn reply(
        &self,
        messages: &[MessageRecord],
        kind: PostKind,
        words: Told<'_>,
    ) -> Vec<NewPost> {
        let Some(last) = messages.last() else {
            return Vec::new();
        };
        let language = self.context.language(&last.channel);
        let text = match words {
            Told::Answer(text) => text,
            Told::Notice(text) => text.within(language),
        };
        let reply = outbox::Reply {
            channel: last.channel.clone(),
            to: last.message.conversation.clone(),
            reply_to: last.message.id.clone(),
            settles: messages
                .iter()
                .map(|message| message.message.id.clone())
                .collect(),
            kind,
            language,
        };
        let capabilities = self
            .context
            .lines
            .get(&last.channel)
            .map(Line::capabilities);
        outbox::compose(&reply, text, capabilities)
    }

    pub(super) async fn messages(&self, open: &OpenTurn) -> Result<Vec<MessageRecord>, StepError> {
        let mut messages = Vec::with_capacity(open.messages.len());
        for id in &open.messages {
            match self.context.ledger.message(*id).await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => warn!(message = %id, "an open turn names a message that is gone"),
                // The rest of the turn does not wait for a text that the disk has lost.
                Err(failure @ LedgerError::Damaged { .. }) => {
                    warn!(message = %id, error = %failure, "a message of an open turn is damaged");
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(messages)
    }

    /// Shows how far messages are; best effort, and never waited for.
    pub(super) fn show(&self, messages: &[MessageRecord], status: &Status) {
        let shown = match status {
            // One sign of work for all of them.
            Status::Working { .. } => messages
                .last()
                .map(std::slice::from_ref)
                .unwrap_or_default(),
            Status::Received | Status::Done | Status::Failed => messages,
        };
        for message in shown {
            self.context.board.show(
                &message.channel,
                message.message.conversation.clone(),
                message.message.id.clone(),
                status.clone(),
            );
        }
    }
}
