//! `[channels.NAME]` with `kind = "feishu"`.

use tieline_channel::Language;
use url::Url;

use crate::config::document::Table;
use crate::config::secret::SecretSource;
use crate::config::{address, defaults, language};

/// The configuration of a Feishu or Lark app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeishuConfig {
    /// The app, `cli_…`.
    pub app_id: String,
    /// Where the app's secret comes from.
    pub app_secret: SecretSource,
    /// Where the Open API is; ends with a slash. It tells Feishu from Lark.
    pub base_url: Url,
    /// Where apps are made by scanning a code; ends with a slash.
    pub accounts_url: Url,
    /// Whether reactions tell how far a message is, and the model may react.
    pub reactions: bool,
    /// What its people are spoken to in.
    pub language: Language,
}

impl FeishuConfig {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let app_id = table.require("app_id", "the App ID, `cli_…`");
        let app_secret = table.require("app_secret", "the source of the App Secret");
        let base_url = match table.get("base_url") {
            Some(value) => address::read(&value, "https://open.feishu.cn"),
            None => Some(defaults::feishu_base_url()),
        };
        let accounts_url = match table.get("accounts_url") {
            Some(value) => address::read(&value, "https://accounts.feishu.cn"),
            // An app of Lark has its account there too.
            None => base_url.as_ref().map(defaults::feishu_accounts_url),
        };
        let reactions = table
            .get("reactions")
            .map_or(Some(defaults::REACTIONS), |value| value.boolean());
        let language = language::read(table);
        // Each is read before any is given up, so that all mistakes are found.
        let app_id = app_id.and_then(|value| {
            let text = value.text("the App ID, `cli_…`")?.to_owned();
            let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
            if !is_plain {
                value.reading().note(value.mistake("the App ID, `cli_…`"));
            }
            is_plain.then_some(text)
        });
        let app_secret = app_secret.and_then(SecretSource::read);
        Some(Self {
            app_id: app_id?,
            app_secret: app_secret?,
            base_url: base_url?,
            accounts_url: accounts_url?,
            reactions: reactions?,
            language: language?,
        })
    }
}
