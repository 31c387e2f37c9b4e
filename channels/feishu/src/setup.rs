//! Setting up: what an app needs in the developer console, and how to get there.
//!
//! The lists are what `init` prints, what the documentation shows, and what a check compares with
//! the scopes that an app has.

mod needs;
mod steps;

pub use self::needs::{CALLBACKS, EVENTS, Need, SCOPES, Scope, Subscription, missing, scopes_json};
pub use self::steps::{Step, steps};
