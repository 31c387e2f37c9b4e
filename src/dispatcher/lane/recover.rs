//! A turn that was open when something broke, taken up again by what the thread itself says.

use std::io;
use std::path::PathBuf;

use super::settle::Told;
use super::work::is_rendering;
use super::*;
use crate::codex::TurnEnd;
use crate::codex::protocol::{ThreadStatus, TurnStatus};
use crate::codex::rollout::{self, RolloutSearch};
use crate::config::OnInterrupted;
use crate::dispatcher::recovery::{self, Step, Trace};
use crate::ledger::{TurnEvent as LedgerTurnEvent, TurnPhase, VoidReason, Voided};

impl Lane {
    /// Goes on with a turn that was open when something broke.
    pub(super) async fn recover(&mut self, mut open: OpenTurn) -> Result<Next, StepError> {
        let Some(attached) = &self.attached else {
            return Ok(Next::Again);
        };
        if open.approvals > 0 && self.submitted_to != Some(attached.child) {
            // Whom codex asked for it is not the child that waits for the answer now.
            let which = Voided::Turn(self.id.clone(), open.key);
            let reason = VoidReason::CodexLost;
            self.context.ledger.void_approvals(which, reason).await?;
            open = self.current(&open).await?;
        }
        let work = self.work(&open).await?;
        if !trigger::missing(&work, attached.thread.id()).is_empty() {
            // The turn begins after that, so one that runs is not ours.
            if attached.thread.opened().thread.status == ThreadStatus::Active {
                // How it is now, only loading it again tells.
                self.attached = None;
                return Err(StepError::NotNow(
                    "somebody else's turn runs on the thread".to_owned(),
                ));
            }
            if open.stop.is_some() {
                self.conclude_stopped(&open).await?;
                return Ok(Next::Again);
            }
            return self.bring_up(open, work, IsNew(false)).await;
        }
        let mut trace = self.trace(attached, &open, &work).await?;
        let same_child = !attached.is_new && self.submitted_to == Some(attached.child);
        let may_still_begin = match &trace {
            Trace::Absent => true,
            // What was sent to go on with it may be on its way.
            Trace::Turn(turn) => turn.status == TurnStatus::Interrupted,
            Trace::TextOnly | Trace::Unreadable(_) => false,
        };
        if may_still_begin && same_child {
            tokio::time::sleep(SETTLE_DOWN).await;
            trace = self.trace(attached, &open, &work).await?;
        }
        if let Trace::Turn(turn) = &trace {
            let event = LedgerTurnEvent::Delivered {
                turn: Some(turn.turn_id.clone()),
            };
            open = self.advance(&open, event).await?;
        }
        // One that runs is told to end when it is followed.
        let is_running =
            matches!(&trace, Trace::Turn(turn) if turn.status == TurnStatus::InProgress);
        if open.stop.is_some() && !is_running {
            self.end_background(attached).await;
            let has_ended =
                matches!(&trace, Trace::Turn(turn) if turn.status != TurnStatus::Interrupted);
            // One that came to its end did in time.
            if !has_ended {
                self.conclude_stopped(&open).await?;
                return Ok(Next::Again);
            }
        }
        if let Trace::Turn(turn) = &trace {
            if recovery::has_compaction(turn) {
                self.context.ledger.forget_injections(&self.id).await?;
            }
            let is_blind = work.is_trigger
                && open.continuations == 0
                && self.blinds < trigger::MAX_BLINDS
                && recovery::begins_with_compaction(turn);
            if is_blind && turn.status != TurnStatus::InProgress {
                return self.begin_again(&open).await;
            }
            self.blind = is_blind.then_some(open.key);
        }
        let policy = if work.is_trigger || self.session.is_some() {
            // There is nobody to ask.
            OnInterrupted::Continue
        } else {
            self.context.settings.config.on_interrupted
        };
        let delivered = open.phase == TurnPhase::Delivered;
        let step = recovery::next_step(trace, delivered, open.continuations, policy);
        info!(step = step.name(), turn = %open.key, "an open turn is taken up");
        // In trouble, they know already that it is kept.
        if self.first_turn && step.takes_time() && self.trouble.is_none() {
            self.tell_resumed(&work.messages).await?;
            self.first_turn = false;
        }
        match step {
            Step::Follow(id) => return self.drive(open, work, Begin::Follow(id)).await,
            Step::Continue => {
                let work = self.return_lost(&open, work).await?;
                self.remind_of_calls(&open).await?;
                let open = self.advance(&open, LedgerTurnEvent::Continued).await?;
                // No input: the history has the message, once, and what was done for it.
                let begin = Begin::Start {
                    input: Vec::new(),
                    client_id: None,
                };
                return self.drive(open, work, begin).await;
            }
            Step::Submit => {
                let open = self.advance(&open, LedgerTurnEvent::Resubmitted).await?;
                return if work.is_trigger {
                    self.bring_up(open, work, IsNew(false)).await
                } else if open.task.is_some() {
                    self.submit_task_again(open, work).await
                } else {
                    self.submit(open, work, false).await
                };
            }
            Step::Deliver(answer) => {
                self.return_lost(&open, work).await?;
                self.settle_completed(&open, Some(&answer)).await?;
            }
            Step::Conclude => self.settle_completed(&open, None).await?,
            // That it failed is why it was kept, and now it is time.
            Step::Fail(failure)
                if open.stop.is_none()
                    && self.session.is_none()
                    && (Self::is_kept(&open, &failure) || self.trouble.is_some()) =>
            {
                return self.try_again(open, work).await;
            }
            Step::Fail(failure) => return self.end(open, TurnEnd::Failed(failure)).await,
            Step::Ask => {
                let outcome = Outcome::Unclear {
                    reason: "interrupted".to_owned(),
                };
                self.settle(&open, outcome, Told::Notice(words::INTERRUPTED))
                    .await?;
            }
            Step::StopTrying => {
                let reason = format!("interrupted {} times", open.continuations + 1);
                warn!(%reason, "a turn is not tried again");
                self.settle(
                    &open,
                    Outcome::Unclear { reason },
                    Told::Notice(words::INTERRUPTED_TOO_OFTEN),
                )
                .await?;
            }
            Step::GiveUp(reason) => self.settle_unclear(&open, reason).await?,
        }
        Ok(Next::Again)
    }

