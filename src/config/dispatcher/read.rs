//! Reading `[dispatchers]`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value as Json;
use tieline_channel::ChannelId;
use toml::de::DeValue;

use crate::config::access::Access;
use crate::config::channel::Declared;
use crate::config::choice::Choice;
use crate::config::codex::CodexConfig;
use crate::config::dispatcher::MAX_COMPLETION_CHARS;
use crate::config::dispatcher::{
    Approvals, DispatcherConfig, Prompts, RestartConfig, TeammatesConfig,
};
use crate::config::document::{Named, Table, Value};
use crate::config::problem::Problem;
use crate::config::words::suggest;
use crate::config::{defaults, id};
use crate::id::DispatcherId;

/// The largest file of instructions or of a prompt, in bytes.
const MAX_INSTRUCTIONS: u64 = 1024 * 1024;

/// Who has claimed a channel so far.
type Claims = BTreeMap<ChannelId, DispatcherId>;

/// Reads `[dispatchers]`.
pub(crate) fn read_all(
    value: Option<Value<'_>>,
    declared: &Declared,
    profiles: &BTreeSet<String>,
    codex: &CodexConfig,
) -> BTreeMap<DispatcherId, DispatcherConfig> {
    let Some(table) = value.and_then(|value| value.table("tables [dispatchers.NAME]")) else {
        return BTreeMap::new();
    };
    let mut claims = Claims::new();
    let mut dispatchers = BTreeMap::new();
    for Named { name, value } in table.named() {
        let dispatcher_id = DispatcherId::new(name);
        id::check(name, &value);
        if let Some(config) = read(
            &value,
            &dispatcher_id,
            declared,
            profiles,
            &mut claims,
            codex,
        ) {
            dispatchers.insert(dispatcher_id, config);
        }
    }
    if !table.reading().failed() {
        // A mistake may well be the reason why a channel is not used.
        warn_of_unused(&table, declared, &claims);
    }
    dispatchers
}

fn warn_of_unused(table: &Table<'_>, declared: &Declared, claims: &Claims) {
    for (channel, span) in &declared.spans {
        if !claims.contains_key(channel) {
            table.reading().note(
                Problem::warning(
                    span.clone(),
                    format!("no dispatcher has channel `{channel}`: it will not be connected"),
                )
                .hint("name it in the `channels` of a dispatcher, or remove it"),
            );
        }
    }
}

fn read(
    value: &Value<'_>,
    dispatcher_id: &DispatcherId,
    declared: &Declared,
    profiles: &BTreeSet<String>,
    claims: &mut Claims,
    codex: &CodexConfig,
) -> Option<DispatcherConfig> {
    let mut table = value.table("a table of settings")?;
    let workspace = table
        .require("workspace", "the directory that its threads work in")
        .and_then(|value| value.directory("the path of a directory"))
        .unwrap_or_default();
    let channels = table
        .require("channels", "the list of channels that people reach it on")
        .map(|value| read_channels(&value, dispatcher_id, declared, claims))
        .unwrap_or_default();
    let access = Access::read(table.get("access"), &channels, &declared.names());
    let config = DispatcherConfig {
        workspace,
        channels,
        sessions: read_choice(&mut table, "sessions", defaults::SESSIONS),
        sandbox_is_given: table.entries.contains_key("sandbox"),
        sandbox: read_choice(&mut table, "sandbox", defaults::SANDBOX),
        approvals: read_choice(&mut table, "approvals", defaults::APPROVALS),
        reply: read_choice(&mut table, "reply", defaults::REPLY),
        on_busy: read_choice(&mut table, "on_busy", defaults::ON_BUSY),
        on_interrupted: read_choice(&mut table, "on_interrupted", defaults::ON_INTERRUPTED),
        on_lost_thread: read_choice(&mut table, "on_lost_thread", defaults::ON_LOST_THREAD),
        turn_idle_timeout: read_duration(
            &mut table,
            "turn_idle_timeout",
            defaults::TURN_IDLE_TIMEOUT,
        ),
        stale_after: read_duration(&mut table, "stale_after", defaults::STALE_AFTER),
        completion_chars: table
            .get("completion_chars")
            .and_then(|value| {
                let hint = "what is longer goes into a file that the model can read";
                value.count(1..=MAX_COMPLETION_CHARS, hint)
            })
            .unwrap_or(defaults::COMPLETION_CHARS),
        teammates: TeammatesConfig::read(table.get("teammates")),
        restart: read_restart(table.get("restart")),
        model: read_text(&mut table, "model", "the name of a model"),
        effort: read_text(&mut table, "effort", "an effort such as \"high\""),
        instructions: table
            .get("instructions")
            .and_then(|value| read_instructions(&value)),
        base_instructions: table
            .get("base_instructions")
            .and_then(|value| read_instructions(&value)),
        prompts: Prompts::read(table.get("prompts")),
        skills: read_skills(table.get("skills")),
        mcp_servers: table.get("mcp_servers").and_then(read_mcp_servers),
        profile: read_profile(&mut table, profiles),
        access,
        codex: CodexConfig::read(table.get("codex"), codex),
    };
    warn_of_no_effect(&table, &config);
    table.finish();
    Some(config)
}

