//! The log: to standard error, without colours, so that it reads the same in a file.

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;

use crate::cli::failure::{Exit, Failure};

/// Starts logging what `filter` lets through.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .context("cannot set up the log")
        .map_err(|error| Failure::new(Exit::Config, error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| Failure::new(Exit::Internal, anyhow!("cannot set up the log: {error}")))
}
