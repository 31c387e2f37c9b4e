//! The items of a turn, as far as they concern us.

use serde::{Deserialize, Serialize};

/// One item of a turn. Carries what we act on: no tool output, and nothing of the model's
/// reasoning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Item {
    /// What went in.
    UserMessage {
        /// Codex's name of it.
        id: String,
        /// The `clientUserMessageId` it came with.
        #[serde(default)]
        client_id: Option<String>,
    },
    /// What the model said.
    AgentMessage {
        /// Codex's name of it.
        id: String,
        /// The text.
        text: String,
        /// What kind of message the provider says it is; often nothing.
        #[serde(default)]
        phase: Option<AgentPhase>,
    },
    /// A shell command.
    CommandExecution {
        /// Codex's name of it.
        id: String,
        /// The command line.
        command: String,
        /// How far it is.
        status: ItemStatus,
        /// Its exit code, once it has one.
        #[serde(default)]
        exit_code: Option<i32>,
    },
    /// A change of files.
    FileChange {
        /// Codex's name of it.
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// What changes.
        #[serde(default)]
        changes: Vec<FileChange>,
    },
    /// A call of an MCP server's tool.
    McpToolCall {
        /// Codex's name of it.
        id: String,
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        /// How far it is.
        status: ItemStatus,
    },
    /// A call of one of our tools.
    DynamicToolCall {
        /// Codex's name of it.
        id: String,
        /// The tool.
        tool: String,
        /// How far it is.
        status: ItemStatus,
    },
    /// A search on the web.
    WebSearch {
        /// Codex's name of it.
        id: String,
        /// What was searched for.
        query: String,
    },
    /// The history was summarised to make room.
    ContextCompaction {
        /// Codex's name of it.
        id: String,
    },
    /// The model thought. What it thought is not even parsed.
    Reasoning {
        /// Codex's name of it.
        id: String,
    },
    /// Something else.
    #[serde(other)]
    Other,
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Which one.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
    /// What: a unified diff of one that is updated, else its content.
    #[serde(default)]
    pub diff: String,
}

/// How a file changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ChangeKind {
    /// It is made.
    Add,
    /// It is deleted.
    Delete,
    /// It is changed.
    Update {
        /// Where it is moved to.
        #[serde(default)]
        move_path: Option<String>,
    },
    /// Something newer than this code.
    #[serde(other)]
    Other,
}

impl FileChange {
    /// Returns how many lines are added and how many removed.
    pub fn lines(&self) -> (usize, usize) {
        let lines = self.diff.lines().count();
        match self.kind {
            ChangeKind::Add => (lines, 0),
            ChangeKind::Delete => (0, lines),
            ChangeKind::Update { .. } | ChangeKind::Other => {
                let count = |sign: char, head: &str| {
                    let lines = self.diff.lines();
                    let is_one = |line: &&str| line.starts_with(sign) && !line.starts_with(head);
                    lines.filter(is_one).count()
                };
                (count('+', "+++ "), count('-', "--- "))
            }
        }
    }
}

/// What kind of message the model's provider says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPhase {
    /// On the way to an answer.
    Commentary,
    /// A part of the answer.
    PartialAnswer,
    /// The answer.
    FinalAnswer,
    /// Something newer than this code.
    #[serde(other)]
    Other,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ItemStatus {
    /// It runs.
    InProgress,
    /// It is done.
    Completed,
    /// It failed.
    Failed,
    /// It was not allowed.
    Declined,
    /// Something newer than this code.
    #[serde(other)]
    Other,
}

impl Item {
    /// Returns codex's name of the item.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::UserMessage { id, .. }
            | Self::AgentMessage { id, .. }
            | Self::CommandExecution { id, .. }
            | Self::FileChange { id, .. }
            | Self::McpToolCall { id, .. }
            | Self::DynamicToolCall { id, .. }
            | Self::WebSearch { id, .. }
            | Self::ContextCompaction { id }
            | Self::Reasoning { id } => Some(id),
            Self::Other => None,
        }
    }

    /// Returns the text if this can be the answer of a turn: a message of the model that is
    /// not mere commentary.
    ///
    /// A message without a phase counts, since many providers send none.
    pub fn as_answer(&self) -> Option<&str> {
        match self {
            Self::AgentMessage { text, phase, .. } => match phase {
                None | Some(AgentPhase::FinalAnswer) => Some(text),
                Some(AgentPhase::Commentary | AgentPhase::PartialAnswer | AgentPhase::Other) => {
                    None
                }
            },
            _ => None,
        }
    }

    /// Returns the last message among the items that can be the answer of their turn.
    pub fn last_answer<'a>(items: impl IntoIterator<Item = &'a Self>) -> Option<&'a str> {
        items.into_iter().filter_map(Self::as_answer).last()
    }
}
