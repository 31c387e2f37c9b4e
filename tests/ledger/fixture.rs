//! Messages and posts to fill a ledger with.

use std::time::SystemTime;

use tieline::id::{DispatcherId, LaneId, MessageId};
use tieline::ledger::{Accepted, Ledger, MessageRecord, NewMessage, NewPost};
use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, EventKey, EventKind, Message, PostKind, Segment,
    Sender, SenderKind, UserId, WireId,
};

pub(crate) fn channel() -> ChannelId {
    ChannelId::new("team")
}

pub(crate) fn dispatcher() -> DispatcherId {
    DispatcherId::new("flow")
}

pub(crate) fn lane(name: &str) -> LaneId {
    LaneId::new(format!("flow/{name}"))
}

pub(crate) fn conversation() -> Conversation {
    Conversation {
        chat: ChatId::new("C1"),
        thread: None,
    }
}

pub(crate) fn key(id: impl Into<String>) -> EventKey {
    EventKey {
        kind: EventKind::Message,
        id: id.into(),
    }
}

pub(crate) fn message(id: &str, text: &str) -> Message {
    Message {
        id: WireId::new(id),
        conversation: conversation(),
        chat_kind: ChatKind::Group,
        chat_name: Some("ops".to_owned()),
        sender: Sender {
            id: UserId::new("U1"),
            name: Some("Mei".to_owned()),
            kind: SenderKind::Person,
        },
        sent_at: SystemTime::UNIX_EPOCH,
        body: vec![Segment::Text(text.to_owned())],
        addressed: true,
        in_thread: false,
        quote: None,
        attachments: Vec::new(),
    }
}

/// A message of the given name for a lane; its text is its name.
pub(crate) fn new_message(lane: &LaneId, id: &str) -> NewMessage {
    NewMessage {
        channel: channel(),
        dispatcher: dispatcher(),
        lane: lane.clone(),
        key: key(id),
        message: message(id, id),
        received_at: SystemTime::UNIX_EPOCH,
        urgent: false,
    }
}

pub(crate) fn post(text: &str) -> NewPost {
    NewPost {
        channel: channel(),
        to: conversation(),
        reply_to: Some(WireId::new("m")),
        settles: vec![WireId::new("m")],
        kind: PostKind::Answer,
        text: text.to_owned(),
        buttons: Vec::new(),
        as_file: None,
        file: None,
        reaction: None,
        edit: None,
    }
}

/// Accepts a message that must be new.
pub(crate) async fn accept(ledger: &Ledger, lane: &LaneId, id: &str) -> MessageId {
    match ledger.accept(new_message(lane, id)).await.unwrap() {
        Accepted::New { id, .. } => id,
        Accepted::Duplicate { .. } => panic!("{id} was seen before"),
    }
}

/// The names of messages.
pub(crate) fn names(messages: &[MessageRecord]) -> Vec<&str> {
    messages
        .iter()
        .map(|record| record.message.id.as_str())
        .collect()
}
