//! The posts of one conversation, one after the other.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use tieline_channel::{Channel, Conversation, Health, Language, Link};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use crate::events::Events;
use crate::id::OutboxId;
use crate::ledger::{Ledger, LedgerError, OutboxEntry, PostEvent, PostState};
use crate::outbox::attempt::{self, Next, Pause};
use crate::outbox::instead_of_file;
use crate::outbox::pace::Pace;
use tieline_channel::retry::RetryPolicy;

/// How many conversations of a channel are served at once.
const MAX_CONCURRENT: usize = 8;

/// How many undelivered posts are looked at in one step.
pub(super) const PAGE: usize = 64;

/// How often an attempt may end by a defect of tieline before the post is given up.
const MAX_DEFECTS: u32 = 3;

/// What all lines of a channel share.
pub(super) struct Outlet {
    pub(super) ledger: Ledger,
    pub(super) channel: Arc<dyn Channel>,
    pub(super) language: Language,
    pub(super) pace: Pace,
    pub(super) events: Events,
    slots: Semaphore,
    /// What the operator has been asked to do; each is said once, not by every line.
    remedies: Mutex<HashSet<String>>,
}

impl Outlet {
    pub(super) fn new(
        ledger: Ledger,
        channel: Arc<dyn Channel>,
        language: Language,
        pace: Pace,
    ) -> Self {
        Self {
            ledger,
            channel,
            language,
            pace,
            events: Events::none(),
            slots: Semaphore::new(MAX_CONCURRENT),
            remedies: Mutex::default(),
        }
    }

    /// Returns undelivered posts from the first behind `after` on; from the first of all if
    /// `after` is forgotten.
    pub(super) async fn page(
        &self,
        after: Option<OutboxId>,
    ) -> Result<Vec<OutboxEntry>, LedgerError> {
        let id = self.channel.id();
        match self.ledger.undelivered(id, after, PAGE).await {
            Err(LedgerError::UnknownPost(_)) => self.ledger.undelivered(id, None, PAGE).await,
            answer => answer,
        }
    }

