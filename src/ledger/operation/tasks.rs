//! Tasks: given to a lane, done one by one. Those of a teammate are reported to whoever asked; those of
//! a session are its turns, and are looked up.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{LaneId, TaskId, TeammateId, ThreadId, TurnId, TurnKey};
use crate::ledger::completion::{CompletionStatus, NewCompletion};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Table};
use crate::ledger::lane::{OpenTurn, Stop};
use crate::ledger::message::Outcome;
use crate::ledger::operation::body::Body;
use crate::ledger::operation::expiry::Expired;
use crate::ledger::operation::lanes::StoredLane;
use crate::ledger::operation::teammates::StoredTeammate;
use crate::ledger::session::MAX_REMEMBERED_TURNS;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::task::{
    Asker, MAX_REMEMBERED_TASKS, NewTask, TEAMMATE_PREFIX, TaskEvent, TaskRecord, TaskReport,
    TaskState,
};
use crate::ledger::teammate::{Halted, MAX_WAITING_TASKS, RosterError};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// What those are told whose task never began.
const NOT_BEGUN: &str = "It was stopped before it began.";

/// A task as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredTask {
    id: TaskId,
    pub(super) lane: LaneId,
    /// What orders it among those of its lane.
    number: u64,
    asker: Option<Asker>,
    is_woken: bool,
    pub(super) state: TaskState,
    beginning: String,
    #[serde(with = "time::millis")]
    given_at: SystemTime,
    #[serde(with = "time::millis")]
    changed_at: SystemTime,
    turn: Option<TurnKey>,
    #[serde(default)]
    thread: Option<ThreadId>,
    #[serde(default)]
    codex_turn: Option<TurnId>,
    text: Body<String>,
}

/// What came of a task, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredResult {
    status: CompletionStatus,
    body: Body<String>,
}

impl StoredTask {
    fn into_record(self) -> TaskRecord {
        TaskRecord {
            id: self.id,
            lane: self.lane,
            asker: self.asker,
            is_woken: self.is_woken,
            state: self.state,
            beginning: self.beginning,
            given_at: self.given_at,
            changed_at: self.changed_at,
            turn: self.turn,
            thread: self.thread,
            codex_turn: self.codex_turn,
        }
    }

    /// Returns the name of the file that has its text, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.text.file()
    }
}

impl StoredResult {
    /// Returns the name of the file that has its text, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.body.file()
    }
}

