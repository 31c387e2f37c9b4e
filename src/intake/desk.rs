//! The operator's side of pairing: what the command line asks through the control API.

use std::time::SystemTime;

use tieline_channel::{ChannelId, PostKind, UserId};

use super::words;
use crate::config::Languages;
use crate::ledger::{
    Confirmation, Host, Invitation, Ledger, LedgerError, NewPost, Paired, PairingCode, PairingError,
};

/// Lets people in for the operator.
#[derive(Clone, Debug)]
pub struct PairingDesk {
    ledger: Ledger,
    languages: Languages,
}

impl PairingDesk {
    /// Makes a desk of this ledger, which speaks to people as their channels do.
    pub fn new(ledger: Ledger, languages: Languages) -> Self {
        Self { ledger, languages }
    }

    /// Returns the codes that are open, and everybody who was let in.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn list(&self) -> Result<(Vec<Invitation>, Vec<Paired>), LedgerError> {
        let open = self.ledger.invitations(SystemTime::now()).await?;
        Ok((open, self.ledger.paired().await?))
    }

    /// Lets in whoever was given a code, and tells them. The inner error is for whoever gave it.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn confirm(
        &self,
        code: PairingCode,
    ) -> Result<Result<Paired, PairingError>, LedgerError> {
        let confirmation = Confirmation {
            code,
            dispatcher: None,
            by: Host::Operator,
        };
        let languages = self.languages.clone();
        self.ledger
            .pair(confirmation, move |paired| {
                vec![welcome(paired, &languages)]
            })
            .await
    }

    /// Lets somebody in no longer; returns those who were, one for each dispatcher.
    ///
    /// # Errors
    ///
    /// When it is not on disk.
    pub async fn revoke(
        &self,
        channel: &ChannelId,
        user: &UserId,
    ) -> Result<Vec<Paired>, LedgerError> {
        self.ledger.unpair(channel, user).await
    }
}

/// Returns what somebody who was let in is told.
pub(super) fn welcome(paired: &Paired, languages: &Languages) -> NewPost {
    let language = languages.of(&paired.guest.channel);
    NewPost {
        channel: paired.guest.channel.clone(),
        to: paired.guest.conversation.clone(),
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Notice,
        text: words::YOU_ARE_IN.within(language).to_owned(),
        buttons: Vec::new(),
        as_file: None,
        file: None,
        reaction: None,
        edit: None,
    }
}
