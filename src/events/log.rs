//! The files: one line of JSON for each event, in `events.jsonl`; when that is full it becomes
//! `events-<number of its last event>.jsonl`, of which the newest are kept.
//!
//! Nothing here is synced: an event that a power cut takes away is not worth the wait. What cannot be
//! written is counted, and the next line says how many are missing before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use tracing::{info, warn};

use super::record::EventRecord;

/// The file that is written to.
pub(super) const CURRENT: &str = "events.jsonl";

/// How many events go to disk together.
pub(super) const BATCH: usize = 256;

/// How much they take together at most, in bytes.
const MAX_BATCH: u64 = 16 * 1024 * 1024;

/// Where events are kept, and how much of them.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// How large a file becomes, in bytes.
    pub(super) file_size: u64,
    /// How many full files are kept.
    pub(super) files: usize,
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The last events, oldest first.
    pub(super) recent: Vec<EventRecord>,
    /// The number of the last one; 0 when there is none.
    pub(super) last: u64,
    /// The number of the first one that is still there; 0 when there is none.
    pub(super) oldest: u64,
    /// The files end as a run that came to its end leaves them.
    pub(super) is_clean: bool,
}

/// An event on its way to the disk.
pub(super) struct Line {
    pub(super) record: Arc<EventRecord>,
    /// How many before it found no place in the queue.
    pub(super) missed: u64,
}

/// What others see of the files.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many events found no place on disk since the start.
    pub(super) missed: AtomicU64,
    /// The number of the first event that is still there.
    pub(super) oldest: AtomicU64,
}

impl Place {
    pub(super) fn current(&self) -> PathBuf {
        self.directory.join(CURRENT)
    }

    /// Returns the most that a file of ours can have, in bytes.
    pub(super) fn longest(&self) -> u64 {
        self.file_size + MAX_BATCH
    }

    /// Reads a file; nothing when it is none, or cannot be read.
    fn read(&self, path: &Path) -> Vec<u8> {
        let mut text = Vec::new();
        if fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
            && let Ok(file) = File::open(path)
        {
            // What was read before it fails is as good as any that was cut off.
            file.take(self.longest()).read_to_end(&mut text).ok();
        }
        text
    }

    /// Returns the full files, oldest first, each with the number of its last event.
    pub(super) fn full_files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if let Some(last) = last_of(&path) {
                files.push((last, path));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Reads what an earlier run left. What cannot be read is passed over.
    pub(super) fn read_left(&self, recent: usize) -> Left {
        let mut left = Left::default();
        let mut files = self.full_files().unwrap_or_default();
        let named = files.last().map_or(0, |(last, _)| *last);
        let text = self.read(&self.current());
        let (mut events, ends_well) = parse(&text);
        let ended = events.last().is_some_and(|it| it.kind == "daemon.stopped");
        left.is_clean = ends_well && (ended || (text.is_empty() && named == 0));
        left.oldest = match files.first() {
            Some((_, path)) => parse(&self.read(path))
                .0
                .first()
                .and_then(|it| it.seq)
                .unwrap_or(1),
            None => events.first().and_then(|it| it.seq).unwrap_or(0),
        };
        if events.len() < recent
            && let Some((_, path)) = files.pop()
        {
            let (mut earlier, _) = parse(&self.read(&path));
            earlier.append(&mut events);
            events = earlier;
        }
        left.last = events.last().and_then(|it| it.seq).unwrap_or(0).max(named);
        left.recent = events.split_off(events.len().saturating_sub(recent));
        left
    }
}

/// Reads lines, and says whether all of it was understood. A line that was cut off, or is none of ours,
/// is passed over.
pub(super) fn parse(text: &[u8]) -> (Vec<EventRecord>, bool) {
    let mut is_whole = text.is_empty() || text.ends_with(b"\n");
    let mut events: Vec<EventRecord> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice::<EventRecord>(line) {
            Ok(event) if event.seq > events.last().and_then(|last| last.seq) => {
                events.push(event);
            }
            _ => is_whole = false,
        }
    }
    (events, is_whole)
}

/// Returns the number of the last event of a full file, which its name has.
pub(super) fn last_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let number = name.strip_prefix("events-")?.strip_suffix(".jsonl")?;
    number.parse().ok()
}

/// Writes events to disk, on a thread of its own.
pub(super) struct Writer {
    place: Place,
    seen: Arc<Seen>,
    /// The file, and how long it is; none after a failure.
    file: Option<(File, u64)>,
    /// Events in a row that are not on disk.
    unwritten: u64,
    is_failing: bool,
}

impl Writer {
    pub(super) fn new(place: Place, seen: Arc<Seen>) -> Self {
        Self {
            place,
            seen,
            file: None,
            unwritten: 0,
            is_failing: false,
        }
    }

    /// Writes what comes until nobody can send any more.
    pub(super) fn run(mut self, lines: &Receiver<Line>) {
        while let Ok(first) = lines.recv() {
            let mut batch = vec![first];
            batch.extend(lines.try_iter().take(BATCH - 1));
            self.take(&batch);
        }
    }

    fn take(&mut self, batch: &[Line]) {
        let mut text = Vec::new();
        let mut missed = self.unwritten;
        let mut last = 0;
        for line in batch {
            missed += line.missed;
            let mut record = EventRecord::clone(&line.record);
            record.missed = std::mem::take(&mut missed);
            last = record.seq.unwrap_or(last);
            // It is made of text and numbers, which can always be written.
            if serde_json::to_writer(&mut text, &record).is_ok() {
                text.push(b'\n');
            }
        }
        match self.write(&text, last) {
            Ok(()) => {
                self.unwritten = 0;
                if std::mem::take(&mut self.is_failing) {
                    info!("events find their place on disk again");
                }
            }
            Err(error) => {
                self.file = None;
                self.unwritten += batch.iter().map(|line| 1 + line.missed).sum::<u64>();
                let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                self.seen.missed.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut self.is_failing, true) {
                    let directory = self.place.directory.display();
                    warn!(%error, %directory, "events find no place on disk; they are counted, and still shown live");
                }
            }
        }
    }

    fn write(&mut self, text: &[u8], last: u64) -> io::Result<()> {
        let (file, size) = match &mut self.file {
            Some(open) => open,
            none => none.insert(open(&self.place.current())?),
        };
        if let Err(error) = file.write_all(text) {
            // So that no half of a line stays; where that fails too, the next open sees to it.
            file.set_len(*size).ok();
            return Err(error);
        }
        *size += text.len() as u64;
        if *size >= self.place.file_size {
            self.rotate(last)?;
        }
        Ok(())
    }

    /// Puts the full file aside, and removes those that are more than are kept.
    fn rotate(&mut self, last: u64) -> io::Result<()> {
        let aside = self
            .place
            .directory
            .join(format!("events-{last:012}.jsonl"));
        // What was written is there, whatever becomes of this: the next write tries again.
        if let Err(error) = fs::rename(self.place.current(), aside) {
            warn!(%error, "the file of events cannot be put aside");
            return Ok(());
        }
        self.file = None;
        let files = self.place.full_files()?;
        let surplus = files.len().saturating_sub(self.place.files);
        for (last, path) in &files[..surplus] {
            match fs::remove_file(path) {
                Ok(()) => self.seen.oldest.store(last + 1, Ordering::Relaxed),
                Err(error) => warn!(%error, "an old file of events cannot be removed"),
            }
        }
        Ok(())
    }
}

/// Opens the file to go on with it. A line that was cut off is ended, so that it spoils no other.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}
