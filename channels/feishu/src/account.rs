//! What all parts of the channel share.

use tieline_net::Net;
use tokio::sync::OnceCell;

use crate::Settings;
use crate::api::{Api, Failure};
use crate::bots::Bots;
use crate::inbound::{Glimpses, Identity};
use crate::names::Names;
use crate::outbound::Uploads;
use crate::tenant::Tenant;
use crate::topics::Topics;

/// One Feishu app in one organisation.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) settings: Settings,
    pub(crate) net: Net,
    pub(crate) api: Api,
    pub(crate) names: Names,
    pub(crate) bots: Bots,
    pub(crate) tenant: Tenant,
    pub(crate) glimpses: Glimpses,
    pub(crate) topics: Topics,
    pub(crate) uploads: Uploads,
    identity: OnceCell<Identity>,
}

impl Account {
    pub(crate) fn new(settings: Settings, net: Net) -> Self {
        let api = Api::new(&settings, &net);
        Self {
            names: Names::new(api.clone()),
            glimpses: Glimpses::new(api.clone()),
            topics: Topics::new(api.clone()),
            bots: Bots::default(),
            tenant: Tenant::default(),
            settings,
            net,
            api,
            uploads: Uploads::default(),
            identity: OnceCell::new(),
        }
    }

    /// Returns who we are; asked once.
    ///
    /// # Errors
    ///
    /// As the call.
    pub(crate) async fn identity(&self) -> Result<&Identity, Failure> {
        self.identity
            .get_or_try_init(|| self.api.identity(&self.settings))
            .await
    }
}
