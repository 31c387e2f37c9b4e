//! The log: to standard error, without colours, so that it reads the same in a file, and without
//! secrets, whoever should write one into it.

use std::io::{self, Stderr, Write};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::failure::{Exit, Failure};
use crate::config::Secret;
use crate::redact::Redactor;

/// Starts logging what `filter` lets through, `secrets` blanked.
pub(crate) fn start<'a>(
    filter: &str,
    secrets: impl IntoIterator<Item = &'a Secret>,
) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .context("cannot set up the log")
        .map_err(|error| Failure::new(Exit::Config, error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Redacting(Redactor::new(secrets)))
        .with_ansi(false)
        .try_init()
        .map_err(|error| Failure::new(Exit::Internal, anyhow!("cannot set up the log: {error}")))
}

/// Standard error, without secrets.
struct Redacting(Redactor);

impl<'a> MakeWriter<'a> for Redacting {
    type Writer = RedactingWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter {
            redactor: &self.0,
            to: io::stderr(),
        }
    }
}

/// Takes one line of the log at a time, as `tracing_subscriber` writes it.
struct RedactingWriter<'a> {
    redactor: &'a Redactor,
    to: Stderr,
}

impl Write for RedactingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.redactor.is_idle() {
            return self.to.write_all(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        match self.redactor.redact(&text) {
            Some(redacted) => self.to.write_all(redacted.as_bytes()),
            None => self.to.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
