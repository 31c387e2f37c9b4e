//! One-off runs: `codex exec` jobs beside the conversations, queued on disk and done a few at a time.
//!
//! - [`request`] checks what is ordered: nobody gets more than the dispatcher has;
//! - [`Desk`] takes orders for one dispatcher, [`Runs`] tells of the runs of all;
//! - [`Worker`] begins what waits, ends what takes too long or is not wanted, and writes down the end;
//! - [`Executor`] does one: with Codex, or with a script in tests.
//!
//! Knows Codex and the ledger; nothing of chats, lanes and turns.
//!
//! **Invariants.** A run is begun once, whatever breaks: one that was in the middle when the daemon broke
//! is unclear, and never repeated. What it has in its environment is shown to nobody, and forgotten with
//! its end. Its end, and the report of it, are one commit.

mod executor;
pub mod request;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::executor::{CodexExec, Executor, Job, Tell, clear_schemas};
pub use self::request::{PURPOSES, RequestError, RunRequest};
pub use self::worker::Worker;
use crate::config::Sandbox;
use crate::events::{Event, Events};
use crate::id::{DispatcherId, LaneId, RunId};
use crate::ledger::{
    IdempotencyKey, Ledger, LedgerError, NewRun, Once, RunDetails, RunFilter, RunPage, RunRecord,
    RunState,
};

/// How many characters of what a run does are kept.
const MAX_DOING: usize = 300;

/// What a dispatcher allows its runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose they are.
    pub dispatcher: DispatcherId,
    /// Where they work.
    pub workspace: PathBuf,
    /// What their commands may do at most.
    pub sandbox: Sandbox,
    /// How many run at the same time; 0 turns them off.
    pub parallel: usize,
}

/// What a run was doing when it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// On one line.
    pub text: String,
    /// When.
    pub at: SystemTime,
}

/// The runs of all dispatchers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runs {
    ledger: Ledger,
    desks: Arc<BTreeMap<DispatcherId, Desk>>,
    news: News,
}

/// Where one dispatcher is given runs. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    settings: Arc<Settings>,
    ledger: Ledger,
    events: Events,
    shared: Arc<Shared>,
}

/// Tells everybody who waits that something has become of some run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct News(Arc<watch::Sender<u64>>);

/// What the desk and the worker of a dispatcher share.
struct Shared {
    /// Something waits.
    work: Notify,
    running: Mutex<HashMap<RunId, Running>>,
    news: News,
    /// Wakes a lane that has been told something.
    wake: Box<dyn Fn(LaneId) + Send + Sync>,
    /// Orders on their way to the disk.
    orders: TaskTracker,
}

/// A run that is being done.
struct Running {
    /// Somebody wants it to end.
    cancel: CancellationToken,
    doing: Option<Doing>,
}

impl News {
    /// Makes one that has told nothing yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    fn tell(&self) {
        self.0
            .send_modify(|number| *number = number.wrapping_add(1));
    }
}

impl Default for News {
    fn default() -> Self {
        Self::new()
    }
}

impl Runs {
    /// Puts the desks of all dispatchers together; all of them tell the same `news`.
    pub fn new(ledger: Ledger, desks: BTreeMap<DispatcherId, Desk>, news: News) -> Self {
        Self {
            ledger,
            desks: Arc::new(desks),
            news,
        }
    }

    /// Returns the desk of a dispatcher.
    pub fn desk(&self, dispatcher: &DispatcherId) -> Option<&Desk> {
        self.desks.get(dispatcher)
    }

    /// Returns the newest runs, from the first behind `behind` on, newest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn list(
        &self,
        filter: RunFilter,
        behind: Option<RunId>,
        limit: usize,
    ) -> Result<RunPage, LedgerError> {
        self.ledger.runs(filter, behind, limit).await
    }

    /// Returns a run, whole, once it is over or `patience` has passed; `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn read(
        &self,
        id: RunId,
        patience: Duration,
    ) -> Result<Option<RunDetails>, LedgerError> {
        let until = Instant::now() + patience;
        // Listening comes before looking: what happens in between is not missed.
        let mut news = self.news.0.subscribe();
        loop {
            news.mark_unchanged();
            let Some(record) = self.ledger.run(id).await? else {
                return Ok(None);
            };
            if record.state.is_over() || timeout_at(until, news.changed()).await.is_err() {
                return self.ledger.run_details(id).await;
            }
        }
    }

    /// Returns what a run is doing, if it is being done.
    pub fn doing(&self, record: &RunRecord) -> Option<Doing> {
        self.desk(&record.dispatcher)?.shared.doing(record.id)
    }

    /// Has a run end, or not begin. One that is over is left as it is. `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn cancel(&self, id: RunId) -> Result<Option<RunRecord>, LedgerError> {
        let was_over = self
            .ledger
            .run(id)
            .await?
            .is_some_and(|run| run.state.is_over());
        let Some((record, told)) = self.ledger.cancel_run(id).await? else {
            return Ok(None);
        };
        if let Some(desk) = self.desk(&record.dispatcher) {
            desk.shared.cancel(id);
            if record.state == RunState::Cancelled && !was_over {
                let reason = record.problem.clone().unwrap_or_default();
                desk.events.run(id).emit(Event::RunCancelled { reason });
            }
            if let Some(lane) = told {
                (desk.shared.wake)(lane);
            }
        }
        self.news.tell();
        Ok(Some(record))
    }
}