    fn change_remedies<T>(&self, change: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        change(&mut self.remedies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where a line begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// With this post, or the next one if it is settled.
    At(OutboxId),
    /// With the first post behind this one.
    Behind(OutboxId),
}

/// The delivery of one conversation's posts. There is never more than one per conversation.
pub(super) struct Line {
    outlet: Arc<Outlet>,
    conversation: Conversation,
    health: watch::Receiver<Health>,
    stop: CancellationToken,
}

/// The daemon is shutting down, or the ledger is closed already.
struct Stopped;

impl Line {
    pub(super) fn new(
        outlet: Arc<Outlet>,
        conversation: Conversation,
        stop: CancellationToken,
    ) -> Self {
        Self {
            health: outlet.channel.health(),
            outlet,
            conversation,
            stop,
        }
    }

    /// Delivers until nothing is left or the line is to stop. Returns the last post that was
    /// settled, behind which nothing was left; `None` when stopped.
    pub(super) async fn run(mut self, start: Start) -> Option<(Conversation, OutboxId)> {
        match self.deliver_all(start).await {
            Ok(last) => Some((self.conversation, last)),
            Err(Stopped) => None,
        }
    }

    async fn deliver_all(&mut self, start: Start) -> Result<OutboxId, Stopped> {
        let mut last = match start {
            Start::At(id) => {
                self.deliver(id).await?;
                id
            }
            Start::Behind(id) => id,
        };
        while let Some(id) = self.next_behind(last).await? {
            self.deliver(id).await?;
            last = id;
        }
        Ok(last)
    }

    /// Finds the conversation's first post behind one that is settled.
    async fn next_behind(&self, last: OutboxId) -> Result<Option<OutboxId>, Stopped> {
        let mut after = last;
        loop {
            let page = match self.unless_stopped(self.outlet.page(Some(after))).await? {
                Ok(page) => page,
                Err(LedgerError::Closed) => return Err(Stopped),
                Err(failure) => {
                    debug!(error = %failure, "the outbox cannot be read; trying again");
                    self.sleep(self.outlet.pace.ledger).await?;
                    continue;
                }
            };
            let next = page
                .iter()
                .find(|entry| entry.post.to == self.conversation && entry.id != last);
            if let Some(entry) = next {
                return Ok(Some(entry.id));
            }
            match page.last() {
                Some(entry) if page.len() == PAGE => after = entry.id,
                _ => return Ok(None),
            }
        }
    }

    /// Delivers one post, however long it takes.
    async fn deliver(&mut self, id: OutboxId) -> Result<(), Stopped> {
        let channel = self.outlet.channel.id();
        let span = info_span!("post", %channel, post = %id);
        let mut delivery = Delivery::new(&self.outlet.pace, id);
        let settled = self.deliver_with(&mut delivery).instrument(span).await;
        delivery.forget_remedy(&self.outlet);
        settled
    }

    async fn deliver_with(&mut self, delivery: &mut Delivery) -> Result<(), Stopped> {
        loop {
            let up_since = up_since(&self.health.borrow_and_update());
            match self.attempt(delivery).await? {
                Ok(Next::Settled) => {
                    if delivery.failures > 0 {
                        info!(
                            failures = delivery.failures,
                            "a post that waited is settled"
                        );
                    }
                    return Ok(());
                }
                Ok(Next::Later { reason, pause }) => {
                    delivery.report(&self.outlet, &reason, &pause);
                    let (firm, own) = delivery.wait(&self.outlet.pace, &pause);
                    self.sleep(firm).await?;
                    self.sleep_until_up(own.saturating_sub(firm), up_since)
                        .await?;
                }
                Err(Trouble::Ledger(LedgerError::Closed)) => return Err(Stopped),
                Err(Trouble::Ledger(LedgerError::NotWritten { reason })) => {
                    debug!(reason, "a post waits for the ledger");
                    self.sleep(self.outlet.pace.ledger).await?;
                }
                Err(trouble) => {
                    delivery.defects += 1;
                    trouble.report();
                    if delivery.defects >= MAX_DEFECTS {
                        self.give_up(delivery.id).await;
                        return Ok(());
                    }
                    self.sleep(delivery.policy.next_delay()).await?;
                }
            }
        }
    }

    /// Makes one attempt, as soon as there is a slot for it. Once begun it is finished also when
    /// the line is to stop.
    async fn attempt(&self, delivery: &mut Delivery) -> Result<Result<Next, Trouble>, Stopped> {
        let outlet = &*self.outlet;
        let entry = match self.unless_stopped(outlet.ledger.post(delivery.id)).await? {
            Ok(Some(entry)) if !entry.state.is_settled() => entry,
            Ok(_) => return Ok(Ok(Next::Settled)),
            Err(failure) => return Ok(Err(Trouble::Ledger(failure))),
        };
        if !std::mem::replace(&mut delivery.begun, true) {
            self.sleep(recorded_wait(&entry, &outlet.pace)).await?;
        }
        // It fails only when closed, which nobody does.
        let slot = self.unless_stopped(outlet.slots.acquire()).await?.ok();
        let attempt = attempt::deliver(
            &outlet.ledger,
            &*outlet.channel,
            outlet.language,
            &outlet.pace,
            &outlet.events,
            &entry,
        );
        let outcome = AssertUnwindSafe(attempt).catch_unwind().await;
        drop(slot);
        Ok(match outcome {
            Ok(outcome) => outcome.map_err(Trouble::Ledger),
            Err(_panic) => Err(Trouble::Panic), // the hook has reported what it was
        })
    }

    /// Settles a post that tieline cannot deliver for a defect of its own, so that the rest of
    /// the conversation goes on. If even that cannot be recorded, it is tried at the next start.
    async fn give_up(&self, id: OutboxId) {
        let ledger = &self.outlet.ledger;
        let reason = "a defect of tieline; its log says more".to_owned();
        let at = SystemTime::now();
        let recorded = match ledger.post(id).await {
            Ok(Some(entry)) => {
                let event = match entry.state {
                    PostState::Sending { .. } => PostEvent::Unclear { reason, at },
                    _ => PostEvent::Failed { reason, at },
                };
                let limit = self.outlet.channel.capabilities().text;
                let instead = instead_of_file(&entry.post, limit, self.outlet.language);
                let told = event.clone();
                let recorded = ledger.replace_post(id, event, instead).await;
                if recorded.is_ok() {
                    attempt::tell_of(&self.outlet.events.post(id), told);
                }
                recorded.map(drop)
            }
            Ok(None) => Ok(()),
            Err(failure) => Err(failure),
        };
        match recorded {
            Ok(()) => error!("a post is given up for a defect of tieline"),
            Err(failure) => error!(error = %failure, "a post is passed over until the next start"),
        }
    }

    /// Waits by our own policy. What failed because the platform was away goes at once when the
    /// connection is made: also when that was during the attempt.
    async fn sleep_until_up(
        &mut self,
        wait: Duration,
        up_before: Option<SystemTime>,
    ) -> Result<(), Stopped> {
        let mut health = self.health.clone();
        let comes_up = async {
            let is_new = |health: &Health| {
                let up_since = up_since(health);
                up_since.is_some() && up_since != up_before
            };
            if health.wait_for(is_new).await.is_err() {
                std::future::pending::<()>().await; // the channel has ended
            }
        };
        self.unless_stopped(async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = comes_up => {}
            }
        })
        .await
    }

