//! The outbox: enqueued in order, found while undelivered, followed to its end.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::ChannelId;

use crate::id::OutboxId;
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Table};
use crate::ledger::operation::body::Body;
use crate::ledger::post::{NewPost, OutboxEntry, PostEvent, PostState};
use crate::ledger::spool::{SpoolName, SpoolOwner};
use crate::ledger::story::{About, Saying};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;
use crate::ledger::value::cut_reason;

/// An entry of the outbox as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredPost {
    id: OutboxId,
    /// What orders it among the others.
    number: u64,
    channel: ChannelId,
    pub(super) state: PostState,
    attempts: u32,
    #[serde(with = "time::millis")]
    created_at: SystemTime,
    #[serde(with = "time::optional_millis")]
    not_before: Option<SystemTime>,
    last_error: Option<String>,
    /// What it says something about, if that is on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<About>,
    body: Body<NewPost>,
}

impl StoredPost {
    fn load(self, transaction: &Transaction<'_>) -> Result<OutboxEntry, LedgerError> {
        Ok(OutboxEntry {
            id: self.id,
            post: self.body.load(transaction)?,
            state: self.state,
            attempts: self.attempts,
            created_at: self.created_at,
            not_before: self.not_before,
            last_error: self.last_error,
        })
    }

    fn tell(self, transaction: &Transaction<'_>) -> Result<Saying, LedgerError> {
        let post = match self.body.load(transaction) {
            Ok(post) => Some(post),
            Err(LedgerError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Saying {
            id: self.id,
            channel: self.channel,
            post,
            state: self.state,
            attempts: self.attempts,
            created_at: self.created_at,
            not_before: self.not_before,
            last_error: self.last_error,
        })
    }

    /// Returns the name of the file that has its text, if there is one.
    pub(super) fn file(self) -> Option<SpoolName> {
        self.body.file()
    }
}

impl Transaction<'_> {
    /// Enqueues posts, in order.
    pub(in crate::ledger) fn enqueue(
        &mut self,
        posts: Vec<NewPost>,
    ) -> Result<Vec<OutboxId>, LedgerError> {
        self.enqueue_about(None, posts)
    }

    /// Enqueues posts, in order, that say something about a turn or a message.
    pub(super) fn enqueue_about(
        &mut self,
        about: Option<About>,
        posts: Vec<NewPost>,
    ) -> Result<Vec<OutboxId>, LedgerError> {
        let now = time::now();
        let mut ids = Vec::with_capacity(posts.len());
        for post in posts {
            let id = match &post.file {
                Some(file) => file.owner,
                None => OutboxId::new(),
            };
            let number = self.state.take_number();
            self.put(
                "outbox index",
                Table::Due,
                key::due(&post.channel, number)?,
                &id,
            )?;
            let body = Body::keep(self, SpoolOwner::Post(id), &post)?;
            self.state.move_post(None, Some(&PostState::Pending));
            self.put_post(&StoredPost {
                id,
                number,
                channel: post.channel,
                state: PostState::Pending,
                attempts: 0,
                created_at: now,
                not_before: None,
                last_error: None,
                about,
                body,
            })?;
            if let Some(about) = about {
                self.put("saying", Table::Said, key::saying(about, id), &())?;
            }
            self.announce_posts();
            ids.push(id);
        }
        Ok(ids)
    }

