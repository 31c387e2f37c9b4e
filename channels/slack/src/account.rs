//! What all parts of the channel share.

use serde::Deserialize;
use tieline_net::Net;
use tokio::sync::OnceCell;

use crate::Settings;
use crate::inbound::Names;
use crate::web::{CallError, Method, Web};

/// One Slack app in one workspace.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) settings: Settings,
    pub(crate) net: Net,
    pub(crate) web: Web,
    pub(crate) names: Names,
    identity: OnceCell<Identity>,
}

/// Who we are: the answer of `auth.test`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Identity {
    /// The bot's user, `U…`.
    pub(crate) user_id: String,
    /// The name of that user, by which it is mentioned.
    #[serde(default)]
    pub(crate) user: String,
    /// The bot itself, `B…`; absent for the token of a person.
    #[serde(default)]
    pub(crate) bot_id: Option<String>,
    /// The workspace, `T…`.
    pub(crate) team_id: String,
    /// The workspace's name.
    #[serde(default)]
    pub(crate) team: String,
}

impl Account {
    pub(crate) fn new(settings: Settings, net: Net) -> Self {
        let web = Web::new(&settings, &net);
        Self {
            names: Names::new(web.clone()),
            settings,
            net,
            web,
            identity: OnceCell::new(),
        }
    }

    /// Returns who we are; asked once.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn identity(&self) -> Result<&Identity, CallError> {
        let ask = async || {
            let identity: Identity = self.web.call(Method::AuthTest, Vec::new()).await?;
            // Nearly every message in a channel mentions us; the first one, too, is to say whom.
            self.names
                .heard_of_user(&identity.user_id, &identity.user, &identity.team_id);
            Ok(identity)
        };
        self.identity.get_or_try_init(ask).await
    }
}
