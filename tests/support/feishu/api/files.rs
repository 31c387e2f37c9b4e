//! Images and files: uploads of the bot, and what people sent.

use serde_json::{Value, json};

use super::super::state::StoredFile;
use super::super::{BOT, Knowledge as _, State};
use super::{Answer, Args, Done, Refusal};

const MAX_IMAGE: usize = 10 << 20;
const MAX_FILE: usize = 30 << 20;
const MAX_RESOURCE: usize = 100 << 20;
const KINDS: &[&str] = &["opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"];

pub(super) fn create_image(state: &mut State, args: &Args) -> Answer {
    if args.text("image_type") != Some("message") {
        return Err(Refusal::new(234_001, "image_type"));
    }
    let key = upload(
        state,
        args,
        "image",
        MAX_IMAGE,
        "image",
        "img_v3_",
        "image.png",
    )?;
    Ok(Done::Data(json!({"image_key": key})))
}

pub(super) fn create_file(state: &mut State, args: &Args) -> Answer {
    let kind = args.text("file_type").filter(|it| KINDS.contains(it));
    let kind = kind.ok_or_else(|| Refusal::new(234_001, "file_type"))?;
    let name = args.text("file_name").filter(|it| !it.is_empty());
    let name = name.ok_or_else(|| Refusal::new(234_001, "file_name"))?;
    let key = upload(state, args, "file", MAX_FILE, kind, "file_v3_", name)?;
    Ok(Done::Data(json!({"file_key": key})))
}

fn upload(
    state: &mut State,
    args: &Args,
    part: &str,
    max: usize,
    kind: &str,
    prefix: &str,
    name: &str,
) -> Result<String, Refusal> {
    let content = args.uploads.get(part);
    let content = content.ok_or_else(|| Refusal::new(234_001, part))?;
    match content.len() {
        0 => return Err(Refusal::new(234_010, "File's size can't be 0.")),
        n if n > max => return Err(Refusal::new(234_006, "The file size exceed the max value.")),
        _ => {}
    }
    let key = state.name(prefix);
    let file = StoredFile {
        name: name.to_owned(),
        kind: kind.to_owned(),
        by: BOT.to_owned(),
        content: content.clone(),
    };
    state.files.insert(key.clone(), file);
    Ok(key)
}

/// An upload of the bot.
pub(super) fn own(state: &mut State, args: &Args) -> Answer {
    match state.files.get(args.id(0)) {
        Some(file) if file.by == BOT => Ok(content(file)),
        _ => Err(Refusal::new(234_008, "not the bot's own")),
    }
}

/// What somebody sent.
pub(super) fn resource(state: &mut State, args: &Args) -> Answer {
    let missing = || Refusal::new(234_003, "File not in msg.");
    let message = state.messages.get(args.id(0)).ok_or_else(missing)?;
    if !state.bot_is_in(&message.chat) {
        return Err(Refusal::new(234_004, "The app is not in the chat"));
    }
    if state.chats[&message.chat].is_external {
        return Err(Refusal::new(234_009, "external"));
    }
    if message.upper.is_some() || matches!(message.kind.as_str(), "interactive" | "merge_forward") {
        return Err(Refusal::new(234_043, "not of this type of message"));
    }
    let key = args.id(1);
    let body: Value = serde_json::from_str(&message.content).unwrap_or_default();
    let file = state
        .files
        .get(key)
        .filter(|_| has(&body, key) && !message.is_deleted);
    let file = file.ok_or_else(missing)?;
    let expected = match file.kind.as_str() {
        "image" => "image",
        _ => "file",
    };
    match args.parameter("type") {
        Some(it) if it == expected => {}
        Some("image" | "file") => return Err(missing()),
        _ => return Err(Refusal::field("type", "is image or file")),
    }
    if file.content.len() > MAX_RESOURCE {
        return Err(Refusal::new(234_037, "too big"));
    }
    Ok(content(file))
}

fn has(value: &Value, key: &str) -> bool {
    match value {
        Value::String(text) => text == key,
        Value::Array(items) => items.iter().any(|it| has(it, key)),
        Value::Object(fields) => fields.values().any(|it| has(it, key)),
        _ => false,
    }
}

fn content(file: &StoredFile) -> Done {
    Done::Content {
        name: file.name.clone(),
        bytes: file.content.clone(),
    }
}
