//! Sessions: conversations of programs, and the turns that they are given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, SessionId, TaskId, ThreadId, TurnId};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::lane::Stop;
use crate::ledger::operation::body::Body;
use crate::ledger::operation::expiry::Expired;
use crate::ledger::session::{
    Began, Effective, MAX_METADATA, MAX_OVER, MAX_PURPOSE, MAX_SESSIONS, MAX_WAITING_TURNS,
    NewSession, NewTurn, SessionChange, SessionClosed, SessionError, SessionRecord, SessionState,
    TurnAccepted, TurnStopped,
};
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::task::{TaskEvent, TaskState};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// How long options may be inside of a record, in bytes of JSON: it has metadata beside them.
const MAX_INLINE_OPTIONS: usize = 128;

/// A session as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredSession {
    id: SessionId,
    dispatcher: DispatcherId,
    lane: LaneId,
    began: Began,
    state: SessionState,
    thread: Option<ThreadId>,
    purpose: Option<String>,
    metadata: BTreeMap<String, String>,
    is_ephemeral: bool,
    effective: Option<Effective>,
    touched: BTreeSet<String>,
    #[serde(with = "time::millis")]
    created_at: SystemTime,
    #[serde(with = "time::millis")]
    changed_at: SystemTime,
    options: Body<String>,
}

impl StoredSession {
    fn into_record(self) -> SessionRecord {
        SessionRecord {
            id: self.id,
            dispatcher: self.dispatcher,
            lane: self.lane,
            began: self.began,
            state: self.state,
            thread: self.thread,
            purpose: self.purpose,
            metadata: self.metadata,
            is_ephemeral: self.is_ephemeral,
            effective: self.effective,
            touched: self.touched,
            created_at: self.created_at,
            changed_at: self.changed_at,
        }
    }

    /// Returns the name of the file that has its options, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.options.file()
    }
}

