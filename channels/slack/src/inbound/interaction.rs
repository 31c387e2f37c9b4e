//! What people do besides writing: pressed buttons and slash commands.

use std::time::SystemTime;

use serde_json::Value;
use tieline_channel::{
    ChatId, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Message, Press, Sender,
    SenderKind, UserId, WireId,
};

use super::body::Body;
use super::event::chat_kind;
use super::fields::{items, text};
use super::message::{Meaningless, Place, Reader};
use super::mrkdwn;

/// What a chat with one person is called where others have a name.
const DIRECT: &str = "directmessage";

/// What every private chat is called where others have a name.
const PRIVATE: &str = "privategroup";

impl Reader<'_> {
    /// Reads the payload of an `interactive` envelope.
    ///
    /// # Errors
    ///
    /// When it means nothing to us.
    pub(super) fn interaction(&self, payload: &Value) -> Result<Event, Meaningless> {
        match text(&payload["type"]) {
            Some("block_actions") => self.pressed(payload),
            Some(kind) => Err(format!("an interaction of type {kind}")),
            None => Err("an interaction without a type".to_owned()),
        }
    }

    fn pressed(&self, payload: &Value) -> Result<Event, Meaningless> {
        let (container, message) = (&payload["container"], &payload["message"]);
        let action = items(&payload["actions"])
            .iter()
            .find(|action| action["type"] == "button")
            .ok_or("an action that is no button")?;
        if text(&action["url"]).is_some() {
            return Err("a button that opens an address".to_owned());
        }
        let value = text(&action["value"]).ok_or("a button without a value")?;
        let action_ts = text(&action["action_ts"]).ok_or("a press without action_ts")?;
        let user = text(&payload["user"]["id"]).ok_or("a press by nobody")?;
        let chat = text(&payload["channel"]["id"])
            .or_else(|| text(&container["channel_id"]))
            .ok_or("a press outside of any chat")?;
        let ts = text(&container["message_ts"])
            .or_else(|| text(&message["ts"]))
            .ok_or("a press outside of any message")?;
        let thread_ts = text(&container["thread_ts"]).or_else(|| text(&message["thread_ts"]));
        let user_name =
            text(&payload["user"]["name"]).or_else(|| text(&payload["user"]["username"]));
        let place = Place {
            chat,
            kind: self.kind_by_name(chat, &payload["channel"]["name"]),
            shared: false,
        };
        Ok(Event {
            key: self.key(EventKind::Press, &[chat, ts, action_ts, user]),
            happening: Happening::Pressed(Press {
                conversation: self.conversation(place, ts, thread_ts),
                message: WireId::new(ts),
                sender: self.somebody(user, user_name, &payload["user"]["team_id"]),
                value: value.to_owned(),
            }),
        })
    }

    /// Reads the payload of a `slash_commands` envelope, which does not tell when it was given.
    ///
    /// # Errors
    ///
    /// When it means nothing to us.
    pub(super) fn command(&self, payload: &Value, now: SystemTime) -> Result<Event, Meaningless> {
        let trigger = text(&payload["trigger_id"]).ok_or("a command without trigger_id")?;
        let user = text(&payload["user_id"]).ok_or("a command by nobody")?;
        let chat = text(&payload["channel_id"]).ok_or("a command outside of any chat")?;
        let chat_kind = self.kind_by_name(chat, &payload["channel_name"]);
        let shown = text(&payload["channel_name"]).filter(|name| ![DIRECT, PRIVATE].contains(name));
        let mut body = Body::default();
        let typed = text(&payload["text"]).unwrap_or_default();
        mrkdwn::read(typed, self.directory, &mut body);
        let place = Place {
            chat,
            kind: chat_kind,
            shared: false,
        };
        Ok(Event {
            key: EventKey {
                kind: EventKind::Command,
                id: trigger.to_owned(),
            },
            happening: Happening::Message(Message {
                id: WireId::new(format!("command:{trigger}")),
                conversation: Conversation {
                    chat: ChatId::new(chat),
                    thread: None,
                },
                chat_kind,
                chat_name: self.chat_name(place).or(shown.map(str::to_owned)),
                sender: self.somebody(user, text(&payload["user_name"]), &payload["team_id"]),
                sent_at: now,
                body: body.finish(),
                addressed: true,
                in_thread: false,
                quote: None,
                attachments: Vec::new(),
            }),
        })
    }

    /// Returns who did it: never a program.
    fn somebody(&self, id: &str, user_name: Option<&str>, team: &Value) -> Sender {
        let known = self.directory.person(id).and_then(|person| person.name);
        let outsider = text(team).is_some_and(|team| team != self.us.team_id);
        Sender {
            id: UserId::new(id),
            name: known.or(user_name.map(str::to_owned)),
            kind: if outsider {
                SenderKind::Outsider
            } else {
                SenderKind::Person
            },
        }
    }

    fn kind_by_name(&self, chat: &str, name: &Value) -> ChatKind {
        if name == DIRECT {
            ChatKind::Direct
        } else {
            chat_kind(chat, None)
        }
    }
}
