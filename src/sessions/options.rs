//! What a session is set up with, and what one turn has another way.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::input::{Input, InputError, Marks, beginning};
use crate::codex::protocol::{
    ApprovalPolicy, CollaborationMode, Personality, ReasoningSummary, SandboxMode, SandboxPolicy,
    UserInput,
};
use crate::config::Sandbox;
use crate::ledger::NewTurn;

/// How long all options of a session may be together, in bytes of JSON.
const MAX_OPTIONS: usize = 256 * 1024;

/// How long an output schema may be, in bytes of JSON.
const MAX_SCHEMA: usize = 256 * 1024;

/// How long a name of something that Codex knows may be, in bytes.
const MAX_NAME: usize = 200;

/// What keys of Codex's configuration may begin with that a session sets for itself under a sandbox:
/// none of these says what commands may touch, starts a process, or says where one goes.
const HARMLESS: &[&str] = &[
    "compact_prompt",
    "hide_agent_reasoning",
    "include_",
    "model_auto_compact_token_limit",
    "model_context_window",
    "model_max_output_tokens",
    "model_reasoning_",
    "model_supports_reasoning_summaries",
    "model_verbosity",
    "project_doc_",
    "show_raw_agent_reasoning",
    "tool_output_token_limit",
    "tools",
    "web_search",
];

/// What a session is set up with, as it is asked for. What is absent is as the dispatcher has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOptions {
    /// When codex asks before it acts. Whatever it asks is declined: nobody is there to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// Replaces codex's own system text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_instructions: Option<String>,
    /// Added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub developer_instructions: Option<String>,
    /// What commands may do, if less than those of the dispatcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxMode>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of the provider in codex's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_provider: Option<String>,
    /// The provider's service tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The tone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// Leaves nothing on disk: the session ends with the child.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Further keys of codex's configuration.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// Where commands begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// What one turn has another way than its session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnOptions {
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The reasoning effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Where commands begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
    /// What commands may touch, in codex's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_policy: Option<SandboxPolicy>,
    /// When codex asks before it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// The provider's service tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// The tone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// How much the model says of its reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ReasoningSummary>,
    /// A strict JSON schema of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// In what way the model works; goes before model and effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collaboration_mode: Option<CollaborationMode>,
}

/// What a session's lane is given for one turn, as it lies in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnRequest {
    /// What goes in.
    pub input: Vec<UserInput>,
    /// What the turn has another way.
    #[serde(default)]
    pub options: TurnOptions,
}

/// What sessions of a dispatcher may do.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Where it works.
    pub workspace: &'a Path,
    /// What its commands may do.
    pub sandbox: Sandbox,
}

