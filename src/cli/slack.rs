//! Asking Slack about an app, and telling people what it said.

use tieline_channel::{ChannelId, Language};
use tieline_net::Net;
use tieline_slack::Settings;
use tieline_slack::setup::{self, EVENTS, Findings};
use url::Url;

use crate::cli::failure::{Exit, Failure};
use crate::cli::output::plain;
use crate::cli::table;
use crate::config::Secret;

/// Asks Slack whether the tokens of a channel are good.
pub(crate) async fn ask(
    id: &ChannelId,
    api_url: &Url,
    app_token: &Secret,
    bot_token: &Secret,
) -> Result<Findings, Failure> {
    let net = Net::new().map_err(|error| Failure::new(Exit::Internal, error))?;
    let settings = Settings {
        id: id.clone(),
        app_token: app_token.to_secrecy(),
        bot_token: bot_token.to_secrecy(),
        api_url: api_url.clone(),
        reactions: false,
        thread_direct: false,
        language: Language::default(),
    };
    Ok(setup::probe(&settings, &net).await)
}

/// Writes who the bot is and what could not be seen; nothing when Slack told nothing.
pub(crate) fn describe(id: &ChannelId, findings: &Findings) -> String {
    if findings.bot.is_none() && !findings.connects {
        return String::new();
    }
    let mut rows = table::rows();
    let mut row = |key: &str, value: String| {
        rows.add_row([key.to_owned(), plain(&value)]);
    };
    if let Some(bot) = &findings.bot {
        row("workspace", format!("{} ({})", bot.workspace, bot.team));
        row("bot", format!("@{} ({})", bot.name, bot.user));
    }
    if findings.connects {
        row(
            "connection",
            "Slack opens one: Socket Mode is on".to_owned(),
        );
    }
    if findings.bot.is_some() {
        let scopes = if !findings.unchecked.is_empty() {
            format!("Slack does not tell of {}", findings.unchecked.join(", "))
        } else if findings.problems.is_empty() {
            "all that are needed".to_owned()
        } else {
            "some are missing".to_owned()
        };
        row("scopes", scopes);
        let events: Vec<_> = EVENTS.iter().map(|event| event.name).collect();
        row(
            "events",
            format!(
                "Slack does not tell whether it sends {}; they are in the manifest, and an answer \
                 to a direct message and to a mention shows that they come",
                events.join(", ")
            ),
        );
    }
    format!("channel {id}\n{}", table::indented(&rows))
}
