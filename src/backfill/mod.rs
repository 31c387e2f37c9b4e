//! Reading back: what was written while a connection did not bring it is fetched from the
//! platform's history, and a connection that brings nothing is found out.
//!
//! A platform delivers again what was not acknowledged, but not for ever and not always. So the
//! history is read whenever a connection has come up, and from time to time while it is up; all of
//! it goes through the same gate and deduplication as what the connection brings. How far that was
//! done is on record, so that a restart leaves no gap.
//!
//! - `plan` says, without IO, when to read, from when on, and what to think of what was found.
//!
//! Knows the ledger and the channel's contract; nothing of any platform.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tieline_channel::retry::RetryPolicy;
use tieline_channel::{CaughtUp, Channel, Intake, SendError, WithCauses};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use self::plan::{Deafness, Next, Occasion, Reading};
use crate::ledger::Ledger;

/// How many conversations a platform is asked about.
const MAX_THREADS: usize = 200;

/// How often and how far history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often while the connection is up.
    pub every: Duration,
    /// How much earlier than the last time ended: a platform's clock is not ours, and messages may
    /// come into its history late.
    pub margin: Duration,
    /// How far back at most: less than deduplication keys are kept.
    pub furthest: Duration,
    /// Conversations that were used within this time are asked for.
    pub threads_within: Duration,
    /// How long a message may take on the connection before it counts as having not come by it.
    pub patience: Duration,
    /// How long one reading may take.
    pub deadline: Duration,
}

impl Pace {
    /// Returns the pace for everyday use.
    pub fn standard() -> Self {
        const MINUTE: u64 = 60;
        const DAY: u64 = 24 * 60 * MINUTE;
        Self {
            every: Duration::from_secs(10 * MINUTE),
            margin: Duration::from_secs(5 * MINUTE),
            furthest: Duration::from_secs(6 * DAY),
            threads_within: Duration::from_secs(7 * DAY),
            patience: Duration::from_secs(MINUTE),
            deadline: Duration::from_secs(30 * MINUTE),
        }
    }
}

/// What reading back has come to since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// When everything readable was last read.
    pub last_read_at: Option<SystemTime>,
    /// How many messages were found that had not come by the connection.
    pub missed: u64,
    /// How often the connection was found to bring nothing although it looked alive.
    pub deaf: u64,
    /// What cannot be read until somebody has changed something, each in one sentence.
    pub unreadable: Vec<String>,
    /// Why the last reading failed, if it did.
    pub last_error: Option<String>,
}

/// Reads one channel's history back.
pub struct Backfill {
    ledger: Ledger,
    channel: Arc<dyn Channel>,
    pace: Pace,
    report: watch::Sender<Report>,
}

impl Backfill {
    /// Makes what reads back `channel`, which has a history, and where one sees what it comes to.
    pub fn new(
        ledger: Ledger,
        channel: Arc<dyn Channel>,
        pace: Pace,
    ) -> (Self, watch::Receiver<Report>) {
        let (report, seen) = watch::channel(Report::default());
        let backfill = Self {
            ledger,
            channel,
            pace,
            report,
        };
        (backfill, seen)
    }

    /// Reads until `stop` is cancelled; a reading that is under way is dropped then.
    pub async fn run(self, intake: Arc<dyn Intake>, stop: CancellationToken) {
        stop.run_until_cancelled(self.read_for_ever(&*intake)).await;
    }

