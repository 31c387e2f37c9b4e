//! A first conversation on a machine with nothing set up.
//!
//! - [`model`]: a scripted model that speaks enough of the Responses API for the real Codex; the
//!   tests use it too
//! - [`script`]: what the demo's model says

pub mod model;
pub mod script;
