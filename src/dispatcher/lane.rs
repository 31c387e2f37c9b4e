//! A lane: one Codex thread, its queue, at most one turn in flight.
//!
//! A lane does one step at a time, and before each it reads from the ledger where it stands.
//! So a crash, a lost connection and an ordinary next message take the same way: whatever broke,
//! the next step begins from what is on disk and what the thread itself says.

mod follow;
mod recover;
mod settle;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tieline_channel::{ChannelId, PostKind};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::follow::Begin;
use super::envelope::{self, RenderContext};
use super::status_board::StatusBoard;
use super::supervisor::{Link, Session, Supervised};
use super::{Line, Settings, words};
use crate::codex::protocol::{InjectedItem, Role, UserInput};
use crate::codex::{CallError, FailureKind, HistoryError, Refusal, Thread};
use crate::config::OnLostThread;
use crate::id::{LaneId, ThreadId, TurnKey};
use crate::ledger::{
    LaneRecord, Ledger, LedgerError, LostThread, MessageRecord, OpenTurn, Outcome,
};
use crate::outbox;
use crate::retry::RetryPolicy;

/// How many waiting messages of one conversation go into one turn.
const MAX_BATCH: usize = 32;

/// How many characters of waiting messages go into one turn; Codex takes 1,048,576.
const MAX_BATCH_CHARS: usize = 600_000;

/// How long a lane without work keeps its thread loaded.
const IDLE_FOR: Duration = Duration::from_secs(30 * 60);

/// How long after a lost connection what cannot be found is looked for once more: the child may
/// still be reading what the old connection brought.
const SETTLE_DOWN: Duration = Duration::from_millis(300);

/// What the lanes of a dispatcher share.
pub(super) struct LaneContext {
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Ledger,
    pub(super) lines: BTreeMap<ChannelId, Line>,
    pub(super) supervised: Supervised,
    pub(super) board: StatusBoard,
}

/// How a lane is told to end.
#[derive(Clone)]
pub(super) struct LaneStop {
    /// Take nothing new; finish the turn in flight.
    pub(super) drain: CancellationToken,
    /// Leave the turn in flight as it is; the next start goes on with it.
    pub(super) abort: CancellationToken,
}

/// One lane at work.
pub(super) struct Lane {
    context: Arc<LaneContext>,
    id: LaneId,
    wake: Arc<Notify>,
    stop: LaneStop,
    attached: Option<Attached>,
    /// The child that was last given something to do.
    submitted_to: Option<u64>,
    /// The model has been told of the restart, and no turn has run since.
    noticed: bool,
    /// No thread has been loaded since the daemon started.
    new: bool,
    /// No turn has run since the daemon started: an open one is from before.
    first_turn: bool,
    /// The turn whose history was already shortened once to make room.
    compacted: Option<TurnKey>,
}

/// The thread, as loaded over one connection.
struct Attached {
    connection: u64,
    child: u64,
    thread: Thread,
    resumed: bool,
}

/// What a step led to.
enum Next {
    /// Look again where the lane stands.
    Again,
    /// The lane has nothing to do, or is told to stop.
    End,
}

