//! Which sandbox a dispatcher really has, and who said so.
//!
//! Who starts the daemon may narrow every sandbox by an environment variable, such as for a first
//! look at a machine; nobody can widen one by it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::bail;

use crate::config::choice::Choice as _;
use crate::config::{Config, Sandbox};
use crate::id::DispatcherId;

/// The variable that narrows every sandbox.
const VARIABLE: &str = "TIELINE_SANDBOX";

/// The sandbox of a dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sandboxed {
    /// What the configuration says.
    pub(crate) requested: Sandbox,
    /// What holds.
    pub(crate) effective: Sandbox,
}

/// Returns a configuration with the sandboxes that hold, and what they come from.
///
/// # Errors
///
/// As [`Sandboxed::of`].
pub(super) fn narrow(
    mut config: Config,
) -> anyhow::Result<(Config, BTreeMap<DispatcherId, Sandboxed>)> {
    let mut all = BTreeMap::new();
    for (id, dispatcher) in &mut config.dispatchers {
        let sandboxed = Sandboxed::of(dispatcher.sandbox)?;
        dispatcher.sandbox = sandboxed.effective;
        all.insert(id.clone(), sandboxed);
    }
    Ok((config, all))
}

impl Sandboxed {
    /// Returns what holds where the configuration says `requested`.
    ///
    /// # Errors
    ///
    /// When the variable names no sandbox: to pass that over could be to widen one.
    pub(crate) fn of(requested: Sandbox) -> anyhow::Result<Self> {
        Self::under(requested, std::env::var_os(VARIABLE))
    }

    fn under(requested: Sandbox, variable: Option<OsString>) -> anyhow::Result<Self> {
        let effective = match variable {
            None => requested,
            Some(value) => match value.to_str().and_then(Sandbox::named) {
                Some(limit) if requested.is_wider_than(limit) => limit,
                Some(_) => requested,
                None => {
                    let words: Vec<_> = Sandbox::ALL.iter().map(|it| it.as_str()).collect();
                    bail!(
                        "{VARIABLE} names no sandbox: set it to one of {}, or unset it",
                        words.join(", ")
                    );
                }
            },
        };
        Ok(Self {
            requested,
            effective,
        })
    }

    /// Returns whether what the configuration says holds.
    pub(crate) fn is_as_requested(self) -> bool {
        self.requested == self.effective
    }

    /// Returns where what holds comes from.
    pub(crate) fn source(self) -> &'static str {
        if self.is_as_requested() {
            "configuration"
        } else {
            VARIABLE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_narrows_and_never_widens() {
        use Sandbox::{DangerFullAccess, ReadOnly, WorkspaceWrite};
        let table = [
            (WorkspaceWrite, None, WorkspaceWrite, "configuration"),
            (WorkspaceWrite, Some("read-only"), ReadOnly, VARIABLE),
            (
                ReadOnly,
                Some("danger-full-access"),
                ReadOnly,
                "configuration",
            ),
            (
                DangerFullAccess,
                Some("workspace-write"),
                WorkspaceWrite,
                VARIABLE,
            ),
        ];
        for (requested, variable, effective, source) in table {
            let found = Sandboxed::under(requested, variable.map(OsString::from)).unwrap();
            assert_eq!((found.effective, found.source()), (effective, source));
            assert_eq!(found.requested, requested);
        }
        for wrong in ["", "none", "Read-Only"] {
            let error = Sandboxed::under(ReadOnly, Some(wrong.into())).unwrap_err();
            assert!(
                error.to_string().contains("read-only, workspace-write"),
                "{error}"
            );
        }
    }
}
