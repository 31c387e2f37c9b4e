//! A lane: one Codex thread, its queue, at most one turn in flight.
//!
//! A lane does one step at a time, and before each it reads from the ledger where it stands.
//! So a crash, a lost connection and an ordinary next message take the same way: whatever broke,
//! the next step begins from what is on disk and what the thread itself says.

mod follow;
mod load;
mod login;
mod newcomers;
mod orders;
mod prepare;
mod recover;
mod session;
mod settle;
mod teammate;
mod tell;
mod trigger;
mod work;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tieline_channel::{ChannelId, Conversation, Language, Text, WithCauses};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::follow::Begin;
use self::login::Retry;
pub(super) use self::login::tell_of_trouble;
use self::session::Conversation as SessionOfLane;
use self::teammate::Standing;
use self::trigger::IsNew;
pub(super) use self::work::Work;
use super::envelope::{self, RenderContext};
use super::login::Login;
use super::observed::Observed;
use super::status_board::StatusBoard;
use super::supervisor::{Link, Session, Supervised};
use super::wakes::Wakes;
use super::{Line, Settings, TELL_AFTER, waiting, words};
use crate::codex::protocol::{Role, UserInput};
use crate::codex::{CallError, FailureKind, HistoryError, Noise, Refusal, Thread};
use crate::events::{Event, Events};
use crate::id::{LaneId, TurnKey};
use crate::ledger::{
    CompletionRecord, LaneModel, LaneRecord, Ledger, LedgerError, MAX_TURN_COMPLETIONS,
    MessageRecord, NewPost, OpenTurn, Outcome, Owner, TeammateRecord,
};
use crate::outbox;
use crate::sessions::Changes;
use crate::teammates::WhatTheyDo;
use tieline_channel::retry::RetryPolicy;

/// How many waiting messages of one conversation go into one turn.
const MAX_BATCH: usize = 32;

/// How many characters of waiting messages, as the model gets them, go together; Codex takes
/// 1,048,576.
const MAX_BATCH_CHARS: usize = 1_000_000;

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
    /// Loading threads is the one thing that keeps codex busy for long: without a limit many
    /// lanes at once would make it look deaf.
    pub(super) loading: Semaphore,
    /// How many teammates may work at the same time.
    pub(super) turns: Arc<Semaphore>,
    /// Whether codex can sign in.
    pub(super) login: Login,
    /// What teammates are doing.
    pub(super) doing: WhatTheyDo,
    /// Who has something to do.
    pub(super) wakes: Arc<Wakes>,
    /// Tells programs that something has happened to their sessions.
    pub(super) changes: Changes,
    /// What Codex said of the thread that was loaded last.
    pub(super) observed: watch::Sender<Option<Observed>>,
    /// Told of what happens; it says which dispatcher's.
    pub(super) events: Events,
}

impl LaneContext {
    /// Returns what the people of a channel are spoken to in.
    fn language(&self, channel: &ChannelId) -> Language {
        self.lines
            .get(channel)
            .map(|line| line.language)
            .unwrap_or_default()
    }

    /// Makes the post by which a conversation is told something of our own.
    pub(super) fn notice(&self, channel: &ChannelId, to: &Conversation, text: Text) -> NewPost {
        outbox::notice(channel, to, text.within(self.language(channel)))
    }
}

