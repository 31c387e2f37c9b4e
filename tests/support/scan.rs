//! Looks through everything that came out of tieline for what must not be seen.

use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use tieline::redact::forms;

use super::{feishu, slack};

/// In the environment of every codex: what it prints must not reach anybody.
pub(crate) const MARKED: &str = "mk-tieline+7f3a/b1c9d2e8==-marked";

/// Finds secrets, in every form that they are likely to take.
pub(crate) struct Scanner(AhoCorasick);

impl Scanner {
    /// Makes one that looks for the secrets of all worlds.
    pub(crate) fn new() -> Self {
        let secrets = [
            MARKED,
            slack::APP_TOKEN,
            slack::BOT_TOKEN,
            feishu::APP_SECRET,
        ];
        Self(AhoCorasick::new(secrets.into_iter().flat_map(forms)).unwrap())
    }

    /// Returns whether there is a secret.
    pub(crate) fn finds_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }

    /// Returns which files at or below a path have a secret. What is not there has none.
    pub(crate) fn files_with_secrets(&self, path: &Path) -> Vec<String> {
        if path.is_dir() {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            return entries
                .flat_map(|entry| self.files_with_secrets(&entry.path()))
                .collect();
        }
        let has = fs::read(path).is_ok_and(|content| self.finds_in(&content));
        let shown = path.display().to_string();
        has.then_some(shown).into_iter().collect()
    }
}
