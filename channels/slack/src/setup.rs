//! Setting up: the app's manifest, and a check of its tokens.

/// The manifest to paste when the app is made.
pub const MANIFEST: &str = "";
