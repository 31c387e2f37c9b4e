//! A private directory that goes with what is tried in it.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A longer temporary directory leaves no room for the path of a socket (108 bytes).
const MAX_PARENT_BYTES: usize = 32;

/// A private directory under the temporary one. Removed when dropped; [`remove`](Self::remove)
/// also tells whether that worked.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a new one, for the user alone; `what` is tried there, in few letters.
    pub(crate) fn new(what: &str) -> io::Result<Self> {
        let mut parent = env::temp_dir();
        if !parent.is_absolute() || parent.as_os_str().as_bytes().len() > MAX_PARENT_BYTES {
            parent = PathBuf::from("/tmp");
        }
        let name = Uuid::now_v7().simple().to_string();
        // The end of the id is its random part.
        let path = parent.join(format!("tieline-{what}-{}", &name[20..]));
        private_dir(&path)?;
        Ok(Self { path })
    }

    /// Makes a private directory in it.
    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        private_dir(&path)?;
        Ok(path)
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort, on the way out of an error that matters more.
        drop(fs::remove_dir_all(&self.path));
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_short_enough_for_sockets_and_goes_away() {
        let scratch = Scratch::new("demo").unwrap();
        let path = scratch.path().to_owned();
        let inner = scratch.directory("state").unwrap();
        for directory in [&path, &inner] {
            let mode = fs::metadata(directory).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", directory.display());
        }
        assert!(inner.join("console-console.sock").as_os_str().len() < 108);
        scratch.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn two_of_a_moment_differ() {
        let (one, other) = (Scratch::new("demo").unwrap(), Scratch::new("demo").unwrap());
        assert_ne!(one.path(), other.path());
    }
}
