//! What comes as `events_api`: messages, their edits and deletions.

use serde_json::Value;
use tieline_channel::{ChatKind, Event, EventKind, Happening};

use super::fields::text;
use super::message::{Meaningless, Place, Reader};

impl Reader<'_> {
    /// Reads the payload of an `events_api` envelope.
    ///
    /// # Errors
    ///
    /// When it means nothing to us.
    pub(super) fn callback(&self, payload: &Value) -> Result<Event, Meaningless> {
        if payload["type"] == "app_rate_limited" {
            return Err("Slack holds events back: too many in this minute".to_owned());
        }
        let event = &payload["event"];
        let shared = payload["is_ext_shared_channel"] == true;
        match text(&event["type"]) {
            Some("message") => self.message_event(event, shared),
            Some("app_mention") => self.written(place(event, shared)?, event, true),
            Some(kind) => Err(format!("an event of type {kind}")),
            None => Err("a payload without an event".to_owned()),
        }
    }

    fn message_event(&self, event: &Value, shared: bool) -> Result<Event, Meaningless> {
        if self.is_ours(event) {
            return Err("our own message".to_owned());
        }
        let place = place(event, shared)?;
        match text(&event["subtype"]) {
            Some("message_changed") => self.changed(place, event),
            Some("message_deleted") => {
                let before = &event["previous_message"];
                let ts = text(&event["deleted_ts"]).or_else(|| text(&before["ts"]));
                self.deleted(place, ts.ok_or("a deletion without ts")?, before)
            }
            _ => self.written(place, event, false),
        }
    }

    fn changed(&self, place: Place<'_>, event: &Value) -> Result<Event, Meaningless> {
        let (after, before) = (&event["message"], &event["previous_message"]);
        if after["subtype"] == "tombstone" {
            // A root that has replies leaves this when it is deleted.
            let ts = text(&after["ts"]).ok_or("a deletion without ts")?;
            return self.deleted(place, ts, before);
        }
        if self.is_ours(before) {
            return Err("our own message".to_owned());
        }
        let message = self.message(place, after)?;
        let edited = text(&after["edited"]["ts"]).ok_or("no edit: only a preview, say")?;
        if text(&before["edited"]["ts"]) == Some(edited) {
            return Err("no new edit: only a preview, say".to_owned());
        }
        if before.is_object() && text(&before["text"]) == text(&after["text"]) {
            return Err("an edit that leaves the text".to_owned());
        }
        let ts = message.id.as_str();
        Ok(Event {
            key: self.key(EventKind::Edit, &[place.chat, ts, edited]),
            happening: Happening::Edited {
                target: self.message_key(place.chat, ts),
                message,
            },
        })
    }

    fn deleted(&self, place: Place<'_>, ts: &str, before: &Value) -> Result<Event, Meaningless> {
        if self.is_ours(before) {
            return Err("our own message".to_owned());
        }
        Ok(Event {
            key: self.key(EventKind::Deletion, &[place.chat, ts]),
            happening: Happening::Deleted {
                conversation: self.conversation(place, ts, text(&before["thread_ts"])),
                target: self.message_key(place.chat, ts),
            },
        })
    }
}

fn place(event: &Value, shared: bool) -> Result<Place<'_>, Meaningless> {
    let chat = text(&event["channel"]).ok_or("an event without a channel")?;
    Ok(Place {
        chat,
        kind: chat_kind(chat, text(&event["channel_type"])),
        shared,
    })
}

/// Returns the kind of a chat. An `app_mention` does not tell its kind, but never comes from a chat
/// with one person; those have names that begin with `D`.
pub(crate) fn chat_kind(chat: &str, channel_type: Option<&str>) -> ChatKind {
    match channel_type {
        Some("im") => ChatKind::Direct,
        Some("channel" | "group" | "mpim") => ChatKind::Group,
        _ if chat.starts_with('D') => ChatKind::Direct,
        _ => ChatKind::Group,
    }
}
