//! A Unix socket of our own, for what listens on this machine.
//!
//! Whoever may open it may speak for the user, so it is private, alone at its path, and gone when
//! it is no longer served; what is not ours is never removed.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

#[cfg(test)]
mod tests;

/// The longest path of a Unix socket, in bytes: `sun_path` has 108 and a NUL ends it.
pub const MAX_PATH: usize = 107;

/// A listener in a directory that only we may enter; its file goes when it is dropped.
///
/// A locked file beside it (`<socket>.lock`), held as long as the listener lives, keeps two
/// processes that start at the same moment from taking the socket from each other. The lock file
/// stays: to remove it would let a third one lock another file of the same name.
#[derive(Debug)]
pub struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
    /// What stands at the path later may be somebody else's.
    identity: Identity,
    _lock: Lock,
}

/// Why a socket could not be had. [`remedy`](Self::remedy) says what to do about it.
#[derive(Debug, Error)]
pub enum BindError {
    /// No socket can have such a path.
    #[error(
        "{} has {length} bytes, but the path of a socket has at most {MAX_PATH}",
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
        "{} is open to other users (mode {mode:03o}) and has other things in it",
        path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The directory belongs to somebody else.
    #[error("{} belongs to another user", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody listens there, or is about to.
    #[error("another process listens on {}", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else, which is not ours to remove.
    #[error("{} is there and is not a socket", path.display())]
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
/// One that is there already is closed to others when it is empty, or has our `mark` in it, a file
/// of that name. Any other that is open is refused rather than closed: people may need it.
///
/// # Errors
///
/// When it cannot be made, is not ours, or is open and has other things in it.
pub fn create_private_directory(path: &Path, mark: &Path) -> Result<(), BindError> {
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
    let mut entries = fs::read_dir(path).map_err(failed)?;
    if entries.next().is_none() || path.join(mark).exists() {
        return fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed);
    }
    Err(BindError::NotPrivate {
        path: path.to_owned(),
        mode,
    })
}

// === impl PrivateSocket ===

impl PrivateSocket {
    /// Listens on `path`, in a private directory that is made if need be. A socket file that
    /// nobody listens on is replaced, and a directory that a socket of this name was in before is
    /// closed to others.
    ///
    /// # Errors
    ///
    /// When somebody listens there already, something else is there, others could come in, or the
    /// system refuses.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(BindError::TooLong {
                path: path.to_owned(),
                length,
            });
        }
        let failed = |source| BindError::Listen {
            path: path.to_owned(),
            source,
        };
        let lock_path = Lock::path_of(path);
        let lock_name = Path::new(lock_path.file_name().unwrap_or_default());
        create_private_directory(directory_of(path), lock_name)?;
        let lock = Lock::take(path, &lock_path)?;
        remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Nobody else can have come in meanwhile: the directory is private.
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            identity: Identity::of(&metadata),
            _lock: lock,
        })
    }

    /// Returns the next client. Safe to cancel.
    ///
    /// # Errors
    ///
    /// As `accept` of the system; the socket stays as it is.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _address) = self.listener.accept().await?;
        Ok(stream)
    }

    /// Returns where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| Identity::of(&metadata) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove our socket");
        }
    }
}

// === impl BindError ===

impl BindError {
    /// Returns what the operator can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::TooLong { .. } => "give the socket a shorter path".to_owned(),
            Self::Directory { .. } | Self::Lock { .. } | Self::Listen { .. } => {
                "give the socket a path in a directory that tieline may write".to_owned()
            }
            Self::NotPrivate { path, .. } => format!(
                "run `chmod 700 {}`, or give the socket a path in another directory",
                path.display()
            ),
            Self::NotOurs { .. } => {
                "give the socket a path in a directory of tieline's own user".to_owned()
            }
            Self::Taken { .. } => {
                "stop the other process, or give the socket another path".to_owned()
            }
            Self::NotASocket { path } => format!(
                "move {} away, or give the socket another path",
                path.display()
            ),
        }
    }
}

fn directory_of(socket: &Path) -> &Path {
    match socket.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Removes a socket file on which nobody listens.
async fn remove_stale(path: &Path) -> Result<(), BindError> {
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
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A listener that is too busy to answer is one all the same.
        Ok(_) | Err(_) => Err(BindError::Taken {
            path: path.to_owned(),
        }),
    }
}

/// Which file it is, whatever it is called: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// The right to a socket's path. Whoever has it may remove a socket that nobody answers on.
#[derive(Debug)]
struct Lock(File);

impl Lock {
    fn path_of(socket: &Path) -> PathBuf {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        path.into()
    }

    fn take(socket: &Path, path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Lock {
            path: path.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(BindError::Taken {
                path: socket.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it locked while another thread is just starting a process.
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "a socket's lock goes with the process");
        }
    }
}
