//! A file that is written while it arrives.

use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::Response;
use thiserror::Error;
use tieline_channel::{SendError, WithCauses};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// How long fetching one file may take.
const DEADLINE: Duration = Duration::from_secs(300);

/// How long the server may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a file was not fetched.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// It is larger than allowed, as is said before it arrives.
    #[error("it has {bytes} bytes, and {max_bytes} are allowed")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// How many are allowed.
        max_bytes: u64,
    },
    /// More than is allowed arrived.
    #[error("it has more than the {max_bytes} bytes that are allowed")]
    Endless {
        /// How many are allowed.
        max_bytes: u64,
    },
    /// The server stopped sending.
    #[error("silence for {} s", SILENCE.as_secs())]
    Silent,
    /// It takes too long.
    #[error("not there after {} s", DEADLINE.as_secs())]
    Slow,
    /// The connection broke. The address is not in it: one may let in whoever has it.
    #[error("the connection broke")]
    Broken(#[source] reqwest::Error),
    /// It cannot be written.
    #[error("cannot write the file")]
    Write(#[source] io::Error),
}

impl From<DownloadError> for SendError {
    fn from(error: DownloadError) -> Self {
        let reason = WithCauses(&error).to_string();
        match error {
            DownloadError::TooLarge { .. } | DownloadError::Endless { .. } => {
                Self::Never { reason }
            }
            DownloadError::Silent
            | DownloadError::Slow
            | DownloadError::Broken(_)
            | DownloadError::Write(_) => Self::Again {
                after: None,
                reason,
            },
        }
    }
}

/// A file that is written while it arrives, and never larger than allowed.
#[derive(Debug)]
pub struct Download {
    file: File,
    written: u64,
    max_bytes: u64,
}

impl Download {
    /// Makes or replaces the file `to` for the body of a response.
    ///
    /// # Errors
    ///
    /// When the response says that it is too large, or the file cannot be made.
    pub async fn begin(
        response: &Response,
        to: &Path,
        max_bytes: u64,
    ) -> Result<Self, DownloadError> {
        check_size(response.content_length(), max_bytes)?;
        Ok(Self {
            file: File::create(to).await.map_err(DownloadError::Write)?,
            written: 0,
            max_bytes,
        })
    }

    /// Writes what arrived.
    ///
    /// # Errors
    ///
    /// When it is too much now, or cannot be written.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), DownloadError> {
        self.written += chunk.len() as u64;
        if self.written > self.max_bytes {
            return Err(DownloadError::Endless {
                max_bytes: self.max_bytes,
            });
        }
        self.file
            .write_all(chunk)
            .await
            .map_err(DownloadError::Write)
    }

    /// Ends the file and returns how many bytes it has.
    ///
    /// # Errors
    ///
    /// When the last of it cannot be written.
    pub async fn finish(mut self) -> Result<u64, DownloadError> {
        // Without this the last bytes may be lost, and with them the error.
        self.file.flush().await.map_err(DownloadError::Write)?;
        Ok(self.written)
    }
}

/// Returns whether a file may be fetched, as far as its size is known.
///
/// # Errors
///
/// When it is too large.
pub fn check_size(bytes: Option<u64>, max_bytes: u64) -> Result<(), DownloadError> {
    match bytes {
        Some(bytes) if bytes > max_bytes => Err(DownloadError::TooLarge { bytes, max_bytes }),
        _ => Ok(()),
    }
}

/// Waits for the server, but not for ever.
///
/// # Errors
///
/// When it says nothing for long, or the connection breaks.
pub async fn unless_silent<T>(
    answer: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, DownloadError> {
    match timeout(SILENCE, answer).await {
        Ok(answer) => answer.map_err(|error| DownloadError::Broken(error.without_url())),
        Err(_elapsed) => Err(DownloadError::Silent),
    }
}

/// Fetches the file `to` by `download`, within a deadline, and leaves none behind that is not whole.
///
/// # Errors
///
/// As `download`, or when that takes too long.
pub async fn whole_or_nothing(
    to: &Path,
    download: impl Future<Output = Result<(), SendError>>,
) -> Result<(), SendError> {
    let outcome = timeout(DEADLINE, download)
        .await
        .unwrap_or_else(|_elapsed| Err(DownloadError::Slow.into()));
    if outcome.is_err() {
        // There may be nothing to remove.
        drop(fs::remove_file(to).await);
    }
    outcome
}