/// Why options are not taken.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// It is wider than the dispatcher's.
    #[error("the dispatcher's sandbox is {allowed}: a session may not have more")]
    Sandbox {
        /// What the dispatcher's commands may do.
        allowed: Sandbox,
    },
    /// Codex's configuration would let it do more.
    #[error("`config` may not have the key {key:?} under the dispatcher's sandbox, {allowed}")]
    Key {
        /// The key.
        key: String,
        /// What the dispatcher's commands may do.
        allowed: Sandbox,
    },
    /// There is no such directory, or it is somewhere else.
    #[error("`cwd` cannot be {}: {problem}", path.display())]
    Directory {
        /// What was asked for.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A name of something is empty or too long.
    #[error("`{field}` is no name: it has {bytes} bytes, and 1 to {MAX_NAME} are allowed")]
    Name {
        /// Of what.
        field: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// They are too long.
    #[error("{what} has {bytes} bytes, {limit} are allowed")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// An output schema is an object.
    #[error("`output_schema` is not a JSON object")]
    Schema,
    /// The input cannot be one.
    #[error(transparent)]
    Input(#[from] InputError),
}

impl SessionOptions {
    /// Checks what is asked for, and returns it with the whole path of its directory.
    ///
    /// # Errors
    ///
    /// When it is not allowed.
    pub async fn checked(mut self, rules: Rules<'_>) -> Result<Self, OptionsError> {
        let own = self.sandbox.map(sandbox_of);
        if own.is_some_and(|own| own.is_wider_than(rules.sandbox)) {
            let allowed = rules.sandbox;
            return Err(OptionsError::Sandbox { allowed });
        }
        for (field, name) in [
            ("model", &self.model),
            ("model_provider", &self.model_provider),
            ("service_tier", &self.service_tier),
        ] {
            check_name(field, name.as_ref())?;
        }
        if rules.sandbox != Sandbox::DangerFullAccess {
            for key in self.config.keys() {
                let is_harmless = HARMLESS.iter().any(|harmless| key.starts_with(harmless));
                if !is_harmless {
                    let (key, allowed) = (key.clone(), rules.sandbox);
                    return Err(OptionsError::Key { key, allowed });
                }
            }
        }
        if let Some(cwd) = &self.cwd {
            self.cwd = Some(working_directory(cwd, rules).await?);
        }
        check_size("the whole of its options", &self, MAX_OPTIONS)?;
        Ok(self)
    }
}

impl TurnOptions {
    async fn checked(mut self, rules: Rules<'_>) -> Result<Self, OptionsError> {
        for (field, name) in [
            ("model", &self.model),
            ("effort", &self.effort),
            ("service_tier", &self.service_tier),
        ] {
            check_name(field, name.as_ref())?;
        }
        if let Some(mode) = &self.collaboration_mode {
            check_name(
                "collaboration_mode.settings.model",
                Some(&mode.settings.model),
            )?;
        }
        if let Some(policy) = &self.sandbox_policy
            && !is_allowed(policy, rules)
        {
            let allowed = rules.sandbox;
            return Err(OptionsError::Sandbox { allowed });
        }
        if let Some(cwd) = &self.cwd {
            self.cwd = Some(working_directory(cwd, rules).await?);
        }
        if let Some(schema) = &self.output_schema {
            if !schema.is_object() {
                return Err(OptionsError::Schema);
            }
            check_size("`output_schema`", schema, MAX_SCHEMA)?;
        }
        Ok(self)
    }

    /// Returns the names of those that Codex keeps for later turns.
    fn lasting(&self) -> BTreeSet<String> {
        let all = [
            ("model", self.model.is_some()),
            ("effort", self.effort.is_some()),
            ("cwd", self.cwd.is_some()),
            ("sandbox_policy", self.sandbox_policy.is_some()),
            ("approval_policy", self.approval_policy.is_some()),
            ("service_tier", self.service_tier.is_some()),
            ("personality", self.personality.is_some()),
            ("summary", self.summary.is_some()),
            ("collaboration_mode", self.collaboration_mode.is_some()),
        ];
        let given = all.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(name, _)| name.to_owned()).collect()
    }
}

impl TurnRequest {
    /// Checks a turn that a session is to be given.
    ///
    /// # Errors
    ///
    /// When there is nothing in it, or it is not allowed.
    pub async fn checked(
        input: Input,
        options: TurnOptions,
        rules: Rules<'_>,
    ) -> Result<Self, OptionsError> {
        Ok(Self {
            input: input.into_parts()?,
            options: options.checked(rules).await?,
        })
    }

    /// Returns it as the ledger keeps it.
    pub fn into_new(self) -> NewTurn {
        NewTurn {
            // Plain data, of which JSON can be made.
            text: serde_json::to_string(&self).unwrap_or_default(),
            beginning: beginning(&self.input),
            touches: self.options.lasting(),
        }
    }

    /// Takes it back from what the ledger kept.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Returns by what it is found in a thread.
    pub fn marks(&self) -> Marks {
        Marks::of(&self.input)
    }
}

/// Returns the whole path of a directory where a session may work: below the workspace, unless the
/// dispatcher may work anywhere.
///
/// # Errors
///
/// When it is not there, or somewhere else.
pub async fn working_directory(path: &Path, rules: Rules<'_>) -> Result<PathBuf, OptionsError> {
    let refused = |problem: String| OptionsError::Directory {
        path: path.to_owned(),
        problem,
    };
    let whole = tokio::fs::canonicalize(rules.workspace.join(path)).await;
    let whole = whole.map_err(|error| refused(error.to_string()))?;
    let about = tokio::fs::metadata(&whole).await;
    if !about.is_ok_and(|about| about.is_dir()) {
        return Err(refused("it is not a directory".to_owned()));
    }
    let workspace = tokio::fs::canonicalize(rules.workspace).await;
    let workspace = workspace.map_err(|error| refused(error.to_string()))?;
    if rules.sandbox != Sandbox::DangerFullAccess && !whole.starts_with(&workspace) {
        return Err(refused(format!(
            "it is not below the dispatcher's workspace, {}",
            workspace.display()
        )));
    }
    Ok(whole)
}

/// Returns what we call a sandbox of Codex.
pub fn sandbox_of(mode: SandboxMode) -> Sandbox {
    match mode {
        SandboxMode::ReadOnly => Sandbox::ReadOnly,
        SandboxMode::WorkspaceWrite => Sandbox::WorkspaceWrite,
        SandboxMode::DangerFullAccess => Sandbox::DangerFullAccess,
    }
}

/// Returns whether a turn may have this sandbox: never more than the dispatcher.
fn is_allowed(policy: &SandboxPolicy, rules: Rules<'_>) -> bool {
    match (rules.sandbox, policy) {
        (Sandbox::DangerFullAccess, _) => true,
        (_, SandboxPolicy::ReadOnly { network_access }) => !network_access,
        (
            Sandbox::WorkspaceWrite,
            SandboxPolicy::WorkspaceWrite {
                writable_roots,
                network_access,
                ..
            },
        ) => !network_access && writable_roots.is_empty(),
        (Sandbox::ReadOnly | Sandbox::WorkspaceWrite, _) => false,
    }
}

fn check_name(field: &'static str, name: Option<&String>) -> Result<(), OptionsError> {
    match name.map(String::len) {
        None | Some(1..=MAX_NAME) => Ok(()),
        Some(bytes) => Err(OptionsError::Name { field, bytes }),
    }
}

fn check_size(
    what: &'static str,
    value: &impl Serialize,
    limit: usize,
) -> Result<(), OptionsError> {
    let bytes = serde_json::to_vec(value).map_or(0, |json| json.len());
    if bytes > limit {
        return Err(OptionsError::TooLong { what, bytes, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(workspace: &Path, sandbox: Sandbox) -> Rules<'_> {
        Rules { workspace, sandbox }
    }

    fn options(json: Value) -> SessionOptions {
        serde_json::from_value(json).unwrap()
    }

    #[tokio::test]
    async fn nobody_gets_more_than_the_dispatcher_has() {
        let root = tempfile::tempdir().unwrap();
        let work = root.path().join("work");
        std::fs::create_dir_all(work.join("docs")).unwrap();
        std::fs::write(work.join("file"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), work.join("out")).unwrap();
        let narrow = rules(&work, Sandbox::WorkspaceWrite);
        for bad in [
            json!({ "sandbox": "danger-full-access" }),
            json!({ "config": { "sandbox_mode": "danger-full-access" } }),
            json!({ "config": { "sandbox_workspace_write.writable_roots": ["/"] } }),
            json!({ "config": { "mcp_servers": {} } }),
            json!({ "cwd": "/" }),
            json!({ "cwd": "out" }),
            json!({ "cwd": "../work/.." }),
            json!({ "cwd": "file" }),
            json!({ "cwd": "nowhere" }),
            json!({ "model": "" }),
            json!({ "model": "m".repeat(201) }),
            json!({ "base_instructions": "x".repeat(MAX_OPTIONS) }),
        ] {
            let checked = options(bad.clone()).checked(narrow).await;
            assert!(checked.is_err(), "{bad}");
        }
        let good = json!({
            "sandbox": "read-only", "cwd": "docs", "config": { "model_reasoning_effort": "high" },
        });
        let checked = options(good).checked(narrow).await.unwrap();
        let docs = std::fs::canonicalize(work.join("docs")).unwrap();
        assert_eq!(checked.cwd, Some(docs));
        let wide = rules(&work, Sandbox::DangerFullAccess);
        for good in [
            json!({ "cwd": "/" }),
            json!({ "config": { "mcp_servers": {} } }),
        ] {
            assert!(options(good.clone()).checked(wide).await.is_ok(), "{good}");
        }
    }

    #[tokio::test]
    async fn a_turn_gets_no_wider_sandbox_than_the_dispatcher_has() {
        let read_only = json!({ "type": "readOnly" });
        let online = json!({ "type": "readOnly", "networkAccess": true });
        let write = json!({ "type": "workspaceWrite" });
        let elsewhere = json!({ "type": "workspaceWrite", "writableRoots": ["/etc"] });
        let full = json!({ "type": "dangerFullAccess" });
        for (policy, allowed) in [
            (read_only, [true, true, true]),
            (write, [false, true, true]),
            (online, [false, false, true]),
            (elsewhere, [false, false, true]),
            (full, [false, false, true]),
        ] {
            let policy: SandboxPolicy = serde_json::from_value(policy).unwrap();
            let is_allowed = [
                Sandbox::ReadOnly,
                Sandbox::WorkspaceWrite,
                Sandbox::DangerFullAccess,
            ]
            .map(|sandbox| is_allowed(&policy, rules(Path::new("/"), sandbox)));
            assert_eq!(is_allowed, allowed, "{policy:?}");
        }
    }

    #[test]
    fn what_codex_does_not_know_is_refused() {
        for bad in [
            json!({ "modell": "m" }),
            json!({ "effort": "high", "approval_policy": "sometimes" }),
            json!({ "personality": "grumpy" }),
            json!({ "summary": "some" }),
            json!({ "sandbox_policy": { "type": "readOnly", "writableRoots": [] } }),
            json!({ "sandbox_policy": { "type": "none" } }),
            json!({ "collaboration_mode": { "mode": "code", "settings": { "model": "m" } } }),
        ] {
            assert!(
                serde_json::from_value::<TurnOptions>(bad.clone()).is_err(),
                "{bad}"
            );
        }
        for bad in [
            json!({ "approval_policy": "maybe" }),
            json!({ "sandbox": "none" }),
            json!({ "dynamic_tools": [] }),
        ] {
            assert!(
                serde_json::from_value::<SessionOptions>(bad.clone()).is_err(),
                "{bad}"
            );
        }
    }
}
