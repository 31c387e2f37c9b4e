//! A lane's thread: loaded once on each connection, begun when there is none, or lost and said so.

use super::settle::Told;
use super::tell::tell_message;
use super::*;
use crate::codex::FailureKind;
use crate::codex::protocol::{InjectedItem, ThreadSettings, ThreadStatus};
use crate::config::{OnLostThread, Reply};
use crate::id::ThreadId;
use crate::ledger::{LostThread, Reach, Return};
use crate::tools::{self, Set};

/// How many refusals in a row that nobody knows it takes to believe that a thread is lost: a disk
/// or a limit of the system may be full for now.
const BELIEVED_AFTER: u32 = 3;

impl Lane {
    pub(super) fn should_reload(&self, session: &Session, record: &LaneRecord) -> bool {
        let loaded_elsewhere = match &self.attached {
            Some(attached) => attached.child != session.child,
            None => self.new && self.context.settings.is_shared_lane(&self.id),
        };
        // A session is told of nothing, and finds out with its next turn.
        let is_told = self.session.is_none();
        loaded_elsewhere && is_told && record.had_turn && record.thread.is_some()
    }

    /// Loads the thread although nobody waits for it.
    pub(super) async fn reload(
        &mut self,
        session: &Session,
        record: &LaneRecord,
    ) -> Result<Next, StepError> {
        let attached = match self.attach(session, record).await {
            Err(StepError::Resume(failure)) if failure.refusal().is_some() => {
                info!(
                    error = &failure as &dyn Error,
                    "the thread cannot be loaded now; the next message tries again"
                );
                false
            }
            attached => attached?,
        };
        self.new = false;
        let Some(now) = self.context.ledger.lane(&self.id).await? else {
            return Ok(Next::Again);
        };
        let live_came_first = now.waiting > 0 || now.open.is_some();
        if !attached || live_came_first || self.noticed {
            return Ok(Next::Again);
        }
        if let Some(attached) = &self.attached
            && !attached.is_new
        {
            let settings = &self.context.settings;
            let mut told = settings.config.prompts.restarted.clone();
            if let Some(notice) = &settings.restart_notice {
                told.push_str("\n\n");
                told.push_str(notice);
            }
            if attached.tell("restarted", &told).await? {
                info!("the thread was told of the restart");
            }
            self.noticed = true;
        }
        Ok(Next::Again)
    }

    /// Loads the lane's thread over this connection. `false` when the lane's work was settled
    /// instead, because its thread is lost.
    pub(super) async fn attach(
        &mut self,
        session: &Session,
        record: &LaneRecord,
    ) -> Result<bool, StepError> {
        if self
            .attached
            .as_ref()
            .is_some_and(|it| it.connection == session.connection)
        {
            return Ok(true);
        }
        self.attached = None;
        let context = Arc::clone(&self.context);
        // It is never closed; without a permit there is no limit, and no harm in that.
        let _permit = context.loading.acquire().await.ok();
        let settings = self.thread_settings().await?;
        let resumed = match &record.thread {
            None => None,
            Some(id) => match self.resume(session, id, &settings).await {
                Ok(thread) => Some(thread),
                Err(failure) => match (failure.refusal(), record.had_turn) {
                    (Some(Refusal::NoRollout), false) => {
                        info!(thread = %id, "the thread had never been used; beginning it again");
                        None
                    }
                    (Some(Refusal::Other), _) if self.odd_refusals + 1 < BELIEVED_AFTER => {
                        self.odd_refusals += 1;
                        return Err(StepError::Resume(failure));
                    }
                    (Some(refusal), _) if is_lost(&refusal) => {
                        self.odd_refusals = 0;
                        return self.lose_thread(record, id, &failure, &refusal).await;
                    }
                    _ => return Err(StepError::Resume(failure)),
                },
            },
        };
        self.odd_refusals = 0;
        if let Some(thread) = &resumed
            && thread.opened().thread.status == ThreadStatus::Active
            && record.open.is_none()
        {
            // What is sent to a busy thread is added to a turn of which nobody knows.
            return Err(StepError::NotNow(format!(
                "somebody else's turn runs on thread {}",
                thread.id()
            )));
        }
        let (thread, is_new) = match resumed {
            Some(thread) => (thread, false),
            None => {
                let (set, reach) = match record.owner {
                    Owner::Teammate(_) | Owner::Session(_) => (Set::Teammate, Reach::default()),
                    Owner::Chat if context.settings.config.has_teammates() => {
                        (Set::Dispatching, self.reach())
                    }
                    Owner::Chat => (Set::Chat, self.reach()),
                };
                let settings = ThreadSettings {
                    dynamic_tools: set.declaration(),
                    ..settings
                };
                let thread = Thread::start(&session.client, &settings).await?;
                self.context
                    .ledger
                    .set_thread(&self.id, thread.id().clone(), reach)
                    .await?;
                (thread, true)
            }
        };
        // A session may have less than the dispatcher.
        if self.session.is_none() {
            let observed = Observed::of(thread.opened());
            context.observed.send_replace(Some(observed));
        }
        info!(thread = %thread.id(), is_new, "thread loaded");
        self.events.thread(thread.id()).emit(if is_new {
            Event::ThreadStarted
        } else {
            Event::ThreadResumed
        });
        self.attached = Some(Attached {
            connection: session.connection,
            child: session.child,
            thread,
            is_new,
        });
        Ok(true)
    }

