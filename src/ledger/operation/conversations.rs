//! Conversations: which are known, which were joined, and who writes how often.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, Conversation, UserId};

use crate::ledger::admission::Limit;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::operation::expiry::Expired;
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// How many conversations are known. When there are more, one that was long not used is forgotten,
/// as if its time had come.
pub(in crate::ledger) const MAX_CONVERSATIONS: u64 = 20_000;

/// Among how many the one to forget is chosen.
const CANDIDATES: usize = 16;

/// A conversation as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredConversation {
    conversation: Conversation,
    /// A message that was addressed to us was accepted from it.
    joined: bool,
    /// When a message was last accepted from it.
    #[serde(with = "time::millis")]
    used_at: SystemTime,
    /// When programs wrote lately.
    programs: Times,
    /// How many approvals have been asked for here.
    #[serde(default)]
    approvals: u32,
}

/// When something happened lately, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Times(Vec<u64>);

impl Times {
    /// Returns whether it may happen once more.
    fn allow(&self, limit: Limit, now: SystemTime) -> bool {
        let since = time::to_millis(now.checked_sub(limit.within).unwrap_or(now));
        let until = time::to_millis(now);
        // A clock that was set back must not lock anybody out: what lies ahead does not count.
        let lately = self.0.iter().filter(|at| (since..=until).contains(*at));
        lately.count() < limit.times
    }

    /// Notes that it happened once more.
    fn note(&mut self, limit: Limit, now: SystemTime) {
        self.0.push(time::to_millis(now));
        let excess = self.0.len().saturating_sub(limit.times.min(Limit::MOST));
        self.0.drain(..excess);
    }
}

