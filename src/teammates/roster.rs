//! What is ordered about teammates, checked; and how they are.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tracing::warn;

use super::doing::{Doing, WhatTheyDo};
use super::wish::{SpawnRequest, WorkspaceRequest};
use super::worktree::{self, Worktree, WorktreeError};
use crate::config::Sandbox;
use crate::id::{DispatcherId, LaneId};
use crate::ledger::{
    Asker, CompletionStatus, Halt, IdempotencyKey, Ledger, LedgerError, NewTask, NewTeammate, Once,
    Order, Ordered, RosterError, Stop, TaskRecord, TaskReport, TaskState, TeammateRecord,
    Workspace, WorktreeFate,
};

/// How many characters the name of a teammate may have.
pub const MAX_NAME: usize = 40;

/// How many characters a task may have.
pub const MAX_TASK: usize = 100_000;

/// How many characters the instructions of a teammate may have.
pub const MAX_INSTRUCTIONS: usize = 20_000;

/// How many characters the name of a model may have.
pub const MAX_MODEL: usize = 100;

/// How long git may take to say whether there can be a worktree: whoever asks waits for it.
const PLAN_WITHIN: Duration = Duration::from_secs(30);

/// What is read instead of a text that the disk has lost.
const LOST: &str = "(This text is lost: the file that had it cannot be read any more.)";

/// How many of its last tasks are read at a time.
pub const MAX_READ: usize = 10;

/// What a dispatcher allows its teammates.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where the dispatcher works: nobody works outside of it but in a worktree of its repository.
    pub workspace: PathBuf,
    /// Where worktrees are made.
    pub worktrees: PathBuf,
    /// What commands of the dispatcher may do: those of nobody may do more.
    pub sandbox: Sandbox,
    /// How many there may be at a time; 0 turns them off.
    pub limit: usize,
}

/// Why an order is not carried out.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The dispatcher has no teammates.
    #[error(
        "no work can be handed out: the operator has turned teammates off (`teammates = {{ max = 0 }}`)"
    )]
    Off,
    /// The name cannot be one.
    #[error(
        "{name:?} cannot be the name of a teammate: use up to {MAX_NAME} lower-case letters, digits and \
         hyphens, beginning with a letter and not ending with a hyphen"
    )]
    Name {
        /// The name, cut.
        name: String,
    },
    /// A text is blank or too long.
    #[error("the {what} {problem}")]
    Text {
        /// Which text.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// It would be allowed more than the dispatcher.
    #[error(
        "a teammate cannot have the sandbox {wanted}: its dispatcher has {allowed}, and it may not have more; \
         leave it out, or name a narrower one"
    )]
    Sandbox {
        /// What was asked for.
        wanted: Sandbox,
        /// What there is.
        allowed: Sandbox,
    },
    /// The directory is none, or lies elsewhere.
    #[error("{} cannot be its directory: {problem}", .path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There can be no worktree.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// Git does not answer.
    #[error(
        "git did not say within {} s whether there can be a worktree: try again, or use the shared \
         workspace",
        PLAN_WITHIN.as_secs()
    )]
    TooSlow,
    /// The teammates are not such that it could be.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// There is no room in the ledger for what is to be remembered of it.
    #[error(
        "what is to be remembered of it does not fit ({what}: {bytes} bytes, and {limit} are the most): \
         use shorter names, or a workspace with a shorter path"
    )]
    TooLarge {
        /// What has no room.
        what: &'static str,
        /// How long it would be.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It is not on disk.
    #[error(transparent)]
    Ledger(LedgerError),
}

impl From<LedgerError> for OrderError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Roster(error) => Self::Roster(error),
            LedgerError::TooLarge { what, bytes, limit } => Self::TooLarge { what, bytes, limit },
            error => Self::Ledger(error),
        }
    }
}

/// How a teammate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teammate {
    /// Who it is.
    pub record: TeammateRecord,
    /// What it is at.
    pub state: State,
    /// Since when: that its turn runs, its first task waits, its last one is over, or it has left.
    pub since: SystemTime,
    /// How many tasks wait for it.
    pub waiting: usize,
    /// The task that it works on, or else the first that waits, or else the last one that was settled.
    pub task: Option<TaskRecord>,
    /// The last one that was settled.
    pub last: Option<TaskRecord>,
}

/// What a teammate is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has nothing to do.
    Idle,
    /// Its tasks wait: for a free place among those that work, or for Codex.
    Waiting,
    /// It works.
    Working {
        /// What it was doing when it was last heard of.
        doing: Option<Doing>,
    },
    /// It was told to end what it does.
    Stopping,
    /// It has left.
    Closed,
}

