//! What the app-server asks of us.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::id::{ThreadId, TurnId};

/// A request of the app-server. The turn waits for the answer without limit, so there has to be
/// one.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// The name on the wire.
    pub method: String,
    /// The thread it concerns.
    pub thread_id: Option<ThreadId>,
    /// The turn it concerns.
    pub turn_id: Option<TurnId>,
    /// What is asked.
    pub kind: ServerRequestKind,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum ServerRequestKind {
    /// May this command run?
    CommandApproval {
        /// The command line.
        command: Option<String>,
        /// Why codex asks.
        reason: Option<String>,
    },
    /// May these files be changed? What changes is in the item before.
    FileChangeApproval {
        /// Why codex asks.
        reason: Option<String>,
    },
    /// May the turn have more rights?
    PermissionsApproval {
        /// Why codex asks.
        reason: Option<String>,
    },
    /// Questions of the model to a person.
    UserInput {
        /// Their texts.
        questions: Vec<String>,
    },
    /// A question of an MCP server, or about one of its tools.
    Elicitation {
        /// The server.
        server: String,
        /// What it says.
        message: Option<String>,
    },
    /// A call of one of our tools.
    ToolCall {
        /// Codex's name of the call.
        call_id: String,
        /// The tool's namespace.
        namespace: Option<String>,
        /// The tool.
        tool: String,
        /// What the model passes.
        arguments: Value,
    },
    /// An approval as older versions ask for it.
    LegacyApproval,
    /// What time is it?
    CurrentTime,
    /// Something we do not know.
    Unknown,
}

/// What a tool answers the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolAnswer {
    /// The text the model sees.
    pub text: String,
    /// Whether it worked.
    pub success: bool,
}

/// Our answer: a result, or an error in JSON-RPC's sense.
pub type Answer = Result<Value, RpcError>;

/// An error as JSON-RPC has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The code; nearly always -32600, so that the message has to be looked at.
    pub code: i64,
    /// What went wrong.
    pub message: String,
    /// More of it, rarely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl ServerRequest {
    /// Reads a request; what we do not know is [`ServerRequestKind::Unknown`].
    pub fn parse(method: String, params: &Value) -> Self {
        let text = |key: &str| params.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = match method.as_str() {
            "item/commandExecution/requestApproval" => ServerRequestKind::CommandApproval {
                command: text("command"),
                reason: text("reason"),
            },
            "item/fileChange/requestApproval" => ServerRequestKind::FileChangeApproval {
                reason: text("reason"),
            },
            "item/permissions/requestApproval" => ServerRequestKind::PermissionsApproval {
                reason: text("reason"),
            },
            "item/tool/requestUserInput" => ServerRequestKind::UserInput {
                questions: params
                    .get("questions")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(|question| question.get("question")?.as_str())
                    .map(str::to_owned)
                    .collect(),
            },
            "mcpServer/elicitation/request" => ServerRequestKind::Elicitation {
                server: text("serverName").unwrap_or_default(),
                message: text("message"),
            },
            "item/tool/call" => ServerRequestKind::ToolCall {
                call_id: text("callId").unwrap_or_default(),
                namespace: text("namespace"),
                tool: text("tool").unwrap_or_default(),
                arguments: params.get("arguments").cloned().unwrap_or(Value::Null),
            },
            "applyPatchApproval" | "execCommandApproval" => ServerRequestKind::LegacyApproval,
            "currentTime/read" => ServerRequestKind::CurrentTime,
            _ => ServerRequestKind::Unknown,
        };
        Self {
            thread_id: text("threadId")
                .or_else(|| text("conversationId"))
                .map(ThreadId::new),
            turn_id: text("turnId").map(TurnId::new),
            method,
            kind,
        }
    }

    /// Returns the answer that grants nothing, lets the turn go on, and tells the model so.
    pub fn decline(&self) -> Answer {
        match &self.kind {
            ServerRequestKind::CommandApproval { .. }
            | ServerRequestKind::FileChangeApproval { .. } => Ok(json!({ "decision": "decline" })),
            ServerRequestKind::PermissionsApproval { .. } => {
                Ok(json!({ "permissions": {}, "scope": "turn" }))
            }
            ServerRequestKind::UserInput { .. } => Ok(json!({ "answers": {} })),
            ServerRequestKind::Elicitation { .. } => Ok(json!({ "action": "decline" })),
            ServerRequestKind::ToolCall { tool, .. } => Ok(ToolAnswer {
                text: format!("no such tool: {tool}"),
                success: false,
            }
            .to_value()),
            ServerRequestKind::LegacyApproval => {
                let rejection = "nobody is there to approve it";
                Ok(json!({ "decision": { "denied": { "rejection": rejection } } }))
            }
            ServerRequestKind::CurrentTime => Ok(json!({ "currentTimeAt": unix_seconds() })),
            ServerRequestKind::Unknown => Err(RpcError {
                code: -32601,
                message: format!("tieline does not know the request {}", self.method),
                data: None,
            }),
        }
    }

    /// Returns the answer when too much is asked at once. A tool can be called again; everything else
    /// is declined.
    pub fn put_off(&self) -> Answer {
        match &self.kind {
            ServerRequestKind::ToolCall { tool, .. } => Ok(ToolAnswer {
                text: format!("too many tools are called at once: call {tool} again in a moment"),
                success: false,
            }
            .to_value()),
            _ => self.decline(),
        }
    }

    /// Returns what was asked for in a few words, for logs and chats; `None` for what is no
    /// business of people.
    pub fn summary(&self) -> Option<String> {
        match &self.kind {
            ServerRequestKind::CommandApproval { command, .. } => Some(match command {
                Some(command) => format!("to run a command: {command}"),
                None => "to run a command".to_owned(),
            }),
            ServerRequestKind::FileChangeApproval { .. } => Some("to change files".to_owned()),
            ServerRequestKind::PermissionsApproval { .. } => Some("for more rights".to_owned()),
            ServerRequestKind::UserInput { questions } => {
                Some(format!("a question: {}", questions.join(" / ")))
            }
            ServerRequestKind::Elicitation { server, message } => Some(match message {
                Some(message) => format!("for the MCP server {server}: {message}"),
                None => format!("for the MCP server {server}"),
            }),
            ServerRequestKind::LegacyApproval => Some("for an approval".to_owned()),
            ServerRequestKind::ToolCall { .. }
            | ServerRequestKind::CurrentTime
            | ServerRequestKind::Unknown => None,
        }
    }
}

impl ToolAnswer {
    /// Returns the answer as codex wants it.
    pub fn to_value(&self) -> Value {
        json!({
            "contentItems": [{ "type": "inputText", "text": self.text }],
            "success": self.success,
        })
    }
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
