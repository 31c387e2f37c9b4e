//! A first conversation on a machine with nothing set up.
//!
//! - [`model`]: a scripted model that speaks enough of the Responses API for the real Codex; the
//!   tests use it too
//! - [`provision`]: finds the pinned Codex, or fetches it through npm
//! - [`script`]: what the demo's model says

pub mod model;
pub mod provision;
pub mod script;
