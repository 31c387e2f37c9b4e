//! Forgetting: settled messages and entries, and deduplication keys, after their time.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::{CompletionId, MessageId, OutboxId, RunId, SessionId, TeammateId};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::operation::messages::Seen;
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// How many things are forgotten in one step.
const STEP: usize = 128;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Settled messages.
    pub messages: u64,
    /// Deduplication keys.
    pub keys: u64,
    /// Settled entries of the outbox.
    pub posts: u64,
    /// Files of long texts.
    pub spools: u64,
    /// Conversations.
    #[serde(default)]
    pub conversations: u64,
    /// Settled completions.
    #[serde(default)]
    pub completions: u64,
    /// Teammates that were closed.
    #[serde(default)]
    pub teammates: u64,
    /// Approvals that are settled.
    #[serde(default)]
    pub approvals: u64,
    /// Idempotency keys.
    #[serde(default)]
    pub orders: u64,
    /// Runs that are over.
    #[serde(default)]
    pub runs: u64,
    /// Sessions that were closed, or had failed.
    #[serde(default)]
    pub sessions: u64,
}

impl Expired {
    /// Adds another step's.
    pub(in crate::ledger) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.keys += other.keys;
        self.posts += other.posts;
        self.spools += other.spools;
        self.conversations += other.conversations;
        self.completions += other.completions;
        self.teammates += other.teammates;
        self.approvals += other.approvals;
        self.orders += other.orders;
        self.runs += other.runs;
        self.sessions += other.sessions;
    }
}

/// What is old enough to be forgotten.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Horizon {
    /// The present.
    pub(in crate::ledger) now: SystemTime,
    /// What was settled by then is forgotten.
    pub(in crate::ledger) settled: SystemTime,
    /// What was seen by then is forgotten.
    pub(in crate::ledger) seen: SystemTime,
    /// What was last used by then is forgotten.
    pub(in crate::ledger) conversations: SystemTime,
    /// What was ordered by then may be ordered again under the same key.
    pub(in crate::ledger) ordered: SystemTime,
}

