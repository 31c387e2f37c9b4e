//! One thread on one connection.

use std::path::Path;

use super::call::CallError;
use super::client::{Client, ThreadEvent, ThreadEvents};
use super::protocol::{
    InjectItems, InjectItemsParams, InjectedItem, ThreadBackgroundTerminalsClean,
    ThreadCompactStart, ThreadFork, ThreadNameSet, ThreadNameSetParams, ThreadOpened, ThreadRef,
    ThreadResume, ThreadSettings, ThreadStart, ThreadUnsubscribe, TurnStart, TurnStartParams,
    UserInput,
};
use super::turn::{Turn, TurnOptions};
use crate::id::{ThreadId, TurnId};

/// A thread that is loaded, with what codex tells about it. Dies with its connection: resume it on
/// the next one.
pub struct Thread {
    client: Client,
    events: ThreadEvents,
    opened: ThreadOpened,
    /// The turn we have followed last.
    last_turn: Option<TurnId>,
}

impl Thread {
    /// Makes a new thread. Nothing of it is on disk before its first turn, an injected item or a
    /// name; without those it is gone with the process.
    ///
    /// # Errors
    /// Codex refused, or the connection ended.
    pub async fn start(client: &Client, settings: &ThreadSettings) -> Result<Self, CallError> {
        let opened = client.call::<ThreadStart>(&settings.to_start()).await?;
        // Nothing that matters is said of a thread before its first turn.
        let events = client.events(&opened.thread.id);
        Ok(Self {
            client: client.clone(),
            events,
            opened,
            last_turn: None,
        })
    }

    /// Loads a stored thread, or subscribes to a loaded one, whose turn goes on then and whose
    /// settings stay as they are.
    ///
    /// # Errors
    /// Codex refused (see [`Refusal`](super::Refusal)), or the connection ended.
    pub async fn resume(
        client: &Client,
        id: &ThreadId,
        settings: &ThreadSettings,
    ) -> Result<Self, CallError> {
        // Subscribed before: codex may say something before it answers.
        let events = client.events(id);
        let opened = client.call::<ThreadResume>(&settings.to_resume(id)).await?;
        Ok(Self {
            client: client.clone(),
            events,
            opened,
            last_turn: None,
        })
    }

    /// Makes a copy of a stored thread, which goes on by itself. Asked twice, codex makes two.
    ///
    /// # Errors
    /// Codex refused, or the connection ended.
    pub async fn fork(
        client: &Client,
        id: &ThreadId,
        settings: &ThreadSettings,
    ) -> Result<Self, CallError> {
        let opened = client.call::<ThreadFork>(&settings.to_fork(id)).await?;
        let events = client.events(&opened.thread.id);
        Ok(Self {
            client: client.clone(),
            events,
            opened,
            last_turn: None,
        })
    }

    /// Returns its id.
    pub fn id(&self) -> &ThreadId {
        &self.opened.thread.id
    }

    /// Returns what codex said when it was opened: among others whether a turn runs
    /// (`thread.status`).
    pub fn opened(&self) -> &ThreadOpened {
        &self.opened
    }

    /// Returns where its rollout is or will be.
    pub fn rollout_path(&self) -> Option<&Path> {
        self.opened.thread.path.as_deref()
    }

    /// Returns the connection it is on.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Starts a turn. The thread has to be idle: what is sent to a busy one is folded into the
    /// running turn, may cut its answer off, and is lost if it ends badly.
    ///
    /// With empty `input` the model is asked to go on with the history as it is.
    pub fn start_turn(&mut self, input: Vec<UserInput>, options: &TurnOptions) -> Turn<'_> {
        self.forget_old_events();
        let call = self.client.call::<TurnStart>(&TurnStartParams {
            thread_id: self.id().clone(),
            input,
            client_user_message_id: options.client_message_id.clone(),
            overrides: options.overrides.clone(),
        });
        let starting = Box::pin(async move { Ok(Some(call.await?.turn)) });
        Turn::follow(self, Some(starting), None, options)
    }

    /// Follows a turn that already runs, after a reconnect for instance. What it said before is not
    /// said again.
    ///
    /// See that it still runs **after** the thread was resumed; the end of a turn that is over
    /// never comes.
    pub fn attach(&mut self, turn_id: TurnId, options: &TurnOptions) -> Turn<'_> {
        Turn::follow(self, None, Some(turn_id), options)
    }

    /// Has the history summarised: a turn of its own, without an answer. The thread has to be
    /// idle: a running turn would be interrupted.
    pub fn compact(&mut self, options: &TurnOptions) -> Turn<'_> {
        self.forget_old_events();
        let thread_id = self.id().clone();
        let call = self
            .client
            .call::<ThreadCompactStart>(&ThreadRef { thread_id });
        let starting = Box::pin(async move { call.await.map(|_| None) });
        Turn::follow(self, Some(starting), None, options)
    }

    /// Adds to the history. On an idle thread it is durable when this returns; no turn starts.
    ///
    /// # Errors
    /// Codex refused, or the connection ended: then the rollout tells whether it is there.
    pub async fn inject(&self, items: Vec<InjectedItem>) -> Result<(), CallError> {
        let params = InjectItemsParams {
            thread_id: self.id().clone(),
            items,
        };
        self.client.call::<InjectItems>(&params).await.map(drop)
    }

    /// Ends the commands of the thread that run in the background: those of a turn that was cut short
    /// are among them.
    ///
    /// # Errors
    /// Codex refused, or the connection ended.
    pub async fn end_background(&self) -> Result<(), CallError> {
        let params = ThreadRef {
            thread_id: self.id().clone(),
        };
        let call = self.client.call::<ThreadBackgroundTerminalsClean>(&params);
        call.await.map(drop)
    }

    /// Names the thread, which also makes it resumable if it never had a turn.
    ///
    /// # Errors
    /// Codex refused, or the connection ended.
    pub async fn set_name(&self, name: impl Into<String>) -> Result<(), CallError> {
        let params = ThreadNameSetParams {
            thread_id: self.id().clone(),
            name: name.into(),
        };
        self.client.call::<ThreadNameSet>(&params).await.map(drop)
    }

    /// Ends the subscription; codex unloads the thread a minute later.
    ///
    /// # Errors
    /// Codex refused, or the connection ended.
    pub async fn unsubscribe(self) -> Result<(), CallError> {
        let params = ThreadRef {
            thread_id: self.id().clone(),
        };
        self.client
            .call::<ThreadUnsubscribe>(&params)
            .await
            .map(drop)
    }

    /// Returns what is said of the thread between turns; `None` when nothing more will come.
    /// Cancel-safe.
    pub async fn idle_event(&mut self) -> Option<ThreadEvent> {
        self.events.next().await
    }

    pub(super) fn for_turn(
        &mut self,
    ) -> (Client, ThreadId, &mut ThreadEvents, &mut Option<TurnId>) {
        let thread_id = self.opened.thread.id.clone();
        (
            self.client.clone(),
            thread_id,
            &mut self.events,
            &mut self.last_turn,
        )
    }

    /// What was said before a turn is not about it. A subscription that was cut off begins anew.
    fn forget_old_events(&mut self) {
        while self.events.try_next().is_some() {}
        if !self.events.is_live() && self.client.close_reason().is_none() {
            self.events = self.client.events(&self.opened.thread.id);
        }
    }
}
