//! One-off runs: queued, begun in order, ended once, and forgotten with all that was theirs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;

use super::fixture::{accept, lane};
use crate::failure::FailureKind;
use crate::id::{DispatcherId, RunId, ThreadId};
use crate::ledger::{
    CompletionStatus, IdempotencyKey, Ledger, LedgerError, LedgerSettings, LedgerThread,
    MAX_WAITING_RUNS, NewRun, Once, RequestDigest, RunEnd, RunEnding, RunEnvironment, RunFilter,
    RunOrder, RunRecord, RunResult, RunState,
};

const SECRET: &str = "hunter2-of-the-ledger";

struct Fixture {
    directory: tempfile::TempDir,
    ledger: Ledger,
    thread: LedgerThread,
}

fn open(directory: &Path) -> (Ledger, LedgerThread) {
    Ledger::open(directory, LedgerSettings::standard()).unwrap()
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, thread) = open(directory.path());
        Self {
            directory,
            ledger,
            thread,
        }
    }

    async fn again(self) -> Self {
        drop(self.ledger);
        self.thread.close().await;
        let (ledger, thread) = open(self.directory.path());
        Self {
            directory: self.directory,
            ledger,
            thread,
        }
    }

    async fn end(self) {
        drop(self.ledger);
        self.thread.close().await;
    }

    async fn queue(&self, prompt: &str) -> RunRecord {
        match self.ledger.queue_run(new(prompt), None).await.unwrap() {
            Once::New(run) => run,
            Once::Repeated { .. } => panic!("it is new"),
        }
    }

    async fn begin(&self) -> Option<RunRecord> {
        self.ledger.begin_run(&flow()).await.unwrap()
    }

    async fn state(&self, id: RunId) -> RunState {
        self.ledger.run(id).await.unwrap().unwrap().state
    }

    fn spool_files(&self) -> usize {
        let spool = self.directory.path().join("spool");
        std::fs::read_dir(spool).unwrap().count()
    }
}

fn flow() -> DispatcherId {
    DispatcherId::new("flow")
}

fn new(prompt: &str) -> NewRun {
    NewRun {
        dispatcher: flow(),
        purpose: "task".to_owned(),
        order: RunOrder {
            prompt: prompt.to_owned(),
            cwd: "/w".into(),
            model: None,
            profile: None,
            sandbox: "read-only".to_owned(),
            images: Vec::new(),
            writable_dirs: Vec::new(),
            env: RunEnvironment::default(),
            config: Vec::new(),
            skip_git_check: true,
            ephemeral: false,
            output_schema: None,
            resume: None,
            timeout: Duration::from_secs(60),
            metadata: BTreeMap::new(),
        },
        report_to: None,
    }
}

fn end(ending: RunEnding) -> RunEnd {
    RunEnd {
        ending,
        thread: None,
        result: RunResult {
            reply: Some("done".to_owned()),
            ..RunResult::default()
        },
    }
}

#[tokio::test]
async fn runs_are_begun_in_their_order_and_read_the_same_after_a_restart() {
    let fixture = Fixture::new();
    let first = fixture.queue("first").await;
    let second = fixture.queue(&"x".repeat(20_000)).await;
    let details = fixture
        .ledger
        .run_details(second.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(details.ahead, 1);
    assert_eq!(fixture.begin().await.unwrap().id, first.id);
    let thread = ThreadId::new("t1");
    fixture
        .ledger
        .set_run_thread(first.id, thread.clone())
        .await
        .unwrap();
    fixture
        .ledger
        .end_run(first.id, end(RunEnding::Completed))
        .await
        .unwrap();

    let everything = |fixture: &Fixture| {
        let ledger = fixture.ledger.clone();
        async move {
            let page = ledger.runs(RunFilter::default(), None, 10).await.unwrap();
            let mut details = Vec::new();
            for run in &page.runs {
                details.push(ledger.run_details(run.id).await.unwrap().unwrap());
            }
            (page, details)
        }
    };
    let before = everything(&fixture).await;
    assert_eq!(before.1.len(), 2);
    assert_eq!(before.0.runs[1].thread, Some(thread));
    assert_eq!(
        before.1[1].result.as_ref().unwrap().reply.as_deref(),
        Some("done")
    );
    let fixture = fixture.again().await;
    assert_eq!(everything(&fixture).await, before);
    assert_eq!(fixture.begin().await.unwrap().id, second.id);
    assert_eq!(fixture.begin().await, None);
    fixture.end().await;
}

#[tokio::test]
async fn what_ran_is_unclear_after_a_break_unless_somebody_had_stopped_it() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for prompt in ["runs", "is being stopped", "waits"] {
        ids.push(fixture.queue(prompt).await.id);
    }
    fixture.begin().await;
    fixture.begin().await;
    let (stopping, _) = fixture.ledger.cancel_run(ids[1]).await.unwrap().unwrap();
    assert!(stopping.is_stopping && stopping.state == RunState::Running);
    let fixture = fixture.again().await;
    let lost = fixture.ledger.lose_runs().await.unwrap();
    assert_eq!(lost.len(), 2);
    assert_eq!(fixture.state(ids[0]).await, RunState::Unclear);
    assert_eq!(fixture.state(ids[1]).await, RunState::Cancelled);
    assert_eq!(fixture.ledger.lose_runs().await.unwrap(), []);
    assert_eq!(fixture.begin().await.unwrap().id, ids[2]);
    assert_eq!(fixture.begin().await, None);
    fixture.end().await;
}

