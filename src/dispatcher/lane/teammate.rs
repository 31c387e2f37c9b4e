//! What is different on the lane of a teammate: its thread is set up for it alone, its input are
//! tasks, and how a turn ended is reported to whoever asked instead of being posted.

use tokio::sync::OwnedSemaphorePermit;

use super::settle::Told;
use super::work::Work;
use super::*;
use crate::codex::protocol::ThreadSettings;
use crate::config::Sandbox;
use crate::dispatcher::sandbox_mode;
use crate::failure::FailureKind;
use crate::id::TeammateId;
use crate::ledger::{Asker, CompletionStatus, TaskReport, TeammateRecord, Workspace, WorktreeFate};
use crate::teammates::worktree::{self, Left};
use crate::teammates::worktree_of;

/// How soon it is tried again to remove a worktree for which git has an error.
const LEAVE_AGAIN: Duration = Duration::from_secs(60);

/// How often that is tried.
const LEAVE_TRIES: u32 = 3;

/// What stands in place of instructions that the disk has lost.
const INSTRUCTIONS_LOST: &str = "What you were told beside your tasks is damaged on the disk of this machine. \
                                 Say in your report that you do not know it.";

/// Where a teammate stands at the beginning of a step.
pub(super) enum Standing {
    /// There is work, and it may do it.
    Works(Box<LaneRecord>),
    /// There was none, and the step is over.
    Rests(Next),
}

impl Lane {
    /// Sees where a teammate stands: one that has work waits for a place among those that work.
    pub(super) async fn stand(
        &mut self,
        id: TeammateId,
        record: LaneRecord,
    ) -> Result<Standing, StepError> {
        self.teammate = self.context.ledger.teammate(id).await?;
        if record.open.is_some() {
            // Its turn may be running: it takes a place, but never waits for one.
            if self.place.is_none() {
                let place = Arc::clone(&self.context.turns).try_acquire_owned();
                self.place = place.ok();
            }
            return Ok(Standing::Works(Box::new(record)));
        }
        // Whoever waits comes first.
        self.place = None;
        if let Some(teammate) = self.teammate.clone()
            && teammate.closed_at.is_some()
        {
            let has_left = self.leave(&teammate).await?;
            let next = if has_left {
                Next::End
            } else {
                self.leave_later().await
            };
            return Ok(Standing::Rests(next));
        }
        if !Self::has_work(&record) {
            return Ok(Standing::Rests(self.rest(&record).await?));
        }
        let Some(place) = self.place_to_work().await else {
            return Ok(Standing::Rests(Next::End));
        };
        // That may have taken long.
        let record = self.context.ledger.lane(&self.id).await?;
        Ok(match record {
            Some(record) if Self::has_work(&record) => {
                self.place = Some(place);
                Standing::Works(Box::new(record))
            }
            Some(_) => Standing::Rests(Next::Again),
            None => Standing::Rests(Next::End),
        })
    }

    /// Returns whether a turn that is to end is one that codex does not let us come near, and that
    /// cannot be running in this child.
    pub(super) fn is_out_of_reach(
        &self,
        record: &LaneRecord,
        session: &Session,
        failure: &CallError,
    ) -> bool {
        let is_to_end = record.open.as_ref().is_some_and(|open| open.stop.is_some());
        is_to_end && failure.refusal().is_some() && self.submitted_to != Some(session.child)
    }

