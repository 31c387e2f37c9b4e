//! Tokens and secrets: asked for at the terminal, kept in files that only their owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tieline_console::client::stdin;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::failure::{Exit, Failure, usage};
use crate::config::Secret;

/// The longest line that is taken for a token, in bytes.
const MAX_LINE: u64 = 4096;

/// The tokens of a Slack app.
pub(super) struct Tokens {
    /// `xapp-…`
    pub(super) app: Secret,
    /// `xoxb-…`
    pub(super) bot: Secret,
}

impl Tokens {
    /// Reads both from standard input, a line each.
    pub(super) async fn read() -> Result<Self, Failure> {
        let asked = Asked {
            intro: "Paste the two tokens; they are not shown.\n",
            questions: [
                "App-level token, xapp-… (Basic Information → App-Level Tokens): ",
                "Bot token, xoxb-… (OAuth & Permissions → Bot User OAuth Token): ",
            ],
            nothing: "no token was given; nothing was changed",
            hint: "standard input has two lines: the app-level token, then the bot token",
        };
        let [app, bot] = asked.read().await?;
        Ok(Self::sort_out(app, bot))
    }

    /// Takes tokens that were given the other way round as they are meant.
    fn sort_out(app: Secret, bot: Secret) -> Self {
        if app.expose().starts_with("xoxb-") && bot.expose().starts_with("xapp-") {
            return Self { app: bot, bot: app };
        }
        Self { app, bot }
    }
}

/// What is asked for on standard input.
pub(super) struct Asked<const N: usize> {
    /// What is said first, at a terminal.
    pub(super) intro: &'static str,
    /// What is said before each line, at a terminal.
    pub(super) questions: [&'static str; N],
    /// What is wrong when a line is empty.
    pub(super) nothing: &'static str,
    /// What standard input must have.
    pub(super) hint: &'static str,
}

impl<const N: usize> Asked<N> {
    /// Reads a line for each question from standard input. At a terminal they are asked for, and
    /// not shown while they are pasted.
    pub(super) async fn read(self) -> Result<[Secret; N], Failure> {
        let at_terminal = io::stdin().is_terminal();
        // Before the terminal is changed, so that an interruption does not leave it so.
        let mut interrupt = signal(SignalKind::interrupt())
            .context("cannot listen for signals")
            .map_err(|error| Failure::new(Exit::Internal, error))?;
        let hidden = at_terminal.then(Hidden::begin).flatten();
        let input = stdin()
            .context("cannot read standard input")
            .map_err(io_failure)?;
        let mut input = BufReader::new(input);
        say_if(at_terminal, self.intro);
        let mut answers = Vec::with_capacity(N);
        for question in self.questions {
            say_if(at_terminal, question);
            let line = tokio::select! {
                line = read_line(&mut input) => line?,
                _ = interrupt.recv() => {
                    let given_up = anyhow!("given up; nothing was changed");
                    return Err(Failure::new(Exit::Signal(2), given_up));
                }
            };
            say_if(at_terminal, "\n");
            answers.extend(line);
        }
        drop(hidden);
        // An empty line is none.
        <[Secret; N]>::try_from(answers).map_err(|_few| usage(self.nothing).hint(self.hint))
    }
}

/// Sees to it that a token can be kept in a file: makes its directory.
pub(super) fn prepare(path: &Path) -> Result<(), Failure> {
    make_directory(path)
        .map(drop)
        .with_context(|| format!("cannot keep a token in {}", path.display()))
        .map_err(io_failure)
}

/// Keeps a token in a file with mode 0600, which is replaced at once or not at all.
pub(super) fn store(path: &Path, token: &Secret) -> Result<(), Failure> {
    write_private(path, token)
        .with_context(|| format!("cannot keep a token in {}", path.display()))
        .map_err(io_failure)
}

fn make_directory(path: &Path) -> io::Result<&Path> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    Ok(directory)
}

fn write_private(path: &Path, token: &Secret) -> io::Result<()> {
    let directory = make_directory(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = directory.join(name);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(token.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // What is half written is of no use; it may not be there at all.
        drop(fs::remove_file(&new));
    }
    written
}

/// Reads a line; `None` when it is empty.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Secret>, Failure> {
    let mut line = String::new();
    input
        .take(MAX_LINE)
        .read_line(&mut line)
        .await
        .context("cannot read standard input")
        .map_err(io_failure)?;
    let line = line.trim();
    Ok((!line.is_empty()).then(|| Secret::new(line)))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        tcsetattr(io::stdin(), OptionalActions::Now, &self.0).ok();
    }
}

fn say_if(wanted: bool, text: &str) {
    if wanted {
        say(text);
    }
}

pub(super) fn say(text: &str) {
    // Nobody is left to be asked when standard error is closed.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

fn io_failure(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Io, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn token_is_for_its_owner_alone_and_replaces_an_earlier_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets/team-app-token");
        store(&path, &Secret::new("xapp-1")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        store(&path, &Secret::new("xapp-2")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "xapp-2\n");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn tokens_in_the_other_order_are_taken_as_meant() {
        let tokens = Tokens::sort_out(Secret::new("xoxb-1"), Secret::new("xapp-1"));
        assert_eq!(
            (tokens.app.expose(), tokens.bot.expose()),
            ("xapp-1", "xoxb-1")
        );
        let tokens = Tokens::sort_out(Secret::new("a"), Secret::new("xapp-1"));
        assert_eq!((tokens.app.expose(), tokens.bot.expose()), ("a", "xapp-1"));
    }

    #[tokio::test]
    async fn lines_are_trimmed_and_an_empty_one_is_none() {
        let mut input = BufReader::new(&b"  xapp-1 \r\nxoxb-1"[..]);
        let mut read = async || {
            let line = read_line(&mut input).await.unwrap();
            line.map(|line| line.expose().to_owned())
        };
        assert_eq!(read().await.as_deref(), Some("xapp-1"));
        assert_eq!(read().await.as_deref(), Some("xoxb-1"));
        assert_eq!(read().await, None);
    }
}
