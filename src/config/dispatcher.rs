//! `[dispatchers.NAME]`: one agent.

mod prompts;
mod read;
mod teammates;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;
use tieline_channel::ChannelId;

use crate::config::access::Access;
use crate::config::choice::{Choice as _, choice};
use crate::config::codex::CodexConfig;

pub use self::prompts::Prompts;
pub(crate) use self::read::read_all;
pub use self::teammates::TeammatesConfig;

choice! {
    /// What a lane stands for.
    Sessions {
        /// One lane for all chats.
        Shared = "shared",
        /// A lane for each chat.
        Chat = "chat",
        /// A lane for each Slack thread or Feishu topic.
        Thread = "thread",
    }
}

choice! {
    /// What commands of the model may do.
    Sandbox {
        /// Read files.
        ReadOnly = "read-only",
        /// Also write below the workspace.
        WorkspaceWrite = "workspace-write",
        /// Anything that the daemon's user may do.
        DangerFullAccess = "danger-full-access",
    }
}

impl Sandbox {
    /// Returns the one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|sandbox| sandbox.as_str() == name)
    }

    /// Returns whether commands may do more in it than in the other one.
    pub fn is_wider_than(self, other: Self) -> bool {
        // They stand in this order.
        self as u8 > other as u8
    }
}

choice! {
    /// What happens when the model wants more than the sandbox allows.
    Approvals {
        /// It is denied.
        Deny = "deny",
        /// People in the chat decide.
        Chat = "chat",
    }
}

choice! {
    /// What is posted to the chat.
    Reply {
        /// The final answer of each turn.
        Final = "final",
        /// What the model sends by a tool.
        Tool = "tool",
    }
}

choice! {
    /// What a message does that comes while its lane's turn runs.
    OnBusy {
        /// It waits for the next turn.
        Queue = "queue",
        /// It is given to the running turn.
        Steer = "steer",
        /// The running turn is interrupted for it.
        Interrupt = "interrupt",
    }
}

choice! {
    /// What happens to a turn that a crash has interrupted.
    OnInterrupted {
        /// The model is asked to go on.
        Continue = "continue",
        /// The chat is asked what to do.
        Ask = "ask",
    }
}

choice! {
    /// What happens when a thread cannot be resumed.
    OnLostThread {
        /// A fresh one takes its place, and the chats are told.
        Fresh = "fresh",
        /// The lane stops until a person decides.
        Stop = "stop",
    }
}

/// The greatest `completion_chars`.
pub(crate) const MAX_COMPLETION_CHARS: usize = 160_000;

/// How soon a dead app-server is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartConfig {
    /// The first delay, doubled at each further one.
    pub base: Duration,
    /// The greatest delay; at least `base`.
    pub max: Duration,
}

/// The configuration of one dispatcher.
///
/// `Debug` leaves out `mcp_servers`, which may hold what must stay secret.
#[derive(Clone, PartialEq)]
pub struct DispatcherConfig {
    /// The working directory of its threads: an absolute path, a directory when it was checked.
    pub workspace: PathBuf,
    /// Its channels, all of them declared, none of them anybody else's.
    pub channels: Vec<ChannelId>,
    /// What a lane stands for.
    pub sessions: Sessions,
    /// What commands of the model may do.
    pub sandbox: Sandbox,
    /// The file says so: else it is the default.
    pub sandbox_is_given: bool,
    /// What happens when the model wants more than that.
    pub approvals: Approvals,
    /// What is posted to the chat.
    pub reply: Reply,
    /// What a message does that comes while a turn runs.
    pub on_busy: OnBusy,
    /// What happens to a turn that a crash has interrupted.
    pub on_interrupted: OnInterrupted,
    /// What happens when a thread cannot be resumed.
    pub on_lost_thread: OnLostThread,
    /// A turn that emits nothing for so long has failed.
    pub turn_idle_timeout: Duration,
    /// A message older than this is marked as stale.
    pub stale_after: Duration,
    /// How many characters of a completion the model is shown; the rest is in a file.
    pub completion_chars: usize,
    /// What it may do with teammates.
    pub teammates: TeammatesConfig,
    /// How soon a dead app-server is replaced.
    pub restart: RestartConfig,
    /// The model; Codex's own choice when absent.
    pub model: Option<String>,
    /// The reasoning effort; Codex's own choice when absent.
    pub effort: Option<String>,
    /// What is added to the instructions that tieline gives.
    pub instructions: Option<String>,
    /// What replaces Codex's own base instructions.
    pub base_instructions: Option<String>,
    /// What tieline tells the model.
    pub prompts: Prompts,
    /// Directories of skills, or skills, all of them there when it was checked.
    pub skills: Vec<PathBuf>,
    /// MCP servers as Codex's own configuration has them: a table by name, each a table.
    pub mcp_servers: Option<Json>,
    /// The profile that its app-server has: one of `[profiles]`.
    pub profile: Option<String>,
    /// Who may speak to it.
    pub access: Access,
    /// How its app-server is run and reached.
    pub codex: CodexConfig,
}

impl DispatcherConfig {
    /// Returns whether it can have teammates.
    pub fn has_teammates(&self) -> bool {
        self.teammates.max > 0
    }

    /// Returns what the model is told of how it reaches people.
    pub fn answering(&self) -> &str {
        match self.reply {
            Reply::Final => &self.prompts.answer_final,
            Reply::Tool => &self.prompts.answer_tool,
        }
    }
}

impl fmt::Debug for DispatcherConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            workspace,
            channels,
            sessions,
            sandbox,
            sandbox_is_given,
            approvals,
            reply,
            on_busy,
            on_interrupted,
            on_lost_thread,
            turn_idle_timeout,
            stale_after,
            completion_chars,
            teammates,
            restart,
            model,
            effort,
            instructions,
            base_instructions,
            prompts,
            skills,
            mcp_servers,
            profile,
            access,
            codex,
        } = self;
        let mcp_servers: Option<Vec<_>> = mcp_servers
            .as_ref()
            .and_then(Json::as_object)
            .map(|servers| servers.keys().collect());
        f.debug_struct("DispatcherConfig")
            .field("workspace", workspace)
            .field("channels", channels)
            .field("sessions", sessions)
            .field("sandbox", sandbox)
            .field("sandbox_is_given", sandbox_is_given)
            .field("approvals", approvals)
            .field("reply", reply)
            .field("on_busy", on_busy)
            .field("on_interrupted", on_interrupted)
            .field("on_lost_thread", on_lost_thread)
            .field("turn_idle_timeout", turn_idle_timeout)
            .field("stale_after", stale_after)
            .field("completion_chars", completion_chars)
            .field("teammates", teammates)
            .field("restart", restart)
            .field("model", model)
            .field("effort", effort)
            .field("instructions", instructions)
            .field("base_instructions", base_instructions)
            .field("prompts", prompts)
            .field("skills", skills)
            .field("mcp_servers", &mcp_servers)
            .field("profile", profile)
            .field("access", access)
            .field("codex", codex)
            .finish()
    }
}
