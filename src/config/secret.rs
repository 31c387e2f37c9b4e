//! Secrets: where they come from, and a wrapper that never shows them.
//!
//! The configuration names a secret's source, never the secret itself, so that a configuration
//! can be shown, kept in version control and pasted into a bug report.

mod permission;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::string::FromUtf8Error;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;
use toml::de::DeValue;

use crate::config::document::Value;
use crate::redact::{Fitness, MARK, MIN_CHARS, Redactor, redactor};

/// How long a command may take to print a secret: long enough for a person to unlock a keyring.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// The greatest size of a secret, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// A text that is never shown: `Debug` and `Display` write `[secret]`, and memory is wiped when it
/// is dropped. What was fetched is known to the [`redactor`] as well, which keeps it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Has every way out blank it from now on. Returns how well that works.
    pub fn hide(&self) -> Fitness {
        redactor().learn(self.expose())
    }

    /// Returns the text itself, for the one call that sends it to whom it is meant for.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Takes over what a platform has handed out.
    pub fn from_secrecy(secret: &SecretString) -> Self {
        let secret = Self(secret.clone());
        secret.hide();
        secret
    }

    /// Returns a copy for a channel, which is as shy.
    pub fn to_secrecy(&self) -> SecretString {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// `{ env = "NAME" }`: a variable of the daemon's environment.
    Env(String),
    /// `{ file = "path" }`: the content of a file.
    File(PathBuf),
    /// `{ command = ["program", "argument", …] }`: what a program prints.
    Command(Vec<String>),
}

impl SecretSource {
    /// Reads `{ env = "NAME" }`, `{ file = "path" }` or `{ command = ["program", …] }`.
    pub(crate) fn read(value: Value<'_>) -> Option<Self> {
        const EXPECTED: &str = "the source of a secret: { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\"] }";
        // Somebody may have written the secret itself here.
        let value = value.secret();
        let DeValue::Table(_) = value.raw() else {
            value.reading().note(
                value
                    .mistake(EXPECTED)
                    .hint("a secret is never written into this file, which may be shown to others"),
            );
            return None;
        };
        let mut table = value.table(EXPECTED)?;
        let sources = (table.get("env"), table.get("file"), table.get("command"));
        table.finish();
        match sources {
            (Some(name), None, None) => name
                .text("the name of a variable")
                .map(|name| Self::Env(name.to_owned())),
            (None, Some(path), None) => path.path("the path of a file").map(Self::File),
            (None, None, Some(command)) => read_command(&command).map(Self::Command),
            _ => {
                value
                    .reading()
                    .note(value.mistake(EXPECTED).hint("give one of the three"));
                None
            }
        }
    }

    /// Fetches the secret. Line ends after it are dropped.
    ///
    /// # Errors
    ///
    /// When there is none, or none that can be used; the error names the source and never holds
    /// any of the secret.
    pub async fn resolve(&self) -> Result<Secret, SecretError> {
        self.resolve_in(|name| std::env::var_os(name)).await
    }