impl State {
    /// Returns its name without what belongs to it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Working { .. } => "working",
            Self::Stopping => "stopping",
            Self::Closed => "closed",
        }
    }
}

/// A teammate, and what it was last given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// How it is.
    pub teammate: Teammate,
    /// The last tasks that it has begun, oldest first, or that were stopped before.
    pub tasks: Vec<TaskDetails>,
    /// Those that wait for it, in order.
    pub waiting: Vec<TaskRecord>,
}

/// A task, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDetails {
    /// How far it is.
    pub record: TaskRecord,
    /// What was to be done.
    pub text: String,
    /// What came of it, if anything has yet.
    pub report: Option<TaskReport>,
}

/// The teammates of one dispatcher. Cheap to clone.
#[derive(Clone)]
pub struct Roster(Arc<Shared>);

struct Shared {
    dispatcher: DispatcherId,
    rules: Rules,
    ledger: Ledger,
    doing: WhatTheyDo,
    wake: Box<dyn Fn(LaneId) + Send + Sync>,
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster")
            .field("dispatcher", &self.0.dispatcher)
            .finish_non_exhaustive()
    }
}

impl Roster {
    /// Makes the roster of a dispatcher; `wake` is told which lanes have something to do.
    pub fn new(
        dispatcher: DispatcherId,
        rules: Rules,
        ledger: Ledger,
        doing: WhatTheyDo,
        wake: impl Fn(LaneId) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            dispatcher,
            rules,
            ledger,
            doing,
            wake: Box::new(wake),
        }))
    }

    // === Orders ===

    /// Returns the order by which a teammate joins and is given its first task. Changes nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be carried out.
    pub async fn spawn(&self, request: SpawnRequest, asker: Asker) -> Result<Order, OrderError> {
        let rules = &self.0.rules;
        if rules.limit == 0 {
            return Err(OrderError::Off);
        }
        check_name(&request.name)?;
        check_text("task", &request.task, MAX_TASK)?;
        for (what, text, max) in [
            ("instructions", &request.instructions, MAX_INSTRUCTIONS),
            ("model", &request.model, MAX_MODEL),
        ] {
            if let Some(text) = text {
                check_text(what, text, max)?;
            }
        }
        if let Some(wanted) = request.sandbox
            && wanted.is_wider_than(rules.sandbox)
        {
            let allowed = rules.sandbox;
            return Err(OrderError::Sandbox { wanted, allowed });
        }
        let workspace = match request.workspace {
            WorkspaceRequest::Shared => Workspace::Shared,
            WorkspaceRequest::Directory(path) => self.directory(&path).await?,
            WorkspaceRequest::Worktree => {
                let name = &request.name;
                // The name first: then the branch of one that is there already is no riddle.
                if let Some(known) = self.named(name).await? {
                    let has_left = known.closed_at.is_some();
                    return Err(RosterError::taken(name.clone(), has_left).into());
                }
                let plan = worktree::plan(&rules.workspace, &rules.worktrees, name);
                let plan = tokio::time::timeout(PLAN_WITHIN, plan)
                    .await
                    .map_err(|_elapsed| OrderError::TooSlow)??;
                Workspace::Worktree {
                    repository: plan.repository,
                    path: plan.path,
                    branch: plan.branch,
                    inside: plan.inside,
                    fate: WorktreeFate::InUse,
                }
            }
        };
        let new = NewTeammate {
            dispatcher: self.0.dispatcher.clone(),
            lane: self.lane_of(&request.name),
            name: request.name.clone(),
            workspace,
            model: request.model,
            sandbox: request.sandbox.map(|sandbox| sandbox.as_str().to_owned()),
            instructions: request.instructions,
            limit: rules.limit,
        };
        Ok(Order::Spawn(
            new,
            self.task(request.name, request.task, asker),
        ))
    }

    /// Returns the order by which a teammate is given a further task. Changes nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be carried out.
    pub fn send(&self, name: String, task: String, asker: Asker) -> Result<Order, OrderError> {
        if self.0.rules.limit == 0 {
            return Err(OrderError::Off);
        }
        check_text("task", &task, MAX_TASK)?;
        Ok(Order::Assign(self.task(name, task, asker)))
    }

    /// Returns the order by which a teammate ends what it does and forgets what waits.
    pub fn stop(&self, name: String, stop: Stop) -> Order {
        Order::Stop(self.halt(name, stop))
    }

    /// Returns the order by which a teammate leaves. With `force` its worktree goes also when something
    /// would be lost by that.
    pub fn close(&self, name: String, stop: Stop, force: bool) -> Order {
        Order::Close {
            halt: self.halt(name, stop),
            force,
        }
    }

    /// Carries an order out.
    ///
    /// # Errors
    ///
    /// When it cannot be, or is not on disk.
    pub async fn carry_out(&self, order: Order) -> Result<Ordered, OrderError> {
        let ordered = self.0.ledger.carry_out(order).await?;
        self.wake(&ordered);
        Ok(ordered)
    }

    /// As [`carry_out`](Self::carry_out), unless that was done before under the same key.
    ///
    /// # Errors
    ///
    /// As [`carry_out`](Self::carry_out), and when another order was given the key.
    pub async fn carry_out_once(
        &self,
        order: Order,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<Ordered>, OrderError> {
        let once = self.0.ledger.carry_out_once(order, key).await?;
        if let Once::New(ordered) = &once {
            self.wake(ordered);
        }
        Ok(once)
    }

    /// Wakes those whom an order concerns that was carried out.
    pub fn wake(&self, ordered: &Ordered) {
        for lane in ordered.told.iter().chain([&ordered.lane]) {
            (self.0.wake)(lane.clone());
        }
    }

    // === How they are ===

    /// Returns all that are remembered, by name, those that have left last.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn list(&self) -> Result<Vec<Teammate>, LedgerError> {
        let records = self.0.ledger.teammates(&self.0.dispatcher).await?;
        let mut teammates = Vec::with_capacity(records.len());
        for record in records {
            teammates.push(self.look_at(record).await?.0);
        }
        teammates.sort_by_key(|teammate| teammate.record.closed_at.is_some());
        Ok(teammates)
    }

    /// Returns one of them, and up to `count` of its last tasks, at most [`MAX_READ`].
    ///
    /// # Errors
    ///
    /// When there is none of that name, or it cannot be read.
    pub async fn read(&self, name: &str, count: usize) -> Result<Details, OrderError> {
        self.find(name, count).await?.ok_or_else(|| {
            let name = tieline_channel::cut(name, MAX_NAME);
            RosterError::Unknown { name }.into()
        })
    }

    /// As [`read`](Self::read), for whoever only guesses that there is one of that name. A text that the
    /// disk has lost is replaced by words that say so.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn find(&self, name: &str, count: usize) -> Result<Option<Details>, LedgerError> {
        let Some(record) = self.named(name).await? else {
            return Ok(None);
        };
        let (teammate, records) = self.look_at(record).await?;
        let (waiting, mut others): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|task| task.state == TaskState::Waiting);
        let first = others.len().saturating_sub(count.clamp(1, MAX_READ));
        let mut tasks = Vec::new();
        for record in others.drain(first..) {
            tasks.extend(self.details(record).await?);
        }
        Ok(Some(Details {
            teammate,
            tasks,
            waiting,
        }))
    }

    /// Returns a task with its texts; `None` if it was forgotten in this moment.
    async fn details(&self, record: TaskRecord) -> Result<Option<TaskDetails>, LedgerError> {
        let text = match self.0.ledger.task_text(record.id).await {
            Ok(text) => text,
            Err(LedgerError::UnknownTask(_)) => return Ok(None),
            Err(failure @ LedgerError::Damaged { .. }) => {
                warn!(task = %record.id, error = %failure, "the text of a task is lost");
                LOST.to_owned()
            }
            Err(failure) => return Err(failure),
        };
        let report = match self.0.ledger.task_report(record.id).await {
            Ok(report) => report,
            Err(failure @ LedgerError::Damaged { .. }) => {
                warn!(task = %record.id, error = %failure, "what came of a task is lost");
                Some(TaskReport {
                    status: status_of(&record.state),
                    body: LOST.to_owned(),
                })
            }
            Err(failure) => return Err(failure),
        };
        Ok(Some(TaskDetails {
            record,
            text,
            report,
        }))
    }

    async fn named(&self, name: &str) -> Result<Option<TeammateRecord>, LedgerError> {
        // What cannot be a name is nobody's.
        if check_name(name).is_err() {
            return Ok(None);
        }
        self.0.ledger.teammate_named(&self.0.dispatcher, name).await
    }

    async fn look_at(
        &self,
        record: TeammateRecord,
    ) -> Result<(Teammate, Vec<TaskRecord>), LedgerError> {
        let ledger = &self.0.ledger;
        let tasks = ledger.tasks(&record.lane).await?;
        let lane = ledger.lane(&record.lane).await?;
        let open = lane.as_ref().and_then(|lane| lane.open.as_ref());
        let waiting = lane.as_ref().map_or(0, |lane| lane.assigned);
        let state = match (record.closed_at, open) {
            (Some(_), _) => State::Closed,
            (None, Some(open)) if open.stop.is_some() => State::Stopping,
            (None, Some(_)) => State::Working {
                doing: self.0.doing.of(&record.lane),
            },
            (None, None) if lane.as_ref().is_some_and(|lane| lane.inputs() > 0) => State::Waiting,
            (None, None) => State::Idle,
        };
        let is_at = |task: &&TaskRecord| task.state == TaskState::InTurn;
        let over = tasks.iter().filter(|task| task.state.is_settled());
        let last = over.max_by_key(|task| task.changed_at);
        let next = tasks.iter().find(|task| task.state == TaskState::Waiting);
        let task = tasks.iter().find(is_at).or(next).or(last).cloned();
        let since = match &state {
            State::Idle => last.map(|task| task.changed_at),
            State::Waiting => next.map(|task| task.given_at),
            State::Working { .. } | State::Stopping => open.map(|open| open.opened_at),
            State::Closed => record.closed_at,
        };
        let used_at = lane.as_ref().map(|lane| lane.used_at);
        let since = since.or(used_at).unwrap_or(record.joined_at);
        let teammate = Teammate {
            record,
            state,
            since,
            waiting,
            task,
            last: last.cloned(),
        };
        Ok((teammate, tasks))
    }

    // === Parts of orders ===

    fn lane_of(&self, name: &str) -> LaneId {
        // No channel has such a name, so no chat has this lane.
        LaneId::new(format!("{}/@{name}", self.0.dispatcher))
    }

    fn task(&self, teammate: String, text: String, asker: Asker) -> NewTask {
        NewTask {
            dispatcher: self.0.dispatcher.clone(),
            teammate,
            asker,
            text,
        }
    }

    fn halt(&self, name: String, stop: Stop) -> Halt {
        Halt {
            dispatcher: self.0.dispatcher.clone(),
            name,
            stop,
        }
    }

    /// Checks a directory that a teammate is to work in.
    async fn directory(&self, wanted: &Path) -> Result<Workspace, OrderError> {
        let refused = |problem: &str| OrderError::Directory {
            path: wanted.to_owned(),
            problem: problem.to_owned(),
        };
        let workspace = &self.0.rules.workspace;
        if wanted.components().any(|part| part == Component::ParentDir) {
            return Err(refused(
                "`..` leads out of the workspace; name one below it",
            ));
        }
        let (root, path) = tokio::try_join!(
            tokio::fs::canonicalize(workspace),
            tokio::fs::canonicalize(workspace.join(wanted)),
        )
        .map_err(|error| refused(&format!("{error}; make it first, or use \"shared\"")))?;
        if !path.starts_with(&root) {
            return Err(refused("it is not below the dispatcher's workspace"));
        }
        if !path.is_dir() {
            return Err(refused("it is not a directory"));
        }
        Ok(Workspace::Directory { path })
    }
}

