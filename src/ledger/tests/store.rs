//! The rules under which the database is safe.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;

use crate::id::MessageId;
use crate::ledger::LedgerError;
use crate::ledger::key::{self, Key, Table};
use crate::ledger::store::{Change, Fsync, Store};
use crate::ledger::value::{MAX_VALUE, Value};

fn value(size: usize) -> Value {
    Value::from_stored(&vec![7; size])
}

/// Adds and removes values of one size at random and returns how many blob files there are then.
fn blobs_after_churn(size: usize) -> usize {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path(), &[], &mut Fsync).unwrap();
    let mut keys: Vec<Key> = Vec::new();
    let mut random = 1_u64;
    for round in 0..60 {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..50 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let number = usize::try_from(random >> 33).unwrap();
            if round > 20 && number.is_multiple_of(2) {
                let key = keys.swap_remove(number / 2 % keys.len());
                changes.push((Table::Messages, key, None));
            } else {
                let key = key::message(MessageId::new());
                keys.push(key.clone());
                changes.push((Table::Messages, key, Some(value(size))));
            }
        }
        store.commit(&changes, &mut Fsync).unwrap();
    }
    let blobs = fs::read_dir(dir.path().join("store/blobs")).unwrap();
    blobs.count()
}

#[test]
fn values_of_the_greatest_size_stay_in_the_synced_file() {
    assert_eq!(blobs_after_churn(MAX_VALUE), 0);
    // Larger ones would not, so the bound is needed and this test can fail.
    assert!(blobs_after_churn(3 * MAX_VALUE) > 0);
}

#[test]
fn value_that_is_too_large_cannot_be_made() {
    let limit = MAX_VALUE - "_\"\"".len();
    assert!(Value::encode("text", &"x".repeat(limit)).is_ok());
    assert_eq!(
        Value::encode("text", &"x".repeat(limit + 1)),
        Err(LedgerError::TooLarge {
            what: "text",
            bytes: MAX_VALUE + 1,
            limit: MAX_VALUE,
        })
    );
}

/// A closed store with one value.
fn filled() -> (TempDir, Change) {
    let dir = TempDir::new().unwrap();
    let change = (
        Table::Messages,
        key::message(MessageId::new()),
        Some(value(10)),
    );
    let store = Store::open(dir.path(), &[], &mut Fsync).unwrap();
    store
        .commit(std::slice::from_ref(&change), &mut Fsync)
        .unwrap();
    (dir, change)
}

fn has(dir: &Path, (table, key, value): &Change) -> bool {
    let store = Store::open(dir, &[], &mut Fsync).unwrap();
    let stored = store.tree(*table).get(key.as_bytes()).unwrap();
    stored.as_deref() == value.as_ref().map(Value::as_bytes)
}

#[test]
fn half_written_snapshot_does_not_keep_the_store_from_opening() {
    let (dir, change) = filled();
    let store = dir.path().join("store");
    let half = store.join("snap.00000000FFFFFFFF.generating");
    File::create(&half).unwrap().write_all(&[1, 2, 3]).unwrap();
    // The library by itself never opens it again.
    let alone = sled::Config::new().path(&store).flush_every_ms(None).open();
    assert!(alone.is_err());
    drop(alone);

    assert!(has(dir.path(), &change));
    assert!(!half.exists());
}

#[test]
fn store_cut_while_it_was_made_is_made_again() {
    // Whatever a power cut leaves of a store that is being made, it lies under the other name.
    for db in [None, Some(&[][..]), Some(&[0xA5; 700][..])] {
        let dir = TempDir::new().unwrap();
        let unfinished = dir.path().join("store.new");
        fs::create_dir(&unfinished).unwrap();
        fs::write(unfinished.join("conf"), [0; 3]).unwrap();
        fs::write(unfinished.join("snap.0000000000000000"), [0; 3]).unwrap();
        if let Some(db) = db {
            fs::write(unfinished.join("db"), db).unwrap();
        }
        let store = Store::open(dir.path(), &[], &mut Fsync).unwrap();
        let change = (Table::Meta, key::state(), Some(value(1)));
        store
            .commit(std::slice::from_ref(&change), &mut Fsync)
            .unwrap();
        drop(store);
        assert!(has(dir.path(), &change));
        assert!(!unfinished.exists());
    }
}