impl Transaction<'_> {
    /// Returns whether a conversation was joined.
    pub(super) fn is_joined(
        &mut self,
        channel: &ChannelId,
        conversation: &Conversation,
    ) -> Result<bool, LedgerError> {
        let key = key::conversation(channel, conversation)?;
        Ok(self.conversation(&key)?.is_some_and(|known| known.joined))
    }

    /// Returns whether one more message of a program may come from a conversation.
    pub(super) fn programs_may_write(
        &mut self,
        channel: &ChannelId,
        conversation: &Conversation,
        limit: Limit,
        now: SystemTime,
    ) -> Result<bool, LedgerError> {
        let key = key::conversation(channel, conversation)?;
        Ok(self
            .conversation(&key)?
            .is_none_or(|known| known.programs.allow(limit, now)))
    }

    /// Returns whether one more message may come from somebody.
    pub(super) fn sender_may_write(
        &mut self,
        channel: &ChannelId,
        user: &UserId,
        limit: Limit,
        now: SystemTime,
    ) -> Result<bool, LedgerError> {
        let key = key::sender(channel, user)?;
        Ok(self.times_of(&key)?.allow(limit, now))
    }

    /// Notes that somebody wrote.
    pub(super) fn note_sender(
        &mut self,
        channel: &ChannelId,
        user: &UserId,
        limit: Limit,
        now: SystemTime,
    ) -> Result<(), LedgerError> {
        let key = key::sender(channel, user)?;
        if !self.contains(Table::Senders, &key)? {
            self.expire_later(Class::Sender, now, &key)?;
        }
        let mut times = self.times_of(&key)?;
        times.note(limit, now);
        self.put("sender", Table::Senders, key, &times)
    }

    /// Notes that a message was accepted from a conversation, and returns whether it is the first
    /// there.
    pub(super) fn use_conversation(
        &mut self,
        channel: &ChannelId,
        conversation: &Conversation,
        joins: bool,
        programs: Option<Limit>,
        now: SystemTime,
    ) -> Result<bool, LedgerError> {
        let key = key::conversation(channel, conversation)?;
        let known = self.conversation(&key)?;
        let is_first = known.is_none();
        if is_first {
            self.forget_one_of_too_many(now)?;
            self.expire_later(Class::Conversation, now, &key)?;
            self.state.counts.conversations += 1;
        }
        let mut known = known.unwrap_or_else(|| StoredConversation {
            conversation: conversation.clone(),
            joined: false,
            used_at: now,
            programs: Times::default(),
            approvals: 0,
        });
        known.joined |= joins;
        known.used_at = now;
        if let Some(limit) = programs {
            known.programs.note(limit, now);
        }
        self.put("conversation", Table::Conversations, key, &known)?;
        Ok(is_first)
    }

    /// Counts one more approval that is asked for in a conversation; the highest number that must not
    /// come again is given in case it was forgotten.
    pub(super) fn count_approval(
        &mut self,
        channel: &ChannelId,
        conversation: &Conversation,
        highest: u32,
    ) -> Result<u32, LedgerError> {
        let key = key::conversation(channel, conversation)?;
        let Some(mut known) = self.conversation(&key)? else {
            return Ok(highest.saturating_add(1));
        };
        known.approvals = known.approvals.max(highest).saturating_add(1);
        let number = known.approvals;
        self.put("conversation", Table::Conversations, key, &known)?;
        Ok(number)
    }

    /// Returns the conversations of a channel from which something was accepted since, those used
    /// last first.
    pub(in crate::ledger) fn conversations(
        &mut self,
        channel: &ChannelId,
        since: SystemTime,
        limit: usize,
    ) -> Result<Vec<Conversation>, LedgerError> {
        let prefix = key::channel(channel)?;
        let mut used = Vec::new();
        for (_, value) in self.scan(Table::Conversations, &prefix, &prefix, usize::MAX)? {
            let known: StoredConversation = value.decode("conversation")?;
            if known.used_at >= since {
                used.push(known);
            }
        }
        used.sort_by_key(|known| std::cmp::Reverse(known.used_at));
        used.truncate(limit);
        Ok(used.into_iter().map(|known| known.conversation).collect())
    }

    /// Forgets a conversation that has not been used since `until`; one that has stays for as long
    /// again.
    pub(super) fn expire_conversation(
        &mut self,
        key: &Key,
        until: SystemTime,
        expired: &mut Expired,
    ) -> Result<(), LedgerError> {
        let Some(known) = self.conversation(key)? else {
            return Ok(());
        };
        if known.used_at > until {
            return self.expire_later(Class::Conversation, known.used_at, key);
        }
        self.forget_conversation(key);
        expired.conversations += 1;
        Ok(())
    }

    /// Forgets when somebody wrote.
    pub(super) fn expire_sender(&mut self, key: &Key) {
        // Who writes on is counted from nothing for once, days after the first message.
        self.remove(Table::Senders, key.clone());
    }

    /// Makes room for one more: of those that were registered first, the one that was not used for
    /// the longest time is forgotten, and the others come up again later.
    fn forget_one_of_too_many(&mut self, now: SystemTime) -> Result<(), LedgerError> {
        if self.state.counts.conversations < MAX_CONVERSATIONS {
            return Ok(());
        }
        let mut oldest: Option<(SystemTime, Key)> = None;
        for key in self.due_expiries(Class::Conversation, now, CANDIDATES)? {
            let Some(known) = self.conversation(&key)? else {
                continue;
            };
            let candidate = (known.used_at, key);
            let kept = match oldest.take() {
                Some(other) if other.0 <= candidate.0 => {
                    oldest = Some(other);
                    Some(candidate)
                }
                other => {
                    oldest = Some(candidate);
                    other
                }
            };
            if let Some((used_at, key)) = kept {
                self.expire_later(Class::Conversation, used_at, &key)?;
            }
        }
        if let Some((_, key)) = oldest {
            self.forget_conversation(&key);
        }
        Ok(())
    }

    fn forget_conversation(&mut self, key: &Key) {
        self.remove(Table::Conversations, key.clone());
        let count = &mut self.state.counts.conversations;
        *count = count.saturating_sub(1);
    }

    fn conversation(&mut self, key: &Key) -> Result<Option<StoredConversation>, LedgerError> {
        self.get("conversation", Table::Conversations, key)
    }

    fn times_of(&mut self, key: &Key) -> Result<Times, LedgerError> {
        let times = self.get("sender", Table::Senders, key)?;
        Ok(times.unwrap_or_default())
    }
}
