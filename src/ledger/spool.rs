//! Texts that are too long for the database, one file each.
//!
//! A file is complete and on disk before a record names it, and is removed after the record is
//! gone. What a crash leaves between the two is swept at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{CompletionId, MessageId, OutboxId, RunId, SessionId, TaskId, TeammateId};

/// How much [`Spool::probe`] writes, in bytes: as much as a long text.
const PROBE: usize = 64 * 1024;

/// The directory of spool files.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    handle: File,
}

/// Whose text a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpoolOwner {
    /// A message's.
    Message(MessageId),
    /// That of an entry of the outbox.
    Post(OutboxId),
    /// A completion's.
    Completion(CompletionId),
    /// A teammate's instructions.
    Teammate(TeammateId),
    /// A task's.
    Task(TaskId),
    /// That of what came of a task.
    Result(TaskId),
    /// That of what a run is to do.
    Run(RunId),
    /// That of what came of a run.
    Outcome(RunId),
    /// What a session is set up with.
    Session(SessionId),
}

/// The name of a spool file: its owner, and something new each time, because an edit writes the new
/// text while the old one is still in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SpoolName(String);

impl SpoolName {
    /// Makes a new name.
    pub(super) fn new(owner: SpoolOwner) -> Self {
        let fresh = Uuid::now_v7().simple();
        Self(match owner {
            SpoolOwner::Message(id) => format!("message_{id}_{fresh}"),
            SpoolOwner::Post(id) => format!("post_{id}_{fresh}"),
            SpoolOwner::Completion(id) => format!("completion_{id}_{fresh}"),
            SpoolOwner::Teammate(id) => format!("teammate_{id}_{fresh}"),
            SpoolOwner::Task(id) => format!("task_{id}_{fresh}"),
            SpoolOwner::Result(id) => format!("result_{id}_{fresh}"),
            SpoolOwner::Run(id) => format!("run_{id}_{fresh}"),
            SpoolOwner::Outcome(id) => format!("outcome_{id}_{fresh}"),
            SpoolOwner::Session(id) => format!("session_{id}_{fresh}"),
        })
    }

    /// Returns whose text it is, if the name is one of ours.
    fn owner(&self) -> Option<SpoolOwner> {
        let mut parts = self.0.split('_');
        let (kind, id) = (parts.next()?, parts.next()?);
        match kind {
            "message" => id.parse().ok().map(SpoolOwner::Message),
            "post" => id.parse().ok().map(SpoolOwner::Post),
            "completion" => id.parse().ok().map(SpoolOwner::Completion),
            "teammate" => id.parse().ok().map(SpoolOwner::Teammate),
            "task" => id.parse().ok().map(SpoolOwner::Task),
            "result" => id.parse().ok().map(SpoolOwner::Result),
            "run" => id.parse().ok().map(SpoolOwner::Run),
            "outcome" => id.parse().ok().map(SpoolOwner::Outcome),
            "session" => id.parse().ok().map(SpoolOwner::Session),
            _ => None,
        }
    }
}

impl Spool {
    /// Opens the directory, and makes it if need be.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            handle: File::open(dir)?,
        })
    }

    /// Writes a file; it is on disk when this returns.
    pub(super) fn write(&self, name: &SpoolName, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.dir.join(format!("{}.unfinished", name.0));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, self.dir.join(&name.0)))
            .and_then(|()| self.handle.sync_all());
        if written.is_err() {
            // Best effort: the sweep at the next start takes what is left.
            fs::remove_file(&unfinished).ok();
            fs::remove_file(self.dir.join(&name.0)).ok();
        }
        written
    }

    /// Shows that a long text can be written.
    pub(super) fn probe(&self) -> io::Result<()> {
        let name = SpoolName("probe".to_owned());
        self.write(&name, &[0; PROBE])?;
        self.remove(&name);
        Ok(())
    }

    /// Reads a file.
    pub(super) fn read(&self, name: &SpoolName) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(&name.0))
    }

    /// Removes a file that no record names any more. One that stays is swept at the next start.
    pub(super) fn remove(&self, name: &SpoolName) {
        if let Err(error) = fs::remove_file(self.dir.join(&name.0)) {
            tracing::debug!(%error, "spool file not removed");
        }
    }

    /// Removes every file of which `is_named` denies that a record names it.
    pub(super) fn sweep<E: From<io::Error>>(
        &self,
        mut is_named: impl FnMut(SpoolOwner, &SpoolName) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = SpoolName(entry.file_name().to_string_lossy().into_owned());
            let unfinished = name.0.ends_with(".unfinished");
            let named = match name.owner() {
                Some(owner) if !unfinished => is_named(owner, &name)?,
                _ => false,
            };
            if !named {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Returns the bytes that the files take.
    pub(super) fn size(&self) -> io::Result<u64> {
        let mut size = 0;
        for entry in fs::read_dir(&self.dir)? {
            // A file that vanished meanwhile takes nothing.
            size += entry?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(size)
    }
}
