//! What a turn leads to: its messages settled and their people told, in one commit.

use tieline_channel::{PostKind, Status, Text};

use super::tell::Settled;
use super::*;
use crate::codex::Failure;
use crate::ledger::Return;

/// What people are told at the end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    /// Codex's own words.
    Answer(&'a str),
    /// Ours, in the language of their channel.
    Notice(Text),
    /// Ours, in that language already.
    Words(&'a str),
    /// There is nothing to say.
    Nothing,
}

impl Lane {
    pub(super) async fn settle_failed(
        &self,
        open: &OpenTurn,
        failure: &Failure,
    ) -> Result<(), StepError> {
        warn!(kind = failure.kind.as_str(), reason = %failure.message, "the turn failed");
        let outcome = Outcome::Failed {
            kind: failure.kind,
            message: failure.message.clone(),
        };
        let words = Told::Notice(words::failure(failure.kind));
        self.settle(open, outcome, words).await
    }

    /// Ends a turn that has run to its end, with what the model wrote last, if it wrote anything.
    ///
    /// Where only what it sends by a tool is posted, that is what people have; a turn that said
    /// nothing to those who wrote does not end in silence.
    pub(super) async fn settle_completed(
        &self,
        open_before: &OpenTurn,
        answer: Option<&str>,
    ) -> Result<(), StepError> {
        let record = self.context.ledger.lane(&self.id).await?;
        // What it was told, for it cannot know what the configuration says by now.
        let only_tools = record
            .as_ref()
            .is_some_and(|record| record.reach.only_tools);
        let open = record.and_then(|record| record.open);
        let open = open.as_ref().unwrap_or(open_before);
        match answer.filter(|text| !text.trim().is_empty()) {
            Some(answer) if !only_tools => {
                let told = Told::Answer(answer);
                self.settle(open, Outcome::Answered, told).await
            }
            Some(_) | None if open.said > 0 || open.messages.is_empty() => {
                self.settle(open, Outcome::Answered, Told::Nothing).await
            }
            None if open.completions.is_empty() => {
                self.settle_failed(open, &Failure::no_answer()).await
            }
            Some(_) | None => {
                info!("the turn has ended, and the model has sent nothing to people");
                let told = Told::Notice(words::NOTHING_SENT);
                self.settle(open, Outcome::Answered, told).await
            }
        }
    }

    /// Ends a turn of which nobody can say what became of it.
    pub(super) async fn settle_unclear(
        &self,
        open: &OpenTurn,
        reason: String,
    ) -> Result<(), StepError> {
        warn!(%reason, "it cannot be told what became of a message");
        let words = if open.completions.is_empty() {
            words::UNCLEAR
        } else {
            words::COMPLETION_UNCLEAR
        };
        self.settle(open, Outcome::Unclear { reason }, Told::Notice(words))
            .await
    }

    /// Returns a turn as it is now: messages may have joined it.
    pub(super) async fn current(&self, open: &OpenTurn) -> Result<OpenTurn, StepError> {
        let record = self.context.ledger.lane(&self.id).await?;
        let current = record.and_then(|record| record.open);
        Ok(current.unwrap_or_else(|| open.clone()))
    }

    /// Ends the open turn: its messages, and what their people are told, in one commit. Completions
    /// that it did not deal with go on waiting, for a while.
    pub(super) async fn settle(
        &self,
        open: &OpenTurn,
        outcome: Outcome,
        told: Told<'_>,
    ) -> Result<(), StepError> {
        if open.completions.is_empty() {
            return self.conclude(open, outcome, told).await;
        }
        match &outcome {
            Outcome::Answered | Outcome::Unclear { .. } => self.conclude(open, outcome, told).await,
            Outcome::Cancelled => self.give_back(open, outcome, told, Return::default()).await,
            Outcome::Failed { kind, .. } => match self.hold(trigger::counts(*kind)).await? {
                Some(hold) => {
                    let back = Return {
                        hold: Some(hold),
                        ..Return::default()
                    };
                    self.give_back(open, outcome, told, back).await
                }
                None => {
                    let told = Told::Notice(words::COMPLETION_FAILED);
                    self.conclude(open, outcome, told).await
                }
            },
        }
    }

    /// Ends the open turn, for good.
    pub(super) async fn conclude(
        &self,
        open: &OpenTurn,
        outcome: Outcome,
        told: Told<'_>,
    ) -> Result<(), StepError> {
        self.close(open, outcome, told, None).await
    }

    /// Ends the open turn, and what it was to bring up as well, or gives that back.
    pub(super) async fn close(
        &self,
        open: &OpenTurn,
        outcome: Outcome,
        told: Told<'_>,
        back: Option<Return>,
    ) -> Result<(), StepError> {
        let open = &self.current(open).await?;
        let work = self.work(open).await?;
        // What somebody has stopped is over, however it came to its end.
        let (outcome, back) = match (&open.stop, outcome) {
            (Some(_), Outcome::Failed { .. }) => (Outcome::Cancelled, None),
            (Some(_), outcome) => (outcome, None),
            (None, outcome) => (outcome, back),
        };
        let (ledger, lane, key) = (&self.context.ledger, &self.id, open.key);
        let status = status_of(&outcome);
        let is_given_back = back.is_some();
        let ended = outcome.clone();
        let report = match back {
            None => self.report(&work, &outcome, told),
            Some(_) => None,
        };
        let posts = match back {
            _ if let Some(teammate) = &self.teammate => self
                .announcement(teammate, &work, open, &outcome)
                .await?
                .into_iter()
                .collect(),
            // It is looked up.
            _ if self.session.is_some() => Vec::new(),
            // It goes on by itself, and nobody has written.
            Some(_) if work.messages.is_empty() => Vec::new(),
            Some(_) | None => self.posts(&work, &outcome, told),
        };
        match (back, report) {
            (Some(back), _) => {
                ledger.return_turn(lane, key, outcome, back, posts).await?;
            }
            (None, Some(report)) => {
                let told = ledger.settle_work(lane, key, outcome, report, posts);
                if let Some(asker) = told.await? {
                    self.context.wakes.add(asker);
                }
            }
            (None, None) => {
                ledger.settle_turn(lane, key, outcome, posts).await?;
            }
        }
        let settled = Settled {
            outcome: &ended,
            is_given_back,
        };
        self.tell_settled(open, &work, &settled);
        self.context.changes.tell();
        self.show(&work.messages, &status);
        Ok(())
    }

    /// Makes the posts that say how a turn ended, to those who hear of it.
    pub(super) fn posts(&self, work: &Work, outcome: &Outcome, told: Told<'_>) -> Vec<NewPost> {
        let Some(origin) = &work.origin else {
            info!("nobody is there to hear how a turn ended");
            return Vec::new();
        };
        let language = self.context.language(&origin.channel);
        let line = self.context.lines.get(&origin.channel);
        let reply = outbox::Reply {
            channel: origin.channel.clone(),
            to: origin.conversation.clone(),
            reply_to: work.messages.last().map(|last| last.message.id.clone()),
            settles: work
                .messages
                .iter()
                .map(|message| message.message.id.clone())
                .collect(),
            kind: match outcome {
                Outcome::Answered if matches!(told, Told::Notice(_)) => PostKind::Notice,
                Outcome::Answered => PostKind::Answer,
                Outcome::Cancelled => PostKind::Notice,
                Outcome::Failed { .. } | Outcome::Unclear { .. } => PostKind::Failure,
            },
            language,
        };
        let capabilities = line.map(Line::capabilities);
        match told {
            Told::Answer(text) | Told::Words(text) => outbox::compose(&reply, text, capabilities),
            Told::Notice(text) => outbox::compose(&reply, text.within(language), capabilities),
            Told::Nothing
                if capabilities.is_some_and(|it| it.settles) && !work.messages.is_empty() =>
            {
                vec![outbox::settling(&reply)]
            }
            Told::Nothing => Vec::new(),
        }
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

/// Returns what is shown on the messages of a turn that ended so.
fn status_of(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Answered => Status::Done,
        Outcome::Cancelled | Outcome::Failed { .. } | Outcome::Unclear { .. } => Status::Failed,
    }
}
