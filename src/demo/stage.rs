//! What a demo is given on: the configuration, and what the user is told about it.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use tokio_util::sync::CancellationToken;

use super::model::provider_config;
use super::provision::Codex;
use super::scratch::Scratch;
use crate::config::Config;

/// The name of the demo's one channel.
pub(super) const CONSOLE: &str = "console";

/// A demo that can be given.
#[derive(Debug)]
pub(crate) struct Stage {
    config: Config,
    introduction: Vec<String>,
}

impl Stage {
    /// The built-in model, a home of its own for Codex, an empty workspace: nothing of the user's
    /// is seen or touched.
    pub(crate) fn scripted(
        scratch: &Scratch,
        codex: &Codex,
        base_url: &str,
    ) -> anyhow::Result<Self> {
        let home = make(scratch, "home")?;
        let workspace = make(scratch, "workspace")?;
        let introduction = vec![
            format!(
                "tieline demo: the real Codex {}, but a built-in demo model that only echoes.",
                codex.version
            ),
            "Nothing leaves this machine; Codex works in an empty directory that it cannot write \
             to."
            .to_owned(),
        ];
        let settings = provider_config(base_url);
        // The model is on the loopback interface, where no proxy leads.
        let env = r#"{ NO_PROXY = "127.0.0.1" }"#;
        Self::new(
            scratch,
            codex,
            (&home, &workspace),
            (&settings, env),
            introduction,
        )
    }

    /// The user's own login and model, in a directory of theirs that Codex may read only.
    pub(super) fn login(
        scratch: &Scratch,
        codex: &Codex,
        home: PathBuf,
        workspace: PathBuf,
    ) -> anyhow::Result<Self> {
        let log_in = format!("{} login", codex.binary.display());
        if !home.is_dir() {
            bail!(
                "no Codex login: {} does not exist; run `{log_in}` first, or leave out --login",
                home.display(),
            );
        }
        let mut introduction = vec![
            format!(
                "tieline demo: Codex {} with your own login and model ({}), which costs what it \
                 costs.",
                codex.version,
                home.display(),
            ),
            format!("It may read {}, and change nothing.", workspace.display()),
        ];
        if !home.join("auth.json").exists() {
            introduction.push(format!(
                "No login is there yet; if Codex complains, run: {log_in}"
            ));
        }
        Self::new(
            scratch,
            codex,
            (&home, &workspace),
            (&[], "{}"),
            introduction,
        )
    }

    fn new(
        scratch: &Scratch,
        codex: &Codex,
        (home, workspace): (&Path, &Path),
        (settings, env): (&[String], &str),
        introduction: Vec<String>,
    ) -> anyhow::Result<Self> {
        let state = make(scratch, "state")?;
        let (state, bin, home) = (quoted(&state)?, quoted(&codex.binary)?, quoted(home)?);
        let workspace = quoted(workspace)?;
        let settings: toml::Value = settings.to_vec().into();
        // Whoever wonders what the demo is made of finds what they would write themselves.
        let text = format!(
            r#"[daemon]
state_dir = {state}

[codex]
bin = {bin}
home = {home}
config = {settings}
env = {env}

[channels.{CONSOLE}]
kind = "console"

[dispatchers.demo]
workspace = {workspace}
channels = ["{CONSOLE}"]
sandbox = "read-only"
approvals = "deny"
"#
        );
        let path = scratch.path().join("tieline.toml");
        let loaded = Config::parse(&text, &path, None)
            .map_err(|report| anyhow!("the demo's own configuration is wrong: {report}"))?;
        Ok(Self {
            config: loaded.config,
            introduction,
        })
    }

    /// Returns the configuration.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what a person is told before the first prompt.
    pub(super) fn greeting(&self) -> String {
        "Say something; Ctrl-D ends the demo.".to_owned()
    }

    /// Returns what the user is told before the conversation.
    pub(super) fn introduction(&self) -> &[String] {
        &self.introduction
    }
}

