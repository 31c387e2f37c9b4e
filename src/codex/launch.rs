//! How an app-server is to be run, and where it is to be reached.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::connection::{DeclineAll, Liveness, ServerRequests};
use super::profile::Profile;

/// Marks a child and everything it starts; the value is random and belongs to one start.
pub(super) const MARK_VARIABLE: &str = "TIELINE_CHILD";

/// How an app-server is to be run.
#[derive(Clone)]
pub struct LaunchConfig {
    /// Whose it is, in letters, digits, `-` and `_`: names its log files.
    pub owner: String,
    /// The program; `None` looks for it (see [`find`](super::binary::find)).
    pub bin: Option<PathBuf>,
    /// `CODEX_HOME`.
    pub home: PathBuf,
    /// `-c key=value`, each without the `-c`.
    pub config: Vec<String>,
    /// Further arguments, such as `--disable plugins`.
    pub args: Vec<String>,
    /// What it is to have in its environment on top of [`Environment::minimal`].
    pub env: BTreeMap<String, String>,
    /// The environment that the minimal one is taken from: usually the daemon's own.
    pub inherited: Environment,
    /// What is made ready before it is started.
    pub profile: Option<Profile>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Directories that hold directories of skills, absolute, on top of those it finds by itself.
    pub skills: Vec<PathBuf>,
    /// How it is reached.
    pub transport: Transport,
    /// Where sockets and the records of running children are: private to one daemon.
    pub run_dir: PathBuf,
    /// Where its output goes.
    pub log_dir: PathBuf,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Who answers what it asks.
    pub requests: Arc<dyn ServerRequests>,
}

/// How an app-server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A child of ours, over a Unix socket.
    Unix,
    /// A child of ours, over its stdin and stdout.
    Stdio,
    /// One that somebody else runs.
    External(Endpoint),
}

/// Where an app-server that somebody else runs is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A `ws://` or `wss://` URL.
    Web(String),
}

/// A transport that we do not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no transport: use \"unix\", \"stdio\", or an endpoint that starts with ws://, wss://, \
     http://, https:// or unix:///"
)]
pub struct TransportError(String);

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the spawn until the socket accepts.
    pub listen: Duration,
    /// For the upgrade and the handshake.
    pub handshake: Duration,
    /// When a silent peer counts as deaf.
    pub liveness: Liveness,
}

/// Variables of an environment. Their values do not show in debug output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// What a child is given of our own environment: what programs need to find their way, and to
/// reach the network in a company. No keys.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TERM",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CODEX_CA_CERTIFICATE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];

// === impl LaunchConfig ===

impl LaunchConfig {
    /// Returns how to run codex for `owner` in `home` and `cwd`, everything else as usual.
    pub fn new(
        owner: impl Into<String>,
        home: impl Into<PathBuf>,
        cwd: impl Into<PathBuf>,
        run_dir: impl Into<PathBuf>,
        log_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            owner: owner.into(),
            bin: None,
            home: home.into(),
            config: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            inherited: Environment::of_this_process(),
            profile: None,
            cwd: cwd.into(),
            skills: Vec::new(),
            transport: Transport::Unix,
            run_dir: run_dir.into(),
            log_dir: log_dir.into(),
            deadlines: Deadlines::default(),
            requests: Arc::new(DeclineAll),
        }
    }

    /// Returns the arguments for a child. They show in the list of processes: no secrets here.
    pub(super) fn arguments(
        &self,
        mark: &str,
        socket: Option<&Path>,
        more: &[String],
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["app-server".into(), "--listen".into()];
        arguments.push(match socket {
            Some(path) => {
                let mut url = OsString::from("unix://");
                url.push(path);
                url
            }
            None => "stdio://".into(),
        });
        // So that commands carry the mark whatever the user's policy lets through.
        let marked = format!("shell_environment_policy.set.{MARK_VARIABLE}=\"{mark}\"");
        for assignment in self.config.iter().chain(more).chain([&marked]) {
            arguments.push("-c".into());
            arguments.push(assignment.into());
        }
        arguments.extend(self.args.iter().map(OsString::from));
        arguments
    }

    /// Returns the whole environment of a child. Commands of the model inherit it.
    pub(super) fn environment(&self, mark: &str, key_variables: &[String]) -> Environment {
        let mut environment = self.inherited.minimal();
        for name in key_variables {
            if let Some(value) = self.inherited.get(name) {
                environment.set(name, value);
            }
        }
        // Codex writes 365 kB per turn at `info`.
        environment.set("RUST_LOG", "warn");
        for (name, value) in &self.env {
            environment.set(name, value);
        }
        environment.set("CODEX_HOME", &self.home);
        environment.set(MARK_VARIABLE, mark);
        environment
    }
}

