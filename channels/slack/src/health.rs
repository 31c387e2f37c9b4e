//! The latest word on the connection.

use std::time::SystemTime;

use tieline_channel::{Health, Link};
use tokio::sync::watch;

/// Where the parts of the channel say how the connection is.
#[derive(Debug)]
pub(crate) struct HealthBoard(watch::Sender<Health>);

impl HealthBoard {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Health::connecting(SystemTime::now())))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Health> {
        self.0.subscribe()
    }

    /// Something came in.
    pub(crate) fn heard(&self) {
        let now = SystemTime::now();
        self.0.send_modify(|health| health.heard_at = Some(now));
    }

    /// The connection is up.
    pub(crate) fn up(&self) {
        self.set(Link::Up, None);
    }

    /// The connection is being made again.
    pub(crate) fn down(&self, reason: String) {
        self.set(Link::Down, Some(reason));
    }

    /// Somebody must do something.
    pub(crate) fn needs_operator(&self, reason: String) {
        self.set(Link::NeedsOperator, Some(reason));
    }

    /// The channel has ended.
    pub(crate) fn stopped(&self) {
        self.set(Link::Stopped, None);
    }

    /// `since` changes only when the link does; the last error stays until there is another.
    fn set(&self, link: Link, error: Option<String>) {
        let now = SystemTime::now();
        self.0.send_if_modified(|health| {
            let before = health.clone();
            if health.link != link {
                health.link = link;
                health.since = now;
            }
            if error.is_some() {
                health.last_error = error;
            }
            *health != before
        });
    }
}
