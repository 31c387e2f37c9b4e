//! Does the runs of one dispatcher, a few at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span, warn};

use super::Desk;
use super::executor::{Executor, Job, is_blocked, too_slow};
use crate::codex::{ExecEnd, ExecEvent, ExecOutcome, Failure};
use crate::events::Event;
use crate::failure::FailureKind;
use crate::id::RunId;
use crate::ledger::{LedgerError, RunEnd, RunEnding, RunResult};

/// When the ledger is asked again that could not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long runs may go on when the daemon stops, before they are told to end.
const DRAIN_FOR: Duration = Duration::from_secs(5);

/// What is said of a run that somebody stopped.
const CANCELLED: &str = "it was cancelled";

/// What is said of a run that the end of the daemon stopped.
const DAEMON_STOPPED: &str = "the daemon was stopped before it was done; it is not repeated";

/// Begins what waits and writes down how it ends.
pub struct Worker {
    desk: Desk,
    executor: Arc<dyn Executor>,
}

/// Why a run was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Cancelled,
    TooSlow(Duration),
    DaemonStops,
}

impl Worker {
    pub(super) fn new(desk: Desk, executor: Arc<dyn Executor>) -> Self {
        Self { desk, executor }
    }

    /// Works until `stop` is cancelled: then nothing more is begun, and what runs gets a while to end,
    /// and is ended. What waits goes on at the next start.
    pub async fn run(self, stop: CancellationToken) {
        let dispatcher = self.desk.settings.dispatcher.clone();
        let span = info_span!("runs", %dispatcher);
        self.work(stop).instrument(span).await;
    }

