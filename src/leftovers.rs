//! Files that were made for a record of the ledger, to be removed when that is forgotten.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::fs;
use tracing::warn;

/// A file, or a directory with all that is in it, and whose it is.
#[derive(Debug)]
pub(crate) struct Leftover<T> {
    /// Whose it is.
    pub(crate) owner: T,
    path: PathBuf,
    is_directory: bool,
    touched: SystemTime,
}

/// Returns what lies in `root`, as far as `owner_of` tells by its name whose it is: the rest is not
/// ours. What cannot be judged stays for the next time.
///
/// # Errors
///
/// When `root` cannot be read.
pub(crate) async fn in_directory<T>(
    root: &Path,
    owner_of: impl Fn(&str) -> Option<T>,
) -> io::Result<Vec<Leftover<T>>> {
    let mut found = Vec::new();
    let mut entries = fs::read_dir(root).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name();
        if let Some(owner) = name.to_str().and_then(&owner_of)
            && let Ok(about) = entry.metadata().await
            && let Ok(touched) = about.modified()
        {
            found.push(Leftover {
                owner,
                path: entry.path(),
                is_directory: about.is_dir(),
                touched,
            });
        }
    }
    Ok(found)
}

impl<T> Leftover<T> {
    /// Returns how long ago it was touched.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.touched).unwrap_or_default()
    }

    /// Removes it, and returns whether it went; else it stays for the next time.
    pub(crate) async fn remove(self) -> bool {
        let removed = if self.is_directory {
            fs::remove_dir_all(&self.path).await
        } else {
            fs::remove_file(&self.path).await
        };
        if let Err(failure) = &removed {
            let path = self.path.display();
            warn!(%path, error = %failure, "what is not needed any more cannot be removed");
        }
        removed.is_ok()
    }
}
