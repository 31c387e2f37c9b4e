//! A turn on a scratch thread of a codex of its own.

use std::fmt;
use std::time::{Duration, Instant};

use tieline_channel::WithCauses;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::cli::checks::Outcome;
use crate::codex::protocol::{SandboxMode, ThreadSettings, UserInput};
use crate::codex::{
    AppServer, FailureKind, LaunchConfig, Spawner, Thread, TurnEnd, TurnEvent, TurnOptions,
};
use crate::config::{Config, DispatcherConfig};
use crate::daemon;
use crate::demo::scratch::Scratch;
use crate::id::DispatcherId;

/// What the model is asked: as little as there is.
const QUESTION: &str = "This is a check of the connection, not a person. Use no tool and run no command. \
                        Answer with the word: ready";

/// How long all of it may take: models think.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the turn may be silent.
const IDLE: Duration = Duration::from_secs(45);

/// How long codex is given to end in order.
const DRAIN: Duration = Duration::from_secs(1);

/// Starts a codex as the dispatcher's is started, has it answer one question with the dispatcher's
/// model and settings, and ends it. The thread is nowhere afterwards, and may write nothing.
pub(super) async fn try_one(
    config: &Config,
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
) -> (Outcome, Duration) {
    let begun = Instant::now();
    let outcome = match prepare(config, id, dispatcher) {
        Ok((scratch, launch)) => {
            let settings = ThreadSettings {
                sandbox: Some(SandboxMode::ReadOnly),
                ephemeral: Some(true),
                ..daemon::thread_settings(config, dispatcher)
            };
            let outcome = ask(&launch, &settings).await;
            match scratch.remove() {
                Ok(()) => outcome,
                Err(error) => Outcome::failed(
                    format!("what codex was tried with cannot be removed: {error}"),
                    "remove what begins with tieline-doctor in the temporary directory",
                ),
            }
        }
        Err(error) => Outcome::failed(
            format!("it cannot be tried: {error:#}"),
            "see that the temporary directory can be written to",
        ),
    };
    (outcome, begun.elapsed())
}

/// Makes what a codex of its own needs.
fn prepare(
    config: &Config,
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
) -> anyhow::Result<(Scratch, LaunchConfig)> {
    let scratch = Scratch::new("doctor")?;
    let mut launch = daemon::launch_config(config, id, dispatcher)?;
    launch.run_dir = scratch.directory("run")?;
    launch.log_dir = scratch.directory("logs")?;
    Ok((scratch, launch))
}

async fn ask(launch: &LaunchConfig, settings: &ThreadSettings) -> Outcome {
    let spawner = match Spawner::new() {
        Ok(spawner) => spawner,
        Err(error) => {
            return Outcome::failed(
                format!("the thread that starts codex cannot be started: {error}"),
                "check the limit of processes",
            );
        }
    };
    let server = match AppServer::start(launch, &spawner).await {
        Ok(server) => server,
        Err(error) => {
            let home = launch.home.display();
            return Outcome::failed(
                format!("codex cannot be started: {}", WithCauses(&error)),
                format!("mend what it says; `CODEX_HOME={home} codex` shows more"),
            );
        }
    };
    let outcome = tokio::select! {
        outcome = timeout(PATIENCE, converse(&server, launch, settings)) => {
            outcome.unwrap_or_else(|_elapsed| Outcome::failed(
                format!("there was no answer within {} s", PATIENCE.as_secs()),
                "see whether the model is there, and `effort` is not too much",
            ))
        }
        () = interrupted() => Outcome::failed("it was interrupted", "look again"),
    };
    // Before the spawner goes: the kernel would kill it then.
    let report = server.stop(DRAIN).await;
    drop(spawner);
    match report.warnings.as_slice() {
        [] => outcome,
        warnings if outcome.is_failed() => {
            tracing::debug!(?warnings, "codex did not end as it should");
            outcome
        }
        warnings => Outcome::warning(
            format!(
                "codex answered and did not end as it should: {}",
                warnings.join("; ")
            ),
            "look whether a process of codex is left",
        ),
    }
}

async fn converse(server: &AppServer, launch: &LaunchConfig, settings: &ThreadSettings) -> Outcome {
    let home = launch.home.display();
    let mut thread = match Thread::start(server.client(), settings).await {
        Ok(thread) => thread,
        Err(error) => {
            return Outcome::failed(
                format!("codex cannot begin a conversation: {}", WithCauses(&error)),
                format!("see `model`, `mcp_servers` and {home}/config.toml"),
            );
        }
    };
    let model = thread.opened().model.clone();
    let options = TurnOptions {
        client_message_id: None,
        idle_limit: IDLE,
        overrides: Default::default(),
    };
    let text = QUESTION.to_owned();
    let mut turn = thread.start_turn(vec![UserInput::Text { text }], &options);
    let mut end = None;
    while let Some(event) = turn.next().await {
        if let TurnEvent::Settled(settled) = event {
            end = Some(settled);
        }
    }
    judge(end, &model, &home)
}

