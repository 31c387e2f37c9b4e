//! Asking the platform of a channel about the app there.

use tieline_channel::ChannelId;
use tieline_channel::setup::Problem;

use crate::cli::failure::Failure;
use crate::cli::{feishu, slack};
use crate::config::ChannelConfig;
use crate::daemon::Secrets;

/// Asks the platform of a channel; returns what is wrong and what there is to say. `None` for a
/// channel without a platform, or whose secrets were not fetched: no dispatcher has it, which was
/// warned of.
pub(crate) async fn ask(
    id: &ChannelId,
    channel: &ChannelConfig,
    secrets: &Secrets,
) -> Result<Option<(Vec<Problem>, String)>, Failure> {
    let secret = |key| secrets.get(id, key);
    Ok(match channel {
        ChannelConfig::Console(_) => None,
        ChannelConfig::Slack(slack) => match (secret("app_token"), secret("bot_token")) {
            (Some(app_token), Some(bot_token)) => {
                let findings = slack::ask(id, &slack.api_url, app_token, bot_token).await?;
                let described = slack::describe(id, &findings);
                Some((findings.problems, described))
            }
            _ => None,
        },
        ChannelConfig::Feishu(app) => match secret("app_secret") {
            Some(app_secret) => {
                let findings = feishu::ask(id, app, app_secret).await?;
                let described = feishu::describe(id, app, &findings);
                Some((findings.problems, described))
            }
            None => None,
        },
    })
}