    async fn work(self, stop: CancellationToken) {
        let abort = CancellationToken::new();
        let mut running = Tasks::default();
        loop {
            while running.set.len() < self.desk.settings.parallel && !stop.is_cancelled() {
                let begun = self.desk.ledger.begin_run(&self.desk.settings.dispatcher);
                match begun.await {
                    Ok(Some(run)) => {
                        self.desk.shared.news.tell();
                        let purpose = run.purpose;
                        let events = self.desk.events.run(run.id);
                        events.emit(Event::RunStarted { purpose });
                        let (desk, executor) = (self.desk.clone(), Arc::clone(&self.executor));
                        let one = one(desk, executor, run.id, abort.clone());
                        let task = one.instrument(info_span!("run", id = %run.id));
                        let task = running.set.spawn(task);
                        running.ids.insert(task.id(), run.id);
                    }
                    Ok(None) => break,
                    Err(failure) => {
                        error!(error = %failure, "runs that wait cannot be begun; trying again");
                        stop.run_until_cancelled(sleep(ASK_AGAIN)).await;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.desk.shared.work.notified() => {}
                Some(ended) = running.set.join_next_with_id() => self.ended(&mut running, ended).await,
            }
        }
        self.desk.shared.orders.close();
        self.desk.shared.orders.wait().await;
        if timeout(DRAIN_FOR, self.all_ended(&mut running))
            .await
            .is_err()
        {
            info!("runs are ended, for the daemon stops");
            abort.cancel();
            self.all_ended(&mut running).await;
        }
    }

    async fn all_ended(&self, running: &mut Tasks) {
        while let Some(ended) = running.set.join_next_with_id().await {
            self.ended(running, ended).await;
        }
    }

    /// Forgets a run whose task has ended. By a defect its end is not written down yet.
    async fn ended(&self, running: &mut Tasks, ended: Result<(Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(failure) => failure.id(),
        };
        let Some(id) = running.ids.remove(&task) else {
            return;
        };
        if let Err(failure) = ended {
            error!(run = %id, error = %failure, "a run ended by a defect of tieline");
            let defect = Failure::new(
                FailureKind::BackendResponseInvalid,
                "it ended by a defect of tieline; see the daemon's log",
            );
            write_down(
                &self.desk,
                id,
                not_begun(&defect),
                &CancellationToken::new(),
            )
            .await;
        }
    }
}

/// The runs that are being done.
#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    ids: HashMap<Id, RunId>,
}

/// Does one run and writes down what came of it.
async fn one(desk: Desk, executor: Arc<dyn Executor>, id: RunId, abort: CancellationToken) {
    let began = Instant::now();
    let cancelled = desk.shared.begin(id);
    // Somebody may have cancelled it between the commit that began it and this moment.
    match desk.ledger.run(id).await {
        Ok(Some(run)) if run.is_stopping => cancelled.cancel(),
        Ok(_) => {}
        Err(failure) => warn!(error = %failure, "it is not known whether the run is still wanted"),
    }
    let end = match desk.ledger.run_order(id).await {
        Ok(order) => {
            let limit = order.timeout;
            let job = Job { id, order };
            info!("a run begins");
            execute(&desk, &*executor, job, limit, &cancelled, &abort).await
        }
        Err(failure) => not_begun(&Failure::new(
            FailureKind::BackendSpawnFailed,
            format!("what is to be done cannot be read: {failure}"),
        )),
    };
    info!(ending = ?end.ending, problem = end.result.problem, "a run is over");
    tell(&desk, id, &end, began.elapsed());
    write_down(&desk, id, end, &abort).await;
}

/// Has a run done, within its time, as long as it is wanted.
async fn execute(
    desk: &Desk,
    executor: &dyn Executor,
    job: Job,
    limit: Duration,
    cancelled: &CancellationToken,
    abort: &CancellationToken,
) -> RunEnd {
    let id = job.id;
    let stop = CancellationToken::new();
    // Its thread is told once, so that there is always room.
    let (threads, mut found) = mpsc::channel(4);
    let mut tell = |event: ExecEvent| match event {
        ExecEvent::Thread(thread) => drop(threads.try_send(thread)),
        ExecEvent::Doing(text) => desk.shared.note(id, &text),
    };
    let executing = executor.execute(job, &stop, &mut tell);
    tokio::pin!(executing);
    let time_is_up = sleep(limit);
    tokio::pin!(time_is_up);
    let mut why = None;
    let ended = loop {
        tokio::select! {
            ended = &mut executing => break ended,
            Some(thread) = found.recv() => {
                if let Err(failure) = desk.ledger.set_run_thread(id, thread).await {
                    warn!(error = %failure, "the thread of a run is not noted yet");
                }
            }
            () = cancelled.cancelled(), if why.is_none() => why = Some(Why::Cancelled),
            () = abort.cancelled(), if why.is_none() => why = Some(Why::DaemonStops),
            () = &mut time_is_up, if why.is_none() => why = Some(Why::TooSlow(limit)),
        }
        if why.is_some() {
            stop.cancel();
        }
    };
    match ended {
        Ok(end) => judged(end, why),
        Err(_) if matches!(why, Some(Why::Cancelled | Why::DaemonStops)) => {
            cancelled_end(why, RunResult::default())
        }
        Err(failure) => not_begun(&failure),
    }
}

/// Says what a run has come to.
fn judged(end: ExecEnd, why: Option<Why>) -> RunEnd {
    let mut result = RunResult {
        reply: end.reply,
        problem: None,
        usage: BTreeMap::new(),
        exit_code: end.exit.code,
        exit_signal: end.exit.signal,
        ignored_lines: end.ignored_lines,
    };
    if let Some(usage) = end.usage {
        result.usage = BTreeMap::from([
            ("input_tokens".to_owned(), usage.input_tokens),
            ("cached_input_tokens".to_owned(), usage.cached_input_tokens),
            ("output_tokens".to_owned(), usage.output_tokens),
            (
                "reasoning_output_tokens".to_owned(),
                usage.reasoning_output_tokens,
            ),
        ]);
    }
    let mut ended = match (end.outcome, why) {
        (ExecOutcome::Completed, _) => RunEnd {
            ending: RunEnding::Completed,
            thread: None,
            result,
        },
        (ExecOutcome::Failed(failure), _) => failed(&failure, result),
        (ExecOutcome::Stopped { trouble }, Some(Why::TooSlow(limit))) => {
            failed(&too_slow(limit, trouble.as_deref()), result)
        }
        (ExecOutcome::Stopped { .. }, why) => cancelled_end(why, result),
    };
    ended.thread = end.thread;
    ended
}

fn cancelled_end(why: Option<Why>, result: RunResult) -> RunEnd {
    let problem = match why {
        Some(Why::DaemonStops) => DAEMON_STOPPED,
        Some(Why::Cancelled | Why::TooSlow(_)) | None => CANCELLED,
    };
    RunEnd {
        ending: RunEnding::Cancelled,
        thread: None,
        result: RunResult {
            problem: Some(problem.to_owned()),
            ..result
        },
    }
}

fn not_begun(failure: &Failure) -> RunEnd {
    failed(failure, RunResult::default())
}

fn failed(failure: &Failure, result: RunResult) -> RunEnd {
    RunEnd {
        ending: match is_blocked(failure.kind) {
            true => RunEnding::Blocked(failure.kind),
            false => RunEnding::Failed(failure.kind),
        },
        thread: None,
        result: RunResult {
            problem: Some(failure.message.clone()),
            ..result
        },
    }
}

/// Writes down how a run ended, however long the disk takes to be good again, and tells of it.
async fn write_down(desk: &Desk, id: RunId, end: RunEnd, abort: &CancellationToken) {
    let told = loop {
        match desk.ledger.end_run(id, end.clone()).await {
            Ok(told) => break told,
            Err(failure @ LedgerError::NotWritten { .. }) if !abort.is_cancelled() => {
                error!(error = %failure, "the end of a run is not on disk; trying again");
                sleep(ASK_AGAIN).await;
            }
            Err(failure) => {
                error!(error = %failure, "the end of a run cannot be written down");
                break None;
            }
        }
    };
    desk.shared.end(id);
    desk.shared.news.tell();
    if let Some(lane) = told {
        (desk.shared.wake)(lane);
    }
}

/// Says how a run ended.
fn tell(desk: &Desk, id: RunId, end: &RunEnd, took: Duration) {
    let reason = end.result.problem.clone().unwrap_or_default();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let event = match end.ending {
        RunEnding::Completed => Event::RunCompleted { duration_ms },
        RunEnding::Failed(failure) | RunEnding::Blocked(failure) => Event::RunFailed {
            failure,
            reason,
            blocked: matches!(end.ending, RunEnding::Blocked(_)),
            duration_ms,
        },
        RunEnding::Cancelled => Event::RunCancelled { reason },
    };
    desk.events.run(id).emit(event);
}