    /// Waits for a place among the teammates that work; `None` when the lane is told to stop first.
    async fn place_to_work(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.context.turns).acquire_owned();
        // It is never closed.
        self.drain.run_until_cancelled(place).await?.ok()
    }

    /// Returns how the lane's thread is set up, given in full at each start and resume.
    pub(super) async fn thread_settings(&self) -> Result<ThreadSettings, StepError> {
        let settings = &self.context.settings;
        if let Some(session) = &self.session {
            return Ok(self.session_settings(session));
        }
        let Some(teammate) = &self.teammate else {
            return Ok(ThreadSettings {
                model: self.model().or(settings.thread.model.clone()),
                ..settings.thread.clone()
            });
        };
        let own = match self.context.ledger.instructions(teammate.id).await {
            Err(failure @ LedgerError::Damaged { .. }) => {
                error!(error = %failure, "the instructions of a teammate are lost");
                Some(INSTRUCTIONS_LOST.to_owned())
            }
            own => own?,
        };
        let sandbox = self.sandbox_of(teammate);
        let mut instructions = vec![
            settings.config.prompts.teammate.clone(),
            about(teammate, sandbox, &settings.config.workspace),
        ];
        instructions.extend(settings.config.instructions.clone());
        instructions.extend(own);
        Ok(ThreadSettings {
            cwd: Some(match (&teammate.workspace, sandbox) {
                // It is also what its commands may write to, looked up anew for each of them: in the
                // place of a directory that others may write to, there may be a way out by then.
                (Workspace::Directory { .. }, Sandbox::WorkspaceWrite) => {
                    settings.config.workspace.clone()
                }
                _ => self.directory_of(teammate),
            }),
            model: teammate.model.clone().or(settings.thread.model.clone()),
            sandbox: Some(sandbox_mode(sandbox)),
            developer_instructions: Some(instructions.join("\n\n")),
            ..settings.thread.clone()
        })
    }

    /// Returns what its commands may do: the configuration may have become narrower since it joined.
    fn sandbox_of(&self, teammate: &TeammateRecord) -> Sandbox {
        let allowed = self.context.settings.config.sandbox;
        let own = teammate.sandbox.as_deref().and_then(Sandbox::named);
        own.filter(|own| !own.is_wider_than(allowed))
            .unwrap_or(allowed)
    }

    /// Returns where its work lies.
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
        if let Some(session) = &self.session {
            return self.session_problem(session, None).await;
        }
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
    pub(super) async fn fail_task(&self, outcome: Outcome) -> Result<(), StepError> {
        let key = TurnKey::new();
        let Some(open) = self.context.ledger.open_task(&self.id, key).await? else {
            return Ok(());
        };
        self.conclude(&open, outcome, Told::Nothing).await
    }

    /// Takes the task that has waited longest into a new turn.
    pub(super) async fn take_task(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let key = TurnKey::new();
        let Some(open) = self.context.ledger.open_task(&self.id, key).await? else {
            return Ok(Next::Again);
        };
        self.tell_opened(&open);
        let begins_anew = record.has_forgotten();
        let work = self.work(&open).await?;
        self.submit_task(open, work, begins_anew).await
    }

    /// Gives codex the task of a turn once more, of which it has nothing.
    pub(super) async fn submit_task_again(
        &mut self,
        open: OpenTurn,
        work: Work,
    ) -> Result<Next, StepError> {
        if let Some(reason) = self.workspace_problem().await {
            self.conclude(&open, no_workspace(reason), Told::Nothing)
                .await?;
            return Ok(Next::Again);
        }
        self.submit_task(open, work, false).await
    }

    /// Gives codex the task of a turn.
    pub(super) async fn submit_task(
        &mut self,
        open: OpenTurn,
        work: Work,
        begins_anew: bool,
    ) -> Result<Next, StepError> {
        if self.session.is_some() {
            return self.submit_turn(open, work).await;
        }
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
        if self.session.is_some() {
            return Some(session::result(outcome, told));
        }
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
        let Some(asker) = work.task.as_ref().and_then(|task| task.asker.as_ref()) else {
            return Ok(None);
        };
        // Conversations may share a lane: whoever has asked in another one has not stopped it.
        let is_asked_for = open.stop.as_ref().is_some_and(|stop| {
            stop.by.as_ref() == Some(&asker.lane) && stop.origin == asker.origin
        });
        if !self.context.settings.config.teammates.announce || is_asked_for {
            return Ok(None);
        }
        let took = SystemTime::now().duration_since(open.opened_at);
        let took = took.unwrap_or_default();
        let say = |language| words::teammate_done(&teammate.name, outcome, took, language);
        Ok(self.tell_people(asker, say).await?)
    }

    /// Makes the post that tells those for whom somebody has asked.
    pub(super) async fn tell_people(
        &self,
        asker: &Asker,
        say: impl FnOnce(Language) -> String,
    ) -> Result<Option<NewPost>, LedgerError> {
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
        // Codex keeps no thread loaded for somebody who has left, and runs nothing for it.
        if let Some(attached) = self.attached.take() {
            self.end_background(&attached).await;
            if let Err(failure) = attached.thread.unsubscribe().await {
                debug!(error = &failure as &dyn Error, "the thread was not let go");
            }
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

/// Returns how a task ends that there is no place for.
pub(super) fn no_workspace(reason: String) -> Outcome {
    Outcome::Failed {
        kind: FailureKind::Workspace,
        message: reason,
    }
}

/// Returns what a teammate is told about itself.
fn about(teammate: &TeammateRecord, sandbox: Sandbox, dispatcher: &Path) -> String {
    let name = &teammate.name;
    let dispatcher = dispatcher.display();
    let place = match (&teammate.workspace, sandbox) {
        (Workspace::Shared, _) => {
            "You work in the same directory as the agent that you work for, and perhaps as other \
             teammates: change only what your task is about."
                .to_owned()
        }
        (Workspace::Directory { path }, Sandbox::WorkspaceWrite) => format!(
            "You work in {path}. Your commands begin in {dispatcher}, the directory of the agent that you \
             work for: go to yours first, and change nothing outside of it.",
            path = path.display()
        ),
        (Workspace::Directory { path }, Sandbox::ReadOnly | Sandbox::DangerFullAccess) => {
            format!("You work in {}.", path.display())
        }
        (Workspace::Worktree { branch, .. }, sandbox) => format!(
            "You work in a git worktree of your own, on the branch `{branch}`; the agent that you work \
             for works in {dispatcher}. {}",
            match sandbox {
                Sandbox::DangerFullAccess => "Commit what you have done to your branch.",
                Sandbox::WorkspaceWrite =>
                    "The sandbox lets nobody commit there: leave your changes uncommitted, say in your \
                     report that they are, and name the files. The agent that you work for takes them over.",
                Sandbox::ReadOnly => "The sandbox lets you change nothing: report what you find.",
            }
        ),
    };
    format!("Your name is `{name}`. {place}")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::id::{DispatcherId, TeammateId};

    #[test]
    fn a_teammate_is_told_where_it_works_and_whether_it_can_commit() {
        let path = PathBuf::from("/code/docs");
        let worktree = Workspace::Worktree {
            repository: PathBuf::from("/code"),
            path: PathBuf::from("/state/worktrees/flow/a"),
            branch: "tieline/a".to_owned(),
            inside: PathBuf::new(),
            fate: WorktreeFate::InUse,
        };
        let directory = Workspace::Directory { path };
        let told = |workspace: &Workspace, sandbox| {
            let teammate = TeammateRecord {
                id: TeammateId::new(),
                dispatcher: DispatcherId::new("flow"),
                name: "a".to_owned(),
                lane: LaneId::new("flow/@a"),
                workspace: workspace.clone(),
                model: None,
                sandbox: None,
                results: 0,
                asker: Asker {
                    lane: LaneId::new("flow"),
                    origin: None,
                },
                joined_at: SystemTime::UNIX_EPOCH,
                closed_at: None,
            };
            about(&teammate, sandbox, Path::new("/code"))
        };
        for (workspace, sandbox, expected) in [
            (
                &worktree,
                Sandbox::DangerFullAccess,
                "Commit what you have done",
            ),
            (
                &worktree,
                Sandbox::WorkspaceWrite,
                "leave your changes uncommitted",
            ),
            (
                &worktree,
                Sandbox::ReadOnly,
                "The sandbox lets you change nothing",
            ),
            (
                &directory,
                Sandbox::DangerFullAccess,
                "You work in /code/docs.",
            ),
            (
                &directory,
                Sandbox::WorkspaceWrite,
                "Your commands begin in /code,",
            ),
            (&directory, Sandbox::ReadOnly, "You work in /code/docs."),
        ] {
            let told = told(workspace, sandbox);
            assert!(told.contains(expected), "{sandbox}: {told}");
            let speaks_of_commits = told.contains("commit") || told.contains("Commit");
            let may_write = sandbox != Sandbox::ReadOnly;
            let has_branch = matches!(workspace, Workspace::Worktree { .. });
            assert_eq!(speaks_of_commits, has_branch && may_write, "{told}");
        }
    }
}
