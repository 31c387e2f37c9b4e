//! How many connections of the app there are, by Slack's count and by ours.
//!
//! Slack gives each event to one of an app's connections, whichever: of two processes each gets a
//! part of the messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// How long Slack may count a connection that is gone.
const COUNTED_FOR: Duration = Duration::from_secs(60);

/// Counts our connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Census(Arc<Mutex<Count>>);

/// A connection that is counted; dropped when it has ended.
#[derive(Debug)]
pub(super) struct Counted(Census);

#[derive(Debug, Default)]
struct Count {
    n_open: usize,
    /// When connections ended lately.
    ended_at: VecDeque<Instant>,
    has_warned: bool,
}

impl Census {
    /// Counts a new connection. Warns, once, when Slack counts more connections than there can be
    /// of ours.
    pub(super) fn count(&self, num_connections: Option<usize>) -> Counted {
        let mut count = self.lock();
        count.n_open += 1;
        if let Some((counted, ours)) = count.strangers(num_connections, Instant::now()) {
            warn!(
                counted,
                ours,
                "Slack counts more connections of this app than ours: another process uses the \
                 same app-level token and gets a part of the messages, unless it has just ended"
            );
        }
        Counted(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut count = self.0.lock();
        count.n_open -= 1;
        count.ended_at.push_back(Instant::now());
    }
}

impl Count {
    /// Returns Slack's count and ours when they first disagree.
    fn strangers(&mut self, counted: Option<usize>, now: Instant) -> Option<(usize, usize)> {
        self.ended_at
            .retain(|ended_at| now - *ended_at < COUNTED_FOR);
        let ours = self.n_open + self.ended_at.len();
        let counted = counted.filter(|counted| *counted > ours && !self.has_warned)?;
        self.has_warned = true;
        Some((counted, ours))
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn strangers_are_whom_neither_the_open_nor_the_ended_connections_explain() {
        let census = Census::default();
        let strangers = |counted| census.lock().strangers(counted, Instant::now());
        let old = census.count(Some(1));
        let _new = census.count(Some(2));
        drop(old);
        // Slack may not know yet that it has ended.
        assert_eq!(strangers(Some(2)), None);
        assert_eq!(strangers(None), None);
        tokio::time::advance(COUNTED_FOR).await;
        assert_eq!(strangers(Some(1)), None);
        assert_eq!(strangers(Some(2)), Some((2, 1)));
        assert_eq!(strangers(Some(2)), None, "said once");
    }
}