    /// Returns the unsettled entries of a channel behind `after`, in order.
    pub(in crate::ledger) fn undelivered(
        &mut self,
        channel: &ChannelId,
        after: Option<OutboxId>,
        limit: usize,
    ) -> Result<Vec<OutboxEntry>, LedgerError> {
        let prefix = key::channel(channel)?;
        let from = match after {
            None => prefix.clone(),
            Some(after) => key::due(channel, self.known_post(after)?.number.saturating_add(1))?,
        };
        let mut entries = Vec::new();
        for (_, value) in self.scan(Table::Due, &prefix, &from, limit)? {
            let post = self.known_post(value.decode("outbox index")?)?;
            match post.clone().load(self) {
                Ok(entry) => entries.push(entry),
                Err(LedgerError::Damaged { reason, .. }) => self.give_up_post(post, reason)?,
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// Settles a post whose text is gone from the disk: it can never be sent, and must not hold
    /// up those behind it.
    fn give_up_post(&mut self, mut post: StoredPost, reason: String) -> Result<(), LedgerError> {
        tracing::error!(post = %post.id, reason, "the text of a post is damaged; it is not sent");
        let at = time::now();
        let failed = PostState::Failed {
            reason: cut_reason(&reason),
            at,
        };
        self.state.move_post(Some(&post.state), Some(&failed));
        self.remove(Table::Due, key::due(&post.channel, post.number)?);
        self.expire_later(Class::Post, at, &key::post(post.id))?;
        post.state = failed;
        self.put_post(&post)
    }

    /// Returns an entry.
    pub(in crate::ledger) fn post(
        &mut self,
        id: OutboxId,
    ) -> Result<Option<OutboxEntry>, LedgerError> {
        self.stored_post(id)?
            .map(|post| post.load(self))
            .transpose()
    }

    /// Notes what happened to an entry.
    pub(in crate::ledger) fn advance_post(
        &mut self,
        id: OutboxId,
        event: PostEvent,
    ) -> Result<OutboxEntry, LedgerError> {
        let post = self.known_post(id)?;
        let (number, about, body) = (post.number, post.about, post.body.clone());
        let before = post.state.clone();
        let entry = post.load(self)?.on(cut_event(event))?;
        self.state.move_post(Some(&before), Some(&entry.state));
        if entry.state.is_settled() {
            self.remove(Table::Due, key::due(&entry.post.channel, number)?);
            self.expire_later(Class::Post, time::now(), &key::post(id))?;
        }
        self.put_post(&StoredPost {
            id,
            number,
            channel: entry.post.channel.clone(),
            state: entry.state.clone(),
            attempts: entry.attempts,
            created_at: entry.created_at,
            not_before: entry.not_before,
            last_error: entry.last_error.clone(),
            about,
            body,
        })?;
        Ok(entry)
    }

    /// Notes what happened to an entry, and enqueues what is said instead of it.
    pub(in crate::ledger) fn replace_post(
        &mut self,
        id: OutboxId,
        event: PostEvent,
        posts: Vec<NewPost>,
    ) -> Result<OutboxEntry, LedgerError> {
        let about = self.known_post(id)?.about;
        let entry = self.advance_post(id, event)?;
        self.enqueue_about(about, posts)?;
        Ok(entry)
    }

    /// Returns what was said about a turn or a message, in order. Of a text that the disk has lost
    /// nothing is told.
    pub(super) fn said_about(&mut self, about: About) -> Result<Vec<Saying>, LedgerError> {
        let prefix = key::said(about);
        let mut said = Vec::new();
        for (key, _) in self.scan(Table::Said, &prefix, &prefix, usize::MAX)? {
            let id = key.as_bytes().last_chunk().copied();
            let Some(id) = id.map(OutboxId::from_bytes) else {
                continue;
            };
            if let Some(post) = self.stored_post(id)? {
                said.push((post.number, post.tell(self)?));
            }
        }
        said.sort_by_key(|(number, _)| *number);
        Ok(said.into_iter().map(|(_, saying)| saying).collect())
    }

    /// Forgets that an entry says something about a turn or a message.
    pub(super) fn forget_saying(&mut self, post: &StoredPost) {
        if let Some(about) = post.about {
            self.remove(Table::Said, key::saying(about, post.id));
        }
    }

    /// Returns an entry as it is stored.
    pub(super) fn stored_post(&mut self, id: OutboxId) -> Result<Option<StoredPost>, LedgerError> {
        self.get("outbox entry", Table::Outbox, &key::post(id))
    }

    fn known_post(&mut self, id: OutboxId) -> Result<StoredPost, LedgerError> {
        self.stored_post(id)?.ok_or(LedgerError::UnknownPost(id))
    }

    fn put_post(&mut self, post: &StoredPost) -> Result<(), LedgerError> {
        self.put("outbox entry", Table::Outbox, key::post(post.id), post)
    }
}

/// Returns the event as the ledger keeps it: times to the millisecond, reasons cut.
fn cut_event(event: PostEvent) -> PostEvent {
    match event {
        PostEvent::Attempt { at } => PostEvent::Attempt { at: time::cut(at) },
        PostEvent::Delivered { wire, at } => PostEvent::Delivered {
            wire,
            at: time::cut(at),
        },
        PostEvent::Again { not_before, reason } => PostEvent::Again {
            not_before: time::cut(not_before),
            reason: cut_reason(&reason),
        },
        PostEvent::PutOff { not_before, reason } => PostEvent::PutOff {
            not_before: time::cut(not_before),
            reason: cut_reason(&reason),
        },
        PostEvent::Failed { reason, at } => PostEvent::Failed {
            reason: cut_reason(&reason),
            at: time::cut(at),
        },
        PostEvent::Unclear { reason, at } => PostEvent::Unclear {
            reason: cut_reason(&reason),
            at: time::cut(at),
        },
    }
}