    async fn sleep(&self, wait: Duration) -> Result<(), Stopped> {
        self.unless_stopped(tokio::time::sleep(wait)).await
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        self.stop.run_until_cancelled(work).await.ok_or(Stopped)
    }
}

/// Why an attempt has no outcome.
enum Trouble {
    /// The ledger could not say or record how far the post is.
    Ledger(LedgerError),
    /// A defect of the channel or of ours.
    Panic,
}

impl Trouble {
    fn report(&self) {
        match self {
            Self::Ledger(failure) => error!(error = %failure, "the ledger refuses a post's state"),
            Self::Panic => error!("an attempt to deliver ended by a defect of tieline"),
        }
    }
}

/// What the attempts of one post have in common.
struct Delivery {
    id: OutboxId,
    /// What the ledger remembers about waiting has been obeyed.
    begun: bool,
    policy: RetryPolicy,
    failures: u32,
    defects: u32,
    /// What it waits for the operator to do.
    remedy: Option<String>,
}

impl Delivery {
    fn new(pace: &Pace, id: OutboxId) -> Self {
        Self {
            id,
            begun: false,
            policy: pace.retry_policy(),
            failures: 0,
            defects: 0,
            remedy: None,
        }
    }

    /// Says what went wrong: to the operator once for all lines, else once for the post.
    fn report(&mut self, outlet: &Outlet, reason: &str, pause: &Pause) {
        if let Pause::Operator { remedy } = pause {
            if self.remedy.as_ref() != Some(remedy) {
                self.forget_remedy(outlet);
                self.remedy = Some(remedy.clone());
                if outlet.change_remedies(|remedies| remedies.insert(remedy.clone())) {
                    error!(reason, remedy, "posts wait for the operator");
                }
            }
        } else if self.failures == 0 {
            warn!(reason, "a post waits");
        } else {
            debug!(reason, failures = self.failures, "a post still waits");
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn forget_remedy(&mut self, outlet: &Outlet) {
        if let Some(remedy) = self.remedy.take() {
            outlet.change_remedies(|remedies| remedies.remove(&remedy));
        }
    }

    /// Returns how long to wait whatever happens, and how long by our own choice.
    fn wait(&mut self, pace: &Pace, pause: &Pause) -> (Duration, Duration) {
        match pause {
            Pause::Own => (Duration::ZERO, self.policy.next_delay()),
            // "At once", again and again, would keep the disk and the platform busy for nothing.
            Pause::Asked(after) if *after < pace.retry.0 => (*after, self.policy.next_delay()),
            Pause::Asked(after) => (*after, Duration::ZERO),
            Pause::Unclear => (pace.settling, self.policy.next_delay()),
            Pause::Operator { .. } => (Duration::ZERO, pace.operator),
        }
    }
}

/// Returns how long a post must still wait by what the ledger remembers from an earlier run.
fn recorded_wait(entry: &OutboxEntry, pace: &Pace) -> Duration {
    let asked = entry.not_before.unwrap_or(SystemTime::UNIX_EPOCH);
    let settled = match entry.state {
        // The last attempt may have been later than the first.
        PostState::Sending { since } => since.max(asked).checked_add(pace.settling),
        _ => None,
    };
    asked
        .max(settled.unwrap_or(asked))
        .duration_since(SystemTime::now())
        .unwrap_or_default()
        .min(pace.longest)
}

/// Returns since when the connection is up, if it is.
fn up_since(health: &Health) -> Option<SystemTime> {
    (health.link == Link::Up).then_some(health.since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_short_again_and_again() {
        let pace = Pace::standard();
        let (base, max) = pace.retry;
        let second = Duration::from_secs(1);
        let asked = |after| Pause::Asked(after);
        let operator = Pause::Operator {
            remedy: String::new(),
        };
        for (pause, firm, least_own, most_own) in [
            (Pause::Own, Duration::ZERO, second, max),
            (Pause::Unclear, pace.settling, second, max),
            (asked(Duration::ZERO), Duration::ZERO, second, max),
            (asked(base / 2), base / 2, second, max),
            (asked(base), base, Duration::ZERO, Duration::ZERO),
            (asked(max), max, Duration::ZERO, Duration::ZERO),
            (operator, Duration::ZERO, pace.operator, pace.operator),
        ] {
            let mut delivery = Delivery::new(&pace, OutboxId::new());
            let waits: Vec<_> = (0..50).map(|_| delivery.wait(&pace, &pause)).collect();
            assert!(waits.iter().all(|wait| wait.0 == firm), "{pause:?}");
            let mean = waits.iter().map(|wait| wait.1).sum::<Duration>() / 50;
            assert!(mean >= least_own, "{pause:?}: {mean:?}");
            assert!(waits.iter().all(|wait| wait.1 <= most_own), "{pause:?}");
        }
    }
}
