//! What programs want of sessions: one is opened, given turns, looked up and closed.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::Handle;
use super::supervisor::Link;
use crate::codex::protocol::{TurnSteer, TurnSteerParams};
use crate::codex::{CallError, Refusal};
use crate::events::Event;
use crate::id::{LaneId, SessionId, TaskId, ThreadId};
use crate::ledger::{
    Began, IdempotencyKey, LedgerError, NewSession, Once, OpenTurn, SessionChange, SessionClosed,
    SessionError, SessionRecord, SessionState, TaskRecord, TaskReport, TurnAccepted, TurnPhase,
    TurnStopped,
};
use crate::sessions::{Input, OptionsError, Rules, SessionOptions, TurnOptions, TurnRequest};

/// How long the one who steers waits until codex has what the turn began with.
const STEERABLE_WITHIN: Duration = Duration::from_secs(10);

/// A session that somebody wants.
#[derive(Clone, Debug)]
pub struct SessionWish {
    /// How it begins, and with what thread.
    pub beginning: Beginning,
    /// What it is for.
    pub purpose: Option<String>,
    /// What its program has to remember.
    pub metadata: BTreeMap<String, String>,
    /// What its thread is set up with.
    pub options: SessionOptions,
}

/// How a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With a thread of its own.
    Create,
    /// With a thread that is there.
    Resume(ThreadId),
    /// With one that somebody else works with.
    Register(ThreadId),
}

/// A turn of a session, and what came of it.
#[derive(Clone, Debug)]
pub struct SessionTurn {
    /// The turn.
    pub record: TaskRecord,
    /// What came of it, once it is settled.
    pub report: Option<TaskReport>,
    /// While it runs: Codex's name of it, and when it began.
    pub open: Option<OpenTurn>,
}

