//! What is different on the lane of a session: its thread is opened as soon as it is made, its input
//! goes to the model as it was given, and how a turn ended is kept for whoever asks.

use std::collections::BTreeSet;

use super::settle::Told;
use super::teammate::{Standing, no_workspace};
use super::work::Work;
use super::*;
use crate::codex::protocol::{
    ThreadSettings, TurnInterrupt, TurnInterruptParams, TurnOverrides, UserInput,
};
use crate::codex::{CallError, Refusal};
use crate::config::Sandbox;
use crate::dispatcher::sandbox_mode;
use crate::failure::FailureKind;
use crate::id::{SessionId, ThreadId};
use crate::ledger::{Began, CompletionStatus, Effective, SessionRecord, SessionState, TaskReport};
use crate::sessions::{Rules, SessionOptions, overrides, sandbox_of, working_directory};

/// How often codex may say that another process has the thread, until that is believed: a child that
/// ends has it for a moment.
const BELIEVED_AFTER: u32 = 5;

/// The session of a lane, as of the present step.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) record: SessionRecord,
    options: Arc<SessionOptions>,
}

impl Lane {
    /// Sees where a session stands: it is opened first, and one that is over ends what it does.
    pub(super) async fn stand_in_session(
        &mut self,
        id: SessionId,
        record: LaneRecord,
    ) -> Result<Standing, StepError> {
        let Some(session) = self.look_at_session(id).await? else {
            return Ok(Standing::Rests(Next::End));
        };
        if session.record.is_ephemeral && record.thread.is_some() && !self.has_connection() {
            return Ok(Standing::Rests(self.evict(&session.record, &record).await?));
        }
        let next = match &session.record.state {
            SessionState::Opening => self.open_session(&session.record, &record).await?,
            SessionState::Active if Self::has_work(&record) => {
                return Ok(Standing::Works(Box::new(record)));
            }
            SessionState::Active => self.rest(&record).await?,
            SessionState::Failed { .. } | SessionState::Closed if record.open.is_some() => {
                return Ok(Standing::Works(Box::new(record)));
            }
            SessionState::Failed { kind, message } if record.assigned > 0 => {
                let outcome = Outcome::Failed {
                    kind: *kind,
                    message: message.clone(),
                };
                self.fail_task(outcome).await?;
                Next::Again
            }
            SessionState::Failed { .. } | SessionState::Closed => {
                self.let_thread_go().await;
                Next::End
            }
        };
        Ok(Standing::Rests(next))
    }

