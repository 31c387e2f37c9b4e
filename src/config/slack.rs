//! `[channels.NAME]` with `kind = "slack"`.

use url::{Host, Url};

use crate::config::defaults;
use crate::config::document::{Table, Value};
use crate::config::secret::SecretSource;

/// The configuration of a Slack app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackConfig {
    /// Where the app-level token, `xapp-…`, comes from.
    pub app_token: SecretSource,
    /// Where the bot token, `xoxb-…`, comes from.
    pub bot_token: SecretSource,
    /// Where the Web API is; ends with a slash.
    pub api_url: Url,
    /// Whether reactions tell how far a message is.
    pub reactions: bool,
}

impl SlackConfig {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let app_token = table.require("app_token", "the source of the app-level token, `xapp-…`");
        let bot_token = table.require("bot_token", "the source of the bot token, `xoxb-…`");
        let api_url = match table.get("api_url") {
            Some(value) => read_url(&value),
            None => Some(defaults::slack_api_url()),
        };
        let reactions = table
            .get("reactions")
            .map_or(Some(defaults::REACTIONS), |value| value.boolean());
        // Each is read before any is given up, so that all mistakes are found.
        let app_token = app_token.and_then(SecretSource::read);
        let bot_token = bot_token.and_then(SecretSource::read);
        Some(Self {
            app_token: app_token?,
            bot_token: bot_token?,
            api_url: api_url?,
            reactions: reactions?,
        })
    }
}

/// Reads the address of an API. Tokens are sent there, so it is reached over TLS unless it is on
/// this machine.
fn read_url(value: &Value<'_>) -> Option<Url> {
    const EXPECTED: &str = "an address such as \"https://slack.com/api/\"";
    let text = value.text(EXPECTED)?;
    let Ok(mut url) = Url::parse(text) else {
        value.reading().note(value.mistake(EXPECTED));
        return None;
    };
    let problem = match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some(
            value
                .objection("tokens are sent there, so http:// is for this machine only")
                .hint("write https://, or http://127.0.0.1:PORT"),
        ),
        _ => Some(value.mistake(EXPECTED)),
    };
    let problem = problem.or_else(|| {
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        (!bare).then(|| value.objection("it ends with its path: no user, `?` or `#`"))
    });
    if let Some(problem) = problem {
        value.reading().note(problem);
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