/// One lane at work.
pub(super) struct Lane {
    context: Arc<LaneContext>,
    id: LaneId,
    wake: Arc<Notify>,
    /// Take nothing new; finish the turn in flight.
    drain: CancellationToken,
    attached: Option<Attached>,
    /// Whose lane it is, if it is a teammate's, as of the present step.
    teammate: Option<TeammateRecord>,
    /// The session that a program has on it, if it is one's, as of the present step.
    session: Option<SessionOfLane>,
    /// Its model as of the present step, once somebody has named one.
    model: Option<LaneModel>,
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
    /// The turn that codex gave no account of once already.
    doubted: Option<TurnKey>,
    /// The turn whose completions were lost from the history before the model saw them.
    blind: Option<TurnKey>,
    /// How often in a row that has happened.
    blinds: u32,
    /// How often in a row the rollout could not be read.
    unreadable: u32,
    /// How often in a row codex has refused the thread for a reason that we do not know.
    odd_refusals: u32,
    /// How often it was tried in vain to remove the worktree of a teammate that was closed.
    leaving: u32,
    /// Why codex cannot sign in for this lane, as of the last turn.
    trouble: Option<FailureKind>,
    /// When the open turn is tried again that failed for that reason.
    retry: Option<Retry>,
    /// The place among the teammates that work, while a turn of this one is open.
    place: Option<OwnedSemaphorePermit>,
    /// Told of what happens on this lane.
    events: Events,
    /// What codex has said during the open turn that is not told one by one.
    noise: Mutex<Noise>,
}

/// The thread, as loaded over one connection.
struct Attached {
    connection: u64,
    child: u64,
    thread: Thread,
    /// It was begun here, and nothing has been said in it yet.
    is_new: bool,
}

/// What a step led to.
enum Next {
    /// Look again where the lane stands.
    Again,
    /// The lane has nothing to do, or is told to stop.
    End,
}

/// Steps that fail one after the other.
struct Trouble {
    since: Instant,
    attempts: u32,
    /// The failure that was logged last.
    logged: String,
    /// Those who wait have been told.
    is_told: bool,
}