/// Returns the worktree of a teammate, if it has one, and what is to become of it.
pub fn worktree_of(workspace: &Workspace) -> Option<(Worktree, &WorktreeFate)> {
    match workspace {
        Workspace::Shared | Workspace::Directory { .. } => None,
        Workspace::Worktree {
            repository,
            path,
            branch,
            inside,
            fate,
        } => {
            let worktree = Worktree {
                repository: repository.clone(),
                path: path.clone(),
                branch: branch.clone(),
                inside: inside.clone(),
            };
            Some((worktree, fate))
        }
    }
}

/// Returns how a task ended whose result is lost.
fn status_of(state: &TaskState) -> CompletionStatus {
    match state {
        TaskState::Waiting | TaskState::InTurn | TaskState::Done => CompletionStatus::Ok,
        TaskState::Failed { .. } | TaskState::Unclear => CompletionStatus::Failed,
        TaskState::Stopped => CompletionStatus::Stopped,
    }
}

fn check_name(name: &str) -> Result<(), OrderError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if begins_well && name.len() <= MAX_NAME && name.chars().all(is_plain) && !name.ends_with('-') {
        return Ok(());
    }
    Err(OrderError::Name {
        name: tieline_channel::cut(name, MAX_NAME),
    })
}

fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), OrderError> {
    let chars = text.chars().count();
    let problem = if text.trim().is_empty() {
        "is empty".to_owned()
    } else if chars > max {
        format!("has {chars} characters, and {max} are the most")
    } else {
        return Ok(());
    };
    Err(OrderError::Text { what, problem })
}

#[cfg(test)]
mod tests;