impl Transaction<'_> {
    /// Records a session, and its lane.
    pub(in crate::ledger) fn create_session(
        &mut self,
        new: NewSession,
    ) -> Result<SessionRecord, LedgerError> {
        let known = self.stored_sessions(&new.dispatcher)?;
        let open = known.iter().filter(|it| it.state.is_open());
        if open.clone().count() >= MAX_SESSIONS {
            let limit = MAX_SESSIONS;
            return Err(SessionError::TooMany { limit }.into());
        }
        if let Some(thread) = &new.thread {
            let has_it = |it: &&StoredSession| it.thread.as_ref() == Some(thread);
            let holder = match open.clone().find(has_it) {
                Some(session) => Some(format!("session {}", session.id)),
                None => self.holder(thread)?.map(|lane| format!("lane {lane}")),
            };
            if let Some(holder) = holder {
                let thread = thread.clone();
                return Err(SessionError::ThreadTaken { thread, holder }.into());
            }
        }
        check_length("the session's purpose", &new.purpose, MAX_PURPOSE)?;
        check_metadata(&new.metadata)?;
        let owner = SpoolOwner::Session(new.id);
        let now = time::now();
        let session = StoredSession {
            id: new.id,
            dispatcher: new.dispatcher,
            lane: new.lane,
            began: new.began,
            state: match new.began {
                Began::Created | Began::Resumed => SessionState::Opening,
                Began::Registered => SessionState::Active,
            },
            thread: new.thread,
            purpose: new.purpose,
            metadata: new.metadata,
            is_ephemeral: new.is_ephemeral,
            effective: None,
            touched: BTreeSet::new(),
            created_at: now,
            changed_at: now,
            options: Body::keep_beside(self, owner, &new.options, MAX_INLINE_OPTIONS)?,
        };
        if session.began != Began::Registered {
            let mut lane = self.lane_or_new(&session.lane, &session.dispatcher)?;
            lane.session = Some(session.id);
            if let Some(thread) = &session.thread {
                self.note_thread(&lane.id, thread)?;
                lane.thread = Some(thread.clone());
                // It is stored, or cannot be resumed.
                lane.had_turn = true;
            }
            self.put_lane(&lane)?;
        }
        self.put_session(&session)?;
        Ok(session.into_record())
    }

    /// Returns the sessions of a dispatcher, the oldest first.
    pub(in crate::ledger) fn sessions(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<SessionRecord>, LedgerError> {
        let sessions = self.stored_sessions(dispatcher)?;
        Ok(sessions
            .into_iter()
            .map(StoredSession::into_record)
            .collect())
    }

    /// Returns a session.
    pub(in crate::ledger) fn session(
        &mut self,
        id: SessionId,
    ) -> Result<Option<SessionRecord>, LedgerError> {
        Ok(self.stored_session(id)?.map(StoredSession::into_record))
    }

    /// Returns what a session is set up with.
    pub(in crate::ledger) fn session_options(
        &mut self,
        id: SessionId,
    ) -> Result<String, LedgerError> {
        self.known_session(id)?.options.load(self)
    }

    /// Changes what a session is for, and what its program remembers.
    pub(in crate::ledger) fn change_session(
        &mut self,
        id: SessionId,
        change: SessionChange,
    ) -> Result<SessionRecord, LedgerError> {
        let mut session = self.known_session(id)?;
        if let Some(purpose) = change.purpose {
            check_length("the session's purpose", &purpose, MAX_PURPOSE)?;
            session.purpose = purpose;
        }
        if let Some(metadata) = change.metadata {
            check_metadata(&metadata)?;
            session.metadata = metadata;
        }
        self.put_session(&session)?;
        Ok(session.into_record())
    }

    /// Notes that a session has its thread.
    pub(in crate::ledger) fn session_opened(
        &mut self,
        id: SessionId,
        thread: ThreadId,
        effective: Effective,
        before: Option<TurnId>,
    ) -> Result<SessionRecord, LedgerError> {
        let mut session = self.known_session(id)?;
        if session.state != SessionState::Opening {
            return Ok(session.into_record());
        }
        let mut lane = self.known_lane(&session.lane)?;
        lane.before = before;
        // From here on a thread that is gone is lost, and not begun anew.
        lane.had_turn = true;
        self.put_lane(&lane)?;
        session.thread = Some(thread);
        session.effective = Some(effective.cut());
        session.state = SessionState::Active;
        session.changed_at = time::now();
        self.put_session(&session)?;
        Ok(session.into_record())
    }

    /// Notes that a session has no thread, and will have none.
    pub(in crate::ledger) fn session_failed(
        &mut self,
        id: SessionId,
        kind: FailureKind,
        message: &str,
    ) -> Result<SessionRecord, LedgerError> {
        let mut session = self.known_session(id)?;
        if !session.state.is_open() {
            return Ok(session.into_record());
        }
        let message = cut_reason(message);
        self.end_session(&mut session, SessionState::Failed { kind, message })?;
        Ok(session.into_record())
    }

    /// Closes a session.
    pub(in crate::ledger) fn close_session(
        &mut self,
        id: SessionId,
    ) -> Result<SessionClosed, LedgerError> {
        let mut session = self.known_session(id)?;
        let was_over = !session.state.is_open();
        let (mut was_running, mut withdrawn) = (false, 0);
        if session.began != Began::Registered && self.stored_lane(&session.lane)?.is_some() {
            withdrawn = self.withdraw_tasks(&session.lane)?;
            was_running = self.stop_turn(&session.lane, Stop::by_person())?;
        }
        if !was_over {
            self.end_session(&mut session, SessionState::Closed)?;
            self.forget_oldest_sessions(&session.dispatcher)?;
        }
        Ok(SessionClosed {
            session: session.into_record(),
            was_over,
            was_running,
            withdrawn,
        })
    }

    /// Gives a session a turn.
    pub(in crate::ledger) fn give_turn(
        &mut self,
        id: SessionId,
        new: NewTurn,
    ) -> Result<TurnAccepted, LedgerError> {
        let mut session = self.known_session(id)?;
        if session.began == Began::Registered {
            return Err(SessionError::WrongMode { id }.into());
        }
        if !session.state.is_open() {
            let state = session.state.as_str();
            return Err(SessionError::NotActive { id, state }.into());
        }
        let mut lane = self.known_lane(&session.lane)?;
        if lane.assigned >= MAX_WAITING_TURNS {
            return Err(SessionError::Overworked { id }.into());
        }
        let is_running = self.lane(&lane.id)?.is_some_and(|lane| lane.open.is_some());
        let before = lane.assigned + usize::from(is_running);
        lane.assigned += 1;
        lane.used_at = time::now();
        self.put_lane(&lane)?;
        let touched = session.touched.len();
        session.touched.extend(new.touches);
        if session.touched.len() > touched {
            self.put_session(&session)?;
        }
        let turn = self.add_turn(&lane.id, &new.text, &new.beginning)?;
        Ok(TurnAccepted { turn, before })
    }

    /// Has a turn of a session end, or not begin.
    pub(in crate::ledger) fn interrupt_turn(
        &mut self,
        id: SessionId,
        turn: TaskId,
    ) -> Result<TurnStopped, LedgerError> {
        let session = self.known_session(id)?;
        let unknown = SessionError::UnknownTurn { id, turn };
        let task = self.stored_task(turn)?.filter(|it| it.lane == session.lane);
        let task = task.ok_or(unknown)?;
        Ok(match task.state {
            TaskState::Waiting => {
                let mut lane = self.known_lane(&session.lane)?;
                lane.assigned = lane.assigned.saturating_sub(1);
                self.put_lane(&lane)?;
                self.move_task(task, TaskEvent::Withdrawn)?;
                TurnStopped::Withdrawn
            }
            TaskState::InTurn => {
                self.stop_turn(&session.lane, Stop::by_person())?;
                TurnStopped::Ends
            }
            TaskState::Done
            | TaskState::Failed { .. }
            | TaskState::Stopped
            | TaskState::Unclear => TurnStopped::WasOver,
        })
    }

    // === For the other operations ===

    /// Returns a session as it is stored.
    pub(super) fn stored_session(
        &mut self,
        id: SessionId,
    ) -> Result<Option<StoredSession>, LedgerError> {
        self.get("session", Table::Sessions, &key::session(id))
    }

    /// Forgets a session that is over, unless something of it is not: then it stays for as long again.
    pub(super) fn expire_session(
        &mut self,
        id: SessionId,
        now: SystemTime,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        let Some(session) = self.stored_session(id)? else {
            return Ok(());
        };
        if !self.is_at_rest(&session)? {
            return self.expire_later(Class::Session, now, &key::session(id));
        }
        self.forget_session(session, expired)
    }

    fn end_session(
        &mut self,
        session: &mut StoredSession,
        state: SessionState,
    ) -> Result<(), LedgerError> {
        let now = time::now();
        if let Some(thread) = &session.thread {
            // Another session may have it from now on.
            self.let_go(&session.lane, thread)?;
        }
        session.state = state;
        session.changed_at = now;
        self.expire_later(Class::Session, now, &key::session(session.id))?;
        self.put_session(session)
    }

    fn is_at_rest(&mut self, session: &StoredSession) -> Result<bool, LedgerError> {
        if session.state.is_open() {
            return Ok(false);
        }
        let lane = self.lane(&session.lane)?;
        let rests = lane.is_none_or(|lane| lane.open.is_none() && lane.inputs() == 0);
        Ok(rests && self.are_tasks_settled(&session.lane)?)
    }

    fn forget_session(
        &mut self,
        session: StoredSession,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        self.forget_tasks(&session.lane, 0, expired)?;
        self.forget_lane(&session.lane)?;
        self.remove(Table::Sessions, key::session(session.id));
        expired.sessions += 1;
        self.expire_file(session.file(), expired);
        Ok(())
    }

    /// Forgets the oldest of those that are over, as far as there are too many of them.
    fn forget_oldest_sessions(&mut self, dispatcher: &DispatcherId) -> Result<(), LedgerError> {
        let mut over = self.stored_sessions(dispatcher)?;
        over.retain(|session| !session.state.is_open());
        over.sort_by_key(|session| session.changed_at);
        let excess = over.len().saturating_sub(MAX_OVER);
        for session in over.into_iter().take(excess) {
            if self.is_at_rest(&session)? {
                self.forget_session(session, &mut Expired::default())?;
            }
        }
        Ok(())
    }

    fn stored_sessions(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<StoredSession>, LedgerError> {
        let all = self.scan(Table::Sessions, &Key::first(), &Key::first(), usize::MAX)?;
        let mut sessions = Vec::new();
        for (_, value) in all {
            let session: StoredSession = value.decode("session")?;
            if session.dispatcher == *dispatcher {
                sessions.push(session);
            }
        }
        Ok(sessions)
    }

    fn known_session(&mut self, id: SessionId) -> Result<StoredSession, LedgerError> {
        let session = self.stored_session(id)?;
        Ok(session.ok_or(SessionError::Unknown { id })?)
    }

    fn put_session(&mut self, session: &StoredSession) -> Result<(), LedgerError> {
        self.put(
            "session",
            Table::Sessions,
            key::session(session.id),
            session,
        )
    }
}

fn check_length(
    what: &'static str,
    text: &Option<String>,
    limit: usize,
) -> Result<(), LedgerError> {
    let json = text.as_ref().and_then(|text| serde_json::to_vec(text).ok());
    // Without the quotation marks.
    let bytes = json.map_or(0, |json| json.len().saturating_sub(2));
    if bytes > limit {
        return Err(LedgerError::TooLarge { what, bytes, limit });
    }
    Ok(())
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), LedgerError> {
    let bytes = serde_json::to_vec(metadata).map_or(0, |json| json.len());
    if bytes > MAX_METADATA {
        return Err(LedgerError::TooLarge {
            what: "the session's metadata",
            bytes,
            limit: MAX_METADATA,
        });
    }
    Ok(())
}
