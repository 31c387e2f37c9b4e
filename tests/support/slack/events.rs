//! The shapes of what is delivered: messages as Slack tells of them, and the events around them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::delivery::{EnvelopeKind, name_of};
use super::options::MentionOrder;
use super::state::{Channel, Message};
use super::world::ChannelKind;
use super::{APP, BOT, BOT_USER, Knowledge as _, State, TEAM};

impl Message {
    pub(super) fn is_reply(&self) -> bool {
        self.thread_ts.as_ref().is_some_and(|root| *root != self.ts)
    }
}

impl State {
    pub(super) fn message_mut(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        self.channels.get_mut(channel)?.messages.get_mut(ts)
    }

    /// Returns a message as history tells of it.
    pub(super) fn message_value(&self, channel: &str, ts: &str, with_metadata: bool) -> Value {
        let channel = &self.channels[channel];
        let message = &channel.messages[ts];
        let replies: Vec<&Message> = channel
            .messages
            .values()
            .filter(|it| it.is_reply() && it.thread_ts.as_deref() == Some(ts))
            .collect();
        if message.tombstone {
            return json!({
                "type": "message", "subtype": "tombstone", "hidden": true, "user": "USLACKBOT",
                "text": "This message was deleted.", "ts": ts, "thread_ts": ts,
                "reply_count": replies.len(),
            });
        }
        let mut value = json!({"type": "message", "ts": ts, "text": message.text});
        if message.subtype != Some("bot_message") {
            value["user"] = json!(message.user);
            value["team"] = json!(self.users.get(&message.user).map(|user| &user.team));
        }
        if let Some(subtype) = message.subtype {
            value["subtype"] = json!(subtype);
        }
        match &message.bot_id {
            Some(bot_id) => {
                value["bot_id"] = json!(bot_id);
                let app = if bot_id == BOT { APP } else { "A0OTHER" };
                value["app_id"] = json!(app);
                value["bot_profile"] = json!({"id": bot_id, "app_id": app, "name": message.user});
            }
            None if message.subtype.is_none() => {
                value["client_msg_id"] = json!(format!("cmid-{ts}"));
            }
            None => {}
        }
        if let Some(thread_ts) = &message.thread_ts {
            value["thread_ts"] = json!(thread_ts);
            if let Some(root) = channel
                .messages
                .get(thread_ts)
                .filter(|_| message.is_reply())
            {
                value["parent_user_id"] = json!(root.user);
            }
        }
        if let Some(last) = replies.last() {
            value["thread_ts"] = json!(ts);
            value["reply_count"] = json!(replies.len());
            value["latest_reply"] = json!(last.ts);
        }
        value["blocks"] = match message.blocks.as_slice() {
            [] => json!([rich_text(&message.text)]),
            blocks => blocks.iter().map(translated).collect(),
        };
        if !message.attachments.is_empty() {
            value["attachments"] = json!(message.attachments);
        }
        if let Some(metadata) = message.metadata.as_ref().filter(|_| with_metadata) {
            value["metadata"] = metadata.clone();
        }
        if !message.files.is_empty() {
            value["files"] = message.files.iter().map(|id| self.shown_file(id)).collect();
        }
        if let Some((user, at)) = &message.edited {
            value["edited"] = json!({"user": user, "ts": at});
        }
        let names = message
            .reactions
            .iter()
            .map(|(name, user)| json!({"name": name, "users": [user], "count": 1}));
        let reactions: Vec<Value> = names.collect();
        if !reactions.is_empty() {
            value["reactions"] = reactions.into();
        }
        value
    }

    /// Keeps a message and tells the app of it.
    pub(super) fn store(&mut self, channel: &str, message: Message) {
        let ts = message.ts.clone();
        self.keep(channel, message);
        self.announce(channel, &ts);
    }

    /// Keeps a message that the app is not told of.
    pub(super) fn keep(&mut self, channel: &str, message: Message) {
        if message.bot_id.as_deref() == Some(BOT) {
            let thread = message.thread_ts.clone().unwrap_or_default();
            self.statuses.remove(&(channel.to_owned(), thread));
        }
        let chat = self.channels.get_mut(channel).expect("a channel");
        chat.messages.insert(message.ts.clone(), message);
    }

    /// Tells the app of a message: twice when it is mentioned.
    pub(super) fn announce(&mut self, channel: &str, ts: &str) {
        let mut event = self.message_value(channel, ts, false);
        let chat = &self.channels[channel];
        event["channel"] = json!(channel);
        event["event_ts"] = json!(ts);
        if event["subtype"] == "thread_broadcast" {
            event["root"] =
                self.message_value(channel, event["thread_ts"].as_str().expect("a root"), false);
        }
        let is_own = chat.messages[ts].bot_id.as_deref() == Some(BOT);
        let is_mention = chat.messages[ts].text.contains(&format!("<@{BOT_USER}>"))
            && chat.kind != ChannelKind::Direct
            && !is_own;
        let mut mention = event.clone();
        event["channel_type"] = json!(chat.kind.channel_type());
        if !is_mention {
            return self.push_message(channel, event);
        }
        mention["type"] = json!("app_mention");
        if let Some(mention) = mention.as_object_mut() {
            mention.remove("subtype");
        }
        self.n_mentions += 1;
        let mention_first = match self.options.mention_order {
            MentionOrder::MentionFirst => true,
            MentionOrder::MessageFirst => false,
            MentionOrder::Alternating => self.n_mentions % 2 == 1,
        };
        if mention_first {
            self.push_mention(channel, mention);
            self.push_message(channel, event);
        } else {
            self.push_message(channel, event);
            self.push_mention(channel, mention);
        }
    }

