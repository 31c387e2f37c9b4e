//! Orders about the lane's thread, carried out in the order in which they came, when no turn is open
//! and before the next one is.
//!
//! Each leaves the ledger in one commit with what it changes and what its people are told, so it has its
//! effect once. What Codex is asked before that commit is asked again after a break:
//!
//! - loading a thread changes nothing;
//! - a copy that was made before the break is left to itself: the lane goes on in that of the commit, and
//!   has never heard of the other one;
//! - that a history was shortened is seen by the thread's newest turn, which is noted before: so it is not
//!   shortened a second time.

use super::*;
use crate::codex::protocol::TurnStatus;
use crate::codex::{Failure, Lost, LostReason, TurnEnd, TurnEvent};
use crate::dispatcher::recovery;
use crate::dispatcher::words::orders as say;
use crate::id::ThreadId;
use crate::ledger::{KeptThread, LaneOrder, LaneWish, OrderEffect, OrderPhase, Which};

impl Lane {
    /// Carries out the order that has waited longest.
    pub(super) async fn carry_out(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let orders = self.context.ledger.orders(&self.id).await?;
        let Some(order) = orders.into_iter().next() else {
            return Err(StepError::NotNow("an order has gone".to_owned()));
        };
        info!(order = %order.id, wish = ?order.wish, "an order is carried out");
        match &order.wish {
            LaneWish::New => self.begin_anew(record, &order).await,
            LaneWish::Resume { which } => self.go_back(record, &order, which).await,
            LaneWish::Fork => self.copy(record, &order).await,
            LaneWish::Compact => self.shorten(record, &order).await,
            LaneWish::Model { name } => self.set_model(record, &order, name.as_deref()).await,
        }
    }

    /// Returns the model that the lane's turns are run by, if anybody has ever named one.
    pub(super) fn model(&self) -> Option<String> {
        let model = self.model.as_ref()?;
        let configured = &self.context.settings.thread.model;
        [&model.chosen, configured, &model.before]
            .into_iter()
            .flatten()
            .next()
            .cloned()
    }

    /// Ends an order that cannot be carried out because the lane's thread is lost, and stays so until
    /// a person decides.
    pub(super) async fn fail_order(
        &self,
        record: &LaneRecord,
        told: Text,
    ) -> Result<(), StepError> {
        let orders = self.context.ledger.orders(&self.id).await?;
        if let Some(order) = orders.first() {
            let told = |language| told.within(language).to_owned();
            self.finish(record, order, OrderEffect::None, told).await?;
        }
        Ok(())
    }

    async fn begin_anew(
        &mut self,
        record: &LaneRecord,
        order: &LaneOrder,
    ) -> Result<Next, StepError> {
        let kept = self.kept().await?;
        let present = kept
            .iter()
            .find(|kept| Some(&kept.thread) == record.thread.as_ref());
        let number = present.map(|kept| kept.number);
        let told = |language| say::begins_anew(record.had_turn, number, language);
        let next = self.finish(record, order, OrderEffect::Leave, told).await?;
        self.let_go().await;
        Ok(next)
    }

    async fn go_back(
        &mut self,
        record: &LaneRecord,
        order: &LaneOrder,
        which: &Which,
    ) -> Result<Next, StepError> {
        let kept = self.kept().await?;
        let Some(wanted) = kept.iter().find(|kept| is_named(kept, which)) else {
            let told = |language| say::no_thread(which, language);
            return self.finish(record, order, OrderEffect::None, told).await;
        };
        if record.thread.as_ref() == Some(&wanted.thread) {
            let told = |language| say::present_thread(wanted.number, language);
            return self.finish(record, order, OrderEffect::None, told).await;
        }
        let Some(session) = self.session().await else {
            return Ok(Next::End);
        };
        let settings = self.thread_settings().await?;
        let opened = {
            let context = Arc::clone(&self.context);
            let _permit = context.loading.acquire().await.ok();
            Thread::resume(&session.client, &wanted.thread, &settings).await
        };
        let thread = match opened {
            Ok(thread) => thread,
            Err(failure) => {
                let refusal = told_refusal(failure)?;
                let told = |language| say::cannot_go_back(wanted.number, &refusal, language);
                return self.finish(record, order, OrderEffect::None, told).await;
            }
        };
        let effect = OrderEffect::GoBack {
            thread: wanted.thread.clone(),
        };
        let told = |language| say::gone_back(wanted, order, language);
        let next = self.finish(record, order, effect, told).await?;
        self.go_on_in(&session, thread).await;
        Ok(next)
    }

