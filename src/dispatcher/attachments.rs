//! Files that came with messages, fetched to where the model can read them.
//!
//! They lie in `<state_dir>/attachments/<message id>/<index>-<name>`. A file is fetched under
//! another name and renamed when it is whole and on disk: one at its final path is used again after
//! a crash.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tieline_channel::{Attachment, Channel, SendError};
use tokio::fs::{self, DirBuilder, File};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Semaphore, watch};
use tracing::{error, warn};

use super::patience::{Patience, patiently};
use crate::id::MessageId;
use crate::ledger::Ledger;
use crate::leftovers;

/// How large one file may be.
const MAX_FILE_BYTES: u64 = 50 << 20;

/// How large the files of one message may be together.
const MAX_MESSAGE_BYTES: u64 = 200 << 20;

/// How many files of one message are fetched.
const MAX_FILES: usize = 20;

/// How large an image may be to be shown to the model.
const MAX_IMAGE_BYTES: u64 = 20 << 20;

/// How many files are fetched at once.
pub(super) const PARALLEL: usize = 4;

/// How long the name of a file may be, in bytes.
const MAX_NAME_BYTES: usize = 120;

/// How long an extension may be that a shortened name keeps, in bytes.
const MAX_EXTENSION_BYTES: usize = 16;

/// How long files are kept after their message was last worked on.
const KEEP_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How patiently files are fetched while Codex waits.
const PATIENCE: Patience = Patience {
    retry_for: Duration::from_secs(60),
    give_up_after: Duration::from_secs(180),
};

/// What became of an attachment: where it lies, or why it is missing.
pub(super) type Fetched = Result<PathBuf, String>;

/// Fetches what came with a message into `directory`; one outcome for each attachment, in order.
/// `slots` bounds how many are fetched at once. May be dropped at any moment.
pub(super) async fn fetch_all(
    channel: &dyn Channel,
    attachments: &[Attachment],
    directory: &Path,
    slots: &Semaphore,
) -> Vec<Fetched> {
    if attachments.is_empty() {
        return Vec::new();
    }
    if let Err(failure) = make_private(directory).await {
        let path = directory.display();
        error!(%path, error = %failure, "the directory for attachments cannot be made");
        return vec![Err(no_room(&failure)); attachments.len()];
    }
    let budget = Budget::new(MAX_MESSAGE_BYTES);
    let fetches = attachments.iter().enumerate().map(|(index, attachment)| {
        let fetch = Fetch {
            channel,
            attachment,
            index,
            directory,
            budget: &budget,
        };
        async move {
            // It is never closed.
            let _slot = slots.acquire().await.ok();
            fetch.run().await
        }
    });
    join_all(fetches).await
}

/// Returns whether a file is an image that can be shown to the model: by what is in it, for a name
/// can say anything.
pub(super) async fn is_image(path: &Path) -> bool {
    let looked = async {
        let mut file = File::open(path).await?;
        let small = file.metadata().await?.len() <= MAX_IMAGE_BYTES;
        let mut head = Vec::new();
        (&mut file).take(12).read_to_end(&mut head).await?;
        io::Result::Ok(small && begins_as_image(&head))
    };
    looked.await.unwrap_or(false)
}

fn begins_as_image(head: &[u8]) -> bool {
    head.starts_with(b"\x89PNG\r\n\x1a\n")
        || head.starts_with(b"\xff\xd8\xff")
        || head.starts_with(b"GIF87a")
        || head.starts_with(b"GIF89a")
        || (head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP"))
}

/// Returns the directory of a message's files.
pub(super) fn directory_of(root: &Path, message: MessageId) -> PathBuf {
    root.join(message.to_string())
}

/// Removes the files of messages that the ledger has forgotten, or that were settled and not
/// touched for a week. Returns how many directories went.
///
/// # Errors
///
/// When `root` cannot be read. A directory that cannot be judged or removed stays for the next time.
pub async fn tidy(root: &Path, ledger: &Ledger, now: SystemTime) -> io::Result<u64> {
    let mut removed = 0;
    // What is not named after a message is not ours.
    for files in leftovers::in_directory(root, |name| name.parse::<MessageId>().ok()).await? {
        let is_old = files.age(now) > KEEP_FOR;
        let is_over = match ledger.message(files.owner).await {
            Ok(None) => true,
            Ok(Some(record)) => is_old && record.state.is_settled(),
            Err(_) => false,
        };
        if is_over {
            removed += u64::from(files.remove().await);
        }
    }
    Ok(removed)
}

/// One attachment on its way.
struct Fetch<'a> {
    channel: &'a dyn Channel,
    attachment: &'a Attachment,
    index: usize,
    directory: &'a Path,
    budget: &'a Budget,
}

