//! Messages, turns and posts on their way through.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline::id::TurnKey;
use tieline::id::{ThreadId, TurnId};
use tieline::ledger::{
    Accepted, Ledger, LedgerError, LedgerSettings, LostThread, MessageState, Outcome, PostEvent,
    PostState, RefusedMessage, Revised, TurnEvent, TurnPhase,
};
use tieline_channel::{EventKey, EventKind, RefusalReason, Segment, WireId};

use super::fixture::{accept, channel, dispatcher, key, lane, message, names, new_message, post};

fn open(dir: &TempDir) -> Ledger {
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    // The thread ends with the last handle.
    drop(thread);
    ledger
}

#[tokio::test]
async fn message_goes_from_queue_to_turn_to_outbox() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let first = accept(&ledger, &lane, "1").await;
    let second = accept(&ledger, &lane, "2").await;
    assert_eq!(names(&ledger.waiting(&lane, 10).await.unwrap()), ["1", "2"]);

    let turn = TurnKey::new();
    let open = ledger.open_turn(&lane, turn, vec![first]).await.unwrap();
    assert_eq!(open.phase, TurnPhase::Opened);
    ledger
        .advance_turn(
            &lane,
            turn,
            TurnEvent::Submitted {
                turn: TurnId::new("t"),
            },
        )
        .await
        .unwrap();
    let open = ledger
        .advance_turn(&lane, turn, TurnEvent::Delivered { turn: None })
        .await
        .unwrap();
    assert_eq!(open.phase, TurnPhase::Delivered);
    assert_eq!(open.codex_turn, Some(TurnId::new("t")));
    assert!(ledger.lane(&lane).await.unwrap().unwrap().had_turn);

    let mut changes = ledger.outbox_changes();
    changes.mark_unchanged();
    let posts = ledger
        .settle_turn(&lane, turn, Outcome::Answered, vec![post("a"), post("b")])
        .await
        .unwrap();
    assert!(changes.has_changed().unwrap());
    let record = ledger.message(first).await.unwrap().unwrap();
    assert_eq!(record.state, MessageState::Answered);
    assert_eq!(record.turn, Some(turn));
    assert_eq!(names(&ledger.waiting(&lane, 10).await.unwrap()), ["2"]);
    assert_eq!(ledger.lane(&lane).await.unwrap().unwrap().open, None);
    assert_eq!(
        ledger.message(second).await.unwrap().unwrap().state,
        MessageState::Queued
    );

    let entries = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.id).collect::<Vec<_>>(), posts);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    ledger
        .advance_post(posts[0], PostEvent::Attempt { at })
        .await
        .unwrap();
    let wire = WireId::new("w");
    let entry = ledger
        .advance_post(
            posts[0],
            PostEvent::Delivered {
                wire: wire.clone(),
                at,
            },
        )
        .await
        .unwrap();
    assert_eq!(entry.state, PostState::Delivered { wire, at });
    let entries = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].post.text, "b");
    let after = ledger
        .undelivered(&channel(), Some(posts[1]), 10)
        .await
        .unwrap();
    assert_eq!(after, []);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let lane = lane("a");
    let first = accept(&ledger, &lane, "1").await;
    accept(&ledger, &lane, "2").await;
    let long = "long ".repeat(20_000);
    let mut new = new_message(&lane, "3");
    new.message.body = vec![Segment::Text(long.clone())];
    ledger.accept(new).await.unwrap();
    let turn = TurnKey::new();
    ledger.set_thread(&lane, ThreadId::new("th")).await.unwrap();
    ledger.open_turn(&lane, turn, vec![first]).await.unwrap();
    ledger.enqueue(vec![post(&long)]).await.unwrap();
    let lanes = ledger.lanes(&dispatcher()).await.unwrap();
    let messages = ledger.recent_messages(10).await.unwrap();
    let posts = ledger.undelivered(&channel(), None, 10).await.unwrap();
    thread.close().await;
    assert_eq!(ledger.counts().await, Err(LedgerError::Closed));

    let ledger = open(&dir);
    assert_eq!(ledger.lanes(&dispatcher()).await.unwrap(), lanes);
    assert_eq!(ledger.recent_messages(10).await.unwrap(), messages);
    assert_eq!(
        ledger.undelivered(&channel(), None, 10).await.unwrap(),
        posts
    );
    assert_eq!(names(&messages), ["3", "2", "1"]);
    assert_eq!(messages[0].message.plain_text(), long);
    assert_eq!(posts[0].post.text, long);
    assert_eq!(
        ledger.accept(new_message(&lane, "1")).await.unwrap(),
        Accepted::Duplicate { id: Some(first) }
    );
}

#[tokio::test]
async fn failing_command_leaves_no_trace() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let first = accept(&ledger, &lane, "1").await;
    let unknown = tieline::id::MessageId::new();
    let counts = ledger.counts().await.unwrap();
    let failed = ledger
        .open_turn(&lane, TurnKey::new(), vec![first, unknown])
        .await;
    assert_eq!(failed, Err(LedgerError::UnknownMessage(unknown)));
    assert_eq!(names(&ledger.waiting(&lane, 9).await.unwrap()), ["1"]);
    assert_eq!(
        ledger.message(first).await.unwrap().unwrap().state,
        MessageState::Queued
    );
    assert_eq!(ledger.lane(&lane).await.unwrap().unwrap().open, None);
    assert_eq!(ledger.counts().await.unwrap(), counts);
}
