//! `tieline demo`: a first conversation.

use crate::cli::failure::{Failure, unless_answered};
use crate::demo::{self, DemoArgs};

/// Talk to Codex through tieline right away, with nothing set up
///
/// Starts the real Codex against a small scripted model on this machine and opens a console. Lines
/// on standard input are answered on standard output; it ends with the input, once all is answered.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Use your own Codex login and model instead of the scripted one
    #[arg(long)]
    login: bool,
}

/// Runs the demo.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let outcome = demo::run(DemoArgs { login: args.login })
        .await
        .map_err(Failure::of)?;
    unless_answered(&outcome)
}
