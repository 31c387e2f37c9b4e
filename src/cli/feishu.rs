//! Asking Feishu about an app, and telling people what it said.

use tieline_channel::ChannelId;
use tieline_feishu::Settings;
use tieline_feishu::setup::{self, CALLBACKS, EVENTS, Findings};
use tieline_net::Net;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::plain;
use crate::cli::table;
use crate::config::{FeishuConfig, Secret};

/// Asks Feishu whether an app is good.
pub(crate) async fn ask(
    id: &ChannelId,
    feishu: &FeishuConfig,
    app_secret: &Secret,
) -> Result<Findings, Failure> {
    let net = Net::new().map_err(|error| Failure::new(Exit::Internal, error))?;
    let settings = Settings {
        id: id.clone(),
        app_id: feishu.app_id.clone(),
        app_secret: app_secret.to_secrecy(),
        base_url: feishu.base_url.clone(),
        reactions: feishu.reactions,
        language: feishu.language,
    };
    Ok(setup::probe(&settings, &net).await)
}

/// Writes who the bot is and what could not be seen; nothing when Feishu told nothing.
pub(crate) fn describe(id: &ChannelId, feishu: &FeishuConfig, findings: &Findings) -> String {
    if findings.bot.is_none() && !findings.connects {
        return String::new();
    }
    let mut rows = table::rows();
    let mut row = |key: &str, value: String| {
        rows.add_row([key.to_owned(), plain(&value)]);
    };
    row("app", feishu.app_id.clone());
    if let Some(bot) = &findings.bot {
        row("bot", format!("{} ({})", bot.name, bot.open_id));
    }
    let scopes = match findings.lacks_scopes {
        Some(false) => "all that are needed",
        Some(true) => "some are missing",
        None => "Feishu did not tell",
    };
    row("scopes", scopes.to_owned());
    if findings.connects {
        row("connection", "Feishu gives one".to_owned());
    }
    let subscribed: Vec<_> = EVENTS.iter().chain(CALLBACKS).map(|it| it.name).collect();
    row(
        "events",
        format!(
            "Feishu does not tell whether the long connection is chosen, whether {} are \
             subscribed to, and whether the latest version is published: look at Events & \
             Callbacks and at Version Management & Release in {}app/{}; an answer to a direct \
             message and to a mention shows that all is well",
            subscribed.join(", "),
            feishu.base_url,
            feishu.app_id,
        ),
    );
    format!("channel {id}\n{}", table::indented(&rows))
}
