//! Sessions: made, given turns, failed, closed, and forgotten with all that was theirs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;

use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId, SessionId, TaskId, ThreadId, TurnId, TurnKey};
use crate::ledger::session::MAX_REMEMBERED_TURNS;
use crate::ledger::{
    Began, CompletionStatus, Effective, Ledger, LedgerError, LedgerSettings, LedgerThread,
    MAX_METADATA, MAX_SESSIONS, MAX_WAITING_TURNS, NewCompletion, NewSession, NewTurn, Once,
    Outcome, Owner, SessionChange, SessionError, SessionRecord, SessionState, TaskReport,
    TaskState, TurnEvent, TurnStopped,
};

struct Fixture {
    directory: tempfile::TempDir,
    ledger: Ledger,
    thread: LedgerThread,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
        Self {
            directory,
            ledger,
            thread,
        }
    }

    async fn again(self) -> Self {
        drop(self.ledger);
        self.thread.close().await;
        let (ledger, thread) =
            Ledger::open(self.directory.path(), LedgerSettings::standard()).unwrap();
        Self {
            directory: self.directory,
            ledger,
            thread,
        }
    }

    async fn close(self) -> tempfile::TempDir {
        drop(self.ledger);
        self.thread.close().await;
        self.directory
    }

    async fn create(&self, new: NewSession) -> Result<SessionRecord, LedgerError> {
        match self.ledger.create_session(new, None).await? {
            Once::New(session) => Ok(session),
            Once::Repeated { made } => panic!("{made} was made before"),
        }
    }

    /// Makes a session that has its thread.
    async fn open(&self, thread: &str) -> SessionRecord {
        let session = self.create(new(Began::Created, None)).await.unwrap();
        let thread = ThreadId::new(thread);
        self.ledger
            .set_thread(&session.lane, thread.clone(), Default::default())
            .await
            .unwrap();
        let effective = Effective::default();
        let opened = self
            .ledger
            .session_opened(session.id, thread, effective, None);
        opened.await.unwrap()
    }

    async fn give(&self, id: SessionId, text: &str) -> Result<(TaskId, usize), LedgerError> {
        let turn = NewTurn {
            text: text.to_owned(),
            beginning: text.to_owned(),
            touches: [text.to_owned()].into(),
        };
        match self.ledger.give_turn(id, turn, None).await? {
            Once::New(accepted) => Ok((accepted.turn.id, accepted.before)),
            Once::Repeated { made } => panic!("{made} was given before"),
        }
    }

    /// Works the next turn of a session off.
    async fn work(&self, session: &SessionRecord, reply: &str) -> TaskId {
        let key = TurnKey::new();
        let open = self.ledger.open_task(&session.lane, key).await.unwrap();
        let id = open.expect("no turn waits").task.unwrap();
        let event = TurnEvent::Delivered {
            turn: Some(TurnId::new("codex's")),
        };
        self.ledger
            .advance_turn(&session.lane, key, event)
            .await
            .unwrap();
        let report = TaskReport {
            status: CompletionStatus::Ok,
            body: reply.to_owned(),
        };
        let told = self
            .ledger
            .settle_work(&session.lane, key, Outcome::Answered, report, Vec::new())
            .await
            .unwrap();
        assert_eq!(told, None, "nobody is told of the turn of a session");
        id
    }

    async fn state_of(&self, turn: TaskId) -> TaskState {
        self.ledger.task(turn).await.unwrap().unwrap().state
    }
}

fn flow() -> DispatcherId {
    DispatcherId::new("flow")
}

fn new(began: Began, thread: Option<&str>) -> NewSession {
    let id = SessionId::new();
    NewSession {
        id,
        dispatcher: flow(),
        lane: LaneId::new(format!("flow/~{id}")),
        began,
        thread: thread.map(ThreadId::new),
        purpose: Some("tests".to_owned()),
        metadata: BTreeMap::new(),
        is_ephemeral: false,
        options: "{}".to_owned(),
    }
}

