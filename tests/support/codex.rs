//! The real Codex, for the tests.

use std::path::PathBuf;

/// Returns the native binary of the pinned Codex.
pub(crate) fn codex_bin() -> PathBuf {
    tieline::demo::provision::cached().expect("the pinned Codex in the cache")
}
