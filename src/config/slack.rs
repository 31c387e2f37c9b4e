//! `[channels.NAME]` with `kind = "slack"`.

use tieline_channel::Language;
use url::Url;

use crate::config::document::Table;
use crate::config::secret::SecretSource;
use crate::config::{address, defaults, language};

/// The configuration of a Slack app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackConfig {
    /// Where the app-level token, `xapp-…`, comes from.
    pub app_token: SecretSource,
    /// Where the bot token, `xoxb-…`, comes from.
    pub bot_token: SecretSource,
    /// Where the Web API is; ends with a slash.
    pub api_url: Url,
    /// Whether reactions tell how far a message is, and the model may react.
    pub reactions: bool,
    /// What its people are spoken to in.
    pub language: Language,
}

impl SlackConfig {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let app_token = table.require("app_token", "the source of the app-level token, `xapp-…`");
        let bot_token = table.require("bot_token", "the source of the bot token, `xoxb-…`");
        let api_url = match table.get("api_url") {
            Some(value) => address::read(&value, "https://slack.com/api/"),
            None => Some(defaults::slack_api_url()),
        };
        let reactions = table
            .get("reactions")
            .map_or(Some(defaults::REACTIONS), |value| value.boolean());
        let language = language::read(table);
        // Each is read before any is given up, so that all mistakes are found.
        let app_token = app_token.and_then(SecretSource::read);
        let bot_token = bot_token.and_then(SecretSource::read);
        Some(Self {
            app_token: app_token?,
            bot_token: bot_token?,
            api_url: api_url?,
            reactions: reactions?,
            language: language?,
        })
    }
}