/// Runs the daemon and the client until the client has ended, or `stop` is cancelled; then ends
/// the daemon and waits for it. A daemon that ends by itself ends the client.
pub(super) async fn together(
    daemon: impl Future<Output = anyhow::Result<()>>,
    client: impl Future<Output = anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    tokio::pin!(daemon);
    let conversation = tokio::select! {
        ended = &mut daemon => {
            return ended.and_then(|()| bail!("the daemon ended by itself"));
        }
        ended = client => ended,
        () = stop.cancelled() => Ok(()),
    };
    stop.cancel();
    let daemon = daemon.await;
    conversation.and(daemon)
}

fn make(scratch: &Scratch, name: &str) -> anyhow::Result<PathBuf> {
    scratch
        .directory(name)
        .with_context(|| format!("cannot make a directory in {}", scratch.path().display()))
}

/// Returns the path as TOML has it.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("the path {} is not UTF-8", path.display()))?;
    Ok(toml::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use pretty_assertions::assert_eq;
    use tieline_channel::ChannelId;

    use super::*;
    use crate::config::Sandbox;
    use crate::demo::provision::PINNED;
    use crate::id::DispatcherId;

    fn codex() -> Codex {
        let binary = PathBuf::from("/opt/\"odd\" name/codex");
        Codex {
            binary,
            version: PINNED,
        }
    }

    #[test]
    fn scripted_stage_names_nothing_of_the_users() {
        let scratch = Scratch::new("demo").unwrap();
        let stage = Stage::scripted(&scratch, &codex(), "http://127.0.0.1:1/v1").unwrap();
        let config = stage.config();
        let dispatcher = &config.dispatchers[&DispatcherId::new("demo")];
        let codex_config = &dispatcher.codex;
        for path in [
            &config.daemon.state_dir,
            &codex_config.home,
            &dispatcher.workspace,
        ] {
            assert!(path.starts_with(scratch.path()), "{}", path.display());
            assert!(path.is_dir(), "{}", path.display());
        }
        assert_eq!(codex_config.bin, codex().binary);
        assert_eq!(
            codex_config.config,
            provider_config("http://127.0.0.1:1/v1")
        );
        assert_eq!(dispatcher.sandbox, Sandbox::ReadOnly);
        let socket = config.console_socket(&ChannelId::new(CONSOLE)).unwrap();
        assert!(socket.as_os_str().len() < 108, "{}", socket.display());
    }

    #[test]
    fn login_stage_takes_the_users_settings_and_says_where_to_log_in() {
        let scratch = Scratch::new("demo").unwrap();
        let (home, workspace) = (
            scratch.directory("h").unwrap(),
            scratch.directory("w").unwrap(),
        );
        let stage = Stage::login(&scratch, &codex(), home.clone(), workspace.clone()).unwrap();
        let dispatcher = &stage.config().dispatchers[&DispatcherId::new("demo")];
        assert_eq!(dispatcher.codex.home, home);
        assert_eq!(dispatcher.codex.config, [""; 0]);
        assert_eq!(dispatcher.workspace, workspace);
        assert_eq!(dispatcher.sandbox, Sandbox::ReadOnly);
        assert!(
            stage
                .introduction()
                .last()
                .unwrap()
                .ends_with("codex login")
        );
    }

    #[test]
    fn login_without_a_home_says_how_to_log_in() {
        let scratch = Scratch::new("demo").unwrap();
        let (home, workspace) = (scratch.path().join("none"), scratch.directory("w").unwrap());
        let error = Stage::login(&scratch, &codex(), home, workspace).unwrap_err();
        assert!(error.to_string().contains("codex login` first"), "{error}");
    }

    #[tokio::test]
    async fn the_daemon_is_ended_in_order_when_the_client_has_ended() {
        let stop = CancellationToken::new();
        let drained = AtomicBool::new(false);
        let daemon = async {
            stop.cancelled().await;
            tokio::task::yield_now().await;
            drained.store(true, Ordering::Relaxed);
            Ok(())
        };
        together(daemon, async { Ok(()) }, &stop).await.unwrap();
        assert!(drained.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_signal_ends_both_without_an_error() {
        let stop = CancellationToken::new();
        stop.cancel();
        let daemon = async {
            stop.cancelled().await;
            tokio::task::yield_now().await;
            Ok(())
        };
        together(daemon, std::future::pending(), &stop)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_come_up_ends_the_client() {
        let daemon = async { bail!("no codex") };
        let stop = CancellationToken::new();
        let error = together(daemon, std::future::pending(), &stop)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "no codex");
    }
}
