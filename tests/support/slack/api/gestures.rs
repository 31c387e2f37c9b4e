//! Reactions and the native status.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::state::{Later, NativeStatus};
use super::super::{BOT_USER, Knowledge as _, State, limits};
use super::chat::{thread, writable};
use super::{Answer, Args, Refusal};

/// The emoji that there are; a real workspace has more.
const EMOJI: &[&str] = &[
    "eyes",
    "white_check_mark",
    "x",
    "heavy_check_mark",
    "hourglass",
    "hourglass_flowing_sand",
    "warning",
    "question",
    "thumbsup",
    "+1",
    "thumbsdown",
    "-1",
    "ok_hand",
    "heart",
    "joy",
    "cry",
    "thinking_face",
    "pray",
    "tada",
    "clap",
    "muscle",
    "fire",
];

pub(super) fn add_reaction(state: &mut State, args: &Args) -> Answer {
    let (channel, ts, reaction) = reaction(state, args)?;
    let message = state.message_mut(&channel, &ts).expect("looked up");
    if message.reactions.contains(&reaction) {
        return Err(Refusal::new("already_reacted"));
    }
    message.reactions.push(reaction.clone());
    state.announce_reaction(&channel, &ts, &reaction.0, BOT_USER);
    Ok(json!({}))
}

pub(super) fn remove_reaction(state: &mut State, args: &Args) -> Answer {
    let (channel, ts, reaction) = reaction(state, args)?;
    let message = state.message_mut(&channel, &ts).expect("looked up");
    let before = message.reactions.len();
    message.reactions.retain(|it| *it != reaction);
    if message.reactions.len() == before {
        return Err(Refusal::new("no_reaction"));
    }
    Ok(json!({}))
}

fn reaction(state: &State, args: &Args) -> Result<(String, String, (String, String)), Refusal> {
    let channel = args.text("channel").unwrap_or_default();
    let ts = args.text("timestamp").unwrap_or_default();
    let name = args.text("name").unwrap_or_default();
    if !EMOJI.contains(&name) {
        return Err(Refusal::new("invalid_name"));
    }
    match writable(state, channel)?.messages.get(ts) {
        Some(message) if !message.tombstone => {}
        _ => return Err(Refusal::new("message_not_found")),
    }
    let reaction = (name.to_owned(), BOT_USER.to_owned());
    Ok((channel.to_owned(), ts.to_owned(), reaction))
}

pub(super) fn set_status(state: &mut State, args: &Args) -> Answer {
    let channel = args.text("channel_id").unwrap_or_default().to_owned();
    writable(state, &channel)?;
    let thread_ts = thread(state, args, &channel)
        .map_err(|_| Refusal::new("invalid_thread_ts"))?
        .ok_or_else(|| Refusal::new("invalid_thread_ts"))?;
    // Absent is not empty.
    let text = args
        .text("status")
        .ok_or_else(|| Refusal::because("invalid_arguments", "missing required field: status"))?
        .to_owned();
    if args.get("loading_messages").is_some() {
        let messages = args.json("loading_messages");
        let is_short = |it: &Value| {
            it.as_str()
                .is_some_and(|it| !it.is_empty() && limits::length(it) <= 50)
        };
        let is_right = messages
            .as_ref()
            .and_then(Value::as_array)
            .is_some_and(|it| (1..=10).contains(&it.len()) && it.iter().all(is_short));
        if !is_right {
            return Err(Refusal::because("invalid_arguments", "loading_messages"));
        }
    }
    state
        .status_log
        .push((channel.clone(), thread_ts.clone(), text.clone()));
    if text.is_empty() {
        state.statuses.remove(&(channel, thread_ts));
        return Ok(json!({}));
    }
    let life = state.options.timing.status;
    let until = Instant::now() + life;
    state
        .statuses
        .insert((channel, thread_ts), NativeStatus { text, until });
    state.later(life, Later::StatusEnds);
    Ok(json!({}))
}