    async fn copy(&mut self, record: &LaneRecord, order: &LaneOrder) -> Result<Next, StepError> {
        let Some(source) = record.thread.as_ref().filter(|_| record.had_turn) else {
            let told = |language| say::NOTHING_TO_COPY.within(language).to_owned();
            return self.finish(record, order, OrderEffect::None, told).await;
        };
        let Some(session) = self.session().await else {
            return Ok(Next::End);
        };
        if !self.attach(&session, record).await? {
            return Ok(Next::Again);
        }
        let settings = self.thread_settings().await?;
        let copy = match Thread::fork(&session.client, source, &settings).await {
            Ok(copy) => copy,
            Err(failure) => {
                let refusal = told_refusal(failure)?;
                let told = |language| say::not_copied(&refusal, language);
                return self.finish(record, order, OrderEffect::None, told).await;
            }
        };
        let kept = self.kept().await?;
        let number = kept
            .iter()
            .find(|kept| kept.thread == *source)
            .map(|kept| kept.number);
        let effect = OrderEffect::GoOn {
            copy: copy.id().clone(),
        };
        let told = |language| say::copied(number, language);
        let next = self.finish(record, order, effect, told).await?;
        self.go_on_in(&session, copy).await;
        Ok(next)
    }

    async fn set_model(
        &mut self,
        record: &LaneRecord,
        order: &LaneOrder,
        name: Option<&str>,
    ) -> Result<Next, StepError> {
        let configured = self.context.settings.thread.model.clone();
        let mut before = record.model.as_ref().and_then(|model| model.before.clone());
        if record.model.is_none() && configured.is_none() {
            // Only the thread says what it would run with.
            let Some(session) = self.session().await else {
                return Ok(Next::End);
            };
            if !self.attach(&session, record).await? {
                return Ok(Next::Again);
            }
            before = self
                .attached
                .as_ref()
                .map(|attached| attached.thread.opened().model.clone());
        }
        let told = |language| match name {
            Some(name) => say::model(name, language),
            None => say::model_default(configured.as_deref().or(before.as_deref()), language),
        };
        let effect = OrderEffect::Model {
            name: name.map(str::to_owned),
            before: before.clone(),
        };
        self.finish(record, order, effect, told).await
    }

    async fn shorten(&mut self, record: &LaneRecord, order: &LaneOrder) -> Result<Next, StepError> {
        if !record.had_turn {
            let told = |language| say::NOTHING_TO_SHORTEN.within(language).to_owned();
            return self.finish(record, order, OrderEffect::None, told).await;
        }
        let Some(session) = self.session().await else {
            return Ok(Next::End);
        };
        if !self.attach(&session, record).await? {
            return Ok(Next::Again);
        }
        let Some(mut attached) = self.attached.take() else {
            return Ok(Next::Again);
        };
        let id = attached.thread.id().clone();
        let newest = session.client.newest_turn(&id).await?.map(|turn| turn.id);
        let running = match &order.phase {
            OrderPhase::Begun { thread, after } if *thread == id && newest != *after => {
                let Some(newest) = &newest else {
                    return Err(StepError::NotNow("the thread has no turn".to_owned()));
                };
                match session.client.turn(&id, newest).await? {
                    Some(turn) if turn.status == TurnStatus::InProgress => Some(turn.turn_id),
                    Some(turn)
                        if turn.status == TurnStatus::Completed
                            && recovery::has_compaction(&turn) =>
                    {
                        self.attached = Some(attached);
                        return self.shortened(record, order).await;
                    }
                    Some(_) | None => None,
                }
            }
            OrderPhase::Begun { .. } | OrderPhase::Waiting => None,
        };
        let options = self.turn_options(None);
        let mut compaction = match running {
            Some(turn) => attached.thread.attach(turn, &options),
            None => {
                let phase = OrderPhase::Begun {
                    thread: id,
                    after: newest,
                };
                let ledger = &self.context.ledger;
                ledger.advance_order(&self.id, order.id, phase).await?;
                attached.thread.compact(&options)
            }
        };
        let mut end = None;
        while let Some(event) = compaction.next().await {
            if let TurnEvent::Settled(settled) = event {
                end = Some(settled);
            }
        }
        drop(compaction);
        let failed = |failure: Failure| {
            warn!(kind = failure.kind.as_str(), reason = %failure.message, "not shortened");
            move |language| say::not_shortened(failure.kind, language)
        };
        match end {
            Some(TurnEnd::Completed { .. }) => {
                self.attached = Some(attached);
                self.shortened(record, order).await
            }
            Some(TurnEnd::Lost(Lost {
                reason: LostReason::Closed(_),
                ..
            })) => {
                self.connection_lost(attached.connection).await;
                Ok(Next::Again)
            }
            Some(TurnEnd::TimedOut {
                failure,
                child_deaf: true,
            }) => {
                // Whatever it still does with the thread, it must not do it beside a turn.
                self.context.supervised.replace_child(attached.child);
                let told = failed(failure);
                self.finish(record, order, OrderEffect::None, told).await
            }
            Some(
                TurnEnd::Failed(failure)
                | TurnEnd::TimedOut { failure, .. }
                | TurnEnd::Refused { failure, .. },
            ) => {
                self.attached = Some(attached);
                let told = failed(failure);
                self.finish(record, order, OrderEffect::None, told).await
            }
            // The thread says what became of it.
            Some(TurnEnd::Interrupted | TurnEnd::Lost(_)) | None => Err(StepError::NotNow(
                "the history was not shortened to the end".to_owned(),
            )),
        }
    }

