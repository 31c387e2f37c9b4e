//! Messages to bring to the gate.

use std::time::SystemTime;

use tieline_channel::{
    ChatId, ChatKind, Conversation, Message, Segment, Sender, SenderKind, UserId, WireId,
};

/// A direct message of somebody.
pub(super) fn message(user: &str) -> Message {
    Message {
        id: WireId::new("1"),
        conversation: Conversation {
            chat: ChatId::new("C1"),
            thread: None,
        },
        chat_kind: ChatKind::Direct,
        chat_name: None,
        sender: Sender {
            id: UserId::new(user),
            name: None,
            kind: SenderKind::Person,
        },
        sent_at: SystemTime::UNIX_EPOCH,
        body: vec![Segment::Text("hello".to_owned())],
        addressed: true,
        in_thread: false,
        quote: None,
        attachments: Vec::new(),
    }
}
