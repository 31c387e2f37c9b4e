//! What stands in the configuration for a channel.

use std::path::Path;

use tieline_channel::{ChannelId, Language};

use crate::config::choice::Choice as _;
use crate::config::{FeishuConfig, SecretSource, defaults};

/// What a file for a platform says.
pub(super) struct Platform {
    name: &'static str,
    verb: &'static str,
    /// How the comments describe conversations, and where ids are found.
    conversations: &'static str,
    /// What chats of several people are called.
    groups: &'static str,
    chat: &'static str,
    user: &'static str,
}

pub(super) const SLACK: Platform = Platform {
    name: "Slack",
    verb: "slack",
    conversations: "each thread is a conversation of its own",
    groups: "channels",
    chat: "C0123456789\"; a channel's details end with its ID",
    user: "U0123456789\"; a profile's menu ⋮ has \"Copy member ID\"",
};

pub(super) const FEISHU: Platform = Platform {
    name: "Feishu",
    verb: "feishu",
    conversations: "each topic is a conversation of its own",
    groups: "groups",
    chat: "oc_…\"; `tieline messages` shows it once the bot is mentioned there",
    user: "ou_…\"; `tieline pair` shows the IDs of those who ask",
};

/// Returns the table of a Slack channel.
pub(super) fn slack(id: &ChannelId, app_token: &SecretSource, bot_token: &SecretSource) -> String {
    format!(
        "[channels.{id}]\nkind = \"slack\"\napp_token = {}\nbot_token = {}\n",
        source(app_token),
        source(bot_token)
    )
}

/// Returns the table of a Feishu channel: what differs from the defaults.
pub(super) fn feishu(id: &ChannelId, feishu: &FeishuConfig) -> String {
    let text = |text: &str| toml::Value::from(text);
    let mut table = format!(
        "[channels.{id}]\nkind = \"feishu\"\napp_id = {}\napp_secret = {}\n",
        text(&feishu.app_id),
        source(&feishu.app_secret)
    );
    if feishu.base_url != defaults::feishu_base_url() {
        let url = feishu.base_url.as_str().trim_end_matches('/');
        table.push_str(&format!("base_url = {}\n", text(url)));
    }
    if feishu.accounts_url != defaults::feishu_accounts_url(&feishu.base_url) {
        let url = feishu.accounts_url.as_str().trim_end_matches('/');
        table.push_str(&format!("accounts_url = {}\n", text(url)));
    }
    if feishu.language != Language::default() {
        table.push_str(&format!("language = {}\n", text(feishu.language.word())));
    }
    table
}

/// Returns a whole file, for one dispatcher that works in `workspace`.
pub(super) fn file(
    platform: &Platform,
    id: &ChannelId,
    channel: &str,
    workspace: &Path,
    admins: &[String],
) -> String {
    let Platform {
        name,
        verb,
        conversations,
        groups,
        chat,
        user,
    } = platform;
    let admins: Vec<_> = admins
        .iter()
        .map(|user| toml::Value::from(format!("{id}:{user}")).to_string())
        .collect();
    format!(
        "\
# tieline: {name} to Codex. Written by `tieline init {verb}`; `tieline check` says what it means.

{channel}
[dispatchers.main]
workspace = {workspace}   # where Codex works
channels = [\"{id}\"]
sandbox = \"workspace-write\"   # or \"read-only\", \"danger-full-access\"
sessions = \"thread\"           # {conversations}; or \"chat\", \"shared\"

[dispatchers.main.access]
direct = \"pairing\"   # who writes to the bot gets a code; `tieline pair CODE` lets them in
groups = \"listed\"    # in {groups} it answers mentions, in those that are listed here:
chats = []           # \"{id}:{chat}
admins = [{admins}]          # \"{id}:{user}
",
        workspace = quoted(workspace),
        admins = admins.join(", "),
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
        let table = super::slack(&id, &app_token, &bot_token);
        let text = file(&SLACK, &id, &table, &workspace, &[]);
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

    #[test]
    fn written_file_of_feishu_reads_back_with_all_that_differs_from_the_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let id = ChannelId::new("feishu");
        for (base_url, accounts_url, language) in [
            (
                "https://open.feishu.cn/",
                "https://accounts.feishu.cn/",
                Language::English,
            ),
            (
                "https://open.larksuite.com/",
                "https://accounts.larksuite.com/",
                Language::Chinese,
            ),
            (
                "http://127.0.0.1:9/",
                "http://127.0.0.1:8/",
                Language::Chinese,
            ),
        ] {
            let feishu = FeishuConfig {
                app_id: "cli_1".to_owned(),
                app_secret: SecretSource::File(PathBuf::from("/home/mei/secret")),
                base_url: base_url.parse().unwrap(),
                accounts_url: accounts_url.parse().unwrap(),
                reactions: true,
                language,
            };
            let table = super::feishu(&id, &feishu);
            let admins = ["ou_1".to_owned()];
            let text = file(&FEISHU, &id, &table, directory.path(), &admins);
            let loaded =
                Config::parse(&text, Path::new("/etc/tieline.toml"), Some(Path::new("/h")));
            let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
            let Some(ChannelConfig::Feishu(read)) = loaded.config.channels.get(&id) else {
                panic!("{text}");
            };
            assert_eq!(read, &feishu);
            let dispatcher = loaded.config.dispatchers.values().next().unwrap();
            assert_eq!(dispatcher.access.admins.len(), 1);
        }
    }
}