#[tokio::test]
async fn a_session_and_its_turns_are_there_for_the_next_process() {
    let it = Fixture::new();
    let long = "é".repeat(10_000);
    let wanted = NewSession {
        options: long.clone(),
        ..new(Began::Created, None)
    };
    let session = it.create(wanted).await.unwrap();
    assert_eq!(session.state, SessionState::Opening);
    let lane = it.ledger.lane(&session.lane).await.unwrap().unwrap();
    assert_eq!(lane.owner, Owner::Session(session.id));
    // One that is not open yet takes turns already.
    let (first, before) = it.give(session.id, "effort").await.unwrap();
    let (second, _) = it.give(session.id, "model").await.unwrap();
    assert_eq!(before, 0);

    let it = it.again().await;
    assert_eq!(it.ledger.session_options(session.id).await.unwrap(), long);
    let known = it.ledger.session(session.id).await.unwrap().unwrap();
    let touched: Vec<&str> = known.touched.iter().map(String::as_str).collect();
    assert_eq!(touched, ["effort", "model"]);
    assert_eq!(it.work(&session, "an answer").await, first);
    let record = it.ledger.task(first).await.unwrap().unwrap();
    assert_eq!((record.state, record.asker), (TaskState::Done, None));
    assert_eq!(record.codex_turn, Some(TurnId::new("codex's")));
    let report = it.ledger.task_report(first).await.unwrap().unwrap();
    assert_eq!(report.body, "an answer");
    assert_eq!(it.state_of(second).await, TaskState::Waiting);
    it.close().await;
}

#[tokio::test]
async fn a_closed_session_ends_what_runs_and_takes_nothing_more() {
    let it = Fixture::new();
    let session = it.open("t1").await;
    let (running, _) = it.give(session.id, "running").await.unwrap();
    let (waiting, before) = it.give(session.id, "waiting").await.unwrap();
    assert_eq!(before, 1);
    let key = TurnKey::new();
    it.ledger.open_task(&session.lane, key).await.unwrap();
    let closed = it.ledger.close_session(session.id).await.unwrap();
    assert_eq!(
        (closed.was_over, closed.was_running, closed.withdrawn),
        (false, true, 1)
    );
    let open = it.ledger.lane(&session.lane).await.unwrap().unwrap().open;
    assert!(open.unwrap().stop.is_some());
    assert_eq!(it.state_of(waiting).await, TaskState::Stopped);
    assert_eq!(it.state_of(running).await, TaskState::InTurn);
    let state = "closed";
    let id = session.id;
    assert_eq!(
        it.give(id, "more").await,
        Err(SessionError::NotActive { id, state }.into())
    );
    let again = it.ledger.close_session(id).await.unwrap();
    assert!(again.was_over);
    // What comes late changes nothing.
    let failed = it
        .ledger
        .session_failed(id, FailureKind::Unknown, "late".to_owned());
    assert_eq!(failed.await.unwrap().state, SessionState::Closed);
    it.close().await;
}

#[tokio::test]
async fn a_turn_is_withdrawn_or_stopped_and_one_that_is_over_stays_so() {
    let it = Fixture::new();
    let session = it.open("t1").await;
    let (one, _) = it.give(session.id, "one").await.unwrap();
    let (two, _) = it.give(session.id, "two").await.unwrap();
    let interrupt = |turn| it.ledger.interrupt_turn(session.id, turn);
    assert_eq!(interrupt(two).await.unwrap(), TurnStopped::Withdrawn);
    assert_eq!(interrupt(two).await.unwrap(), TurnStopped::WasOver);
    let lane = it.ledger.lane(&session.lane).await.unwrap().unwrap();
    assert_eq!(lane.inputs(), 1);
    it.ledger
        .open_task(&session.lane, TurnKey::new())
        .await
        .unwrap();
    assert_eq!(interrupt(one).await.unwrap(), TurnStopped::Ends);
    let other = it.open("t2").await;
    let (id, turn) = (other.id, one);
    assert_eq!(
        it.ledger.interrupt_turn(id, turn).await,
        Err(SessionError::UnknownTurn { id, turn }.into())
    );
    it.close().await;
}

