//! Turns: what goes in, and how they ended.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::item::Item;
use super::thread::{ApprovalPolicy, Personality};
use crate::id::{ThreadId, TurnId};

/// One part of what a turn is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum UserInput {
    /// Text. At most 1,048,576 characters over all parts of a turn.
    Text {
        /// The text.
        text: String,
    },
    /// An image as a `data:` URL; others are refused by codex.
    Image {
        /// The URL.
        url: String,
    },
    /// An image file.
    LocalImage {
        /// Where it is.
        path: PathBuf,
    },
    /// A skill to be used.
    Skill {
        /// Its name.
        name: String,
        /// Its `SKILL.md`.
        path: PathBuf,
    },
    /// Something that the text speaks of.
    Mention {
        /// Its name.
        name: String,
        /// Where it is.
        path: String,
    },
}

/// What commands of a turn may touch, in every detail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[serde(deny_unknown_fields)]
pub enum SandboxPolicy {
    /// No sandbox.
    DangerFullAccess,
    /// Reads everything, writes nothing.
    ReadOnly {
        /// It may reach the network.
        #[serde(default)]
        network_access: bool,
    },
    /// Writes in the working directory, and where it says.
    WorkspaceWrite {
        /// Further directories to which it may write.
        #[serde(default)]
        writable_roots: Vec<PathBuf>,
        /// It may reach the network.
        #[serde(default)]
        network_access: bool,
        /// It may not write to what `TMPDIR` names.
        #[serde(default)]
        exclude_tmpdir_env_var: bool,
        /// It may not write to `/tmp`.
        #[serde(default)]
        exclude_slash_tmp: bool,
    },
}

/// How much the model says of its reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasoningSummary {
    /// As the model likes.
    Auto,
    /// Little.
    Concise,
    /// Much.
    Detailed,
    /// Nothing.
    None,
}

/// In what way the model works with whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollaborationMode {
    /// The way.
    pub mode: CollaborationModeKind,
    /// What goes with it; takes the place of the turn's own.
    pub settings: CollaborationSettings,
}

/// A way of working together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CollaborationModeKind {
    /// It plans, and changes nothing.
    Plan,
    /// It does what it is told.
    Default,
}

/// What goes with a way of working together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollaborationSettings {
    /// The model.
    pub model: String,
    /// The reasoning effort; none takes away what was set.
    #[serde(default)]
    pub reasoning_effort: Option<String>,
    /// What the model is told of the way; none: codex's own words, empty: nothing.
    #[serde(default)]
    pub developer_instructions: Option<String>,
}

/// What a turn may change for itself **and for later turns** of its thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnOverrides {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The reasoning effort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// When codex asks before it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// What commands may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox_policy: Option<SandboxPolicy>,
    /// The provider's service tier; the inner `None` takes away what was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Option<String>>,
    /// The tone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// How much the model says of its reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<ReasoningSummary>,
    /// In what way the model works with whoever asks. Goes before model and effort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collaboration_mode: Option<CollaborationMode>,
    /// A strict JSON schema of the answer; for this turn only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
}

/// The parameters of `turn/start`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnStartParams {
    /// The thread; it has to be loaded and should be idle.
    pub thread_id: ThreadId,
    /// What goes in. Empty: the model is asked to go on with what it has.
    pub input: Vec<UserInput>,
    /// Recorded with the user message; not checked for repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_user_message_id: Option<String>,
    /// What changes with this turn.
    #[serde(flatten)]
    pub overrides: TurnOverrides,
}

/// The answer to `turn/start`.
#[derive(Clone, Debug, Deserialize)]
pub struct TurnStartResponse {
    /// The new turn, or the running one that the input was folded into.
    pub turn: TurnInfo,
}

/// A turn as codex describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnInfo {
    /// Its id.
    pub id: TurnId,
    /// How far it is.
    pub status: TurnStatus,
    /// Its items; which of them depends on where the turn comes from.
    #[serde(default)]
    pub items: Vec<Item>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<TurnError>,
    /// When it began, in seconds since 1970.
    #[serde(default)]
    pub started_at: Option<i64>,
}

/// How far a turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TurnStatus {
    /// It came to its end; an answer is likely but not certain.
    Completed,
    /// It was cut short, by us or by the end of the process.
    Interrupted,
    /// It failed.
    Failed,
    /// It runs.
    InProgress,
    /// Something newer than this code.
    #[serde(other)]
    Other,
}

/// Why a turn failed or is being tried again.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnError {
    /// What happened, in codex's or the provider's words.
    pub message: String,
    /// Codex's classification.
    #[serde(default)]
    pub codex_error_info: Option<CodexErrorInfo>,
    /// The cause behind a retry.
    #[serde(default)]
    pub additional_details: Option<String>,
}

/// Codex's classification of a failure: a word, or a word with details.
///
/// The schema itself ends with "any string or object", so this stays as open.
#[derive(Clone, Debug, PartialEq)]
pub struct CodexErrorInfo {
    /// The word, such as `serverOverloaded` or `httpConnectionFailed`.
    pub name: String,
    /// The HTTP status, where one belongs to it.
    pub http_status: Option<u16>,
}

/// How much of the items a list of turns brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TurnItemsView {
    /// None.
    NotLoaded,
    /// User messages and the final answer.
    Summary,
    /// All.
    Full,
}

/// Who a message in a thread's history is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person, as the model sees it.
    User,
    /// Us.
    Developer,
    /// The model.
    Assistant,
}

/// A message for `thread/inject_items`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InjectedItem {
    r#type: &'static str,
    role: Role,
    content: [InjectedText; 1],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct InjectedText {
    r#type: &'static str,
    text: String,
}

impl UserInput {
    /// Wraps text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }
}

impl InjectedItem {
    /// Makes a message from `role`. (`system` does not exist: codex would drop it.)
    pub fn message(role: Role, text: impl Into<String>) -> Self {
        let part = match role {
            Role::User | Role::Developer => "input_text",
            Role::Assistant => "output_text",
        };
        Self {
            r#type: "message",
            role,
            content: [InjectedText {
                r#type: part,
                text: text.into(),
            }],
        }
    }
}

impl<'de> Deserialize<'de> for CodexErrorInfo {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match value {
            Value::String(name) => Self {
                name,
                http_status: None,
            },
            Value::Object(map) => match map.into_iter().next() {
                Some((name, details)) => Self {
                    http_status: details
                        .get("httpStatusCode")
                        .and_then(Value::as_u64)
                        .and_then(|status| u16::try_from(status).ok()),
                    name,
                },
                None => Self::unknown(),
            },
            _ => Self::unknown(),
        })
    }
}

impl CodexErrorInfo {
    fn unknown() -> Self {
        Self {
            name: "other".to_owned(),
            http_status: None,
        }
    }
}
