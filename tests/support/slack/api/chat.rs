//! Posting, changing, deleting.

use serde_json::{Value, json};

use super::super::limits;
use super::super::state::{Channel, Message};
use super::super::world::ChannelKind;
use super::super::{BOT, BOT_USER, Knowledge as _, State};
use super::{Answer, Args, Refusal};

const MAX_TEXT: usize = 40_000;
const MAX_UPDATE_TEXT: usize = 4_000;
const MAX_MARKDOWN_TEXT: usize = 12_000;

/// What a message says.
struct Content {
    text: Option<String>,
    blocks: Option<Vec<Value>>,
    attachments: Option<Vec<Value>>,
    metadata: Option<Value>,
    is_truncated: bool,
}

impl Content {
    fn read(args: &Args) -> Result<Self, Refusal> {
        let list = |name: &str, error: &str| match args.get(name) {
            None => Ok(None),
            // An empty string is no list, but is taken as none.
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(_) => match args.json(name) {
                Some(Value::Array(list)) => Ok(Some(list)),
                _ => Err(Refusal::because(error, format!("{name} is no array"))),
            },
        };
        let mut blocks = list("blocks", "invalid_blocks_format")?;
        let mut text = args.text("text").map(str::to_owned);
        if let Some(markdown) = args.word("markdown_text") {
            if text.is_some() || blocks.is_some() {
                return Err(Refusal::new("markdown_text_conflict"));
            }
            if limits::length(markdown) > MAX_MARKDOWN_TEXT {
                return Err(Refusal::new("msg_too_long"));
            }
            blocks = Some(vec![json!({"type": "markdown", "text": markdown})]);
            text = Some(markdown.to_owned());
        }
        if let Some(blocks) = &blocks {
            limits::check_blocks(blocks).map_err(|(error, why)| Refusal::because(error, why))?;
        }
        let metadata = match args.get("metadata") {
            None => None,
            Some(_) => Some(read_metadata(args.json("metadata"))?),
        };
        let is_truncated = text.as_deref().map_or(0, limits::length) > MAX_TEXT;
        if is_truncated {
            text = text.map(|text| text.chars().take(MAX_TEXT).collect());
        }
        Ok(Self {
            text,
            blocks,
            attachments: list("attachments", "invalid_attachments")?,
            metadata,
            is_truncated,
        })
    }

    fn is_empty(&self) -> bool {
        let is_some =
            |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let says = self
            .text
            .as_deref()
            .is_some_and(|text| !text.trim().is_empty());
        !says && !is_some(&self.blocks) && !is_some(&self.attachments)
    }
}

fn read_metadata(metadata: Option<Value>) -> Result<Value, Refusal> {
    let invalid = |why: &str| Err(Refusal::because("invalid_metadata_format", why));
    let Some(Value::Object(object)) = metadata else {
        return invalid("no object");
    };
    if object
        .keys()
        .any(|it| !matches!(it.as_str(), "event_type" | "event_payload"))
    {
        return invalid("only event_type and event_payload");
    }
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '.'))
    };
    if !object
        .get("event_type")
        .and_then(Value::as_str)
        .is_some_and(is_name)
    {
        return invalid("event_type");
    }
    if !object.get("event_payload").is_some_and(Value::is_object) {
        return invalid("event_payload");
    }
    Ok(Value::Object(object))
}

pub(super) fn post(state: &mut State, args: &Args) -> Answer {
    let channel = target(state, args.text("channel").unwrap_or_default())?;
    let content = Content::read(args)?;
    if content.is_empty() {
        return Err(Refusal::new("no_text"));
    }
    if content
        .text
        .as_deref()
        .is_none_or(|text| text.trim().is_empty())
    {
        state.violation("chat.postMessage: blocks without text, the notification is empty");
    }
    let thread_ts = thread(state, args, &channel)?;
    let is_broadcast = args.flag("reply_broadcast")?;
    args.flag("unfurl_links")?;
    args.flag("unfurl_media")?;
    let ts = state.tick();
    let message = Message {
        ts: ts.clone(),
        thread_ts,
        user: BOT_USER.to_owned(),
        bot_id: Some(BOT.to_owned()),
        subtype: is_broadcast.then_some("thread_broadcast"),
        text: content.text.unwrap_or_default(),
        blocks: content.blocks.unwrap_or_default(),
        attachments: content.attachments.unwrap_or_default(),
        metadata: content.metadata,
        files: Vec::new(),
        edited: None,
        reactions: Vec::new(),
        tombstone: false,
    };
    state.store(&channel, message);
    let value = state.message_value(&channel, &ts, true);
    let mut answer = json!({"channel": channel, "ts": ts, "message": value});
    if content.is_truncated {
        answer["warning"] = "message_truncated".into();
    }
    Ok(answer)
}