fn judge(end: Option<TurnEnd>, model: &str, home: &dyn fmt::Display) -> Outcome {
    let failure = match end {
        Some(TurnEnd::Completed { answer: Some(_) }) => {
            return Outcome::Ok(format!("{model} answered"));
        }
        Some(TurnEnd::Completed { answer: None }) => {
            return Outcome::warning(
                format!("{model} ended its turn without an answer"),
                "look again; if it stays so, try another `model`",
            );
        }
        Some(
            TurnEnd::Failed(failure)
            | TurnEnd::TimedOut { failure, .. }
            | TurnEnd::Refused { failure, .. },
        ) => failure,
        Some(TurnEnd::Interrupted) => {
            return Outcome::failed("the turn was interrupted", "look again");
        }
        Some(TurnEnd::Lost(lost)) => {
            return Outcome::failed(lost.to_string(), "look again; codex ended on the way");
        }
        None => {
            return Outcome::failed("the turn had no end", "look again");
        }
    };
    Outcome::failed(failure.to_string(), remedy(failure.kind, home))
}

/// Returns what to do when a turn fails so.
fn remedy(kind: FailureKind, home: &dyn fmt::Display) -> String {
    match kind {
        FailureKind::ProviderAuthFailed => format!(
            "log in again with `CODEX_HOME={home} codex login`, or mend the key of the model provider"
        ),
        FailureKind::SecretUnavailable => {
            "set the variable, or mend the command, that the model provider takes its key from"
                .to_owned()
        }
        FailureKind::ProviderRateLimited => {
            "wait, or see what the account's plan allows".to_owned()
        }
        FailureKind::ProviderUnavailable
        | FailureKind::ProviderStreamDisconnected
        | FailureKind::BackendTimeout => {
            "see that the model provider can be reached from here: network, proxy, its `base_url`"
                .to_owned()
        }
        FailureKind::ProviderHttpError
        | FailureKind::ProviderInvalidToolCall
        | FailureKind::ProviderCompactUnsupported => format!(
            "the provider says what it does not like: see `model`, `effort` and {home}/config.toml"
        ),
        FailureKind::BackendResponseInvalid
        | FailureKind::BackendJsonParseError
        | FailureKind::BackendSpawnFailed
        | FailureKind::ThreadResumeFailed
        | FailureKind::SessionStoreEvicted
        | FailureKind::Cancelled
        | FailureKind::Disk
        | FailureKind::Workspace
        | FailureKind::Damaged
        | FailureKind::Unknown => {
            format!("look again; `CODEX_HOME={home} codex` shows whether codex works by itself")
        }
    }
}

/// Waits for a signal that ends programs: what was started has to be ended first.
async fn interrupted() {
    let listen = |kind| signal(kind).ok();
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt()),
        listen(SignalKind::terminate()),
    );
    let next = async |signal: &mut Option<tokio::signal::unix::Signal>| match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    };
    tokio::select! {
        () = next(&mut interrupt) => {}
        () = next(&mut terminate) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codex::Failure;

    #[test]
    fn every_failure_says_what_to_do_about_it() {
        for kind in FailureKind::ALL {
            let end = TurnEnd::Failed(Failure::new(*kind, "because"));
            let outcome = judge(Some(end), "gpt", &"/home/mei/.codex");
            let Outcome::Problem(problem) = &outcome else {
                panic!("{kind} is no problem");
            };
            assert!(outcome.is_failed());
            assert_eq!(problem.what, format!("{kind}: because"));
            assert!(problem.remedy.len() > 10, "{kind}");
        }
        let failed = Failure::new(FailureKind::ProviderAuthFailed, "401");
        let outcome = judge(Some(TurnEnd::Failed(failed)), "gpt", &"/h");
        let Outcome::Problem(problem) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(problem.remedy.contains("CODEX_HOME=/h codex login"));
    }

    #[test]
    fn answer_is_well_and_none_is_doubtful() {
        let completed = |answer| Some(TurnEnd::Completed { answer });
        let answered = judge(completed(Some("ready".to_owned())), "gpt", &"/h");
        assert_eq!(answered, Outcome::Ok("gpt answered".to_owned()));
        assert!(matches!(
            judge(completed(None), "gpt", &"/h"),
            Outcome::Problem(_)
        ));
        assert!(judge(None, "gpt", &"/h").is_failed());
    }
}
