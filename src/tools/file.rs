//! A file of the workspace, made ready to be sent.
//!
//! It is copied to where only we write, so that it is sent as it was when the model called, however
//! often that takes. Copies lie in `<state_dir>/outgoing/<id of the post>`; one is written under another
//! name and renamed when it is whole and on disk, and goes when the ledger has forgotten its post.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use thiserror::Error;
use tieline_channel::cut;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncReadExt as _;

use crate::id::OutboxId;
use crate::ledger::{Ledger, SentFile};
use crate::leftovers;
use crate::redact::redactor;

/// How many characters the name of a file may have that people see.
const MAX_NAME: usize = 120;

/// How many of them may be its extension.
const MAX_EXTENSION: usize = 16;

/// How many bytes are looked through at once.
const PIECE: u64 = 1 << 20;

/// How old a copy is at least that is removed because no post has it: the post may be about to be
/// enqueued.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);

/// Why a file cannot be sent; for the model.
#[derive(Debug, Error)]
pub enum FileError {
    /// There is no such file.
    #[error("there is no file {path:?} in the workspace {}", workspace.display())]
    Missing {
        /// What was asked for.
        path: String,
        /// Where was looked.
        workspace: PathBuf,
    },
    /// It lies somewhere else.
    #[error(
        "{path:?} lies outside of the workspace, or leads out of it; copy the file into {} and send \
         the copy",
        workspace.display()
    )]
    Outside {
        /// What was asked for.
        path: String,
        /// Where it would have to be.
        workspace: PathBuf,
    },
    /// It is a directory, or something stranger.
    #[error("{path:?} is no regular file; pack a directory into an archive and send that")]
    NotAFile {
        /// What was asked for.
        path: String,
    },
    /// The chat does not take it.
    #[error(
        "{path:?} has more than {limit} bytes, which is the most that this chat takes; send less of \
         it, or say where it lies"
    )]
    TooLarge {
        /// What was asked for.
        path: String,
        /// How many bytes are taken.
        limit: u64,
    },
    /// It cannot be read.
    #[error("{path:?} cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        path: String,
        /// Why not.
        reason: io::Error,
    },
    /// It has something in it that must not be seen.
    #[error(
        "{path:?} has a secret in it that nobody may see, such as a token or a key; take it out and \
         send the rest"
    )]
    Secret {
        /// What was asked for.
        path: String,
    },
    /// There is no copy of it.
    #[error("the file could not be made ready: {0}; try again in a minute, or say where it lies")]
    NotCopied(io::Error),
}

/// Copies a file of the workspace to where it is sent from. The copy is on disk when this returns.
///
/// # Errors
///
/// When it is none that may be sent, or there is no copy.
pub async fn stage(
    workspace: &Path,
    wanted: &str,
    limit: u64,
    outgoing: &Path,
) -> Result<SentFile, FileError> {
    let (file, name) = open(workspace, wanted).await?;
    let owner = OutboxId::new();
    let path = outgoing.join(owner.to_string());
    let unfinished = outgoing.join(format!(".{owner}.part"));
    let copied = copy(file, limit, &unfinished).await;
    let failure = match copied {
        Ok(bytes) if bytes <= limit && has_secret(&unfinished).await => FileError::Secret {
            path: wanted.to_owned(),
        },
        Ok(bytes) if bytes <= limit => match keep(&unfinished, &path, outgoing).await {
            Ok(()) => return Ok(SentFile { owner, name, path }),
            Err(failure) => FileError::NotCopied(failure),
        },
        Ok(_) => FileError::TooLarge {
            path: wanted.to_owned(),
            limit,
        },
        Err(failure) => FileError::NotCopied(failure),
    };
    // What stays is removed later, as abandoned.
    drop(fs::remove_file(&unfinished).await);
    Err(failure)
}

