//! A home, a model and everything else a child needs, in a temporary directory.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tieline::codex::protocol::{
    ApprovalPolicy, SandboxMode, ThreadSettings, TurnOverrides, UserInput,
};
use tieline::codex::{
    AppServer, Environment, LaunchConfig, Spawner, Thread, Turn, TurnEnd, TurnEvent, TurnOptions,
};
use tieline::demo::model::{ScriptedModel, provider_config};

use crate::support::codex::codex_bin;
use crate::support::model::{Echo, within};

pub(crate) struct Stage {
    pub(crate) echo: Echo,
    pub(crate) model: ScriptedModel,
    pub(crate) spawner: Spawner,
    pub(crate) config: LaunchConfig,
    pub(crate) dir: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let echo = Echo::new();
        let model = echo.start().await;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = config_in(dir.path());
        config.bin = Some(codex_bin().to_owned());
        config.config = provider_config(&model.base_url());
        Self {
            echo,
            model,
            spawner: Spawner::new().expect("a thread"),
            config,
            dir,
        }
    }

    pub(crate) async fn start(&self) -> AppServer {
        within(
            "codex to start",
            AppServer::start(&self.config, &self.spawner),
        )
        .await
        .unwrap_or_else(|error| panic!("{:#}", anyhow::Error::from(error)))
    }

    pub(crate) fn settings(&self) -> ThreadSettings {
        ThreadSettings {
            cwd: Some(self.dir.path().join("work")),
            approval_policy: Some(ApprovalPolicy::Never),
            sandbox: Some(SandboxMode::DangerFullAccess),
            ..ThreadSettings::default()
        }
    }

    pub(crate) async fn thread(&self, server: &AppServer) -> Thread {
        Thread::start(server.client(), &self.settings())
            .await
            .expect("a thread")
    }

    /// Returns what is left in the run directory.
    pub(crate) fn run_files(&self) -> Vec<String> {
        std::fs::read_dir(&self.config.run_dir)
            .expect("the run directory")
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect()
    }
}

/// Returns how to run something in a directory, with an empty home and no secrets.
pub(crate) fn config_in(dir: &Path) -> LaunchConfig {
    for name in ["home", "work"] {
        std::fs::create_dir_all(dir.join(name)).expect("a directory");
    }
    let mut config = LaunchConfig::new(
        "flow",
        dir.join("home"),
        dir.join("work"),
        dir.join("run"),
        dir.join("log"),
    );
    let path = std::env::var("PATH").expect("a PATH");
    let home = dir.to_str().expect("text").to_owned();
    config.inherited = Environment::from_iter([("PATH", path), ("HOME", home)]);
    config
}

pub(crate) fn options(client_id: &str) -> TurnOptions {
    TurnOptions {
        client_message_id: Some(client_id.to_owned()),
        idle_limit: Duration::from_secs(60),
        overrides: TurnOverrides::default(),
    }
}

pub(crate) fn text(text: &str) -> Vec<UserInput> {
    vec![UserInput::text(text)]
}

/// Follows a turn to its end.
pub(crate) async fn finish(mut turn: Turn<'_>) -> (Vec<TurnEvent>, TurnEnd) {
    let mut events = Vec::new();
    while let Some(event) = within("the turn to go on", turn.next()).await {
        if let TurnEvent::Settled(end) = event {
            assert_eq!(turn.next().await, None, "settled is the last event");
            return (events, end);
        }
        events.push(event);
    }
    panic!("the turn ended without being settled: {events:?}");
}

/// Follows a turn until an event fulfils `predicate`.
pub(crate) async fn until(turn: &mut Turn<'_>, predicate: impl Fn(&TurnEvent) -> bool) {
    loop {
        match within("an event of the turn", turn.next()).await {
            Some(event) if predicate(&event) => return,
            Some(TurnEvent::Settled(end)) => panic!("settled before: {end:?}"),
            Some(_) => {}
            None => panic!("over before"),
        }
    }
}

pub(crate) fn answered(answer: &str) -> TurnEnd {
    TurnEnd::Completed {
        answer: Some(answer.to_owned()),
    }
}