    /// Tells the app that a message is not as it was.
    pub(super) fn announce_change(&mut self, channel: &str, ts: &str, previous: Value) {
        let own_ts = self.tick();
        let event = json!({
            "type": "message", "subtype": "message_changed", "hidden": true,
            "message": self.message_value(channel, ts, false),
            "previous_message": previous,
            "channel": channel, "channel_type": self.channels[channel].kind.channel_type(),
            "ts": own_ts, "event_ts": own_ts,
        });
        self.push_message(channel, event);
    }

    /// Takes a message away and tells the app.
    pub(super) fn remove(&mut self, channel: &str, ts: &str) {
        let previous = self.message_value(channel, ts, false);
        let own_ts = self.tick();
        let chat = self.channels.get_mut(channel).expect("a channel");
        let has_replies = chat
            .messages
            .values()
            .any(|it| it.is_reply() && it.thread_ts.as_deref() == Some(ts));
        if has_replies {
            chat.messages.get_mut(ts).expect("a message").tombstone = true;
        } else {
            chat.messages.remove(ts);
        }
        let event = json!({
            "type": "message", "subtype": "message_deleted", "hidden": true,
            "deleted_ts": ts, "previous_message": previous,
            "channel": channel, "channel_type": self.channels[channel].kind.channel_type(),
            "ts": own_ts, "event_ts": own_ts,
        });
        self.push_message(channel, event);
    }

    pub(super) fn announce_reaction(&mut self, channel: &str, ts: &str, name: &str, user: &str) {
        if !self.options.scopes.contains("reactions:read") {
            return;
        }
        let event = json!({
            "type": "reaction_added", "user": user, "reaction": name,
            "item_user": self.channels[channel].messages[ts].user,
            "item": {"type": "message", "channel": channel, "ts": ts},
            "event_ts": self.tick(),
        });
        self.push_event(channel, event);
    }

    fn push_message(&mut self, channel: &str, event: Value) {
        let scope = self.channels[channel].kind.history_scope();
        if self.options.scopes.contains(scope) {
            self.push_event(channel, event);
        }
    }

    fn push_mention(&mut self, channel: &str, event: Value) {
        if self.options.scopes.contains("app_mentions:read") {
            self.push_event(channel, event);
        }
    }

    fn push_event(&mut self, channel: &str, event: Value) {
        let chat = &self.channels[channel];
        if !self.bot_is_in(chat) {
            return;
        }
        let is_shared = chat.shared;
        let event_id = self.name("Ev0");
        let payload = self.event_callback(&event_id, event, is_shared);
        let about = about(&payload["event"]);
        self.push(EnvelopeKind::Event, event_id, about, payload);
    }

    fn event_callback(&self, event_id: &str, event: Value, is_shared: bool) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        json!({
            "token": "deprecated", "team_id": TEAM, "context_team_id": TEAM,
            "context_enterprise_id": null, "api_app_id": APP, "event": event,
            "type": "event_callback", "event_id": event_id,
            "event_time": now.expect("after 1970").as_secs(),
            "authorizations": [{
                "enterprise_id": null, "team_id": TEAM, "user_id": BOT_USER, "is_bot": true,
                "is_enterprise_install": false,
            }],
            "is_ext_shared_channel": is_shared, "event_context": format!("4-{event_id}"),
        })
    }

    /// Returns the payload of a press on a button.
    pub(super) fn press_value(
        &self,
        channel: &str,
        ts: &str,
        user: &str,
        button: &Value,
        at: &str,
    ) -> Value {
        let chat: &Channel = &self.channels[channel];
        let (user, message) = (&self.users[user], &chat.messages[ts]);
        let mut container = json!({
            "type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": false,
        });
        if let Some(thread_ts) = &message.thread_ts {
            container["thread_ts"] = json!(thread_ts);
        }
        let mut action = button.clone();
        action["action_ts"] = json!(at);
        json!({
            "type": "block_actions",
            "user": {"id": user.id, "username": user.name.to_lowercase(), "name": user.name, "team_id": user.team},
            "api_app_id": APP, "token": "deprecated", "container": container,
            "trigger_id": format!("trigger.{at}"),
            "team": {"id": TEAM, "domain": "tieline"}, "enterprise": null,
            "is_enterprise_install": false,
            "channel": {"id": channel, "name": chat.name},
            "message": self.message_value(channel, ts, true),
            "state": {"values": {}},
            "response_url": format!("{}/actions/{at}", self.base_url()),
            "actions": [action],
        })
    }
}

/// Returns the message that an event is about.
fn about(event: &Value) -> String {
    let ts = match event["subtype"].as_str() {
        Some("message_changed") => &event["message"]["ts"],
        Some("message_deleted") => &event["deleted_ts"],
        _ if event["type"] == "reaction_added" => return Default::default(),
        _ => &event["ts"],
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    name_of(&text(&event["channel"]), &text(ts))
}

/// Slack keeps what it makes of a Markdown block, never the block.
fn translated(block: &Value) -> Value {
    match block["type"].as_str() {
        Some("markdown") => rich_text(block["text"].as_str().unwrap_or_default()),
        _ => block.clone(),
    }
}

fn rich_text(text: &str) -> Value {
    json!({"type": "rich_text", "elements": [
        {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    ]})
}
