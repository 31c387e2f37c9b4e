//! Writing results to standard output.

use std::io::{self, Write};

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::failure::{Exit, Failure};

/// Writes a result. That nobody reads on (`tieline status | head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome
            .context("cannot write to standard output")
            .map_err(|error| Failure::new(Exit::Io, error)),
    }
}

/// Writes a warning to standard error.
pub(crate) fn warn(text: &str) {
    // Nobody is left to be warned when standard error is closed.
    drop(writeln!(io::stderr().lock(), "warning: {text}"));
}

/// Replaces what would move the cursor or change colours: text of strangers comes along.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Returns an empty table of keys and values.
pub(crate) fn rows() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Writes a table below a heading.
pub(crate) fn indented(table: &Table) -> String {
    table
        .lines()
        .map(|line| format!("  {}\n", line.trim()))
        .collect()
}
