//! `[daemon]`: the daemon itself.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::config::defaults;
use crate::config::document::{Reading, Value};
use crate::config::problem::Problem;
use crate::config::socket_path;
use crate::config::words::suggest;

/// The configuration of the daemon itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Where the ledger, logs and sockets are: an absolute path. It need not exist.
    pub state_dir: PathBuf,
    /// What is logged, as `tracing_subscriber::EnvFilter` reads it.
    pub log: String,
    /// Where the log also goes.
    pub log_file: LogFile,
}

/// Where the daemon's log goes beside standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFile {
    /// To `logs/tieline.log` in the state directory.
    #[default]
    Standard,
    /// To a file of this absolute path.
    At(PathBuf),
    /// Nowhere.
    None,
}

impl DaemonConfig {
    /// Reads the table, or takes the defaults.
    pub(crate) fn read(value: Option<Value<'_>>, reading: &Reading) -> Self {
        let default = reading.resolve(defaults::STATE_DIR);
        let home_is_known = default.is_some();
        let mut config = Self {
            state_dir: default.unwrap_or_default(),
            log: defaults::LOG.to_owned(),
            log_file: LogFile::default(),
        };
        let table = value.and_then(|value| value.table("a table of settings of the daemon"));
        let mut state_dir_is_given = false;
        if let Some(mut table) = table {
            if let Some(value) = table.get("state_dir") {
                state_dir_is_given = true;
                if let Some(path) = value.path("the path of a directory") {
                    check_state_dir(&value, &path);
                    config.state_dir = path;
                }
            }
            if let Some(log) = table.get("log").and_then(|value| read_log(&value)) {
                config.log = log;
            }
            if let Some(file) = table
                .get("log_file")
                .and_then(|value| read_log_file(&value))
            {
                config.log_file = file;
            }
            table.finish();
        }
        if !state_dir_is_given && !home_is_known {
            reading.note(
                Problem::error(
                    0..0,
                    format!(
                        "the state directory would be {}, but the home directory is not known",
                        defaults::STATE_DIR
                    ),
                )
                .hint("set $HOME, or `state_dir` in [daemon]"),
            );
        }
        config
    }
}

fn check_state_dir(value: &Value<'_>, path: &Path) {
    if path.exists() && !path.is_dir() {
        let message = format!("{} is not a directory", path.display());
        value.reading().note(value.objection(&message));
    }
    socket_path::check(value, &path.join("control.sock"));
}

fn read_log_file(value: &Value<'_>) -> Option<LogFile> {
    const EXPECTED: &str = "true, false, or the path of a file";
    match value.raw() {
        DeValue::Boolean(true) => Some(LogFile::Standard),
        DeValue::Boolean(false) => Some(LogFile::None),
        _ => value.path(EXPECTED).map(LogFile::At),
    }
}

fn read_log(value: &Value<'_>) -> Option<String> {
    const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];
    const EXPECTED: &str = "a level, or levels by module";
    let text = value.text(EXPECTED)?;
    // `EnvFilter` takes a lone word that is no level for the name of a module: a typing mistake
    // would silence everything else.
    for directive in text.split(',').map(str::trim) {
        if directive.contains(['=', '[', ':']) || directive.is_empty() {
            continue;
        }
        if !LEVELS.contains(&directive.to_lowercase().as_str()) {
            value.reading().note(
                value
                    .objection(&format!("{directive:?} is not a level"))
                    .hint(suggest(directive, LEVELS, "levels"))
                    .hint("by module: \"info,tieline::codex=debug\""),
            );
            return None;
        }
    }
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(text) {
        value.reading().note(
            value
                .objection(&format!("{text:?} is not understood: {error}"))
                .hint("by module: \"info,tieline::codex=debug\""),
        );
        return None;
    }
    Some(text.to_owned())
}
