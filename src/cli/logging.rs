//! The log: to standard error, without colours, so that it reads the same in a file, and without
//! secrets, whoever should write one into it. Panics go the same way.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Stderr, Write};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;

use crate::cli::failure::{Exit, Failure};
use crate::redact::redactor;

/// Starts logging what `filter` lets through.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .context("cannot set up the log")
        .map_err(|error| Failure::new(Exit::Config, error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Redacting(io::stderr()))
        .with_ansi(false)
        .try_init()
        .map_err(|error| Failure::new(Exit::Internal, anyhow!("cannot set up the log: {error}")))
}

/// Has a panic say where and why without saying what must not be seen.
pub(crate) fn tame_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let mut text = format!("thread {name:?} {panic}\n");
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            text.push_str(&format!("{trace}\n"));
        }
        // Nobody is left to be told when standard error is closed.
        drop(Redacting(io::stderr()).write_all(text.as_bytes()));
    }));
}

/// Standard error without secrets. Takes one line of the log at a time, as `tracing_subscriber`
/// writes it.
struct Redacting(Stderr);

impl Write for Redacting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        self.0.write_all(redactor().redact(&text).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
