//! `[dispatchers.NAME.teammates]`: the agents that a dispatcher may have beside itself.

use crate::config::defaults;
use crate::config::document::Value;

/// The greatest `max`: all of them live in one Codex process.
const MOST: usize = 100;

/// What a dispatcher may do with teammates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TeammatesConfig {
    /// How many it may have at a time; 0 turns them off.
    pub max: usize,
    /// How many of them may work at the same time.
    pub parallel: usize,
    /// Chats are told when work is handed out, and when it is done.
    pub announce: bool,
}

impl TeammatesConfig {
    /// Reads the table.
    pub(super) fn read(value: Option<Value<'_>>) -> Self {
        let default = defaults::TEAMMATES;
        let expected = "a table such as { max = 20, parallel = 8 }";
        let Some(mut table) = value.as_ref().and_then(|value| value.table(expected)) else {
            return default;
        };
        let mut count = |key, least, default| {
            let hint = "all teammates of a dispatcher live in its one Codex process";
            let read = |value: Value<'_>| value.count(least..=MOST, hint);
            table.get(key).and_then(read).unwrap_or(default)
        };
        let config = Self {
            max: count("max", 0, default.max),
            parallel: count("parallel", 1, default.parallel),
            announce: default.announce,
        };
        let announce = table.get("announce").and_then(|value| value.boolean());
        table.finish();
        Self {
            announce: announce.unwrap_or(default.announce),
            ..config
        }
    }
}
