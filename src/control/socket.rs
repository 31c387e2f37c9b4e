//! A Unix socket of our own, never anybody else's.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

use crate::config::socket_path::MAX as MAX_SOCKET_PATH;

/// The file that is locked as long as a daemon uses the directory.
const LOCK: &str = "control.lock";

/// A listener whose socket file goes when it is dropped.
///
/// A lock in its directory, held as long as the listener lives, keeps two daemons that start at
/// the same moment from taking the socket from each other. The lock file stays: to remove it
/// would let a third one lock another file of the same name.
#[derive(Debug)]
pub struct OwnedSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file that is ours to remove.
    identity: (u64, u64),
    _lock: File,
}

/// Why a socket could not be had.
#[derive(Debug, Error)]
pub enum BindError {
    /// No socket can have such a path.
    #[error(
        "{} has {length} bytes, but the path of a socket has at most {MAX_SOCKET_PATH}: set a shorter `state_dir`",
        path.display()
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// The directory cannot be made or looked at.
    #[error("cannot prepare the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may enter the directory.
    #[error(
        "{} is open to other users (mode {mode:03o}) and has other things in it: run `chmod 700 {}`, or set another `state_dir`",
        path.display(),
        path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory belongs to somebody else.
    #[error("{} belongs to another user: set another `state_dir`", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody listens there.
    #[error(
        "another daemon listens on {}: stop it first, or set another `state_dir`",
        path.display()
    )]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else, which is not ours to remove.
    #[error("{} is there and is not a socket: move it away, or set another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The lock beside the socket cannot be had.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes a directory, and those above it, that only we may enter.
///
/// One that is there already is closed to others when it is empty or was used by us before. Any
/// other that is open is refused rather than closed: people may need it.
///
/// # Errors
///
/// When it cannot be made, is not ours, or is open and has other things in it.
pub fn create_private_directory(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Directory {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(BindError::NotOurs {
            path: path.to_owned(),
        });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let is_empty = fs::read_dir(path).map_err(failed)?.next().is_none();
    if is_empty || path.join(LOCK).exists() {
        return fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed);
    }
    Err(BindError::NotPrivate {
        path: path.to_owned(),
        mode,
    })
}

impl OwnedSocket {
    /// Listens on `path`, in a private directory that is made if need be. A socket file that
    /// nobody listens on is replaced.
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When somebody listens there already, something else is there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let length = path.as_os_str().len();
        if length > MAX_SOCKET_PATH {
            return Err(BindError::TooLong {
                path: path.to_owned(),
                length,
            });
        }
        let directory = path.parent().unwrap_or(Path::new("."));
        create_private_directory(directory)?;
        let lock = lock(directory, path)?;
        remove_stale(path)?;
        let failed = |source| BindError::Listen {
            path: path.to_owned(),
            source,
        };
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Nobody else can have come in meanwhile: the directory is private.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            _lock: lock,
        })
    }

    /// Returns the listener.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Returns where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        // Somebody may have put another one there: leave it.
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove our socket");
        }
    }
}

fn lock(directory: &Path, socket: &Path) -> Result<File, BindError> {
    let lock_path = directory.join(LOCK);
    let failed = |source| BindError::Lock {
        path: lock_path.clone(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BindError::Taken {
            path: socket.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Removes a socket file on which nobody listens.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Listen {
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket {
            path: path.to_owned(),
        });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(BindError::Taken {
            path: path.to_owned(),
        }),
    }
}
