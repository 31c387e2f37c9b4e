//! The ledger as everybody else sees it.

use std::path::Path;
use std::time::SystemTime;

use tieline_channel::{ChannelId, EventKey, Message};
use tokio::sync::{mpsc, watch};

use crate::id::{CompletionId, DispatcherId, LaneId, MessageId, OutboxId, ThreadId, TurnKey};
use crate::ledger::command::{Call, Request};
use crate::ledger::completion::{CompletionRecord, NewCompletion, Reported, Return};
use crate::ledger::counts::Counts;
use crate::ledger::dispatcher::DispatcherRecord;
use crate::ledger::error::{LedgerError, OpenError};
use crate::ledger::health::LedgerHealth;
use crate::ledger::lane::{LaneRecord, LostThread, OpenTurn, Origin, Reach, Trouble, TurnEvent};
use crate::ledger::message::{Accepted, MessageRecord, NewMessage, Outcome, Revised};
use crate::ledger::operation::Expired;
use crate::ledger::post::{NewPost, OutboxEntry, PostEvent};
use crate::ledger::settings::LedgerSettings;
use crate::ledger::task::TaskReport;
use crate::ledger::transaction::Transaction;
use crate::ledger::writer::{self, LedgerThread, Parts};

/// The durable record of messages, turns and replies. A cheap handle on the thread that keeps it.
///
/// Every method returns only when its effect is on disk, and an effect is there whole or not at
/// all. A dropped call may have happened or not. When the queue of commands is full, methods wait.
#[derive(Clone, Debug)]
pub struct Ledger {
    commands: mpsc::Sender<Request>,
    enqueued: watch::Receiver<u64>,
    health: watch::Receiver<LedgerHealth>,
    settings: LedgerSettings,
}

impl Ledger {
    /// Opens the ledger in `dir`, and makes it if need be. Blocks.
    ///
    /// # Errors
    ///
    /// When another process has it, or it cannot be read, or not safely.
    pub fn open(dir: &Path, settings: LedgerSettings) -> Result<(Self, LedgerThread), OpenError> {
        Self::open_with(dir, settings, Parts::standard())
    }

    /// Opens the ledger with parts that a test has chosen.
    pub(super) fn open_with(
        dir: &Path,
        settings: LedgerSettings,
        parts: Parts,
    ) -> Result<(Self, LedgerThread), OpenError> {
        let started = writer::start(dir, parts)?;
        let ledger = Self {
            commands: started.commands,
            enqueued: started.enqueued,
            health: started.health,
            settings,
        };
        Ok((ledger, started.thread))
    }

    // === Messages ===

