//! `tieline.toml`, read and checked.
//!
//! Reading has two layers. The raw one (`document`) is the TOML tree with the place of every
//! value; the readers of each section turn it into a [`Config`], which holds only what can be
//! used: names are safe in file names, paths are absolute, every channel that is named exists.
//! All mistakes of a file are found in one pass and shown together, as a [`Report`].
//!
//! **Invariant**: nothing here connects, writes, or resolves a secret.

mod access;
pub(crate) mod address;
mod channel;
pub(crate) mod choice;
mod codex;
mod daemon;
pub(crate) mod defaults;
mod discover;
mod dispatcher;
mod document;
mod feishu;
pub(crate) mod id;
mod language;
mod problem;
mod profile;
mod secret;
mod slack;
pub(crate) mod socket_path;
#[cfg(test)]
mod tests;
mod value;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tieline_channel::ChannelId;
use toml::de::DeTable;

pub use crate::config::access::{Access, Direct, Groups, Role};
use crate::config::channel::Declared;
pub use crate::config::channel::{ChannelConfig, ConsoleConfig};
pub use crate::config::codex::{CodexConfig, Transport};
pub use crate::config::daemon::{DaemonConfig, LogFile};
pub use crate::config::discover::{Looked, NotFound, Surroundings, discover};
pub use crate::config::dispatcher::{
    Approvals, DispatcherConfig, OnBusy, OnInterrupted, OnLostThread, Prompts, Reply,
    RestartConfig, RunsConfig, Sandbox, Sessions, TeammatesConfig,
};
use crate::config::document::{Reading, Table, Value};
pub use crate::config::feishu::FeishuConfig;
pub use crate::config::language::Languages;
pub use crate::config::problem::{Problem, Report, Severity};
pub use crate::config::profile::{
    HomeConfig, Preset, ProfileConfig, ProviderConfig, StorageConfig,
};
pub use crate::config::secret::{Secret, SecretError, SecretSource};
pub use crate::config::slack::SlackConfig;
use crate::id::DispatcherId;

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A configuration that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it comes from, an absolute path.
    pub path: PathBuf,
    /// The daemon itself.
    pub daemon: DaemonConfig,
    /// The channels by name. One that no dispatcher has is not connected.
    pub channels: BTreeMap<ChannelId, ChannelConfig>,
    /// The profiles by name.
    pub profiles: BTreeMap<String, ProfileConfig>,
    /// The dispatchers by name; at least one.
    pub dispatchers: BTreeMap<DispatcherId, DispatcherConfig>,
}

/// A configuration, and what is doubtful about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings only.
    pub warnings: Report,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has mistakes.
    #[error("{0}")]
    Invalid(Report),
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or has mistakes: all of them.
    pub fn load(path: &Path) -> Result<Loaded, LoadError> {
        let bytes = read_bounded(path).map_err(|source| LoadError::Read {
            path: path.to_owned(),
            source,
        })?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                let problem = Problem::error(at..at + 1, "this is not UTF-8 text");
                let hidden = hide_quoted(&text);
                let report = Report::new(path, &text, vec![problem], hidden);
                return Err(LoadError::Invalid(report));
            }
        };
        Self::parse(&text, path, std::env::home_dir().as_deref()).map_err(LoadError::Invalid)
    }

    /// Checks `text`, the content of the file at `path`, for a user whose home directory is
    /// `home`. Looks at the directories and text files that it names.
    ///
    /// # Errors
    ///
    /// When it has mistakes: all of them.
    pub fn parse(text: &str, path: &Path, home: Option<&Path>) -> Result<Loaded, Report> {
        read_document(text, path, home).0
    }

    /// Returns the socket of the control API.
    pub fn control_socket(&self) -> PathBuf {
        self.daemon.state_dir.join("control.sock")
    }

    /// Returns the file that the daemon logs to, if it does.
    pub fn log_file(&self) -> Option<PathBuf> {
        match &self.daemon.log_file {
            LogFile::Standard => Some(self.daemon.state_dir.join("logs/tieline.log")),
            LogFile::At(path) => Some(path.clone()),
            LogFile::None => None,
        }
    }

    /// Returns the socket of a console channel: the configured one, or
    /// `<state_dir>/console-<id>.sock`. `None` when there is no such console.
    pub fn console_socket(&self, id: &ChannelId) -> Option<PathBuf> {
        let ChannelConfig::Console(console) = self.channels.get(id)? else {
            return None;
        };
        Some(
            console
                .socket
                .clone()
                .unwrap_or_else(|| default_console_socket(&self.daemon.state_dir, id)),
        )
    }

    /// Returns what the people of each channel are spoken to in.
    pub fn languages(&self) -> Languages {
        let language =
            |(id, channel): (&ChannelId, &ChannelConfig)| (id.clone(), channel.language());
        self.channels.iter().map(language).collect()
    }

    /// Returns the profile of a dispatcher, with its name.
    pub fn profile_of(&self, dispatcher: &DispatcherConfig) -> Option<(&str, &ProfileConfig)> {
        let (name, profile) = self.profiles.get_key_value(dispatcher.profile.as_ref()?)?;
        Some((name, profile))
    }

    /// Returns the dispatcher that a channel belongs to.
    pub fn dispatcher_of(&self, channel: &ChannelId) -> Option<&DispatcherId> {
        self.dispatchers
            .iter()
            .find(|(_, dispatcher)| dispatcher.channels.contains(channel))
            .map(|(id, _)| id)
    }
}

