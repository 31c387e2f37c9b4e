//! Whether a channel's connection lives.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The latest word on a channel's connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The connection.
    pub link: Link,
    /// Since when it is so.
    pub since: SystemTime,
    /// When something last came in, be it a message or a sign of life.
    pub heard_at: Option<SystemTime>,
    /// The last failure, with what to do about it.
    pub last_error: Option<String>,
}

/// The state of a channel's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Not connected yet.
    Connecting,
    /// Messages come in.
    Up,
    /// The connection was lost and is being made again.
    Down,
    /// A person must do something; `last_error` says what.
    NeedsOperator,
    /// The channel has ended.
    Stopped,
}

impl Health {
    /// Returns the health of a channel that has not connected yet.
    pub fn connecting(now: SystemTime) -> Self {
        Self {
            link: Link::Connecting,
            since: now,
            heard_at: None,
            last_error: None,
        }
    }
}

/// Where the parts of the channel say how the connection is.
#[derive(Debug)]
pub struct HealthBoard(watch::Sender<Health>);

impl HealthBoard {
    /// Makes the board of a channel that has not connected yet.
    #[expect(
        clippy::new_without_default,
        reason = "it is made once, for a moment in time"
    )]
    pub fn new() -> Self {
        Self(watch::Sender::new(Health::connecting(SystemTime::now())))
    }

    /// Returns the latest word, and every later one.
    pub fn subscribe(&self) -> watch::Receiver<Health> {
        self.0.subscribe()
    }

    /// Something came in.
    pub fn heard(&self) {
        let now = SystemTime::now();
        self.0.send_modify(|health| health.heard_at = Some(now));
    }

    /// The connection is up.
    pub fn up(&self) {
        self.set(Link::Up, None);
    }

    /// The connection is being made again.
    pub fn down(&self, reason: String) {
        self.set(Link::Down, Some(reason));
    }

    /// Somebody must do something.
    pub fn needs_operator(&self, reason: String) {
        self.set(Link::NeedsOperator, Some(reason));
    }

    /// The channel has ended.
    pub fn stopped(&self) {
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