impl Transaction<'_> {
    /// Forgets a bounded number of things; the flag says whether there may be more.
    pub(in crate::ledger) fn expire_step(
        &mut self,
        horizon: Horizon,
    ) -> Result<(Expired, bool), LedgerError> {
        let mut expired = Expired::default();
        let messages = self.due_expiries(Class::Message, horizon.settled, STEP)?;
        let posts = self.due_expiries(Class::Post, horizon.settled, STEP)?;
        let keys = self.due_expiries(Class::Seen, horizon.seen, STEP)?;
        let conversations = self.due_expiries(Class::Conversation, horizon.conversations, STEP)?;
        let senders = self.due_expiries(Class::Sender, horizon.settled, STEP)?;
        // Their names keep repeated reports away, as deduplication keys do for messages.
        let remembered = horizon.settled.min(horizon.seen);
        let completions = self.due_expiries(Class::Completion, remembered, STEP)?;
        // They stay readable for as long as conversations are known.
        let teammates = self.due_expiries(Class::Teammate, horizon.conversations, STEP)?;
        let runs = self.due_expiries(Class::Run, horizon.conversations, STEP)?;
        let approvals = self.due_expiries(Class::Approval, horizon.settled, STEP)?;
        for key in &approvals {
            self.expire_settled_approval(key);
            expired.approvals += 1;
        }
        let orders = self.due_expiries(Class::Keyed, horizon.ordered, STEP)?;
        let sessions = self.due_expiries(Class::Session, horizon.conversations, STEP)?;
        for key in &messages {
            self.expire_message(key, &mut expired)?;
        }
        for key in &posts {
            self.expire_post(key, &mut expired)?;
        }
        for key in &keys {
            self.expire_seen(key, horizon.now, &mut expired)?;
        }
        for key in &conversations {
            self.expire_conversation(key, horizon.conversations, &mut expired)?;
        }
        for key in &senders {
            self.expire_sender(key);
        }
        for key in &completions {
            self.expire_completion(key, &mut expired)?;
        }
        for key in &teammates {
            self.expire_teammate(key, horizon.now, &mut expired)?;
        }
        let turns = self.due_expiries(Class::Ended, horizon.settled, STEP)?;
        for key in &turns {
            self.remove(Table::Ended, key.clone());
        }
        for key in &runs {
            self.expire_run(key, &mut expired)?;
        }
        for key in &orders {
            self.expire_keyed(key, &mut expired);
        }
        for key in &sessions {
            let id = SessionId::from_bytes(id_bytes(key)?);
            self.expire_session(id, horizon.now, &mut expired)?;
        }
        self.expire_marks(horizon.conversations)?;
        let more = [
            messages,
            posts,
            keys,
            conversations,
            senders,
            completions,
            teammates,
            approvals,
            orders,
            sessions,
            turns,
            runs,
        ]
        .iter()
        .any(|keys| keys.len() == STEP);
        Ok((expired, more))
    }

    /// Notes that the thing at `target` may be forgotten some time after `since`.
    pub(super) fn expire_later(
        &mut self,
        class: Class,
        since: SystemTime,
        target: &Key,
    ) -> Result<(), LedgerError> {
        self.put(
            "expiry",
            Table::Expiry,
            key::expiry(class, since, target),
            &(),
        )
    }

    /// Takes up to `limit` expiries of a class up to `until` and returns their targets, the oldest
    /// first.
    pub(super) fn due_expiries(
        &mut self,
        class: Class,
        until: SystemTime,
        limit: usize,
    ) -> Result<Vec<Key>, LedgerError> {
        let prefix = key::expiring(class);
        let until = time::to_millis(until);
        let mut targets = Vec::new();
        for (key, _) in self.scan(Table::Expiry, &prefix, &prefix, limit)? {
            let (since, target) = key::split_expiry(&key).ok_or(LedgerError::Damaged {
                what: "expiry",
                reason: "its key is too short".to_owned(),
            })?;
            if since > until {
                break;
            }
            self.remove(Table::Expiry, key);
            targets.push(target);
        }
        Ok(targets)
    }

    fn expire_message(&mut self, key: &Key, expired: &mut Expired) -> Result<(), LedgerError> {
        let Some(message) = self.stored_message(MessageId::from_bytes(id_bytes(key)?))? else {
            return Ok(());
        };
        self.state.move_message(Some(&message.state), None);
        self.remove(Table::Messages, key.clone());
        expired.messages += 1;
        self.expire_file(message.file(), expired);
        Ok(())
    }

    fn expire_post(&mut self, key: &Key, expired: &mut Expired) -> Result<(), LedgerError> {
        let Some(post) = self.stored_post(OutboxId::from_bytes(id_bytes(key)?))? else {
            return Ok(());
        };
        self.state.move_post(Some(&post.state), None);
        self.remove(Table::Outbox, key.clone());
        self.forget_saying(&post);
        expired.posts += 1;
        self.expire_file(post.file(), expired);
        Ok(())
    }

    fn expire_completion(&mut self, key: &Key, expired: &mut Expired) -> Result<(), LedgerError> {
        let id = CompletionId::from_bytes(id_bytes(key)?);
        let Some(completion) = self.stored_completion(id)? else {
            return Ok(());
        };
        let name = key::reported(&completion.dispatcher, &completion.name)?;
        self.remove(Table::Reported, name);
        self.remove(Table::Completions, key.clone());
        expired.completions += 1;
        self.expire_file(completion.file(), expired);
        Ok(())
    }

    /// Forgets a deduplication key, unless its message is not settled yet: then it stays for as
    /// long again.
    fn expire_seen(
        &mut self,
        key: &Key,
        now: SystemTime,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        let Some(Seen { message }) = self.seen(key)? else {
            return Ok(());
        };
        let message = match message {
            Some(id) => self.stored_message(id)?,
            None => None,
        };
        if message.is_some_and(|message| !message.state.is_settled()) {
            return self.expire_later(Class::Seen, now, key);
        }
        self.remove(Table::Seen, key.clone());
        self.state.counts.keys = self.state.counts.keys.saturating_sub(1);
        expired.keys += 1;
        Ok(())
    }

    /// Forgets a teammate, unless it has left something unfinished: then it stays for as long again.
    fn expire_teammate(
        &mut self,
        key: &Key,
        now: SystemTime,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        let id = TeammateId::from_bytes(id_bytes(key)?);
        let Some(teammate) = self.stored_teammate(id)? else {
            return Ok(());
        };
        if !self.has_finished(&teammate)? {
            return self.expire_later(Class::Teammate, now, key);
        }
        self.forget_teammate(teammate, expired)
    }

    /// Forgets a run that is over.
    pub(super) fn expire_run(
        &mut self,
        key: &Key,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        self.forget_run(RunId::from_bytes(id_bytes(key)?), expired)
    }

    pub(super) fn expire_file(&mut self, file: Option<SpoolName>, expired: &mut Expired) {
        if let Some(file) = file {
            self.unname_file(file);
            expired.spools += 1;
        }
    }
}

/// Returns whether a record names a spool file.
pub(in crate::ledger) fn is_named(
    transaction: &mut Transaction<'_>,
    owner: SpoolOwner,
    name: &SpoolName,
) -> Result<bool, LedgerError> {
    let named = match owner {
        SpoolOwner::Message(id) => transaction
            .stored_message(id)?
            .and_then(super::messages::StoredMessage::file),
        SpoolOwner::Post(id) => transaction
            .stored_post(id)?
            .and_then(super::outbox::StoredPost::file),
        SpoolOwner::Completion(id) => transaction
            .stored_completion(id)?
            .and_then(super::completions::StoredCompletion::file),
        SpoolOwner::Teammate(id) => transaction
            .stored_teammate(id)?
            .and_then(super::teammates::StoredTeammate::file),
        SpoolOwner::Task(id) => transaction
            .stored_task(id)?
            .and_then(super::tasks::StoredTask::file),
        SpoolOwner::Result(id) => transaction
            .stored_result(id)?
            .and_then(super::tasks::StoredResult::file),
        SpoolOwner::Run(id) => transaction
            .stored_run(id)?
            .and_then(super::runs::StoredRun::file),
        SpoolOwner::Outcome(id) => transaction
            .stored_outcome(id)?
            .and_then(super::runs::StoredOutcome::file),
        SpoolOwner::Session(id) => transaction
            .stored_session(id)?
            .and_then(super::sessions::StoredSession::file),
    };
    Ok(named.as_ref() == Some(name))
}

fn id_bytes(key: &Key) -> Result<[u8; 16], LedgerError> {
    key.as_bytes().try_into().map_err(|_| LedgerError::Damaged {
        what: "expiry",
        reason: "it does not name an id".to_owned(),
    })
}
