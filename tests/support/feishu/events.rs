//! The shapes of what is delivered and read back.

use serde_json::{Value, json};

use super::delivery::Kind;
use super::state::{Message, Person};
use super::world::ChatMode;
use super::{APP_ID, BOT, EventId, Knowledge as _, State, TENANT};

impl State {
    /// Tells the app of a message, if it is to hear of it.
    pub(super) fn announce(&mut self, id: &str) {
        let message = &self.messages[id];
        if message.sender == BOT || !self.hears(message) {
            return;
        }
        let event = json!({
            "sender": sender(&self.people[&message.sender]),
            "message": self.event_message(message),
        });
        self.push_event("im.message.receive_v1", id.to_owned(), event);
    }

    /// Returns whether the app's scopes let it hear a message.
    fn hears(&self, message: &Message) -> bool {
        let chat = &self.chats[&message.chat];
        if !chat.members.contains(BOT) {
            return false;
        }
        let is_mentioned = message.mentions.iter().any(|it| it["id"]["open_id"] == BOT);
        match chat.mode {
            ChatMode::P2p => self.may(&["im:message.p2p_msg:readonly"]),
            ChatMode::Group | ChatMode::Topic if self.people[&message.sender].is_bot => {
                is_mentioned && self.may(&["im:message.group_at_msg.include_bot:readonly"])
            }
            ChatMode::Group | ChatMode::Topic => {
                let with_mention = is_mentioned && self.may(&["im:message.group_at_msg:readonly"]);
                with_mention || self.may(&["im:message.group_msg"])
            }
        }
    }

    fn event_message(&self, message: &Message) -> Value {
        let mut value = json!({
            "message_id": message.id,
            "create_time": message.at_ms.to_string(),
            "update_time": message.updated_ms.unwrap_or(message.at_ms).to_string(),
            "chat_id": message.chat,
            "chat_type": match self.chats[&message.chat].mode {
                ChatMode::P2p => "p2p",
                ChatMode::Group | ChatMode::Topic => "group",
            },
            "message_type": message.kind,
            "content": message.content,
            "user_agent": "Mozilla/5.0",
        });
        put_places(&mut value, message);
        if message.hides_thread
            && let Some(value) = value.as_object_mut()
        {
            value.remove("thread_id");
        }
        if !message.mentions.is_empty() {
            value["mentions"] = json!(message.mentions);
        }
        value
    }

    /// Returns a message as calls answer with it.
    pub(super) fn item(&self, message: &Message) -> Value {
        let person = &self.people[&message.sender];
        let sender = if message.sender == BOT {
            json!({"id": APP_ID, "id_type": "app_id", "sender_type": "app", "tenant_key": TENANT})
        } else {
            json!({
                "id": person.id, "id_type": "open_id",
                "sender_type": if person.is_bot { "app" } else { "user" },
                "tenant_key": person.tenant,
            })
        };
        let content = match message.kind.as_str() {
            _ if message.is_deleted => "This message was recalled".to_owned(),
            "interactive" => simplified(&message.content),
            _ => message.content.clone(),
        };
        let mut value = json!({
            "message_id": message.id,
            "msg_type": message.kind,
            "create_time": message.at_ms.to_string(),
            "update_time": message.updated_ms.unwrap_or(message.at_ms).to_string(),
            "deleted": message.is_deleted,
            "updated": message.updated_ms.is_some(),
            "chat_id": message.chat,
            "sender": sender,
            "body": {"content": content},
        });
        put_places(&mut value, message);
        if let Some(upper) = &message.upper {
            value["upper_message_id"] = json!(upper);
        }
        let mentions = message.mentions.iter().map(|it| {
            json!({
                "key": it["key"], "id": it["id"]["open_id"], "id_type": "open_id",
                "name": it["name"], "tenant_key": it["tenant_key"],
            })
        });
        let mentions: Vec<Value> = mentions.collect();
        if !mentions.is_empty() {
            value["mentions"] = mentions.into();
        }
        value
    }

    /// Recalls a message and tells the app.
    pub(super) fn recall(&mut self, id: &str, recall_type: &str) {
        let at = self.tick();
        let Some(message) = self.messages.get_mut(id) else {
            return;
        };
        message.is_deleted = true;
        let (chat, is_own) = (message.chat.clone(), message.sender == BOT);
        if is_own && !self.options.tells_own_recalls {
            return;
        }
        let event = json!({
            "message_id": id, "chat_id": chat,
            "recall_time": at.to_string(), "recall_type": recall_type,
        });
        if self.bot_is_in(&chat) {
            self.push_event("im.message.recalled_v1", format!("recall of {id}"), event);
        }
    }

    pub(super) fn push_event(&mut self, event_type: &str, about: String, event: Value) -> EventId {
        let id = self.name("ev_");
        let payload = self.envelope(&id, event_type, event);
        self.push(Kind::Event, id, about, payload)
    }

    pub(super) fn envelope(&mut self, id: &str, event_type: &str, event: Value) -> Value {
        let at = self.tick();
        json!({
            "schema": "2.0",
            "header": {
                "event_id": id, "token": "", "create_time": at.to_string(),
                "event_type": event_type, "tenant_key": TENANT, "app_id": APP_ID,
            },
            "event": event,
        })
    }

    /// Returns the payload of a press.
    pub(super) fn press_payload(
        &mut self,
        id: &str,
        user: &str,
        message: &str,
        button: &Value,
    ) -> Value {
        let action = json!({
            "value": button["behaviors"][0]["value"], "tag": "button",
            "timezone": "Asia/Shanghai", "name": button["name"],
        });
        let event = json!({
            "operator": {
                "tenant_key": self.people[user].tenant, "user_id": null,
                "open_id": user, "union_id": union_id(user),
            },
            "token": format!("c-{id}"),
            "action": action,
            "host": "im_message", "delivery_type": "",
            "context": {
                "url": "", "preview_token": "", "open_message_id": message,
                "open_chat_id": self.messages[message].chat,
            },
        });
        let mut payload = self.envelope(id, "card.action.trigger", event);
        // In µs, unlike everything else.
        payload["header"]["create_time"] = json!(format!("{}000", self.tick()));
        payload
    }
}

/// Puts in where a message stands among others.
fn put_places(value: &mut Value, message: &Message) {
    let places = [
        ("root_id", &message.root_id),
        ("parent_id", &message.parent_id),
        ("thread_id", &message.thread_id),
    ];
    for (name, place) in places {
        if let Some(place) = place {
            value[name] = json!(place);
        }
    }
}

fn sender(person: &Person) -> Value {
    json!({
        "sender_id": {"union_id": union_id(&person.id), "user_id": null, "open_id": person.id},
        "sender_type": if person.is_bot { "bot" } else { "user" },
        "tenant_key": person.tenant,
    })
}

pub(super) fn union_id(open_id: &str) -> String {
    open_id.replacen("ou_", "on_", 1)
}

/// A card is not read back as it was sent.
fn simplified(content: &str) -> String {
    let card: Value = serde_json::from_str(content).unwrap_or_default();
    let elements = card["body"]["elements"].as_array().into_iter().flatten();
    let lines: Vec<Value> = elements
        .filter_map(|it| it["content"].as_str())
        .map(|text| json!([{"tag": "text", "text": text}]))
        .collect();
    json!({"title": null, "elements": lines}).to_string()
}
