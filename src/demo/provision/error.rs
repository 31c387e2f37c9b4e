//! Why there is no Codex, and what to do about it.

use std::env;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::{PINNED, Wanted};
use crate::codex::binary::{BinaryError, Version};

/// Why there is no Codex.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// The Codex that the user insists on will not do.
    #[error("TIELINE_CODEX_BIN={} will not do; correct or unset it", path.display())]
    Override {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ProbeError,
    },
    /// Neither a cache directory nor a home is known.
    #[error("no directory to keep codex in; set HOME or TIELINE_CACHE_DIR")]
    NoCacheDir,
    /// npm is not installed.
    #[error(
        "no codex on this machine, and no npm to fetch it with; install Node.js 18 or newer with \
         npm (your system's packages `nodejs` and `npm`), or install codex yourself and set \
         TIELINE_CODEX_BIN to it"
    )]
    NoNpm,
    /// npm did not do its work.
    #[error("npm could not fetch codex {PINNED}: {remedy}{}", Indented(output))]
    Npm {
        /// What the user can do.
        remedy: &'static str,
        /// The last lines that npm wrote.
        output: String,
    },
    /// npm did its work, but there is no program for this platform.
    #[error(
        "there is no codex {PINNED} for {} on {}; install one yourself and set TIELINE_CODEX_BIN \
         to it",
        env::consts::OS,
        env::consts::ARCH
    )]
    NoBuild,
    /// What npm fetched does not work.
    #[error("the codex that npm fetched does not work on this machine")]
    Broken(#[source] ProbeError),
    /// The cache directory cannot be used.
    #[error("cannot {doing} {}; make room or set TIELINE_CACHE_DIR to another directory", path.display())]
    Cache {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a program is no Codex that will do.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// There is none, or it does not tell its version.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// Its version will not do.
    #[error("{} is version {found}, but {wanted} is needed", path.display())]
    Version {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: Version,
        /// What is needed.
        wanted: Wanted,
    },
}

/// Shows each line on a line of its own, further in.
struct Indented<'a>(&'a str);

impl fmt::Display for Indented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
