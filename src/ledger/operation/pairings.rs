//! Who was let in by a one-time code, and which codes are open.

use std::time::SystemTime;

use tieline_channel::{ChannelId, UserId};

use crate::id::DispatcherId;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Key, Table};
use crate::ledger::pairing::{
    Confirmation, Guest, Invitation, MAX_INVITATIONS, Paired, PairingCode, PairingError,
};
use crate::ledger::post::NewPost;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

impl Transaction<'_> {
    /// Lets in whoever was given a code, and enqueues what is to be said about it.
    pub(in crate::ledger) fn pair(
        &mut self,
        confirmation: Confirmation,
        say: impl FnOnce(&Paired) -> Vec<NewPost>,
    ) -> Result<Result<Paired, PairingError>, LedgerError> {
        let paired = self.confirm(confirmation)?;
        if let Ok(paired) = &paired {
            self.enqueue(say(paired))?;
        }
        Ok(paired)
    }

    /// Lets in whoever was given a code.
    pub(super) fn confirm(
        &mut self,
        confirmation: Confirmation,
    ) -> Result<Result<Paired, PairingError>, LedgerError> {
        let now = time::now();
        let mut found = None;
        for (key, invitation) in self.all_invitations()? {
            let counts = confirmation
                .dispatcher
                .as_ref()
                .is_none_or(|dispatcher| *dispatcher == invitation.guest.dispatcher);
            if counts && invitation.code == confirmation.code {
                found = Some((key, invitation));
            }
        }
        let Some((key, invitation)) = found else {
            return Ok(Err(PairingError::Unknown));
        };
        if !invitation.is_open(now) {
            return Ok(Err(PairingError::Expired));
        }
        self.remove(Table::Invitations, key.clone());
        let paired = Paired {
            guest: invitation.guest,
            by: confirmation.by,
            at: now,
        };
        self.put("paired person", Table::Paired, key, &paired)?;
        Ok(Ok(paired))
    }

    /// Returns whether somebody was let in.
    pub(in crate::ledger) fn is_paired(
        &mut self,
        dispatcher: &DispatcherId,
        channel: &ChannelId,
        user: &UserId,
    ) -> Result<bool, LedgerError> {
        self.contains(Table::Paired, &key::person(dispatcher, channel, user)?)
    }

    /// Gives a stranger a code, or the one they have; returns it when it is to be told.
    pub(super) fn invite(&mut self, guest: Guest) -> Result<Option<PairingCode>, LedgerError> {
        let now = time::now();
        let key = key::person(&guest.dispatcher, &guest.channel, &guest.user)?;
        let mut codes = Vec::new();
        let mut open = 0;
        let mut own = None;
        for (other, invitation) in self.all_invitations()? {
            codes.push(invitation.code.clone());
            let is_open = invitation.is_open(now);
            if other == key {
                own = is_open.then_some(invitation);
            } else if invitation.guest.dispatcher == guest.dispatcher {
                if is_open {
                    open += 1;
                } else {
                    self.remove(Table::Invitations, other);
                }
            }
        }
        if let Some(mut own) = own {
            if !own.is_due_again(now) {
                return Ok(None);
            }
            own.told_at = now;
            self.put("invitation", Table::Invitations, key, &own)?;
            return Ok(Some(own.code));
        }
        if open >= MAX_INVITATIONS {
            return Ok(None);
        }
        let code = std::iter::repeat_with(PairingCode::random)
            .find(|code| !codes.contains(code))
            .unwrap_or_else(PairingCode::random);
        let invitation = Invitation {
            code: code.clone(),
            guest: Guest {
                name: guest.name.as_deref().map(cut_reason),
                ..guest
            },
            made_at: now,
            told_at: now,
        };
        self.put("invitation", Table::Invitations, key, &invitation)?;
        Ok(Some(code))
    }

    /// Returns the codes that are open, the oldest first.
    pub(in crate::ledger) fn invitations(
        &mut self,
        now: SystemTime,
    ) -> Result<Vec<Invitation>, LedgerError> {
        let mut open: Vec<_> = self
            .all_invitations()?
            .into_iter()
            .map(|(_, invitation)| invitation)
            .filter(|invitation| invitation.is_open(now))
            .collect();
        open.sort_by_key(|invitation| invitation.made_at);
        Ok(open)
    }

    /// Returns everybody who was let in.
    pub(in crate::ledger) fn paired(&mut self) -> Result<Vec<Paired>, LedgerError> {
        self.scan(Table::Paired, &Key::first(), &Key::first(), usize::MAX)?
            .into_iter()
            .map(|(_, value)| value.decode("paired person"))
            .collect()
    }

    /// Lets somebody in no longer; returns those who were, one for each dispatcher.
    pub(in crate::ledger) fn unpair(
        &mut self,
        channel: &ChannelId,
        user: &UserId,
    ) -> Result<Vec<Paired>, LedgerError> {
        let mut gone = self.paired()?;
        gone.retain(|paired| paired.guest.channel == *channel && paired.guest.user == *user);
        for paired in &gone {
            let key = key::person(&paired.guest.dispatcher, channel, user)?;
            self.remove(Table::Paired, key);
        }
        Ok(gone)
    }

    fn all_invitations(&mut self) -> Result<Vec<(Key, Invitation)>, LedgerError> {
        self.scan(Table::Invitations, &Key::first(), &Key::first(), usize::MAX)?
            .into_iter()
            .map(|(key, value)| Ok((key, value.decode("invitation")?)))
            .collect()
    }
}
