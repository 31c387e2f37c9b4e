//! What is refused at the start, and how it is said.

use std::fs;
use std::io;
use std::path::Path;

use insta::assert_snapshot;
use tempfile::TempDir;

use super::fixture::accept;
use crate::ledger::migration::{MIGRATIONS, Migration};
use crate::ledger::store::{Fsync, io_error};
use crate::ledger::writer::Parts;
use crate::ledger::{Ledger, LedgerError, LedgerSettings, OpenError};

const TWO: &[Migration] = &[
    MIGRATIONS[0],
    Migration {
        to: 2,
        run: |transaction| {
            transaction.state.next_number += 1000;
            Ok(())
        },
    },
];

const FAILING: &[Migration] = &[
    MIGRATIONS[0],
    Migration {
        to: 2,
        run: |_| Err(LedgerError::Closed),
    },
];

async fn open_and_close(dir: &Path, migrations: &'static [Migration]) -> Result<(), OpenError> {
    let parts = Parts {
        barrier: Box::new(Fsync),
        migrations,
    };
    let (_ledger, thread) = Ledger::open_with(dir, LedgerSettings::standard(), parts)?;
    thread.close().await;
    Ok(())
}

/// Returns what is said about a directory, with its name left out.
async fn refusal(dir: &Path) -> String {
    open_and_close(dir, MIGRATIONS)
        .await
        .unwrap_err()
        .to_string()
        .replace(&dir.display().to_string(), "DIR")
}

#[tokio::test]
async fn ledger_of_a_running_process_is_refused() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let said = refusal(dir.path()).await;
    let said = said.replace(&std::process::id().to_string(), "PID");
    assert_snapshot!(said, @"another tieline is running on DIR (process PID); stop it first, or give this one another state_dir");
    // The refusal has not disturbed it.
    accept(&ledger, "1").await.unwrap();
    thread.close().await;
    open_and_close(dir.path(), MIGRATIONS).await.unwrap();
}

#[tokio::test]
async fn file_in_place_of_the_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger");
    fs::write(&path, "").unwrap();
    assert_snapshot!(refusal(&path).await, @"DIR is not a directory; move it away or choose another state_dir");
}

#[test]
fn missing_permission_is_named() {
    let error = io_error(
        "open",
        Path::new("/ledger"),
        io::Error::from(io::ErrorKind::PermissionDenied),
    );
    assert_snapshot!(error, @"no permission for /ledger; make it readable and writable for the user that runs tieline");
}

#[tokio::test]
async fn blobs_are_refused() {
    let dir = TempDir::new().unwrap();
    open_and_close(dir.path(), MIGRATIONS).await.unwrap();
    fs::write(dir.path().join("store/blobs/1"), "").unwrap();
    assert_snapshot!(refusal(dir.path()).await, @"the ledger in DIR has files in store/blobs, which are not safe against power cuts; this version never writes any: restore a backup or move the directory away");
}

#[tokio::test]
async fn damaged_database_is_refused() {
    let dir = TempDir::new().unwrap();
    open_and_close(dir.path(), MIGRATIONS).await.unwrap();
    let db = dir.path().join("store/db");
    let bytes = fs::read(&db).unwrap();

    fs::write(&db, vec![0x5A; bytes.len()]).unwrap();
    let error = open_and_close(dir.path(), MIGRATIONS).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");

    fs::write(&db, []).unwrap();
    let error = open_and_close(dir.path(), MIGRATIONS).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");

    fs::remove_file(&db).unwrap();
    assert_snapshot!(refusal(dir.path()).await, @"the ledger in DIR is damaged (the file store/db is missing); keep a copy of the directory for examination, restore a backup, or move it away to begin with an empty one");
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let dir = TempDir::new().unwrap();
    open_and_close(dir.path(), TWO).await.unwrap();
    assert_snapshot!(refusal(dir.path()).await, @"the ledger in DIR has schema 2, this tieline knows 1; run the newer tieline again, or restore a backup from before the update");
    open_and_close(dir.path(), TWO).await.unwrap();
}

#[tokio::test]
async fn older_schema_is_migrated_whole_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let id = accept(&ledger, "1").await.unwrap();
    thread.close().await;

    let error = open_and_close(dir.path(), FAILING).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    open_and_close(dir.path(), MIGRATIONS).await.unwrap();

    open_and_close(dir.path(), TWO).await.unwrap();
    let parts = Parts {
        barrier: Box::new(Fsync),
        migrations: TWO,
    };
    let (ledger, _thread) =
        Ledger::open_with(dir.path(), LedgerSettings::standard(), parts).unwrap();
    assert!(ledger.message(id).await.unwrap().is_some());
    assert_eq!(ledger.counts().await.unwrap().messages.queued, 1);
}