impl Trouble {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            attempts: 0,
            logged: String::new(),
            is_told: false,
        }
    }

    /// Logs a step that failed: a reason is worth a warning once.
    fn log(&mut self, failure: &StepError, delay: Duration) {
        self.attempts += 1;
        let attempt = self.attempts;
        let retry_in_ms = delay.as_millis();
        let error = WithCauses(failure).to_string();
        if self.logged == error {
            debug!(attempt, retry_in_ms, error, "a step failed again");
        } else {
            warn!(
                attempt,
                retry_in_ms, error, "a step failed; trying until it works"
            );
            self.logged = error;
        }
    }
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
        drain: CancellationToken,
    ) -> Self {
        Self {
            events: context.events.lane(&id),
            noise: Mutex::default(),
            context,
            id,
            wake,
            drain,
            attached: None,
            teammate: None,
            session: None,
            model: None,
            submitted_to: None,
            noticed: false,
            new: true,
            first_turn: true,
            compacted: None,
            doubted: None,
            blind: None,
            blinds: 0,
            unreadable: 0,
            odd_refusals: 0,
            leaving: 0,
            trouble: None,
            retry: None,
            place: None,
        }
    }

    /// Works until there has been nothing to do for a while, or until it is told to stop. May be
    /// dropped at any moment: whatever is in flight is taken up again from what is on disk.
    pub(super) async fn run(mut self) {
        let mut retry = RetryPolicy::new();
        let mut trouble = None;
        let mut link = self.context.supervised.link.clone();
        loop {
            link.mark_unchanged();
            let failure = match self.step().await {
                Ok(Next::Again) => {
                    retry = RetryPolicy::new();
                    trouble = None;
                    continue;
                }
                Ok(Next::End) => break,
                Err(failure) => failure,
            };
            let delay = retry.next_delay();
            let trouble = trouble.get_or_insert_with(Trouble::new);
            trouble.log(&failure, delay);
            self.tell_held_up(&failure, trouble).await;
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                // Another connection is a reason not to wait.
                _ = link.changed() => {}
                () = self.drain.cancelled() => break,
            }
        }
        if let Some(attached) = self.attached.take()
            && let Err(failure) = attached.thread.unsubscribe().await
        {
            // The connection ends with the daemon, and the subscription with it.
            debug!(error = &failure as &dyn Error, "the thread was not let go");
        }
    }

    /// Tells those who wait what the lane waits for, once, when it takes long. An outage of the
    /// whole child is told by the dispatcher.
    async fn tell_held_up(&self, failure: &StepError, trouble: &mut Trouble) {
        if trouble.is_told || trouble.since.elapsed() < TELL_AFTER {
            return;
        }
        let refusal = match failure {
            StepError::Resume(call) | StepError::Call(call) => call.refusal(),
            StepError::NotNow(_) => Some(Refusal::Other),
            StepError::Ledger(_) | StepError::History(_) => None,
        };
        let Some(refusal) = refusal else {
            return;
        };
        let told = async {
            let Some(record) = self.context.ledger.lane(&self.id).await? else {
                return Ok(());
            };
            let posts = match &self.teammate {
                // Nobody waits for one that has left.
                Some(teammate) if teammate.closed_at.is_some() => Vec::new(),
                Some(teammate) => {
                    let say = |language| words::teammate_held_up(&teammate.name, language);
                    let post = self.tell_people(&teammate.asker, say).await?;
                    post.into_iter().collect()
                }
                None => waiting::origins(&self.context.ledger, &record)
                    .await?
                    .iter()
                    .map(|origin| {
                        let text = words::held_up(&refusal);
                        self.context
                            .notice(&origin.channel, &origin.conversation, text)
                    })
                    .collect(),
            };
            self.context.ledger.enqueue(posts).await.map(drop)
        };
        match told.await {
            Ok(()) => trouble.is_told = true,
            Err::<(), LedgerError>(failure) => {
                warn!(error = %failure, "those who wait were not told what for");
            }
        }
    }

    async fn step(&mut self) -> Result<Next, StepError> {
        let Some(record) = self.context.ledger.lane(&self.id).await? else {
            return Ok(Next::End);
        };
        if self.drain.is_cancelled() {
            return Ok(Next::End);
        }
        let standing = match record.owner {
            Owner::Chat => Standing::Works(Box::new(record)),
            Owner::Teammate(id) => self.stand(id, record).await?,
            Owner::Session(id) => self.stand_in_session(id, record).await?,
        };
        let record = match standing {
            Standing::Works(record) => *record,
            Standing::Rests(next) => return Ok(next),
        };
        if !Self::has_work(&record) {
            return self.rest(&record).await;
        }
        self.model.clone_from(&record.model);
        if record.open.is_none() && record.orders > 0 {
            return self.carry_out(&record).await;
        }
        // A turn that may be running is not given up for that.
        if record.open.is_none()
            && record.assigned > 0
            && let Some(reason) = self.workspace_problem().await
        {
            self.fail_task(teammate::no_workspace(reason)).await?;
            return Ok(Next::Again);
        }
        self.remember_trouble(&record);
        if let Some(next) = self.wait_to_sign_in(&record).await? {
            return Ok(next);
        }
        let is_waiting = matches!(&*self.context.supervised.link.borrow(), Link::Down { .. });
        let Some(session) = self.session().await else {
            return Ok(Next::End);
        };
        if is_waiting {
            // Meanwhile more may have come, and people may have been told why it takes so long.
            return Ok(Next::Again);
        }
        match self.attach(&session, &record).await {
            Ok(true) => {}
            Ok(false) => return Ok(Next::Again),
            Err(StepError::Resume(failure))
                if self.is_out_of_reach(&record, &session, &failure) =>
            {
                // What cannot be opened cannot be told to end either.
                if let Some(open) = &record.open {
                    self.conclude_stopped(open).await?;
                }
                return Ok(Next::Again);
            }
            Err(failure) => {
                if record.open.is_none() {
                    // Nothing was begun: the place is for others until that is tried again.
                    self.place = None;
                }
                return Err(failure);
            }
        }
        self.noticed = false;
        self.new = false;
        match record.open {
            Some(open) => self.recover(open).await,
            None => {
                self.tell_of_reach(&record).await?;
                self.take(&record).await
            }
        }
    }

    /// Returns whether there is anything to do now.
    fn has_work(record: &LaneRecord) -> bool {
        record.open.is_some()
            || record.waiting > 0
            || record.assigned > 0
            || record.orders > 0
            || Self::has_arrivals(record)
    }

    /// Waits for work. A thread that was loaded in a child that died is loaded again, and told.
    async fn rest(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let mut link = self.context.supervised.link.clone();
        let now = link.borrow_and_update().clone();
        if let Link::Up(session) = now
            && self.should_reload(&session, record)
        {
            return self.reload(&session, record).await;
        }
        let held = trigger::held_for(record).unwrap_or(Duration::MAX);
        tokio::select! {
            () = self.wake.notified() => Ok(Next::Again),
            () = self.drain.cancelled() => Ok(Next::End),
            changed = link.changed() => Ok(if changed.is_ok() { Next::Again } else { Next::End }),
            () = tokio::time::sleep(held) => Ok(Next::Again),
            () = tokio::time::sleep(IDLE_FOR) => Ok(match &self.session {
                // Codex would forget its thread.
                Some(session) if session.record.is_ephemeral => Next::Again,
                Some(_) | None => Next::End,
            }),
        }
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
            () = self.drain.cancelled() => None,
        }
    }

    /// Takes what has waited longest into a new turn.
    async fn take(&mut self, record: &LaneRecord) -> Result<Next, StepError> {
        let batch = self.batch().await?;
        if Self::has_arrivals(record) {
            let arrivals = self
                .context
                .ledger
                .arrivals(&self.id, MAX_TURN_COMPLETIONS)
                .await?;
            if let Some(arrival) = arrivals.first()
                && goes_before(arrival, batch.first())
            {
                return self.take_completions(record, arrivals).await;
            }
        }
        if record.assigned > 0 {
            return self.take_task(record).await;
        }
        if batch.is_empty() {
            return Ok(Next::Again);
        }
        let ids = batch.iter().map(|message| message.id).collect();
        let open = self
            .context
            .ledger
            .open_turn(&self.id, TurnKey::new(), ids)
            .await?;
        self.tell_opened(&open);
        // Until then they could be edited.
        let work = self.work(&open).await?;
        let begins_anew = record.has_forgotten();
        self.submit(open, work, begins_anew).await
    }

    /// Returns the waiting messages that go together: those of one conversation that stand at the
    /// head of the queue.
    async fn batch(&self) -> Result<Vec<MessageRecord>, StepError> {
        let waiting = self.context.ledger.waiting(&self.id, MAX_BATCH).await?;
        let mut batch: Vec<MessageRecord> = Vec::new();
        let mut chars = 0;
        for message in waiting {
            chars += self.rendered_size(&message);
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

    /// Gives codex the messages of a turn. Told to stop while they are made ready, it leaves them to
    /// the next start.
    async fn submit(
        &mut self,
        open: OpenTurn,
        work: Work,
        begins_anew: bool,
    ) -> Result<Next, StepError> {
        let Some(prepared) = self.prepare(work.messages.clone()).await else {
            return Ok(Next::End);
        };
        if self.current(&open).await?.stop.is_some() {
            // Nothing of it was sent.
            self.conclude_stopped(&open).await?;
            return Ok(Next::Again);
        }
        let notice = begins_anew.then(|| self.lost_notice());
        let input = self.input(notice, &prepared);
        let client_id = Some(open.key.to_string());
        self.drive(open, work, Begin::Start { input, client_id })
            .await
    }
}

/// Returns whether a completion that waits goes before a message that waits.
///
/// One that the history has already does not: the message's turn shows it to the model as well.
fn goes_before(arrival: &CompletionRecord, message: Option<&MessageRecord>) -> bool {
    message.is_none_or(|message| {
        !message.urgent
            && arrival.injected_into.is_none()
            && arrival.reported_at < message.received_at
    })
}

fn same_conversation(one: &MessageRecord, other: &MessageRecord) -> bool {
    one.channel == other.channel && one.message.conversation == other.message.conversation
}