#[tokio::test]
async fn a_run_ends_once() {
    let fixture = Fixture::new();
    let id = fixture.queue("x").await.id;
    let too_early = fixture.ledger.end_run(id, end(RunEnding::Completed)).await;
    assert!(
        matches!(too_early, Err(LedgerError::Illegal(_))),
        "{too_early:?}"
    );
    fixture.begin().await;
    let blocked = RunEnding::Blocked(FailureKind::SecretUnavailable);
    fixture.ledger.end_run(id, end(blocked)).await.unwrap();
    let again = fixture.ledger.end_run(id, end(RunEnding::Completed)).await;
    assert!(matches!(again, Err(LedgerError::Illegal(_))), "{again:?}");
    let (run, _) = fixture.ledger.cancel_run(id).await.unwrap().unwrap();
    let kind = FailureKind::SecretUnavailable;
    assert_eq!(run.state, RunState::Blocked { kind });
    assert_eq!(fixture.ledger.cancel_run(RunId::new()).await.unwrap(), None);
    fixture.end().await;
}

#[tokio::test]
async fn only_so_many_wait() {
    let fixture = Fixture::new();
    for _ in 0..MAX_WAITING_RUNS {
        fixture.queue("x").await;
    }
    let refused = fixture.ledger.queue_run(new("x"), None).await;
    let limit = MAX_WAITING_RUNS;
    assert_eq!(refused, Err(LedgerError::TooManyRuns { limit }));
    // One that is begun waits no longer.
    fixture.begin().await;
    fixture.queue("x").await;
    let refused = fixture.ledger.queue_run(new("x"), None).await;
    assert_eq!(refused, Err(LedgerError::TooManyRuns { limit }));
    fixture.end().await;
}

#[tokio::test]
async fn an_order_under_a_key_is_queued_once() {
    let fixture = Fixture::new();
    let key = |request: &str| IdempotencyKey {
        dispatcher: flow(),
        operation: "run",
        key: "k".to_owned(),
        digest: RequestDigest::of(&request),
    };
    let Once::New(run) = fixture
        .ledger
        .queue_run(new("x"), Some(key("a")))
        .await
        .unwrap()
    else {
        panic!("it is new");
    };
    let again = fixture.ledger.queue_run(new("x"), Some(key("a"))).await;
    let made = run.id.to_string();
    assert_eq!(again, Ok(Once::Repeated { made }));
    let other = fixture.ledger.queue_run(new("y"), Some(key("b"))).await;
    assert!(matches!(other, Err(LedgerError::KeyReused { .. })));
    let page = fixture
        .ledger
        .runs(RunFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page.runs, [run]);
    fixture.end().await;
}

#[tokio::test]
async fn values_of_variables_are_on_disk_no_longer_than_needed() {
    let fixture = Fixture::new();
    let mut wanted = new("x");
    wanted.order.env.0 = BTreeMap::from([("TOKEN".to_owned(), SECRET.to_owned())]);
    let ordered = fixture.ledger.queue_run(wanted, None).await.unwrap();
    let Once::New(run) = ordered else {
        panic!("it is new");
    };
    let order = fixture.ledger.run_order(run.id).await.unwrap();
    assert_eq!(order.env.0["TOKEN"], SECRET);
    let shown = fixture.ledger.run_details(run.id).await.unwrap().unwrap();
    assert_eq!(shown.order.env.0["TOKEN"], "");
    fixture.begin().await;
    fixture
        .ledger
        .end_run(run.id, end(RunEnding::Completed))
        .await
        .unwrap();
    let order = fixture.ledger.run_order(run.id).await.unwrap();
    assert_eq!(order.env.0["TOKEN"], "");
    let directory = fixture.directory.path().to_owned();
    let kept = fixture.directory.path().join("kept");
    fixture.end_keeping(&kept).await;
    let mut directories = vec![kept];
    while let Some(at) = directories.pop() {
        for entry in std::fs::read_dir(at).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let content = std::fs::read(&path).unwrap();
            let is_there = content
                .windows(SECRET.len())
                .any(|it| it == SECRET.as_bytes());
            assert!(!is_there, "{}", path.display());
        }
    }
    drop(directory);
}

