//! Whether a channel's connection lives.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

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
