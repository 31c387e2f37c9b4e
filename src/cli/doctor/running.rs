//! The daemon that runs, or the ledger of one that does not; and the service.

use std::time::SystemTime;

use tieline_channel::{Link, WithCauses};

use crate::cli::checks::{Checks, Outcome};
use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Failure, count};
use crate::cli::service;
use crate::cli::table::since;
use crate::config::Config;
use crate::control::{ChannelStatus, Client, ClientError, DispatcherStatus, Status};
use crate::daemon::Directories;
use crate::demo::scratch::Scratch;
use crate::ledger::{self, Inspection, Lifecycle, OpenError};

/// Looks at it.
pub(super) async fn check(
    checks: &mut Checks,
    config: &Config,
    config_args: &ConfigArgs,
) -> Result<(), Failure> {
    checks.tell("service", service::look().await)?;
    let asked = Client::new(&config.control_socket()).status().await;
    match asked {
        Ok(status) => {
            checks.tell("daemon", daemon(&status, config, SystemTime::now()))?;
            checks.tell("ledger", open_ledger(&status))?;
            for dispatcher in &status.dispatchers {
                checks.tell(
                    format!("{}: running", dispatcher.id),
                    dispatched(dispatcher),
                )?;
            }
            for channel in &status.channels {
                checks.tell(format!("{}: connection", channel.id), connected(channel))?;
            }
        }
        Err(ClientError::NotRunning { .. }) => {
            let (ledger, is_held) = look_at_ledger(config);
            let none = Outcome::Ok(format!(
                "none is running; `tieline run{}` starts it",
                config_args.flags()
            ));
            checks.tell("daemon", is_held.unwrap_or(none))?;
            checks.tell("ledger", ledger)?;
        }
        Err(error) => {
            let remedy = error.hint().unwrap_or_default();
            checks.tell(
                "daemon",
                Outcome::failed(WithCauses(&error).to_string(), remedy),
            )?;
            let why = "a daemon runs, and does not tell".to_owned();
            checks.tell("ledger", Outcome::Skipped(why))?;
        }
    }
    Ok(())
}

/// Judges what the daemon is.
fn daemon(status: &Status, config: &Config, now: SystemTime) -> Outcome {
    let ours = env!("CARGO_PKG_VERSION");
    let Status { version, pid, .. } = status;
    let text = format!(
        "tieline {version} is running, process {pid}, up {}",
        since(status.started_at, now)
    );
    if version != ours {
        return Outcome::warning(
            format!("{text}; this is {ours}"),
            "`tieline restart` has the daemon be of this version",
        );
    }
    if status.config != config.path {
        return Outcome::warning(
            format!(
                "{text}, with {}, not {}",
                status.config.display(),
                config.path.display()
            ),
            "give one of the two another `state_dir`, or name that file with --config",
        );
    }
    Outcome::Ok(text)
}

fn open_ledger(status: &Status) -> Outcome {
    if status.ledger.state == "ok" {
        return Outcome::Ok(format!(
            "{} bytes, open in the daemon",
            status.ledger.size_bytes
        ));
    }
    Outcome::failed(
        status.ledger.state.clone(),
        "free space or repair the disk; the daemon goes on by itself then",
    )
}

/// Judges how a dispatcher that runs is.
fn dispatched(status: &DispatcherStatus) -> Outcome {
    let state = status.state.as_str();
    match (&status.last_error, status.state) {
        (_, Lifecycle::Ready) => match status.warnings.as_slice() {
            [] => Outcome::Ok(state.to_owned()),
            warnings => Outcome::warning(warnings.join("; "), "mend or take out what is named"),
        },
        (Some(error), _) => Outcome::failed(
            format!("it is {state}: {error}"),
            "see what the checks of codex below say; it is tried again by itself",
        ),
        (None, _) => Outcome::warning(
            format!("it is {state}"),
            "look again in a moment; `tieline status` tells more",
        ),
    }
}

/// Judges how a channel that runs is.
fn connected(status: &ChannelStatus) -> Outcome {
    let error = status.last_error.as_deref().unwrap_or("no reason is known");
    match status.state {
        Link::Down if status.kind == "console" => Outcome::Ok("nobody is attached".to_owned()),
        Link::Up => Outcome::Ok("up".to_owned()),
        Link::Connecting => Outcome::warning(
            "it is not connected yet".to_owned(),
            "look again in a moment; `tieline status` tells more",
        ),
        Link::Down => Outcome::failed(
            format!("it is down: {error}"),
            "it is tried again by itself; see that this machine reaches the platform",
        ),
        Link::NeedsOperator => {
            Outcome::failed(error.to_owned(), "do what it says, then `tieline restart`")
        }
        Link::Stopped => Outcome::failed(
            format!("it has stopped: {error}"),
            "look at `tieline logs`, then `tieline restart`",
        ),
    }
}

/// Reads the ledger that no daemon has; also tells if one has it after all.
fn look_at_ledger(config: &Config) -> (Outcome, Option<Outcome>) {
    let directories = Directories::below(&config.daemon.state_dir);
    let inspected =
        Scratch::new("doctor").map(|scratch| ledger::inspect(&directories.ledger, scratch.path()));
    match inspected {
        Ok(inspected) => judge_ledger(inspected),
        Err(error) => (
            Outcome::warning(
                format!("it cannot be looked at: {error}"),
                "see that the temporary directory can be written to",
            ),
            None,
        ),
    }
}

fn judge_ledger(inspected: Result<Option<Inspection>, OpenError>) -> (Outcome, Option<Outcome>) {
    match inspected {
        Ok(None) => (
            Outcome::Ok("there is none yet: it is made at the first start".to_owned()),
            None,
        ),
        Ok(Some(found)) => {
            let messages = usize::try_from(found.counts.messages.total()).unwrap_or(usize::MAX);
            let mut text = format!(
                "{}, {} waiting",
                count(messages, "message"),
                found.counts.messages.queued
            );
            if found.schema < found.newest {
                text.push_str(&format!(
                    "; of schema {}, brought to {} at the next start, after a copy is made",
                    found.schema, found.newest
                ));
            }
            (Outcome::Ok(text), None)
        }
        Err(OpenError::Locked { holder, .. }) => {
            let process = holder.map_or("a process".to_owned(), |pid| format!("process {pid}"));
            (
                Outcome::Skipped("another process has it".to_owned()),
                Some(Outcome::failed(
                    format!("{process} has the state directory, and answers nobody"),
                    "it may be starting or stopping: look again; else look at `tieline logs`, and end it",
                )),
            )
        }
        Err(error) => (
            Outcome::failed(
                WithCauses(&error).to_string(),
                "the daemon would not start; do what it says",
            ),
            None,
        ),
    }
}
