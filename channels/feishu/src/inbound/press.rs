//! From a pressed button to ours.

use serde_json::Value;
use tieline_channel::{
    ChatId, Conversation, Event, EventKey, EventKind, Happening, Press, Sender, UserId, WireId,
};

use super::Delivered;
use super::fields::Fields as _;
use super::message::person;
use crate::button;

/// Reads `card.action.trigger`.
pub(super) fn pressed(payload: &Value) -> Delivered {
    let text = |pointer| payload.text(pointer);
    let Some(id) = text("/header/event_id").or_else(|| text("/event/token")) else {
        return Delivered::nothing("a press without an id");
    };
    let Some(user) = text("/event/operator/open_id") else {
        return Delivered::nothing("a press by nobody");
    };
    let message = text("/event/context/open_message_id");
    let chat = text("/event/context/open_chat_id");
    let (Some(message), Some(chat)) = (message, chat) else {
        return Delivered::nothing("a press that does not say where");
    };
    let carried = payload
        .pointer("/event/action/value")
        .unwrap_or(&Value::Null);
    let Some((value, thread)) = button::read(carried) else {
        return Delivered::nothing("a press of something that carries no value");
    };
    Delivered::event(Event {
        key: EventKey {
            kind: EventKind::Press,
            id: id.to_owned(),
        },
        happening: Happening::Pressed(Press {
            conversation: Conversation {
                chat: ChatId::new(chat),
                thread,
            },
            message: WireId::new(message),
            sender: Sender {
                id: UserId::new(user),
                name: None,
                kind: person(payload, "/event/operator/tenant_key"),
            },
            value,
        }),
    })
}
