//! What the configuration of a dispatcher means for Codex.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::{Directories, profile, skills};
use crate::codex::protocol::{ApprovalPolicy, ThreadSettings};
use crate::codex::{LaunchConfig, Transport};
use crate::config::{self, Config, DispatcherConfig, ProfileConfig};
use crate::dispatcher::{Settings, sandbox_mode};
use crate::events::Events;
use crate::id::DispatcherId;

/// Returns the settings of one dispatcher; tieline's own skills are in `skills`.
pub(super) fn of_dispatcher(
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
    directories: &Directories,
    skills: &Path,
    config: &Config,
    events: &Events,
) -> anyhow::Result<Settings> {
    let mut launch = launch(id, dispatcher, directories, config)?;
    launch.skills = skills::roots(&dispatcher.skills, skills.to_owned());
    Ok(Settings {
        id: id.clone(),
        config: dispatcher.clone(),
        launch,
        thread: thread(dispatcher, config.profile_of(dispatcher).map(|(_, it)| it)),
        attachments: directories.attachments.clone(),
        spills: directories.completions.clone(),
        outgoing: directories.outgoing.clone(),
        worktrees: directories.worktrees.join(id.as_str()),
        events: events.clone(),
        restart_notice: None,
    })
}

pub(super) fn launch(
    id: &DispatcherId,
    dispatcher: &DispatcherConfig,
    directories: &Directories,
    config: &Config,
) -> anyhow::Result<LaunchConfig> {
    let codex = &dispatcher.codex;
    let profile = config.profile_of(dispatcher);
    let homes = &directories.homes;
    let home = match profile {
        Some((name, profile)) if profile.has_private_home() => homes.join(name),
        Some(_) | None => codex.home.clone(),
    };
    let mut launch = LaunchConfig::new(
        id.as_str(),
        &home,
        &dispatcher.workspace,
        &directories.run,
        &directories.logs,
    );
    // The default leaves the environment a say.
    launch.bin = (codex.bin != Path::new("codex")).then(|| codex.bin.clone());
    if let Some((name, profile)) = profile {
        let catalog = profile::catalog(
            dispatcher,
            profile,
            homes.join(format!("{name}.models.json")),
        );
        launch.config = profile::settings(profile, catalog.as_ref());
        launch.profile = Some(profile::of(name, profile, catalog));
    }
    // What is said of this dispatcher holds before what is said of its profile.
    launch.config.extend(codex.config.iter().cloned());
    launch.env.clone_from(&codex.env);
    // So that what the model runs can tell whose it is, and reach the daemon.
    launch
        .env
        .insert("TIELINE_DISPATCHER".to_owned(), id.to_string());
    let control = config.control_socket().display().to_string();
    launch.env.insert("TIELINE_CONTROL".to_owned(), control);
    launch.transport = match &codex.transport {
        config::Transport::Unix => Transport::Unix,
        config::Transport::Stdio => Transport::Stdio,
        config::Transport::Endpoint(endpoint) => endpoint
            .parse()
            .with_context(|| format!("the endpoint of dispatcher {id} cannot be used"))?,
    };
    Ok(launch)
}

pub(super) fn thread(
    dispatcher: &DispatcherConfig,
    profile: Option<&ProfileConfig>,
) -> ThreadSettings {
    let mut overrides = Map::new();
    if let Some(effort) = &dispatcher.effort {
        overrides.insert(
            "model_reasoning_effort".to_owned(),
            Value::from(effort.as_str()),
        );
    }
    if let Some(servers) = &dispatcher.mcp_servers {
        overrides.insert("mcp_servers".to_owned(), servers.clone());
    }
    let prompts = &dispatcher.prompts;
    let parts = [
        Some(&*prompts.dispatcher),
        dispatcher.has_teammates().then_some(&*prompts.teammates),
        Some(dispatcher.answering()),
        dispatcher.instructions.as_deref(),
    ];
    let instructions = parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    ThreadSettings {
        cwd: Some(dispatcher.workspace.clone()),
        // Without one, that of codex's own configuration holds.
        model: profile::model(dispatcher, profile),
        sandbox: Some(sandbox_mode(dispatcher.sandbox)),
        // Whatever would need asking is refused by codex itself: there is nobody to ask yet.
        approval_policy: Some(ApprovalPolicy::Never),
        base_instructions: dispatcher.base_instructions.clone(),
        developer_instructions: Some(instructions),
        config: overrides,
        thread_source: Some("tieline".to_owned()),
        ..ThreadSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::config::Prompts;

    /// Returns the instructions of a dispatcher with these settings.
    fn instructions(settings: &str) -> String {
        let text = format!(
            "[channels.t]\nkind = \"console\"\n\
             [dispatchers.a]\nworkspace = \"/\"\nchannels = [\"t\"]\n{settings}"
        );
        let home = Some(Path::new("/home/mei"));
        let loaded = Config::parse(&text, Path::new("/etc/tieline.toml"), home).unwrap();
        let (_, dispatcher) = loaded.config.dispatchers.into_iter().next().unwrap();
        thread(&dispatcher, None).developer_instructions.unwrap()
    }

    #[test]
    fn a_model_is_told_of_teammates_where_there_can_be_some() {
        let Prompts {
            dispatcher,
            teammates,
            answer_final,
            answer_tool,
            ..
        } = Prompts::embedded();
        assert_eq!(
            instructions(""),
            format!("{dispatcher}\n\n{teammates}\n\n{answer_final}")
        );
        assert_eq!(
            instructions("reply = \"tool\"\ninstructions = \"Own.\"\nteammates = { max = 0 }"),
            format!("{dispatcher}\n\n{answer_tool}\n\nOwn.")
        );
    }
}
