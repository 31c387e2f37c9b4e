//! What a smoke test runs on: a configuration with a console alone, in a directory that goes with it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use tieline_channel::{ChannelId, Language};

use super::Args;
use crate::cli::dispatcher_args::choose_dispatcher;
use crate::cli::failure::Failure;
use crate::config::{ChannelConfig, Config, ConsoleConfig, LogFile, Sandbox};
use crate::demo::model::ScriptedModel;
use crate::demo::provision::{Places, Wanted, find_or_fetch};
use crate::demo::scratch::Scratch;
use crate::demo::script::DemoScript;
use crate::demo::{Notes, Stage};
use crate::id::DispatcherId;

/// It.
pub(super) struct Staged {
    pub(super) config: Config,
    pub(super) scratch: Scratch,
    /// Which codex is tried.
    pub(super) codex: String,
    model: Option<ScriptedModel>,
}

impl Staged {
    /// Returns who answers.
    pub(super) fn model_name(&self) -> &'static str {
        match self.model {
            Some(_) => "with a scripted model",
            None => "with its own model",
        }
    }

    /// Ends the model and removes everything.
    pub(super) async fn remove(self) -> anyhow::Result<()> {
        if let Some(model) = self.model {
            model.stop().await;
        }
        self.scratch
            .remove()
            .context("the directory that it was tried in cannot be removed")
    }
}

/// Makes what is wanted.
pub(super) async fn stage(args: &Args) -> Result<Staged, Failure> {
    let scratch = Scratch::new("smoke")
        .context("cannot make a directory to try it in; is TMPDIR right?")
        .map_err(Failure::of)?;
    if args.demo_model {
        return scripted(scratch).await.map_err(Failure::of);
    }
    let mut config = args.config.load_quietly()?;
    let name = choose_dispatcher(args.dispatcher.as_deref(), &config)?;
    let state = scratch
        .directory("state")
        .map_err(|error| Failure::of(error.into()))?;
    narrow(&mut config, &DispatcherId::new(name.as_str()), state);
    Ok(Staged {
        config,
        scratch,
        codex: format!("dispatcher {name}"),
        model: None,
    })
}

async fn scripted(scratch: Scratch) -> anyhow::Result<Staged> {
    let codex = find_or_fetch(&Places::from_env(), Wanted::NewEnough, &mut Notes::new()).await?;
    let model = ScriptedModel::start(DemoScript)
        .await
        .context("cannot start a model on the loopback interface")?;
    let stage = Stage::scripted(&scratch, &codex, &model.base_url())?;
    let mut config = stage.config().clone();
    config.daemon.log_file = LogFile::None;
    Ok(Staged {
        config,
        scratch,
        codex: format!("codex {}", codex.version),
        model: Some(model),
    })
}

/// Leaves one dispatcher, with a console in place of its channels, and a state directory of its own.
/// It may write nothing.
fn narrow(config: &mut Config, name: &DispatcherId, state: PathBuf) {
    let console = ChannelId::new("smoke");
    config.daemon.state_dir = state;
    config.daemon.log_file = LogFile::None;
    let channel = ChannelConfig::Console(ConsoleConfig {
        socket: None,
        language: Language::default(),
    });
    config.channels = BTreeMap::from([(console.clone(), channel)]);
    config.dispatchers.retain(|id, _| id == name);
    for dispatcher in config.dispatchers.values_mut() {
        dispatcher.channels = vec![console.clone()];
        dispatcher.sandbox = Sandbox::ReadOnly;
    }
}
