//! What is refused at the start, and how it is said.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use tempfile::TempDir;

use super::fixture::accept;
use crate::ledger::migration::{MIGRATIONS, Migration};
use crate::ledger::store::{Fsync, io_error};
use crate::ledger::writer::Parts;
use crate::ledger::{Ledger, LedgerError, LedgerSettings, OpenError, inspect};

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

/// Returns the copies of a ledger that lie beside it.
fn backups(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.parent().unwrap()).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path != dir)
        .collect()
}

#[tokio::test]
async fn older_schema_is_migrated_whole_or_not_at_all_and_was_copied_before() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("ledger");
    let (ledger, thread) = Ledger::open(&dir, LedgerSettings::standard()).unwrap();
    let id = accept(&ledger, "1").await.unwrap();
    thread.close().await;
    open_and_close(&dir, MIGRATIONS).await.unwrap();
    assert_eq!(backups(&dir), Vec::<PathBuf>::new());

    let error = open_and_close(&dir, FAILING).await.unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    open_and_close(&dir, MIGRATIONS).await.unwrap();

    open_and_close(&dir, TWO).await.unwrap();
    let parts = Parts {
        barrier: Box::new(Fsync),
        migrations: TWO,
    };
    let (ledger, thread) = Ledger::open_with(&dir, LedgerSettings::standard(), parts).unwrap();
    assert!(ledger.message(id).await.unwrap().is_some());
    assert_eq!(ledger.counts().await.unwrap().messages.queued, 1);
    thread.close().await;

    // One is left of the two attempts; it is private, and what was there before.
    let backups = backups(&dir);
    let [backup] = backups.as_slice() else {
        panic!("{backups:?}");
    };
    let name = backup.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("ledger.backup-v1-"), "{name}");
    let mode = fs::metadata(backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let (ledger, thread) = Ledger::open(backup, LedgerSettings::standard()).unwrap();
    assert!(ledger.message(id).await.unwrap().is_some());
    thread.close().await;
}

#[tokio::test]
async fn ledger_that_cannot_be_copied_is_not_migrated() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("ledger");
    open_and_close(&dir, MIGRATIONS).await.unwrap();
    // What is in the way and no directory is not ours to remove.
    fs::write(parent.path().join("ledger.backup.new"), "").unwrap();
    let error = open_and_close(&dir, TWO).await.unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("ledger.backup.new is not a directory"),
        "{told}"
    );
    open_and_close(&dir, MIGRATIONS).await.unwrap();
}

#[tokio::test]
async fn looking_at_a_ledger_tells_what_is_there_and_changes_nothing() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("ledger");
    let scratch = || tempfile::tempdir_in(parent.path()).unwrap();
    assert!(inspect(&dir, scratch().path()).unwrap().is_none());
    let (ledger, thread) = Ledger::open(&dir, LedgerSettings::standard()).unwrap();
    accept(&ledger, "1").await.unwrap();
    let error = inspect(&dir, scratch().path()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Locked {
                holder: Some(_),
                ..
            }
        ),
        "{error}"
    );
    drop(ledger);
    thread.close().await;

    let before = contents(&dir);
    let found = inspect(&dir, scratch().path()).unwrap().unwrap();
    assert_eq!((found.schema, found.newest), (1, 1));
    assert_eq!(found.counts.messages.queued, 1);
    assert_eq!(contents(&dir), before);

    open_and_close(&dir, TWO).await.unwrap();
    let error = inspect(&dir, scratch().path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { .. }), "{error}");
    fs::write(dir.join("store/db"), "no database").unwrap();
    let error = inspect(&dir, scratch().path()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

/// Returns every file below a directory with its content.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}