/// Says which setting this version understands and does not act on, and what happens instead.
fn warn_of_no_effect(table: &Table<'_>, config: &DispatcherConfig) {
    if config.approvals == Approvals::Chat
        && let Some(value) = table.entries.get("approvals")
    {
        let message = "`approvals` has no effect in this version: whatever needs an approval is \
                       denied, as with \"deny\"";
        let problem = Problem::warning(value.span(), message);
        table.reading().note(problem);
    }
}

fn read_choice<T: Choice>(table: &mut Table<'_>, key: &'static str, default: T) -> T {
    table
        .get(key)
        .and_then(|value| value.choice())
        .unwrap_or(default)
}

fn read_duration(table: &mut Table<'_>, key: &'static str, default: Duration) -> Duration {
    table
        .get(key)
        .and_then(|value| value.duration())
        .unwrap_or(default)
}

fn read_text(table: &mut Table<'_>, key: &'static str, expected: &str) -> Option<String> {
    table.get(key)?.text(expected).map(str::to_owned)
}

/// Reads the name of one of `[profiles]`.
fn read_profile(table: &mut Table<'_>, profiles: &BTreeSet<String>) -> Option<String> {
    let value = table.get("profile")?;
    let name = value.text("the name of a profile")?;
    if !profiles.contains(name) {
        let names: Vec<&str> = profiles.iter().map(String::as_str).collect();
        let problem = value.objection(&format!("there is no profile `{name}`"));
        let hint = match names.as_slice() {
            [] => format!(
                "declare it: [profiles.{name}]; profiles of Codex's own config.toml are no more"
            ),
            names => suggest(name, names, "profiles"),
        };
        value.reading().note(problem.hint(hint));
    }
    Some(name.to_owned())
}

fn read_channels(
    value: &Value<'_>,
    dispatcher_id: &DispatcherId,
    declared: &Declared,
    claims: &mut Claims,
) -> Vec<ChannelId> {
    let Some(items) = value.list("a list of channel names") else {
        return Vec::new();
    };
    if items.is_empty() {
        value.reading().note(Problem::warning(
            value.span(),
            format!("nobody can write to `{dispatcher_id}`: its list of channels is empty"),
        ));
    }
    let mut channels = Vec::new();
    for item in items {
        let Some(name) = item.text("the name of a channel") else {
            continue;
        };
        let channel = ChannelId::new(name);
        if !declared.spans.contains_key(&channel) {
            let problem = item.objection(&format!("there is no channel `{channel}`"));
            let hint = match declared.names().as_slice() {
                [] => format!("declare it: [channels.{name}]"),
                names => suggest(name, names, "channels"),
            };
            item.reading().note(problem.hint(hint));
            continue;
        }
        match claims.get(&channel) {
            Some(other) if other == dispatcher_id => item
                .reading()
                .note(item.objection(&format!("channel `{channel}` is listed twice"))),
            Some(other) => item.reading().note(
                item.objection(&format!(
                    "channel `{channel}` belongs to dispatcher `{other}` already"
                ))
                .hint("a channel belongs to one dispatcher: declare a second channel"),
            ),
            None => {
                claims.insert(channel.clone(), dispatcher_id.clone());
                channels.push(channel);
            }
        }
    }
    channels
}

