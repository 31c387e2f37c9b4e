//! Posting, changing, recalling, reading.

use std::time::Instant;

use serde_json::json;

use super::super::state::{Known, Message};
use super::super::world::ChatMode;
use super::super::{BOT, Knowledge as _, State};
use super::{Answer, Args, Done, Refusal};

const MAX_UUID: usize = 50;
const MAX_EDITS: usize = 20;

pub(super) fn create(state: &mut State, args: &Args) -> Answer {
    let receiver = args.text("receive_id").unwrap_or_default();
    let chat = match args.parameter("receive_id_type") {
        Some("chat_id") if state.chats.contains_key(receiver) => receiver.to_owned(),
        Some("open_id") if state.people.contains_key(receiver) => state.open_p2p(receiver),
        Some("chat_id" | "open_id" | "union_id" | "user_id" | "email") => {
            return Err(bad("invalid receive_id"));
        }
        _ => return Err(Refusal::field("receive_id_type", "is required")),
    };
    post(state, args, &chat, None)
}

pub(super) fn reply(state: &mut State, args: &Args) -> Answer {
    let parent = existing(state, args.id(0))?.clone();
    let in_thread = match args.get("reply_in_thread") {
        None => false,
        Some(it) => it
            .as_bool()
            .ok_or_else(|| Refusal::field("reply_in_thread", "must be a boolean"))?,
    };
    let mode = state.chats[&parent.chat].mode;
    if in_thread && mode == ChatMode::P2p {
        return Err(Refusal::new(230_071, "topics are not supported here"));
    }
    let chat = parent.chat.clone();
    post(state, args, &chat, Some((parent, in_thread)))
}

/// Posts to a chat, as a reply to something, perhaps in a topic.
fn post(state: &mut State, args: &Args, chat: &str, to: Option<(Message, bool)>) -> Answer {
    if !state.bot_is_in(chat) {
        return Err(Refusal::new(
            230_002,
            "The bot can not be outside the group.",
        ));
    }
    let (kind, content) = content(state, args)?;
    let what = format!(
        "{kind} {content} to {chat} {:?}",
        to.as_ref().map(|(it, _)| it.id.as_str())
    );
    let uuid = match args.get("uuid") {
        None => None,
        Some(it) => match it.as_str() {
            Some(uuid) if (1..=MAX_UUID).contains(&uuid.chars().count()) => Some(uuid.to_owned()),
            _ => return Err(Refusal::field("uuid", "is a text of at most 50 characters")),
        },
    };
    if let Some(first) = uuid.as_ref().and_then(|it| state.uuids.get(it)).cloned() {
        let now = Instant::now();
        if now < first.busy_until {
            return Err(Refusal::new(230_049, "The message is being sent."));
        }
        if now < first.at + state.options.timing.uuid {
            if first.what != what {
                let was = first.what;
                state.violation(format!("one uuid for {was} and for {what}"));
            }
            return Ok(Done::Data(state.item(&state.messages[&first.message])));
        }
    }
    let mut message = Message::new(chat, BOT, &kind, content);
    message.at_ms = state.tick();
    message.uuid = uuid.clone();
    if let Some((parent, in_thread)) = to {
        let root = parent.root_id.clone().unwrap_or_else(|| parent.id.clone());
        message.thread_id = match &parent.thread_id {
            Some(topic) => Some(topic.clone()),
            None => in_thread.then(|| state.topic_of(&root)),
        };
        message.parent_id = match message.thread_id {
            // All of a topic answers to its first message.
            Some(_) => Some(root.clone()),
            None => Some(parent.id),
        };
        message.root_id = Some(root);
    }
    let id = state.keep(message);
    if let Some(uuid) = uuid {
        let now = Instant::now();
        let sent = Known {
            message: id.clone(),
            at: now,
            busy_until: now,
            what,
        };
        state.uuids.insert(uuid, sent);
    }
    Ok(Done::Data(state.item(&state.messages[&id])))
}

pub(super) fn update(state: &mut State, args: &Args) -> Answer {
    let message = own(state, args.id(0))?;
    if !matches!(message.kind.as_str(), "text" | "post") {
        return Err(bad("only text and post can be edited"));
    }
    if message.n_edits >= MAX_EDITS {
        return Err(Refusal::new(230_072, "edited 20 times"));
    }
    let (kind, content) = content(state, args)?;
    if kind != "text" && kind != "post" {
        return Err(bad("invalid msg_type"));
    }
    change(state, args.id(0), &kind, content)
}

pub(super) fn patch(state: &mut State, args: &Args) -> Answer {
    if own(state, args.id(0))?.kind != "interactive" {
        return Err(bad("This message is NOT a card."));
    }
    let content = text_of_content(state, args)?;
    state.check_content("interactive", &content, args.length)?;
    change(state, args.id(0), "interactive", content)?;
    Ok(Done::Data(json!({})))
}

fn change(state: &mut State, id: &str, kind: &str, content: String) -> Answer {
    let at = state.tick();
    let message = state.messages.get_mut(id).expect("looked up");
    kind.clone_into(&mut message.kind);
    message.content = content;
    message.updated_ms = Some(at);
    message.n_edits += 1;
    Ok(Done::Data(state.item(&state.messages[id])))
}

pub(super) fn delete(state: &mut State, args: &Args) -> Answer {
    let message = existing(state, args.id(0))?;
    if message.sender != BOT {
        return Err(Refusal::new(230_026, "not the bot's message"));
    }
    state.recall(args.id(0), "message_owner");
    Ok(Done::Data(json!({})))
}

