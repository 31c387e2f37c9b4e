//! Texts that verbs are given in files.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use crate::cli::failure::{Exit, Failure};

/// Reads a file, `-` for standard input, of at most `limit` bytes; `instead` says what to do with a
/// longer one.
pub(crate) fn read(file: &Path, limit: usize, instead: &str) -> Result<String, Failure> {
    read_bytes(file, limit, instead)
        // The output of programs is text, but for what they echo.
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| Failure::new(Exit::Io, error))
}

fn read_bytes(file: &Path, limit: usize, instead: &str) -> anyhow::Result<Vec<u8>> {
    let most = limit as u64 + 1;
    let mut bytes = Vec::new();
    let (name, read) = if file == Path::new("-") {
        let stdin = std::io::stdin().lock();
        (
            "standard input".to_owned(),
            stdin.take(most).read_to_end(&mut bytes),
        )
    } else {
        let read =
            std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes));
        (file.display().to_string(), read)
    };
    read.with_context(|| format!("cannot read {name}"))?;
    if bytes.len() > limit {
        let limit = match limit >> 20 {
            0 => format!("{} kB", limit / 1000),
            mebibytes => format!("{mebibytes} MiB"),
        };
        return Err(anyhow!("{name} is larger than {limit}; {instead}"));
    }
    Ok(bytes)
}
