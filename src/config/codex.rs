//! `[codex]`: the program that is run and how it is reached.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::defaults;
use crate::config::document::{Reading, Table, Value};

/// How a dispatcher's app-server is run and reached: `[codex]`, with the keys of
/// `[dispatchers.NAME.codex]` in place of the same ones there.
///
/// `Debug` leaves out the values of [`config`](Self::config) and [`env`](Self::env), which may
/// hold what must stay secret.
#[derive(Clone, PartialEq, Eq)]
pub struct CodexConfig {
    /// The program: a bare name is looked up on `PATH`, anything else is an absolute path.
    pub bin: PathBuf,
    /// `CODEX_HOME`, an absolute path. It need not exist.
    pub home: PathBuf,
    /// What is passed on as `-c key=value`.
    pub config: Vec<String>,
    /// How the app-server is reached.
    pub transport: Transport,
    /// What is added to the app-server's otherwise minimal environment.
    pub env: BTreeMap<String, String>,
}

/// How an app-server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A child of ours, on a Unix socket that is new at each start.
    Unix,
    /// A child of ours, on its standard input and output.
    Stdio,
    /// One that somebody else runs: `ws://host:port` or `unix:///path`.
    Endpoint(String),
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unix => "unix",
            Self::Stdio => "stdio",
            Self::Endpoint(endpoint) => endpoint,
        })
    }
}

impl fmt::Debug for CodexConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self
            .config
            .iter()
            .map(|setting| setting.split('=').next().unwrap_or_default())
            .collect();
        f.debug_struct("CodexConfig")
            .field("bin", &self.bin)
            .field("home", &self.home)
            .field("config", &keys)
            .field("transport", &self.transport)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl CodexConfig {
    /// Returns what holds when the file says nothing. Without a home directory the paths below it
    /// are as written.
    pub(crate) fn default_in(reading: &Reading) -> Self {
        Self {
            bin: PathBuf::from(defaults::CODEX_BIN),
            home: reading
                .resolve(defaults::CODEX_HOME)
                .unwrap_or_else(|| PathBuf::from(defaults::CODEX_HOME)),
            config: Vec::new(),
            transport: defaults::CODEX_TRANSPORT,
            env: BTreeMap::new(),
        }
    }

    /// Reads a table whose keys replace those of `base`, each as a whole.
    pub(crate) fn read(value: Option<Value<'_>>, base: &Self) -> Self {
        let Some(mut table) = value.and_then(|value| value.table("a table of codex settings"))
        else {
            return base.clone();
        };
        let config = Self {
            bin: read_bin(&mut table).unwrap_or_else(|| base.bin.clone()),
            home: table
                .get("home")
                .and_then(|value| value.path("a directory such as \"~/.codex\""))
                .unwrap_or_else(|| base.home.clone()),
            config: read_config(&mut table).unwrap_or_else(|| base.config.clone()),
            transport: read_transport(&mut table).unwrap_or_else(|| base.transport.clone()),
            env: read_env(&mut table).unwrap_or_else(|| base.env.clone()),
        };
        table.finish();
        config
    }
}

fn read_bin(table: &mut Table<'_>) -> Option<PathBuf> {
    const EXPECTED: &str = "a program name or a path";
    let value = table.get("bin")?;
    let text = value.text(EXPECTED)?;
    if text.contains('/') || text == "~" {
        value.path(EXPECTED)
    } else {
        Some(PathBuf::from(text))
    }
}

fn read_config(table: &mut Table<'_>) -> Option<Vec<String>> {
    const EXPECTED: &str = "\"key=value\"";
    let value = table.get("config")?.secret();
    let items = value.list("a list of \"key=value\"")?;
    Some(
        items
            .iter()
            .filter_map(|item| {
                let text = item.text(EXPECTED)?;
                if matches!(text.split_once('='), Some((key, _)) if !key.trim().is_empty()) {
                    return Some(text.to_owned());
                }
                item.reading().note(item.mistake(EXPECTED));
                None
            })
            .collect(),
    )
}

fn read_transport(table: &mut Table<'_>) -> Option<Transport> {
    const EXPECTED: &str = "\"unix\", \"stdio\", or an endpoint \"ws://…\" or \"unix:///…\"";
    let value = table.get("transport")?;
    match value.text(EXPECTED)? {
        "unix" => Some(Transport::Unix),
        "stdio" => Some(Transport::Stdio),
        endpoint if is_endpoint(endpoint) => Some(Transport::Endpoint(endpoint.to_owned())),
        other => {
            let mut problem = value.mistake(EXPECTED);
            if other.starts_with("unix://") {
                problem =
                    problem.hint("the path after unix:// is absolute: unix:///run/codex.sock");
            } else if other.starts_with("wss://") || other.starts_with("http") {
                problem = problem.hint("the app-server speaks plain ws:// to this machine only");
            }
            value.reading().note(problem);
            None
        }
    }
}

fn is_endpoint(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix://") {
        return Path::new(path).is_absolute();
    }
    text.strip_prefix("ws://")
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(' '))
}

fn read_env(table: &mut Table<'_>) -> Option<BTreeMap<String, String>> {
    let value = table.get("env")?.secret();
    let variables = value.table("a table of variables, as { NAME = \"value\" }")?;
    Some(
        variables
            .named()
            .into_iter()
            .filter_map(|variable| {
                let name = variable.name;
                let value = variable.value;
                if name.is_empty() || name.contains(['=', '\0']) {
                    value
                        .reading()
                        .note(value.objection("this cannot be the name of a variable"));
                    return None;
                }
                let text = value.string("a string")?;
                if text.contains('\0') {
                    value.reading().note(value.mistake("text without NUL"));
                    return None;
                }
                Some((name.to_owned(), text.to_owned()))
            })
            .collect(),
    )
}
