//! The directories of worktrees, where git does not see to them.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::fs::{self, DirBuilder};
use tracing::warn;

use super::WorktreeError;

/// The mode of directories that only we look into.
const PRIVATE: u32 = 0o700;

/// Returns the real path of something that need not be there yet.
pub(super) async fn real(path: &Path) -> Result<PathBuf, WorktreeError> {
    let path = std::path::absolute(path).map_err(error("found", path))?;
    for ancestor in path.ancestors() {
        match fs::canonicalize(ancestor).await {
            Ok(real) => {
                let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
                return Ok(real.join(rest));
            }
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => {}
            Err(failure) => return Err(error("found", &path)(failure)),
        }
    }
    Ok(path)
}

/// Makes room for a worktree: whatever is there and is not known is somebody's, and moved aside.
pub(super) async fn make_room(path: &Path) -> Result<(), WorktreeError> {
    if is_empty(path).await {
        remove_all(path).await?;
        return Ok(());
    }
    let mut number = 1;
    let aside = loop {
        let aside = beside(path, &format!(".aside-{number}"));
        if fs::symlink_metadata(&aside).await.is_err() {
            break aside;
        }
        number += 1;
    };
    fs::rename(path, &aside)
        .await
        .map_err(error("moved aside", path))?;
    let (path, aside) = (path.display(), aside.display());
    warn!(%path, %aside, "something was in the place of a worktree and is moved aside");
    Ok(())
}

/// Returns what a worktree is called that is being removed. No teammate is called so.
pub(super) fn doomed(path: &Path) -> PathBuf {
    beside(path, ".removed")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Returns whether nothing is there, or a directory with nothing in it.
pub(super) async fn is_empty(path: &Path) -> bool {
    match fs::symlink_metadata(path).await {
        Ok(about) if about.is_dir() => match fs::read_dir(path).await {
            Ok(mut entries) => matches!(entries.next_entry().await, Ok(None)),
            Err(_unreadable) => false,
        },
        Ok(_something_else) => false,
        Err(failure) => failure.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes a directory of a worktree, and those it is in.
pub(super) async fn make(path: &Path) -> Result<(), WorktreeError> {
    fs::create_dir_all(path).await.map_err(error("made", path))
}

/// Makes the directory that worktrees are in, and those it is in, for nobody else to look into.
pub(super) async fn make_private(path: &Path) -> Result<(), WorktreeError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(PRIVATE);
    builder.create(path).await.map_err(error("made", path))
}

/// Removes a directory and all that is in it; returns whether there was one.
pub(super) async fn remove_all(path: &Path) -> Result<bool, WorktreeError> {
    let mut removed = fs::remove_dir_all(path).await;
    if matches!(&removed, Err(failure) if failure.kind() == io::ErrorKind::PermissionDenied) {
        removed = match make_removable(path).await {
            Ok(()) => fs::remove_dir_all(path).await,
            Err(failure) => Err(failure),
        };
    }
    match removed {
        Ok(()) => Ok(true),
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(failure) => Err(error("removed", path)(failure)),
    }
}

/// Lets us change all directories below one: caches of build tools are often read-only.
pub(super) async fn make_removable(path: &Path) -> io::Result<()> {
    let mut directories = vec![path.to_owned()];
    while let Some(directory) = directories.pop() {
        fs::set_permissions(&directory, Permissions::from_mode(PRIVATE)).await?;
        let mut entries = fs::read_dir(&directory).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_type().await?.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Returns what makes an error of what the system says.
pub(super) fn error(done: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorktreeError {
    move |source| WorktreeError::Directory {
        done,
        path: path.to_owned(),
        source,
    }
}
