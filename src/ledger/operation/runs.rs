//! One-off runs: queued, begun one by one, each ended once.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{DispatcherId, LaneId, RunId, ThreadId};
use crate::ledger::completion::{CompletionStatus, NewCompletion};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::operation::body::Body;
use crate::ledger::operation::expiry::Expired;
use crate::ledger::run::{
    MAX_REMEMBERED_RUNS, MAX_WAITING_RUNS, NewRun, RUN_PREFIX, RunDetails, RunEnd, RunEnding,
    RunEvent, RunFilter, RunOrder, RunPage, RunRecord, RunResult, RunState,
};
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// How large an order may be beside the rest of its record, in bytes of JSON.
const ROOM_FOR_ORDER: usize = 1_024;

/// How many runs are looked at for one page: whoever filters is told where to go on.
const LOOKED_AT: usize = 1_000;

/// What is said of a run that somebody stopped before it began.
const NOT_BEGUN: &str = "it was stopped before it began";

/// What is said of a run that was in the middle when the daemon broke.
const LOST: &str =
    "the daemon ended while it ran, so nobody can say how far it came; it is not repeated";

/// What is said of such a run that somebody had stopped.
const LOST_STOPPING: &str = "it was being stopped when the daemon ended";

/// A run as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredRun {
    id: RunId,
    /// What orders it among those of its dispatcher, whatever the clock does.
    number: u64,
    dispatcher: DispatcherId,
    purpose: String,
    state: RunState,
    is_stopping: bool,
    beginning: String,
    problem: Option<String>,
    thread: Option<ThreadId>,
    report_to: Option<LaneId>,
    #[serde(with = "time::millis")]
    queued_at: SystemTime,
    #[serde(with = "time::optional_millis")]
    started_at: Option<SystemTime>,
    #[serde(with = "time::optional_millis")]
    ended_at: Option<SystemTime>,
    order: Body<RunOrder>,
}

/// What came of a run, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredOutcome {
    result: Body<RunResult>,
}

impl StoredRun {
    fn into_record(self) -> RunRecord {
        RunRecord {
            id: self.id,
            dispatcher: self.dispatcher,
            purpose: self.purpose,
            state: self.state,
            is_stopping: self.is_stopping,
            beginning: self.beginning,
            problem: self.problem,
            thread: self.thread,
            report_to: self.report_to,
            queued_at: self.queued_at,
            started_at: self.started_at,
            ended_at: self.ended_at,
        }
    }

    /// Returns the name of the file that has what is to be done, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.order.file()
    }

    fn is_meant(&self, filter: &RunFilter) -> bool {
        let RunFilter {
            dispatcher,
            state,
            purpose,
        } = filter;
        dispatcher.as_ref().is_none_or(|it| *it == self.dispatcher)
            && state.as_ref().is_none_or(|it| it == self.state.as_str())
            && purpose.as_ref().is_none_or(|it| *it == self.purpose)
    }
}

impl StoredOutcome {
    /// Returns the name of the file that has it, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.result.file()
    }
}

