//! Orders under a key: carried out once, also by the next process, until the key is forgotten.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use serde_json::json;

use crate::id::{DispatcherId, LaneId};
use crate::ledger::{
    Asker, IdempotencyKey, KEY_RETENTION, Ledger, LedgerError, LedgerSettings, NewTask,
    NewTeammate, Once, Order, RequestDigest, RosterError, Workspace,
};

fn key(dispatcher: &str, operation: &'static str, key: &str, request: u32) -> IdempotencyKey {
    IdempotencyKey {
        dispatcher: DispatcherId::new(dispatcher),
        operation,
        key: key.to_owned(),
        digest: RequestDigest::of(&json!({ "request": request })),
    }
}

fn spawn(name: &str) -> Order {
    let dispatcher = DispatcherId::new("flow");
    let new = NewTeammate {
        dispatcher: dispatcher.clone(),
        name: name.to_owned(),
        lane: LaneId::new(format!("flow/@{name}")),
        workspace: Workspace::Shared,
        model: None,
        sandbox: None,
        instructions: None,
        limit: 2,
    };
    let task = NewTask {
        dispatcher,
        teammate: name.to_owned(),
        asker: Asker {
            lane: LaneId::new("flow"),
            origin: None,
        },
        text: "look".to_owned(),
    };
    Order::Spawn(new, task)
}

async fn give(ledger: &Ledger, name: &str, key: IdempotencyKey) -> Result<bool, LedgerError> {
    let once = ledger.carry_out_once(spawn(name), Some(key)).await?;
    Ok(match once {
        Once::New(_) => true,
        Once::Repeated { made } => {
            assert_eq!(made, name);
            false
        }
    })
}

fn reused() -> LedgerError {
    LedgerError::KeyReused {
        key: "k".to_owned(),
    }
}

#[tokio::test]
async fn an_order_is_carried_out_once_also_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    let (ledger, thread) = open();
    assert_eq!(
        give(&ledger, "a", key("flow", "spawn", "k", 1)).await,
        Ok(true)
    );
    assert_eq!(
        give(&ledger, "a", key("flow", "spawn", "k", 1)).await,
        Ok(false)
    );
    drop(ledger);
    thread.close().await;

    let (ledger, thread) = open();
    let known = key("flow", "spawn", "k", 1);
    assert_eq!(give(&ledger, "a", known.clone()).await, Ok(false));
    assert_eq!(ledger.made_under(&known).await, Ok(Some("a".to_owned())));
    // Another order is refused, and changes nothing.
    let other = key("flow", "spawn", "k", 2);
    assert_eq!(give(&ledger, "b", other.clone()).await, Err(reused()));
    assert_eq!(ledger.made_under(&other).await, Err(reused()));
    // Other dispatchers and other operations have other keys.
    for other in [key("other", "spawn", "k", 2), key("flow", "assign", "k", 2)] {
        assert_eq!(ledger.made_under(&other).await, Ok(None));
    }
    let all = ledger.teammates(&DispatcherId::new("flow")).await.unwrap();
    assert_eq!(all.len(), 1);
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn an_order_that_fails_leaves_its_key_free() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    assert_eq!(
        give(&ledger, "a", key("flow", "spawn", "1", 1)).await,
        Ok(true)
    );
    let taken = RosterError::taken("a".to_owned(), false);
    let failed = give(&ledger, "a", key("flow", "spawn", "k", 1)).await;
    assert_eq!(failed, Err(taken.into()));
    assert_eq!(
        give(&ledger, "b", key("flow", "spawn", "k", 2)).await,
        Ok(true)
    );
    drop(ledger);
    thread.close().await;
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_time_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
    let known = key("flow", "spawn", "k", 1);
    give(&ledger, "a", known.clone()).await.unwrap();
    let now = SystemTime::now();
    let promised = Duration::from_secs(48 * 60 * 60);
    assert!(KEY_RETENTION >= promised);
    let expired = ledger.expire(now + promised).await.unwrap();
    assert_eq!(expired.orders, 0);
    assert_eq!(ledger.made_under(&known).await, Ok(Some("a".to_owned())));
    let later = now + KEY_RETENTION + Duration::from_secs(60);
    assert_eq!(ledger.expire(later).await.unwrap().orders, 1);
    assert_eq!(ledger.made_under(&known).await, Ok(None));
    assert_eq!(ledger.expire(later).await.unwrap().orders, 0);
    drop(ledger);
    thread.close().await;
}
