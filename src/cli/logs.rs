//! `tieline logs`: what the daemon, or the codex of a dispatcher, has logged.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::sleep;

use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::logging::rotated::{KEPT, aside};
use crate::cli::output;
use crate::codex;
use crate::config::Config;
use crate::daemon::Directories;

/// How often the file is looked at for more.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How much is read at a time, so that no log is too large for the memory.
const PIECE: usize = 1 << 20;

/// Show what the daemon has logged
///
/// Reads the log file, so it works while no daemon runs, and goes on over restarts of the daemon and
/// when a file is full and the next is begun.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,

    /// Show so many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,

    /// Show what the Codex of this dispatcher has printed, in place of the daemon's own log
    #[arg(long, value_name = "NAME")]
    dispatcher: Option<String>,
}

/// Shows the end of the log, and follows it if that is wanted.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config.load_quietly()?;
    let path = choose(&config, args.dispatcher.as_deref())?;
    let unreadable = |error: io::Error| {
        let error = anyhow::Error::from(error).context(format!("cannot read {}", path.display()));
        Failure::new(Exit::Io, error)
    };
    let mut follower = Follower::new(path.clone());
    // From here on nothing that comes is missed; what is there is shown by its last lines alone.
    let is_there = follower.skip_to_end().map_err(unreadable)?;
    if !is_there && !args.follow {
        let shown = path.display();
        let error = anyhow!("nothing was logged yet: there is no {shown}");
        return Err(Failure::new(Exit::Unanswered, error)
            .hint("`tieline run` begins one; `tieline logs -f` waits for it"));
    }
    let earlier = last_lines(&path, follower.position(), args.lines).map_err(unreadable)?;
    let mut is_read = output::print_on(&plain(&earlier))?;
    while args.follow && is_read {
        let more = follower.read_more().map_err(unreadable)?;
        if more.is_empty() {
            sleep(LOOK_EVERY).await;
        } else {
            is_read = output::print_on(&plain(&more))?;
        }
    }
    Ok(())
}

/// Returns the log that is meant.
fn choose(config: &Config, dispatcher: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(name) = dispatcher else {
        return config.log_file().ok_or_else(|| {
            let error = anyhow!("the daemon logs to no file: `log_file` under [daemon] is false");
            Failure::new(Exit::Config, error)
                .hint("it logs to standard error: `journalctl` has that of a service")
        });
    };
    if !config.dispatchers.keys().any(|id| id.as_str() == name) {
        let known: Vec<_> = config.dispatchers.keys().map(|id| id.as_str()).collect();
        return Err(usage(format!("there is no dispatcher `{name}`"))
            .hint(format!("one of {}", known.join(", "))));
    }
    let directories = Directories::below(&config.daemon.state_dir);
    Ok(codex::error_log(&directories.logs, name))
}

/// Reads a log that grows, is put aside, and begins anew.
struct Follower {
    path: PathBuf,
    open: Option<File>,
    position: u64,
}

impl Follower {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: None,
            position: 0,
        }
    }

    /// Passes over what is there; `false` when there is nothing.
    fn skip_to_end(&mut self) -> io::Result<bool> {
        if !self.begin()? {
            return Ok(false);
        }
        if let Some(file) = &mut self.open {
            self.position = file.seek(SeekFrom::End(0))?;
        }
        Ok(true)
    }

    /// Returns up to where the present file was read.
    fn position(&self) -> u64 {
        self.position
    }

    /// Returns what came since; empty when nothing did.
    fn read_more(&mut self) -> io::Result<Vec<u8>> {
        if self.open.is_none() && !self.begin()? {
            return Ok(Vec::new());
        }
        // Asked before it is read: what is written to it after that is not of a file put aside.
        let is_present = self.is_present()?;
        let more = self.read_piece()?;
        if more.is_empty() && !is_present {
            // The rest of it is read; on with the one that took its place.
            self.open = None;
        }
        Ok(more)
    }

    fn begin(&mut self) -> io::Result<bool> {
        match File::open(&self.path) {
            Ok(file) => {
                self.open = Some(file);
                self.position = 0;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether the open file is still the one of that name.
    fn is_present(&self) -> io::Result<bool> {
        let Some(file) = &self.open else {
            return Ok(false);
        };
        match fs::metadata(&self.path) {
            Ok(there) => {
                let ours = file.metadata()?;
                Ok(there.ino() == ours.ino() && there.dev() == ours.dev())
            }
            // It was just put aside.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_piece(&mut self) -> io::Result<Vec<u8>> {
        let Some(file) = &mut self.open else {
            return Ok(Vec::new());
        };
        if file.metadata()?.len() < self.position {
            // Somebody has emptied it.
            self.position = file.seek(SeekFrom::Start(0))?;
        }
        let mut piece = Vec::new();
        let n = file.take(PIECE as u64).read_to_end(&mut piece)?;
        self.position += n as u64;
        Ok(piece)
    }
}

/// Returns the last lines of a log up to a position in its present file, older files included.
fn last_lines(path: &Path, position: u64, n: usize) -> io::Result<Vec<u8>> {
    let mut lines: VecDeque<Vec<u8>> = VecDeque::new();
    for age in 0..KEPT {
        if lines.len() >= n {
            break;
        }
        let mut text = Vec::new();
        match File::open(aside(path, age)) {
            Ok(file) => {
                let limit = if age == 0 { position } else { u64::MAX };
                file.take(limit).read_to_end(&mut text)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        }
        let found: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for line in found.into_iter().rev().take(n - lines.len()) {
            lines.push_front(line.to_vec());
        }
    }
    Ok(lines.into_iter().flatten().collect())
}

/// Leaves out what would move the cursor or change colours: words of strangers are in logs.
fn plain(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn more(follower: &mut Follower) -> String {
        let mut all = Vec::new();
        // Twice empty: once at the end of a file that was put aside, once at the end of the next.
        for _ in 0..4 {
            all.extend(follower.read_more().unwrap());
        }
        plain(&all)
    }

    #[test]
    fn follower_goes_on_over_files_that_are_put_aside_or_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tieline.log");
        let mut follower = Follower::new(path.clone());
        assert!(!follower.skip_to_end().unwrap());
        assert_eq!(more(&mut follower), "");
        append(&path, "one\n");
        assert_eq!(more(&mut follower), "one\n");
        append(&path, "two\n");
        fs::rename(&path, aside(&path, 1)).unwrap();
        append(&path, "three\n");
        assert_eq!(more(&mut follower), "two\nthree\n");
        fs::write(&path, "").unwrap();
        assert_eq!(more(&mut follower), "");
        append(&path, "four\n");
        assert_eq!(more(&mut follower), "four\n");
    }

    #[test]
    fn last_lines_reach_back_into_older_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tieline.log");
        append(&aside(&path, 2), "a\nb\n");
        append(&aside(&path, 1), "c\n");
        append(&path, "d\ne\nhalf");
        let last = |n| plain(&last_lines(&path, u64::MAX, n).unwrap());
        assert_eq!(last(0), "");
        assert_eq!(last(2), "e\nhalf");
        assert_eq!(last(5), "b\nc\nd\ne\nhalf");
        assert_eq!(last(100), "a\nb\nc\nd\ne\nhalf");
        // What came after the position is for the follower.
        assert_eq!(plain(&last_lines(&path, 4, 2).unwrap()), "d\ne\n");
    }

    #[test]
    fn words_of_strangers_move_no_cursor() {
        assert_eq!(plain(b"a\x1b[2Jb\tc\r\n\xff"), "a[2Jb\tc\n\u{fffd}");
    }
}
