//! What stands in the configuration for a Slack channel.

use std::path::Path;

use tieline_channel::ChannelId;

use crate::config::SecretSource;

/// Returns the table of the channel.
pub(super) fn channel(
    id: &ChannelId,
    app_token: &SecretSource,
    bot_token: &SecretSource,
) -> String {
    format!(
        "[channels.{id}]\nkind = \"slack\"\napp_token = {}\nbot_token = {}\n",
        source(app_token),
        source(bot_token)
    )
}

/// Returns a whole file, for one dispatcher that works in `workspace`.
pub(super) fn file(id: &ChannelId, channel: &str, workspace: &Path) -> String {
    format!(
        "\
# tieline: Slack to Codex. Written by `tieline init slack`; `tieline check` says what it means.

{channel}
[dispatchers.main]
workspace = {workspace}   # where Codex works
channels = [\"{id}\"]
sandbox = \"workspace-write\"   # or \"read-only\", \"danger-full-access\"
sessions = \"thread\"           # each thread is a conversation of its own; or \"chat\", \"shared\"

[dispatchers.main.access]
direct = \"pairing\"   # who writes to the bot gets a code; `tieline pair CODE` lets them in
groups = \"listed\"    # in channels it answers mentions, in those that are listed here:
chats = []           # \"{id}:C0123456789\"; a channel's details end with its ID
admins = []          # \"{id}:U0123456789\"; a profile's menu ⋮ has \"Copy member ID\"
",
        workspace = quoted(workspace),
    )
}

fn source(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("{{ env = {} }}", toml::Value::from(name.as_str())),
        SecretSource::File(path) => format!("{{ file = {} }}", quoted(path)),
        SecretSource::Command(command) => {
            format!("{{ command = {} }}", toml::Value::from(command.clone()))
        }
    }
}

fn quoted(path: &Path) -> toml::Value {
    toml::Value::from(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use pretty_assertions::assert_eq;

    use super::*;
    use crate::config::{ChannelConfig, Config};

    #[test]
    fn written_file_reads_back_whatever_the_paths_are() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = directory.path().join("a \"quoted\" \\ name");
        std::fs::create_dir(&workspace).unwrap();
        let id = ChannelId::new("team");
        let app_token = SecretSource::File(PathBuf::from("/home/mei/a \"token\""));
        let bot_token = SecretSource::Env("SLACK_BOT_TOKEN".to_owned());
        let text = file(&id, &channel(&id, &app_token, &bot_token), &workspace);
        let loaded = Config::parse(&text, Path::new("/etc/tieline.toml"), Some(Path::new("/h")));
        let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(loaded.warnings.to_string(), "");
        let Some(ChannelConfig::Slack(slack)) = loaded.config.channels.get(&id) else {
            panic!("{text}");
        };
        assert_eq!(
            (&slack.app_token, &slack.bot_token),
            (&app_token, &bot_token)
        );
        let dispatcher = loaded.config.dispatchers.values().next().unwrap();
        assert_eq!(dispatcher.workspace, workspace);
        assert_eq!(dispatcher.channels, [id]);
    }
}
