//! Completions: reported once, brought up, given back, forgotten.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;

use super::fixture::{accept, lane};
use crate::failure::FailureKind;
use crate::id::{CompletionId, DispatcherId, ThreadId, TurnKey};
use crate::ledger::{
    CompletionEvent, CompletionState, CompletionStatus, Hold, Ledger, LedgerError, LedgerSettings,
    LedgerThread, NewCompletion, Outcome, Reach, Return,
};

struct Desk {
    ledger: Ledger,
    thread: LedgerThread,
    directory: tempfile::TempDir,
}

impl Desk {
    fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap())
    }

    fn open_in(directory: tempfile::TempDir) -> Self {
        let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
        Self {
            ledger,
            thread,
            directory,
        }
    }

    async fn reopened(self) -> Self {
        let Self {
            ledger,
            thread,
            directory,
        } = self;
        drop(ledger);
        thread.close().await;
        Self::open_in(directory)
    }

    async fn report(&self, name: &str) -> CompletionId {
        let reported = self.ledger.report(completion(name)).await.unwrap();
        assert!(reported.is_new, "{name}");
        reported.id
    }

    /// Opens a turn for a completion that the thread has from then on.
    async fn bring_up(&self, id: CompletionId, thread: &ThreadId) -> TurnKey {
        let turn = TurnKey::new();
        let opened = self.ledger.open_trigger(&lane(), turn, vec![id]).await;
        opened.unwrap();
        let noted = self
            .ledger
            .completions_injected(&lane(), turn, thread)
            .await;
        noted.unwrap();
        turn
    }

    async fn begin(&self, thread: &ThreadId) {
        self.ledger
            .set_thread(&lane(), thread.clone(), Reach::default())
            .await
            .unwrap();
    }

    /// Ends a turn that has failed.
    async fn give_back(&self, turn: TurnKey, back: Return) {
        self.ledger
            .return_turn(&lane(), turn, failed(), back, Vec::new())
            .await
            .unwrap();
    }

    async fn answered(&self, turn: TurnKey) {
        self.ledger
            .settle_turn(&lane(), turn, Outcome::Answered, Vec::new())
            .await
            .unwrap();
    }

    async fn state(&self, id: CompletionId) -> CompletionState {
        self.ledger.completion(id).await.unwrap().unwrap().state
    }

    /// Returns the names of what waits.
    async fn waiting(&self) -> Vec<String> {
        let arrivals = self.ledger.arrivals(&lane(), 100).await.unwrap();
        let record = self.ledger.lane(&lane()).await.unwrap().unwrap();
        assert_eq!(record.arrived, arrivals.len());
        arrivals.into_iter().map(|it| it.name).collect()
    }

    async fn close(self) {
        drop(self.ledger);
        self.thread.close().await;
    }
}

fn completion(name: &str) -> NewCompletion {
    NewCompletion {
        dispatcher: DispatcherId::new("flow"),
        lane: lane(),
        name: name.to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: format!("{name} is done"),
        origin: None,
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        kind: FailureKind::BackendTimeout,
        message: "the model is gone".to_owned(),
    }
}

#[test]
fn completion_transitions() {
    let unclear = || Outcome::Unclear {
        reason: "gone".to_owned(),
    };
    let is_failed = || CompletionState::Failed {
        kind: FailureKind::BackendTimeout,
    };
    let events = [
        CompletionEvent::Taken,
        CompletionEvent::Returned,
        CompletionEvent::Settled(Outcome::Answered),
        CompletionEvent::Settled(failed()),
        CompletionEvent::Settled(unclear()),
    ];
    let ends = [
        Some(CompletionState::Delivered),
        Some(is_failed()),
        Some(CompletionState::Unclear),
    ];
    let [delivered, gone, unclear] = ends.clone();
    let table = [
        (
            CompletionState::Waiting,
            [
                Some(CompletionState::InTurn),
                None,
                delivered.clone(),
                gone.clone(),
                unclear.clone(),
            ],
        ),
        (
            CompletionState::InTurn,
            [
                None,
                Some(CompletionState::Waiting),
                delivered,
                gone,
                unclear,
            ],
        ),
        (CompletionState::Delivered, [None, None, None, None, None]),
        (is_failed(), [None, None, None, None, None]),
        (CompletionState::Unclear, [None, None, None, None, None]),
    ];
    for (state, expected) in table {
        for (event, expected) in events.iter().zip(expected) {
            let after = state.clone().on(event.clone()).ok();
            assert_eq!(after, expected, "{state:?} {event:?}");
        }
    }
}

#[tokio::test]
async fn a_name_is_taken_once_for_each_dispatcher_also_after_a_restart() {
    let desk = Desk::open();
    let first = desk.report("build").await;
    let again = NewCompletion {
        body: "something else".to_owned(),
        ..completion("build")
    };
    let desk = desk.reopened().await;
    let reported = desk.ledger.report(again).await.unwrap();
    assert_eq!((reported.id, reported.is_new), (first, false));
    let kept = desk.ledger.completion_body(first).await.unwrap();
    assert_eq!(kept, "build is done");
    let elsewhere = NewCompletion {
        dispatcher: DispatcherId::new("other"),
        ..completion("build")
    };
    assert!(desk.ledger.report(elsewhere).await.unwrap().is_new);
    desk.close().await;
}

