//! Channels, people, and reading back.

use serde_json::{Value, json};

use super::super::state::{Channel, Message};
use super::super::world::ChannelKind;
use super::super::{BOT_USER, Knowledge as _, OTHER_TEAM, State, TEAM};
use super::chat::readable;
use super::{Answer, Args, Refusal};

pub(super) fn info(state: &mut State, args: &Args) -> Answer {
    let name = args.text("channel").unwrap_or_default();
    let channel = state.channels.get(name);
    let channel = channel
        .filter(|channel| channel.kind == ChannelKind::Public || state.bot_is_in(channel))
        .ok_or_else(|| Refusal::new("channel_not_found"))?;
    state.need(channel.kind.read_scope())?;
    Ok(json!({"channel": channel_value(state, channel)}))
}

pub(super) fn list(state: &mut State, args: &Args) -> Answer {
    let types = args.word("types").unwrap_or("public_channel");
    let mut kinds = Vec::new();
    for name in types.split(',') {
        let kind = ChannelKind::named(name.trim()).ok_or_else(|| Refusal::new("invalid_types"))?;
        state.need(kind.read_scope())?;
        kinds.push(kind);
    }
    let excludes_archived = args.flag("exclude_archived")?;
    let is_listed = |channel: &&Channel| {
        kinds.contains(&channel.kind)
            && !(excludes_archived && channel.archived)
            && (channel.kind == ChannelKind::Public || state.bot_is_in(channel))
    };
    let channels = state.channels.values().filter(is_listed);
    let channels = channels
        .map(|channel| channel_value(state, channel))
        .collect();
    page(state, args, channels, 999, 100, "channels")
}

pub(super) fn members(state: &mut State, args: &Args) -> Answer {
    let channel = readable(state, args.text("channel").unwrap_or_default())?;
    state.need(channel.kind.read_scope())?;
    let members = channel.members.iter().map(|it| json!(it)).collect();
    page(state, args, members, 999, 100, "members")
}

pub(super) fn history(state: &mut State, args: &Args) -> Answer {
    let channel = readable(state, args.text("channel").unwrap_or_default())?;
    state.need(channel.kind.history_scope())?;
    let range = Range::read(args)?;
    let is_at_top =
        |message: &&Message| !message.is_reply() || message.subtype == Some("thread_broadcast");
    let messages = channel.messages.values().rev().filter(is_at_top);
    let messages = messages
        .filter(|message| range.has(&message.ts))
        .map(|message| state.message_value(&channel.id, &message.ts, range.with_metadata))
        .collect();
    page(state, args, messages, 999, 100, "messages")
}

pub(super) fn replies(state: &mut State, args: &Args) -> Answer {
    let channel = readable(state, args.text("channel").unwrap_or_default())?;
    state.need(channel.kind.history_scope())?;
    let ts = args.text("ts").unwrap_or_default();
    let root = channel.messages.get(ts);
    let root = root.ok_or_else(|| Refusal::new("thread_not_found"))?;
    let range = Range::read(args)?;
    let is_in_thread = |message: &&Message| {
        // The root comes along, whatever was asked for; a reply's thread is itself.
        message.ts == root.ts
            || (message.thread_ts.as_deref() == Some(ts) && range.has(&message.ts))
    };
    let messages = channel.messages.values().filter(is_in_thread);
    let messages = messages
        .map(|message| state.message_value(&channel.id, &message.ts, range.with_metadata))
        .collect();
    page(state, args, messages, 1_000, 1_000, "messages")
}

pub(super) fn user(state: &mut State, args: &Args) -> Answer {
    let id = args.text("user").unwrap_or_default();
    let user = state.users.get(id);
    let user = user.ok_or_else(|| Refusal::new("user_not_found"))?;
    Ok(json!({"user": {
        "id": user.id,
        "team_id": user.team,
        "name": user.name.to_lowercase(),
        "real_name": user.name,
        "deleted": false,
        "is_bot": user.bot_id.is_some(),
        "is_stranger": user.team == OTHER_TEAM,
        "profile": {"real_name": user.name, "display_name": user.name, "team": user.team},
    }}))
}

