//! The socket in the file system: private, alone, and gone when it is no longer served.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};

/// Why the socket could not be opened.
#[derive(Debug, Error)]
pub(crate) enum BindError {
    #[error("cannot make the directory {path}: {source}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("others may enter {path} (its mode is {mode:o})")]
    NotPrivate { path: PathBuf, mode: u32 },
    #[error("another tieline serves {path}")]
    Taken { path: PathBuf },
    #[error("{path} exists and is no socket")]
    NotASocket { path: PathBuf },
    #[error("cannot listen on {path}: {source}")]
    Listen { path: PathBuf, source: io::Error },
}

impl BindError {
    /// Returns what the operator can do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Directory { .. } | Self::Listen { .. } => {
                "give the console a socket path of less than 100 bytes in a directory that \
                 tieline may write"
                    .into()
            }
            Self::NotPrivate { path, .. } => format!("chmod 700 {}", path.display()),
            Self::Taken { .. } => "stop the other tieline, or give this one its own socket".into(),
            Self::NotASocket { path } => format!("move {} out of the way", path.display()),
        }
    }
}

/// Removes the socket when dropped, and lets the next one have its place.
#[derive(Debug)]
pub(crate) struct SocketGuard {
    path: PathBuf,
    /// Device and inode: what stands at the path later may be somebody else's.
    identity: (u64, u64),
    _lock: File,
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| identity(&metadata) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

/// Listens on `path`, in a directory that nobody else may enter.
///
/// A file lock beside the socket makes the rest safe: whoever has it may remove a socket that
/// nobody answers on.
pub(crate) async fn bind(path: &Path) -> Result<(UnixListener, SocketGuard), BindError> {
    let listen = |source| BindError::Listen {
        path: path.to_owned(),
        source,
    };
    private_directory(path)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(lock_path(path))
        .map_err(listen)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => BindError::Taken {
            path: path.to_owned(),
        },
        TryLockError::Error(source) => listen(source),
    })?;
    remove_stale(path).await?;
    let listener = UnixListener::bind(path).map_err(listen)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(listen)?;
    let metadata = fs::symlink_metadata(path).map_err(listen)?;
    let guard = SocketGuard {
        path: path.to_owned(),
        identity: identity(&metadata),
        _lock: lock,
    };
    Ok((listener, guard))
}

fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn private_directory(socket: &Path) -> Result<(), BindError> {
    let path = match socket.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let failed = |source| BindError::Directory {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(BindError::NotPrivate {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let path_buf = || path.to_owned();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path_buf() });
        }
        Ok(_) | Err(_) => {}
    }
    if UnixStream::connect(path).await.is_ok() {
        return Err(BindError::Taken { path: path_buf() });
    }
    fs::remove_file(path).map_err(|source| BindError::Listen {
        path: path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        directory
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn only_the_owner_reaches_it_and_it_goes_with_its_guard() {
        let directory = private();
        let path = directory.path().join("a/b/console.sock");
        let (_listener, guard) = bind(&path).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(guard);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_replaced() {
        let directory = private();
        let path = directory.path().join("console.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (listener, _guard) = bind(&path).await.unwrap();
        let (client, _) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(client.is_ok());
    }

    #[tokio::test]
    async fn a_socket_that_somebody_serves_is_left_alone() {
        let directory = private();
        let path = directory.path().join("console.sock");
        let stranger = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = bind(&path).await.unwrap_err();
        assert!(matches!(error, BindError::Taken { .. }), "{error}");
        drop(stranger);
        let _ours = bind(&path).await.unwrap();
        let error = bind(&path).await.unwrap_err();
        assert!(matches!(error, BindError::Taken { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let directory = private();
        let path = directory.path().join("console.sock");
        fs::write(&path, "precious").unwrap();
        let error = bind(&path).await.unwrap_err();
        assert!(matches!(error, BindError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_directory_that_others_may_enter_is_refused() {
        let directory = private();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = bind(&directory.path().join("console.sock"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, BindError::NotPrivate { mode: 0o755, .. }),
            "{error}"
        );
        assert!(error.remedy().starts_with("chmod 700 "));
    }

    #[tokio::test]
    async fn a_guard_leaves_its_successors_socket_alone() {
        let directory = private();
        let path = directory.path().join("console.sock");
        let (_listener, guard) = bind(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(guard);
        assert!(path.exists());
    }
}
