//! The delivery of one channel's posts.
//!
//! Posts of one conversation go out one after the other, in the order they were written; those
//! of different conversations go side by side. Each step is on disk before the next is taken,
//! so that a post whose fate is unclear is known as such after any crash, and is looked up (or
//! repeated under its key, or marked as a possible repeat) instead of being guessed about.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tieline_channel::{Channel, Conversation, Link, Post, PostKey, Posted, Repeat, SendError};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info_span, warn};

use crate::id::OutboxId;
use crate::ledger::{Ledger, LedgerError, OutboxEntry, PostEvent, PostState};
use crate::retry::RetryPolicy;

/// How many conversations of a channel are served at once.
const MAX_CONCURRENT: usize = 8;

/// How many undelivered posts are looked at to find one that is due.
const PAGE: usize = 256;

/// How long a single call to the platform may take before its fate counts as unclear.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// How long to wait when only the operator can mend it; they are told at once.
const OPERATOR_DELAY: Duration = Duration::from_secs(60);

/// What is put before a post that may be there already, on platforms that cannot tell.
const REPEAT_MARK: &str =
    "*(tieline was interrupted while it sent this; you may have seen it already)*\n\n";

/// Delivers the posts of one channel until it is told to stop.
pub struct Worker {
    ledger: Ledger,
    channel: Arc<dyn Channel>,
    /// Conversations whose oldest post is being sent.
    busy: HashSet<Conversation>,
    /// Posts that wait before their next attempt, with their policy.
    resting: HashMap<OutboxId, Rest>,
    deliveries: JoinSet<Delivered>,
}

struct Rest {
    until: Instant,
    policy: RetryPolicy,
}

/// How one attempt ended.
struct Delivered {
    entry: OutboxEntry,
    verdict: Verdict,
}

enum Verdict {
    /// Nothing more is to be done.
    Over,
    /// To be tried again, not before so long, or by our own policy.
    Later(Option<Duration>),
}

impl Worker {
    /// Makes the worker of `channel`.
    pub fn new(ledger: Ledger, channel: Arc<dyn Channel>) -> Self {
        Self {
            ledger,
            channel,
            busy: HashSet::new(),
            resting: HashMap::new(),
            deliveries: JoinSet::new(),
        }
    }

    /// Delivers until `stop` is cancelled; attempts under way are finished first.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.ledger.outbox_changes();
        let mut health = self.channel.health();
        let mut link = health.borrow_and_update().link;
        loop {
            changes.mark_unchanged();
            let wake_at = match self.start_due().await {
                Ok(wake_at) => wake_at,
                Err(failure) => {
                    warn!(error = %failure, "the outbox cannot be read; trying again");
                    Some(Instant::now() + Duration::from_secs(1))
                }
            };
            let sleep = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => if changed.is_err() { break },
                Some(ended) = self.deliveries.join_next() => self.take(ended),
                changed = health.changed() => {
                    let now = health.borrow_and_update().link;
                    if changed.is_ok() && now == Link::Up && link != Link::Up {
                        // What failed because the platform was away can go at once.
                        self.resting.clear();
                    }
                    link = now;
                }
                () = sleep => {}
            }
        }
        while let Some(ended) = self.deliveries.join_next().await {
            self.take(ended);
        }
    }

    /// Starts an attempt for the oldest post of every free conversation whose time has come.
    ///
    /// Returns when the next one is due, if none of it depends on an event.
    async fn start_due(&mut self) -> Result<Option<Instant>, LedgerError> {
        let mut seen = self.busy.clone();
        let mut wake_at: Option<Instant> = None;
        let mut after = None;
        loop {
            let page = self
                .ledger
                .undelivered(self.channel.id(), after, PAGE)
                .await?;
            let full = page.len() == PAGE;
            after = page.last().map(|entry| entry.id);
            for entry in page {
                if self.deliveries.len() >= MAX_CONCURRENT {
                    return Ok(None);
                }
                if !seen.insert(entry.post.to.clone()) {
                    continue;
                }
                let rest = self.rest_of(&entry);
                if rest > Instant::now() {
                    wake_at = Some(wake_at.map_or(rest, |at| at.min(rest)));
                    continue;
                }
                self.busy.insert(entry.post.to.clone());
                let attempt = Attempt {
                    ledger: self.ledger.clone(),
                    channel: Arc::clone(&self.channel),
                };
                let span = info_span!("post", channel = %self.channel.id(), post = %entry.id);
                self.deliveries.spawn(attempt.run(entry).instrument(span));
            }
            if !full {
                return Ok(wake_at);
            }
        }
    }

    /// Returns when a post may be tried; what the platform asked for survives a restart.
    fn rest_of(&self, entry: &OutboxEntry) -> Instant {
        let now = Instant::now();
        let recorded = entry
            .not_before
            .and_then(|at| at.duration_since(SystemTime::now()).ok())
            .map_or(now, |wait| now + wait.min(Duration::from_secs(3600)));
        match self.resting.get(&entry.id) {
            Some(rest) => rest.until.max(recorded),
            None => recorded,
        }
    }

    fn take(&mut self, ended: Result<Delivered, tokio::task::JoinError>) {
        let Delivered { entry, verdict } = match ended {
            Ok(delivered) => delivered,
            Err(failure) => {
                // The conversation is unknown here; all are looked at again, and the ledger
                // still says what was being sent.
                error!(error = %failure, "a delivery ended by a defect of tieline");
                self.busy.clear();
                return;
            }
        };
        self.busy.remove(&entry.post.to);
        match verdict {
            Verdict::Over => {
                self.resting.remove(&entry.id);
            }
            Verdict::Later(asked) => {
                let rest = self.resting.entry(entry.id).or_insert_with(|| Rest {
                    until: Instant::now(),
                    policy: RetryPolicy::new(),
                });
                let own = rest.policy.next_delay();
                rest.until = Instant::now() + asked.unwrap_or(own);
            }
        }
    }
}

