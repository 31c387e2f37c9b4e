//! The verbs of the command line, one file each.
//!
//! Results go to standard output, everything else to standard error. Every way to fail has its
//! exit code: see [`EXIT_CODES`].

mod approvals;
mod check;
mod checks;
mod complete;
mod completions;
mod config_args;
mod console;
mod demo;
mod dispatcher_args;
mod dispatchers;
mod doctor;
mod events;
mod exec;
mod failure;
mod feishu;
mod findings;
mod init;
mod input;
mod lane;
mod lanes;
mod logging;
mod logs;
mod man;
mod messages;
mod output;
mod pair;
mod platform;
mod restart;
mod run;
mod service;
mod sessions;
mod slack;
mod smoke;
mod status;
mod table;
mod teammates;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::cli::failure::{Exit, Failure};

/// What `--help` says of exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  understood, but not done: no answer, no such thing, or a check failed
  64  bad usage: this command line is not understood
  69  the daemon cannot be reached
  70  something failed that should not
  74  reading or writing failed
  75  run: it was to restart and could not; start it again
  78  bad configuration
 129  run: ended at once by a second SIGHUP; 130: SIGINT; 143: SIGTERM";

/// Join chat to Codex running on your own machine
#[derive(Debug, Parser)]
#[command(name = "tieline", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Status(status::Args),
    Messages(messages::Args),
    Logs(logs::Args),
    Events(events::Args),
    Approvals(approvals::Args),
    Pair(pair::Args),
    Console(console::Args),
    Exec(Box<exec::Args>),
    Sessions(sessions::Args),
    Teammates(teammates::Args),
    Complete(complete::Args),
    Lanes(lanes::Args),
    Lane(lane::Args),
    Dispatchers(dispatchers::Args),
    Run(run::Args),
    Restart(restart::Args),
    Service(service::Args),
    Init(init::Args),
    Check(check::Args),
    Doctor(doctor::Args),
    Smoke(smoke::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    async fn perform(self) -> Result<(), Failure> {
        match self {
            Self::Status(args) => status::run(args).await,
            Self::Messages(args) => messages::run(args).await,
            Self::Logs(args) => logs::run(args).await,
            Self::Events(args) => events::run(args).await,
            Self::Approvals(args) => approvals::run(args).await,
            Self::Pair(args) => pair::run(args).await,
            Self::Console(args) => console::run(args).await,
            Self::Exec(args) => exec::run(*args).await,
            Self::Sessions(args) => sessions::run(args).await,
            Self::Teammates(args) => teammates::run(args).await,
            Self::Complete(args) => complete::run(args).await,
            Self::Lanes(args) => lanes::run(args).await,
            Self::Lane(args) => lane::run(args).await,
            Self::Dispatchers(args) => dispatchers::run(args).await,
            Self::Run(args) => run::run(args).await,
            Self::Restart(args) => restart::run(args).await,
            Self::Service(args) => service::run(args).await,
            Self::Init(args) => init::run(args).await,
            Self::Check(args) => check::run(args).await,
            Self::Doctor(args) => doctor::run(args).await,
            Self::Smoke(args) => smoke::run(args).await,
            Self::Demo(args) => demo::run(args).await,
            Self::Completions(args) => completions::run(&args, Cli::command()),
            Self::Man(man::Args {}) => man::run(Cli::command()),
        }
    }
}

/// Does what the command line says.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    logging::tame_panics();
    let outcome = match Cli::try_parse_from(arguments) {
        Ok(cli) => perform(cli.verb),
        Err(error) => return explain(&error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

fn perform(verb: Verb) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map_err(|error| Failure::new(Exit::Internal, error))?;
    let outcome = runtime.block_on(verb.perform());
    // Whoever waits for a line on standard input is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Prints what clap has to say: help, the version, or what it did not understand.
fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match output::print(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.exit().into(),
        },
        _ => {
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
            Exit::Usage.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