impl fmt::Debug for LaunchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaunchConfig")
            .field("owner", &self.owner)
            .field("bin", &self.bin)
            .field("home", &self.home)
            .field("cwd", &self.cwd)
            .field("transport", &self.transport)
            .field("env", &self.env.keys())
            .finish_non_exhaustive()
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            listen: Duration::from_secs(15),
            handshake: Duration::from_secs(15),
            liveness: Liveness::default(),
        }
    }
}

// === impl Transport ===

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || TransportError(text.to_owned());
        let (scheme, rest) = match text {
            "unix" => return Ok(Self::Unix),
            "stdio" => return Ok(Self::Stdio),
            _ => text.split_once("://").ok_or_else(refused)?,
        };
        if rest.is_empty() {
            return Err(refused());
        }
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::External(Endpoint::Unix(rest.into()))),
            "ws" | "wss" => Ok(Self::External(Endpoint::Web(text.to_owned()))),
            "http" => Ok(Self::External(Endpoint::Web(format!("ws://{rest}")))),
            "https" => Ok(Self::External(Endpoint::Web(format!("wss://{rest}")))),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            // What follows the path may hold a token.
            Self::Web(url) => f.write_str(url.split(['?', '#']).next().unwrap_or_default()),
        }
    }
}

// === impl Environment ===

impl Environment {
    /// Returns the environment of this process.
    pub fn of_this_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Returns the part of it that a child may have.
    pub fn minimal(&self) -> Self {
        self.iter()
            .filter(|(name, _)| {
                name.to_str()
                    .is_some_and(|name| INHERITED.contains(&name) || name.starts_with("LC_"))
            })
            .collect()
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.0.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Returns all of them.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_rewritten_or_refused() {
        let web = |url: &str| Ok(Transport::External(Endpoint::Web(url.to_owned())));
        let cases = [
            ("unix", Ok(Transport::Unix)),
            ("stdio", Ok(Transport::Stdio)),
            ("ws://127.0.0.1:1/x", web("ws://127.0.0.1:1/x")),
            ("wss://host", web("wss://host")),
            ("http://host/p", web("ws://host/p")),
            ("https://host", web("wss://host")),
            (
                "unix:///run/codex.sock",
                Ok(Transport::External(Endpoint::Unix(
                    "/run/codex.sock".into(),
                ))),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in [
            "",
            "tcp://host",
            "unix://relative",
            "ws://",
            "codex",
            "://x",
        ] {
            assert_eq!(
                text.parse::<Transport>(),
                Err(TransportError(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_child_gets_what_it_needs_and_no_secret_of_ours() {
        let mut config = LaunchConfig::new("flow", "/home/u/.codex", "/w", "/run/t", "/log");
        config.inherited = Environment::from_iter([
            ("PATH", "/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("SLACK_BOT_TOKEN", "xoxb-secret"),
            ("GW_KEY", "sk-1"),
            ("RUST_LOG", "trace"),
        ]);
        config.env.insert("EXTRA".into(), "1".into());
        let environment = config.environment("m1", &["GW_KEY".to_owned()]);
        let expected = Environment::from_iter([
            ("PATH", "/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("GW_KEY", "sk-1"),
            ("RUST_LOG", "warn"),
            ("EXTRA", "1"),
            ("CODEX_HOME", "/home/u/.codex"),
            ("TIELINE_CHILD", "m1"),
        ]);
        assert!(environment == expected, "{environment:?}");
    }

    #[test]
    fn arguments_are_as_codex_wants_them() {
        let mut config = LaunchConfig::new("flow", "/h", "/w", "/run/t", "/log");
        config.config = vec!["model_provider=\"gw\"".to_owned()];
        config.args = vec!["--disable".to_owned(), "plugins".to_owned()];
        assert_eq!(
            config.arguments("m1", Some(Path::new("/run/t/m1.sock")), &[]),
            [
                "app-server",
                "--listen",
                "unix:///run/t/m1.sock",
                "-c",
                "model_provider=\"gw\"",
                "-c",
                "shell_environment_policy.set.TIELINE_CHILD=\"m1\"",
                "--disable",
                "plugins",
            ]
        );
        assert_eq!(config.arguments("m1", None, &[])[2], "stdio://");
    }

    #[test]
    fn debug_output_holds_no_values() {
        let mut config = LaunchConfig::new("flow", "/h", "/w", "/run/t", "/log");
        config.env.insert("TOKEN".into(), "hunter2".into());
        config.inherited = Environment::from_iter([("KEY", "hunter2")]);
        assert!(!format!("{config:?} {:?}", config.inherited).contains("hunter2"));
    }
}
