//! What a channel is told when it is made.

use secrecy::SecretString;
use tieline_channel::{ChannelId, Language};
use url::Url;

/// What a channel is told when it is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channel's name in the configuration.
    pub id: ChannelId,
    /// The app, `cli_…`.
    pub app_id: String,
    /// The app's secret.
    pub app_secret: SecretString,
    /// Where the Open API and discovery are: `https://open.feishu.cn` or
    /// `https://open.larksuite.com`.
    pub base_url: Url,
    /// A reaction on a message when it is on disk, and another one when it is settled; without these,
    /// the model cannot react either.
    pub reactions: bool,
    /// What tieline's own words are written in.
    pub language: Language,
}
