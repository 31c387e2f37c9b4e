//! The channel itself: each method in the part that knows how.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tieline_channel::health::HealthBoard;
use tieline_channel::{
    Attachment, Capabilities, CaughtUp, Channel, ChannelId, Conversation, Emoji, Health, Intake,
    Message, Post, Posted, Repeat, RunError, Said, SendError, Status, TextLimit, TextUnit, WireId,
};
use tieline_net::Net;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::account::Account;
use crate::status::StatusKeeper;
use crate::{Settings, connection, files, history, outbound};

/// One Feishu app in one organisation.
#[derive(Debug)]
pub struct FeishuChannel {
    account: Arc<Account>,
    capabilities: Capabilities,
    health: HealthBoard,
    status: StatusKeeper,
    reconnect: Notify,
}

impl FeishuChannel {
    /// Makes the channel.
    pub fn new(settings: Settings, net: Net) -> Self {
        let reactions = settings.reactions;
        Self {
            account: Arc::new(Account::new(settings, net)),
            capabilities: Capabilities {
                text: TextLimit {
                    max: outbound::MAX_TEXT,
                    unit: TextUnit::Bytes,
                },
                repeat: Repeat::IdempotentFor(outbound::KEY_LASTS),
                edit: true,
                delete: true,
                status: true,
                reactions,
                buttons: true,
                files: true,
                max_file_bytes: outbound::MAX_FILE_BYTES,
                settles: false,
                history: true,
                operator_only: false,
            },
            health: HealthBoard::new(),
            status: StatusKeeper::new(),
            reconnect: Notify::new(),
        }
    }
}

#[async_trait]
impl Channel for FeishuChannel {
    fn id(&self) -> &ChannelId {
        &self.account.settings.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) -> Result<(), RunError> {
        tokio::join!(
            connection::run(
                &self.account,
                &self.health,
                intake,
                &self.reconnect,
                stop.clone()
            ),
            self.status.run(&self.account, stop.clone()),
            self.account.names.run(stop),
        );
        self.health.stopped();
        Ok(())
    }

    async fn post(&self, post: &Post) -> Result<Posted, SendError> {
        outbound::post(&self.account, post).await
    }

    /// Feishu recognises a repeated post by its key, so nobody has to look.
    async fn find(&self, _post: &Post, _since: SystemTime) -> Result<Option<Posted>, SendError> {
        Err(SendError::Never {
            reason: "posts are recognised by their keys and not looked up".to_owned(),
        })
    }

    async fn edit(&self, at: &Conversation, message: &WireId, text: &str) -> Result<(), SendError> {
        outbound::edit(&self.account, at, message, text).await
    }

    async fn delete(&self, at: &Conversation, message: &WireId) -> Result<(), SendError> {
        outbound::delete(&self.account, at, message).await
    }

    async fn show_status(
        &self,
        at: &Conversation,
        message: &WireId,
        status: &Status,
    ) -> Result<(), SendError> {
        self.status.show(&self.account, at, message, status).await
    }

    async fn react(
        &self,
        _at: &Conversation,
        message: &WireId,
        emoji: Emoji,
    ) -> Result<(), SendError> {
        outbound::react(&self.account, message, emoji).await
    }

    async fn fetch(
        &self,
        attachment: &Attachment,
        to: &Path,
        max_bytes: u64,
    ) -> Result<(), SendError> {
        files::fetch(&self.account, attachment, to, max_bytes).await
    }

    async fn earlier(&self, message: &Message, limit: usize) -> Result<Vec<Said>, SendError> {
        history::earlier(&self.account, message, limit).await
    }

    async fn catch_up(
        &self,
        since: SystemTime,
        threads: &[Conversation],
        intake: &dyn Intake,
    ) -> Result<CaughtUp, SendError> {
        history::catch_up(&self.account, since, threads, intake).await
    }

    fn reconnect(&self, reason: &str) {
        info!(reason, "the connection is made anew");
        self.reconnect.notify_one();
    }
}