impl Fixture {
    /// Closes it and puts what it leaves on disk somewhere.
    async fn end_keeping(self, to: &Path) {
        drop(self.ledger);
        self.thread.close().await;
        std::fs::create_dir(to).unwrap();
        for name in ["store", "spool"] {
            std::fs::rename(self.directory.path().join(name), to.join(name)).unwrap();
        }
        // The directory goes when the caller has looked.
        let _kept = self.directory.keep();
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged_without_gap_or_repeat() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for index in 0..25 {
        let mut wanted = new("x");
        wanted.purpose = ["task", "review"][index % 2].to_owned();
        wanted.dispatcher = DispatcherId::new(["flow", "other"][usize::from(index >= 20)]);
        match fixture.ledger.queue_run(wanted, None).await.unwrap() {
            Once::New(run) => ids.push(run.id),
            Once::Repeated { .. } => panic!("it is new"),
        }
    }
    ids.reverse();
    for limit in [1, 7, 25, 100] {
        let (mut listed, mut behind) = (Vec::new(), None);
        loop {
            let page = fixture.ledger.runs(RunFilter::default(), behind, limit);
            let page = page.await.unwrap();
            assert!(page.runs.len() <= limit);
            listed.extend(page.runs.iter().map(|run| run.id));
            match page.next {
                Some(next) => behind = Some(next),
                None => break,
            }
        }
        assert_eq!(listed, ids, "{limit}");
    }
    let filter = RunFilter {
        dispatcher: Some(flow()),
        state: Some("queued".to_owned()),
        purpose: Some("review".to_owned()),
    };
    let page = fixture.ledger.runs(filter, None, 100).await.unwrap();
    assert_eq!((page.runs.len(), page.next), (10, None));
    fixture.end().await;
}

#[tokio::test]
async fn a_run_is_reported_with_its_end() {
    let fixture = Fixture::new();
    accept(&fixture.ledger, "1").await.unwrap();
    let lane = lane();
    let mut wanted = new("x");
    wanted.report_to = Some(lane.clone());
    fixture
        .ledger
        .queue_run(wanted.clone(), None)
        .await
        .unwrap();
    fixture.ledger.queue_run(wanted, None).await.unwrap();
    let first = fixture.begin().await.unwrap();
    let told = fixture
        .ledger
        .end_run(first.id, end(RunEnding::Completed))
        .await
        .unwrap();
    assert_eq!(told, Some(lane.clone()));
    // What was in the middle when the daemon broke is told as well.
    fixture.begin().await.unwrap();
    fixture.ledger.lose_runs().await.unwrap();
    let arrived = fixture.ledger.arrivals(&lane, 10).await.unwrap();
    let found: Vec<_> = arrived
        .iter()
        .map(|it| (it.name.clone(), it.status))
        .collect();
    assert_eq!(
        found[0],
        (format!("run:{}", first.id), CompletionStatus::Ok)
    );
    assert_eq!((found.len(), found[1].1), (2, CompletionStatus::Failed));
    let body = fixture.ledger.completion_body(arrived[0].id).await.unwrap();
    assert_eq!(body, "done");
    fixture.end().await;
}

#[tokio::test]
async fn runs_are_forgotten_with_their_files_after_their_time() {
    let fixture = Fixture::new();
    let mut ended = end(RunEnding::Completed);
    ended.result.reply = Some("y".repeat(20_000));
    let id = fixture.queue(&"x".repeat(20_000)).await.id;
    let waits = fixture.queue(&"x".repeat(20_000)).await.id;
    fixture.begin().await;
    fixture.ledger.end_run(id, ended).await.unwrap();
    assert_eq!(fixture.spool_files(), 3);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    let expired = fixture.ledger.expire(now + 29 * DAY).await.unwrap();
    assert_eq!(expired.runs, 0);
    let expired = fixture.ledger.expire(now + 31 * DAY).await.unwrap();
    assert_eq!((expired.runs, expired.spools), (1, 2));
    assert_eq!(fixture.ledger.run(id).await.unwrap(), None);
    assert_eq!(fixture.state(waits).await, RunState::Queued);
    assert_eq!(fixture.spool_files(), 1);
    // What is named stays at the next start.
    let fixture = fixture.again().await;
    assert_eq!(fixture.spool_files(), 1);
    assert_eq!(fixture.begin().await.unwrap().id, waits);
    fixture.end().await;
}