/// Returns whether a file has something in it that must not be seen; one that cannot be read counts
/// as one that has.
async fn has_secret(path: &Path) -> bool {
    let Some(overlap) = redactor().longest() else {
        return false;
    };
    let Ok(mut file) = File::open(path).await else {
        return true;
    };
    let mut bytes = Vec::new();
    loop {
        match (&mut file).take(PIECE).read_to_end(&mut bytes).await {
            Ok(_) if redactor().finds_in(&bytes) => return true,
            Ok(0) => return false,
            // One may begin in this piece and end in the next.
            Ok(_) => drop(bytes.drain(..bytes.len().saturating_sub(overlap))),
            Err(_unreadable) => return true,
        }
    }
}

/// Removes a copy that nobody needs. One that stays is removed later, as abandoned.
pub async fn discard(file: &SentFile) {
    drop(fs::remove_file(&file.path).await);
}

/// Removes the copies whose posts the ledger does not have, or no longer. Returns how many went.
///
/// # Errors
///
/// When `root` cannot be read. A file that cannot be judged or removed stays for the next time.
pub async fn tidy(root: &Path, ledger: &Ledger, now: SystemTime) -> io::Result<u64> {
    let mut removed = 0;
    for file in leftovers::in_directory(root, post_of).await? {
        let is_old = file.age(now) > ABANDONED_AFTER;
        if is_old && matches!(ledger.post(file.owner).await, Ok(None)) {
            removed += u64::from(file.remove().await);
        }
    }
    Ok(removed)
}

/// Returns whose file this is; `None` for what is not ours.
fn post_of(name: &str) -> Option<OutboxId> {
    let unfinished = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".part"));
    unfinished.unwrap_or(name).parse().ok()
}

/// Opens a file of the workspace, and returns the name that people see.
async fn open(workspace: &Path, wanted: &str) -> Result<(File, String), FileError> {
    let unreadable = |reason| FileError::Unreadable {
        path: wanted.to_owned(),
        reason,
    };
    let outside = || FileError::Outside {
        path: wanted.to_owned(),
        workspace: workspace.to_owned(),
    };
    let root = fs::canonicalize(workspace).await.map_err(unreadable)?;
    let path = match fs::canonicalize(root.join(wanted)).await {
        Ok(path) => path,
        Err(failure) if failure.kind() == io::ErrorKind::NotFound => {
            return Err(FileError::Missing {
                path: wanted.to_owned(),
                workspace: workspace.to_owned(),
            });
        }
        Err(failure) => return Err(unreadable(failure)),
    };
    if !path.starts_with(&root) {
        return Err(outside());
    }
    // Whatever takes its place meanwhile is not followed, and a pipe is not waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(&path)
        .await
        .map_err(unreadable)?;
    if !file.metadata().await.map_err(unreadable)?.is_file() {
        return Err(FileError::NotAFile {
            path: wanted.to_owned(),
        });
    }
    // A directory on the way to it may have been replaced as well; the system knows what is open.
    if let Some(opened) = place_of(&file).await
        && !opened.starts_with(&root)
    {
        return Err(outside());
    }
    Ok((file, shown_name(&path)))
}

/// Returns where an open file lies, where the system tells.
async fn place_of(file: &File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd as _;

    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::read_link(link).await.ok()
}

/// Returns the name that people see: safe to be shown, and not too long.
fn shown_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let harmless = |c: char| match c {
        '`' | '/' | '\\' | '"' | '<' | '>' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let name: String = name.chars().map(harmless).collect();
    if name.chars().count() <= MAX_NAME {
        return name;
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if extension.chars().count() <= MAX_EXTENSION => {
            format!("{}.{extension}", cut(stem, MAX_NAME - MAX_EXTENSION - 2))
        }
        _ => cut(&name, MAX_NAME - 1),
    }
}

/// Copies at most a byte more than `limit`, and returns how many.
async fn copy(from: File, limit: u64, to: &Path) -> io::Result<u64> {
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .await?;
    let bytes = tokio::io::copy(&mut from.take(limit.saturating_add(1)), &mut copy).await?;
    if bytes <= limit {
        copy.sync_all().await?;
    }
    Ok(bytes)
}

/// Gives a whole copy its name.
async fn keep(unfinished: &Path, path: &Path, directory: &Path) -> io::Result<()> {
    fs::rename(unfinished, path).await?;
    File::open(directory).await?.sync_all().await
}
