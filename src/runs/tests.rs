//! The desk and the worker with an executor that does as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::codex::{ExecEnd, ExecEvent, ExecOutcome, ExitReport, Failure, TokenUsage};
use crate::failure::FailureKind;
use crate::id::ThreadId;
use crate::ledger::{LedgerSettings, LedgerThread};

/// Does what the prompt says.
struct Fake;

fn end(outcome: ExecOutcome) -> ExecEnd {
    ExecEnd {
        outcome,
        thread: Some(ThreadId::new("t1")),
        reply: Some("done".to_owned()),
        usage: Some(TokenUsage {
            input_tokens: 3,
            ..TokenUsage::default()
        }),
        exit: ExitReport {
            code: Some(0),
            signal: None,
            exited_at: SystemTime::UNIX_EPOCH,
            last_lines: Vec::new(),
            leftovers: 0,
        },
        ignored_lines: 2,
    }
}

#[async_trait]
impl Executor for Fake {
    async fn execute(
        &self,
        job: Job,
        stop: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<ExecEnd, Failure> {
        let failed = |kind| ExecOutcome::Failed(Failure::new(kind, "as it was told"));
        tell(ExecEvent::Thread(ThreadId::new("t1")));
        tell(ExecEvent::Doing("runs `true`".to_owned()));
        match job.order.prompt.as_str() {
            "complete" => Ok(end(ExecOutcome::Completed)),
            "fail" => Ok(end(failed(FailureKind::ProviderHttpError))),
            "no key" => Ok(end(failed(FailureKind::SecretUnavailable))),
            "no login" => Err(Failure::new(FailureKind::ProviderAuthFailed, "log in")),
            "no program" => Err(Failure::new(FailureKind::BackendSpawnFailed, "no codex")),
            "break" => panic!("as it was told"),
            // Others hang until they are told to end.
            prompt => {
                stop.cancelled().await;
                let trouble = (prompt == "no network").then(|| "Reconnecting".to_owned());
                match prompt {
                    "too late" => Ok(end(ExecOutcome::Completed)),
                    _ => Ok(end(ExecOutcome::Stopped { trouble })),
                }
            }
        }
    }
}

struct Stage {
    _directory: tempfile::TempDir,
    thread: LedgerThread,
    runs: Runs,
    stop: CancellationToken,
    working: JoinSet<()>,
}

impl Stage {
    fn new(parallel: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = directory.path().join("ledger");
        let (ledger, thread) = Ledger::open(&ledger, LedgerSettings::standard()).unwrap();
        let settings = Settings {
            dispatcher: DispatcherId::new("flow"),
            workspace: directory.path().to_owned(),
            sandbox: Sandbox::ReadOnly,
            parallel,
        };
        let news = News::new();
        let (desk, worker) = Desk::open(
            settings,
            ledger.clone(),
            Arc::new(Fake),
            news.clone(),
            &Events::none(),
            |_| {},
        );
        let desks = BTreeMap::from([(DispatcherId::new("flow"), desk)]);
        let stop = CancellationToken::new();
        let mut working = JoinSet::new();
        working.spawn(worker.run(stop.clone()));
        Self {
            _directory: directory,
            thread,
            runs: Runs::new(ledger, desks, news),
            stop,
            working,
        }
    }

    async fn order(&self, prompt: &str) -> RunId {
        let request = RunRequest {
            prompt: prompt.to_owned(),
            timeout: Some(Duration::from_secs(600)),
            ..RunRequest::default()
        };
        let desk = self.runs.desk(&DispatcherId::new("flow")).unwrap();
        match desk.order(request, None).await.unwrap() {
            Once::New(run) => run.id,
            Once::Repeated { .. } => panic!("it is new"),
        }
    }

    /// Waits for the end of a run, however long that takes.
    async fn ended(&self, id: RunId) -> RunDetails {
        let patience = Duration::from_secs(24 * 60 * 60);
        let run = self.runs.read(id, patience).await.unwrap().unwrap();
        assert!(run.record.state.is_over(), "{run:#?}");
        run
    }

