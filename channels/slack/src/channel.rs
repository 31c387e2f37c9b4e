//! The channel itself: each method in the part that knows how.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
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
use crate::{Settings, files, history, outbound, socket};
use tieline_channel::health::HealthBoard;

/// The longest text of a post. Slack refuses blocks of about 12,000 characters together, some
/// already from 11,300 on, and does not say how it counts.
const MAX_TEXT: usize = 10_500;

/// One Slack app in one workspace.
#[derive(Debug)]
pub struct SlackChannel {
    account: Arc<Account>,
    capabilities: Capabilities,
    health: HealthBoard,
    status: StatusKeeper,
    reconnect: Notify,
}

impl SlackChannel {
    /// Makes the channel.
    pub fn new(settings: Settings, net: Net) -> Self {
        let reactions = settings.reactions;
        Self {
            account: Arc::new(Account::new(settings, net)),
            capabilities: Capabilities {
                text: TextLimit {
                    max: MAX_TEXT,
                    unit: TextUnit::Chars,
                },
                repeat: Repeat::Findable,
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
impl Channel for SlackChannel {
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
            socket::run(
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
        let posted = outbound::post(&self.account, post).await?;
        if post.settles.is_empty() {
            self.status.replied(&post.to);
        }
        Ok(posted)
    }

    async fn find(&self, post: &Post, since: SystemTime) -> Result<Option<Posted>, SendError> {
        outbound::find(&self.account, post, since).await
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
        at: &Conversation,
        message: &WireId,
        emoji: Emoji,
    ) -> Result<(), SendError> {
        outbound::react(&self.account, at, message, emoji).await
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
