//! What is left to do for a Slack app, in the words of Slack's pages.

use tieline_channel::ChannelId;
use tieline_slack::setup::Bot;

use crate::cli::init::place::numbered;
use crate::config::SecretSource;

/// How far the set-up is.
pub(super) struct Situation<'a> {
    /// What every command needs so that it means this channel.
    pub(super) flags: &'a str,
    /// As [`flags`](Self::flags), for the verbs that know no channel.
    pub(super) config_flags: &'a str,
    /// The channel.
    pub(super) channel: &'a ChannelId,
    /// Where the tokens come from.
    pub(super) sources: [&'a SecretSource; 2],
    /// Whether the tokens are there.
    pub(super) has_tokens: bool,
    /// Whom they belong to, if Slack has said so.
    pub(super) bot: Option<&'a Bot>,
}

/// Writes the steps that are left, numbered.
pub(super) fn render(situation: &Situation<'_>) -> String {
    let Situation {
        flags,
        config_flags,
        channel,
        has_tokens,
        bot,
        ..
    } = situation;
    let bot = bot.map_or("coding-agent", |bot| bot.name.as_str());
    let mut steps = Vec::new();
    if !has_tokens {
        steps.push(
            "Make the app: https://api.slack.com/apps → Create New App → From a manifest → your\n\
             workspace → Next → YAML. Put what is in slack-app-manifest.yaml in place of what stands\n\
             there → Next → Create."
                .to_owned(),
        );
        steps.push(
            "Let it connect: Basic Information → App-Level Tokens → Generate Token and Scopes → any\n\
             name → Add Scope → connections:write → Generate. Copy the token, xapp-…"
                .to_owned(),
        );
        steps.push(
            "Let it into your workspace: Install App → Install to Workspace → Allow. Copy the Bot User\n\
             OAuth Token, xoxb-…"
                .to_owned(),
        );
        steps.push(hand_over(situation.sources, flags));
    }
    steps.push(format!(
        "Start tieline, in another terminal or as a service:\n\n    tieline run{config_flags}"
    ));
    steps.push(format!(
        "In Slack, find {bot} (by the search, or Apps → Add apps) and write to it. It\n\
         answers with a code; let yourself in with it:\n\n    tieline pair CODE{config_flags}\n\n\
         Write again, and Codex answers."
    ));
    steps.push(format!(
        "For a channel: type /invite @{bot} in it. Its details end with its ID, C…: add\n\
         \"{channel}:C…\" to `chats` in the configuration, start tieline again, and mention\n\
         @{bot} in the channel."
    ));
    format!("What is left to do:\n{}", numbered(&steps))
}

/// How the tokens get to where they are looked for.
fn hand_over(sources: [&SecretSource; 2], flags: &str) -> String {
    match sources {
        [SecretSource::File(_), SecretSource::File(_)] => format!(
            "Give tieline both. It asks Slack whether they are good, and keeps them in files that only\n\
             you can read:\n\n    tieline init slack --tokens{flags}"
        ),
        [app, bot] => format!(
            "Put the app-level token into {app}, the bot token into {bot},\nand look whether they are \
             good:\n\n    tieline init slack{flags}"
        ),
    }
}
