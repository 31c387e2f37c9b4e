//! What people do with messages: they recall, press, react.

use serde_json::Value;

use super::delivery::Kind;
use super::state::Reaction;
use super::{EventId, Knowledge as _, MockFeishu};

impl MockFeishu {
    /// The author recalls a message.
    pub(crate) fn recall(&self, message: &str) {
        self.shared
            .update(|state| state.recall(message, "message_owner"));
    }

    /// Somebody presses the button with this label.
    pub(crate) fn press(&self, person: &str, message: &str, label: &str) -> EventId {
        self.shared.update(|state| {
            let card = serde_json::from_str(&state.messages[message].content);
            let button = button(&card.expect("a card"), label).expect("a button of that name");
            let id = state.name("ev_");
            let payload = state.press_payload(&id, person, message, &button);
            let about = format!("press on {message}");
            state.push(Kind::Callback, id, about, payload)
        })
    }

    /// Somebody reacts to a message.
    pub(crate) fn react(&self, person: &str, message: &str, emoji: &str) {
        self.shared.update(|state| {
            let id = state.name("reaction_");
            let reaction = Reaction {
                id,
                emoji: emoji.to_owned(),
                by: person.to_owned(),
            };
            let message = state.messages.get_mut(message).expect("a message");
            message.reactions.push(reaction);
        });
    }
}

/// Finds a button, wherever in a card it is.
fn button(value: &Value, label: &str) -> Option<Value> {
    match value {
        Value::Object(it) if it.get("tag").is_some_and(|tag| tag == "button") => {
            (value["text"]["content"] == label).then(|| value.clone())
        }
        Value::Object(fields) => fields.values().find_map(|it| button(it, label)),
        Value::Array(items) => items.iter().find_map(|it| button(it, label)),
        _ => None,
    }
}
