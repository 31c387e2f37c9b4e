//! A log file of bounded size: when it is full it is put aside, and the oldest is removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The size at which a file is put aside.
const ROTATE_AT: u64 = 10 << 20;

/// How many are kept, the present one included.
pub(crate) const KEPT: u32 = 5;

/// The present log file and where older ones go: `NAME.1` is the youngest of them.
#[derive(Debug)]
pub(crate) struct RotatedFile {
    path: PathBuf,
    rotate_at: u64,
    open: Option<(File, u64)>,
}

impl RotatedFile {
    /// Names the file; nothing is made before the first line.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            rotate_at: ROTATE_AT,
            open: None,
        }
    }

    /// Appends a line, which ends in a line feed. After a failure the next line begins anew.
    ///
    /// # Errors
    ///
    /// When it cannot be written: a full disk costs lines of the log and nothing else.
    pub(crate) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let (mut file, size) = match self.open.take() {
            Some((file, size)) if size < self.rotate_at => (file, size),
            Some((full, _)) => {
                drop(full);
                put_aside(&self.path)?;
                self.begin()?
            }
            None => self.begin()?,
        };
        file.write_all(line)?;
        self.open = Some((file, size + line.len() as u64));
        Ok(())
    }

    fn begin(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

/// Returns where a log goes that was put aside so many times.
pub(crate) fn aside(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{age}"));
    name.into()
}

fn put_aside(path: &Path) -> io::Result<()> {
    for age in (1..KEPT).rev() {
        match fs::rename(aside(path, age - 1), aside(path, age)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn full_files_are_put_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tieline.log");
        let mut log = RotatedFile::new(path.clone());
        log.rotate_at = 11;
        for n in 0..20 {
            log.append(format!("line {n:04}\n").as_bytes()).unwrap();
        }
        let read = |age| fs::read_to_string(aside(&path, age)).unwrap();
        assert_eq!(read(0), "line 0018\nline 0019\n");
        assert_eq!(read(KEPT - 1), "line 0010\nline 0011\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 5);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // A new start goes on in the same file.
        drop(log);
        let mut log = RotatedFile::new(path.clone());
        log.append(b"again\n").unwrap();
        assert_eq!(read(0), "line 0018\nline 0019\nagain\n");
    }

    #[test]
    fn line_that_cannot_be_written_is_lost_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/tieline.log");
        let mut log = RotatedFile::new(path.clone());
        assert!(log.append(b"lost\n").is_err());
        fs::create_dir(directory.path().join("logs")).unwrap();
        log.append(b"kept\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "kept\n");
    }
}
