//! The log: to standard error and to a file of bounded size, without colours, so that it reads the same
//! everywhere, and without secrets, whoever should write one into it. Panics go the same way.

pub(crate) mod rotated;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Stderr, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::failure::{Exit, Failure};
use crate::cli::logging::rotated::RotatedFile;
use crate::redact::redactor;

/// Where the log goes.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// To standard error.
    pub(crate) stderr: bool,
    /// To this file, which is put aside when it is large.
    pub(crate) file: Option<PathBuf>,
}

/// Starts logging what `filter` lets through.
pub(crate) fn start(filter: &str, places: &Places) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .context("cannot set up the log")
        .map_err(|error| Failure::new(Exit::Config, error))?;
    // Its directory is made with the rest of the state; before that, lines go to standard error alone.
    let file = places.file.clone().map(RotatedFile::new);
    let log = Log {
        stderr: places.stderr,
        file: file.map(|file| Arc::new(Mutex::new(file))),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(log)
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
        drop(io::stderr().write_all(redactor().redact(&text).as_bytes()));
    }));
}

/// Takes the lines of the log.
struct Log {
    stderr: bool,
    file: Option<Arc<Mutex<RotatedFile>>>,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LogWriter {
            log: self,
            stderr: io::stderr(),
        }
    }
}

/// Takes one line of the log at a time, as `tracing_subscriber` writes it.
struct LogWriter<'a> {
    log: &'a Log,
    stderr: Stderr,
}

impl Write for LogWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let line = redactor().redact(&text);
        if let Some(file) = &self.log.file {
            // A full disk costs the line; that it is full, the ledger says.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            drop(file.append(line.as_bytes()));
        }
        if self.log.stderr {
            self.stderr.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}
