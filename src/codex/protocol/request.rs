//! What the app-server asks of us.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::item::FileChange;
use crate::id::{ThreadId, TurnId};

/// A request of the app-server. The turn waits for the answer without limit, so there has to be
/// one.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// Codex's name of it, as JSON: the same when it is sent again, and another one's in another child.
    pub id: String,
    /// The name on the wire.
    pub method: String,
    /// The item of the turn that it is about.
    pub item_id: Option<String>,
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
        /// Where it would run.
        cwd: Option<String>,
        /// Why codex asks.
        reason: Option<String>,
        /// It runs, and this would be typed into it.
        is_input: bool,
        /// What it would be allowed beyond its sandbox, a line for each: hosts, and rights.
        extras: Vec<String>,
    },
    /// May these files be changed?
    FileChangeApproval {
        /// Why codex asks.
        reason: Option<String>,
        /// A directory that would be writable from then on.
        grant_root: Option<String>,
        /// What changes, as the item before has told; unknown when that came by another connection.
        changes: Option<Vec<FileChange>>,
    },
    /// May the turn have more rights?
    PermissionsApproval {
        /// Why codex asks.
        reason: Option<String>,
        /// Where its commands run.
        cwd: Option<String>,
        /// Which rights, as codex has them.
        permissions: Value,
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
        /// The tool that is to be called, if that is the question.
        tool: Option<McpTool>,
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

/// A tool of an MCP server that the model wants to use.
#[derive(Clone, Debug, PartialEq)]
pub struct McpTool {
    /// Its name.
    pub name: String,
    /// What the model passes.
    pub arguments: Value,
    /// It can be allowed for as long as the thread is loaded.
    pub for_session: bool,
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
    pub fn parse(id: &Value, method: String, params: &Value) -> Self {
        let text = |key: &str| params.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = match method.as_str() {
            "item/commandExecution/requestApproval" => ServerRequestKind::CommandApproval {
                command: text("command"),
                cwd: text("cwd"),
                reason: text("reason"),
                is_input: text("kind").as_deref() == Some("writeStdin"),
                extras: extras_of(params),
            },
            "item/fileChange/requestApproval" => ServerRequestKind::FileChangeApproval {
                reason: text("reason"),
                grant_root: text("grantRoot"),
                changes: None,
            },
            "item/permissions/requestApproval" => ServerRequestKind::PermissionsApproval {
                reason: text("reason"),
                cwd: text("cwd"),
                permissions: params.get("permissions").cloned().unwrap_or(Value::Null),
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
                tool: params.get("_meta").and_then(McpTool::of),
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
            item_id: text("approvalId").or_else(|| text("itemId")),
            id: id.to_string(),
            method,
            kind,
        }
    }

    /// Returns whether people may decide about it.
    pub fn is_for_people(&self) -> bool {
        match &self.kind {
            ServerRequestKind::CommandApproval { .. }
            | ServerRequestKind::FileChangeApproval { .. }
            | ServerRequestKind::PermissionsApproval { .. } => true,
            ServerRequestKind::Elicitation { tool, .. } => tool.is_some(),
            ServerRequestKind::UserInput { .. }
            | ServerRequestKind::ToolCall { .. }
            | ServerRequestKind::LegacyApproval
            | ServerRequestKind::CurrentTime
            | ServerRequestKind::Unknown => false,
        }
    }

    /// Returns the answer that grants what is asked for, once or for as long as the thread is loaded.
    /// What is not [for people](Self::is_for_people) is declined.
    pub fn grant(&self, for_session: bool) -> Answer {
        match &self.kind {
            ServerRequestKind::CommandApproval { .. }
            | ServerRequestKind::FileChangeApproval { .. } => Ok(json!({
                "decision": if for_session { "acceptForSession" } else { "accept" },
            })),
            ServerRequestKind::PermissionsApproval { permissions, .. } => Ok(json!({
                "permissions": permissions,
                "scope": if for_session { "session" } else { "turn" },
            })),
            ServerRequestKind::Elicitation { tool: Some(_), .. } => {
                let mut answer = json!({ "action": "accept", "content": {} });
                if for_session {
                    answer["_meta"] = json!({ "persist": "session" });
                }
                Ok(answer)
            }
            _ => self.decline(),
        }
    }

    /// Returns the answer that grants nothing and ends the turn, where codex does that by itself.
    pub fn cancel(&self) -> Answer {
        match &self.kind {
            ServerRequestKind::CommandApproval { .. }
            | ServerRequestKind::FileChangeApproval { .. } => Ok(json!({ "decision": "cancel" })),
            ServerRequestKind::Elicitation { .. } => Ok(json!({ "action": "cancel" })),
            _ => self.decline(),
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
            ServerRequestKind::Elicitation {
                server, message, ..
            } => Some(match message {
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

impl McpTool {
    /// Reads what an MCP server's question is about, if it is a call of a tool.
    fn of(meta: &Value) -> Option<Self> {
        if meta.get("codex_approval_kind")?.as_str()? != "mcp_tool_call" {
            return None;
        }
        let persist = meta.get("persist");
        let is_session = |value: &Value| value.as_str() == Some("session");
        Some(Self {
            name: meta
                .get("tool_name")
                .or_else(|| meta.get("tool_title"))
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            arguments: meta.get("tool_params").cloned().unwrap_or(Value::Null),
            for_session: persist.is_some_and(|persist| {
                is_session(persist)
                    || persist
                        .as_array()
                        .is_some_and(|all| all.iter().any(is_session))
            }),
        })
    }
}

/// Returns what a command would be allowed beyond its sandbox.
fn extras_of(params: &Value) -> Vec<String> {
    let mut extras = Vec::new();
    if let Some(network) = params
        .get("networkApprovalContext")
        .filter(|it| !it.is_null())
    {
        let part = |key: &str| network.get(key).and_then(Value::as_str).unwrap_or("?");
        extras.push(format!("network: {} ({})", part("host"), part("protocol")));
    }
    if let Some(permissions) = params.get("additionalPermissions") {
        extras.extend(rights(permissions));
    }
    extras
}

/// Spells rights out, a line for each.
pub fn rights(permissions: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if permissions["network"]["enabled"].as_bool() == Some(true) {
        lines.push("network: everything".to_owned());
    }
    let files = &permissions["fileSystem"];
    let entries = files["entries"].as_array();
    for entry in entries.into_iter().flatten() {
        let access = entry["access"].as_str().unwrap_or("?");
        let path = &entry["path"];
        let text = |key: &str| path[key].as_str().map(str::to_owned);
        let place = text("path").or_else(|| text("pattern"));
        lines.push(format!(
            "{access}: {}",
            place.unwrap_or_else(|| path.to_string())
        ));
    }
    // Older servers have lists; newer ones have both, saying the same.
    if entries.is_none() {
        for access in ["read", "write"] {
            let paths = files[access].as_array().into_iter().flatten();
            let paths = paths.filter_map(Value::as_str);
            lines.extend(paths.map(|path| format!("{access}: {path}")));
        }
    }
    // What is not understood is shown as it came: nothing is granted unseen.
    let is_known = |key: &String| ["network", "fileSystem"].contains(&key.as_str());
    let has_more = permissions
        .as_object()
        .is_none_or(|rights| rights.keys().any(|key| !is_known(key)));
    if (lines.is_empty() || has_more) && !permissions.is_null() {
        lines.push(permissions.to_string());
    }
    lines
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, params: Value) -> ServerRequest {
        ServerRequest::parse(&json!(7), method.to_owned(), &params)
    }

    #[test]
    fn what_is_granted_is_what_was_asked_for() {
        let rights = json!({"network": {"enabled": true}, "fileSystem": null});
        let permissions = request(
            "item/permissions/requestApproval",
            json!({"threadId": "T", "itemId": "i", "permissions": rights}),
        );
        let command = request(
            "item/commandExecution/requestApproval",
            json!({"threadId": "T", "command": "rm x"}),
        );
        let tool = request(
            "mcpServer/elicitation/request",
            json!({"threadId": "T", "serverName": "files", "message": "May it?", "_meta": {
                "codex_approval_kind": "mcp_tool_call", "tool_name": "read",
                "tool_params": {"path": "/x"}, "persist": ["session", "always"]}}),
        );
        for (request, once, for_session, cancel) in [
            (
                &permissions,
                json!({"permissions": rights, "scope": "turn"}),
                json!({"permissions": rights, "scope": "session"}),
                json!({"permissions": {}, "scope": "turn"}),
            ),
            (
                &command,
                json!({"decision": "accept"}),
                json!({"decision": "acceptForSession"}),
                json!({"decision": "cancel"}),
            ),
            (
                &tool,
                json!({"action": "accept", "content": {}}),
                json!({"action": "accept", "content": {}, "_meta": {"persist": "session"}}),
                json!({"action": "cancel"}),
            ),
        ] {
            assert!(request.is_for_people());
            assert_eq!(request.grant(false), Ok(once));
            assert_eq!(request.grant(true), Ok(for_session));
            assert_eq!(request.cancel(), Ok(cancel));
        }
        assert_eq!(
            (permissions.id.as_str(), permissions.item_id.as_deref()),
            ("7", Some("i"))
        );
    }

    #[test]
    fn what_is_not_for_people_is_never_granted() {
        for (method, params) in [
            (
                "mcpServer/elicitation/request",
                json!({"serverName": "s", "_meta": null}),
            ),
            ("item/tool/requestUserInput", json!({"questions": []})),
            ("execCommandApproval", json!({})),
            ("item/new/requestApproval", json!({})),
        ] {
            let request = request(method, params);
            assert!(!request.is_for_people(), "{method}");
            assert_eq!(request.grant(true), request.decline(), "{method}");
        }
    }

    #[test]
    fn rights_are_spelt_out_and_none_is_left_out() {
        for (permissions, expected) in [
            (
                json!({"network": {"enabled": true}}),
                vec!["network: everything"],
            ),
            (
                json!({"fileSystem": {"entries": [
                    {"access": "write", "path": {"type": "path", "path": "/x"}},
                    {"access": "read", "path": {"type": "glob_pattern", "pattern": "/y/*"}},
                    {"access": "write", "path": {"type": "special", "value": {"kind": "root"}}},
                ], "write": ["/x"]}}),
                vec![
                    "write: /x",
                    "read: /y/*",
                    r#"write: {"type":"special","value":{"kind":"root"}}"#,
                ],
            ),
            (
                json!({"fileSystem": {"read": ["/a"], "write": ["/b"]}}),
                vec!["read: /a", "write: /b"],
            ),
            (
                json!({"network": {"enabled": true}, "moon": 1}),
                vec![
                    "network: everything",
                    r#"{"moon":1,"network":{"enabled":true}}"#,
                ],
            ),
            (json!({}), vec!["{}"]),
            (Value::Null, vec![]),
        ] {
            assert_eq!(rights(&permissions), expected, "{permissions}");
        }
    }
}