    /// Queues a message whatever is recorded, unless the same event was recorded before.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn accept(&self, new: NewMessage) -> Result<Accepted, LedgerError> {
        self.call(move |transaction| transaction.accept(new)).await
    }

    /// Replaces the message that the event `target` made, while it waits.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn revise(
        &self,
        channel: &ChannelId,
        edit: EventKey,
        target: EventKey,
        new: Message,
    ) -> Result<Revised, LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.revise(&channel, &edit, &target, &new))
            .await
    }

    /// Cancels the message that the event `target` made, while it waits.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn withdraw(
        &self,
        channel: &ChannelId,
        deletion: EventKey,
        target: EventKey,
    ) -> Result<Revised, LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.withdraw(&channel, &deletion, &target))
            .await
    }

    /// Returns a message, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn message(&self, id: MessageId) -> Result<Option<MessageRecord>, LedgerError> {
        self.call(move |transaction| transaction.message(id)).await
    }

    /// Returns the message that an event made or changed, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn find_message(
        &self,
        channel: &ChannelId,
        key: &EventKey,
    ) -> Result<Option<MessageRecord>, LedgerError> {
        let (channel, key) = (channel.clone(), key.clone());
        self.call(move |transaction| transaction.find_message(&channel, &key))
            .await
    }

    /// Returns the newest messages, newest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn recent_messages(&self, limit: usize) -> Result<Vec<MessageRecord>, LedgerError> {
        self.call(move |transaction| transaction.recent_messages(limit))
            .await
    }

    // === Lanes ===

    /// Returns the lanes of a dispatcher.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn lanes(&self, dispatcher: &DispatcherId) -> Result<Vec<LaneRecord>, LedgerError> {
        let dispatcher = dispatcher.clone();
        self.call(move |transaction| transaction.lanes(&dispatcher))
            .await
    }

    /// Returns a lane, if anything was ever accepted for it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn lane(&self, lane: &LaneId) -> Result<Option<LaneRecord>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.lane(&lane)).await
    }

    /// Returns the lane of a dispatcher that has this thread. One that was begun before threads were
    /// indexed is not found: it has no tools, so nobody asks for it.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn lane_of_thread(
        &self,
        dispatcher: &DispatcherId,
        thread: &ThreadId,
    ) -> Result<Option<LaneRecord>, LedgerError> {
        let (dispatcher, thread) = (dispatcher.clone(), thread.clone());
        self.call(move |transaction| transaction.lane_of_thread(&dispatcher, &thread))
            .await
    }

    /// Gives a lane a new thread, one that has had no turn, and that was told so of how it reaches
    /// people.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such lane.
    pub async fn set_thread(
        &self,
        lane: &LaneId,
        thread: ThreadId,
        reach: Reach,
    ) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.set_thread(&lane, thread, reach))
            .await
    }

    /// Notes that the model of a lane's thread was told that it reaches people in another way.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such lane.
    pub async fn set_reach(&self, lane: &LaneId, reach: Reach) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.set_reach(&lane, reach))
            .await
    }

    /// Notes that the turns of a lane do not get through, and tells the conversations that have not
    /// been told, in one commit.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such lane.
    pub async fn tell_of_trouble(
        &self,
        lane: &LaneId,
        trouble: Trouble,
        notices: Vec<(Origin, NewPost)>,
    ) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.tell_of_trouble(&lane, trouble, notices))
            .await
    }

    /// Notes that the turns of a lane get through again, and tells the conversations that were told
    /// of the trouble, in one commit; nothing happens without any.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn end_trouble(
        &self,
        lane: &LaneId,
        notice: impl Fn(&Origin) -> NewPost + Send + 'static,
    ) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.end_trouble(&lane, notice))
            .await
    }

    /// Notes that a thread is lost and enqueues what is to be said about it. If it is the lane's
    /// present thread, the lane has none from here on.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or there is no such lane.
    pub async fn lose_thread(
        &self,
        lane: &LaneId,
        lost: LostThread,
        posts: Vec<NewPost>,
    ) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.lose_thread(&lane, lost, posts))
            .await
    }

    /// Returns the messages that wait in a lane, in the order in which they are to be taken.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn waiting(
        &self,
        lane: &LaneId,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.waiting(&lane, limit))
            .await
    }

    // === The open turn of a lane ===

    /// Opens a turn with messages that wait, at most
    /// [`MAX_TURN_MESSAGES`](super::MAX_TURN_MESSAGES).
    ///
    /// # Errors
    ///
    /// When it is not on disk, a turn is open, or a message does not wait in the lane.
    pub async fn open_turn(
        &self,
        lane: &LaneId,
        key: TurnKey,
        messages: Vec<MessageId>,
    ) -> Result<OpenTurn, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.open_turn(&lane, key, messages))
            .await
    }

    /// Notes what happened to the open turn.
    ///
    /// # Errors
    ///
    /// When it is not on disk, `key` is not the open turn, or its phase does not allow it.
    pub async fn advance_turn(
        &self,
        lane: &LaneId,
        key: TurnKey,
        event: TurnEvent,
    ) -> Result<OpenTurn, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.advance_turn(&lane, key, event))
            .await
    }

    /// Lets a waiting message join the open turn.
    ///
    /// # Errors
    ///
    /// When it is not on disk, `key` is not the open turn, or the message does not wait.
    pub async fn join_turn(
        &self,
        lane: &LaneId,
        key: TurnKey,
        message: MessageId,
    ) -> Result<OpenTurn, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.join_turn(&lane, key, message))
            .await
    }

    /// Puts messages of the open turn before everything that waits, in the order given.
    ///
    /// # Errors
    ///
    /// When it is not on disk, `key` is not the open turn, or a message is not part of it.
    pub async fn leave_turn(
        &self,
        lane: &LaneId,
        key: TurnKey,
        messages: Vec<MessageId>,
    ) -> Result<OpenTurn, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.leave_turn(&lane, key, &messages))
            .await
    }

    /// Closes the open turn, settles its messages and enqueues what is to be said, all at once.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or `key` is not the open turn.
    pub async fn settle_turn(
        &self,
        lane: &LaneId,
        key: TurnKey,
        outcome: Outcome,
        posts: Vec<NewPost>,
    ) -> Result<Vec<OutboxId>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| {
            let settled = transaction.settle_turn(&lane, key, &outcome, None, None, posts)?;
            Ok(settled.posts)
        })
        .await
    }

    /// Closes the open turn as [`settle_turn`](Self::settle_turn) does, but gives the completions
    /// that it was to bring up back to the lane.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or `key` is not the open turn.
    pub async fn return_turn(
        &self,
        lane: &LaneId,
        key: TurnKey,
        outcome: Outcome,
        back: Return,
        posts: Vec<NewPost>,
    ) -> Result<Vec<OutboxId>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| {
            let settled = transaction.settle_turn(&lane, key, &outcome, Some(back), None, posts)?;
            Ok(settled.posts)
        })
        .await
    }

    /// Closes the open turn of a teammate's lane as [`settle_turn`](Self::settle_turn) does, and
    /// reports what came of it to whoever asked. Returns the lane that is told: it is to be woken.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or `key` is not the open turn.
    pub async fn settle_work(
        &self,
        lane: &LaneId,
        key: TurnKey,
        outcome: Outcome,
        report: TaskReport,
        posts: Vec<NewPost>,
    ) -> Result<Option<LaneId>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| {
            let settled =
                transaction.settle_turn(&lane, key, &outcome, None, Some(report), posts)?;
            Ok(settled.told)
        })
        .await
    }

    /// Settles messages that wait, without a turn, and enqueues what is to be said, all at once.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or a message does not wait in the lane.
    pub async fn settle_waiting(
        &self,
        lane: &LaneId,
        messages: Vec<MessageId>,
        outcome: Outcome,
        posts: Vec<NewPost>,
    ) -> Result<Vec<OutboxId>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.settle_waiting(&lane, &messages, &outcome, posts))
            .await
    }

    // === Completions ===

    /// Queues a completion, unless one of the same name was reported to the dispatcher before:
    /// then nothing changes.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or for a teammate that was closed.
    pub async fn report(&self, new: NewCompletion) -> Result<Reported, LedgerError> {
        self.call(move |transaction| transaction.report(new)).await
    }

    /// Returns a completion, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn completion(
        &self,
        id: CompletionId,
    ) -> Result<Option<CompletionRecord>, LedgerError> {
        self.call(move |transaction| transaction.completion(id))
            .await
    }

    /// Returns what came of the work of a completion.
    ///
    /// # Errors
    ///
    /// When it is unknown or forgotten, or its text cannot be read.
    pub async fn completion_body(&self, id: CompletionId) -> Result<String, LedgerError> {
        self.call(move |transaction| transaction.completion_body(id))
            .await
    }

    /// Returns the completions that wait for a lane, in the order in which they were reported.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn arrivals(
        &self,
        lane: &LaneId,
        limit: usize,
    ) -> Result<Vec<CompletionRecord>, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.arrivals(&lane, limit))
            .await
    }

    /// Opens a turn that brings up completions that wait, at most
    /// [`MAX_TURN_COMPLETIONS`](super::MAX_TURN_COMPLETIONS).
    ///
    /// # Errors
    ///
    /// When it is not on disk, a turn is open, or a completion does not wait for the lane.
    pub async fn open_trigger(
        &self,
        lane: &LaneId,
        key: TurnKey,
        completions: Vec<CompletionId>,
    ) -> Result<OpenTurn, LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.open_trigger(&lane, key, &completions))
            .await
    }

    /// Notes that a thread's history has the completions of the open turn, which also puts the
    /// thread itself on Codex's disk.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or `key` is not the open turn.
    pub async fn completions_injected(
        &self,
        lane: &LaneId,
        key: TurnKey,
        thread: &ThreadId,
    ) -> Result<(), LedgerError> {
        let (lane, thread) = (lane.clone(), thread.clone());
        self.call(move |transaction| transaction.completions_injected(&lane, key, &thread))
            .await
    }

    /// Notes that a lane's history was shortened: completions that wait are in it no longer.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn forget_injections(&self, lane: &LaneId) -> Result<(), LedgerError> {
        let lane = lane.clone();
        self.call(move |transaction| transaction.forget_injections(&lane))
            .await
    }

    // === The outbox ===

    /// Enqueues posts, in order.
    ///
    /// # Errors
    ///
    /// When they are not on disk; then none is.
    pub async fn enqueue(&self, posts: Vec<NewPost>) -> Result<Vec<OutboxId>, LedgerError> {
        self.call(move |transaction| transaction.enqueue(posts))
            .await
    }

    /// Returns an entry, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn post(&self, id: OutboxId) -> Result<Option<OutboxEntry>, LedgerError> {
        self.call(move |transaction| transaction.post(id)).await
    }

    /// Returns the entries of a channel that are pending or sending, in the order in which they
    /// were enqueued, from the first behind `after` on.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or `after` is unknown or forgotten.
    pub async fn undelivered(
        &self,
        channel: &ChannelId,
        after: Option<OutboxId>,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.undelivered(&channel, after, limit))
            .await
    }

    /// Notes what happened to an entry.
    ///
    /// # Errors
    ///
    /// When it is not on disk, there is no such entry, or its state does not allow it.
    pub async fn advance_post(
        &self,
        id: OutboxId,
        event: PostEvent,
    ) -> Result<OutboxEntry, LedgerError> {
        self.call(move |transaction| transaction.advance_post(id, event))
            .await
    }

    /// Notes what happened to an entry and enqueues what is said instead of it, all at once.
    ///
    /// # Errors
    ///
    /// As for [`advance_post`](Self::advance_post).
    pub async fn replace_post(
        &self,
        id: OutboxId,
        event: PostEvent,
        posts: Vec<NewPost>,
    ) -> Result<OutboxEntry, LedgerError> {
        self.call(move |transaction| transaction.replace_post(id, event, posts))
            .await
    }

    /// Returns a number that changes after each commit that enqueued posts.
    pub fn outbox_changes(&self) -> watch::Receiver<u64> {
        self.enqueued.clone()
    }

    // === The rest ===

    /// Stores what is to be remembered of a dispatcher.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn set_dispatcher(&self, record: DispatcherRecord) -> Result<(), LedgerError> {
        self.call(move |transaction| transaction.set_dispatcher(record))
            .await
    }

    /// Returns all dispatchers that are remembered.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn dispatchers(&self) -> Result<Vec<DispatcherRecord>, LedgerError> {
        self.call(|transaction| transaction.dispatchers()).await
    }

    /// Forgets what was settled or seen longer ago than the settings say. Other commands are
    /// served meanwhile.
    ///
    /// # Errors
    ///
    /// When it is not on disk; then it is only partly done, and goes on the next time.
    pub async fn expire(&self, now: SystemTime) -> Result<Expired, LedgerError> {
        let horizon = self.settings.horizon(now);
        let mut expired = Expired::default();
        loop {
            let (step, more) = self
                .call(move |transaction| transaction.expire_step(horizon))
                .await?;
            expired.add(step);
            if !more {
                return Ok(expired);
            }
        }
    }

    /// Returns how much of what there is.
    ///
    /// # Errors
    ///
    /// When the ledger is failing or closed.
    pub async fn counts(&self) -> Result<Counts, LedgerError> {
        self.call(|transaction| {
            Ok(Counts {
                size_on_disk: transaction.size_on_disk(),
                ..transaction.state.counts
            })
        })
        .await
    }

    /// Returns whether the ledger can write, and every change of that.
    pub fn health(&self) -> watch::Receiver<LedgerHealth> {
        self.health.clone()
    }

    /// Has the thread run `operation` in its next group.
    pub(super) async fn call<T, F>(&self, operation: F) -> Result<T, LedgerError>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, LedgerError> + Send + 'static,
        T: Send + 'static,
    {
        let (command, answer) = Call::with_answer(operation);
        self.commands
            .send(Request::Run(command))
            .await
            .map_err(|_| LedgerError::Closed)?;
        answer.await.map_err(|_| LedgerError::Closed)?
    }
}