/// Why a step did not work. The lane tries again, from what is on disk.
#[derive(Debug, Error)]
enum StepError {
    #[error("the ledger did not take it")]
    Ledger(#[from] LedgerError),
    #[error("codex did not take it")]
    Call(#[from] CallError),
    #[error("the thread cannot be asked")]
    History(#[from] HistoryError),
    #[error("the thread cannot be opened")]
    Resume(#[source] CallError),
    #[error("codex cannot take a turn now: {0}")]
    NotNow(String),
}

impl Lane {
    pub(super) fn new(
        context: Arc<LaneContext>,
        id: LaneId,
        wake: Arc<Notify>,
        stop: LaneStop,
    ) -> Self {
        Self {
            context,
            id,
            wake,
            stop,
            attached: None,
            submitted_to: None,
            noticed: false,
            new: true,
            first_turn: true,
            compacted: None,
        }
    }

    /// Works until there has been nothing to do for a while, or until it is told to stop.
    pub(super) async fn run(mut self) {
        let mut retry = RetryPolicy::new();
        loop {
            match self.step().await {
                Ok(Next::Again) => retry = RetryPolicy::new(),
                Ok(Next::End) => break,
                Err(failure) => {
                    let delay = retry.next_delay();
                    warn!(
                        error = &failure as &dyn Error,
                        retry_in_ms = delay.as_millis(),
                        "a step failed; trying again"
                    );
                    tokio::select! {
                        () = tokio::time::sleep(delay) => {}
                        () = self.stop.drain.cancelled() => break,
                    }
                }
            }
        }
        if let Some(attached) = self.attached.take()
            && let Err(failure) = attached.thread.unsubscribe().await
        {
            // The connection ends with the daemon, and the subscription with it.
            debug!(error = &failure as &dyn Error, "the thread was not let go");
        }
    }

    async fn step(&mut self) -> Result<Next, StepError> {
        let Some(record) = self.context.ledger.lane(&self.id).await? else {
            return Ok(Next::End);
        };
        if self.stop.drain.is_cancelled() {
            return Ok(Next::End);
        }
        if record.open.is_none() && record.waiting == 0 {
            return self.rest(&record).await;
        }
        let Some(session) = self.session().await else {
            return Ok(Next::End);
        };
        if !self.attach(&session, &record).await? {
            return Ok(Next::Again);
        }
        self.noticed = false;
        self.new = false;
        match record.open {
            Some(open) => self.recover(open).await,
            None => self.take(&record).await,
        }
    }

    /// Waits for work. A thread that was loaded in a child that died is loaded again, and told.
    async fn rest(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let mut link = self.context.supervised.link.clone();
        let now = link.borrow_and_update().clone();
        if let Link::Up(session) = now
            && self.should_reload(&session, record)
        {
            self.reload(&session, record).await?;
            return Ok(Next::Again);
        }
        tokio::select! {
            () = self.wake.notified() => Ok(Next::Again),
            () = self.stop.drain.cancelled() => Ok(Next::End),
            changed = link.changed() => Ok(if changed.is_ok() { Next::Again } else { Next::End }),
            () = tokio::time::sleep(IDLE_FOR) => Ok(Next::End),
        }
    }

    fn should_reload(&self, session: &Session, record: &LaneRecord) -> bool {
        let loaded_elsewhere = match &self.attached {
            Some(attached) => attached.child != session.child,
            None => self.new && self.context.settings.keeps_one_lane(),
        };
        loaded_elsewhere && record.had_turn && record.thread.is_some()
    }

    async fn reload(&mut self, session: &Session, record: &LaneRecord) -> Result<(), StepError> {
        let attached = self.attach(session, record).await?;
        self.new = false;
        let Some(now) = self.context.ledger.lane(&self.id).await? else {
            return Ok(());
        };
        let live_came_first = now.waiting > 0 || now.open.is_some();
        if !attached || live_came_first || self.noticed {
            return Ok(());
        }
        if let Some(attached) = &self.attached
            && attached.resumed
        {
            let notice = envelope::render_notice("restarted", words::RESTART_NOTICE);
            attached
                .thread
                .inject(vec![InjectedItem::message(Role::Developer, notice)])
                .await?;
            self.noticed = true;
            info!("the thread was told of the restart");
        }
        Ok(())
    }

    /// Waits for a connection; `None` when there will be none.
    async fn session(&self) -> Option<Session> {
        let mut link = self.context.supervised.link.clone();
        let up = link.wait_for(|link| !matches!(link, Link::Down { .. }));
        tokio::select! {
            link = up => match link.ok()?.clone() {
                Link::Up(session) => Some(session),
                Link::Down { .. } | Link::Stopped => None,
            },
            () = self.stop.drain.cancelled() => None,
        }
    }

    /// Loads the lane's thread over this connection. `false` when the lane's work was settled
    /// instead, because its thread is lost.
    async fn attach(&mut self, session: &Session, record: &LaneRecord) -> Result<bool, StepError> {
        if self
            .attached
            .as_ref()
            .is_some_and(|it| it.connection == session.connection)
        {
            return Ok(true);
        }
        self.attached = None;
        let settings = &self.context.settings.thread;
        let resumed = match &record.thread {
            None => None,
            Some(id) => match self.resume(session, id).await {
                Ok(thread) => Some(thread),
                Err(failure) => match (failure.refusal(), record.had_turn) {
                    (Some(Refusal::NoRollout), false) => {
                        info!(thread = %id, "the thread had never been used; beginning it again");
                        None
                    }
                    (Some(refusal), _) if is_lost(&refusal) => {
                        return self.lose_thread(record, id, &failure, &refusal).await;
                    }
                    _ => return Err(StepError::Resume(failure)),
                },
            },
        };
        let (thread, resumed) = match resumed {
            Some(thread) => (thread, true),
            None => {
                let thread = Thread::start(&session.client, settings).await?;
                self.context
                    .ledger
                    .set_thread(&self.id, thread.id().clone())
                    .await?;
                (thread, false)
            }
        };
        info!(thread = %thread.id(), resumed, "thread loaded");
        self.attached = Some(Attached {
            connection: session.connection,
            child: session.child,
            thread,
            resumed,
        });
        Ok(true)
    }

    /// Loads a stored thread. One that is not stored is looked for once more when its first turn may
    /// be on its way: the child may still be reading what the old connection brought.
    async fn resume(&self, session: &Session, id: &ThreadId) -> Result<Thread, CallError> {
        let settings = &self.context.settings.thread;
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

    /// Acts by `on_lost_thread`; never silently.
    async fn lose_thread(
        &self,
        record: &LaneRecord,
        thread: &ThreadId,
        failure: &CallError,
        refusal: &Refusal,
    ) -> Result<bool, StepError> {
        warn!(%thread, error = failure as &dyn Error, "the thread is lost");
        let reason = failure.to_failure().message;
        let ledger = &self.context.ledger;
        match self.context.settings.config.on_lost_thread {
            OnLostThread::Fresh => {
                if let Some(open) = &record.open {
                    self.settle(
                        open,
                        Outcome::Unclear {
                            reason: reason.clone(),
                        },
                        words::UNCLEAR,
                    )
                    .await?;
                }
                let lost = LostThread {
                    thread: thread.clone(),
                    at: SystemTime::now(),
                    reason,
                };
                let notice = record.last_from.as_ref().map(|origin| {
                    outbox::notice(&origin.channel, &origin.conversation, words::THREAD_LOST)
                });
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
                    kind: kind.as_str().to_owned(),
                    message: reason,
                };
                match &record.open {
                    Some(open) => self.settle(open, outcome, words::failure(kind)).await?,
                    None => {
                        let batch = self.batch().await?;
                        let posts = self.reply(&batch, PostKind::Failure, words::failure(kind));
                        let ids = batch.iter().map(|message| message.id).collect();
                        ledger.settle_waiting(&self.id, ids, outcome, posts).await?;
                    }
                }
            }
        }
        Ok(false)
    }

    /// Takes what waits into a new turn.
    async fn take(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let batch = self.batch().await?;
        if batch.is_empty() {
            return Ok(Next::Again);
        }
        let ids = batch.iter().map(|message| message.id).collect();
        let open = self
            .context
            .ledger
            .open_turn(&self.id, TurnKey::new(), ids)
            .await?;
        let begins_anew = !record.lost.is_empty() && !record.had_turn;
        self.submit(open, &batch, begins_anew).await
    }

    /// Returns the waiting messages that go together: those of one conversation that stand at the
    /// head of the queue.
    async fn batch(&self) -> Result<Vec<MessageRecord>, StepError> {
        let waiting = self.context.ledger.waiting(&self.id, MAX_BATCH).await?;
        let mut batch: Vec<MessageRecord> = Vec::new();
        let mut chars = 0;
        for message in waiting {
            chars += message.message.plain_text().chars().count();
            let fits = batch.first().is_none_or(|first| {
                same_conversation(first, &message)
                    && !first.urgent
                    && !message.urgent
                    && chars <= MAX_BATCH_CHARS
            });
            if !fits {
                break;
            }
            batch.push(message);
        }
        Ok(batch)
    }

    async fn submit(
        &mut self,
        open: OpenTurn,
        messages: &[MessageRecord],
        begins_anew: bool,
    ) -> Result<Next, StepError> {
        let mut blocks = Vec::with_capacity(messages.len() + 1);
        if begins_anew {
            blocks.push(envelope::render_notice("thread-lost", words::LOST_NOTICE));
        }
        blocks.extend(messages.iter().map(|message| self.render(message)));
        let input = vec![UserInput::text(blocks.join("\n"))];
        let client_id = Some(open.key.to_string());
        self.drive(open, Begin::Start { input, client_id }).await
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

fn same_conversation(one: &MessageRecord, other: &MessageRecord) -> bool {
    one.channel == other.channel && one.message.conversation == other.message.conversation
}