pub(super) fn update(state: &mut State, args: &Args) -> Answer {
    let channel = own_channel(state, args)?;
    let ts = args.text("ts").unwrap_or_default().to_owned();
    own_message(state, &channel, &ts, "cant_update_message")?;
    let content = Content::read(args)?;
    if content.text.as_deref().map_or(0, limits::length) > MAX_UPDATE_TEXT {
        return Err(Refusal::new("msg_too_long"));
    }
    let says = content.text.is_some() || content.blocks.is_some() || content.attachments.is_some();
    if !says {
        return Err(Refusal::new("no_text"));
    }
    let edited_ts = state.tick();
    let previous = state.message_value(&channel, &ts, false);
    let message = state.message_mut(&channel, &ts).expect("looked up");
    let was = message.clone();
    // What is not given stays as it is: old blocks hide a new text.
    if let Some(text) = content.text {
        message.text = text;
    }
    if let Some(blocks) = content.blocks {
        message.blocks = blocks;
    }
    if let Some(attachments) = content.attachments {
        message.attachments = attachments;
    }
    if content.metadata.is_some() {
        message.metadata = content.metadata;
    }
    if message.text.trim().is_empty() && message.blocks.is_empty() && message.files.is_empty() {
        *message = was;
        return Err(Refusal::new("no_text"));
    }
    message.edited = Some((BOT_USER.to_owned(), edited_ts));
    state.announce_change(&channel, &ts, previous);
    let mut message = state.message_value(&channel, &ts, true);
    let text = message["text"].clone();
    message.as_object_mut().expect("an object").remove("ts");
    Ok(json!({"channel": channel, "ts": ts, "text": text, "message": message}))
}

pub(super) fn delete(state: &mut State, args: &Args) -> Answer {
    let channel = own_channel(state, args)?;
    let ts = args.text("ts").unwrap_or_default().to_owned();
    own_message(state, &channel, &ts, "cant_delete_message")?;
    state.remove(&channel, &ts);
    Ok(json!({"channel": channel, "ts": ts}))
}

pub(super) fn post_ephemeral(state: &mut State, args: &Args) -> Answer {
    let channel = own_channel(state, args)?;
    let user = args.text("user").unwrap_or_default();
    if !state.channels[&channel].members.contains(user) {
        return Err(Refusal::new("user_not_in_channel"));
    }
    let content = Content::read(args)?;
    if content.is_empty() {
        return Err(Refusal::new("no_text"));
    }
    let text = content.text.unwrap_or_default();
    state
        .responses
        .push((user.to_owned(), json!({ "text": text })));
    Ok(json!({"message_ts": state.tick()}))
}

/// Finds where a post goes: a channel that takes it, or somebody's direct messages.
fn target(state: &mut State, name: &str) -> Result<String, Refusal> {
    if state.users.contains_key(name) && name != BOT_USER {
        return Ok(state.open_direct(name));
    }
    writable(state, name)?;
    Ok(name.to_owned())
}

fn own_channel(state: &State, args: &Args) -> Result<String, Refusal> {
    let name = args.text("channel").unwrap_or_default();
    writable(state, name)?;
    Ok(name.to_owned())
}

/// Refuses channels that the bot cannot write to.
pub(super) fn writable<'a>(state: &'a State, name: &str) -> Result<&'a Channel, Refusal> {
    let channel = readable(state, name)?;
    if channel.archived {
        return Err(Refusal::new("is_archived"));
    }
    Ok(channel)
}

/// Refuses channels that the bot cannot read.
pub(super) fn readable<'a>(state: &'a State, name: &str) -> Result<&'a Channel, Refusal> {
    let not_found = || Refusal::new("channel_not_found");
    let channel = state.channels.get(name).ok_or_else(not_found)?;
    match (state.bot_is_in(channel), channel.kind) {
        (true, _) => Ok(channel),
        (false, ChannelKind::Public) => Err(Refusal::new("not_in_channel")),
        (false, _) => Err(not_found()),
    }
}

/// Reads `thread_ts`: the `ts` of a root, as a string.
pub(super) fn thread(
    state: &mut State,
    args: &Args,
    channel: &str,
) -> Result<Option<String>, Refusal> {
    let thread_ts = match args.get("thread_ts") {
        None => return Ok(None),
        Some(Value::String(ts)) if ts.is_empty() => return Ok(None),
        Some(Value::String(ts)) => ts.clone(),
        Some(other) => {
            state.violation(format!("thread_ts is no string: {other}"));
            return Err(Refusal::new("invalid_thread_ts"));
        }
    };
    if !is_ts(&thread_ts) {
        state.violation(format!("thread_ts is no ts: {thread_ts}"));
        return Err(Refusal::new("invalid_thread_ts"));
    }
    let message = state.channels[channel].messages.get(&thread_ts);
    let Some(message) = message else {
        // Whether Slack takes an unknown one is not known.
        return Err(Refusal::new("thread_not_found"));
    };
    if message.is_reply() {
        state.violation(format!("thread_ts is a reply's: {thread_ts}"));
        return Err(Refusal::new("cannot_reply_to_message"));
    }
    Ok(Some(thread_ts))
}

fn own_message(state: &State, channel: &str, ts: &str, otherwise: &str) -> Result<(), Refusal> {
    let message = state.channels[channel].messages.get(ts);
    match message {
        Some(message) if message.tombstone => Err(Refusal::new("message_not_found")),
        Some(message) if message.bot_id.as_deref() == Some(BOT) => Ok(()),
        Some(_) => Err(Refusal::new(otherwise)),
        None => Err(Refusal::new("message_not_found")),
    }
}

fn is_ts(text: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(seconds, micros)| {
        seconds.len() == 10 && micros.len() == 6 && is_number(seconds) && is_number(micros)
    })
}