#[tokio::test]
async fn a_thread_belongs_to_one_session_until_that_is_over() {
    let it = Fixture::new();
    let first = it.open("t1").await;
    for began in [Began::Resumed, Began::Registered] {
        let taken = it.create(new(began, Some("t1"))).await;
        assert!(
            matches!(
                taken,
                Err(LedgerError::Session(SessionError::ThreadTaken { .. }))
            ),
            "{taken:?}"
        );
    }
    it.ledger.close_session(first.id).await.unwrap();
    let second = it.create(new(Began::Resumed, Some("t1"))).await.unwrap();
    // That the first is forgotten takes nothing from the second.
    let later = SystemTime::now() + Duration::from_secs(40 * 24 * 60 * 60);
    let expired = it.ledger.expire(later).await.unwrap();
    assert_eq!(expired.sessions, 1);
    assert_eq!(it.ledger.session(first.id).await.unwrap(), None);
    assert_eq!(it.ledger.lane(&first.lane).await.unwrap(), None);
    let thread = ThreadId::new("t1");
    let holder = it.ledger.lane_of_thread(&flow(), &thread).await.unwrap();
    assert_eq!(holder.unwrap().id, second.lane);
    it.close().await;
}

#[tokio::test]
async fn what_a_thread_had_before_is_not_taken_for_ours() {
    let it = Fixture::new();
    let session = it.create(new(Began::Resumed, Some("t1"))).await.unwrap();
    let newest = TurnId::new("somebody's");
    let (thread, effective) = (ThreadId::new("t1"), Effective::default());
    it.ledger
        .session_opened(session.id, thread, effective, Some(newest.clone()))
        .await
        .unwrap();
    it.give(session.id, "x").await.unwrap();
    let open = it.ledger.open_task(&session.lane, TurnKey::new()).await;
    assert_eq!(open.unwrap().unwrap().after, Some(newest));
    it.close().await;
}

#[tokio::test]
async fn everything_about_sessions_is_bounded() {
    let it = Fixture::new();
    let session = it.open("t1").await;
    let id = session.id;
    for number in 0..MAX_WAITING_TURNS {
        it.give(id, &format!("turn {number}")).await.unwrap();
    }
    assert_eq!(
        it.give(id, "one more").await,
        Err(SessionError::Overworked { id }.into())
    );
    for _ in 0..MAX_WAITING_TURNS {
        it.work(&session, "done").await;
    }
    for _ in 0..MAX_REMEMBERED_TURNS {
        it.give(id, "x").await.unwrap();
        it.work(&session, &"long ".repeat(2_000)).await;
    }
    let turns = it.ledger.tasks(&session.lane).await.unwrap();
    assert_eq!(turns.len(), MAX_REMEMBERED_TURNS);
    let large = SessionChange {
        metadata: Some([("k".to_owned(), "v".repeat(MAX_METADATA))].into()),
        purpose: None,
    };
    let refused = it.ledger.change_session(id, large).await;
    assert!(matches!(refused, Err(LedgerError::TooLarge { .. })));
    for _ in 1..MAX_SESSIONS {
        it.create(new(Began::Created, None)).await.unwrap();
    }
    let limit = MAX_SESSIONS;
    assert_eq!(
        it.create(new(Began::Created, None)).await,
        Err(SessionError::TooMany { limit }.into())
    );
    it.close().await;
}

#[tokio::test]
async fn a_registered_session_has_no_lane_and_none_is_told_of_results() {
    let it = Fixture::new();
    let known = it.create(new(Began::Registered, Some("t1"))).await.unwrap();
    assert_eq!(known.state, SessionState::Active);
    assert_eq!(it.ledger.lane(&known.lane).await.unwrap(), None);
    let id = known.id;
    assert_eq!(
        it.give(id, "x").await,
        Err(SessionError::WrongMode { id }.into())
    );
    let session = it.open("t2").await;
    let told = it.ledger.report(NewCompletion {
        dispatcher: flow(),
        lane: session.lane.clone(),
        name: "build".to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: String::new(),
        origin: None,
    });
    let id = session.id;
    assert_eq!(told.await, Err(SessionError::NotTold { id }.into()));
    it.close().await;
}
