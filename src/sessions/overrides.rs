//! What Codex is told with a turn.
//!
//! Codex keeps what a turn has another way for the turns after it, also over a restart. So whatever some
//! turn of the session has touched is told again with each later one, as the session has it. What none
//! has touched is not told: Codex's own configuration decides.

use std::collections::BTreeSet;

use super::options::TurnOptions;
use crate::codex::protocol::{
    CollaborationMode, CollaborationModeKind, CollaborationSettings, Personality, ReasoningSummary,
    SandboxMode, SandboxPolicy, ThreadSettings, TurnOverrides,
};
use crate::ledger::Effective;

/// Returns what Codex is told with a turn of a session whose thread is set up with `settings`, and runs
/// with `effective`. `touched` are the names of what some turn so far has had another way.
pub fn overrides(
    options: &TurnOptions,
    settings: &ThreadSettings,
    effective: &Effective,
    touched: &BTreeSet<String>,
) -> TurnOverrides {
    let is_touched = |name: &str| touched.contains(name);
    let model = || {
        settings
            .model
            .clone()
            .unwrap_or_else(|| effective.model.clone())
    };
    let own_effort = effort_of(settings).or_else(|| effective.effort.clone());
    // A mode has a model and an effort of its own, which stay as well.
    let is_mode_touched = is_touched("collaboration_mode");
    let mut overrides = TurnOverrides {
        model: options
            .model
            .clone()
            .or_else(|| (is_touched("model") || is_mode_touched).then(model)),
        effort: options.effort.clone(),
        cwd: options
            .cwd
            .clone()
            .or_else(|| settings.cwd.clone().filter(|_| is_touched("cwd"))),
        approval_policy: options.approval_policy.or_else(|| {
            settings
                .approval_policy
                .filter(|_| is_touched("approval_policy"))
        }),
        sandbox_policy: match &options.sandbox_policy {
            Some(policy) => Some(kept_within(policy.clone(), settings, effective)),
            None if is_touched("sandbox_policy") => own_sandbox(settings, effective),
            None => None,
        },
        service_tier: match &options.service_tier {
            Some(tier) => Some(Some(tier.clone())),
            None => is_touched("service_tier").then(|| {
                let own = settings.service_tier.clone();
                own.or_else(|| effective.service_tier.clone())
            }),
        },
        personality: options.personality.or_else(|| {
            is_touched("personality").then(|| settings.personality.unwrap_or(Personality::None))
        }),
        summary: options
            .summary
            .or_else(|| is_touched("summary").then(|| summary_of(settings))),
        collaboration_mode: options.collaboration_mode.clone(),
        output_schema: options.output_schema.clone(),
    };
    let is_effort_touched = is_touched("effort") || is_mode_touched;
    if overrides.collaboration_mode.is_none() && overrides.effort.is_none() && is_effort_touched {
        overrides.effort.clone_from(&own_effort);
    }
    let takes_effort_away = is_effort_touched && overrides.effort.is_none();
    if overrides.collaboration_mode.is_none() && (is_mode_touched || takes_effort_away) {
        // Nothing else takes an effort away, or ends a mode.
        overrides.collaboration_mode = Some(CollaborationMode {
            mode: CollaborationModeKind::Default,
            settings: CollaborationSettings {
                model: overrides.model.clone().unwrap_or_else(model),
                reasoning_effort: overrides.effort.clone(),
                // Only who was told of a mode has to be told that it is over.
                developer_instructions: (!is_mode_touched).then(String::new),
            },
        });
    }
    overrides
}

/// Returns what commands of a thread may touch in the words of a turn.
fn own_sandbox(settings: &ThreadSettings, effective: &Effective) -> Option<SandboxPolicy> {
    let told = effective.sandbox.as_deref();
    let told = told.and_then(|it| serde_json::from_str(it).ok());
    told.or_else(|| settings.sandbox.map(policy_of))
}

/// Returns a sandbox that lets nobody write to where codex's configuration lets nobody.
fn kept_within(
    mut policy: SandboxPolicy,
    settings: &ThreadSettings,
    effective: &Effective,
) -> SandboxPolicy {
    let own = own_sandbox(settings, effective);
    if let (
        SandboxPolicy::WorkspaceWrite {
            exclude_tmpdir_env_var,
            exclude_slash_tmp,
            ..
        },
        Some(SandboxPolicy::WorkspaceWrite {
            exclude_tmpdir_env_var: no_tmpdir,
            exclude_slash_tmp: no_slash_tmp,
            ..
        }),
    ) = (&mut policy, own)
    {
        *exclude_tmpdir_env_var |= no_tmpdir;
        *exclude_slash_tmp |= no_slash_tmp;
    }
    policy
}

