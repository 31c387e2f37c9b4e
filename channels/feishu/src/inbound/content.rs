//! What a message says, by its type.

use serde_json::{Value, json};
use tieline_channel::{Attachment, Segment};

use super::body::Body;
use super::card;
use super::fields::Fields as _;
use super::mention::Mentions;
use super::rich;

/// How many bytes may be filled into the blanks of one name in a message of the system.
const MAX_FILLING: usize = 10_000;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) body: Vec<Segment>,
    pub(super) attachments: Vec<Attachment>,
    /// Whether the message must be read again to know all of it.
    pub(super) partial: Option<Partial>,
}

/// Of what a message tells too little by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partial {
    /// Events have only a simplified form of cards.
    Card,
    /// Events do not have the messages that were forwarded together.
    Forwarded,
}

/// Reads what a message says. What cannot be read is said in words; nothing is an error.
pub(super) fn read(message_id: &str, kind: &str, content: &str, mentions: &Mentions) -> Content {
    let mut body = Body::new();
    let mut files = Files::new(message_id);
    let partial = match serde_json::from_str(content) {
        Ok(content) => read_into(&mut body, &mut files, kind, &content, mentions),
        Err(_) => {
            body.text(&format!("[a message of type {kind} that cannot be read]"));
            None
        }
    };
    Content {
        body: body.finish(),
        attachments: files.attachments,
        partial,
    }
}

fn read_into(
    body: &mut Body,
    files: &mut Files,
    kind: &str,
    content: &Value,
    mentions: &Mentions,
) -> Option<Partial> {
    let text = |pointer| content.text(pointer);
    match kind {
        "text" => mentions.resolve_into(body, text("/text").unwrap_or_default()),
        "post" => rich::read_into(body, files, content, mentions),
        "image" => match text("/image_key") {
            Some(key) => {
                files.image(key);
            }
            None => body.text("[an image that cannot be read]"),
        },
        "file" => match text("/file_key") {
            Some(key) => {
                files.file(key, text("/file_name").unwrap_or("file"));
            }
            None => body.text("[a file that cannot be read]"),
        },
        "folder" => body.text(&described(
            "a folder, which cannot be read",
            text("/file_name"),
        )),
        "audio" => {
            body.text(&lasting("a voice message", content));
            if let Some(key) = text("/file_key") {
                files.file(key, "voice.opus");
            }
        }
        "media" => {
            body.text(&lasting("a video", content));
            if let Some(key) = text("/file_key") {
                files.file(key, text("/file_name").unwrap_or("video.mp4"));
            }
        }
        "sticker" => body.text("[a sticker]"),
        "interactive" => {
            body.text("[a card]\n");
            if !card::read_into(body, content) {
                rich::card_into(body, files, content, mentions);
                return Some(Partial::Card);
            }
        }
        "share_chat" => body.text(&described("a shared chat", text("/chat_id"))),
        "share_user" => body.text(&described("a shared contact", text("/user_id"))),
        "merge_forward" => {
            body.text("[forwarded messages, which cannot be read]");
            return Some(Partial::Forwarded);
        }
        "location" => body.text(&described("a location", place(content).as_deref())),
        "video_chat" => body.text(&described("a video meeting", text("/topic"))),
        "todo" => {
            body.text("[a task]\n");
            rich::read_into(
                body,
                files,
                content.get("summary").unwrap_or(&Value::Null),
                mentions,
            );
        }
        "vote" => {
            let options = strings(content.list("/options"));
            body.text(&described("a vote", text("/topic")));
            for option in options {
                body.text(&format!("\n- {option}"));
            }
        }
        "hongbao" => body.text("[a red packet]"),
        "system" => body.text(&described("a system message", system(content).as_deref())),
        "share_calendar_event" | "calendar" | "general_calendar" => {
            body.text(&described("a calendar event", text("/summary")));
        }
        "" => body.text("[a message that cannot be read]"),
        other => body.text(&format!(
            "[a message of type {other}, which cannot be read]"
        )),
    }
    None
}

fn described(what: &str, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("[{what}: {detail}]"),
        None => format!("[{what}]"),
    }
}

fn lasting(what: &str, content: &Value) -> String {
    match content.number("/duration") {
        Some(ms) => format!("[{what} of {} s]", ms.div_ceil(1000)),
        None => format!("[{what}]"),
    }
}

fn place(content: &Value) -> Option<String> {
    let name = content.text("/name");
    let number = |pointer| match content.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let at = number("/latitude").zip(number("/longitude"));
    match (name, at) {
        (Some(name), Some((latitude, longitude))) => {
            Some(format!("{name}, {latitude} {longitude}"))
        }
        (Some(name), None) => Some(name.to_owned()),
        (None, Some((latitude, longitude))) => Some(format!("{latitude} {longitude}")),
        (None, None) => None,
    }
}

/// Fills the blanks of `{"template":"{from_user} invited …","from_user":["Tom"]}`.
fn system(content: &Value) -> Option<String> {
    let mut said = content.text("/template")?.to_owned();
    for (name, value) in content.as_object()? {
        let filling = match value {
            Value::String(text) if name != "template" => text.clone(),
            Value::Array(list) => strings(list).join(", "),
            _ => continue,
        };
        let blank = format!("{{{name}}}");
        // What fills many blanks with much is nothing that anybody would read.
        if said.matches(&blank).count().saturating_mul(filling.len()) <= MAX_FILLING {
            said = said.replace(&blank, &filling);
        }
    }
    Some(said)
}

fn strings(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(Value::as_str).collect()
}

/// The files of a message while it is read.
#[derive(Clone, Debug)]
pub(super) struct Files {
    message_id: String,
    attachments: Vec<Attachment>,
}

// === impl Files ===

impl Files {
    fn new(message_id: &str) -> Self {
        Self {
            message_id: message_id.to_owned(),
            attachments: Vec::new(),
        }
    }

    /// Takes an image, which has no name; returns the one we give it.
    pub(super) fn image(&mut self, key: &str) -> String {
        let name = format!("image-{}", self.attachments.len() + 1);
        self.add(key, "image", &name);
        name
    }

    /// Takes any other file; returns its name.
    pub(super) fn file(&mut self, key: &str, name: &str) -> String {
        self.add(key, "file", name);
        name.to_owned()
    }

    fn add(&mut self, key: &str, kind: &str, name: &str) {
        let reference = json!({"message_id": self.message_id, "key": key, "type": kind});
        self.attachments.push(Attachment {
            reference: reference.to_string(),
            name: name.to_owned(),
            mime: None,
            bytes: None,
            path: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_blanks_are_not_filled_with_much() {
        let template = "{a}".repeat(10_000);
        let few = system(&json!({"template": template, "a": "b"})).unwrap();
        assert_eq!(few, "b".repeat(10_000));
        let much = json!({"template": template, "a": "b".repeat(10_000)});
        assert_eq!(system(&much).unwrap(), template);
    }
}