/// Why something cannot be done about a session.
#[derive(Debug, Error)]
pub enum SessionWishError {
    /// What is asked for is not allowed.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// An ephemeral thread cannot be resumed.
    #[error("an ephemeral thread cannot be resumed: `thread` and `ephemeral` exclude each other")]
    EphemeralThread,
    /// The turn that is to be steered is not the one that runs.
    #[error("turn {expected} is not the one that runs: {}", which_runs(.running))]
    TurnMismatch {
        /// Which was to be steered.
        expected: String,
        /// Which runs.
        running: Option<TaskId>,
    },
    /// Codex does not add to this turn, or not this.
    #[error("codex does not take it")]
    Refused(#[source] CallError),
    /// Whether Codex has it is not known.
    #[error("whether codex has it is not known")]
    Unclear(#[source] CallError),
    /// There is no Codex, or it has not begun yet.
    #[error("codex has not begun with the turn: nothing was added to it")]
    NotYet,
    /// It is not on disk, or cannot be done.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<SessionError> for SessionWishError {
    fn from(error: SessionError) -> Self {
        Self::Ledger(error.into())
    }
}

fn which_runs(running: &Option<TaskId>) -> String {
    match running {
        Some(turn) => format!("{turn} does"),
        None => "none does".to_owned(),
    }
}

impl Handle {
    /// Opens a session: it is on disk when this returns, and its lane opens the thread. Goes on when it
    /// is dropped.
    ///
    /// # Errors
    ///
    /// When it cannot be, is not on disk, or another order was given the key.
    pub async fn open_session(
        &self,
        wish: SessionWish,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<SessionRecord>, SessionWishError> {
        if let Some(key) = &key
            && let Some(made) = self.ledger.made_under(key).await?
        {
            return Ok(Once::Repeated { made });
        }
        let (began, thread) = match wish.beginning {
            Beginning::Create => (Began::Created, None),
            Beginning::Resume(_) if wish.options.ephemeral => {
                return Err(SessionWishError::EphemeralThread);
            }
            Beginning::Resume(thread) => (Began::Resumed, Some(thread)),
            Beginning::Register(thread) => (Began::Registered, Some(thread)),
        };
        let options = wish.options.checked(self.session_rules()).await?;
        let id = SessionId::new();
        let new = NewSession {
            id,
            dispatcher: self.id().clone(),
            lane: LaneId::new(format!("{}/~{id}", self.id())),
            began,
            thread,
            purpose: wish.purpose,
            metadata: wish.metadata,
            is_ephemeral: options.ephemeral,
            // Plain data, of which JSON can be made.
            options: serde_json::to_string(&options).unwrap_or_default(),
        };
        let handle = self.clone();
        let opened = self.reports.spawn(async move {
            let once = handle.ledger.create_session(new, key).await?;
            if let Once::New(session) = &once {
                if session.began == Began::Registered {
                    let events = handle.events.session(session.id);
                    events.emit(Event::SessionRegistered);
                } else {
                    handle.wake(session.lane.clone());
                }
            }
            Ok(once)
        });
        opened.await.unwrap_or(Err(LedgerError::Closed.into()))
    }

    /// Returns the sessions that are remembered, the oldest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn list_sessions(&self) -> Result<Vec<SessionRecord>, LedgerError> {
        self.ledger.sessions(self.id()).await
    }

    /// Returns a session of this dispatcher, unless it is unknown or forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn find_session(&self, id: SessionId) -> Result<Option<SessionRecord>, LedgerError> {
        let session = self.ledger.session(id).await?;
        Ok(session.filter(|it| it.dispatcher == *self.id()))
    }

    /// Waits until a session is opening no longer, or for so long, and returns how it is.
    ///
    /// # Errors
    ///
    /// When it is unknown, or cannot be read.
    pub async fn session_opened(
        &self,
        id: SessionId,
        wait: Duration,
    ) -> Result<SessionRecord, LedgerError> {
        let until = Instant::now() + wait;
        let mut changes = self.changes.watch();
        loop {
            changes.mark_unchanged();
            let session = self.known_session(id).await?;
            if session.state != SessionState::Opening
                || timeout_at(until, changes.changed()).await.is_err()
            {
                return Ok(session);
            }
        }
    }

    /// Changes what a session is for, and what its program remembers.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or too long.
    pub async fn change_session(
        &self,
        id: SessionId,
        change: SessionChange,
    ) -> Result<SessionRecord, LedgerError> {
        self.ledger.change_session(id, change).await
    }

    /// Closes a session. Goes on when it is dropped.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or unknown.
    pub async fn close_session(&self, id: SessionId) -> Result<SessionClosed, LedgerError> {
        let handle = self.clone();
        let closed = self.reports.spawn(async move {
            let closed = handle.ledger.close_session(id).await?;
            let session = &closed.session;
            if !closed.was_over {
                handle.events.session(id).emit(Event::SessionClosed {
                    was_running: closed.was_running,
                    withdrawn: closed.withdrawn as u64,
                });
            }
            if session.began != Began::Registered {
                handle.wake(session.lane.clone());
            }
            handle.changes.tell();
            Ok(closed)
        });
        closed.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Gives a session a turn: it is on disk when this returns. Goes on when it is dropped.
    ///
    /// # Errors
    ///
    /// When it makes no sense, is not on disk, the session takes none, or another order was given the
    /// key.
    pub async fn give_turn(
        &self,
        id: SessionId,
        input: Input,
        options: TurnOptions,
        key: Option<IdempotencyKey>,
    ) -> Result<Once<TurnAccepted>, SessionWishError> {
        if let Some(key) = &key
            && let Some(made) = self.ledger.made_under(key).await?
        {
            return Ok(Once::Repeated { made });
        }
        let request = TurnRequest::checked(input, options, self.session_rules()).await?;
        let handle = self.clone();
        let given = self.reports.spawn(async move {
            let once = handle.ledger.give_turn(id, request.into_new(), key).await?;
            if let Once::New(accepted) = &once {
                let turn = &accepted.turn;
                let events = handle.events.session(id).lane(&turn.lane).task(turn.id);
                events.emit(Event::TurnAccepted {
                    before: accepted.before,
                });
                handle.wake(turn.lane.clone());
            }
            Ok(once)
        });
        given.await.unwrap_or(Err(LedgerError::Closed.into()))
    }

    /// Returns the turns of a session that are remembered, the oldest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn session_turns(
        &self,
        session: &SessionRecord,
    ) -> Result<Vec<SessionTurn>, LedgerError> {
        let lane = self.ledger.lane(&session.lane).await?;
        let open = lane.and_then(|lane| lane.open);
        let mut turns = Vec::new();
        for record in self.ledger.tasks(&session.lane).await? {
            turns.push(self.whole_turn(record, open.as_ref()).await?);
        }
        Ok(turns)
    }

    /// Returns a turn of a session, once it is settled or so much time is over.
    ///
    /// # Errors
    ///
    /// When it is unknown or forgotten, or cannot be read.
    pub async fn session_turn(
        &self,
        session: &SessionRecord,
        turn: TaskId,
        wait: Duration,
    ) -> Result<SessionTurn, LedgerError> {
        let until = Instant::now() + wait;
        let mut changes = self.changes.watch();
        loop {
            changes.mark_unchanged();
            let record = self.ledger.task(turn).await?;
            let record = record.filter(|record| record.lane == session.lane);
            let id = session.id;
            let record = record.ok_or(SessionError::UnknownTurn { id, turn })?;
            if record.state.is_settled() || timeout_at(until, changes.changed()).await.is_err() {
                let lane = self.ledger.lane(&session.lane).await?;
                let open = lane.and_then(|lane| lane.open);
                return self.whole_turn(record, open.as_ref()).await;
            }
        }
    }

    /// Has a turn of a session end, or not begin. Goes on when it is dropped.
    ///
    /// # Errors
    ///
    /// When it is not on disk, or unknown.
    pub async fn interrupt_turn(
        &self,
        session: &SessionRecord,
        turn: TaskId,
    ) -> Result<TurnStopped, LedgerError> {
        let (handle, id, lane) = (self.clone(), session.id, session.lane.clone());
        let stopped = self.reports.spawn(async move {
            let stopped = handle.ledger.interrupt_turn(id, turn).await?;
            handle.wake(lane);
            handle.changes.tell();
            Ok(stopped)
        });
        stopped.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Adds to the turn of a session that runs, if that is the one that is expected: by our name of it,
    /// or by Codex's. Not on disk: what Codex has taken is lost with the turn, if that is interrupted or
    /// Codex ends before the model has it.
    ///
    /// # Errors
    ///
    /// When another turn runs or none does, or Codex does not take it.
    pub async fn steer_turn(
        &self,
        id: SessionId,
        expected: &str,
        input: Input,
    ) -> Result<TaskId, SessionWishError> {
        let options = TurnOptions::default();
        let request = TurnRequest::checked(input, options, self.session_rules()).await?;
        let until = Instant::now() + STEERABLE_WITHIN;
        let mut changes = self.changes.watch();
        loop {
            changes.mark_unchanged();
            let session = self.known_session(id).await?;
            let Some(thread) = steerable(&session)? else {
                return Err(SessionError::NoThread { id }.into());
            };
            let open = self.ledger.lane(&session.lane).await?;
            let open = open.and_then(|lane| lane.open);
            let mismatch = || SessionWishError::TurnMismatch {
                expected: expected.to_owned(),
                running: open.as_ref().and_then(|open| open.task),
            };
            let Some(turn) = open.as_ref().and_then(|open| open.task) else {
                return Err(mismatch());
            };
            let codex_turn = open.as_ref().and_then(|open| open.codex_turn.clone());
            let is_it = turn.to_string() == expected
                || codex_turn
                    .as_ref()
                    .is_some_and(|it| it.as_str() == expected);
            if !is_it {
                return Err(mismatch());
            }
            let link = self.link.borrow().clone();
            let is_begun = open
                .as_ref()
                .is_some_and(|open| open.phase == TurnPhase::Delivered);
            if let (true, Some(expected_turn_id), Link::Up(link)) = (is_begun, codex_turn, link) {
                let params = TurnSteerParams {
                    thread_id: thread.clone(),
                    expected_turn_id,
                    input: request.input,
                    client_user_message_id: Some(Uuid::now_v7().to_string()),
                };
                return match link.client.call::<TurnSteer>(&params).await {
                    Ok(_) => {
                        let events = self.events.session(id).lane(&session.lane).task(turn);
                        events.emit(Event::TurnSteered);
                        Ok(turn)
                    }
                    Err(failure) => Err(match failure.refusal() {
                        Some(Refusal::NoActiveTurn | Refusal::OtherTurn) => mismatch(),
                        Some(_) => SessionWishError::Refused(failure),
                        None if failure.is_without_effect() => SessionWishError::Refused(failure),
                        None => SessionWishError::Unclear(failure),
                    }),
                };
            }
            if timeout_at(until, changes.changed()).await.is_err() {
                return Err(SessionWishError::NotYet);
            }
        }
    }

    fn session_rules(&self) -> Rules<'_> {
        Rules {
            workspace: &self.settings.config.workspace,
            sandbox: self.settings.config.sandbox,
        }
    }

    async fn known_session(&self, id: SessionId) -> Result<SessionRecord, LedgerError> {
        let session = self.find_session(id).await?;
        Ok(session.ok_or(SessionError::Unknown { id })?)
    }

    async fn whole_turn(
        &self,
        record: TaskRecord,
        open: Option<&OpenTurn>,
    ) -> Result<SessionTurn, LedgerError> {
        let report = match self.ledger.task_report(record.id).await {
            // How it ended is known; what the model said is lost.
            Err(LedgerError::Damaged { .. }) => None,
            report => report?,
        };
        Ok(SessionTurn {
            report,
            open: open.filter(|open| open.task == Some(record.id)).cloned(),
            record,
        })
    }
}

/// Returns the thread of a session to which something may be added, once it has one.
fn steerable(session: &SessionRecord) -> Result<Option<&ThreadId>, SessionError> {
    let id = session.id;
    if session.began == Began::Registered {
        return Err(SessionError::WrongMode { id });
    }
    if !session.state.is_open() {
        let state = session.state.as_str();
        return Err(SessionError::NotActive { id, state });
    }
    Ok(session
        .thread
        .as_ref()
        .filter(|_| session.state == SessionState::Active))
}
