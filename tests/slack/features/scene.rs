//! A workspace with a person and a channel, and a daemon that serves it.

use std::process::Stdio;

use tieline_channel::Link;
use tokio::process::Command;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault, Hold, Point, told};
use crate::support::slack::{MockSlack, Options, Post};

/// A scene that is about to be set.
pub(super) struct Setting {
    sessions: &'static str,
    dispatcher: String,
    channel: String,
    access: String,
    options: Options,
}

/// Slack, a daemon and a model; Mei, who writes, and `#ops`, where she does.
pub(super) struct Scene {
    pub(super) slack: MockSlack,
    pub(super) echo: Echo,
    pub(super) world: World,
    pub(super) mei: String,
    pub(super) ops: String,
}

/// What a command of the binary said.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Setting {
    pub(super) fn of(sessions: &'static str) -> Self {
        Self {
            sessions,
            dispatcher: String::new(),
            channel: String::new(),
            access: "direct = \"everyone\"\ngroups = \"everyone\"".to_owned(),
            options: Options::default().hasty(),
        }
    }

    /// More of `[dispatchers.test]`.
    pub(super) fn dispatcher(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.dispatcher);
        self
    }

    /// More of `[channels.team]`.
    pub(super) fn channel(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.channel);
        self
    }

    /// In place of everybody.
    pub(super) fn access(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.access);
        self
    }

    pub(super) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Starts everything but the daemon. `prepare` sees Slack before the configuration is written,
    /// and may return more lines of the access.
    pub(super) async fn set_with(self, prepare: impl FnOnce(&MockSlack) -> String) -> Scene {
        let slack = MockSlack::start(self.options).await;
        let access = format!("{}\n{}", self.access, prepare(&slack));
        let echo = Echo::new();
        let mut choices = Choices::standard();
        choices.dispatcher = format!(
            "sessions = {:?}\nrestart = {{ base = \"20ms\", max = \"100ms\" }}\n{}\n",
            self.sessions, self.dispatcher
        );
        let choices = choices.with_slack_for(&slack, &self.channel, &access);
        let world = World::new(echo.start().await, &choices);
        let mei = slack.person("Mei");
        let ops = slack.public("ops");
        Scene {
            slack,
            echo,
            world,
            mei,
            ops,
        }
    }

    pub(super) async fn set(self) -> Scene {
        self.set_with(|_| String::new()).await
    }

    /// Starts everything.
    pub(super) async fn start(self) -> Scene {
        let mut scene = self.set().await;
        scene.start().await;
        scene
    }
}

impl Scene {
    /// Starts the daemon, and waits until it is connected.
    pub(super) async fn start(&mut self) {
        self.world.start();
        self.world.ready(0).await;
        self.slack.wait_for_connections(1).await;
        self.becomes(Link::Up).await;
    }

    /// Waits until the channel is in this state, and returns its last error.
    pub(super) async fn becomes(&self, link: Link) -> Option<String> {
        let looked = async {
            loop {
                let status = self.world.status().await;
                let channel = status.channels.iter().find(|it| it.id.as_str() == "team");
                let channel = channel.expect("the channel is configured");
                if channel.state == link {
                    return channel.last_error.clone();
                }
                // The socket is asked, for it does not tell by itself.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        crate::support::model::within(&format!("the channel to be {link:?}"), looked).await
    }

    /// Waits until history has been read since the daemon was started.
    pub(super) async fn has_read_back(&self) {
        let looked = async {
            loop {
                let status = self.world.status().await;
                let channel = status
                    .channels
                    .into_iter()
                    .find(|it| it.id.as_str() == "team");
                let history = channel.and_then(|it| it.history);
                if history.is_some_and(|it| it.last_read_at.is_some()) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        crate::support::model::within("the history to be read", looked).await;
    }

    /// Waits for a post that says something.
    pub(super) async fn said(&self, text: &str) -> Post {
        let says = |post: &Post| post.visible().contains(text);
        self.slack.wait_for_post(&format!("{text:?}"), says).await
    }

    /// Asks something, and keeps the model busy with it.
    pub(super) async fn occupy(&self, key: &str) -> (String, Hold) {
        let hold = self.echo.hold(key, Point::MidStream);
        let ts = self
            .slack
            .say(&self.mei, &self.ops, &self.slack.mention(key));
        hold.reached().await;
        (ts, hold)
    }

    /// The model answers a question with this text.
    pub(super) fn will_say(&self, key: &str, text: impl Into<String>) {
        self.echo.once(key, Fault::Say(text.into()));
    }

    /// Returns the texts that the model was told and that contain `needle`.
    pub(super) fn told(&self, needle: &str) -> Vec<String> {
        let told = told(&self.world.model);
        let texts = told.into_values().flatten();
        texts.filter(|text| text.contains(needle)).collect()
    }

    /// Returns the one text that the model was told and that contains `needle`.
    pub(super) fn told_once(&self, needle: &str) -> String {
        let mut texts = self.told(needle);
        assert_eq!(texts.len(), 1, "{needle:?}: {texts:#?}");
        texts.remove(0)
    }

    /// Returns in which conversation with Codex something was said.
    pub(super) fn lane_of(&self, needle: &str) -> String {
        let told = told(&self.world.model);
        let mut lanes = told
            .iter()
            .filter(|(_, texts)| texts.iter().any(|text| text.contains(needle)));
        let (lane, _) = lanes
            .next()
            .unwrap_or_else(|| panic!("{needle:?} was never said"));
        assert_eq!(
            lanes.next(),
            None,
            "{needle:?} was said in two conversations"
        );
        lane.clone()
    }

    /// Runs the binary on this scene's configuration.
    pub(super) async fn tieline(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_tieline"))
            .args(arguments)
            .arg("--config")
            .arg(self.world.path().join("tieline.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.world.path())
            .env("SLACK_APP_TOKEN", crate::support::slack::APP_TOKEN)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = crate::support::model::within("the command", output)
            .await
            .unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Ends everything and fails when Slack would have objected to something.
    pub(super) async fn finish(self) {
        self.world.finish().await;
        self.slack.finish();
    }
}
