//! Finds the pinned Codex, or fetches it through npm.

use std::path::PathBuf;

/// Interim: returns the binary that lies in the cache.
pub fn cached() -> Option<PathBuf> {
    let cache = PathBuf::from(std::env::var_os("HOME")?).join(".cache/tieline");
    let binary = cache.join("codex-0.169.0/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex");
    binary.is_file().then_some(binary)
}
