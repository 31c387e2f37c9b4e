//! Messages that are read back: what events bring, in other words.

use std::time::SystemTime;

use serde_json::{Value, json};
use tieline_channel::{ChatKind, Happening, Sender, SenderKind, UserId, plain_text};

use super::content;
use super::fields::Fields as _;
use super::mention::Mentions;
use super::message;
use super::{Delivered, Identity};
use crate::names::Chat;

/// Reads a message as the event that brings it.
///
/// Unlike the event, it does not tell which organisation is ours: that is `tenant`, if it is known. In
/// a chat of several ones whoever is not known to be of ours is taken for somebody of another, who must
/// be listed to be let in. And no event brings what other bots say to others, so that it is not missed
/// either.
pub(crate) fn written(
    item: &Value,
    chat: &Chat,
    us: &Identity,
    tenant: Option<&str>,
    now: SystemTime,
) -> Delivered {
    if !is_there(item) {
        return Delivered::nothing("a message that was taken back, or that nobody wrote");
    }
    let id_type = item.text("/sender/id_type").unwrap_or("open_id");
    let chat_type = match chat.kind {
        ChatKind::Direct => "p2p",
        ChatKind::Group => "group",
    };
    let event = json!({"event": {
        "sender": {
            "sender_id": {id_type: item.text("/sender/id")},
            "sender_type": item.text("/sender/sender_type"),
            "tenant_key": item.text("/sender/tenant_key"),
        },
        "message": {
            "message_id": item.text("/message_id"),
            "root_id": item.text("/root_id"),
            "parent_id": item.text("/parent_id"),
            "thread_id": item.text("/thread_id"),
            "create_time": item.number("/create_time"),
            "chat_id": item.text("/chat_id"),
            "chat_type": chat_type,
            "message_type": item.text("/msg_type"),
            "content": item.text("/body/content"),
            "mentions": item.list("/mentions"),
        },
    }});
    let mut delivered = message::received(&event, us, now);
    if let Delivered::Event { event, .. } = &mut delivered
        && let Happening::Message(message) = &mut event.happening
    {
        match message.sender.kind {
            SenderKind::Bot if !message.addressed => {
                return Delivered::nothing("a message of another bot that is not for us");
            }
            SenderKind::Person if !is_of_ours(item, chat, tenant) => {
                message.sender.kind = SenderKind::Outsider;
            }
            SenderKind::Bot | SenderKind::Person | SenderKind::Outsider => {}
        }
    }
    delivered
}

/// Tells whether a person is of our organisation.
fn is_of_ours(item: &Value, chat: &Chat, ours: Option<&str>) -> bool {
    match (ours, item.text("/sender/tenant_key")) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => !chat.is_external,
    }
}

/// Returns who wrote a message; we are a bot among others.
pub(crate) fn sender(item: &Value) -> Option<Sender> {
    let kind = match item.text("/sender/sender_type") {
        Some("user") => SenderKind::Person,
        _ => SenderKind::Bot,
    };
    Some(Sender {
        id: UserId::new(item.text("/sender/id")?),
        name: None,
        kind,
    })
}

/// Returns what a message says, with the names of its files; nothing if it is not there any more.
pub(crate) fn said(item: &Value) -> String {
    if !is_there(item) {
        return String::new();
    }
    let content = content::read(
        item.text("/message_id").unwrap_or_default(),
        item.text("/msg_type").unwrap_or_default(),
        item.text("/body/content").unwrap_or_default(),
        &Mentions::read(item.list("/mentions")),
    );
    let mut said = plain_text(&content.body);
    for attachment in content.attachments {
        // Those in the middle of a text are named there.
        let named = format!("[{}]", attachment.name);
        if !said.contains(&named) {
            let separator = if said.is_empty() { "" } else { "\n" };
            said.push_str(&format!("{separator}[file: {}]", attachment.name));
        }
    }
    said
}

/// Tells whether somebody wrote a message, and it was not taken back.
fn is_there(item: &Value) -> bool {
    item.get("deleted") != Some(&Value::Bool(true)) && item.text("/msg_type") != Some("system")
}
