//! Completions that are too long for a conversation, each in a file that the model can read.
//!
//! They lie in `<state_dir>/completions/<completion id>.txt`. A file is written under another name
//! and renamed when it is whole and on disk.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::id::CompletionId;
use crate::ledger::Ledger;
use crate::leftovers;

/// Writes the whole body of a completion, and returns where it lies.
///
/// # Errors
///
/// When it is not on disk.
pub(super) async fn write(
    root: &Path,
    completion: CompletionId,
    body: &str,
) -> io::Result<PathBuf> {
    let path = root.join(format!("{completion}.txt"));
    let unfinished = root.join(format!(".{completion}.part"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .await?;
    file.write_all(body.as_bytes()).await?;
    file.sync_all().await?;
    fs::rename(&unfinished, &path).await?;
    Ok(path)
}

/// Removes the files of completions that the ledger has forgotten. Returns how many went.
///
/// # Errors
///
/// When `root` cannot be read. A file that cannot be judged or removed stays for the next time.
pub async fn tidy(root: &Path, ledger: &Ledger) -> io::Result<u64> {
    let mut removed = 0;
    for file in leftovers::in_directory(root, completion_of).await? {
        if matches!(ledger.completion(file.owner).await, Ok(None)) {
            removed += u64::from(file.remove().await);
        }
    }
    Ok(removed)
}

/// Returns whose file this is; `None` for what is not ours.
fn completion_of(name: &str) -> Option<CompletionId> {
    let stem = name
        .strip_suffix(".txt")
        .or_else(|| name.strip_prefix('.')?.strip_suffix(".part"))?;
    stem.parse().ok()
}
