//! From a received message to ours.

use std::time::SystemTime;

use serde_json::Value;
use tieline_channel::{
    ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Message, Quote, Sender,
    SenderKind, ThreadKey, UserId, WireId,
};

use super::content;
use super::fields::Fields as _;
use super::mention::Mentions;
use super::{Delivered, Identity, Lack};

/// Reads `im.message.receive_v1`.
pub(super) fn received(payload: &Value, us: &Identity, now: SystemTime) -> Delivered {
    let text = |pointer| payload.text(pointer);
    let Some(message_id) = text("/event/message/message_id") else {
        return Delivered::nothing("a message without an id");
    };
    let Some(chat) = text("/event/message/chat_id") else {
        return Delivered::nothing("a message without a chat");
    };
    let sender = match sender(payload, us) {
        Ok(sender) => sender,
        Err(reason) => return Delivered::nothing(reason),
    };
    let chat_kind = match text("/event/message/chat_type") {
        Some("p2p") => ChatKind::Direct,
        _ => ChatKind::Group,
    };
    let mentions = Mentions::read(payload.list("/event/message/mentions"));
    let kind = text("/event/message/message_type").unwrap_or_default();
    let content = content::read(
        message_id,
        kind,
        text("/event/message/content").unwrap_or_default(),
        &mentions,
    );
    let place = Place {
        message_id,
        root_id: text("/event/message/root_id"),
        parent_id: text("/event/message/parent_id"),
        thread_id: text("/event/message/thread_id"),
    };
    let quoted = place.quoted();

    let mut lacks = Vec::new();
    lacks.extend(
        place
            .topic_unclear(chat_kind)
            .map(|root| Lack::Topic(WireId::new(root))),
    );
    lacks.extend(quoted.map(|id| Lack::QuotedText(WireId::new(id))));
    lacks.extend(content.partial.map(Lack::Content));

    let message = Message {
        id: WireId::new(message_id),
        conversation: Conversation {
            chat: ChatId::new(chat),
            thread: place.thread(),
        },
        chat_kind,
        chat_name: None,
        sender,
        sent_at: payload
            .time("/event/message/create_time")
            .or_else(|| payload.time("/header/create_time"))
            .unwrap_or(now),
        body: content.body,
        addressed: chat_kind == ChatKind::Direct || mentions.has(&us.open_id),
        in_thread: place.is_reply(),
        quote: quoted.map(|id| Quote {
            message: WireId::new(id),
            sender: None,
            text: String::new(),
        }),
        attachments: content.attachments,
    };
    Delivered::Event {
        event: Event {
            key: key(message_id),
            happening: Happening::Message(message),
        },
        lacks,
        first: Some(WireId::new(place.root_id.unwrap_or(message_id))),
    }
}

/// Reads `im.message.recalled_v1`.
pub(super) fn recalled(payload: &Value) -> Delivered {
    let message = payload.text("/event/message_id");
    let chat = payload.text("/event/chat_id");
    let (Some(message_id), Some(chat)) = (message, chat) else {
        return Delivered::nothing("a recall that does not say of what");
    };
    Delivered::Event {
        event: Event {
            key: EventKey {
                kind: EventKind::Deletion,
                id: message_id.to_owned(),
            },
            happening: Happening::Deleted {
                conversation: Conversation {
                    chat: ChatId::new(chat),
                    thread: None,
                },
                target: key(message_id),
            },
        },
        lacks: vec![Lack::Author(WireId::new(message_id))],
        first: None,
    }
}

/// Returns the key of the event that brings a message, be it live, again or read back.
pub(crate) fn key(message_id: &str) -> EventKey {
    EventKey {
        kind: EventKind::Message,
        id: message_id.to_owned(),
    }
}

/// Where a message stands among others.
struct Place<'a> {
    message_id: &'a str,
    root_id: Option<&'a str>,
    parent_id: Option<&'a str>,
    thread_id: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn thread(&self) -> Option<ThreadKey> {
        self.thread_id.or(self.root_id).map(ThreadKey::new)
    }

    fn is_reply(&self) -> bool {
        self.root_id
            .or(self.parent_id)
            .is_some_and(|root| root != self.message_id)
    }

    /// Returns the message that this one answers to. In a topic each message answers to the first
    /// one, which says nothing.
    fn quoted(&self) -> Option<&'a str> {
        let parent = self.parent_id?;
        let only_in_topic = self.thread_id.is_some() && self.root_id == Some(parent);
        (!only_in_topic && parent != self.message_id).then_some(parent)
    }

    /// Returns the first message, if whether it began a topic is only to be known from it: in chats
    /// made of topics a reply may come without its topic.
    fn topic_unclear(&self, chat_kind: ChatKind) -> Option<&'a str> {
        match (chat_kind, self.thread_id) {
            (ChatKind::Group, None) => self.root_id,
            _ => None,
        }
    }
}

/// Tells who wrote a message, or why nobody needs to know.
fn sender(payload: &Value, us: &Identity) -> Result<Sender, &'static str> {
    let id = |name| payload.text(&format!("/event/sender/sender_id/{name}"));
    if id("open_id") == Some(&us.open_id) || id("app_id") == Some(&us.app_id) {
        return Err("a message of our own");
    }
    let Some(user) = ["open_id", "union_id", "user_id", "app_id"]
        .into_iter()
        .find_map(id)
    else {
        return Err("a message of nobody");
    };
    let kind = match payload.text("/event/sender/sender_type") {
        Some("user") => person(payload, "/event/sender/tenant_key"),
        _ => SenderKind::Bot,
    };
    Ok(Sender {
        id: UserId::new(user),
        name: None,
        kind,
    })
}

/// Tells a person of ours from one of another organisation, as far as the event tells. It is believed
/// that it is for us.
pub(super) fn person(payload: &Value, theirs: &str) -> SenderKind {
    match (payload.text("/header/tenant_key"), payload.text(theirs)) {
        (Some(ours), Some(theirs)) if ours != theirs => SenderKind::Outsider,
        _ => SenderKind::Person,
    }
}
