//! Setting up: the app's manifest, and a check of its tokens.
//!
//! - [`MANIFEST`]: what to paste when the app is made
//! - [`SCOPES`], [`EVENTS`]: what is in it, and what each is for
//! - [`probe`]: asks Slack whether the tokens are good, and says what is missing and where to click

mod ask;
mod needs;
mod probe;
mod remedy;
#[cfg(test)]
mod tests;

pub use self::needs::{EVENTS, Event, Need, SCOPES, Scope};
pub use self::probe::{Bot, Findings, probe};

/// The manifest to paste when the app is made, in YAML.
pub const MANIFEST: &str = include_str!("setup/manifest.yaml");
