//! What a turn tells, and how it ends.

use serde::Serialize;

use crate::codex::call::Refusal;
use crate::codex::failure::{Failure, FailureKind};
use crate::codex::protocol::{AgentPhase, Item, ItemStatus, PlanStep};
use crate::codex::wire::CloseReason;
use crate::id::{ThreadId, TurnId};

/// How much of a command line is shown.
const COMMAND_PREVIEW: usize = 160;

/// What a turn tells, in order. [`Settled`](Self::Settled) comes last, and exactly once.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnEvent {
    /// The turn runs.
    Started {
        /// Its id.
        turn_id: TurnId,
    },
    /// A turn was running already, and what we sent was added to it.
    FoldedInto {
        /// The running turn.
        turn_id: TurnId,
    },
    /// What we sent is in the thread's history, and survives the process from now on.
    Recorded {
        /// The id it was sent with.
        client_id: String,
    },
    /// The model has said something. None of these is the answer before the turn is settled.
    Message {
        /// Codex's name of the message.
        item_id: String,
        /// What it said.
        text: String,
        /// What kind of message the provider says it is.
        phase: Option<AgentPhase>,
    },
    /// A piece of a message in the making. Some may be left out.
    MessageDelta {
        /// The message it belongs to.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// A tool is being used, or was.
    Tool(ToolUse),
    /// A piece of a command's output. Some may be left out.
    OutputDelta {
        /// The command it belongs to.
        item_id: String,
        /// The piece.
        delta: String,
    },
    /// The model has a plan, or another one.
    Plan(Vec<PlanStep>),
    /// The history is being summarised to make room.
    Compacting,
    /// The history was summarised: of what was injected before, nothing is left.
    Compacted,
    /// Something failed, and codex tries again by itself.
    Retrying {
        /// What it says of it.
        message: String,
        /// The cause.
        details: Option<String>,
    },
    /// Codex asked for something and was told no.
    Declined {
        /// For what it asked.
        what: String,
    },
    /// It is over.
    Settled(TurnEnd),
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnEnd {
    /// It came to its end. Without an answer the model has said nothing that could be one, which is
    /// right when it answers by a tool, and [`Failure::no_answer`] otherwise.
    Completed {
        /// The last message of the model that is no commentary.
        answer: Option<String>,
    },
    /// It failed.
    Failed(Failure),
    /// It was cut short, because somebody asked for it.
    Interrupted,
    /// It, or codex, fell silent for longer than allowed, and was cut short.
    TimedOut {
        /// Which of the two, in a way.
        failure: Failure,
        /// Codex did not take the turn, or did not end it when it was told to: kill it. Whether
        /// the turn runs on is not known.
        child_deaf: bool,
    },
    /// Codex did not take it: nothing was done.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The same, with what codex said.
        failure: Failure,
    },
    /// The connection ended first. The turn may run on, be over, or never have begun: ask the thread.
    Lost(Lost),
}

/// A turn whose end we did not see: `transport_closed_before_turn_completed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the end of a turn of thread {thread_id} was not seen: {reason}")]
pub struct Lost {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn, if we had learnt its id.
    pub turn_id: Option<TurnId>,
    /// Why.
    pub reason: LostReason,
}

/// Why the end of a turn was not seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostReason {
    /// The connection ended.
    #[error(transparent)]
    Closed(CloseReason),
    /// Codex unloaded the thread.
    #[error("codex unloaded the thread")]
    Unloaded,
    /// We did not read its events in time, or somebody else subscribed to the thread.
    #[error("its events went elsewhere")]
    Unsubscribed,
    /// Codex says that it does not run any more.
    #[error("codex says that it is over, and its end never came")]
    Missed,
}

/// The use of a tool, as people may see it: no arguments, no output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolUse {
    /// Codex's name of this use.
    pub item_id: String,
    /// What kind of tool it is.
    pub kind: ToolKind,
    /// Its name; for a command the beginning of the command line.
    pub name: String,
    /// How far it is.
    pub status: ItemStatus,
    /// How a command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The kinds of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolKind {
    /// A shell command.
    Command,
    /// A change of files.
    FileChange,
    /// A tool of an MCP server.
    Mcp,
    /// A tool of ours.
    Dynamic,
    /// A search on the web.
    WebSearch,
}

impl Lost {
    /// The name of this class of failure in events.
    pub const CLASS: &'static str = "transport_closed_before_turn_completed";

    /// Returns the failure this is when nothing better can be learnt.
    pub fn to_failure(&self) -> Failure {
        let kind = match &self.reason {
            LostReason::Closed(CloseReason::Deaf(_)) => FailureKind::BackendTimeout,
            LostReason::Closed(_)
            | LostReason::Unloaded
            | LostReason::Unsubscribed
            | LostReason::Missed => FailureKind::BackendResponseInvalid,
        };
        Failure::new(kind, format!("{}: {self}", Self::CLASS))
    }
}

impl ToolUse {
    /// Says what it does, as a person would.
    pub fn in_words(&self) -> String {
        match self.kind {
            ToolKind::Command => format!("runs `{}`", self.name),
            ToolKind::FileChange => "changes files".to_owned(),
            ToolKind::Mcp | ToolKind::Dynamic => format!("uses {}", self.name),
            ToolKind::WebSearch => "searches the web".to_owned(),
        }
    }

    /// Reads the use of a tool off an item. `is_over` is for those that have no status themselves.
    pub(super) fn of(item: &Item, is_over: bool) -> Option<Self> {
        let mut ended = None;
        let (item_id, kind, name, status) = match item {
            Item::CommandExecution {
                id,
                command,
                status,
                exit_code,
            } => {
                ended = *exit_code;
                (id, ToolKind::Command, preview(command), *status)
            }
            Item::FileChange { id, status, .. } => {
                (id, ToolKind::FileChange, "files".to_owned(), *status)
            }
            Item::McpToolCall {
                id,
                server,
                tool,
                status,
            } => (id, ToolKind::Mcp, format!("{server}.{tool}"), *status),
            Item::DynamicToolCall { id, tool, status } => {
                (id, ToolKind::Dynamic, tool.clone(), *status)
            }
            Item::WebSearch { id, query } => {
                let status = if is_over {
                    ItemStatus::Completed
                } else {
                    ItemStatus::InProgress
                };
                (id, ToolKind::WebSearch, preview(query), status)
            }
            Item::UserMessage { .. }
            | Item::AgentMessage { .. }
            | Item::ContextCompaction { .. }
            | Item::Reasoning { .. }
            | Item::Other => return None,
        };
        Some(Self {
            item_id: item_id.clone(),
            kind,
            name,
            status,
            exit_code: ended,
        })
    }

    /// Returns a sentence for people.
    pub fn sentence(&self) -> String {
        let name = &self.name;
        let (running, done) = match self.kind {
            ToolKind::Command => ("runs", "ran"),
            ToolKind::FileChange => ("changes", "changed"),
            ToolKind::Mcp | ToolKind::Dynamic => ("uses", "used"),
            ToolKind::WebSearch => ("searches the web for", "searched the web for"),
        };
        match self.status {
            ItemStatus::InProgress => format!("{running} {name}"),
            ItemStatus::Completed | ItemStatus::Other => format!("{done} {name}"),
            ItemStatus::Failed => format!("{done} {name}, which failed"),
            ItemStatus::Declined => format!("was not allowed to use {name}"),
        }
    }
}

/// Returns the beginning of a text on one line.
fn preview(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(COMMAND_PREVIEW)
        .collect();
    if text.chars().nth(COMMAND_PREVIEW).is_some() {
        line.push('…');
    }
    line
}