    /// Reads the session; `None` if there is none, or nobody can say what it is set up with.
    async fn look_at_session(&mut self, id: SessionId) -> Result<Option<Conversation>, StepError> {
        let ledger = &self.context.ledger;
        let Some(record) = ledger.session(id).await? else {
            self.session = None;
            return Ok(None);
        };
        let options = match &self.session {
            Some(known) => Arc::clone(&known.options),
            None => {
                let read = match ledger.session_options(id).await {
                    Ok(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
                    Err(failure @ LedgerError::Damaged { .. }) => Err(failure.to_string()),
                    Err(failure) => return Err(failure.into()),
                };
                match read {
                    Ok(options) => Arc::new(options),
                    Err(reason) => {
                        error!(reason, "what a session is set up with is lost");
                        self.fail_session(&record, FailureKind::Damaged, reason)
                            .await?;
                        Arc::default()
                    }
                }
            }
        };
        let session = Conversation { record, options };
        self.session = Some(session.clone());
        Ok(Some(session))
    }

    /// Returns whether the thread is loaded over a connection that lives.
    fn has_connection(&self) -> bool {
        let link = self.context.supervised.link.borrow();
        match (&self.attached, &*link) {
            (Some(attached), Link::Up(session)) => attached.connection == session.connection,
            _ => false,
        }
    }

    /// Sees to it that a session has its thread, and that codex keeps it before it has had a turn.
    async fn open_session(
        &mut self,
        session: &SessionRecord,
        record: &LaneRecord,
    ) -> Result<Next, StepError> {
        if let Some(reason) = self.workspace_problem().await {
            self.fail_session(session, FailureKind::Workspace, reason)
                .await?;
            return Ok(Next::Again);
        }
        let Some(link) = self.session().await else {
            return Ok(Next::End);
        };
        match self.attach(&link, record).await {
            Ok(true) => {}
            Ok(false) => return Ok(Next::Again),
            Err(StepError::Call(failure) | StepError::Resume(failure))
                if self.is_for_good(&failure) =>
            {
                let failure = failure.to_failure();
                let kind = match session.began {
                    Began::Resumed => FailureKind::ThreadResumeFailed,
                    Began::Created | Began::Registered => failure.kind,
                };
                self.fail_session(session, kind, failure.message).await?;
                return Ok(Next::Again);
            }
            Err(failure) => return Err(failure),
        }
        let Some(attached) = &self.attached else {
            return Ok(Next::Again);
        };
        let thread = &attached.thread;
        let mut before = None;
        match session.began {
            Began::Resumed => {
                let newest = thread.client().newest_turn(thread.id()).await;
                before = newest?.map(|turn| turn.id);
            }
            // Codex forgets a thread that nothing has happened to.
            Began::Created | Began::Registered if !session.is_ephemeral => {
                let name = session.purpose.clone();
                let name = name.unwrap_or_else(|| format!("session {}", session.id));
                match thread.set_name(name).await {
                    Err(failure) if failure.refusal() != Some(Refusal::UnknownMethod) => {
                        return Err(failure.into());
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Began::Created | Began::Registered => {}
        }
        let opened = thread.opened();
        let effective = Effective {
            model: opened.model.clone(),
            model_provider: opened.model_provider.clone(),
            effort: opened.reasoning_effort.clone(),
            service_tier: opened.service_tier.clone(),
            sandbox: opened
                .sandbox
                .as_ref()
                .and_then(|sandbox| serde_json::to_string(sandbox).ok()),
        };
        let thread = thread.id().clone();
        let opened = self
            .context
            .ledger
            .session_opened(session.id, thread.clone(), effective, before)
            .await?;
        if opened.state == SessionState::Active {
            let events = self.events.session(session.id).thread(&thread);
            events.emit(match session.began {
                Began::Resumed => Event::SessionResumed,
                Began::Created | Began::Registered => Event::SessionCreated,
            });
        }
        self.context.changes.tell();
        Ok(Next::Again)
    }

    /// Returns whether a thread cannot be opened, and trying again does not help.
    fn is_for_good(&mut self, failure: &CallError) -> bool {
        match failure.refusal() {
            Some(Refusal::Draining | Refusal::Overloaded) => false,
            Some(Refusal::ActiveWriter) => {
                self.odd_refusals += 1;
                self.odd_refusals >= BELIEVED_AFTER
            }
            Some(_) => true,
            None => matches!(
                failure,
                CallError::TooLarge { .. } | CallError::Encode { .. } | CallError::Response { .. }
            ),
        }
    }

    /// Notes that a session has no thread any more, and why.
    pub(super) async fn fail_session(
        &self,
        session: &SessionRecord,
        kind: FailureKind,
        reason: String,
    ) -> Result<(), StepError> {
        let ledger = &self.context.ledger;
        ledger
            .session_failed(session.id, kind, reason.clone())
            .await?;
        if session.state.is_open() {
            warn!(%kind, reason, "a session has failed");
            let failure = kind;
            let events = self.events.session(session.id);
            events.emit(Event::SessionFailed { failure, reason });
        }
        self.context.changes.tell();
        Ok(())
    }

    /// Ends a session whose thread was kept nowhere but in a child that is gone, or in one that does not
    /// give it to a new connection.
    async fn evict(
        &mut self,
        session: &SessionRecord,
        record: &LaneRecord,
    ) -> Result<Next, StepError> {
        self.attached = None;
        const REASON: &str = "the session is ephemeral, and was lost with its connection to codex";
        let kind = FailureKind::SessionStoreEvicted;
        self.fail_session(session, kind, REASON.to_owned()).await?;
        if let Some(open) = &record.open {
            self.interrupt_unseen(record.thread.as_ref()).await;
            let outcome = Outcome::Failed {
                kind,
                message: REASON.to_owned(),
            };
            self.conclude(open, outcome, Told::Nothing).await?;
        }
        if record.assigned == 0 {
            return Ok(Next::End);
        }
        let outcome = Outcome::Failed {
            kind,
            message: REASON.to_owned(),
        };
        self.fail_task(outcome).await?;
        Ok(Next::Again)
    }

    /// Ends whatever runs on a thread that cannot be loaded, if it is in this child.
    async fn interrupt_unseen(&self, thread: Option<&ThreadId>) {
        let link = self.context.supervised.link.borrow().clone();
        let (Link::Up(session), Some(thread)) = (link, thread) else {
            return;
        };
        let params = TurnInterruptParams {
            thread_id: thread.clone(),
            // Whatever runs.
            turn_id: crate::id::TurnId::new(""),
        };
        if let Err(failure) = session.client.call::<TurnInterrupt>(&params).await {
            debug!(error = &failure as &dyn Error, "there was nothing to end");
        }
    }

    /// Loses the thread of a session: it is over, for the program has to know.
    pub(super) async fn lose_session(
        &self,
        session: &SessionRecord,
        record: &LaneRecord,
        refusal: &Refusal,
        message: String,
    ) -> Result<(), StepError> {
        let kind = match (refusal, &session.state) {
            (_, SessionState::Opening) => FailureKind::ThreadResumeFailed,
            (Refusal::NoRollout, _) => FailureKind::SessionStoreEvicted,
            _ => FailureKind::ThreadResumeFailed,
        };
        self.fail_session(session, kind, message.clone()).await?;
        if let Some(open) = &record.open {
            let outcome = Outcome::Failed { kind, message };
            self.conclude(open, outcome, Told::Nothing).await?;
        }
        Ok(())
    }

    /// Unloads the thread of a session that is over, and ends what it has left running.
    async fn let_thread_go(&mut self) {
        if let Some(attached) = self.attached.take() {
            self.end_background(&attached).await;
            if let Err(failure) = attached.thread.unsubscribe().await {
                debug!(error = &failure as &dyn Error, "the thread was not let go");
            }
        }
    }

    fn session_rules(&self) -> Rules<'_> {
        Rules {
            workspace: &self.context.settings.config.workspace,
            sandbox: self.context.settings.config.sandbox,
        }
    }

    /// Returns how the thread of a session is set up.
    pub(super) fn session_settings(&self, session: &Conversation) -> ThreadSettings {
        let settings = &self.context.settings;
        let options = &session.options;
        let instructions: Vec<&str> = settings
            .config
            .instructions
            .iter()
            .chain(&options.developer_instructions)
            .map(String::as_str)
            .collect();
        let mut config = settings.thread.config.clone();
        config.extend(options.config.clone());
        let own = settings.thread.clone();
        ThreadSettings {
            cwd: Some(
                options
                    .cwd
                    .clone()
                    .unwrap_or_else(|| settings.config.workspace.clone()),
            ),
            model: options.model.clone().or(own.model),
            model_provider: options.model_provider.clone().or(own.model_provider),
            sandbox: Some(sandbox_mode(self.sandbox_of_session(session))),
            approval_policy: options.approval_policy.or(own.approval_policy),
            base_instructions: options.base_instructions.clone().or(own.base_instructions),
            developer_instructions: Some(instructions.join("\n\n")).filter(|it| !it.is_empty()),
            config,
            service_tier: options.service_tier.clone().or(own.service_tier),
            personality: options.personality.or(own.personality),
            ephemeral: options.ephemeral.then_some(true),
            dynamic_tools: Vec::new(),
            thread_source: own.thread_source,
        }
    }

    /// Returns what its commands may do: the configuration may have become narrower since it was made.
    fn sandbox_of_session(&self, session: &Conversation) -> Sandbox {
        let allowed = self.context.settings.config.sandbox;
        let own = session.options.sandbox.map(sandbox_of);
        own.filter(|own| !own.is_wider_than(allowed))
            .unwrap_or(allowed)
    }

    /// Says what is wrong with the place where the commands of a session, or of one turn, begin.
    pub(super) async fn session_problem(
        &self,
        session: &Conversation,
        of_turn: Option<&Path>,
    ) -> Option<String> {
        let own = session.options.cwd.as_deref();
        let cwd = of_turn.or(own)?;
        // It may lead elsewhere by now.
        match working_directory(cwd, self.session_rules()).await {
            Ok(whole) if whole == cwd => None,
            Ok(whole) => Some(format!(
                "{} leads to {} now",
                cwd.display(),
                whole.display()
            )),
            Err(problem) => Some(problem.to_string()),
        }
    }

    /// Gives codex a turn of a session, as it was given to us.
    pub(super) async fn submit_turn(
        &mut self,
        open: OpenTurn,
        work: Work,
    ) -> Result<Next, StepError> {
        let (Some(session), Some(request)) = (&self.session, &work.request) else {
            let reason = "the ledger has lost what was to be done".to_owned();
            self.settle_unclear(&open, reason).await?;
            return Ok(Next::Again);
        };
        let of_turn = request.options.cwd.as_deref();
        if let Some(reason) = self.session_problem(session, of_turn).await {
            self.conclude(&open, no_workspace(reason), Told::Nothing)
                .await?;
            return Ok(Next::Again);
        }
        let input: Vec<UserInput> = request.input.clone();
        let client_id = Some(open.key.to_string());
        self.drive(open, work, Begin::Start { input, client_id })
            .await
    }

    /// Returns what codex is told with a turn, so that it runs as it was asked for.
    pub(super) fn overrides(&self, work: &Work) -> TurnOverrides {
        let (Some(session), Some(request)) = (&self.session, &work.request) else {
            return TurnOverrides {
                model: self.model(),
                ..TurnOverrides::default()
            };
        };
        let unknown = Effective::default();
        let touched: &BTreeSet<String> = &session.record.touched;
        overrides(
            &request.options,
            &self.session_settings(session),
            session.record.effective.as_ref().unwrap_or(&unknown),
            touched,
        )
    }
}

/// Returns what is kept of how a turn of a session ended.
pub(super) fn result(outcome: &Outcome, told: Told<'_>) -> TaskReport {
    let (status, body) = match (outcome, told) {
        (Outcome::Answered, Told::Answer(text)) => (CompletionStatus::Ok, text.to_owned()),
        (Outcome::Answered, Told::Notice(_) | Told::Words(_) | Told::Nothing) => {
            (CompletionStatus::Ok, String::new())
        }
        (Outcome::Failed { message, .. }, _) => (CompletionStatus::Failed, message.clone()),
        (Outcome::Unclear { reason }, _) => (CompletionStatus::Failed, reason.clone()),
        (Outcome::Cancelled, _) => (CompletionStatus::Stopped, String::new()),
    };
    TaskReport { status, body }
}