impl Transaction<'_> {
    /// Returns the tasks of a lane, in the order in which they were given.
    pub(in crate::ledger) fn tasks(
        &mut self,
        lane: &LaneId,
    ) -> Result<Vec<TaskRecord>, LedgerError> {
        let tasks = self.stored_tasks(lane)?;
        Ok(tasks.into_iter().map(StoredTask::into_record).collect())
    }

    /// Returns a task.
    pub(in crate::ledger) fn task(
        &mut self,
        id: TaskId,
    ) -> Result<Option<TaskRecord>, LedgerError> {
        Ok(self.stored_task(id)?.map(StoredTask::into_record))
    }

    /// Returns the text of a task.
    pub(in crate::ledger) fn task_text(&mut self, id: TaskId) -> Result<String, LedgerError> {
        self.known_task(id)?.text.load(self)
    }

    /// Returns what came of a task.
    pub(in crate::ledger) fn task_report(
        &mut self,
        id: TaskId,
    ) -> Result<Option<TaskReport>, LedgerError> {
        let Some(result) = self.stored_result(id)? else {
            return Ok(None);
        };
        Ok(Some(TaskReport {
            status: result.status,
            body: result.body.load(self)?,
        }))
    }

    /// Opens a turn with the task that has waited longest.
    pub(in crate::ledger) fn open_task(
        &mut self,
        lane: &LaneId,
        key: TurnKey,
    ) -> Result<Option<OpenTurn>, LedgerError> {
        let waiting = |task: &StoredTask| task.state == TaskState::Waiting;
        let Some(mut task) = self.stored_tasks(lane)?.into_iter().find(waiting) else {
            return Ok(None);
        };
        let opened = self.begin_turn(lane, key, |transaction, lane, turn| {
            turn.task = Some(task.id);
            lane.assigned = lane.assigned.saturating_sub(1);
            task.turn = Some(key);
            transaction.move_task(task, TaskEvent::Taken)
        });
        opened.map(Some)
    }

    // === For the other operations ===

    /// Gives a teammate a task. The caller stores the teammate.
    pub(super) fn give_task(
        &mut self,
        teammate: &mut StoredTeammate,
        new: NewTask,
    ) -> Result<(), LedgerError> {
        let mut lane = self.lane_or_new(&teammate.lane, &teammate.dispatcher)?;
        if lane.assigned >= MAX_WAITING_TASKS {
            return Err(RosterError::Overworked { name: new.teammate }.into());
        }
        lane.teammate = Some(teammate.id);
        lane.assigned += 1;
        lane.used_at = time::now();
        self.put_lane(&lane)?;
        teammate.asker = new.asker.clone();
        self.add_task(&lane.id, Some(new.asker), (&new.text, &new.text), None)?;
        Ok(())
    }

    /// Adds a turn to those that wait for a session's lane. The caller stores the lane.
    pub(super) fn add_turn(
        &mut self,
        lane: &LaneId,
        text: &str,
        beginning: &str,
    ) -> Result<TaskRecord, LedgerError> {
        let task = self.add_task(lane, None, (text, beginning), None)?;
        Ok(task.into_record())
    }

    /// Settles what the open turn of a lane was about, keeps what came of it, and reports it to whoever
    /// asked, unless that is who has stopped it. Returns the lane that is told. The caller has stored the
    /// lane.
    pub(super) fn settle_task(
        &mut self,
        lane: &StoredLane,
        turn: &OpenTurn,
        outcome: &Outcome,
        report: Option<TaskReport>,
    ) -> Result<Option<LaneId>, LedgerError> {
        let mut asker = None;
        if let Some(id) = turn.task
            && let Some(mut task) = self.stored_task(id)?
        {
            asker = task.asker.clone();
            task.thread = lane.thread.clone();
            task.codex_turn = turn.codex_turn.clone();
            self.move_task(task, TaskEvent::Settled(outcome.clone()))?;
        }
        let Some(report) = report else {
            return Ok(None);
        };
        let teammate = self.teammate_of(lane.teammate)?;
        let asker = asker.or_else(|| teammate.as_ref().map(|it| it.asker.clone()));
        let about = match turn.task {
            Some(task) => task,
            None => {
                let woken = Some((outcome.clone().into(), turn.key));
                self.add_task(&lane.id, asker.clone(), ("", ""), woken)?.id
            }
        };
        let result = StoredResult {
            status: report.status,
            body: Body::keep(self, SpoolOwner::Result(about), &report.body)?,
        };
        self.put("result", Table::Results, key::task(about), &result)?;
        let remembered = match lane.session {
            Some(_) => MAX_REMEMBERED_TURNS,
            None => MAX_REMEMBERED_TASKS,
        };
        self.forget_tasks(&lane.id, remembered, &mut Expired::default())?;
        let (Some(mut teammate), Some(asker)) = (teammate, asker) else {
            return Ok(None);
        };
        let stopped_by = turn.stop.as_ref().map(|stop| &stop.by);
        if stopped_by == Some(&Some(asker.lane.clone())) {
            return Ok(None);
        }
        let told = asker.lane.clone();
        self.report_to(&mut teammate, asker, report)?;
        self.put_teammate(&teammate)?;
        Ok(Some(told))
    }

    /// Ends what a teammate's lane does and forgets what waits for it. Returns the lanes that are told.
    pub(super) fn halt_tasks(
        &mut self,
        teammate: &mut StoredTeammate,
        stop: Stop,
    ) -> Result<(Vec<LaneId>, Halted), LedgerError> {
        let by = stop.by.clone();
        // Whatever it was brought, it is to do nothing about it; also what its thread has already.
        self.withdraw_arrivals(&teammate.lane, |_| true)?;
        let mut halted = Halted::default();
        let mut lane = self.known_lane(&teammate.lane)?;
        lane.assigned = 0;
        self.put_lane(&lane)?;
        let mut told = Vec::new();
        for task in self.stored_tasks(&lane.id)? {
            if task.state != TaskState::Waiting {
                continue;
            }
            halted.waiting += 1;
            let asker = task.asker.clone();
            self.move_task(task, TaskEvent::Withdrawn)?;
            if let Some(asker) = asker
                && by.as_ref() != Some(&asker.lane)
            {
                told.push(asker.lane.clone());
                let report = TaskReport {
                    status: CompletionStatus::Stopped,
                    body: NOT_BEGUN.to_owned(),
                };
                self.report_to(teammate, asker, report)?;
            }
        }
        halted.is_running = self.stop_turn(&lane.id, stop)?;
        if let Some(by) = by {
            let prefix = format!("{TEAMMATE_PREFIX}{}#", teammate.name);
            // What a thread has is not taken back.
            halted.unseen = self.withdraw_arrivals(&by, |it| {
                it.injected_into.is_none() && it.name.starts_with(&prefix)
            })?;
        }
        Ok((told, halted))
    }

    /// Withdraws what waits for a lane of which nobody is told. Returns how much that was.
    pub(super) fn withdraw_tasks(&mut self, lane: &LaneId) -> Result<usize, LedgerError> {
        let mut lane = self.known_lane(lane)?;
        lane.assigned = 0;
        self.put_lane(&lane)?;
        let mut withdrawn = 0;
        for task in self.stored_tasks(&lane.id)? {
            if task.state == TaskState::Waiting {
                self.move_task(task, TaskEvent::Withdrawn)?;
                withdrawn += 1;
            }
        }
        Ok(withdrawn)
    }

    /// Forgets the oldest settled tasks of a lane but for `keep` of them.
    pub(super) fn forget_tasks(
        &mut self,
        lane: &LaneId,
        keep: usize,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        let mut settled = self.stored_tasks(lane)?;
        settled.retain(|task| task.state.is_settled());
        let excess = settled.len().saturating_sub(keep);
        for task in settled.into_iter().take(excess) {
            let key = key::task(task.id);
            self.remove(Table::Assigned, key::in_lane(lane, task.number)?);
            self.remove(Table::Tasks, key.clone());
            let result = self.stored_result(task.id)?;
            if let Some(result) = result {
                self.remove(Table::Results, key);
                self.expire_file(result.file(), expired);
            }
            self.expire_file(task.file(), expired);
        }
        Ok(())
    }

    /// Returns whether all tasks of a lane that are remembered are settled.
    pub(super) fn are_tasks_settled(&mut self, lane: &LaneId) -> Result<bool, LedgerError> {
        let tasks = self.stored_tasks(lane)?;
        Ok(tasks.iter().all(|task| task.state.is_settled()))
    }

    /// Returns a task as it is stored.
    pub(super) fn stored_task(&mut self, id: TaskId) -> Result<Option<StoredTask>, LedgerError> {
        self.get("task", Table::Tasks, &key::task(id))
    }

    /// Returns what came of a task as it is stored.
    pub(super) fn stored_result(
        &mut self,
        id: TaskId,
    ) -> Result<Option<StoredResult>, LedgerError> {
        self.get("result", Table::Results, &key::task(id))
    }

    /// Adds a task with its text and the beginning that is shown of it: one that waits, or one that
    /// nobody gave and that is over.
    fn add_task(
        &mut self,
        lane: &LaneId,
        asker: Option<Asker>,
        (text, beginning): (&str, &str),
        woken: Option<(TaskState, TurnKey)>,
    ) -> Result<StoredTask, LedgerError> {
        let (id, now) = (TaskId::new(), time::now());
        let number = self.state.take_number();
        let assigned = key::in_lane(lane, number)?;
        self.put("assignment", Table::Assigned, assigned, &id)?;
        let task = StoredTask {
            id,
            lane: lane.clone(),
            number,
            asker,
            is_woken: woken.is_some(),
            beginning: cut_reason(beginning),
            given_at: now,
            changed_at: now,
            turn: woken.as_ref().map(|(_, turn)| *turn),
            thread: None,
            codex_turn: None,
            state: woken.map_or(TaskState::Waiting, |(state, _)| state),
            text: Body::keep(self, SpoolOwner::Task(id), &text.to_owned())?,
        };
        self.put("task", Table::Tasks, key::task(id), &task)?;
        Ok(task)
    }

    /// Reports a result of a teammate. The caller stores the teammate.
    fn report_to(
        &mut self,
        teammate: &mut StoredTeammate,
        asker: Asker,
        report: TaskReport,
    ) -> Result<(), LedgerError> {
        let name = loop {
            teammate.results = teammate.results.wrapping_add(1);
            let name = format!("{TEAMMATE_PREFIX}{}#{}", teammate.name, teammate.results);
            // An earlier one of its name may have reported that, and a name is taken once.
            if !self.is_reported(&teammate.dispatcher, &name)? {
                break name;
            }
        };
        self.report(NewCompletion {
            dispatcher: teammate.dispatcher.clone(),
            lane: asker.lane,
            name,
            from: teammate.name.clone(),
            status: report.status,
            body: report.body,
            origin: asker.origin,
        })?;
        Ok(())
    }

    /// Returns the teammate of a lane that has one.
    pub(super) fn teammate_of(
        &mut self,
        id: Option<TeammateId>,
    ) -> Result<Option<StoredTeammate>, LedgerError> {
        id.map_or(Ok(None), |id| self.stored_teammate(id))
    }

    fn stored_tasks(&mut self, lane: &LaneId) -> Result<Vec<StoredTask>, LedgerError> {
        let prefix = key::lane(lane)?;
        self.scan(Table::Assigned, &prefix, &prefix, usize::MAX)?
            .into_iter()
            .map(|(_, value)| self.known_task(value.decode("assignment")?))
            .collect()
    }

    fn known_task(&mut self, id: TaskId) -> Result<StoredTask, LedgerError> {
        self.stored_task(id)?.ok_or(LedgerError::UnknownTask(id))
    }

    /// Moves a task to its next state.
    pub(super) fn move_task(
        &mut self,
        mut task: StoredTask,
        event: TaskEvent,
    ) -> Result<(), LedgerError> {
        task.state = task.state.on(event)?;
        task.changed_at = time::now();
        self.put("task", Table::Tasks, key::task(task.id), &task)
    }
}