impl Transaction<'_> {
    /// Queues a run.
    pub(in crate::ledger) fn queue_run(&mut self, new: NewRun) -> Result<RunRecord, LedgerError> {
        let open = self.open_runs(&key::dispatcher(&new.dispatcher)?)?;
        let waiting = open.iter().filter(|run| run.state == RunState::Queued);
        if waiting.count() >= MAX_WAITING_RUNS {
            return Err(LedgerError::TooManyRuns {
                limit: MAX_WAITING_RUNS,
            });
        }
        let id = RunId::new();
        let order = self.keep_order(id, &new.order)?;
        let run = StoredRun {
            id,
            number: self.state.take_number(),
            dispatcher: new.dispatcher,
            purpose: new.purpose,
            state: RunState::Queued,
            is_stopping: false,
            beginning: cut_reason(&new.order.prompt),
            problem: None,
            thread: None,
            report_to: new.report_to,
            queued_at: time::now(),
            started_at: None,
            ended_at: None,
            order,
        };
        let open = key::open_run(&run.dispatcher, run.number)?;
        self.put("open run", Table::OpenRuns, open, &id)?;
        self.put_run(&run)?;
        Ok(run.into_record())
    }

    /// Begins the run that has waited longest.
    pub(in crate::ledger) fn begin_run(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Option<RunRecord>, LedgerError> {
        let open = self.open_runs(&key::dispatcher(dispatcher)?)?;
        let Some(mut run) = open.into_iter().find(|it| it.state == RunState::Queued) else {
            return Ok(None);
        };
        run.state = run.state.on(RunEvent::Started)?;
        run.started_at = Some(time::now());
        self.put_run(&run)?;
        Ok(Some(run.into_record()))
    }

    /// Returns what a run is to do.
    pub(in crate::ledger) fn run_order(&mut self, id: RunId) -> Result<RunOrder, LedgerError> {
        self.known_run(id)?.order.load(self)
    }

    /// Notes the thread of a run.
    pub(in crate::ledger) fn set_run_thread(
        &mut self,
        id: RunId,
        thread: ThreadId,
    ) -> Result<(), LedgerError> {
        let mut run = self.known_run(id)?;
        run.thread = Some(thread);
        self.put_run(&run)
    }

    /// Ends a run that was begun. Returns the lane that is told.
    pub(in crate::ledger) fn end_run(
        &mut self,
        id: RunId,
        end: RunEnd,
    ) -> Result<Option<LaneId>, LedgerError> {
        let mut run = self.known_run(id)?;
        run.thread = end.thread.or(run.thread);
        self.finish_run(run, RunEvent::Ended(end.ending), end.result)
    }

    /// Ends a run that waits, or has one end that was begun.
    pub(in crate::ledger) fn cancel_run(
        &mut self,
        id: RunId,
    ) -> Result<Option<(RunRecord, Option<LaneId>)>, LedgerError> {
        let Some(mut run) = self.stored_run(id)? else {
            return Ok(None);
        };
        let told = match run.state {
            RunState::Queued => {
                let result = RunResult {
                    problem: Some(NOT_BEGUN.to_owned()),
                    ..RunResult::default()
                };
                self.finish_run(run, RunEvent::Withdrawn, result)?
            }
            RunState::Running => {
                run.is_stopping = true;
                self.put_run(&run)?;
                None
            }
            _ => None,
        };
        let run = self.known_run(id)?.into_record();
        Ok(Some((run, told)))
    }

    /// Gives up what an earlier daemon has left in the middle. Whoever is to be told finds it when their
    /// lane wakes: it has work.
    pub(in crate::ledger) fn lose_runs(&mut self) -> Result<Vec<RunRecord>, LedgerError> {
        let mut lost = Vec::new();
        for run in self.open_runs(&Key::first())? {
            if run.state != RunState::Running {
                continue;
            }
            let id = run.id;
            let (event, problem) = match run.is_stopping {
                true => (RunEvent::Ended(RunEnding::Cancelled), LOST_STOPPING),
                false => (RunEvent::Lost, LOST),
            };
            let result = RunResult {
                problem: Some(problem.to_owned()),
                ..RunResult::default()
            };
            self.finish_run(run, event, result)?;
            lost.push(self.known_run(id)?.into_record());
        }
        Ok(lost)
    }

    /// Returns a run.
    pub(in crate::ledger) fn run_record(
        &mut self,
        id: RunId,
    ) -> Result<Option<RunRecord>, LedgerError> {
        Ok(self.stored_run(id)?.map(StoredRun::into_record))
    }

    /// Returns a run, whole.
    pub(in crate::ledger) fn run_details(
        &mut self,
        id: RunId,
    ) -> Result<Option<RunDetails>, LedgerError> {
        let Some(run) = self.stored_run(id)? else {
            return Ok(None);
        };
        let mut order = run.order.clone().load(self)?;
        order.env.forget_values();
        let result = match self.stored_outcome(id)? {
            Some(outcome) => Some(outcome.result.load(self)?),
            None => None,
        };
        let ahead = match run.state {
            RunState::Queued => {
                let open = self.open_runs(&key::dispatcher(&run.dispatcher)?)?;
                let before =
                    |it: &&StoredRun| it.state == RunState::Queued && it.number < run.number;
                open.iter().filter(before).count()
            }
            _ => 0,
        };
        Ok(Some(RunDetails {
            record: run.into_record(),
            order,
            result,
            ahead,
        }))
    }

    /// Returns the newest runs that are meant.
    pub(in crate::ledger) fn runs(
        &mut self,
        filter: &RunFilter,
        behind: Option<RunId>,
        limit: usize,
    ) -> Result<RunPage, LedgerError> {
        let behind = behind.map(key::run);
        let looked_at = self.scan_before(Table::Runs, behind.as_ref(), LOOKED_AT)?;
        let is_all = looked_at.len() < LOOKED_AT;
        let mut page = RunPage {
            runs: Vec::new(),
            next: None,
        };
        for (_, value) in looked_at {
            let run: StoredRun = value.decode("run")?;
            if page.runs.len() == limit {
                page.next = page.runs.last().map(|run| run.id);
                return Ok(page);
            }
            page.next = Some(run.id);
            if run.is_meant(filter) {
                page.runs.push(run.into_record());
            }
        }
        if is_all {
            page.next = None;
        }
        Ok(page)
    }

    // === For the other operations ===

    /// Returns a run as it is stored.
    pub(super) fn stored_run(&mut self, id: RunId) -> Result<Option<StoredRun>, LedgerError> {
        self.get("run", Table::Runs, &key::run(id))
    }

    /// Returns what came of a run as it is stored.
    pub(super) fn stored_outcome(
        &mut self,
        id: RunId,
    ) -> Result<Option<StoredOutcome>, LedgerError> {
        self.get("outcome", Table::Outcomes, &key::run(id))
    }

    /// Forgets a run that is over.
    pub(super) fn forget_run(
        &mut self,
        id: RunId,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        let Some(run) = self.stored_run(id)? else {
            return Ok(());
        };
        if let Some(outcome) = self.stored_outcome(id)? {
            self.remove(Table::Outcomes, key::run(id));
            self.expire_file(outcome.file(), expired);
        }
        self.remove(Table::Runs, key::run(id));
        self.expire_file(run.file(), expired);
        self.state.ended_runs = self.state.ended_runs.saturating_sub(1);
        expired.runs += 1;
        Ok(())
    }

    /// Has a run be over, and tells whoever is to be told. Returns the lane that is.
    fn finish_run(
        &mut self,
        mut run: StoredRun,
        event: RunEvent,
        result: RunResult,
    ) -> Result<Option<LaneId>, LedgerError> {
        let id = run.id;
        run.state = run.state.on(event)?;
        run.ended_at = Some(time::now());
        run.problem = result.problem.as_deref().map(cut_reason);
        // What was secret is not kept any longer than it is needed.
        match run.order.clone().load(self) {
            Ok(mut order) if !order.env.0.is_empty() => {
                order.env.forget_values();
                let kept = self.keep_order(id, &order)?;
                let before = std::mem::replace(&mut run.order, kept);
                if let Some(file) = before.file() {
                    self.unname_file(file);
                }
            }
            // One whose order is damaged is over all the same.
            Ok(_) | Err(_) => {}
        }
        let told = self.tell_of_run(&run, &result)?;
        let outcome = StoredOutcome {
            result: Body::keep(self, SpoolOwner::Outcome(id), &result)?,
        };
        self.put("outcome", Table::Outcomes, key::run(id), &outcome)?;
        self.remove(Table::OpenRuns, key::open_run(&run.dispatcher, run.number)?);
        self.put_run(&run)?;
        self.expire_later(Class::Run, time::now(), &key::run(id))?;
        self.state.ended_runs += 1;
        if self.state.ended_runs > MAX_REMEMBERED_RUNS {
            for key in self.due_expiries(Class::Run, time::now(), 1)? {
                self.expire_run(&key, &mut Expired::default())?;
            }
        }
        Ok(told)
    }

    /// Keeps what is to be done. With values of variables it is always in a file: that is gone when it is
    /// removed, while the database may show for long what was overwritten in it.
    fn keep_order(&mut self, id: RunId, order: &RunOrder) -> Result<Body<RunOrder>, LedgerError> {
        let has_values = order.env.0.values().any(|value| !value.is_empty());
        let room = if has_values { 0 } else { ROOM_FOR_ORDER };
        Body::keep_beside(self, SpoolOwner::Run(id), order, room)
    }

    /// Reports a run that is over.
    fn tell_of_run(
        &mut self,
        run: &StoredRun,
        result: &RunResult,
    ) -> Result<Option<LaneId>, LedgerError> {
        let Some(lane) = run.report_to.clone() else {
            return Ok(None);
        };
        let status = match run.state {
            RunState::Completed => CompletionStatus::Ok,
            RunState::Cancelled => CompletionStatus::Stopped,
            _ => CompletionStatus::Failed,
        };
        let body = match (&result.reply, &result.problem) {
            (Some(reply), None) => reply.clone(),
            (None, Some(problem)) => format!("({}) {problem}", run.state.as_str()),
            (Some(reply), Some(problem)) => {
                format!("({}) {problem}\n\n{reply}", run.state.as_str())
            }
            (None, None) => format!("({})", run.state.as_str()),
        };
        let reported = self.report(NewCompletion {
            dispatcher: run.dispatcher.clone(),
            lane,
            name: format!("{RUN_PREFIX}{}", run.id),
            from: "run".to_owned(),
            status,
            body,
            origin: None,
        });
        match reported {
            Ok(reported) => Ok(Some(reported.lane)),
            // The lane is that of a teammate who has left: nobody is there to be told.
            Err(LedgerError::Roster(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the open runs whose keys begin so, in the order in which they came.
    fn open_runs(&mut self, prefix: &Key) -> Result<Vec<StoredRun>, LedgerError> {
        self.scan(Table::OpenRuns, prefix, prefix, usize::MAX)?
            .into_iter()
            .map(|(_, value)| self.known_run(value.decode("open run")?))
            .collect()
    }

    fn known_run(&mut self, id: RunId) -> Result<StoredRun, LedgerError> {
        self.stored_run(id)?.ok_or(LedgerError::UnknownRun(id))
    }

    fn put_run(&mut self, run: &StoredRun) -> Result<(), LedgerError> {
        self.put("run", Table::Runs, key::run(run.id), run)
    }
}
