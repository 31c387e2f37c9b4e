//! Teammates: who they are, and what is ordered about them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{DispatcherId, LaneId, TeammateId};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Table};
use crate::ledger::lane::Stop;
use crate::ledger::operation::body::Body;
use crate::ledger::operation::expiry::Expired;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::task::{Asker, NewTask};
use crate::ledger::teammate::{
    Halt, Halted, MAX_CLOSED, NewTeammate, Order, Ordered, RosterError, TeammateRecord, Workspace,
    WorktreeFate,
};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::{MAX_REASON, Value, cut_reason};

/// How long instructions may be inside of a record, in bytes of JSON: it has three paths beside them,
/// and who has asked.
const MAX_INLINE_INSTRUCTIONS: usize = 1024;

/// A teammate as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredTeammate {
    pub(super) id: TeammateId,
    pub(super) dispatcher: DispatcherId,
    pub(super) name: String,
    pub(super) lane: LaneId,
    workspace: Workspace,
    model: Option<String>,
    sandbox: Option<String>,
    instructions: Option<Body<String>>,
    pub(super) results: u32,
    pub(super) asker: Asker,
    #[serde(with = "time::millis")]
    joined_at: SystemTime,
    #[serde(with = "time::optional_millis")]
    pub(super) closed_at: Option<SystemTime>,
}

impl StoredTeammate {
    fn keeps_worktree(&self) -> bool {
        matches!(self.workspace.fate(), Some(WorktreeFate::Kept { .. }))
    }

    fn into_record(self) -> TeammateRecord {
        TeammateRecord {
            id: self.id,
            dispatcher: self.dispatcher,
            name: self.name,
            lane: self.lane,
            workspace: self.workspace,
            model: self.model,
            sandbox: self.sandbox,
            results: self.results,
            asker: self.asker,
            joined_at: self.joined_at,
            closed_at: self.closed_at,
        }
    }

    /// Returns it with the most that can still be added to it without an order.
    fn at_its_longest(&self) -> Self {
        let mut longest = Self {
            results: u32::MAX,
            closed_at: Some(self.joined_at),
            ..self.clone()
        };
        if let Workspace::Worktree { fate, .. } = &mut longest.workspace {
            let reason = "x".repeat(MAX_REASON) + "…";
            *fate = WorktreeFate::Kept { reason };
        }
        longest
    }

    /// Returns the name of the file that has its instructions, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.instructions.and_then(Body::file)
    }
}