    async fn resolve_in(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Secret, SecretError> {
        let bytes = match self {
            Self::Env(name) => variable(name)
                .ok_or_else(|| SecretError::NotSet { name: name.clone() })?
                .into_encoded_bytes(),
            Self::File(path) => read_file(path).await?,
            Self::Command(command) => run(command).await?,
        };
        if bytes.len() > MAX_BYTES {
            return Err(SecretError::TooLong {
                source_of_it: self.clone(),
            });
        }
        let text = String::from_utf8(bytes).map_err(|error: FromUtf8Error| {
            // The error would carry the bytes along.
            drop(error);
            SecretError::NotText {
                source_of_it: self.clone(),
            }
        })?;
        let text = SecretString::from(text);
        match text.expose_secret().trim_end_matches(['\n', '\r']) {
            "" => Err(SecretError::Empty {
                source_of_it: self.clone(),
            }),
            trimmed => {
                let secret = Secret::new(trimmed);
                self.warn_of(secret.hide());
                Ok(secret)
            }
        }
    }
}

impl SecretSource {
    /// Says what does not become a secret, once for each time that it is fetched.
    fn warn_of(&self, fitness: Fitness) {
        let source = self;
        match fitness {
            Fitness::Fit => {}
            Fitness::TooShort => tracing::warn!(
                %source,
                "a secret has fewer than {MIN_CHARS} characters and is not blanked where it turns up; \
                 use a longer one"
            ),
            Fitness::Common => tracing::warn!(
                %source,
                "a secret looks like a common word, which is blanked now wherever it is written; use \
                 a random one"
            ),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            // Arguments may be telling.
            Self::Command(command) => {
                write!(f, "command {}", command.first().map_or("", String::as_str))
            }
        }
    }
}

/// Why a secret could not be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not there.
    #[error("secret unavailable: environment variable {name} is not set")]
    NotSet {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("secret unavailable: cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read the file.
    #[error(
        "secret unavailable: others on this machine can read {}; run `chmod 600 {}`, and replace the \
         secret if somebody may have", path.display(), path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// The command could not be run.
    #[error("secret unavailable: cannot run {program}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The command failed.
    #[error("secret unavailable: {program} failed ({status}){}", said(stderr))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last line it wrote to its standard error.
        stderr: String,
    },
    /// The command did not end in time.
    #[error("secret unavailable: {program} did not finish within {} s", after.as_secs())]
    Slow {
        /// The program.
        program: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// There is nothing in it.
    #[error("secret unavailable: {source_of_it} is empty")]
    Empty {
        /// Where it was looked for.
        source_of_it: SecretSource,
    },
    /// It is no text.
    #[error("secret unavailable: {source_of_it} is not UTF-8 text")]
    NotText {
        /// Where it was looked for.
        source_of_it: SecretSource,
    },
    /// It is too long to be a secret.
    #[error("secret unavailable: {source_of_it} gives more than {} KiB", MAX_BYTES / 1024)]
    TooLong {
        /// Where it was looked for.
        source_of_it: SecretSource,
    },
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!(": {stderr}")
    }
}

fn read_command(value: &Value<'_>) -> Option<Vec<String>> {
    const EXPECTED: &str = "a list of a program and its arguments";
    let items = value.list(EXPECTED)?;
    if items.is_empty() {
        value.reading().note(value.mistake(EXPECTED));
        return None;
    }
    items
        .iter()
        .map(|item| item.string("a string").map(str::to_owned))
        .collect()
}

async fn read_file(path: &PathBuf) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::File {
        path: path.clone(),
        source,
    };
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let file = file.into_std().await;
    if permission::is_open_to_others(&file, path).map_err(failed)? {
        return Err(SecretError::OpenToOthers { path: path.clone() });
    }
    let file = tokio::fs::File::from_std(file);
    read_bounded(file).await.map_err(failed)
}

async fn run(command: &[String]) -> Result<Vec<u8>, SecretError> {
    let (program, arguments) = command
        .split_first()
        .map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    let failed_to_run = |source| SecretError::Start {
        program: program.to_owned(),
        source,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed_to_run)?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let everything = async {
        let (stdout, stderr) =
            tokio::try_join!(read_bounded_if_any(stdout), read_bounded_if_any(stderr))?;
        // Whoever prints more than a secret can be is not waited for: its pipe is closed by now.
        Ok((stdout, stderr, child.wait().await?))
    };
    let (stdout, stderr, status) = timeout(COMMAND_DEADLINE, everything)
        .await
        .map_err(|_elapsed| SecretError::Slow {
            program: program.to_owned(),
            after: COMMAND_DEADLINE,
        })?
        .map_err(failed_to_run)?;
    if stdout.len() <= MAX_BYTES && !status.success() {
        // What it had printed by then is a secret, and it may say so on its standard error.
        let printed = String::from_utf8_lossy(&stdout);
        let printed = printed.trim();
        let aside = Redactor::default();
        aside.learn(printed);
        let stderr = redactor().redact_owned(String::from_utf8_lossy(&stderr).into_owned());
        let stderr = aside.redact_owned(stderr);
        let stderr = match printed {
            "" => stderr,
            printed => stderr.replace(printed, MARK),
        };
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
        return Err(SecretError::Failed {
            program: program.to_owned(),
            status,
            stderr: last.unwrap_or_default().chars().take(200).collect(),
        });
    }
    Ok(stdout)
}

async fn read_bounded_if_any(reader: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    match reader {
        Some(reader) => read_bounded(reader).await,
        None => Ok(Vec::new()),
    }
}

