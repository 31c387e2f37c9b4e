//! Reading back.
//!
//! - `thread`: what a thread said before a message
//! - `backfill`: what was written while nothing arrived

mod backfill;
#[cfg(test)]
mod tests;
mod thread;

use serde_json::Value;

pub(crate) use self::backfill::catch_up;
pub(crate) use self::thread::earlier;
use crate::inbound::fields::{items, text};

/// How many messages are asked for at once, as Slack recommends at most.
const PAGE: &str = "200";

/// A page of messages or conversations.
struct Page {
    items: Vec<Value>,
    /// What the next page is asked for with.
    cursor: Option<String>,
}

impl Page {
    /// Reads an answer that has its items in `field`.
    fn read(answer: &Value, field: &str) -> Self {
        Self {
            items: items(&answer[field]).to_vec(),
            cursor: text(&answer["response_metadata"]["next_cursor"]).map(str::to_owned),
        }
    }
}