/// Which messages are asked for.
struct Range {
    oldest: Option<String>,
    latest: Option<String>,
    is_inclusive: bool,
    with_metadata: bool,
}

impl Range {
    fn read(args: &Args) -> Result<Self, Refusal> {
        let bound = |name: &str, error: &str| match args.word(name) {
            None => Ok(None),
            Some(text) => padded(text).map(Some).ok_or_else(|| Refusal::new(error)),
        };
        Ok(Self {
            oldest: bound("oldest", "invalid_ts_oldest")?,
            latest: bound("latest", "invalid_ts_latest")?,
            is_inclusive: args.flag("inclusive")?,
            with_metadata: args.flag("include_all_metadata")?,
        })
    }

    fn has(&self, ts: &str) -> bool {
        let (oldest, latest) = (self.oldest.as_deref(), self.latest.as_deref());
        if self.is_inclusive && (oldest == Some(ts) || latest == Some(ts)) {
            return true;
        }
        oldest.is_none_or(|oldest| ts > oldest) && latest.is_none_or(|latest| ts < latest)
    }
}

/// Returns a bound in the form of a `ts`, so that it compares as one: `0` and `1731999999` are
/// allowed too.
fn padded(text: &str) -> Option<String> {
    let (seconds, micros) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_number(seconds) || !is_number(micros) || micros.len() > 6 {
        return None;
    }
    Some(format!("{seconds:0>10}.{micros:0<6}"))
}

/// Cuts one page out of everything. The cursor names the last that was given.
fn page(
    state: &State,
    args: &Args,
    all: Vec<Value>,
    max: usize,
    default: usize,
    field: &str,
) -> Answer {
    let limit = args.number("limit")?.unwrap_or(default);
    if !(1..=max).contains(&limit) {
        return Err(Refusal::new("invalid_limit"));
    }
    let limit = limit.min(state.options.page_size);
    let name = |value: &Value| {
        let name = value.get("ts").or_else(|| value.get("id")).unwrap_or(value);
        name.as_str().unwrap_or_default().to_owned()
    };
    let start = match args.word("cursor") {
        None => 0,
        Some(cursor) => {
            let after = cursor.strip_prefix("bmV4dA=");
            let at = after.and_then(|after| all.iter().position(|value| name(value) == after));
            at.ok_or_else(|| Refusal::new("invalid_cursor"))? + 1
        }
    };
    let total = all.len();
    let values: Vec<Value> = all.into_iter().skip(start).take(limit).collect();
    let has_more = start + values.len() < total;
    let cursor = match values.last() {
        Some(last) if has_more => format!("bmV4dA={}", name(last)),
        _ => String::new(),
    };
    let mut answer = json!({"response_metadata": {"next_cursor": cursor}});
    if field == "messages" {
        answer["has_more"] = has_more.into();
    }
    answer[field] = values.into();
    Ok(answer)
}

fn channel_value(state: &State, channel: &Channel) -> Value {
    let kind = channel.kind;
    let mut value = json!({
        "id": channel.id,
        "is_channel": kind == ChannelKind::Public,
        "is_group": kind == ChannelKind::Private,
        "is_im": kind == ChannelKind::Direct,
        "is_mpim": kind == ChannelKind::Group,
        "is_private": kind != ChannelKind::Public,
        "is_archived": channel.archived,
        "is_ext_shared": channel.shared,
        "is_shared": channel.shared,
        "context_team_id": TEAM,
    });
    if kind == ChannelKind::Direct {
        let user = channel.members.iter().find(|it| *it != BOT_USER);
        value["user"] = json!(user);
    } else {
        value["name"] = json!(channel.name);
        value["is_member"] = json!(state.bot_is_in(channel));
    }
    value
}