impl Transaction<'_> {
    /// Carries an order out.
    pub(in crate::ledger) fn carry_out(&mut self, order: Order) -> Result<Ordered, LedgerError> {
        match order {
            Order::Spawn(new, task) => self.spawn(new, task),
            Order::Assign(task) => {
                let mut teammate = self.open_teammate(&task.dispatcher, &task.teammate)?;
                self.give_task(&mut teammate, task)?;
                self.put_roomy_teammate(&teammate)?;
                Ok(ordered(teammate.lane))
            }
            Order::Stop(halt) => {
                let mut teammate = self.open_teammate(&halt.dispatcher, &halt.name)?;
                self.halt(&mut teammate, halt.stop)
            }
            Order::Close { halt, force } => {
                if force && let Some(ordered) = self.discard_left(&halt)? {
                    return Ok(ordered);
                }
                let mut teammate = self.open_teammate(&halt.dispatcher, &halt.name)?;
                let now = time::now();
                teammate.closed_at = Some(now);
                if let Workspace::Worktree { fate, .. } = &mut teammate.workspace {
                    *fate = WorktreeFate::Leaving { force };
                }
                self.expire_later(Class::Teammate, now, &key::teammate(teammate.id))?;
                let ordered = self.halt(&mut teammate, halt.stop)?;
                self.forget_oldest_closed(&halt.dispatcher)?;
                Ok(ordered)
            }
        }
    }

    /// Returns the teammates of a dispatcher, by name.
    pub(in crate::ledger) fn teammates(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<TeammateRecord>, LedgerError> {
        let teammates = self.stored_teammates(dispatcher)?;
        Ok(teammates
            .into_iter()
            .map(StoredTeammate::into_record)
            .collect())
    }

    /// Returns a teammate.
    pub(in crate::ledger) fn teammate(
        &mut self,
        id: TeammateId,
    ) -> Result<Option<TeammateRecord>, LedgerError> {
        Ok(self.stored_teammate(id)?.map(StoredTeammate::into_record))
    }

    /// Returns the teammate of a name.
    pub(in crate::ledger) fn teammate_named(
        &mut self,
        dispatcher: &DispatcherId,
        name: &str,
    ) -> Result<Option<TeammateRecord>, LedgerError> {
        let named = self.stored_teammate_named(dispatcher, name)?;
        Ok(named.map(StoredTeammate::into_record))
    }

    /// Returns what a teammate is told beside its tasks.
    pub(in crate::ledger) fn instructions(
        &mut self,
        id: TeammateId,
    ) -> Result<Option<String>, LedgerError> {
        let teammate = self.known_teammate(id)?;
        teammate
            .instructions
            .map(|text| text.load(self))
            .transpose()
    }

    /// Notes what became of a worktree, unless something else was ordered meanwhile.
    pub(in crate::ledger) fn worktree_left(
        &mut self,
        id: TeammateId,
        wanted: &WorktreeFate,
        became: WorktreeFate,
    ) -> Result<(), LedgerError> {
        let mut teammate = self.known_teammate(id)?;
        if let Workspace::Worktree { fate, .. } = &mut teammate.workspace {
            if *fate != *wanted {
                return Ok(());
            }
            *fate = match became {
                WorktreeFate::Kept { reason } => WorktreeFate::Kept {
                    reason: cut_reason(&reason),
                },
                became => became,
            };
        }
        self.put_teammate(&teammate)
    }

    // === For the other operations ===

    /// Returns a teammate as it is stored.
    pub(super) fn stored_teammate(
        &mut self,
        id: TeammateId,
    ) -> Result<Option<StoredTeammate>, LedgerError> {
        self.get("teammate", Table::Teammates, &key::teammate(id))
    }

    /// Stores a teammate.
    pub(super) fn put_teammate(&mut self, teammate: &StoredTeammate) -> Result<(), LedgerError> {
        let key = key::teammate(teammate.id);
        self.put("teammate", Table::Teammates, key, teammate)
    }

    /// Returns whether a teammate was closed and nothing is left to be done for it: no turn, nothing
    /// that waits, no worktree that is to go.
    pub(super) fn has_finished(&mut self, teammate: &StoredTeammate) -> Result<bool, LedgerError> {
        let is_leaving = matches!(
            teammate.workspace.fate(),
            Some(WorktreeFate::Leaving { .. })
        );
        if teammate.closed_at.is_none() || is_leaving {
            return Ok(false);
        }
        let lane = self.lane(&teammate.lane)?;
        let rests = lane.is_none_or(|lane| lane.open.is_none() && lane.inputs() == 0);
        Ok(rests && self.are_tasks_settled(&teammate.lane)?)
    }

    /// Forgets a teammate that has finished, its tasks and its lane.
    pub(super) fn forget_teammate(
        &mut self,
        teammate: StoredTeammate,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        self.forget_tasks(&teammate.lane, 0, expired)?;
        self.forget_lane(&teammate.lane)?;
        self.remove(
            Table::Names,
            key::name(&teammate.dispatcher, &teammate.name)?,
        );
        self.remove(Table::Teammates, key::teammate(teammate.id));
        expired.teammates += 1;
        self.expire_file(teammate.file(), expired);
        Ok(())
    }

    fn spawn(&mut self, new: NewTeammate, task: NewTask) -> Result<Ordered, LedgerError> {
        if let Some(known) = self.stored_teammate_named(&new.dispatcher, &new.name)? {
            return Err(RosterError::taken(new.name, known.closed_at.is_some()).into());
        }
        let all = self.stored_teammates(&new.dispatcher)?;
        if all.iter().filter(|it| it.closed_at.is_none()).count() >= new.limit {
            return Err(RosterError::TooMany { limit: new.limit }.into());
        }
        let id = TeammateId::new();
        let instructions = match &new.instructions {
            Some(text) => {
                let owner = SpoolOwner::Teammate(id);
                Some(Body::keep_beside(
                    self,
                    owner,
                    text,
                    MAX_INLINE_INSTRUCTIONS,
                )?)
            }
            None => None,
        };
        let name = key::name(&new.dispatcher, &new.name)?;
        self.put("teammate's name", Table::Names, name, &id)?;
        let mut teammate = StoredTeammate {
            id,
            dispatcher: new.dispatcher,
            name: new.name,
            lane: new.lane,
            workspace: new.workspace,
            model: new.model,
            sandbox: new.sandbox,
            instructions,
            results: 0,
            asker: task.asker.clone(),
            joined_at: time::now(),
            closed_at: None,
        };
        self.give_task(&mut teammate, task)?;
        self.put_roomy_teammate(&teammate)?;
        Ok(ordered(teammate.lane))
    }

    /// Stores a teammate about which something was ordered. There must be room for whatever else is
    /// noted of it then, for that cannot be refused.
    fn put_roomy_teammate(&mut self, teammate: &StoredTeammate) -> Result<(), LedgerError> {
        Value::encode("teammate", &teammate.at_its_longest())?;
        self.put_teammate(teammate)
    }

    /// Forgets the oldest of those that have left, as far as there are too many of them.
    fn forget_oldest_closed(&mut self, dispatcher: &DispatcherId) -> Result<(), LedgerError> {
        let mut closed = self.stored_teammates(dispatcher)?;
        // Of a worktree that was kept somebody still has to hear.
        closed.retain(|teammate| teammate.closed_at.is_some() && !teammate.keeps_worktree());
        closed.sort_by_key(|teammate| teammate.closed_at);
        let mut excess = closed.len().saturating_sub(MAX_CLOSED);
        for teammate in closed {
            if excess == 0 {
                break;
            }
            if self.has_finished(&teammate)? {
                self.forget_teammate(teammate, &mut Expired::default())?;
                excess -= 1;
            }
        }
        Ok(())
    }

    fn halt(&mut self, teammate: &mut StoredTeammate, stop: Stop) -> Result<Ordered, LedgerError> {
        let (told, halted) = self.halt_tasks(teammate, stop)?;
        self.put_teammate(teammate)?;
        Ok(Ordered {
            lane: teammate.lane.clone(),
            told,
            halted,
        })
    }

    /// Lets the worktree of a closed teammate go that was kept, or is about to go unless something
    /// would be lost by that; `None` if there is no such thing.
    fn discard_left(&mut self, halt: &Halt) -> Result<Option<Ordered>, LedgerError> {
        let Some(mut teammate) = self.stored_teammate_named(&halt.dispatcher, &halt.name)? else {
            return Ok(None);
        };
        let Workspace::Worktree { fate, .. } = &mut teammate.workspace else {
            return Ok(None);
        };
        match fate {
            WorktreeFate::Kept { .. } | WorktreeFate::Leaving { .. } => {}
            WorktreeFate::InUse | WorktreeFate::Removed => return Ok(None),
        }
        *fate = WorktreeFate::Leaving { force: true };
        self.put_teammate(&teammate)?;
        Ok(Some(ordered(teammate.lane)))
    }

    fn stored_teammates(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<StoredTeammate>, LedgerError> {
        let prefix = key::dispatcher(dispatcher)?;
        self.scan(Table::Names, &prefix, &prefix, usize::MAX)?
            .into_iter()
            .map(|(_, value)| self.known_teammate(value.decode("teammate's name")?))
            .collect()
    }

    fn stored_teammate_named(
        &mut self,
        dispatcher: &DispatcherId,
        name: &str,
    ) -> Result<Option<StoredTeammate>, LedgerError> {
        let key = key::name(dispatcher, name)?;
        match self.get("teammate's name", Table::Names, &key)? {
            Some(id) => self.known_teammate(id).map(Some),
            None => Ok(None),
        }
    }

    /// Returns a teammate that must be there and at work.
    fn open_teammate(
        &mut self,
        dispatcher: &DispatcherId,
        name: &str,
    ) -> Result<StoredTeammate, LedgerError> {
        let name = name.to_owned();
        match self.stored_teammate_named(dispatcher, &name)? {
            None => Err(RosterError::Unknown { name }.into()),
            Some(known) if known.closed_at.is_some() => Err(RosterError::Closed { name }.into()),
            Some(known) => Ok(known),
        }
    }

    fn known_teammate(&mut self, id: TeammateId) -> Result<StoredTeammate, LedgerError> {
        self.stored_teammate(id)?
            .ok_or(LedgerError::UnknownTeammate(id))
    }
}

/// An order that stops nothing.
fn ordered(lane: LaneId) -> Ordered {
    Ordered {
        lane,
        told: Vec::new(),
        halted: Halted::default(),
    }
}
