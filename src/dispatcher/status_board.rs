//! Shows people how far their messages are: best effort, one task, never in the way of a turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tieline_channel::{Channel, ChannelId, Conversation, Status, WireId};
use tokio::sync::Notify;
use tracing::debug;

use crate::redact::redactor;

/// Of how many messages of a channel a change may wait; what comes beyond is dropped.
const WAITING: usize = 256;

/// How long a platform may take to show one.
const DEADLINE: Duration = Duration::from_secs(5);

/// The handle.
#[derive(Clone, Debug)]
pub(super) struct StatusBoard(Arc<BTreeMap<ChannelId, Changes>>);

/// The changes of one channel that wait to be shown: of each message the latest.
#[derive(Debug, Default)]
struct Changes {
    waiting: Mutex<VecDeque<Change>>,
    some: Notify,
}

#[derive(Clone, Debug, PartialEq)]
struct Change {
    at: Conversation,
    message: WireId,
    status: Status,
}

impl StatusBoard {
    /// Makes a board and the task that serves it, until it is dropped. A slow channel holds up
    /// only itself.
    pub(super) fn new(
        channels: BTreeMap<ChannelId, Arc<dyn Channel>>,
    ) -> (Self, impl Future<Output = ()>) {
        let able: BTreeMap<_, _> = channels
            .into_iter()
            .filter(|(_, channel)| channel.capabilities().status)
            .collect();
        let changes = able
            .keys()
            .map(|id| (id.clone(), Changes::default()))
            .collect();
        let board = Self(Arc::new(changes));
        let served = Arc::clone(&board.0);
        let serve = async move {
            let all = served
                .iter()
                .filter_map(|(id, changes)| Some(serve(able.get(id)?, changes)));
            join_all(all).await;
        };
        (board, serve)
    }

    /// Shows a status, some time soon, perhaps.
    pub(super) fn show(
        &self,
        channel: &ChannelId,
        at: Conversation,
        message: WireId,
        status: Status,
    ) {
        if let Some(changes) = self.0.get(channel) {
            let status = match status {
                Status::Working { progress } => Status::Working {
                    progress: progress.map(|text| redactor().redact_owned(text)),
                },
                Status::Received | Status::Done | Status::Failed => status,
            };
            changes.add(Change {
                at,
                message,
                status,
            });
        }
    }
}

impl Changes {
    /// Adds a change. One of the same message that still waits is out of date.
    fn add(&self, change: Change) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |earlier: &Change| earlier.message == change.message && earlier.at == change.at;
        if let Some(index) = waiting.iter().position(is_same) {
            waiting[index] = change;
        } else if waiting.len() < WAITING {
            waiting.push_back(change);
        } else {
            debug!("a status was dropped: too many wait");
            return;
        }
        self.some.notify_one();
    }

    /// Waits for the next change. Cancel-safe.
    async fn next(&self) -> Change {
        loop {
            let next = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            if let Some(change) = next {
                return change;
            }
            self.some.notified().await;
        }
    }
}

async fn serve(channel: &Arc<dyn Channel>, changes: &Changes) {
    loop {
        let change = changes.next().await;
        let shown = channel.show_status(&change.at, &change.message, &change.status);
        match tokio::time::timeout(DEADLINE, shown).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => debug!(error = %failure, "a status was not shown"),
            Err(_elapsed) => debug!("a status was not shown in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tieline_channel::ChatId;

    use super::*;

    fn change(chat: &str, message: &str, status: Status) -> Change {
        Change {
            at: Conversation {
                chat: ChatId::new(chat),
                thread: None,
            },
            message: WireId::new(message),
            status,
        }
    }

    #[tokio::test]
    async fn of_each_message_only_the_latest_waits_and_it_keeps_its_place() {
        let changes = Changes::default();
        let working = Status::Working { progress: None };
        changes.add(change("a", "1", Status::Received));
        changes.add(change("a", "2", Status::Received));
        changes.add(change("a", "1", working));
        // The same name in another chat is another message.
        changes.add(change("b", "1", Status::Received));
        changes.add(change("a", "1", Status::Done));
        assert_eq!(changes.next().await, change("a", "1", Status::Done));
        assert_eq!(changes.next().await, change("a", "2", Status::Received));
        assert_eq!(changes.next().await, change("b", "1", Status::Received));
        assert!(changes.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn beyond_the_limit_new_messages_are_dropped_and_those_that_wait_still_change() {
        let changes = Changes::default();
        for number in 0..WAITING + 10 {
            changes.add(change("a", &number.to_string(), Status::Received));
        }
        changes.add(change("a", "0", Status::Failed));
        assert_eq!(changes.next().await, change("a", "0", Status::Failed));
        let mut left = 0;
        while changes.next().now_or_never().is_some() {
            left += 1;
        }
        assert_eq!(left, WAITING - 1);
    }
}