    /// Returns how a model reaches people now.
    fn reach(&self) -> Reach {
        Reach {
            tools: tools::VERSION,
            only_tools: self.context.settings.config.reply == Reply::Tool,
        }
    }

    /// Tells the model when it reaches people in another way than it was told: the instructions of a
    /// thread stay those that it was begun with until its history is shortened.
    pub(super) async fn tell_of_reach(&self, record: &LaneRecord) -> Result<(), StepError> {
        let reach = Reach {
            only_tools: self.reach().only_tools,
            ..record.reach
        };
        // Without tools there is one way only.
        if reach == record.reach || reach.tools == 0 {
            return Ok(());
        }
        let Some(attached) = self.attached.as_ref().filter(|it| !it.is_new) else {
            return Ok(());
        };
        let text = words::reach_changed(self.context.settings.config.answering());
        if !attached.tell("settings-changed", &text).await? {
            return Ok(());
        }
        self.context.ledger.set_reach(&self.id, reach).await?;
        info!(
            only_tools = reach.only_tools,
            "the model was told what reaches people"
        );
        Ok(())
    }

    /// Loads a stored thread. One that is not stored is looked for once more when its first turn
    /// may be on its way: the child may still be reading what the old connection brought.
    async fn resume(
        &self,
        session: &Session,
        id: &ThreadId,
        settings: &ThreadSettings,
    ) -> Result<Thread, CallError> {
        match Thread::resume(&session.client, id, settings).await {
            Err(failure)
                if failure.refusal() == Some(Refusal::NoRollout)
                    && self.submitted_to == Some(session.child) =>
            {
                tokio::time::sleep(SETTLE_DOWN).await;
                Thread::resume(&session.client, id, settings).await
            }
            resumed => resumed,
        }
    }

    /// Returns what a model is told that begins anew.
    pub(super) fn lost_notice(&self) -> String {
        let prompts = &self.context.settings.config.prompts;
        let prompt = match &self.teammate {
            Some(_) => &prompts.teammate_lost,
            None => &prompts.thread_lost,
        };
        envelope::render_notice("thread-lost", prompt)
    }

