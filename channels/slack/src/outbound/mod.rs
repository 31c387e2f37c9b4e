//! From our posts to Slack's messages.
//!
//! - `markdown`, `mrkdwn`, `table`: the model's text as Slack takes it
//! - `body`: the forms that a message can have, from the best to the plainest
//! - `upload`: posts that carry a file
//! - `find`: whether a post is there whose answer was lost
//! - `react`: emoji on messages

mod body;
mod find;
mod markdown;
mod mrkdwn;
mod react;
mod table;
#[cfg(test)]
mod tests;
mod upload;

use std::time::SystemTime;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tieline_channel::{Conversation, Post, PostKind, Posted, SendError, WireId};
use tracing::{info, warn};

use self::body::Body;
#[cfg(test)]
pub(crate) use self::react::name as emoji_name;
pub(crate) use self::react::react;
pub(crate) use self::upload::MAX_FILE_BYTES;
use crate::account::Account;
use crate::web::{CallError, Form, Method, Urgency};

/// What marks a message as one of ours, with its key.
const EVENT_TYPE: &str = "tieline_post";

#[derive(Deserialize)]
struct Sent {
    ts: String,
}

/// Posts a message: in blocks, or as plain text when Slack refuses those.
///
/// When its thread is gone, it goes to the channel itself: an answer in the wrong place is read, a
/// lost one is not.
pub(crate) async fn post(account: &Account, post: &Post) -> Result<Posted, SendError> {
    if let Some(file) = &post.file {
        return upload::post(account, post, file).await;
    }
    let method = Method::ChatPostMessage;
    let mut forms = body::forms(&post.text, &post.buttons, body::MAX_POSTED_TEXT).into_iter();
    let mut body = forms.next().unwrap_or_else(Body::empty);
    let mut in_thread = post.to.thread.is_some();
    loop {
        let form = post_form(post, &body, in_thread);
        let error = match account
            .web
            .call_as::<Sent>(urgency(post), method, form)
            .await
        {
            Ok(sent) => {
                return Ok(Posted {
                    id: WireId::new(sent.ts),
                });
            }
            Err(error) => error,
        };
        if in_thread && is_about_thread(&error) {
            warn!(%error, "the thread is gone: a post goes to the channel itself");
            in_thread = false;
        } else if is_about_form(&error)
            && let Some(plainer) = forms.next()
        {
            let error = error.explained();
            info!(
                error,
                "Slack refuses the blocks of a post: it goes in a plainer form"
            );
            body = plainer;
        } else {
            return Err(error.into_send_error(method));
        }
    }
}

/// Looks for a post by its key, or by its file.
pub(crate) async fn find(
    account: &Account,
    post: &Post,
    since: SystemTime,
) -> Result<Option<Posted>, SendError> {
    find::find(account, post, since).await
}

/// Replaces the text of a post. Its buttons go.
pub(crate) async fn edit(
    account: &Account,
    at: &Conversation,
    message: &WireId,
    text: &str,
) -> Result<(), SendError> {
    let method = Method::ChatUpdate;
    let mut forms = body::forms(text, &[], body::MAX_UPDATED_TEXT).into_iter();
    let mut body = forms.next().unwrap_or_else(Body::empty);
    loop {
        let form = vec![
            ("channel", at.chat.to_string()),
            ("ts", message.to_string()),
            ("text", body.text.clone()),
            // Without blocks the old ones would stay, and hide the text.
            ("blocks", Value::from(body.blocks.clone()).to_string()),
        ];
        match account.web.call::<IgnoredAny>(method, form).await {
            Ok(_) => return Ok(()),
            Err(error) if is_about_form(&error) => match forms.next() {
                Some(plainer) => body = plainer,
                None => return Err(error.into_send_error(method)),
            },
            Err(error) => return Err(error.into_send_error(method)),
        }
    }
}

/// Deletes a post; one that is gone already is deleted.
pub(crate) async fn delete(
    account: &Account,
    at: &Conversation,
    message: &WireId,
) -> Result<(), SendError> {
    let form = vec![
        ("channel", at.chat.to_string()),
        ("ts", message.to_string()),
    ];
    match account
        .web
        .call::<IgnoredAny>(Method::ChatDelete, form)
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.refusal() == Some("message_not_found") => Ok(()),
        Err(error) => Err(error.into_send_error(Method::ChatDelete)),
    }
}

fn post_form(post: &Post, body: &Body, in_thread: bool) -> Form {
    let metadata = json!({
        "event_type": EVENT_TYPE,
        "event_payload": {"key": post.key.as_str()},
    });
    let mut form = vec![
        ("channel", post.to.chat.to_string()),
        ("text", body.text.clone()),
        ("metadata", metadata.to_string()),
        ("unfurl_links", "false".to_owned()),
        ("unfurl_media", "false".to_owned()),
    ];
    if !body.blocks.is_empty() {
        form.push(("blocks", Value::from(body.blocks.clone()).to_string()));
    }
    if let Some(thread) = post.to.thread.as_ref().filter(|_| in_thread) {
        form.push(("thread_ts", thread.to_string()));
    }
    form
}

/// What somebody waits for goes before what is only said in passing.
fn urgency(post: &Post) -> Urgency {
    match post.kind {
        PostKind::Answer | PostKind::Failure => Urgency::Answer,
        PostKind::Notice if post.buttons.is_empty() => Urgency::Ordinary,
        PostKind::Notice => Urgency::Answer,
    }
}

/// Returns whether the same content may be taken in a plainer form.
fn is_about_form(error: &CallError) -> bool {
    let Some(refusal) = error.refusal() else {
        return false;
    };
    refusal.starts_with("invalid_block")
        || matches!(
            refusal,
            "blocks_too_long"
                | "block_mismatch"
                | "invalid_attachments"
                | "markdown_text_conflict"
                | "msg_blocks_too_long"
                | "msg_blocks_too_many"
                | "msg_too_long"
                | "only_one_table_allowed"
                | "too_many_blocks"
        )
}

/// Returns whether it is the thread that is missing, not the channel.
fn is_about_thread(error: &CallError) -> bool {
    matches!(
        error.refusal(),
        Some("thread_not_found" | "cannot_reply_to_message" | "invalid_thread_ts")
    )
}

/// Measures text as Slack may: what lies outside of the basic plane counts twice.
fn measure(text: &str) -> usize {
    text.encode_utf16().count()
}
