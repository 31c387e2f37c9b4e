//! Writing results to standard output.

use std::io::{self, Write};

use crate::cli::failure::{Exit, Failure};
use crate::redact::redactor;

/// Writes a result. That nobody reads on (`tieline status | head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_on(text).map(drop)
}

/// Writes part of a result that goes on; `false` when nobody reads on.
pub(crate) fn print_on(text: &str) -> Result<bool, Failure> {
    let text = redactor().redact(text);
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(
            Exit::Io,
            anyhow::Error::from(error).context("cannot write to standard output"),
        )),
    }
}

/// Writes one line, and returns whether anybody reads on.
pub(crate) fn print_line(line: &str) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(
            Exit::Io,
            anyhow::Error::new(error).context("cannot write to standard output"),
        )),
    }
}

/// Writes JSON for people and programs.
pub(crate) fn json(value: &serde_json::Value) -> Result<String, Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(Exit::Internal, error))?;
    Ok(format!("{text}\n"))
}

/// Writes a warning to standard error.
pub(crate) fn warn(text: &str) {
    // Nobody is left to be warned when standard error is closed.
    let text = redactor().redact(text);
    drop(writeln!(io::stderr().lock(), "warning: {text}"));
}

/// Replaces what would move the cursor or change colours: text of strangers comes along.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