    /// Acts by `on_lost_thread`; never silently.
    async fn lose_thread(
        &self,
        record: &LaneRecord,
        thread: &ThreadId,
        failure: &CallError,
        refusal: &Refusal,
    ) -> Result<bool, StepError> {
        warn!(%thread, error = failure as &dyn Error, "the thread is lost");
        let storage = self.context.settings.launch.profile.as_ref();
        let storage = storage.and_then(|profile| profile.storage.as_ref());
        let reason = match (storage, refusal) {
            (Some(storage), Refusal::NoRollout) => format!(
                "the storage `{}` of rollouts at {} has no history of this thread; see that it is the \
                 right volume and that nobody has emptied it ({})",
                storage.name,
                storage.directory().display(),
                failure.to_failure().message
            ),
            _ => failure.to_failure().message,
        };
        if let Some(session) = &self.session {
            let session = &session.record;
            self.lose_session(session, record, refusal, reason).await?;
            return Ok(false);
        }
        self.events.thread(thread).emit(Event::ThreadLost {
            reason: reason.clone(),
        });
        let ledger = &self.context.ledger;
        match self.context.settings.config.on_lost_thread {
            OnLostThread::Fresh => {
                match &record.open {
                    Some(open) if open.completions.is_empty() => {
                        self.settle_unclear(open, reason.clone()).await?;
                    }
                    // The new thread has to be given them.
                    Some(open) => {
                        let outcome = Outcome::Unclear {
                            reason: reason.clone(),
                        };
                        let told = Told::Notice(words::UNCLEAR);
                        self.give_back(open, outcome, told, Return::default())
                            .await?;
                    }
                    None => {}
                }
                let lost = LostThread {
                    thread: thread.clone(),
                    at: SystemTime::now(),
                    reason,
                };
                let notice = match &self.teammate {
                    None => record.last_from.as_ref().map(|origin| {
                        let (channel, to) = (&origin.channel, &origin.conversation);
                        self.context.notice(channel, to, words::THREAD_LOST)
                    }),
                    Some(teammate) => {
                        let say = |language| words::teammate_forgot(&teammate.name, language);
                        self.tell_people(&teammate.asker, say).await?
                    }
                };
                ledger
                    .lose_thread(&self.id, lost, notice.into_iter().collect())
                    .await?;
            }
            OnLostThread::Stop => {
                let kind = match refusal {
                    Refusal::NoRollout => FailureKind::SessionStoreEvicted,
                    _ => FailureKind::ThreadResumeFailed,
                };
                let outcome = Outcome::Failed {
                    kind,
                    message: reason,
                };
                let told = Told::Notice(words::failure(kind));
                match &record.open {
                    Some(open) if open.completions.is_empty() => {
                        self.settle(open, outcome, told).await?;
                    }
                    None if record.orders > 0 => {
                        self.fail_order(record, words::failure(kind)).await?;
                    }
                    Some(open) => self.hold_back(open, outcome, told).await?,
                    None if record.waiting > 0 => {
                        let batch = self.batch().await?;
                        let ids = batch.iter().map(|message| message.id).collect();
                        let posts = self.posts(&Work::of(batch.clone()), &outcome, told);
                        let ended = outcome.clone();
                        ledger.settle_waiting(&self.id, ids, outcome, posts).await?;
                        for message in &batch {
                            tell_message(&self.events, message, &ended);
                        }
                    }
                    None if record.assigned > 0 => self.fail_task(outcome).await?,
                    // Completions wait for a person's decision as well; only a turn can hold them.
                    None if Self::has_arrivals(record) => {
                        let arrivals = ledger.arrivals(&self.id, 1).await?;
                        let first = arrivals.into_iter().map(|first| first.id).collect();
                        let open = ledger.open_trigger(&self.id, TurnKey::new(), first).await?;
                        self.hold_back(&open, outcome, told).await?;
                    }
                    None => {}
                }
            }
        }
        Ok(false)
    }
}

impl Attached {
    /// Puts something that tieline says into the history. `false` when this codex cannot.
    pub(super) async fn tell(&self, kind: &str, text: &str) -> Result<bool, CallError> {
        let notice = envelope::render_notice(kind, text);
        let item = InjectedItem::message(Role::Developer, notice);
        match self.thread.inject(vec![item]).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.refusal() == Some(Refusal::UnknownMethod) => {
                warn!(kind, "this codex does not let the model be told");
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// Returns whether a refused resume means that the thread will not come back by itself.
fn is_lost(refusal: &Refusal) -> bool {
    match refusal {
        // Its history is gone, or cannot be read.
        Refusal::NoRollout | Refusal::Archived | Refusal::Other => true,
        // Another process has it for now, or codex is not in a state to answer.
        Refusal::UnknownMethod
        | Refusal::NoTurnYet
        | Refusal::NotSupportedYet
        | Refusal::ActiveWriter
        | Refusal::ThreadNotFound
        | Refusal::NoActiveTurn
        | Refusal::OtherTurn
        | Refusal::NotSteerable
        | Refusal::Draining
        | Refusal::Overloaded
        | Refusal::InputTooLarge
        | Refusal::BadConfiguration
        | Refusal::McpServerFailed => false,
    }
}
