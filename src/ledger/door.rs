//! The ledger as the gate and reading back see it: the rest of [`Ledger`]'s methods.

use std::time::SystemTime;

use tieline_channel::{ChannelId, Conversation, EventKey, UserId};

use crate::id::DispatcherId;
use crate::ledger::admission::{Admission, Admitted};
use crate::ledger::error::LedgerError;
use crate::ledger::handle::Ledger;
use crate::ledger::history::HistoryMark;
use crate::ledger::pairing::{Confirmation, Invitation, Paired, PairingError};
use crate::ledger::post::NewPost;

impl Ledger {
    // === At the gate ===

    /// Judges a message by what is recorded, records what becomes of it and enqueues what `say` has
    /// to say about that, all at once, unless the same event was recorded before. `say` is called in
    /// the ledger's thread: it must not wait for anything.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn admit(
        &self,
        admission: Admission,
        say: impl FnOnce(&Admitted) -> Vec<NewPost> + Send + 'static,
    ) -> Result<Admitted, LedgerError> {
        self.call(move |transaction| transaction.admit(admission, say))
            .await
    }

    /// Records an event that makes and changes no message; returns whether it was not recorded
    /// before.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn note(&self, channel: &ChannelId, event: EventKey) -> Result<bool, LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.note(&channel, &event))
            .await
    }

    // === Conversations, and the people in them ===

    /// Returns the conversations of a channel from which something was accepted since, those used
    /// last first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn conversations(
        &self,
        channel: &ChannelId,
        since: SystemTime,
        limit: usize,
    ) -> Result<Vec<Conversation>, LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.conversations(&channel, since, limit))
            .await
    }

    /// Lets in whoever was given a code and enqueues what `say` has to say about it, all at once.
    /// The inner error is for whoever gave the code.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn pair(
        &self,
        confirmation: Confirmation,
        say: impl FnOnce(&Paired) -> Vec<NewPost> + Send + 'static,
    ) -> Result<Result<Paired, PairingError>, LedgerError> {
        self.call(move |transaction| transaction.pair(confirmation, say))
            .await
    }

    /// Lets somebody in no longer; returns those who were, one for each dispatcher.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn unpair(
        &self,
        channel: &ChannelId,
        user: &UserId,
    ) -> Result<Vec<Paired>, LedgerError> {
        let (channel, user) = (channel.clone(), user.clone());
        self.call(move |transaction| transaction.unpair(&channel, &user))
            .await
    }

    /// Returns whether somebody was let in.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn is_paired(
        &self,
        dispatcher: &DispatcherId,
        channel: &ChannelId,
        user: &UserId,
    ) -> Result<bool, LedgerError> {
        let (dispatcher, channel, user) = (dispatcher.clone(), channel.clone(), user.clone());
        self.call(move |transaction| transaction.is_paired(&dispatcher, &channel, &user))
            .await
    }

    /// Returns the one-time codes that are good at `now`, the oldest first.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn invitations(&self, now: SystemTime) -> Result<Vec<Invitation>, LedgerError> {
        self.call(move |transaction| transaction.invitations(now))
            .await
    }

    /// Returns everybody who was let in.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn paired(&self) -> Result<Vec<Paired>, LedgerError> {
        self.call(|transaction| transaction.paired()).await
    }

    // === Reading back ===

    /// Returns up to when a channel has been read back: up to `now` if it is seen for the first
    /// time.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn history_mark(
        &self,
        channel: &ChannelId,
        now: SystemTime,
    ) -> Result<HistoryMark, LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.history_mark(&channel, now))
            .await
    }

    /// Notes that a channel has been read back up to then.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn set_history_mark(
        &self,
        channel: &ChannelId,
        caught_up_to: SystemTime,
    ) -> Result<(), LedgerError> {
        let channel = channel.clone();
        self.call(move |transaction| transaction.set_history_mark(&channel, caught_up_to))
            .await
    }
}
