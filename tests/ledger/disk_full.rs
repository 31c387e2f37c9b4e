//! A full disk: an alarm, nothing half done, and work again once there is space, in one process.
//!
//! The kernel refuses to let files of a child process grow (`RLIMIT_FSIZE`), which fails writes in
//! the middle of the database's file exactly as a full disk does.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tieline::id::MessageId;
use tieline::ledger::{Accepted, Ledger, LedgerError, LedgerHealth, LedgerSettings};
use tokio::signal::unix::{SignalKind, signal};

use super::child::{LedgerChild, say};
use super::fixture::{channel, key, lane, message, new_message};

/// The signal that ends a process whose file may not grow, unless it is handled.
const SIGXFSZ: i32 = 25;

const ROUNDS: usize = 8;

/// How many failures a disk that fails now and then must have caused.
const FAILURES: usize = 40;

#[tokio::test]
async fn ledger_survives_a_full_disk_without_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut child = LedgerChild::start("fill", dir.path());
    let mut accepted = Vec::new();
    let mut failures = 0;
    while let Some(said) = child.hear() {
        match said.as_str() {
            "failed" => failures += 1,
            name => accepted.push(name.to_owned()),
        }
    }
    assert!(child.wait().success());
    assert!(failures >= ROUNDS, "only {failures} failures");

    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    for name in &accepted {
        let found = ledger.find_message(&channel(), &key(name)).await.unwrap();
        assert!(found.is_some(), "{name} is lost");
    }
    let counts = ledger.counts().await.unwrap();
    assert_eq!(counts.messages.queued, accepted.len() as u64);
    thread.close().await;
}

#[tokio::test]
async fn ledger_survives_a_disk_that_fails_now_and_then() {
    let dir = TempDir::new().unwrap();
    let mut child = LedgerChild::start("flicker", dir.path());
    let said: Vec<_> = std::iter::from_fn(|| child.hear()).collect();
    assert!(child.wait().success());
    let (failed, accepted): (Vec<_>, Vec<_>) = said.iter().partition(|said| *said == "failed");
    assert!(failed.len() >= FAILURES, "only {} failures", failed.len());

    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    for name in &accepted {
        let found = ledger.find_message(&channel(), &key(*name)).await.unwrap();
        assert!(found.is_some(), "{name} is lost");
    }
    let counts = ledger.counts().await.unwrap();
    assert_eq!(counts.messages.queued, accepted.len() as u64);
    thread.close().await;
}

/// Lets single writes fail while messages are accepted; runs in the child.
///
/// Other than on a full disk, the writes around the one that fails succeed.
pub(crate) async fn flicker(dir: &Path) {
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    let (ledger, thread) = Ledger::open(dir, LedgerSettings::standard()).unwrap();
    let mut health = ledger.health();
    let failures = Arc::new(AtomicUsize::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (ledger, failures) = (ledger.clone(), Arc::clone(&failures));
        writers.spawn(async move {
            let mut number = 0;
            while failures.load(Ordering::SeqCst) < FAILURES {
                match accept(&ledger, &format!("{writer}.{number}")).await {
                    Ok(_) => number += 1,
                    Err(LedgerError::NotWritten { .. }) => {
                        say("failed");
                        failures.fetch_add(1, Ordering::SeqCst);
                        let mut health = ledger.health();
                        let healed = health.wait_for(|health| *health == LedgerHealth::Ok);
                        healed.await.unwrap();
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let mut flicker = 0;
    while failures.load(Ordering::SeqCst) < FAILURES {
        let nothing = Rlimit {
            current: Some(0),
            ..unlimited
        };
        setrlimit(Resource::Fsize, nothing).unwrap();
        // From shorter than a write to as long as a commit.
        for _ in 0..flicker % 40 * 2000 {
            std::hint::spin_loop();
        }
        setrlimit(Resource::Fsize, unlimited).unwrap();
        tokio::time::timeout(
            Duration::from_secs(60),
            health.wait_for(|health| *health == LedgerHealth::Ok),
        )
        .await
        .expect("the ledger did not heal")
        .unwrap();
        flicker += 1;
    }
    writers.join_all().await;
    thread.close().await;
}

/// Fills the disk and frees it again, several times; runs in the child.
pub(crate) async fn fill_and_free(dir: &Path) {
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    let (ledger, thread) = Ledger::open(dir, LedgerSettings::standard()).unwrap();
    let mut health = ledger.health();
    for round in 0..ROUNDS {
        let size = fs::metadata(dir.join("store/db")).unwrap().len();
        // Each round the disk is full at another place in a page, a segment, a group.
        let room = round as u64 * 100_003;
        setrlimit(
            Resource::Fsize,
            Rlimit {
                current: Some(size + room),
                ..unlimited
            },
        )
        .unwrap();
        let refused = accept_until_full(&ledger, round).await;
        assert!(matches!(
            *health.borrow_and_update(),
            LedgerHealth::Failing { .. }
        ));
        // Still full: whoever comes is told at once.
        for _ in 0..3 {
            let again = ledger.counts().await;
            assert!(matches!(again, Err(LedgerError::NotWritten { .. })));
        }

        setrlimit(Resource::Fsize, unlimited).unwrap();
        tokio::time::timeout(
            Duration::from_secs(60),
            health.wait_for(|health| *health == LedgerHealth::Ok),
        )
        .await
        .expect("the ledger did not heal")
        .unwrap();
        for name in refused {
            // What was not written is not there, and is accepted now.
            accept(&ledger, &name).await.unwrap();
        }
    }
    thread.close().await;
}

/// Accepts messages from several writers until each has failed; returns what failed.
async fn accept_until_full(ledger: &Ledger, round: usize) -> Vec<String> {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let ledger = ledger.clone();
        writers.spawn(async move {
            for number in 0_u64.. {
                let name = format!("{round}.{writer}.{number}");
                match accept(&ledger, &name).await {
                    Ok(_) => {}
                    Err(LedgerError::NotWritten { .. }) => {
                        say("failed");
                        return name;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            unreachable!("the disk never got full")
        });
    }
    writers.join_all().await
}

async fn accept(ledger: &Ledger, name: &str) -> Result<MessageId, LedgerError> {
    let mut new = new_message(&lane("a"), name);
    new.message = message(name, &"x".repeat(700));
    match ledger.accept(new).await? {
        Accepted::New { id, .. } => {
            say(name);
            Ok(id)
        }
        Accepted::Duplicate { .. } => panic!("{name} was reported as not written, but is there"),
    }
}
