//! What Codex asks of a model.

use axum::http::HeaderMap;
use serde_json::Value;

/// How texts begin that Codex itself puts in with the role of the user.
const CONTEXT_PREFIXES: [&str; 6] = [
    "<environment_context>",
    "<user_instructions>",
    "<turn_aborted>",
    "<skill>",
    "<user_shell_command>",
    "# AGENTS.md instructions",
];

/// Beyond this length the first developer item is Codex's built-in instructions (17 kB), not an
/// operator's.
const BUILTIN_INSTRUCTIONS_BYTES: usize = 8 * 1024;

/// One request to the model: what Codex sends for a turn, or for each step of it.
///
/// Codex sends the whole history of the thread each time. Its built-in instructions and the schemas
/// of its tools, by far the largest part and always the same, are dropped.
#[derive(Debug)]
pub struct Request {
    number: u64,
    thread: Option<String>,
    turn: Option<String>,
    model: Option<String>,
    items: Vec<Value>,
    tools: Vec<String>,
    settings: Value,
}

impl Request {
    pub(super) fn new(number: u64, headers: &HeaderMap, mut body: Value) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let mut items = match body.get_mut("input").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        if items.first().is_some_and(is_builtin_instructions) {
            items.remove(0);
        }
        let tools = match body.get_mut("tools").map(Value::take) {
            Some(Value::Array(tools)) => tools.iter().filter_map(tool_name).collect(),
            _ => Vec::new(),
        };
        Self {
            number,
            thread: header("thread-id"),
            turn: body
                .pointer("/client_metadata/turn_id")
                .and_then(Value::as_str)
                .map(str::to_owned),
            model: body["model"].as_str().map(str::to_owned),
            items,
            tools,
            settings: body,
        }
    }

    /// Returns one of the settings of the request: whatever is neither input nor a tool, by its pointer,
    /// `/reasoning/effort` for example.
    pub fn setting(&self, pointer: &str) -> Option<&Value> {
        self.settings.pointer(pointer)
    }

    /// Returns which request this is, counted from 1 over all threads.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the Codex thread that asks.
    pub fn thread(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// Returns the Codex turn that asks.
    pub fn turn(&self) -> Option<&str> {
        self.turn.as_deref()
    }

    /// Returns the model that is asked for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Returns about how many bytes this takes in memory.
    pub(super) fn weight(&self) -> usize {
        self.items.iter().map(weight).sum()
    }

    /// Returns the items of the history as they came.
    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// Returns the names of the tools that are offered.
    pub fn tools(&self) -> &[String] {
        &self.tools
    }

    /// Returns every text that a user said, oldest first; what Codex says in the user's name (the
    /// environment, an abort) is left out.
    pub fn user_texts(&self) -> Vec<&str> {
        self.items.iter().flat_map(user_texts_of).collect()
    }

    /// Returns the latest text that a user said.
    pub fn last_user_text(&self) -> Option<&str> {
        self.user_texts().pop()
    }

    /// Returns what users have said since the model last said or did anything: the news of this
    /// request. Empty in the later steps of a turn and when the model is merely asked to go on.
    pub fn fresh_user_texts(&self) -> Vec<&str> {
        self.fresh_items().iter().flat_map(user_texts_of).collect()
    }

    /// Returns every text of developers: instructions, permissions, injected items.
    pub fn developer_texts(&self) -> Vec<&str> {
        self.items
            .iter()
            .filter(|item| item["role"] == "developer")
            .flat_map(content_texts)
            .collect()
    }

    /// Returns the texts of developers that came since the model last said or did anything.
    pub fn fresh_developer_texts(&self) -> Vec<&str> {
        self.fresh_items()
            .iter()
            .filter(|item| item["role"] == "developer")
            .flat_map(content_texts)
            .collect()
    }

    /// Returns every text that the model itself has said.
    pub fn model_texts(&self) -> Vec<&str> {
        self.items
            .iter()
            .filter(|item| item["role"] == "assistant")
            .flat_map(content_texts)
            .collect()
    }

    /// Returns the outputs of all tool calls, oldest first.
    pub fn tool_outputs(&self) -> Vec<ToolOutput<'_>> {
        self.items.iter().filter_map(ToolOutput::of).collect()
    }

    /// Returns the outputs that came since the model last said or did anything.
    pub fn fresh_tool_outputs(&self) -> Vec<ToolOutput<'_>> {
        self.fresh_items()
            .iter()
            .filter_map(ToolOutput::of)
            .collect()
    }

    /// Returns the items after the last one that the model made.
    fn fresh_items(&self) -> &[Value] {
        let made_by_model = |item: &Value| {
            item["role"] == "assistant"
                || matches!(
                    item["type"].as_str(),
                    Some("function_call" | "custom_tool_call" | "local_shell_call" | "reasoning")
                )
        };
        let start = self.items.iter().rposition(made_by_model);
        &self.items[start.map_or(0, |position| position + 1)..]
    }
}

/// The output of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolOutput<'a> {
    /// Which call it belongs to.
    pub call_id: &'a str,
    /// The whole output, as the model gets it.
    pub raw: &'a str,
}

impl<'a> ToolOutput<'a> {
    fn of(item: &'a Value) -> Option<Self> {
        let is_output = matches!(
            item["type"].as_str(),
            Some("function_call_output" | "custom_tool_call_output")
        );
        if !is_output {
            return None;
        }
        // Dynamic tools answer with parts, commands with a string.
        let raw = match &item["output"] {
            Value::String(text) => text,
            Value::Array(parts) => parts.iter().find_map(|part| part["text"].as_str())?,
            _ => return None,
        };
        Some(Self {
            call_id: item["call_id"].as_str().unwrap_or_default(),
            raw,
        })
    }

    /// Returns what the tool itself wrote, without the lines in which Codex describes the call.
    pub fn text(&self) -> &'a str {
        match self.raw.split_once("Output:\n") {
            Some((_, text)) => text.trim_end(),
            None => self.raw.trim_end(),
        }
    }
}

fn user_texts_of(item: &Value) -> impl Iterator<Item = &str> {
    let is_user = item["role"] == "user";
    content_texts(item).filter(move |text| {
        is_user
            && !CONTEXT_PREFIXES
                .iter()
                .any(|prefix| text.starts_with(prefix))
    })
}

fn content_texts(item: &Value) -> impl Iterator<Item = &str> {
    item["content"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|part| part["text"].as_str())
}

/// Returns the tool's name; hosted tools have only a type.
fn tool_name(tool: &Value) -> Option<String> {
    let name = tool["name"].as_str().or_else(|| tool["type"].as_str());
    name.map(str::to_owned)
}

fn is_builtin_instructions(item: &Value) -> bool {
    let length: usize = content_texts(item).map(str::len).sum();
    item["role"] == "developer" && length > BUILTIN_INSTRUCTIONS_BYTES
}

fn weight(value: &Value) -> usize {
    let content = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| key.len() + weight(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + content
}
