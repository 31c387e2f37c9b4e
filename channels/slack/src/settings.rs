//! What a channel is told when it is made.

use secrecy::SecretString;
use tieline_channel::{ChannelId, Language};
use url::Url;

/// What a channel is told when it is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channel's name in the configuration.
    pub id: ChannelId,
    /// The app-level token, `xapp-…`, which opens sockets.
    pub app_token: SecretString,
    /// The bot token, `xoxb-…`, which does everything else.
    pub bot_token: SecretString,
    /// Where the Web API is, with a slash at the end: `https://slack.com/api/`.
    pub api_url: Url,
    /// 👀 on a message when it is on disk, ✅ or ❌ when it is settled; without these, the model
    /// cannot react either.
    pub reactions: bool,
    /// Each message at the top of a direct chat begins a thread of its own and is answered there,
    /// as in channels; otherwise it is answered below it.
    pub thread_direct: bool,
    /// What people are told in.
    pub language: Language,
}