    async fn read_for_ever(&self, intake: &dyn Intake) {
        let mut reading = Reading::default();
        let mut retries = RetryPolicy::new();
        let mut deafness = Deafness::default();
        let mut health = self.channel.health();
        // Before there is a connection: what is written while it is made for the first time counts.
        self.mark_the_beginning(&mut retries).await;
        loop {
            let link = health.borrow_and_update().clone();
            match reading.next(&link, Instant::now(), self.pace.every) {
                Next::Wait { until } => {
                    let woken = async {
                        match until {
                            Some(until) => tokio::time::sleep_until(until).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = woken => {}
                        changed = health.changed() => if changed.is_err() {
                            debug!("the channel is gone; nothing is read back any more");
                            return;
                        },
                    }
                }
                Next::Read(occasion) => match self.read(occasion, intake).await {
                    Ok(found) => {
                        retries = RetryPolicy::new();
                        self.judge(occasion, &found, &mut deafness);
                        reading = reading.succeeded(&link, Instant::now());
                    }
                    Err(failure) => {
                        let after = failure.retry_after(&mut retries, self.pace.every);
                        self.note_failure(&failure, after);
                        reading = reading.failed(Instant::now() + after);
                    }
                },
            }
        }
    }

    /// Sees to it that the channel has a mark.
    async fn mark_the_beginning(&self, retries: &mut RetryPolicy) {
        let id = self.channel.id();
        while let Err(failure) = self.ledger.history_mark(id, SystemTime::now()).await {
            warn!(error = %failure, "how far history was read is not known");
            tokio::time::sleep(retries.next_delay()).await;
        }
    }

    /// Reads once what was written since the last time.
    async fn read(&self, occasion: Occasion, intake: &dyn Intake) -> Result<CaughtUp, Failure> {
        let id = self.channel.id();
        let begun_at = SystemTime::now();
        let mark = self.ledger.history_mark(id, begun_at).await?;
        let since = plan::since(mark, begun_at, &self.pace);
        let used_since = begun_at - self.pace.threads_within;
        let threads = self
            .ledger
            .conversations(id, used_since, MAX_THREADS)
            .await?;
        debug!(?occasion, threads = threads.len(), "reading history back");
        let found = tokio::time::timeout(
            self.pace.deadline,
            self.channel.catch_up(since, &threads, intake),
        )
        .await
        .map_err(|_elapsed| Failure::Slow(self.pace.deadline))??;
        self.ledger.set_history_mark(id, begun_at).await?;
        self.report.send_modify(|report| {
            report.last_read_at = Some(begun_at);
            report.missed += found.missed;
            if report.unreadable != found.unreadable {
                for what in &found.unreadable {
                    warn!(what, "a part of the history cannot be read");
                }
                report.unreadable.clone_from(&found.unreadable);
            }
            report.last_error = None;
        });
        Ok(found)
    }

    /// Thinks about what was found, and has the connection made anew if it is deaf.
    fn judge(&self, occasion: Occasion, found: &CaughtUp, deafness: &mut Deafness) {
        let missed = found.missed;
        let is_deaf = plan::is_deaf(occasion, found, SystemTime::now(), &self.pace);
        let reconnects = deafness.after(occasion, is_deaf);
        if !is_deaf {
            if missed > 0 {
                info!(missed, "read back what had not come by the connection");
            }
            return;
        }
        warn!(
            missed,
            reconnects, "the connection looks alive, but messages do not come by it"
        );
        self.report.send_modify(|report| report.deaf += 1);
        if !reconnects {
            return;
        }
        self.channel.reconnect(&format!(
            "{} found in the history had not come by it",
            messages(found.missed)
        ));
    }

    /// Tells a failure once, not at every repetition.
    fn note_failure(&self, failure: &Failure, after: Duration) {
        let text = WithCauses(failure).to_string();
        let is_news = self.report.borrow().last_error.as_ref() != Some(&text);
        if is_news {
            warn!(error = text, retry_in = ?after, "history cannot be read back");
        } else {
            debug!(error = text, retry_in = ?after, "history cannot be read back");
        }
        self.report
            .send_modify(|report| report.last_error = Some(text));
    }
}

/// Why history was not read.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The platform could not be asked.
    #[error(transparent)]
    Channel(#[from] SendError),
    /// It cannot be recorded.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// It takes too long.
    #[error("reading history took longer than {} s", .0.as_secs())]
    Slow(Duration),
}

impl Failure {
    /// Returns when to try again: soon, unless the platform says when, or nothing will be different
    /// until somebody has done something.
    fn retry_after(&self, retries: &mut RetryPolicy, every: Duration) -> Duration {
        match self {
            Self::Channel(SendError::Again { after, .. }) => {
                retries.next_delay().max(after.unwrap_or_default())
            }
            Self::Channel(SendError::Unclear { .. }) | Self::Ledger(_) => retries.next_delay(),
            Self::Channel(SendError::Never { .. } | SendError::Operator { .. }) | Self::Slow(_) => {
                every
            }
        }
    }
}

fn messages(count: u64) -> String {
    match count {
        1 => "a message that was".to_owned(),
        n => format!("{n} messages that were"),
    }
}