impl Fetch<'_> {
    async fn run(&self) -> Fetched {
        if self.index >= MAX_FILES {
            return Err(format!("only {MAX_FILES} files of a message are fetched"));
        }
        let claimed = self.attachment.bytes.unwrap_or(0);
        if claimed > MAX_FILE_BYTES {
            return Err(format!("larger than {}", megabytes(MAX_FILE_BYTES)));
        }
        let name = format!("{}-{}", self.index, safe_name(&self.attachment.name));
        let path = self.directory.join(name);
        let mut share = self.budget.share(MAX_FILE_BYTES).await;
        if let Ok(about) = fs::symlink_metadata(&path).await
            && about.is_file()
        {
            share.used = about.len();
            return Ok(path);
        }
        if claimed > share.granted || share.granted == 0 {
            return Err(too_much_together());
        }
        let part = self.directory.join(format!(".{}.part", self.index));
        if let Err(failure) = self.fetch(&part, share.granted).await {
            remove(&part).await;
            return Err(self.missing(failure));
        }
        match keep(&part, &path, share.granted).await {
            Ok(Some(bytes)) => {
                share.used = bytes;
                Ok(path)
            }
            Ok(None) => {
                remove(&part).await;
                Err(too_much_together())
            }
            Err(failure) => {
                remove(&part).await;
                error!(error = %failure, "an attachment cannot be kept");
                Err(no_room(&failure))
            }
        }
    }

    async fn fetch(&self, part: &Path, max_bytes: u64) -> Result<(), SendError> {
        patiently(PATIENCE, || async {
            // What an attempt that was dropped still writes goes to a file without a name.
            remove(part).await;
            self.channel.fetch(self.attachment, part, max_bytes).await
        })
        .await
    }

    fn missing(&self, failure: SendError) -> String {
        let name = &self.attachment.name;
        match failure {
            SendError::Operator { remedy, reason } => {
                error!(name, reason, remedy, "attachments wait for the operator");
                format!("could not be fetched: {remedy} ({reason})")
            }
            SendError::Again { reason, .. }
            | SendError::Never { reason }
            | SendError::Unclear { reason } => {
                warn!(name, reason, "an attachment could not be fetched");
                format!("could not be fetched: {reason}")
            }
        }
    }
}

/// Gives a file that is there as a whole its final name, once it is on disk. Returns its size;
/// `None` when that is more than it may be.
async fn keep(part: &Path, path: &Path, max_bytes: u64) -> io::Result<Option<u64>> {
    let file = File::open(part).await?;
    let bytes = file.metadata().await?.len();
    if bytes > max_bytes {
        return Ok(None);
    }
    file.sync_all().await?;
    fs::rename(part, path).await?;
    Ok(Some(bytes))
}

async fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .await
}

async fn remove(path: &Path) {
    if let Err(failure) = fs::remove_file(path).await
        && failure.kind() != io::ErrorKind::NotFound
    {
        warn!(error = %failure, "half an attachment cannot be removed");
    }
}

fn no_room(failure: &io::Error) -> String {
    format!("could not be written: {}", failure.kind())
}

fn too_much_together() -> String {
    let most = megabytes(MAX_MESSAGE_BYTES);
    format!("the files of this message are larger than {most} together")
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes >> 20)
}

/// Returns a name that is safe below a directory of ours, in a command line and in an attribute,
/// and still ends as the file's type does.
fn safe_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| if is_unsafe(c) { '_' } else { c })
        .collect();
    let safe = safe.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let (stem, extension) = match safe.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= MAX_EXTENSION_BYTES => {
            (stem, format!(".{extension}"))
        }
        _ => (safe, String::new()),
    };
    let room = MAX_NAME_BYTES - extension.len();
    match shortened(stem, room).trim_end() {
        "" => format!("file{extension}"),
        stem => format!("{stem}{extension}"),
    }
}

/// Returns as much of the beginning of a text as has no more than `most` bytes.
fn shortened(text: &str, most: usize) -> &str {
    let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
    let end = ends.take_while(|end| *end <= most).last().unwrap_or(0);
    &text[..end]
}

/// Returns whether a character of a name can be taken for something else: by a file system, a
/// shell, an attribute of the envelope, or a reader.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || "/\\<>&\"'`$|;:*?!".contains(c)
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What the files of one message may take together.
///
/// Sizes are known for certain only afterwards. So each file gets the room of the largest one, and
/// gives back what it did not need; one that finds less waits for the others to give back.
struct Budget(watch::Sender<Room>);

#[derive(Clone, Copy)]
struct Room {
    left: u64,
    shares: usize,
}

/// The room of one file.
struct Share<'a> {
    budget: &'a Budget,
    /// What it may take.
    granted: u64,
    /// What it has taken.
    used: u64,
}

impl Budget {
    fn new(left: u64) -> Self {
        Self(watch::Sender::new(Room { left, shares: 0 }))
    }

    /// Returns room for `wanted` bytes; for fewer when no more will come free.
    async fn share(&self, wanted: u64) -> Share<'_> {
        let mut room = self.0.subscribe();
        loop {
            let mut granted = None;
            self.0.send_if_modified(|room| {
                if room.left >= wanted || room.shares == 0 {
                    let share = wanted.min(room.left);
                    room.left -= share;
                    room.shares += 1;
                    granted = Some(share);
                }
                false // only what comes free is news
            });
            if let Some(granted) = granted {
                return Share {
                    budget: self,
                    granted,
                    used: 0,
                };
            }
            // It fails only when the budget is gone.
            room.changed().await.ok();
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let unused = self.granted.saturating_sub(self.used);
        self.budget.0.send_modify(|room| {
            room.left += unused;
            room.shares -= 1;
        });
    }
}

#[cfg(test)]
mod tests;