impl Desk {
    /// Opens a dispatcher's desk, with the worker that does what it is given. `wake` wakes a lane.
    pub fn open(
        settings: Settings,
        ledger: Ledger,
        executor: Arc<dyn Executor>,
        news: News,
        events: &Events,
        wake: impl Fn(LaneId) + Send + Sync + 'static,
    ) -> (Self, Worker) {
        let desk = Self {
            events: events.dispatcher(&settings.dispatcher),
            settings: Arc::new(settings),
            ledger,
            shared: Arc::new(Shared {
                work: Notify::new(),
                running: Mutex::default(),
                news,
                wake: Box::new(wake),
                orders: TaskTracker::new(),
            }),
        };
        let worker = Worker::new(desk.clone(), executor);
        (desk, worker)
    }

    /// Takes an order: it is on disk when this returns, once for each key. Goes on when it is dropped, for
    /// whoever orders may break off between the disk and the worker.
    ///
    /// # Errors
    ///
    /// When it cannot be, or is not on disk.
    pub async fn order(
        &self,
        request: RunRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<RunRecord>, RequestError> {
        let desk = self.clone();
        let ordered = self
            .shared
            .orders
            .spawn(async move { desk.take(request, key).await });
        ordered.await.unwrap_or(Err(LedgerError::Closed.into()))
    }

    async fn take(
        &self,
        request: RunRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<RunRecord>, RequestError> {
        // A repeat is answered as the order was, whatever has become of the files that it names.
        if let Some(key) = &key
            && let Some(made) = self.ledger.made_under(key).await?
        {
            return Ok(Once::Repeated { made });
        }
        if self.settings.parallel == 0 {
            return Err(RequestError::Off);
        }
        let purpose = request.purpose()?;
        let report_to = request.report_to.clone();
        let order = request::check(request, &self.settings)?;
        let new = NewRun {
            dispatcher: self.settings.dispatcher.clone(),
            purpose,
            order,
            report_to,
        };
        let once = self.ledger.queue_run(new, key).await?;
        if let Once::New(run) = &once {
            let purpose = run.purpose.clone();
            self.events.run(run.id).emit(Event::RunQueued { purpose });
        }
        self.shared.work.notify_one();
        Ok(once)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("dispatcher", &self.settings.dispatcher)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn begin(&self, id: RunId) -> CancellationToken {
        let cancel = CancellationToken::new();
        let running = Running {
            cancel: cancel.clone(),
            doing: None,
        };
        self.all().insert(id, running);
        cancel
    }

    fn end(&self, id: RunId) {
        self.all().remove(&id);
    }

    fn cancel(&self, id: RunId) {
        if let Some(running) = self.all().get(&id) {
            running.cancel.cancel();
        }
    }

    fn note(&self, id: RunId, text: &str) {
        if let Some(running) = self.all().get_mut(&id) {
            running.doing = Some(Doing {
                text: tieline_channel::cut(text, MAX_DOING),
                at: SystemTime::now(),
            });
        }
    }

    fn doing(&self, id: RunId) -> Option<Doing> {
        self.all().get(&id)?.doing.clone()
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up what an earlier daemon has left in the middle, of all dispatchers, also of those that are gone
/// from the configuration. To be called before anything is begun.
///
/// # Errors
///
/// When it is not on disk.
pub async fn give_up_broken(ledger: &Ledger, events: &Events) -> Result<(), LedgerError> {
    for run in ledger.lose_runs().await? {
        let state = run.state.as_str();
        tracing::warn!(run = %run.id, dispatcher = %run.dispatcher, state, "a run broke with the daemon");
        let event = match run.state {
            RunState::Cancelled => Event::RunCancelled {
                reason: run.problem.unwrap_or_default(),
            },
            _ => Event::RunUnclear,
        };
        events.dispatcher(&run.dispatcher).run(run.id).emit(event);
    }
    Ok(())
}
