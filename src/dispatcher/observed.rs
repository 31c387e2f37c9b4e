//! What Codex says of the threads that it loads: what is asked of it may be something else.

use serde_json::Value;

use crate::codex::protocol::ThreadOpened;

/// What a thread has in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The model.
    pub model: String,
    /// What commands may do, by the name that the configuration has for it; as Codex names it if it has
    /// none; absent if Codex did not say.
    pub sandbox: Option<String>,
}

impl Observed {
    /// Returns what Codex said when it loaded a thread.
    pub(super) fn of(opened: &ThreadOpened) -> Self {
        Self {
            model: opened.model.clone(),
            sandbox: opened.sandbox.as_ref().and_then(sandbox),
        }
    }
}

fn sandbox(policy: &Value) -> Option<String> {
    let name = match policy["type"].as_str()? {
        "readOnly" => "read-only",
        "workspaceWrite" => "workspace-write",
        "dangerFullAccess" => "danger-full-access",
        other => other,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sandboxes_have_the_names_of_the_configuration() {
        for (told, name) in [
            (json!({ "type": "readOnly" }), Some("read-only")),
            (
                json!({ "type": "workspaceWrite", "networkAccess": false }),
                Some("workspace-write"),
            ),
            (
                json!({ "type": "dangerFullAccess" }),
                Some("danger-full-access"),
            ),
            (
                json!({ "type": "externalSandbox" }),
                Some("externalSandbox"),
            ),
            (json!(null), None),
        ] {
            assert_eq!(sandbox(&told).as_deref(), name);
        }
    }
}