/// Returns the sandbox of a thread in the words of a turn, when codex has not told it.
fn policy_of(mode: SandboxMode) -> SandboxPolicy {
    match mode {
        SandboxMode::ReadOnly => SandboxPolicy::ReadOnly {
            network_access: false,
        },
        SandboxMode::WorkspaceWrite => SandboxPolicy::WorkspaceWrite {
            writable_roots: Vec::new(),
            network_access: false,
            exclude_tmpdir_env_var: true,
            exclude_slash_tmp: true,
        },
        SandboxMode::DangerFullAccess => SandboxPolicy::DangerFullAccess,
    }
}

fn effort_of(settings: &ThreadSettings) -> Option<String> {
    let effort = settings.config.get("model_reasoning_effort")?;
    effort.as_str().map(str::to_owned)
}

fn summary_of(settings: &ThreadSettings) -> ReasoningSummary {
    let summary = settings.config.get("model_reasoning_summary");
    let summary = summary.and_then(|it| serde_json::from_value(it.clone()).ok());
    summary.unwrap_or(ReasoningSummary::Auto)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::{Value, json};

    use super::*;
    use crate::codex::protocol::ApprovalPolicy;

    fn told(options: Value, touched: &[&str], settings: &ThreadSettings) -> Value {
        let effective = Effective {
            model: "of the configuration".to_owned(),
            model_provider: "p".to_owned(),
            effort: None,
            service_tier: None,
            sandbox: None,
        };
        let touched = touched.iter().map(|it| (*it).to_owned()).collect();
        let options = serde_json::from_value(options).unwrap();
        serde_json::to_value(overrides(&options, settings, &effective, &touched)).unwrap()
    }

    #[test]
    fn what_no_turn_has_touched_is_left_to_codex() {
        let settings = ThreadSettings {
            model: Some("m".to_owned()),
            approval_policy: Some(ApprovalPolicy::Never),
            ..ThreadSettings::default()
        };
        assert_eq!(told(json!({}), &[], &settings), json!({}));
    }

    #[test]
    fn what_an_earlier_turn_has_touched_is_as_the_session_has_it() {
        let settings = ThreadSettings {
            cwd: Some("/w".into()),
            sandbox: Some(SandboxMode::ReadOnly),
            approval_policy: Some(ApprovalPolicy::Never),
            ..ThreadSettings::default()
        };
        let touched = [
            "approval_policy",
            "cwd",
            "effort",
            "model",
            "personality",
            "sandbox_policy",
            "service_tier",
            "summary",
        ];
        let mode = json!({
            "mode": "default",
            "settings": {
                "model": "of the configuration",
                "reasoning_effort": null,
                "developer_instructions": "",
            },
        });
        assert_eq!(
            told(json!({}), &touched, &settings),
            json!({
                "model": "of the configuration",
                "cwd": "/w",
                "approvalPolicy": "never",
                "sandboxPolicy": { "type": "readOnly", "networkAccess": false },
                "serviceTier": null,
                "personality": "none",
                "summary": "auto",
                "collaborationMode": mode,
            })
        );
    }

    #[test]
    fn an_effort_of_the_session_is_told_again_and_a_mode_is_ended() {
        let config = json!({ "model_reasoning_effort": "low" });
        let settings = ThreadSettings {
            model: Some("m".to_owned()),
            config: config.as_object().unwrap().clone(),
            ..ThreadSettings::default()
        };
        assert_eq!(
            told(json!({}), &["effort"], &settings),
            json!({ "effort": "low" })
        );
        assert_eq!(
            told(json!({ "effort": "high" }), &["effort", "model"], &settings),
            json!({ "effort": "high", "model": "m" })
        );
        let after_a_plan = told(json!({}), &["collaboration_mode"], &settings);
        assert_eq!(
            after_a_plan["collaborationMode"],
            json!({
                "mode": "default",
                "settings": {
                    "model": "m",
                    "reasoning_effort": "low",
                    "developer_instructions": null,
                },
            })
        );
    }
}
