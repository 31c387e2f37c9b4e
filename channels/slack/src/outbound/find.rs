//! Looking for a post whose answer was lost: by the key in its metadata, or by its file's name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;
use tieline_channel::{Post, Posted, SendError, ThreadKey, WireId};
use tokio::time::sleep;

use super::{EVENT_TYPE, is_about_thread};
use crate::account::{Account, Identity};
use crate::web::{CallError, Form, Method, Urgency};

/// How far our clock may be ahead of Slack's.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// When a file's message is looked for again: it appears a little after the file was shared.
const LATER: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// How many messages one call asks for; 999 is Slack's limit.
const PAGE: usize = 500;

/// How many calls are made before it is given up: no more than may be made at once.
const MAX_PAGES: usize = 10;

#[derive(Deserialize)]
struct Page {
    /// Of any shape: one that is not ours must not hide the one that is.
    #[serde(default)]
    messages: Vec<Value>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

#[derive(Deserialize)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

/// Looks for `post` among what was written after `since`.
pub(super) async fn find(
    account: &Account,
    post: &Post,
    since: SystemTime,
) -> Result<Option<Posted>, SendError> {
    let us = account
        .identity()
        .await
        .map_err(|error| error.into_send_error(Method::AuthTest))?;
    let search = Search {
        account,
        us,
        post,
        oldest: as_ts(since.checked_sub(CLOCK_SKEW).unwrap_or(UNIX_EPOCH)),
    };
    let mut found = search.everywhere().await;
    let later = LATER.iter().filter(|_| post.file.is_some());
    for wait in later {
        if !matches!(found, Ok(None)) {
            break;
        }
        sleep(*wait).await;
        found = search.everywhere().await;
    }
    found.map_err(Failure::into_send_error)
}

struct Search<'a> {
    account: &'a Account,
    us: &'a Identity,
    post: &'a Post,
    oldest: String,
}

enum Failure {
    Call(CallError),
    TooMany,
}

impl Failure {
    fn into_send_error(self) -> SendError {
        match self {
            // Both methods read and mean the same.
            Self::Call(error) => error.into_send_error(Method::ConversationsReplies),
            // For ever would not be longer than this: the post stays unclear.
            Self::TooMany => SendError::Never {
                reason: format!(
                    "more than {} messages came after it: it cannot be looked up",
                    PAGE * MAX_PAGES
                ),
            },
        }
    }
}

impl Search<'_> {
    /// Looks where the post goes: in its thread, and in the channel itself if it is not there, where
    /// a post goes whose thread is gone or takes none.
    async fn everywhere(&self) -> Result<Option<Posted>, Failure> {
        let Some(thread) = &self.post.to.thread else {
            return self.all(Method::ConversationsHistory, None).await;
        };
        let is_gone = match self.all(Method::ConversationsReplies, Some(thread)).await {
            Ok(None) => false,
            Err(Failure::Call(error)) if is_about_thread(&error) => true,
            found => return found,
        };
        match self.all(Method::ConversationsHistory, None).await {
            // What the thread says is enough, where so much was written that it is hard to tell.
            Err(Failure::TooMany) if !is_gone => Ok(None),
            found => found,
        }
    }

    async fn all(
        &self,
        method: Method,
        thread: Option<&ThreadKey>,
    ) -> Result<Option<Posted>, Failure> {
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let form = self.form(thread, &cursor);
            let page: Page = self
                .account
                .web
                .call_as(Urgency::Answer, method, form)
                .await
                .map_err(Failure::Call)?;
            if let Some(ts) = page.messages.iter().find_map(|message| self.ours(message)) {
                return Ok(Some(Posted {
                    id: WireId::new(ts),
                }));
            }
            cursor = page
                .response_metadata
                .map(|metadata| metadata.next_cursor)
                .unwrap_or_default();
            if cursor.is_empty() {
                return Ok(None);
            }
        }
        Err(Failure::TooMany)
    }

    fn form(&self, thread: Option<&ThreadKey>, cursor: &str) -> Form {
        let mut form = vec![
            ("channel", self.post.to.chat.to_string()),
            ("oldest", self.oldest.clone()),
            ("limit", PAGE.to_string()),
            ("include_all_metadata", "true".to_owned()),
        ];
        if let Some(thread) = thread {
            form.push(("ts", thread.to_string()));
        }
        if !cursor.is_empty() {
            form.push(("cursor", cursor.to_owned()));
        }
        form
    }

    /// Returns the message's `ts` if it is the post.
    fn ours<'a>(&self, message: &'a Value) -> Option<&'a str> {
        let text = |name: &str| message.get(name).and_then(Value::as_str);
        let is_ours = text("user") == Some(&self.us.user_id)
            || text("bot_id").is_some() && text("bot_id") == self.us.bot_id.as_deref();
        if !is_ours {
            return None;
        }
        let metadata = message.get("metadata");
        let has_key = metadata.is_some_and(|metadata| {
            metadata["event_type"] == EVENT_TYPE
                && metadata["event_payload"]["key"] == self.post.key.as_str()
        });
        let has_file = self.post.file.as_ref().is_some_and(|file| {
            let files = message.get("files").and_then(Value::as_array);
            files.into_iter().flatten().any(|found| {
                found["name"] == file.name.as_str() || found["title"] == file.name.as_str()
            })
        });
        (has_key || has_file).then_some(text("ts")).flatten()
    }
}

/// Returns a time as Slack writes it.
fn as_ts(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        "{}.{:06}",
        since_epoch.as_secs(),
        since_epoch.subsec_micros()
    )
}
