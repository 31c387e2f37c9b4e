//! kill -9, while writing and while opening.

use std::path::Path;

use tempfile::TempDir;
use tieline::ledger::{Ledger, LedgerSettings};

use super::child::LedgerChild;
use super::fixture::{accept, channel, key, lane};

/// Checks that every message that was said to be accepted is there, and that the ledger works.
async fn check(dir: &Path, said: &[String], round: usize) {
    let (ledger, thread) = Ledger::open(dir, LedgerSettings::standard()).unwrap();
    for name in said {
        let found = ledger.find_message(&channel(), &key(name)).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("{name} is lost in round {round}"));
        assert_eq!(found.message.id.as_str(), name);
    }
    accept(&ledger, &lane("after"), &format!("after {round}")).await;
    let counts = ledger.counts().await.unwrap();
    assert!(counts.messages.queued >= said.len() as u64);
    thread.close().await;
}

#[tokio::test]
async fn kill_while_writing_loses_nothing_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut said = Vec::new();
    for round in 0..12 {
        let mut child = LedgerChild::start("write", dir.path());
        for _ in 0..5 + 37 * round {
            said.push(child.hear().expect("the child ended by itself"));
        }
        said.extend(child.kill());
        check(dir.path(), &said, round).await;
    }
    assert!(said.len() > 2000, "only {} messages", said.len());
}

#[tokio::test]
async fn kill_while_opening_loses_nothing_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut said = Vec::new();
    // Something to read at each start.
    let mut child = LedgerChild::start("write", dir.path());
    for _ in 0..600 {
        said.push(child.hear().expect("the child ended by itself"));
    }
    said.extend(child.kill());
    for round in 0..20 {
        let mut child = LedgerChild::start("open", dir.path());
        let mut opened = 0;
        while opened < 1 + round % 4 {
            match child.hear().expect("the child ended by itself").as_str() {
                "opening" => opened += 1,
                name => said.push(name.to_owned()),
            }
        }
        // Spread the kills over the time that opening takes.
        for _ in 0..round * 20_000 {
            std::hint::spin_loop();
        }
        let rest = child.kill();
        said.extend(rest.into_iter().filter(|said| said != "opening"));
        check(dir.path(), &said, round).await;
    }
}
