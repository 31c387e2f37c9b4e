//! `[dispatchers.NAME.runs]`: the one-off runs that a dispatcher may be given.

use crate::config::defaults;
use crate::config::document::Value;

/// The greatest `parallel`: each run is a Codex process of its own.
const MOST: usize = 32;

/// What a dispatcher may do with one-off runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunsConfig {
    /// How many may run at the same time; 0 turns them off.
    pub parallel: usize,
}

impl RunsConfig {
    /// Reads the table.
    pub(super) fn read(value: Option<Value<'_>>) -> Self {
        let default = defaults::RUNS;
        let expected = "a table such as { parallel = 2 }";
        let Some(mut table) = value.as_ref().and_then(|value| value.table(expected)) else {
            return default;
        };
        let hint = "each run is a Codex process of its own; 0 turns them off";
        let parallel = table
            .get("parallel")
            .and_then(|value| value.count(0..=MOST, hint));
        table.finish();
        Self {
            parallel: parallel.unwrap_or(default.parallel),
        }
    }
}
