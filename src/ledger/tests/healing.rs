//! A disk that fails and recovers, as the ledger sees it through its barrier.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use tieline_channel::Segment;

use super::fixture::{accept, lane, new_message};
use crate::id::TurnKey;
use crate::ledger::flaky;
use crate::ledger::{
    Accepted, Ledger, LedgerError, LedgerHealth, LedgerSettings, MessageState, Outcome,
};

#[tokio::test]
async fn what_was_reported_as_not_written_is_not_there_after_healing() {
    let dir = TempDir::new().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let (ledger, thread) = flaky::open(dir.path(), &fails);
    let first = accept(&ledger, "1").await.unwrap();
    let second = accept(&ledger, "2").await.unwrap();
    let turn = TurnKey::new();
    ledger.open_turn(&lane(), turn, vec![first]).await.unwrap();
    let counts = ledger.counts().await.unwrap();

    let mut health = ledger.health();
    assert_eq!(*health.borrow_and_update(), LedgerHealth::Ok);
    fails.store(true, Ordering::SeqCst);
    // This one reaches the file and only its sync fails: the worst case.
    let failed = ledger
        .settle_turn(&lane(), turn, Outcome::Answered, Vec::new())
        .await;
    assert!(
        matches!(failed, Err(LedgerError::NotWritten { .. })),
        "{failed:?}"
    );
    assert!(matches!(
        *health.borrow_and_update(),
        LedgerHealth::Failing { .. }
    ));
    // The alarm stays while nothing can be written, and nobody waits for an answer.
    let failed = ledger.accept(new_message("3")).await;
    assert!(matches!(failed, Err(LedgerError::NotWritten { .. })));

    fails.store(false, Ordering::SeqCst);
    health
        .wait_for(|health| *health == LedgerHealth::Ok)
        .await
        .unwrap();
    let lane_record = ledger.lane(&lane()).await.unwrap().unwrap();
    assert_eq!(lane_record.open.map(|open| open.key), Some(turn));
    assert_eq!(
        ledger.message(first).await.unwrap().unwrap().state,
        MessageState::InTurn
    );
    let after = ledger.counts().await.unwrap();
    assert_eq!(after.messages, counts.messages);
    assert_eq!(after.open_turns, counts.open_turns);

    // The same again works now.
    ledger
        .settle_turn(&lane(), turn, Outcome::Answered, Vec::new())
        .await
        .unwrap();
    assert!(matches!(
        ledger.accept(new_message("3")).await,
        Ok(Accepted::New { waiting: 2, .. })
    ));
    assert_eq!(
        ledger.accept(new_message("2")).await,
        Ok(Accepted::Duplicate { id: Some(second) })
    );
    thread.close().await;
}

#[tokio::test]
async fn spool_that_cannot_be_written_is_an_alarm() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    accept(&ledger, "1").await.unwrap();
    let spool = dir.path().join("spool");
    std::fs::remove_dir(&spool).unwrap();
    std::fs::write(&spool, "in the way").unwrap();
    let mut long = new_message("2");
    long.message.body = vec![Segment::Text("long ".repeat(2000))];
    let failed = ledger.accept(long.clone()).await;
    assert!(
        matches!(failed, Err(LedgerError::NotWritten { .. })),
        "{failed:?}"
    );
    let mut health = ledger.health();
    assert!(matches!(*health.borrow(), LedgerHealth::Failing { .. }));

    std::fs::remove_file(&spool).unwrap();
    health
        .wait_for(|health| *health == LedgerHealth::Ok)
        .await
        .unwrap();
    let accepted = ledger.accept(long.clone()).await.unwrap();
    let Accepted::New { id, waiting: 2 } = accepted else {
        panic!("{accepted:?}");
    };
    let record = ledger.message(id).await.unwrap().unwrap();
    assert_eq!(record.message, long.message);
    thread.close().await;
}

#[tokio::test]
async fn panic_over_one_request_is_survived() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let id = accept(&ledger, "1").await.unwrap();
    let failed: Result<(), _> = ledger
        .call(|transaction| {
            transaction.state.counts.keys = 1000;
            panic!("a bug")
        })
        .await;
    assert!(matches!(failed, Err(LedgerError::NotWritten { .. })));
    let mut health = ledger.health();
    health
        .wait_for(|health| *health == LedgerHealth::Ok)
        .await
        .unwrap();
    assert!(ledger.message(id).await.unwrap().is_some());
    assert_eq!(ledger.counts().await.unwrap().keys, 1);
    thread.close().await;
}

#[tokio::test]
async fn failing_ledger_can_be_closed() {
    let dir = TempDir::new().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let (ledger, thread) = flaky::open(dir.path(), &fails);
    fails.store(true, Ordering::SeqCst);
    accept(&ledger, "1").await.unwrap_err();
    thread.close().await;
    assert_eq!(accept(&ledger, "1").await, Err(LedgerError::Closed));
}
