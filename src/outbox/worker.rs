//! The delivery of one channel's posts.
//!
//! Posts of one conversation go out one after the other, in the order they were written; those
//! of different conversations go side by side. Each step is on disk before the next is taken,
//! so that a post whose fate is unclear is known as such after any crash, and is looked up (or
//! repeated under its key, or marked as a possible repeat) instead of being guessed about.
//!
//! The posts stay on disk. In memory there is one task per conversation that has some, which
//! knows the one it is at.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tieline_channel::{Channel, Conversation, Language};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::events::Events;
use crate::id::OutboxId;
use crate::ledger::{Ledger, LedgerError};
use crate::outbox::line::{Line, Outlet, PAGE, Start};
use crate::outbox::pace::Pace;

/// Delivers the posts of one channel until it is told to stop.
pub struct Worker {
    outlet: Arc<Outlet>,
    /// All posts up to this one are settled, or there is a line for their conversation.
    read_to: Option<OutboxId>,
    lines: HashMap<Conversation, Running>,
    tasks: JoinSet<Option<(Conversation, OutboxId)>>,
}

/// A line at work.
struct Running {
    task: AbortHandle,
    /// Posts were read for it that it may have been too late to see.
    more: bool,
}

impl Worker {
    /// Makes the worker of `channel`, whose people are spoken to in `language`.
    pub fn new(ledger: Ledger, channel: Arc<dyn Channel>, language: Language) -> Self {
        Self::with_pace(ledger, channel, language, Pace::standard())
    }

    /// Has it tell what becomes of posts.
    #[must_use]
    pub fn telling(mut self, events: &Events) -> Self {
        // Nobody else has it before the worker runs.
        if let Some(outlet) = Arc::get_mut(&mut self.outlet) {
            outlet.events = events.channel(outlet.channel.id());
        }
        self
    }

    fn with_pace(
        ledger: Ledger,
        channel: Arc<dyn Channel>,
        language: Language,
        pace: Pace,
    ) -> Self {
        Self {
            outlet: Arc::new(Outlet::new(ledger, channel, language, pace)),
            read_to: None,
            lines: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Delivers until `stop` is cancelled. Attempts under way may then take three seconds more;
    /// one that is cut off stays recorded as being sent.
    pub async fn run(mut self, stop: CancellationToken) {
        let stop = stop.child_token();
        let mut changes = self.outlet.ledger.outbox_changes();
        let mut read_at = Some(Instant::now());
        let mut reported = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = changes.changed() => match changed {
                    Ok(()) => read_at = Some(Instant::now()),
                    Err(_closed) => break,
                },
                Some(ended) = self.tasks.join_next() => {
                    if self.take(ended, &stop).is_err() {
                        read_at = Some(Instant::now() + self.outlet.pace.ledger);
                    }
                }
                () = sleep_until(read_at.unwrap_or_else(Instant::now)), if read_at.is_some() => {
                    let Some(done) = stop.run_until_cancelled(self.read(&stop)).await else {
                        break;
                    };
                    let failure = done.err();
                    if let Some(failure) = &failure
                        && reported.as_ref() != Some(failure)
                    {
                        warn!(error = %failure, "the outbox cannot be read; trying again");
                    }
                    read_at = failure.as_ref().map(|_| Instant::now() + self.outlet.pace.ledger);
                    reported = failure;
                }
            }
        }
        stop.cancel(); // also when the ledger has been closed
        self.finish().await;
    }

    /// Reads what has been enqueued, and starts a line for every conversation that has none.
    async fn read(&mut self, stop: &CancellationToken) -> Result<(), LedgerError> {
        loop {
            let page = self.outlet.page(self.read_to).await?;
            let full = page.len() == PAGE;
            for entry in page {
                self.read_to = Some(entry.id);
                match self.lines.entry(entry.post.to) {
                    Entry::Occupied(mut running) => running.get_mut().more = true,
                    Entry::Vacant(vacant) => {
                        let line =
                            Line::new(Arc::clone(&self.outlet), vacant.key().clone(), stop.clone());
                        let task = self.tasks.spawn(line.run(Start::At(entry.id)));
                        vacant.insert(Running { task, more: false });
                    }
                }
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Takes note of a line that ended, and starts it again if there is more for it.
    ///
    /// # Errors
    ///
    /// When it ended by a defect: then everything is to be read again.
    fn take(
        &mut self,
        ended: Result<Option<(Conversation, OutboxId)>, JoinError>,
        stop: &CancellationToken,
    ) -> Result<(), JoinError> {
        match ended {
            Ok(None) => Ok(()),
            Ok(Some((conversation, last))) => {
                let Entry::Occupied(mut running) = self.lines.entry(conversation) else {
                    return Ok(());
                };
                if running.get().more {
                    let line = Line::new(
                        Arc::clone(&self.outlet),
                        running.key().clone(),
                        stop.clone(),
                    );
                    let task = self.tasks.spawn(line.run(Start::Behind(last)));
                    running.insert(Running { task, more: false });
                } else {
                    running.remove();
                }
                Ok(())
            }
            Err(failure) => {
                error!(error = %failure, "a line of posts ended by a defect of tieline");
                self.lines
                    .retain(|_, running| running.task.id() != failure.id());
                self.read_to = None;
                Err(failure)
            }
        }
    }

    /// Lets attempts under way end, within limits.
    async fn finish(mut self) {
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.outlet.pace.grace, ended)
            .await
            .is_err()
        {
            let channel = self.outlet.channel.id();
            warn!(%channel, attempts = self.tasks.len(), "posts are cut off while being sent");
            self.tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests;