    /// Tells the model what it had called before it was interrupted: the history may have the call
    /// without its result, and what was said would be said again.
    async fn remind_of_calls(&self, open: &OpenTurn) -> Result<(), StepError> {
        let calls = self.context.ledger.done_calls(&self.id, open.key).await?;
        let Some(attached) = &self.attached else {
            return Ok(());
        };
        if calls.is_empty() {
            return Ok(());
        }
        let prompt = &self.context.settings.config.prompts.interrupted;
        let reminder = words::calls_done(prompt, &calls);
        attached.tell("interrupted", &reminder).await?;
        Ok(())
    }

    /// Asks the thread what became of an open turn.
    async fn trace(
        &self,
        attached: &Attached,
        open: &OpenTurn,
        work: &Work,
    ) -> Result<Trace, StepError> {
        if attached.is_new {
            return Ok(Trace::Absent);
        }
        let thread = &attached.thread;
        let client = thread.client();
        let newest = match client.newest_turn(thread.id()).await {
            Ok(newest) => newest,
            Err(failure) if failure.refusal() == Some(Refusal::NoRollout) => None,
            Err(failure) => return Err(failure.into()),
        };
        // Turns up to the one that was settled last are not ours; what follows is.
        let Some(newest) = newest.filter(|turn| Some(&turn.id) != open.after.as_ref()) else {
            return self.search(attached, open, work, Trace::TextOnly).await;
        };
        let Some(newest) = client.turn(thread.id(), &newest.id).await? else {
            return Err(StepError::NotNow(
                "the newest turn of the thread is gone".to_owned(),
            ));
        };
        let is_running = newest.status == TurnStatus::InProgress;
        let id = newest.turn_id.clone();
        let is_known = client
            .find_message(thread.id(), &open.key.to_string())
            .await?
            .is_some();
        let trace = Trace::Turn(newest);
        if is_known {
            return Ok(trace);
        }
        // A turn was begun; it is ours and to be gone on with if it got as far as the text.
        let found = self.search(attached, open, work, trace).await?;
        if is_running && matches!(found, Trace::Absent) {
            // Somebody else's, or ours a moment before it has the text: neither is to be added to.
            return Err(StepError::NotNow(format!("turn {id} runs on the thread")));
        }
        Ok(found)
    }