#[tokio::test]
async fn what_a_turn_gives_back_waits_in_its_old_place() {
    let desk = Desk::open();
    let one = desk.report("one").await;
    let two = desk.report("two").await;
    let turn = TurnKey::new();
    let open = desk
        .ledger
        .open_trigger(&lane(), turn, vec![one, two])
        .await
        .unwrap();
    assert_eq!(open.completions, [one, two]);
    desk.report("three").await;
    assert_eq!(desk.waiting().await, ["three"]);
    assert_eq!(desk.state(one).await, CompletionState::InTurn);
    let hold = Hold {
        failures: 1,
        until: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
    };
    let back = Return {
        forgotten: false,
        hold: Some(hold),
    };
    desk.give_back(turn, back).await;
    let desk = desk.reopened().await;
    assert_eq!(desk.waiting().await, ["one", "two", "three"]);
    let record = desk.ledger.lane(&lane()).await.unwrap().unwrap();
    assert_eq!((record.hold, record.open), (Some(hold), None));
    desk.close().await;
}

#[tokio::test]
async fn a_turn_that_is_answered_settles_whatever_its_thread_has() {
    let desk = Desk::open();
    let thread = ThreadId::new("t1");
    let one = desk.report("one").await;
    desk.begin(&thread).await;
    let turn = desk.bring_up(one, &thread).await;
    let record = desk.ledger.lane(&lane()).await.unwrap().unwrap();
    assert!(record.had_turn, "codex has the thread on disk");
    desk.give_back(turn, Return::default()).await;
    // This one the thread does not have.
    let two = desk.report("two").await;
    let message = accept(&desk.ledger, "hello").await.unwrap();
    let turn = TurnKey::new();
    desk.ledger
        .open_turn(&lane(), turn, vec![message])
        .await
        .unwrap();
    desk.answered(turn).await;
    assert_eq!(desk.state(one).await, CompletionState::Delivered);
    assert_eq!(desk.state(two).await, CompletionState::Waiting);
    assert_eq!(desk.waiting().await, ["two"]);
    desk.close().await;
}

#[tokio::test]
async fn what_a_history_has_lost_is_not_taken_for_seen() {
    let desk = Desk::open();
    let thread = ThreadId::new("t1");
    let one = desk.report("one").await;
    desk.begin(&thread).await;
    for forget in [false, true] {
        let turn = desk.bring_up(one, &thread).await;
        let back = Return {
            forgotten: forget,
            hold: None,
        };
        desk.give_back(turn, back).await;
        if !forget {
            desk.ledger.forget_injections(&lane()).await.unwrap();
        }
        let record = desk.ledger.completion(one).await.unwrap().unwrap();
        assert_eq!(record.injected_into, None, "forgotten: {forget}");
    }
    desk.close().await;
}

#[tokio::test]
async fn a_turn_takes_only_what_waits_for_its_lane() {
    let desk = Desk::open();
    let one = desk.report("one").await;
    let elsewhere = desk
        .ledger
        .report(NewCompletion {
            lane: crate::id::LaneId::new("flow/b"),
            ..completion("two")
        })
        .await
        .unwrap()
        .id;
    let refused = desk
        .ledger
        .open_trigger(&lane(), TurnKey::new(), vec![one, elsewhere])
        .await;
    let expected = LedgerError::NotArrived {
        completion: elsewhere,
        lane: lane(),
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(desk.waiting().await, ["one"], "it left a trace");
    desk.close().await;
}

#[tokio::test]
async fn a_settled_one_is_forgotten_with_its_name_and_its_file_after_its_time() {
    let desk = Desk::open();
    let long = NewCompletion {
        body: "x".repeat(10_000),
        ..completion("long")
    };
    let long = desk.ledger.report(long).await.unwrap().id;
    let open = desk.report("open").await;
    let turn = TurnKey::new();
    desk.ledger
        .open_trigger(&lane(), turn, vec![long])
        .await
        .unwrap();
    desk.answered(turn).await;
    let soon = SystemTime::now() + Duration::from_secs(6 * 24 * 3600);
    assert_eq!(desk.ledger.expire(soon).await.unwrap().completions, 0);
    let later = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
    let expired = desk.ledger.expire(later).await.unwrap();
    assert_eq!((expired.completions, expired.spools), (1, 1));
    assert_eq!(desk.ledger.completion(long).await.unwrap(), None);
    assert!(desk.ledger.completion(open).await.unwrap().is_some());
    assert_ne!(
        desk.report("long").await,
        long,
        "its name is taken for ever"
    );
    desk.close().await;
}
