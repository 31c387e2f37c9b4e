//! Setting up: what an app needs in the developer console, and how to get there.
//!
//! - [`steps`]: the way through the console
//! - [`SCOPES`], [`EVENTS`], [`CALLBACKS`]: what the app needs, and what each is for
//! - [`probe`]: asks Feishu whether an app is good, and says what is missing and where to click
//!
//! The lists are what `init` prints, what the documentation shows, and what a check compares with
//! the scopes that an app has.

mod ask;
mod needs;
mod probe;
mod remedy;
mod steps;
#[cfg(test)]
mod tests;

pub use self::needs::{CALLBACKS, EVENTS, Need, SCOPES, Scope, Subscription, missing, scopes_json};
pub use self::probe::{Bot, Findings, probe};
pub use self::steps::{Step, steps};