    async fn shortened(&self, record: &LaneRecord, order: &LaneOrder) -> Result<Next, StepError> {
        self.context.ledger.forget_injections(&self.id).await?;
        if let Some(thread) = &record.thread {
            self.events.thread(thread).emit(Event::ThreadCompacted);
        }
        let told = |language| say::SHORTENED.within(language).to_owned();
        self.finish(record, order, OrderEffect::None, told).await
    }

    /// Ends an order in one commit: what it changes, and what its people are told. What was ordered on
    /// the machine is told to those who wrote last, if it changes what they talk to.
    async fn finish(
        &self,
        record: &LaneRecord,
        order: &LaneOrder,
        effect: OrderEffect,
        told: impl FnOnce(Language) -> String,
    ) -> Result<Next, StepError> {
        let by = &order.by;
        let origin = match (&by.origin, &effect) {
            (Some(origin), _) => Some(origin),
            (None, OrderEffect::None) if order.wish != LaneWish::Compact => None,
            (None, _) => record.last_from.as_ref(),
        };
        let post = origin.map(|origin| {
            let text = told(self.context.language(&origin.channel));
            NewPost {
                reply_to: by.message.clone(),
                settles: by.message.iter().cloned().collect(),
                ..outbox::notice(&origin.channel, &origin.conversation, &text)
            }
        });
        info!(order = %order.id, ?effect, "an order is done");
        let posts = post.into_iter().collect();
        let ledger = &self.context.ledger;
        ledger
            .finish_order(&self.id, order.id, effect, posts)
            .await?;
        Ok(Next::Again)
    }

    async fn kept(&self) -> Result<Vec<KeptThread>, StepError> {
        Ok(self.context.ledger.kept_threads(&self.id).await?)
    }

    /// Goes on in another thread, which is loaded.
    async fn go_on_in(&mut self, session: &Session, thread: Thread) {
        self.let_go().await;
        self.events.thread(thread.id()).emit(Event::ThreadResumed);
        self.new = false;
        self.attached = Some(Attached {
            connection: session.connection,
            child: session.child,
            thread,
            is_new: false,
        });
    }

    /// Lets the thread go that is loaded.
    async fn let_go(&mut self) {
        self.odd_refusals = 0;
        if let Some(attached) = self.attached.take()
            && let Err(failure) = attached.thread.unsubscribe().await
        {
            debug!(error = &failure as &dyn Error, "the thread was not let go");
        }
    }
}

fn is_named(kept: &KeptThread, which: &Which) -> bool {
    match which {
        Which::Number(number) => kept.number == *number,
        Which::Thread(thread) => is_same(&kept.thread, thread),
    }
}

/// Codex writes its names in small letters; people may not.
fn is_same(one: &ThreadId, other: &ThreadId) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

/// Returns why Codex does not do what was ordered, if asking again would lead to nothing else.
fn told_refusal(failure: CallError) -> Result<Refusal, StepError> {
    match failure.refusal() {
        None | Some(Refusal::Draining | Refusal::Overloaded) => Err(StepError::Call(failure)),
        Some(refusal) => {
            warn!(
                error = &failure as &dyn Error,
                "an order cannot be carried out"
            );
            Ok(refusal)
        }
    }
}