    /// Looks in the rollout for what the turn was begun with; there, `found` holds.
    async fn search(
        &self,
        attached: &Attached,
        open: &OpenTurn,
        work: &Work,
        found: Trace,
    ) -> Result<Trace, StepError> {
        let searched = match &work.request {
            Some(request) => {
                let marks = request.marks();
                let is_there = |texts: &[&str]| marks.are_in(texts);
                match self.rollout(attached).await {
                    Ok(Some(path)) => {
                        rollout::search_after(&path, open.after.as_ref(), is_there).await
                    }
                    Ok(None) => RolloutSearch::NoFile,
                    Err(failure) => RolloutSearch::Unreadable(failure),
                }
            }
            None => {
                let is_there = |text: &str| work.is_in(text, open.key);
                self.search_rollout(attached, is_there).await
            }
        };
        Ok(match searched {
            RolloutSearch::Found => found,
            RolloutSearch::Absent | RolloutSearch::NoFile => Trace::Absent,
            RolloutSearch::Unreadable(failure) => {
                Trace::Unreadable(format!("the rollout cannot be read: {failure}"))
            }
        })
    }

    async fn search_rollout(
        &self,
        attached: &Attached,
        predicate: impl Fn(&str) -> bool,
    ) -> RolloutSearch {
        match self.rollout(attached).await {
            Ok(Some(path)) => rollout::search(&path, Role::User, predicate).await,
            Ok(None) => RolloutSearch::NoFile,
            Err(failure) => RolloutSearch::Unreadable(failure),
        }
    }

    /// Returns where the rollout of the thread is.
    pub(super) async fn rollout(&self, attached: &Attached) -> io::Result<Option<PathBuf>> {
        match attached.thread.rollout_path() {
            Some(path) => Ok(Some(path.to_owned())),
            None => {
                let home = &self.context.settings.launch.home;
                rollout::locate(home, attached.thread.id()).await
            }
        }
    }

    /// Puts steered messages that the thread does not have back to the head of the queue. Returns
    /// those that it has.
    pub(super) async fn return_lost(
        &self,
        open: &OpenTurn,
        mut work: Work,
    ) -> Result<Work, StepError> {
        let Some(attached) = &self.attached else {
            return Ok(work);
        };
        let mut lost = Vec::new();
        let began_with = usize::from(!work.is_trigger && work.task.is_none());
        for message in work.messages.iter().skip(began_with) {
            let is_there = |text: &str| is_rendering(text, message);
            if let RolloutSearch::Absent = self.search_rollout(attached, is_there).await {
                lost.push(message.id);
            }
        }
        work.messages.retain(|message| !lost.contains(&message.id));
        if !lost.is_empty() {
            info!(
                count = lost.len(),
                "messages that had joined the turn wait again"
            );
            self.context
                .ledger
                .leave_turn(&self.id, open.key, lost)
                .await?;
        }
        Ok(work)
    }

    async fn tell_resumed(&self, messages: &[MessageRecord]) -> Result<(), StepError> {
        if let Some(last) = messages.last() {
            let to = &last.message.conversation;
            let post = self.context.notice(&last.channel, to, words::RESUMED);
            self.context.ledger.enqueue(vec![post]).await?;
        }
        Ok(())
    }
}
