//! The app-server client: against the real Codex for what it can show, against a fake one that
//! misbehaves for the rest.
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod child;
mod faults;
mod lazy;
mod orphans;
mod schema;
mod stage;
mod turns;