/// Reads at most one byte more than a secret can have.
async fn read_bounded(reader: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn nothing(_name: &str) -> Option<OsString> {
        None
    }

    fn command(script: &str) -> SecretSource {
        SecretSource::Command(vec!["sh".into(), "-c".into(), script.into()])
    }

    fn write(path: &Path, content: impl AsRef<[u8]>) {
        std::fs::write(path, content).unwrap();
        set_mode(path, 0o600);
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    async fn error_of(source: SecretSource) -> String {
        source.resolve_in(nothing).await.unwrap_err().to_string()
    }

    #[test]
    fn neither_debug_nor_display_shows_a_secret() {
        let secret = Secret::new("xoxb-1");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "[secret] [secret] Some([secret])"
        );
        assert_eq!(secret.expose(), "xoxb-1");
    }

    #[tokio::test]
    async fn variable_gives_its_value() {
        let source = SecretSource::Env("TOKEN".into());
        let secret = source
            .resolve_in(|name| (name == "TOKEN").then(|| "xoxb-1".into()))
            .await
            .unwrap();
        assert_eq!(secret.expose(), "xoxb-1");
    }

    #[tokio::test]
    async fn unset_variable_is_named() {
        assert_eq!(
            error_of(SecretSource::Env("TOKEN".into())).await,
            "secret unavailable: environment variable TOKEN is not set"
        );
    }

    #[tokio::test]
    async fn empty_variable_is_no_secret() {
        let error = SecretSource::Env("TOKEN".into())
            .resolve_in(|_| Some("".into()))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "secret unavailable: environment variable TOKEN is empty"
        );
    }

    #[tokio::test]
    async fn file_gives_its_content_without_the_last_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        write(&path, " xoxb-1\r\n");
        let secret = SecretSource::File(path).resolve().await.unwrap();
        assert_eq!(secret.expose(), " xoxb-1");
    }

    #[tokio::test]
    async fn missing_binary_and_overlong_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let shown = path.display();
        assert_eq!(
            error_of(SecretSource::File(path.clone())).await,
            format!("secret unavailable: cannot read {shown}")
        );
        write(&path, b"xoxb-\xff");
        assert_eq!(
            error_of(SecretSource::File(path.clone())).await,
            format!("secret unavailable: file {shown} is not UTF-8 text")
        );
        write(&path, "x".repeat(MAX_BYTES + 1));
        assert_eq!(
            error_of(SecretSource::File(path.clone())).await,
            format!("secret unavailable: file {shown} gives more than 64 KiB")
        );
    }

    #[tokio::test]
    async fn file_that_others_can_read_is_refused_also_behind_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (
            directory.path().join("token"),
            directory.path().join("link"),
        );
        write(&path, "xoxb-1");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let source = |path: &Path| SecretSource::File(path.to_owned());
        assert_eq!(source(&link).resolve().await.unwrap().expose(), "xoxb-1");
        for mode in [0o640, 0o604, 0o644] {
            set_mode(&path, mode);
            for path in [&path, &link] {
                let error = error_of(source(path)).await;
                let shown = path.display();
                assert_eq!(
                    error,
                    format!(
                        "secret unavailable: others on this machine can read {shown}; run `chmod 600 \
                         {shown}`, and replace the secret if somebody may have"
                    )
                );
            }
        }
    }

    #[tokio::test]
    async fn what_a_failing_command_had_printed_is_not_in_what_it_says() {
        for (secret, shown) in [("xoxb-1", "[secret]"), ("\"hunter2/hunter2\"", "[secret]")] {
            let script = format!("echo '{secret}'; echo 'got {secret}, then lost it' >&2; exit 3");
            assert_eq!(
                error_of(command(&script)).await,
                format!(
                    "secret unavailable: sh failed (exit status: 3): got {shown}, then lost it"
                )
            );
        }
        let script = "echo 'hunter2+hunter2'; echo 'GET /?token=hunter2%2Bhunter2' >&2; exit 3";
        assert_eq!(
            error_of(command(script)).await,
            "secret unavailable: sh failed (exit status: 3): GET /?token=[secret]"
        );
    }

    #[tokio::test]
    async fn what_was_fetched_is_known_to_every_way_out() {
        let secret = command("echo fetched-for-every-way-out")
            .resolve()
            .await
            .unwrap();
        assert_eq!(redactor().redact(secret.expose()), MARK);
    }

    #[tokio::test]
    async fn command_gives_what_it_prints() {
        let secret = command("echo xoxb-1").resolve().await.unwrap();
        assert_eq!(secret.expose(), "xoxb-1");
    }

    #[tokio::test]
    async fn failing_command_says_its_last_words_and_not_its_output() {
        assert_eq!(
            error_of(command("echo xoxb-1; echo locked >&2; exit 3")).await,
            "secret unavailable: sh failed (exit status: 3): locked"
        );
    }

    #[tokio::test]
    async fn command_that_is_not_there_is_named() {
        let source = SecretSource::Command(vec!["/nonexistent/vault".into()]);
        assert_eq!(
            error_of(source).await,
            "secret unavailable: cannot run /nonexistent/vault"
        );
    }

    #[tokio::test]
    async fn command_that_prints_for_ever_is_stopped() {
        assert_eq!(
            error_of(command("while :; do echo xoxb-1; done")).await,
            "secret unavailable: command sh gives more than 64 KiB"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn command_that_hangs_is_given_up() {
        assert_eq!(
            error_of(command("exec sleep 600")).await,
            "secret unavailable: sh did not finish within 60 s"
        );
    }
}
