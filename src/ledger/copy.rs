//! Copies of a ledger that nobody has open: to be kept, or to be looked at.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::{info, warn};

use crate::ledger::error::OpenError;
use crate::ledger::store::io_error;

/// The file that belongs to whoever has the directory, and not to the ledger.
const LOCK: &str = "lock";

/// Copies the ledger in `dir`, which has this schema, to a directory beside it that is named for the
/// schema and the time; returns it. Earlier copies of the same schema are removed.
///
/// The caller holds the lock of `dir`, and has not opened the store. What is returned is whole and on
/// disk.
pub(super) fn back_up(dir: &Path, schema: u32, now: SystemTime) -> Result<PathBuf, OpenError> {
    let failed = |source| io_error("back up", dir, source);
    let parent = dir.parent().unwrap_or(Path::new("/"));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let of_schema = format!("{name}.backup-v{schema}-");
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let backup = parent.join(format!("{of_schema}{}", time.replace(':', "")));
    let unfinished = parent.join(format!("{name}.backup.new"));
    for obstacle in [&unfinished, &backup] {
        match fs::remove_dir_all(obstacle) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", obstacle, error));
            }
            _ => {}
        }
    }
    copy(dir, &unfinished).map_err(failed)?;
    fs::rename(&unfinished, &backup).map_err(failed)?;
    sync(parent).map_err(failed)?;
    info!(backup = %backup.display(), schema, "the ledger was copied before it is changed for this version");

    // One of a schema is enough; what cannot be removed is only in the way of the disk.
    for entry in fs::read_dir(parent).map_err(failed)?.flatten() {
        let path = entry.path();
        let is_earlier = entry.file_name().to_string_lossy().starts_with(&of_schema);
        if is_earlier
            && path != backup
            && let Err(error) = fs::remove_dir_all(&path)
        {
            warn!(path = %path.display(), %error, "an earlier copy of the ledger cannot be removed");
        }
    }
    Ok(backup)
}

/// Copies a ledger's files, for this user alone, and returns when they are on disk. `to` must not be
/// there yet.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() && entry.file_name() != LOCK {
            let mut source = File::open(entry.path())?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&target)?;
            io::copy(&mut source, &mut file)?;
            file.sync_all()?;
        }
    }
    sync(to)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