fn default_console_socket(state_dir: &Path, id: &ChannelId) -> PathBuf {
    state_dir.join(format!("console-{id}.sock"))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Checks a document; also returns every key that was asked for.
fn read_document(
    text: &str,
    path: &Path,
    home: Option<&Path>,
) -> (Result<Loaded, Report>, BTreeSet<String>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = errors
            .iter()
            .map(|error| syntax_error(error, text))
            .collect();
        let report = Report::new(path, text, problems, hide_quoted(text));
        return (Err(report), BTreeSet::new());
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let directory = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let reading = Reading::new(directory, home.map(Path::to_owned));
    let mut root = Table::root(&reading, document.get_ref());
    let daemon = DaemonConfig::read(root.get("daemon"), &reading);
    let codex = CodexConfig::read(root.get("codex"), &CodexConfig::default_in(&reading));
    let channels = Declared::read(root.get("channels"));
    check_apps(&reading, &channels);
    let (profiles, profile_names) = profile::read_all(root.get("profiles"));
    let dispatchers = root.get("dispatchers");
    root.finish();
    let is_empty = |value: &Value<'_>| value.raw().as_table().is_some_and(|table| table.is_empty());
    if dispatchers.as_ref().is_none_or(is_empty) {
        reading.note(
            Problem::error(0..0, "the file has no dispatcher")
                .hint("a dispatcher is [dispatchers.NAME] with `workspace` and `channels`"),
        );
    }
    let dispatchers = dispatcher::read_all(dispatchers, &channels, &profile_names, &codex);
    for id in channels.channels.keys() {
        check_default_socket(&reading, &daemon, &channels, id);
    }
    let failed = reading.failed();
    let (problems, hidden, asked) = reading.finish();
    let report = Report::new(path, text, problems, hidden);
    if failed {
        return (Err(report), asked);
    }
    let loaded = Loaded {
        config: Config {
            path: absolute,
            daemon,
            channels: channels.channels,
            profiles,
            dispatchers,
        },
        warnings: report,
    };
    (Ok(loaded), asked)
}

/// Feishu gives each message to one connection of an app, whichever: an app is one channel.
fn check_apps(reading: &Reading, declared: &Declared) {
    let mut apps = BTreeMap::new();
    for (id, channel) in &declared.channels {
        let ChannelConfig::Feishu(feishu) = channel else {
            continue;
        };
        let app = (&feishu.app_id, feishu.base_url.as_str());
        if let Some(other) = apps.insert(app, id)
            && let Some(span) = declared.spans.get(id)
        {
            let message = format!(
                "channel `{other}` is the app {} already, and each would get a part of the messages",
                feishu.app_id
            );
            reading.note(
                Problem::error(span.clone(), message)
                    .hint("remove one of the two, or make another app for it"),
            );
        }
    }
}

fn check_default_socket(
    reading: &Reading,
    daemon: &DaemonConfig,
    declared: &Declared,
    id: &ChannelId,
) {
    let (Some(ChannelConfig::Console(console)), Some(span)) =
        (declared.channels.get(id), declared.spans.get(id))
    else {
        return;
    };
    // A state directory that is too long in itself is reported where it stands.
    if console.socket.is_some()
        || socket_path::objection(&daemon.state_dir.join("control.sock")).is_some()
    {
        return;
    }
    let path = default_console_socket(&daemon.state_dir, id);
    if let Some(message) = socket_path::objection(&path) {
        reading.note(
            Problem::error(span.clone(), message)
                .hint("give the channel a `socket`, or a shorter name"),
        );
    }
}

fn syntax_error(error: &toml::de::Error, text: &str) -> Problem {
    let span = error.span().unwrap_or(text.len()..text.len());
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    Problem::error(span, message)
}

/// Finds what follows each `=`: in a file that does not parse nobody knows what is a secret.
fn hide_quoted(text: &str) -> Vec<std::ops::Range<usize>> {
    let telling = ["token", "secret", "password", "key"];
    let mut start = 0;
    let mut hidden = Vec::new();
    for line in text.split_inclusive('\n') {
        let lower = line.to_lowercase();
        if let Some(equals) = line.find('=')
            && telling.iter().any(|word| lower.contains(word))
        {
            hidden.push(start + equals + 1..start + line.len());
        }
        start += line.len();
    }
    hidden
}
