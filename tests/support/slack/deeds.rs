//! What people do with messages: they change, delete, press, command, react.

use serde_json::{Value, json};

use super::delivery::{EnvelopeKind, name_of};
use super::{APP, EventId, Knowledge as _, MockSlack, TEAM};

impl MockSlack {
    /// The author edits a message.
    pub(crate) fn edit_message(&self, channel: &str, ts: &str, text: &str) {
        self.shared.update(|state| {
            let previous = state.message_value(channel, ts, false);
            let at = state.tick();
            let message = state.message_mut(channel, ts).expect("a message");
            text.clone_into(&mut message.text);
            message.edited = Some((message.user.clone(), at));
            state.announce_change(channel, ts, previous);
        });
    }

    /// The preview of a link appears: the message changes, its text does not.
    pub(crate) fn unfurl(&self, channel: &str, ts: &str) {
        self.shared.update(|state| {
            let previous = state.message_value(channel, ts, false);
            let message = state.message_mut(channel, ts).expect("a message");
            message
                .attachments
                .push(json!({"title": "A page", "from_url": "https://example.org/"}));
            state.announce_change(channel, ts, previous);
        });
    }

    /// The author deletes a message.
    pub(crate) fn delete_message(&self, channel: &str, ts: &str) {
        self.shared.update(|state| state.remove(channel, ts));
    }

    /// Somebody presses the button with this label or value.
    pub(crate) fn press(&self, user: &str, channel: &str, ts: &str, which: &str) -> EventId {
        self.shared.update(|state| {
            let message = &state.channels[channel].messages[ts];
            let elements = message
                .blocks
                .iter()
                .filter_map(|block| Some((block, block["elements"].as_array()?)))
                .flat_map(|(block, elements)| elements.iter().map(move |it| (block, it)));
            let mut buttons = elements.filter(|(_, it)| it["type"] == "button");
            let found = buttons.find(|(_, it)| it["text"]["text"] == which || it["value"] == which);
            let (block, button) = found.expect("a button of that name");
            let mut button = button.clone();
            button["block_id"] = match &block["block_id"] {
                Value::Null => json!("b1"),
                given => given.clone(),
            };
            let at = state.tick();
            let payload = state.press_value(channel, ts, user, &button, &at);
            let id = state.name("Press0");
            let about = name_of(channel, ts);
            state.push(EnvelopeKind::Interactive, id, about, payload)
        })
    }

    /// Somebody uses a slash command.
    pub(crate) fn command(&self, user: &str, channel: &str, command: &str, text: &str) -> EventId {
        self.shared.update(|state| {
            let id = state.name("Command0");
            let payload = json!({
                "token": "deprecated", "team_id": TEAM, "team_domain": "tieline",
                "channel_id": channel, "channel_name": state.channels[channel].name,
                "user_id": user, "user_name": state.users[user].name,
                "command": command, "text": text,
                "response_url": format!("{}/actions/{id}", state.base_url()),
                "trigger_id": format!("trigger.{id}"), "api_app_id": APP,
                "is_enterprise_install": "false",
            });
            state.push(EnvelopeKind::Command, id, String::new(), payload)
        })
    }

    /// Somebody reacts to a message.
    pub(crate) fn react(&self, user: &str, channel: &str, ts: &str, name: &str) {
        self.shared.update(|state| {
            let message = state.message_mut(channel, ts).expect("a message");
            message.reactions.push((name.to_owned(), user.to_owned()));
            state.announce_reaction(channel, ts, name, user);
        });
    }
}