pub(super) fn get(state: &mut State, args: &Args) -> Answer {
    let id = args.id(0);
    let Some(message) = state.messages.get(id) else {
        return Err(Refusal::new(230_110, "no such message"));
    };
    readable(state, &message.chat)?;
    let children = state.messages.values();
    let children = children.filter(|it| it.upper.as_deref() == Some(id));
    let items: Vec<_> = std::iter::once(message)
        .chain(children)
        .map(|it| state.item(it))
        .collect();
    Ok(Done::Data(json!({ "items": items })))
}

pub(super) fn list(state: &mut State, args: &Args) -> Answer {
    let container = args.parameter("container_id").unwrap_or_default();
    let is_thread = match args.parameter("container_id_type") {
        Some("chat") => false,
        Some("thread") => true,
        _ => return Err(Refusal::field("container_id_type", "is chat or thread")),
    };
    let seconds = |name: &str| match args.parameter(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|_| text.len() == 10)
            .map(Some)
            .ok_or_else(|| Refusal::field(name, "is a time in seconds")),
    };
    let (from, to) = (seconds("start_time")?, seconds("end_time")?);
    let chat = if is_thread {
        if from.is_some() || to.is_some() {
            return Err(bad("threads take no time range"));
        }
        let mut messages = state.messages.values();
        let message = messages.find(|it| it.thread_id.as_deref() == Some(container));
        message.map(|it| it.chat.clone())
    } else {
        state
            .chats
            .contains_key(container)
            .then(|| container.to_owned())
    };
    let chat = chat.ok_or_else(|| bad("invalid container_id"))?;
    readable(state, &chat)?;
    let is_group = state.chats[&chat].mode != ChatMode::P2p;
    if is_group && !state.may(&["im:message.group_msg"]) {
        return Err(Refusal::new(
            230_027,
            "Lack of necessary permissions, ext=need scope: im:message.group_msg",
        ));
    }
    let size = match args.parameter("page_size") {
        None => 20,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|size| (1..=50).contains(size))
            .ok_or_else(|| Refusal::field("page_size", "is 1 to 50"))?,
    };
    let is_here = |it: &&Message| {
        let is_root = it.root_id.is_none() || it.thread_id.is_none();
        let is_in = match is_thread {
            true => it.thread_id.as_deref() == Some(container),
            false => it.chat == chat && is_root,
        };
        is_in
            && it.upper.is_none()
            && from.is_none_or(|from| it.at_ms >= from * 1_000)
            && to.is_none_or(|to| it.at_ms < (to + 1) * 1_000)
    };
    let mut found: Vec<&Message> = state.messages.values().filter(is_here).collect();
    found.sort_by(|a, b| (a.at_ms, &a.id).cmp(&(b.at_ms, &b.id)));
    match args.parameter("sort_type") {
        None | Some("ByCreateTimeAsc") => {}
        Some("ByCreateTimeDesc") => found.reverse(),
        Some(_) => return Err(Refusal::field("sort_type", "is unknown")),
    }
    let start = match args.parameter("page_token") {
        None => 0,
        Some(token) => {
            let number = token.strip_prefix("page-").and_then(|it| it.parse().ok());
            number.ok_or_else(|| bad("invalid page_token"))?
        }
    };
    let end = (start + size.min(state.options.page_size)).min(found.len());
    let items: Vec<_> = found[start.min(end)..end]
        .iter()
        .map(|it| state.item(it))
        .collect();
    let has_more = end < found.len();
    let token = if has_more {
        format!("page-{end}")
    } else {
        String::new()
    };
    Ok(Done::Data(
        json!({"items": items, "has_more": has_more, "page_token": token}),
    ))
}

/// Reads a type and a content that fits it.
fn content(state: &mut State, args: &Args) -> Result<(String, String), Refusal> {
    let kind = args.text("msg_type").unwrap_or_default().to_owned();
    let content = text_of_content(state, args)?;
    state.check_content(&kind, &content, args.length)?;
    Ok((kind, content))
}

fn text_of_content(state: &mut State, args: &Args) -> Result<String, Refusal> {
    match args.get("content") {
        None => Err(Refusal::field("content", "is required")),
        Some(it) => match it.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => {
                state.violation("content is JSON, and not a string of it");
                Err(Refusal::field("content", "must be a string"))
            }
        },
    }
}

/// Finds a message that is still there.
pub(super) fn existing<'a>(state: &'a State, id: &str) -> Result<&'a Message, Refusal> {
    match state.messages.get(id) {
        Some(message) if message.is_deleted => {
            Err(Refusal::new(230_011, "The message was withdrawn."))
        }
        Some(message) => Ok(message),
        None => Err(bad("invalid message_id")),
    }
}

fn own<'a>(state: &'a State, id: &str) -> Result<&'a Message, Refusal> {
    let message = existing(state, id)?;
    match message.sender.as_str() {
        BOT => Ok(message),
        _ => Err(Refusal::new(230_071, "not the sender")),
    }
}

fn readable(state: &State, chat: &str) -> Result<(), Refusal> {
    match state.bot_is_in(chat) {
        true => Ok(()),
        false => Err(Refusal::new(
            230_002,
            "The bot can not be outside the group.",
        )),
    }
}

fn bad(why: &str) -> Refusal {
    Refusal::new(
        230_001,
        format!("Your request contains an invalid request parameter, ext={why}"),
    )
}
