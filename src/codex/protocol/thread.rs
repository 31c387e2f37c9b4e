//! Threads: what we ask for and what we are told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::turn::TurnInfo;
use crate::id::ThreadId;

/// How a thread is to run.
///
/// Used for starting and for resuming alike: codex forgets most of it with the process, so the
/// full set is given each time. What is `None` is left out, and codex's own configuration decides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThreadSettings {
    /// The working directory of its commands.
    pub cwd: Option<PathBuf>,
    /// The model; without it the one in `config.toml`.
    pub model: Option<String>,
    /// The name of the provider in `config.toml`.
    pub model_provider: Option<String>,
    /// What commands may touch.
    pub sandbox: Option<SandboxMode>,
    /// When codex asks before acting.
    pub approval_policy: Option<ApprovalPolicy>,
    /// Replaces codex's own system text.
    pub base_instructions: Option<String>,
    /// Added to it. On a resumed thread they take effect at the next compaction only.
    pub developer_instructions: Option<String>,
    /// Further keys of `config.toml`, nested or dotted, such as `mcp_servers`. Not remembered by
    /// codex; never written to its home.
    pub config: Map<String, Value>,
    /// The provider's service tier.
    pub service_tier: Option<String>,
    /// The tone.
    pub personality: Option<Personality>,
    /// Leaves nothing on disk. Only for a new thread; cannot be resumed.
    pub ephemeral: Option<bool>,
    /// Tools that we answer. Only for a new thread: codex stores them with it.
    pub dynamic_tools: Vec<Value>,
    /// A label that says who made the thread. Only for a new thread.
    pub thread_source: Option<String>,
}

/// What commands of a thread may touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Reads everything, writes nothing.
    ReadOnly,
    /// Writes in the working directory.
    WorkspaceWrite,
    /// No sandbox.
    DangerFullAccess,
}

impl SandboxMode {
    /// Returns its name as codex has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::WorkspaceWrite => "workspace-write",
            Self::DangerFullAccess => "danger-full-access",
        }
    }
}

/// When codex asks before it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalPolicy {
    /// For everything not known to be harmless.
    Untrusted,
    /// When the model asks for more than the sandbox gives.
    OnRequest,
    /// Never: what would need asking is refused by codex.
    Never,
}

/// The tone of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Personality {
    /// No tone of its own.
    None,
    /// Friendly.
    Friendly,
    /// Pragmatic.
    Pragmatic,
}

/// The parameters of `thread/start`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadStartParams {
    #[serde(flatten)]
    common: CommonParams,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dynamic_tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_source: Option<String>,
}

/// The parameters of `thread/resume`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadResumeParams {
    thread_id: ThreadId,
    /// Always true: with all turns the answer may be megabytes, and codex calls it deprecated.
    exclude_turns: bool,
    #[serde(flatten)]
    common: CommonParams,
}

/// The parameters of `thread/fork`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadForkParams {
    thread_id: ThreadId,
    /// Always true, as for resuming.
    exclude_turns: bool,
    #[serde(flatten)]
    common: CommonParams,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CommonParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<SandboxMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_policy: Option<ApprovalPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    developer_instructions: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    config: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    personality: Option<Personality>,
}

/// The answer to `thread/start`, `thread/resume` and `thread/fork`: the thread, and what it runs with in effect.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadOpened {
    /// The thread.
    pub thread: ThreadInfo,
    /// The model in effect.
    pub model: String,
    /// The provider in effect.
    pub model_provider: String,
    /// The working directory in effect.
    pub cwd: PathBuf,
    /// The sandbox in effect, as codex has it: `{"type": "workspaceWrite", …}`.
    #[serde(default)]
    pub sandbox: Option<Value>,
    /// The reasoning effort in effect.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// The service tier in effect.
    #[serde(default)]
    pub service_tier: Option<String>,
}

/// A thread as codex describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadInfo {
    /// Its id.
    pub id: ThreadId,
    /// What it does now.
    pub status: ThreadStatus,
    /// Where its rollout is or will be. "Unstable" by the schema; `None` for an ephemeral thread.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// Its name, if one was set.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it is kept in memory only.
    #[serde(default)]
    pub ephemeral: bool,
    /// Its turns, when they were asked for.
    #[serde(default)]
    pub turns: Vec<TurnInfo>,
}

/// What a thread does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ThreadStatus {
    /// Not in memory.
    NotLoaded,
    /// Waits for a turn.
    Idle,
    /// Its last turn failed; it can be used nevertheless.
    SystemError,
    /// Runs a turn.
    Active,
    /// Something newer than this code.
    #[serde(other)]
    Other,
}

impl ThreadSettings {
    /// Returns the parameters for a new thread.
    pub fn to_start(&self) -> ThreadStartParams {
        ThreadStartParams {
            common: self.to_common(),
            ephemeral: self.ephemeral,
            dynamic_tools: self.dynamic_tools.clone(),
            thread_source: self.thread_source.clone(),
        }
    }

    /// Returns the parameters for resuming a stored thread.
    pub fn to_resume(&self, thread_id: &ThreadId) -> ThreadResumeParams {
        ThreadResumeParams {
            thread_id: thread_id.clone(),
            exclude_turns: true,
            common: self.to_common(),
        }
    }

    /// Returns the parameters for copying a stored thread.
    pub fn to_fork(&self, thread_id: &ThreadId) -> ThreadForkParams {
        ThreadForkParams {
            thread_id: thread_id.clone(),
            exclude_turns: true,
            common: self.to_common(),
        }
    }

    fn to_common(&self) -> CommonParams {
        CommonParams {
            cwd: self.cwd.clone(),
            model: self.model.clone(),
            model_provider: self.model_provider.clone(),
            sandbox: self.sandbox,
            approval_policy: self.approval_policy,
            base_instructions: self.base_instructions.clone(),
            developer_instructions: self.developer_instructions.clone(),
            config: self.config.clone(),
            service_tier: self.service_tier.clone(),
            personality: self.personality,
        }
    }
}
