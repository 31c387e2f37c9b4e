//! The trait itself.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::capability::Capabilities;
use crate::emoji::Emoji;
use crate::error::{AcceptError, RunError, SendError};
use crate::health::Health;
use crate::id::{ChannelId, WireId};
use crate::inbound::{Attachment, CaughtUp, Conversation, Event, Message, Receipt, Said};
use crate::outbound::{Post, Posted, Status};

/// Takes what comes in.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Takes one event and returns when it is on disk.
    ///
    /// May be called concurrently and more than once for the same event. A channel acknowledges
    /// an event to its platform when this has returned `Ok`, and never when it returned `Err`.
    /// A dropped call leaves the event either recorded or not: deliver it again to find out.
    ///
    /// # Errors
    ///
    /// When the event is not on disk.
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError>;
}

/// One connection to one platform account.
///
/// Methods beyond [`run`](Channel::run) and [`post`](Channel::post) are only called when
/// [`capabilities`](Channel::capabilities) grants them.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// Returns the channel's name in the configuration.
    fn id(&self) -> &ChannelId;

    /// Returns what the platform can and cannot do.
    fn capabilities(&self) -> &Capabilities;

    /// Returns the latest word on the connection, and every later one.
    fn health(&self) -> watch::Receiver<Health>;

    /// Keeps the connection up and hands in what arrives, until `stop` is cancelled.
    ///
    /// Lost connections are made again for ever, with backoff. All tasks that this starts have
    /// ended when it returns.
    ///
    /// # Errors
    ///
    /// When the channel cannot work until the operator has changed something.
    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) -> Result<(), RunError>;

    /// Posts a message and returns the platform's id of it.
    ///
    /// # Errors
    ///
    /// [`SendError::Unclear`] whenever the platform may have taken the post.
    async fn post(&self, post: &Post) -> Result<Posted, SendError>;

    /// Looks for a post whose fate is unclear; `None` when the platform does not have it.
    ///
    /// Called when [`Repeat::Findable`](crate::Repeat::Findable).
    ///
    /// # Errors
    ///
    /// When the platform cannot be asked.
    async fn find(&self, post: &Post, since: SystemTime) -> Result<Option<Posted>, SendError>;

    /// Replaces the text of a post of ours. Safe to repeat.
    ///
    /// # Errors
    ///
    /// When it was not replaced.
    async fn edit(&self, at: &Conversation, message: &WireId, text: &str) -> Result<(), SendError>;

    /// Deletes a post of ours. Safe to repeat.
    ///
    /// # Errors
    ///
    /// When it was not deleted.
    async fn delete(&self, at: &Conversation, message: &WireId) -> Result<(), SendError>;

    /// Shows how far a message is, in whatever way the platform has: a reaction, a native status.
    /// Best effort: a failure is logged and forgotten.
    ///
    /// # Errors
    ///
    /// When it could not be shown.
    async fn show_status(
        &self,
        at: &Conversation,
        message: &WireId,
        status: &Status,
    ) -> Result<(), SendError>;

    /// Puts an emoji on a message. Safe to repeat: one that is there already is a success.
    ///
    /// Called when [`Capabilities::reactions`]. Durable, unlike a status: it stays when the message
    /// is settled.
    ///
    /// # Errors
    ///
    /// [`SendError::Unclear`] whenever the platform may have taken it.
    async fn react(
        &self,
        at: &Conversation,
        message: &WireId,
        emoji: Emoji,
    ) -> Result<(), SendError>;

    /// Fetches an attachment into the file `to`, which is made or replaced. `to` is whole when this
    /// returns `Ok`, and nothing worth keeping otherwise.
    ///
    /// # Errors
    ///
    /// When it could not be fetched, or has more than `max_bytes`.
    async fn fetch(
        &self,
        attachment: &Attachment,
        to: &Path,
        max_bytes: u64,
    ) -> Result<(), SendError>;

    /// Returns what was said in a message's thread before it, oldest first; of more than `limit`
    /// messages the thread's first and the latest ones.
    ///
    /// Called when [`Capabilities::history`] for messages that are
    /// [`in_thread`](crate::Message::in_thread).
    ///
    /// # Errors
    ///
    /// When the platform cannot be asked.
    async fn earlier(&self, message: &Message, limit: usize) -> Result<Vec<Said>, SendError>;

    /// Hands in what was written after `since` wherever we are, oldest first within a conversation,
    /// under the keys that the connection would have used. `threads` are conversations in which
    /// something was said lately; a platform that does not tell which threads have news asks for
    /// these.
    ///
    /// Called when [`Capabilities::history`]. Keeps to the platform's rate limits, so it may take
    /// minutes; safe to drop and to repeat.
    ///
    /// # Errors
    ///
    /// When not everything that can be read was handed in.
    async fn catch_up(
        &self,
        since: SystemTime,
        threads: &[Conversation],
        intake: &dyn Intake,
    ) -> Result<CaughtUp, SendError>;

    /// Makes the connection anew: it looks alive, but what is written does not arrive by it.
    fn reconnect(&self, reason: &str);
}
