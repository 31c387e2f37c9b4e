//! What is different on the lane of a teammate: its thread is set up for it alone, its input are
//! tasks, and how a turn ended is reported to whoever asked instead of being posted.

use tokio::sync::OwnedSemaphorePermit;

use super::settle::Told;
use super::work::Work;
use super::*;
use crate::codex::protocol::ThreadSettings;
use crate::config::Sandbox;
use crate::dispatcher::sandbox_mode;
use crate::ledger::{Asker, CompletionStatus, TaskReport, TeammateRecord, Workspace, WorktreeFate};
use crate::teammates::worktree::{self, Left};
use crate::teammates::worktree_of;

/// How soon it is tried again to remove a worktree for which git has an error.
const LEAVE_AGAIN: Duration = Duration::from_secs(60);

/// How often that is tried.
const LEAVE_TRIES: u32 = 3;

impl Lane {
    /// Waits for a place among the teammates that work; `None` when the lane is told to stop first.
    pub(super) async fn place_to_work(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.context.turns).acquire_owned();
        // It is never closed.
        self.drain.run_until_cancelled(place).await?.ok()
    }

    /// Returns how the lane's thread is set up, given in full at each start and resume.
    pub(super) async fn thread_settings(&self) -> Result<ThreadSettings, StepError> {
        let settings = &self.context.settings;
        let Some(teammate) = &self.teammate else {
            return Ok(settings.thread.clone());
        };
        let own = self.context.ledger.instructions(teammate.id).await?;
        let mut instructions = vec![
            settings.config.prompts.teammate.clone(),
            about(teammate, &settings.config.workspace),
        ];
        instructions.extend(settings.config.instructions.clone());
        instructions.extend(own);
        Ok(ThreadSettings {
            cwd: Some(self.directory_of(teammate)),
            model: teammate.model.clone().or(settings.thread.model.clone()),
            sandbox: match teammate.sandbox.as_deref().and_then(Sandbox::named) {
                // The configuration may have become narrower since.
                Some(own) if !own.is_wider_than(settings.config.sandbox) => Some(sandbox_mode(own)),
                Some(_) | None => settings.thread.sandbox,
            },
            developer_instructions: Some(instructions.join("\n\n")),
            ..settings.thread.clone()
        })
    }

    fn directory_of(&self, teammate: &TeammateRecord) -> PathBuf {
        match (&teammate.workspace, worktree_of(&teammate.workspace)) {
            (_, Some((worktree, _))) => worktree.cwd(),
            (Workspace::Directory { path }, None) => path.clone(),
            (_, None) => self.context.settings.config.workspace.clone(),
        }
    }

    /// Sees to it that the place is there where the lane's commands run. Says what is wrong with it
    /// otherwise.
    pub(super) async fn workspace_problem(&self) -> Option<String> {
        let teammate = self.teammate.as_ref()?;
        if let Some((worktree, _)) = worktree_of(&teammate.workspace)
            && let Err(failure) = worktree::make(&worktree).await
        {
            warn!(error = &failure as &dyn Error, "there is no worktree");
            return Some(WithCauses(&failure).to_string());
        }
        // Codex takes any path, and every command fails.
        let directory = self.directory_of(teammate);
        match tokio::fs::metadata(&directory).await {
            Ok(about) if about.is_dir() => None,
            Ok(_) => Some(format!("{} is not a directory", directory.display())),
            Err(failure) => Some(format!("{}: {failure}", directory.display())),
        }
    }

    /// Ends the task that waits next as failed, before codex has seen anything of it.
    pub(super) async fn fail_task(&self, kind: &str, reason: String) -> Result<(), StepError> {
        let key = TurnKey::new();
        let Some(open) = self.context.ledger.open_task(&self.id, key).await? else {
            return Ok(());
        };
        let outcome = Outcome::Failed {
            kind: kind.to_owned(),
            message: reason,
        };
        self.conclude(&open, outcome, Told::Nothing).await
    }

    /// Takes the task that has waited longest into a new turn.
    pub(super) async fn take_task(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let key = TurnKey::new();
        let Some(open) = self.context.ledger.open_task(&self.id, key).await? else {
            return Ok(Next::Again);
        };
        let begins_anew = !record.lost.is_empty() && !record.had_turn;
        let work = self.work(&open).await?;
        self.submit_task(open, work, begins_anew).await
    }

    /// Gives codex the task of a turn.
    pub(super) async fn submit_task(
        &mut self,
        open: OpenTurn,
        work: Work,
        begins_anew: bool,
    ) -> Result<Next, StepError> {
        let Some(task) = &work.task else {
            let reason = "the ledger has lost what was to be done".to_owned();
            self.settle_unclear(&open, reason).await?;
            return Ok(Next::Again);
        };
        let text = match self.context.ledger.task_text(task.id).await {
            Ok(text) => text,
            Err(failure @ LedgerError::Damaged { .. }) => {
                error!(task = %task.id, error = %failure, "a task is lost");
                self.settle_unclear(&open, failure.to_string()).await?;
                return Ok(Next::Again);
            }
            Err(failure) => return Err(failure.into()),
        };
        let notice = begins_anew.then(|| self.lost_notice());
        let task = envelope::render_task(task, &self.context.settings.id, &text);
        let input: Vec<String> = notice.into_iter().chain([task]).collect();
        let input = vec![UserInput::text(input.join("\n"))];
        let client_id = Some(open.key.to_string());
        self.drive(open, work, Begin::Start { input, client_id })
            .await
    }

    /// Returns who hears of what the open turn comes to, and what; nothing when there is nothing to
    /// say.
    pub(super) fn report(
        &self,
        work: &Work,
        outcome: &Outcome,
        told: Told<'_>,
    ) -> Option<TaskReport> {
        self.teammate.as_ref()?;
        let (status, body) = match (outcome, told) {
            (Outcome::Answered, Told::Answer(text)) => (CompletionStatus::Ok, text.to_owned()),
            // Woken by results, it had nothing to say about them.
            (Outcome::Answered, _) if work.task.is_none() => return None,
            (Outcome::Answered, _) => (
                CompletionStatus::Ok,
                "It has ended its turn without a word. Look at what it has done, or ask it."
                    .to_owned(),
            ),
            (Outcome::Failed { kind, message }, _) => (
                CompletionStatus::Failed,
                format!("It could not be finished ({kind}): {message}"),
            ),
            (Outcome::Unclear { reason }, _) => (
                CompletionStatus::Failed,
                format!(
                    "It was cut off, and how far it came is not known ({reason}). Have it look at what \
                     is done before it does anything again."
                ),
            ),
            (Outcome::Cancelled, _) => (CompletionStatus::Stopped, "It was stopped.".to_owned()),
        };
        Some(TaskReport { status, body })
    }

    /// Makes the post that tells a chat how a task ended that was handed out there.
    pub(super) async fn announcement(
        &self,
        teammate: &TeammateRecord,
        work: &Work,
        open: &OpenTurn,
        outcome: &Outcome,
    ) -> Result<Option<NewPost>, StepError> {
        let Some(task) = &work.task else {
            return Ok(None);
        };
        let stopped_by = open.stop.as_ref().and_then(|stop| stop.by.as_ref());
        let is_asked_for = stopped_by == Some(&task.asker.lane);
        if !self.context.settings.config.teammates.announce || is_asked_for {
            return Ok(None);
        }
        let took = SystemTime::now().duration_since(open.opened_at);
        let took = took.unwrap_or_default();
        let say = |language| words::teammate_done(&teammate.name, outcome, took, language);
        self.tell_people(&task.asker, say).await
    }

    /// Makes the post that tells those for whom somebody has asked.
    pub(super) async fn tell_people(
        &self,
        asker: &Asker,
        say: impl FnOnce(Language) -> String,
    ) -> Result<Option<NewPost>, StepError> {
        let origin = match &asker.origin {
            Some(origin) => Some(origin.clone()),
            None => {
                let lane = self.context.ledger.lane(&asker.lane).await?;
                lane.and_then(|lane| lane.last_from)
            }
        };
        Ok(origin.map(|origin| {
            let text = say(self.context.language(&origin.channel));
            outbox::notice(&origin.channel, &origin.conversation, &text)
        }))
    }

    /// Ends what runs in the background of a thread whose turn was stopped: that is part of the work.
    pub(super) async fn end_background(&self, attached: &Attached) {
        if let Err(failure) = attached.thread.end_background().await {
            info!(
                error = &failure as &dyn Error,
                "commands of the turn that was stopped may go on"
            );
        }
    }

    /// Puts away what a teammate leaves behind that was closed. `false` when that is to be tried again.
    pub(super) async fn leave(&mut self, teammate: &TeammateRecord) -> Result<bool, StepError> {
        // Codex keeps no thread loaded for somebody who has left.
        if let Some(attached) = self.attached.take()
            && let Err(failure) = attached.thread.unsubscribe().await
        {
            debug!(error = &failure as &dyn Error, "the thread was not let go");
        }
        let Some((worktree, wanted @ WorktreeFate::Leaving { force })) =
            worktree_of(&teammate.workspace)
        else {
            return Ok(true);
        };
        let fate = match worktree::leave(&worktree, *force).await {
            Ok(Left::Removed | Left::Gone) => WorktreeFate::Removed,
            Ok(Left::Kept { reason }) => WorktreeFate::Kept { reason },
            Err(failure) => {
                self.leaving += 1;
                warn!(
                    error = &failure as &dyn Error,
                    attempt = self.leaving,
                    "a worktree cannot be removed"
                );
                if self.leaving < LEAVE_TRIES {
                    return Ok(false);
                }
                let reason = WithCauses(&failure).to_string();
                WorktreeFate::Kept { reason }
            }
        };
        info!(?fate, path = %worktree.path.display(), "the worktree of a closed teammate");
        let ledger = &self.context.ledger;
        ledger
            .worktree_left(teammate.id, wanted.clone(), fate)
            .await?;
        Ok(true)
    }

    /// Waits until it is worth trying again to put things away.
    pub(super) async fn leave_later(&self) -> Next {
        tokio::select! {
            () = tokio::time::sleep(LEAVE_AGAIN) => Next::Again,
            () = self.wake.notified() => Next::Again,
            () = self.drain.cancelled() => Next::End,
        }
    }
}

/// Returns what a teammate is told about itself.
fn about(teammate: &TeammateRecord, dispatcher: &Path) -> String {
    let name = &teammate.name;
    let place = match &teammate.workspace {
        Workspace::Shared => {
            "You work in the same directory as the agent that you work for, and perhaps as other \
             teammates: change only what your task is about."
                .to_owned()
        }
        Workspace::Directory { path } => format!("You work in {}.", path.display()),
        Workspace::Worktree { branch, .. } => format!(
            "You work in a git worktree of your own, on the branch `{branch}`; the agent that you work \
             for works in {}.",
            dispatcher.display()
        ),
    };
    format!("Your name is `{name}`. {place}")
}
