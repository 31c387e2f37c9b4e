//! Reading back.
//!
//! - `thread`: what a thread said before a message
//! - `backfill`: what was written while nothing arrived, in which of the `chats`

mod backfill;
mod chats;
#[cfg(test)]
mod tests;
mod thread;

use std::time::Duration;

use serde_json::Value;
use tieline_channel::retry::RetryPolicy;
use tokio::time::sleep;

pub(crate) use self::backfill::catch_up;
pub(crate) use self::thread::earlier;
use crate::inbound::Ts;
use crate::inbound::fields::{items, text};
use crate::web::{CallError, Form, Method, Web};

/// How often a call is repeated whose answer did not come.
const MAX_FAILURES: usize = 3;

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

/// Calls, and waits as long as Slack wants: nobody waits for this.
async fn patiently(web: &Web, method: Method, form: &Form) -> Result<Value, CallError> {
    let mut retries = RetryPolicy::new();
    let mut failures = 0;
    loop {
        match web.call(method, form.clone()).await {
            Err(CallError::Limited { after }) => {
                sleep(after.max(Duration::from_millis(100))).await;
            }
            Err(error @ (CallError::NotSent { .. } | CallError::Lost { .. })) => {
                failures += 1;
                if failures > MAX_FAILURES {
                    return Err(error);
                }
                sleep(retries.next_delay()).await;
            }
            outcome => return outcome,
        }
    }
}

fn ts(value: &Value) -> Option<Ts> {
    Ts::parse(text(value)?)
}
