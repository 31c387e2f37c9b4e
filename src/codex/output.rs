//! What a child prints: always read, kept in rotated files, the last lines at hand for errors.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::redact::redactor;

/// The size at which a log file is put aside.
const ROTATE_AT: u64 = 5 << 20;
/// How many are kept, the present one included.
const KEPT: u32 = 3;
/// How many lines errors quote.
const TAIL_LINES: usize = 20;
/// The longest piece of output that is taken for one line.
const LINE_LIMIT: usize = 64 << 10;
/// The longest line that is quoted, in characters.
const PREVIEW: usize = 160;

/// The last lines a child printed; shared with who reads them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

/// A log file that is put aside when it is large.
pub(super) struct LogFile {
    path: PathBuf,
    rotate_at: u64,
    file: Option<(File, u64)>,
    has_failed: bool,
}

impl Tail {
    /// Returns the lines, oldest first, each cut to 160 characters.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn push(&self, line: &str) {
        let mut lines = self.lock();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(preview(line));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogFile {
    /// Names `<log_dir>/<owner>.<stream>.log`; what no file name should hold becomes `_`. Nothing is
    /// made before the first line.
    pub(super) fn new(log_dir: &Path, owner: &str, stream: &str) -> Self {
        Self {
            path: log_path(log_dir, owner, stream),
            rotate_at: ROTATE_AT,
            file: None,
            has_failed: false,
        }
    }

    /// Appends a line. A log that cannot be written must not stop the child: it is reported once.
    async fn append(&mut self, line: &str) {
        if let Err(error) = self.try_append(line).await {
            self.file = None;
            if !self.has_failed {
                self.has_failed = true;
                tracing::warn!(path = %self.path.display(), %error, "cannot write codex's log");
            }
        }
    }

    async fn try_append(&mut self, line: &str) -> io::Result<()> {
        let (mut file, mut size) = match self.file.take() {
            Some((file, size)) if size < self.rotate_at => (file, size),
            Some((full, _)) => {
                drop(full);
                self.put_aside().await?;
                self.open().await?
            }
            None => self.open().await?,
        };
        let text = format!("{line}\n");
        file.write_all(text.as_bytes()).await?;
        file.flush().await?;
        size += text.len() as u64;
        self.file = Some((file, size));
        Ok(())
    }

    async fn open(&self) -> io::Result<(File, u64)> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).await?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .await?;
        let size = file.metadata().await?.len();
        Ok((file, size))
    }

    async fn put_aside(&self) -> io::Result<()> {
        for age in (1..KEPT).rev() {
            let younger = match age {
                1 => self.path.clone(),
                _ => self.aside(age - 1),
            };
            match fs::rename(&younger, self.aside(age)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn aside(&self, age: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }
}

/// Returns where what a child prints to standard error is kept; what was put aside lies beside it, as
/// `NAME.1` and so on, the youngest first.
pub fn error_log(log_dir: &Path, owner: &str) -> PathBuf {
    log_path(log_dir, owner, "stderr")
}

fn log_path(log_dir: &Path, owner: &str, stream: &str) -> PathBuf {
    let is_safe = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let owner: String = owner
        .chars()
        .map(|c| if is_safe(&c) { c } else { '_' })
        .collect();
    log_dir.join(format!("{owner}.{stream}.log"))
}

/// Reads to the end, whatever comes.
pub(super) async fn drain(mut reader: impl AsyncRead + Unpin, mut log: LogFile, tail: Tail) {
    let mut buffer = vec![0; 8 << 10];
    let mut line: Vec<u8> = Vec::new();
    loop {
        let count = match reader.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        for byte in &buffer[..count] {
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= LINE_LIMIT {
                keep(&mut line, &mut log, &tail).await;
            }
        }
    }
    keep(&mut line, &mut log, &tail).await;
}

async fn keep(line: &mut Vec<u8>, log: &mut LogFile, tail: &Tail) {
    let text = without_ansi(&String::from_utf8_lossy(line));
    line.clear();
    let text = redactor().redact(text.trim_end());
    if !text.is_empty() {
        tail.push(&text);
        log.append(&text).await;
    }
}

/// Takes out the escape sequences that colour a terminal, and other control characters.
fn without_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                // Parameters, then one letter.
                for c in chars.by_ref() {
                    if ('@'..='~').contains(&c) {
                        break;
                    }
                }
            }
            '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// Cuts a line to what may be quoted.
fn preview(line: &str) -> String {
    match line.char_indices().nth(PREVIEW) {
        Some(_) => line.chars().take(PREVIEW - 1).chain(['…']).collect(),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(dir: &Path) -> LogFile {
        LogFile::new(dir, "flow", "stderr")
    }

    #[tokio::test]
    async fn a_long_coloured_line_is_logged_whole_and_quoted_short() {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::default();
        let long = "x".repeat(1_000);
        let input = format!("\u{1b}[2m12:00\u{1b}[0m \u{1b}[33mWARN\u{1b}[0m {long}\nlast");
        drain(input.as_bytes(), log_in(dir.path()), tail.clone()).await;
        let log = std::fs::read_to_string(dir.path().join("flow.stderr.log")).unwrap();
        assert_eq!(log, format!("12:00 WARN {long}\nlast\n"));
        let lines = tail.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].chars().count(), PREVIEW);
        assert_eq!(lines[1], "last");
    }

    #[test]
    fn an_owner_cannot_lead_out_of_the_directory() {
        let log = LogFile::new(Path::new("/log"), "../../etc/x", "stderr");
        assert_eq!(log.path, Path::new("/log/______etc_x.stderr.log"));
    }

    #[tokio::test]
    async fn only_the_last_lines_are_at_hand() {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::default();
        let input: String = (0..100).map(|number| format!("{number}\n")).collect();
        drain(input.as_bytes(), log_in(dir.path()), tail.clone()).await;
        let expected: Vec<String> = (80..100).map(|number| number.to_string()).collect();
        assert_eq!(tail.lines(), expected);
    }

    #[tokio::test]
    async fn three_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log_in(dir.path());
        log.rotate_at = 100;
        let input: String = (0..1_000).map(|number| format!("{number:04}\n")).collect();
        drain(input.as_bytes(), log, Tail::default()).await;
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["flow.stderr.log", "flow.stderr.log.1", "flow.stderr.log.2"]
        );
        let newest = std::fs::read_to_string(dir.path().join("flow.stderr.log")).unwrap();
        assert!(newest.ends_with("0999\n"));
    }

    #[tokio::test]
    async fn output_is_read_although_it_cannot_be_logged() {
        let tail = Tail::default();
        let log = log_in(Path::new("/dev/null"));
        drain(&b"a\nb\n"[..], log, tail.clone()).await;
        assert_eq!(tail.lines(), ["a", "b"]);
    }
}
