//! Where the verbs meet the parts that do their work.
//!
//! INTEGRATION POINT: each function stands for one call; its part takes its place.

use std::path::PathBuf;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use crate::config::{CodexConfig, Config};

/// INTEGRATION POINT: `crate::daemon::run`.
pub(crate) async fn run_daemon(_config: Config, _stop: CancellationToken) -> anyhow::Result<()> {
    bail!("the daemon is not built in")
}

/// INTEGRATION POINT: `crate::demo::run`.
pub(crate) async fn run_demo(_login: bool) -> anyhow::Result<()> {
    bail!("the demo is not built in")
}

/// INTEGRATION POINT: `tieline_console::client`.
pub(crate) async fn attach_console(_socket: PathBuf, _chat: Option<String>) -> anyhow::Result<()> {
    bail!("the console is not built in")
}

/// INTEGRATION POINT: finds the program that `codex` names, and returns its path and version in a
/// few words for people; `None` when nothing was looked for. An error makes `check` fail with 78.
pub(crate) async fn find_codex(_codex: &CodexConfig) -> anyhow::Result<Option<String>> {
    Ok(None)
}