    /// Waits until a run is being done, and has said at what.
    async fn doing(&self, id: RunId) -> RunRecord {
        loop {
            let run = self.runs.ledger.run(id).await.unwrap().unwrap();
            if run.thread.is_some() && self.runs.doing(&run).is_some() {
                return run;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.working.join_next().await {
            ended.unwrap();
        }
        drop(self.runs);
        self.thread.close().await;
    }
}

#[tokio::test]
async fn every_end_has_its_state() {
    use FailureKind as K;
    let stage = Stage::new(2);
    let cases = [
        ("complete", RunState::Completed, ""),
        (
            "fail",
            RunState::Failed {
                kind: K::ProviderHttpError,
            },
            "as it was told",
        ),
        (
            "no key",
            RunState::Blocked {
                kind: K::SecretUnavailable,
            },
            "as it was told",
        ),
        (
            "no login",
            RunState::Blocked {
                kind: K::ProviderAuthFailed,
            },
            "log in",
        ),
        (
            "no program",
            RunState::Failed {
                kind: K::BackendSpawnFailed,
            },
            "no codex",
        ),
        (
            "break",
            RunState::Failed {
                kind: K::BackendResponseInvalid,
            },
            "a defect of tieline",
        ),
    ];
    for (prompt, state, problem) in cases {
        let run = stage.ended(stage.order(prompt).await).await;
        assert_eq!(run.record.state, state, "{prompt}");
        let said = run.result.unwrap().problem.unwrap_or_default();
        assert!(said.contains(problem), "{prompt}: {said}");
        assert_eq!(stage.runs.doing(&run.record), None);
    }
    let whole = stage.ended(stage.order("complete").await).await;
    let result = whole.result.unwrap();
    assert_eq!(result.reply.as_deref(), Some("done"));
    assert_eq!((result.exit_code, result.ignored_lines), (Some(0), 2));
    assert_eq!(result.usage["input_tokens"], 3);
    assert_eq!(whole.record.thread, Some(ThreadId::new("t1")));
    stage.end().await;
}

/// Lets paused time run up to the limit of a run, once it is being done.
async fn after_its_time(stage: &Stage, id: RunId) -> RunDetails {
    stage.doing(id).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    stage.ended(id).await
}

#[tokio::test]
async fn what_takes_too_long_is_ended_and_says_what_kept_it() {
    let stage = Stage::new(1);
    for (prompt, kind, words) in [
        ("hang", FailureKind::BackendTimeout, "within 10m"),
        (
            "no network",
            FailureKind::ProviderUnavailable,
            "in vain: Reconnecting",
        ),
    ] {
        let run = after_its_time(&stage, stage.order(prompt).await).await;
        assert_eq!(run.record.state, RunState::Failed { kind });
        let problem = run.record.problem.unwrap();
        assert!(problem.contains(words), "{problem}");
    }
    // What was done all the same is done.
    let late = after_its_time(&stage, stage.order("too late").await).await;
    assert_eq!(late.record.state, RunState::Completed);
    stage.end().await;
}

#[tokio::test]
async fn a_run_is_cancelled_before_it_begins_and_while_it_is_done() {
    let stage = Stage::new(1);
    let (runs, waits) = (stage.order("hang").await, stage.order("complete").await);
    stage.doing(runs).await;
    let cancelled = stage.runs.cancel(waits).await.unwrap().unwrap();
    assert_eq!(
        (cancelled.state, cancelled.started_at),
        (RunState::Cancelled, None)
    );
    assert!(stage.runs.cancel(runs).await.unwrap().unwrap().is_stopping);
    let run = stage.ended(runs).await;
    assert_eq!(run.record.state, RunState::Cancelled);
    assert_eq!(run.record.problem.as_deref(), Some("it was cancelled"));
    assert_eq!(stage.runs.cancel(RunId::new()).await.unwrap(), None);
    // The place is free again.
    assert_eq!(
        stage
            .ended(stage.order("complete").await)
            .await
            .record
            .state,
        RunState::Completed
    );
    stage.end().await;
}

#[tokio::test]
async fn whoever_waits_is_told_at_the_end_and_not_longer_than_they_want() {
    let stage = Stage::new(1);
    let id = stage.order("hang").await;
    stage.doing(id).await;
    let soon = stage
        .runs
        .read(id, Duration::from_millis(10))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(soon.record.state, RunState::Running);
    let (ended, cancelled) = tokio::join!(stage.ended(id), stage.runs.cancel(id));
    assert_eq!(ended.record.state, RunState::Cancelled);
    assert!(cancelled.unwrap().is_some());
    stage.end().await;
}
