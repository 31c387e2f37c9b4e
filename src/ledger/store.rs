//! The database files: opened and committed in the one way that is safe.
//!
//! sled's own `flush` does not survive a power cut, and there are states that it does not open
//! again. What makes it safe is here and nowhere else: the order of preparations before opening,
//! a new store that appears under its name only when it is whole, and a real `fsync` after every
//! commit.

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use crate::ledger::error::OpenError;
use crate::ledger::key::{Key, Table};
use crate::ledger::value::Value;
use crate::ledger::watchdog::Watchdog;

/// The page cache of the database; the library's default would grow to 1 GiB.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// How long a just closed store may take to let go of its own lock.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// One change: a value put at a key, or the key removed.
pub(super) type Change = (Table, Key, Option<Value>);

/// Makes what was written to a file survive a power cut. The second implementation, in tests,
/// remembers what a power cut would leave.
pub(super) trait Barrier: Send {
    /// Returns when everything written to `file` so far is on disk.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// The barrier of the operating system.
#[derive(Debug)]
pub(super) struct Fsync;

impl Barrier for Fsync {
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

/// The open database.
#[derive(Debug)]
pub(super) struct Store {
    /// First, so that it has let go of the database before the rest does.
    watchdog: Watchdog,
    trees: Vec<sled::Tree>,
    db: sled::Db,
    file: File,
    path: PathBuf,
}

impl Store {
    /// Opens the store in `dir/store`; if there is none, makes one that has the changes `first`.
    ///
    /// The caller holds the [`Lock`](super::lock::Lock) of `dir`.
    pub(super) fn open(
        dir: &Path,
        first: &[Change],
        barrier: &mut dyn Barrier,
    ) -> Result<Self, OpenError> {
        let path = dir.join("store");
        let exists = path
            .try_exists()
            .map_err(|source| io_error("look for", &path, source))?;
        if !exists {
            Self::create(dir, &path, first, barrier)?;
        } else if !path.join("db").exists() {
            return Err(OpenError::Corrupt {
                dir: dir.to_owned(),
                reason: "the file store/db is missing".to_owned(),
            });
        }
        Self::open_existing(dir, &path)
    }

