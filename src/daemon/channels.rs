//! From the configuration of a channel to the channel.

use std::sync::Arc;

use anyhow::Context as _;
use secrecy::SecretString;
use tieline_channel::{Channel, ChannelId};
use tieline_console::ConsoleChannel;
use tieline_feishu::FeishuChannel;
use tieline_net::Net;
use tieline_slack::SlackChannel;

use super::Secrets;
use crate::config::{
    ChannelConfig, Config, DispatcherConfig, FeishuConfig, Secret, Sessions, SlackConfig,
};
use crate::dispatcher::Line;

/// Makes the channels of a configuration.
pub(super) struct Builder<'a> {
    config: &'a Config,
    secrets: &'a Secrets,
    /// Made with the first channel that needs it: not every daemon reaches out.
    net: Option<Net>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(config: &'a Config, secrets: &'a Secrets) -> Self {
        Self {
            config,
            secrets,
            net: None,
        }
    }

    /// Makes the channel `id`, for the dispatcher that has it.
    ///
    /// # Errors
    ///
    /// When its surroundings are not as they must be; nothing is connected yet.
    pub(super) fn build(
        &mut self,
        id: &ChannelId,
        dispatcher: &DispatcherConfig,
    ) -> anyhow::Result<Line> {
        let declared = self
            .config
            .channels
            .get(id)
            .context("a dispatcher names an unknown channel")?;
        let channel: Arc<dyn Channel> = match declared {
            ChannelConfig::Console(_) => {
                let socket = self
                    .config
                    .console_socket(id)
                    .context("a console has no socket")?;
                Arc::new(ConsoleChannel::new(id.clone(), socket))
            }
            ChannelConfig::Slack(slack) => {
                let thread_direct = dispatcher.sessions == Sessions::Thread;
                let settings = of_slack(id, slack, thread_direct, self.secrets)?;
                Arc::new(SlackChannel::new(settings, self.net()?))
            }
            ChannelConfig::Feishu(feishu) => {
                let settings = of_feishu(id, feishu, self.secrets)?;
                Arc::new(FeishuChannel::new(settings, self.net()?))
            }
        };
        Ok(Line {
            kind: declared.kind(),
            channel,
            language: declared.language(),
        })
    }

    fn net(&mut self) -> anyhow::Result<Net> {
        let net = match self.net.take() {
            Some(net) => net,
            None => Net::new().context("no platform can be reached")?,
        };
        Ok(self.net.insert(net).clone())
    }
}

/// Returns what a Slack channel is told.
///
/// # Errors
///
/// When a secret was not fetched.
fn of_slack(
    id: &ChannelId,
    slack: &SlackConfig,
    thread_direct: bool,
    secrets: &Secrets,
) -> anyhow::Result<tieline_slack::Settings> {
    let token = |key| secret(id, key, secrets);
    Ok(tieline_slack::Settings {
        id: id.clone(),
        app_token: token("app_token")?,
        bot_token: token("bot_token")?,
        api_url: slack.api_url.clone(),
        reactions: slack.reactions,
        thread_direct,
        language: slack.language,
    })
}

/// Returns what a Feishu channel is told.
///
/// # Errors
///
/// When its secret was not fetched.
fn of_feishu(
    id: &ChannelId,
    feishu: &FeishuConfig,
    secrets: &Secrets,
) -> anyhow::Result<tieline_feishu::Settings> {
    Ok(tieline_feishu::Settings {
        id: id.clone(),
        app_id: feishu.app_id.clone(),
        app_secret: secret(id, "app_secret", secrets)?,
        base_url: feishu.base_url.clone(),
        reactions: feishu.reactions,
        language: feishu.language,
    })
}

fn secret(id: &ChannelId, key: &'static str, secrets: &Secrets) -> anyhow::Result<SecretString> {
    secrets
        .get(id, key)
        .map(Secret::to_secrecy)
        .with_context(|| format!("channels.{id}.{key} was not fetched"))
}
