//! `tieline init`: setting up a channel, step by step.

mod block;
mod feishu;
mod feishu_steps;
mod place;
mod slack;
mod steps;
mod tokens;

use clap::Subcommand;

use crate::cli::failure::Failure;

/// Set up a channel: what to paste, what to click, what is still missing
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    platform: Platform,
}

#[derive(Debug, Subcommand)]
enum Platform {
    Slack(slack::Args),
    Feishu(feishu::Args),
}

/// Sets up a channel.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.platform {
        Platform::Slack(args) => slack::run(args).await,
        Platform::Feishu(args) => feishu::run(args).await,
    }
}