    /// Makes a store under another name, and gives it its own when it is whole and on disk.
    fn create(
        dir: &Path,
        path: &Path,
        first: &[Change],
        barrier: &mut dyn Barrier,
    ) -> Result<(), OpenError> {
        let unfinished = dir.join("store.new");
        match fs::remove_dir_all(&unfinished) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &unfinished, source));
            }
            _ => {}
        }
        Self::open_existing(dir, &unfinished)?
            .commit(first, barrier)
            .map_err(|reason| io_error("write", &unfinished, io::Error::other(reason)))?;
        for file in [
            unfinished.join("conf"),
            unfinished.join("db"),
            unfinished.clone(),
        ] {
            sync(&file)?;
        }
        fs::rename(&unfinished, path).map_err(|source| io_error("rename", &unfinished, source))?;
        sync(dir)
    }

    /// Prepares and opens the store at `path`.
    fn open_existing(dir: &Path, path: &Path) -> Result<Self, OpenError> {
        prepare(dir, path)?;
        let config = sled::Config::new()
            .path(path)
            .flush_every_ms(None)
            .cache_capacity(CACHE_BYTES);
        let started = Instant::now();
        let db = loop {
            match unwinding(|| config.open()) {
                Ok(db) => break db,
                // We hold the directory's lock, so this is our own previous store on its way out.
                Err(Failure::Sled(error))
                    if is_lock_error(&error) && started.elapsed() < RELEASE_LIMIT =>
                {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(failure) => return Err(failure.into_open_error(dir, path)),
            }
        };
        let trees = Table::ALL
            .iter()
            .map(|table| unwinding(|| db.open_tree(table.name())))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|failure| failure.into_open_error(dir, path))?;
        unwinding(|| db.flush()).map_err(|failure| failure.into_open_error(dir, path))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.join("db"))
            .map_err(|source| io_error("open", &path.join("db"), source))?;
        file.sync_all()
            .map_err(|source| io_error("sync", &path.join("db"), source))?;
        // Opening may have replaced the snapshot.
        sync(path)?;
        let watched = db.clone();
        let watchdog = Watchdog::start(move || {
            if watched.context.global_error().is_err() {
                // Fails at once, and wakes the commit.
                watched.flush().ok();
            }
        })
        .map_err(|source| OpenError::Thread { source })?;
        Ok(Self {
            watchdog,
            trees,
            db,
            file,
            path: path.to_owned(),
        })
    }

    /// Returns a tree, for reading.
    pub(super) fn tree(&self, table: Table) -> &sled::Tree {
        &self.trees[table as usize]
    }

    /// Makes all changes or none. They are on disk when this returns.
    ///
    /// # Errors
    ///
    /// When they may not be on disk. The store is of no more use: drop it and open it again.
    pub(super) fn commit(
        &self,
        changes: &[Change],
        barrier: &mut dyn Barrier,
    ) -> Result<(), String> {
        self.watchdog
            .supervise(|| {
                unwinding(|| {
                    self.trees
                        .as_slice()
                        .transaction(|views| {
                            for (table, key, value) in changes {
                                let view = &views[*table as usize];
                                match value {
                                    Some(value) => view.insert(key.as_bytes(), value.as_bytes())?,
                                    None => view.remove(key.as_bytes())?,
                                };
                            }
                            Ok::<(), ConflictableTransactionError<std::convert::Infallible>>(())
                        })
                        .map_err(|error| match error {
                            TransactionError::Storage(error) => error,
                            TransactionError::Abort(never) => match never {},
                        })?;
                    self.db.flush()
                })
            })
            .map_err(|failure| failure.to_string())?;
        barrier
            .sync(&self.file)
            .map_err(|error| format!("cannot sync {}: {error}", self.path.display()))
    }

    /// Returns the bytes that the files take.
    pub(super) fn size(&self) -> io::Result<u64> {
        let mut size = 0;
        for entry in fs::read_dir(&self.path)? {
            let metadata = entry?.metadata()?;
            if metadata.is_file() {
                size += metadata.len();
            }
        }
        Ok(size)
    }
}

/// Removes what keeps a store from opening, and refuses one that is not safe.
fn prepare(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error("read", path, source)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| io_error("read", path, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())
                .map_err(|source| io_error("remove", &entry.path(), source))?;
        }
    }
    sync(path)?;
    let blobs = path.join("blobs");
    match fs::read_dir(&blobs) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(OpenError::Blobs {
                dir: dir.to_owned(),
            }),
        },
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error("read", &blobs, source)),
    }
}

/// Syncs a file or directory by its path.
pub(super) fn sync(path: &Path) -> Result<(), OpenError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| io_error("sync", path, source))
}

/// Sorts a failure of the file system.
pub(super) fn io_error(doing: &'static str, path: &Path, source: io::Error) -> OpenError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::Permission { path, source }
        }
        io::ErrorKind::NotADirectory => OpenError::NotADirectory { path },
        _ => OpenError::Io {
            doing,
            path,
            source,
        },
    }
}

/// A failure of the database library, which may also panic.
#[derive(Debug)]
enum Failure {
    Sled(sled::Error),
    Panic(String),
}

impl Failure {
    fn into_open_error(self, dir: &Path, path: &Path) -> OpenError {
        match self {
            Self::Sled(error) if is_lock_error(&error) => OpenError::Locked {
                dir: dir.to_owned(),
                holder: None,
            },
            Self::Sled(sled::Error::Io(source)) => io_error("open", path, source),
            Self::Sled(error) => OpenError::Corrupt {
                dir: dir.to_owned(),
                reason: error.to_string(),
            },
            Self::Panic(reason) => OpenError::Corrupt {
                dir: dir.to_owned(),
                reason,
            },
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sled(error) => error.fmt(f),
            Self::Panic(reason) => f.write_str(reason),
        }
    }
}

/// The library reports its lock only by this text.
fn is_lock_error(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Runs a call of the library and turns a panic into a failure.
fn unwinding<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Failure::Sled),
        Err(panic) => Err(Failure::Panic(panic_text(&*panic))),
    }
}

/// Returns what a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the database library gave up".to_owned())
}
