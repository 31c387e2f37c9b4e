//! What is told of teammates also when the disk has lost some of it.

use std::fs;

use pretty_assertions::assert_eq;

use super::*;
use crate::id::TurnKey;
use crate::ledger::{LedgerSettings, LedgerThread, Outcome};

struct Fixture {
    directory: tempfile::TempDir,
    roster: Roster,
    ledger: Ledger,
    thread: LedgerThread,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, thread) =
            Ledger::open(&directory.path().join("ledger"), LedgerSettings::standard()).unwrap();
        let rules = Rules {
            workspace: directory.path().to_owned(),
            worktrees: directory.path().join("worktrees"),
            sandbox: Sandbox::WorkspaceWrite,
            limit: 3,
        };
        let roster = Roster::new(
            DispatcherId::new("flow"),
            rules,
            ledger.clone(),
            WhatTheyDo::default(),
            |_| {},
        );
        Self {
            directory,
            roster,
            ledger,
            thread,
        }
    }

    /// Loses every text that is too long for the database.
    fn lose_texts(&self) -> usize {
        let spool = self.directory.path().join("ledger/spool");
        let files = fs::read_dir(spool).unwrap();
        files
            .map(|file| fs::remove_file(file.unwrap().path()).unwrap())
            .count()
    }

    async fn close(self) {
        drop((self.roster, self.ledger));
        self.thread.close().await;
    }
}

#[tokio::test]
async fn a_text_that_the_disk_has_lost_hides_nothing_else() {
    let it = Fixture::new();
    let asker = Asker {
        lane: LaneId::new("flow"),
        origin: None,
    };
    let request = SpawnRequest {
        name: "a".to_owned(),
        task: "look at it ".repeat(1_000),
        workspace: WorkspaceRequest::Shared,
        instructions: None,
        model: None,
        sandbox: None,
    };
    let order = it.roster.spawn(request, asker.clone()).await.unwrap();
    it.roster.carry_out(order).await.unwrap();
    let order = it.roster.send("a".to_owned(), "short".to_owned(), asker);
    it.roster.carry_out(order.unwrap()).await.unwrap();
    let outcomes = [
        Outcome::Failed {
            kind: crate::failure::FailureKind::BackendTimeout,
            message: String::new(),
        },
        Outcome::Answered,
    ];
    for outcome in outcomes {
        let (lane, turn) = (LaneId::new("flow/@a"), TurnKey::new());
        it.ledger.open_task(&lane, turn).await.unwrap();
        let report = TaskReport {
            status: match outcome {
                Outcome::Answered => CompletionStatus::Ok,
                _ => CompletionStatus::Failed,
            },
            body: "found it ".repeat(1_000),
        };
        let settled = it
            .ledger
            .settle_work(&lane, turn, outcome, report, Vec::new());
        settled.await.unwrap();
    }
    // One task; two results, as they were reported and as they are remembered.
    assert_eq!(it.lose_texts(), 5);

    let details = it.roster.find("a", MAX_READ).await.unwrap().unwrap();
    let told: Vec<_> = details
        .tasks
        .iter()
        .map(|task| {
            let report = task.report.as_ref().unwrap();
            (&*task.text, report.status, &*report.body)
        })
        .collect();
    assert_eq!(
        told,
        [
            (LOST, CompletionStatus::Failed, LOST),
            ("short", CompletionStatus::Ok, LOST),
        ]
    );
    assert!(details.tasks[0].record.beginning.starts_with("look at it"));
    it.close().await;
}
