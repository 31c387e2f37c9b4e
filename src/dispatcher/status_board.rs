//! Shows people how far their messages are: best effort, one task, never in the way of a turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::{Channel, ChannelId, Conversation, Status, WireId};
use tokio::sync::mpsc;
use tracing::debug;

/// How many changes may wait; what comes beyond is dropped, for it is out of date soon anyway.
const WAITING: usize = 256;

/// How long a platform may take to show one.
const DEADLINE: Duration = Duration::from_secs(5);

/// The handle.
#[derive(Clone, Debug)]
pub(super) struct StatusBoard(mpsc::Sender<Change>);

#[derive(Debug)]
struct Change {
    channel: ChannelId,
    at: Conversation,
    message: WireId,
    status: Status,
}

impl StatusBoard {
    /// Makes a board and the task that serves it; the task ends when all handles are gone.
    pub(super) fn new(
        channels: BTreeMap<ChannelId, Arc<dyn Channel>>,
    ) -> (Self, impl Future<Output = ()>) {
        let (sender, mut receiver) = mpsc::channel::<Change>(WAITING);
        let serve = async move {
            while let Some(change) = receiver.recv().await {
                let Some(channel) = channels.get(&change.channel) else {
                    continue;
                };
                if !channel.capabilities().status {
                    continue;
                }
                let shown = channel.show_status(&change.at, &change.message, &change.status);
                match tokio::time::timeout(DEADLINE, shown).await {
                    Ok(Ok(())) => {}
                    Ok(Err(failure)) => debug!(error = %failure, "a status was not shown"),
                    Err(_elapsed) => debug!("a status was not shown in time"),
                }
            }
        };
        (Self(sender), serve)
    }

    /// Shows a status, some time soon, perhaps.
    pub(super) fn show(
        &self,
        channel: ChannelId,
        at: Conversation,
        message: WireId,
        status: Status,
    ) {
        if self
            .0
            .try_send(Change {
                channel,
                at,
                message,
                status,
            })
            .is_err()
        {
            debug!("a status was dropped: too many wait");
        }
    }
}