/// One attempt to deliver one post.
struct Attempt {
    ledger: Ledger,
    channel: Arc<dyn Channel>,
}

impl Attempt {
    async fn run(self, entry: OutboxEntry) -> Delivered {
        let verdict = match self.deliver(&entry).await {
            Ok(verdict) => verdict,
            Err(failure) => {
                // Whatever was sent is recorded as being sent; the next attempt looks first.
                warn!(error = %failure, "the fate of a post could not be recorded");
                Verdict::Later(None)
            }
        };
        Delivered { entry, verdict }
    }

    async fn deliver(&self, entry: &OutboxEntry) -> Result<Verdict, LedgerError> {
        let mut post = as_post(entry);
        if let PostState::Sending { since } = entry.state {
            match self.channel.capabilities().repeat {
                Repeat::Idempotent => {}
                Repeat::Findable => match bounded(self.channel.find(&post, since)).await {
                    Ok(Some(posted)) => {
                        debug!(wire = %posted.id, "an unclear post was found");
                        return self.delivered(entry, posted).await;
                    }
                    Ok(None) => {}
                    Err(failure) => {
                        warn!(error = %failure, "an unclear post could not be looked up");
                        return Ok(Verdict::Later(asked_delay(&failure)));
                    }
                },
                Repeat::Blind => post.text.insert_str(0, REPEAT_MARK),
            }
        }
        self.ledger
            .advance_post(
                entry.id,
                PostEvent::Attempt {
                    at: SystemTime::now(),
                },
            )
            .await?;
        match bounded(self.channel.post(&post)).await {
            Ok(posted) => self.delivered(entry, posted).await,
            Err(SendError::Never { reason }) => {
                error!(%reason, "a post cannot be delivered");
                let event = PostEvent::Failed {
                    reason,
                    at: SystemTime::now(),
                };
                self.ledger.advance_post(entry.id, event).await?;
                Ok(Verdict::Over)
            }
            Err(SendError::Unclear { reason }) => {
                warn!(%reason, "unclear whether a post was sent; it is looked up first");
                Ok(Verdict::Later(None))
            }
            Err(failure @ (SendError::Again { .. } | SendError::Operator { .. })) => {
                if entry.attempts == 0 {
                    warn!(error = %failure, "a post waits");
                }
                let asked = asked_delay(&failure);
                let event = PostEvent::Again {
                    not_before: SystemTime::now() + asked.unwrap_or_default(),
                    reason: failure.to_string(),
                };
                self.ledger.advance_post(entry.id, event).await?;
                Ok(Verdict::Later(asked))
            }
        }
    }

    async fn delivered(&self, entry: &OutboxEntry, posted: Posted) -> Result<Verdict, LedgerError> {
        let event = PostEvent::Delivered {
            wire: posted.id,
            at: SystemTime::now(),
        };
        self.ledger.advance_post(entry.id, event).await?;
        Ok(Verdict::Over)
    }
}

/// Returns how long the platform, or the kind of failure, wants us to wait.
fn asked_delay(failure: &SendError) -> Option<Duration> {
    match failure {
        SendError::Again { after, .. } => *after,
        SendError::Operator { .. } => Some(OPERATOR_DELAY),
        SendError::Never { .. } | SendError::Unclear { .. } => None,
    }
}

/// Bounds a call to the platform: a channel that does not return leaves the fate unclear.
async fn bounded<T>(call: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(SendError::Unclear {
            reason: format!("no answer within {} s", CALL_DEADLINE.as_secs()),
        }),
    }
}

fn as_post(entry: &OutboxEntry) -> Post {
    let post = &entry.post;
    Post {
        key: PostKey::new(entry.id.to_string()),
        to: post.to.clone(),
        reply_to: post.reply_to.clone(),
        settles: post.settles.clone(),
        kind: post.kind,
        text: post.text.clone(),
        buttons: post.buttons.clone(),
    }
}
