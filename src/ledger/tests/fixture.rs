//! Messages to fill a ledger with.

use std::time::SystemTime;

use tieline_channel::{
    ChannelId, ChatId, ChatKind, Conversation, EventKey, EventKind, Message, Segment, Sender,
    SenderKind, UserId, WireId,
};

use crate::id::{DispatcherId, LaneId, MessageId};
use crate::ledger::{Accepted, Ledger, LedgerError, NewMessage};

pub(super) fn lane() -> LaneId {
    LaneId::new("flow/a")
}

/// A message whose text is its name.
pub(super) fn new_message(id: &str) -> NewMessage {
    NewMessage {
        channel: ChannelId::new("team"),
        dispatcher: DispatcherId::new("flow"),
        lane: lane(),
        key: EventKey {
            kind: EventKind::Message,
            id: id.to_owned(),
        },
        message: Message {
            id: WireId::new(id),
            conversation: Conversation {
                chat: ChatId::new("C1"),
                thread: None,
            },
            chat_kind: ChatKind::Direct,
            chat_name: None,
            sender: Sender {
                id: UserId::new("U1"),
                name: None,
                kind: SenderKind::Person,
            },
            sent_at: SystemTime::UNIX_EPOCH,
            body: vec![Segment::Text(id.to_owned())],
            addressed: true,
            in_thread: false,
            quote: None,
            attachments: Vec::new(),
        },
        received_at: SystemTime::UNIX_EPOCH,
        urgent: false,
    }
}

/// Accepts a message that must be new.
pub(super) async fn accept(ledger: &Ledger, id: &str) -> Result<MessageId, LedgerError> {
    match ledger.accept(new_message(id)).await? {
        Accepted::New { id, .. } => Ok(id),
        Accepted::Duplicate { .. } => panic!("{id} was seen before"),
    }
}
