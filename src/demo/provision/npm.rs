//! Runs npm, and reads out of its words what to do when it fails.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, interval_at};

use super::{PINNED, Progress, ProvisionError};
use crate::codex::Environment;

/// How long npm may take: 130 MB at 200 kB/s.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// How many lines of npm are shown when it fails.
const OUTPUT_LINES: usize = 6;

/// What npm's words mean for the user; the first that fits.
const REMEDIES: [(&[&str], &str); 6] = [
    (
        &[
            "ENOTFOUND",
            "EAI_AGAIN",
            "ETIMEDOUT",
            "ECONNREFUSED",
            "ECONNRESET",
            "ENETUNREACH",
        ],
        "the network cannot be reached; go online (behind a proxy, tell npm about it) and try again",
    ),
    (
        &["ENOSPC"],
        "the disk is full; make room (400 MB) or set TIELINE_CACHE_DIR to another disk",
    ),
    (
        &["EDQUOT"],
        "the quota is used up; make room (400 MB) or set TIELINE_CACHE_DIR to another disk",
    ),
    (
        &["EBADPLATFORM", "EBADENGINE"],
        "it does not support this system or this version of Node.js; Node.js 18 or newer is needed",
    ),
    (
        &["EACCES", "EPERM", "EROFS"],
        "npm may not write where it wants to; mend that, or set TIELINE_CACHE_DIR to a directory of \
         your own",
    ),
    (
        &[
            "node: No such file",
            "node': No such file",
            "node: not found",
        ],
        "npm is there but Node.js is not; install Node.js 18 or newer (your system's package \
         `nodejs`)",
    ),
];

/// What to do when npm's words mean nothing to us.
const NO_REMEDY: &str =
    "see what it says, or install codex yourself and set TIELINE_CODEX_BIN to it";

/// Lets npm install the pinned Codex into `directory`.
pub(super) async fn install(
    npm: &Path,
    directory: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<(), ProvisionError> {
    progress.say(&format!(
        "fetching codex {PINNED} through npm into the cache (about 130 MB, once; a minute or two)"
    ));
    // A file, since a pipe that nobody reads would stop npm.
    let log_path = directory.join("npm.log");
    let failed = |source| ProvisionError::Cache {
        doing: "write",
        path: log_path.clone(),
        source,
    };
    let log = File::create(&log_path).map_err(failed)?;
    let mut command = Command::new(npm);
    command
        .arg("install")
        .arg("--prefix")
        .arg(directory)
        .arg(format!("@openai/codex@{PINNED}"))
        .args([
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--include=optional",
        ])
        .args(["--no-update-notifier", "--loglevel=error"])
        .env_clear()
        .envs(environment.iter())
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .kill_on_drop(true);
    let status = match command.spawn() {
        Ok(npm) => wait(npm, progress).await,
        Err(error) => Err(error),
    };
    let output = match status {
        Ok(status) if status.success() => {
            fs::remove_file(&log_path).map_err(failed)?;
            progress.say(&format!("fetched codex {PINNED}"));
            return Ok(());
        }
        Ok(status) => format!("{}npm: {status}", read_lossily(&log_path)),
        Err(error) => format!("{}npm: {error}", read_lossily(&log_path)),
    };
    Err(ProvisionError::Npm {
        remedy: remedy(&output),
        output: last_lines(&output),
    })
}

/// Waits for npm, and kills it when it takes too long.
async fn wait(mut npm: Child, progress: &mut dyn Progress) -> io::Result<ExitStatus> {
    let second = Duration::from_secs(1);
    let started_at = Instant::now();
    let mut ticks = interval_at(started_at + second, second);
    loop {
        tokio::select! {
            ended = npm.wait() => return ended,
            _ = ticks.tick() => progress.tick(started_at.elapsed()),
        }
        if started_at.elapsed() > LIMIT {
            npm.kill().await?;
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn read_lossily(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

pub(super) fn remedy(output: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| output.contains(word));
    let known = REMEDIES.iter().find(|(words, _)| says(words));
    known.map_or(NO_REMEDY, |(_, remedy)| remedy)
}

fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().collect();
    lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n")
}