fn read_restart(value: Option<Value<'_>>) -> RestartConfig {
    let default = defaults::RESTART;
    let expected = "a table such as { base = \"1s\", max = \"30s\" }";
    let Some(mut table) = value.as_ref().and_then(|value| value.table(expected)) else {
        return default;
    };
    let base = table.get("base");
    let max = table.get("max");
    table.finish();
    let read = |value: &Option<Value<'_>>, default| match value {
        Some(value) => value.duration(),
        None => Some(default),
    };
    let (Some(base_delay), Some(max_delay)) = (read(&base, default.base), read(&max, default.max))
    else {
        return default;
    };
    if base_delay > max_delay
        && let Some(at) = base.or(max)
    {
        at.reading().note(at.objection(&format!(
            "the first delay ({}) is longer than the greatest ({})",
            humantime::format_duration(base_delay),
            humantime::format_duration(max_delay),
        )));
    }
    RestartConfig {
        base: base_delay,
        max: max_delay,
    }
}

/// Reads a text, or `{ file = "path" }` and the text of that file.
fn read_instructions(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "a text, or { file = \"path\" }";
    let DeValue::Table(_) = value.raw() else {
        return value.string(EXPECTED).map(str::to_owned);
    };
    let mut table = value.table(EXPECTED)?;
    let file = table.require("file", "the path of a text file");
    table.finish();
    let file = file?;
    let path = file.path("the path of a text file")?;
    match read_text_file(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let shown = path.display();
            file.reading()
                .note(file.objection(&format!("cannot read {shown}: {error}")));
            None
        }
    }
}

pub(super) fn read_text_file(path: &Path) -> io::Result<String> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a file",
        ));
    }
    if metadata.len() > MAX_INSTRUCTIONS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is larger than 1 MiB",
        ));
    }
    std::fs::read_to_string(path)
}

fn read_skills(value: Option<Value<'_>>) -> Vec<PathBuf> {
    value
        .and_then(|value| value.list("a list of directories"))
        .unwrap_or_default()
        .iter()
        .filter_map(|item| item.directory("the path of a directory of skills"))
        .collect()
}

fn read_mcp_servers(value: Value<'_>) -> Option<Json> {
    let value = value.secret();
    let servers = value.table("tables [dispatchers.NAME.mcp_servers.SERVER]")?;
    let mut object = serde_json::Map::new();
    for Named { name, value } in servers.named() {
        let Some(server) = value.table("a table such as { command = \"…\" } or { url = \"…\" }")
        else {
            continue;
        };
        if !server
            .named()
            .iter()
            .any(|key| matches!(key.name, "command" | "url"))
        {
            server.reading().note(
                Problem::error(
                    server.name_span(),
                    format!("MCP server `{name}` has neither `command` nor `url`"),
                )
                .hint("`command` starts one on this machine, `url` reaches one elsewhere"),
            );
        }
        match to_json(value.raw(), value.span()) {
            Ok(json) => drop(object.insert(name.to_owned(), json)),
            Err(problem) => value.reading().note(problem),
        }
    }
    Some(Json::Object(object))
}

/// Converts a value that is passed on as it is.
fn to_json(value: &DeValue<'_>, span: Range<usize>) -> Result<Json, Problem> {
    Ok(match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Json::from)
            .map_err(|_| Problem::error(span, "this number does not fit into 64 bits"))?,
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number)
            .ok_or_else(|| Problem::error(span, "this number cannot be passed on"))?,
        DeValue::Boolean(value) => Json::from(*value),
        DeValue::Datetime(time) => Json::from(time.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| to_json(item.get_ref(), item.span()))
            .collect::<Result<_, _>>()?,
        DeValue::Table(entries) => entries
            .iter()
            .map(|(key, item)| {
                let json = to_json(item.get_ref(), item.span())?;
                Ok((key.get_ref().to_string(), json))
            })
            .collect::<Result<serde_json::Map<_, _>, Problem>>()?
            .into(),
    })
}
