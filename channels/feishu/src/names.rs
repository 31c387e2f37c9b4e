//! The names of people and chats.

use tokio_util::sync::CancellationToken;

use crate::api::Api;

/// The names of people and chats, remembered for a while.
#[derive(Debug)]
pub(crate) struct Names {
    _api: Api,
}

impl Names {
    pub(crate) fn new(api: Api) -> Self {
        Self { _api: api }
    }

    /// Looks names up until `stop` is cancelled.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
