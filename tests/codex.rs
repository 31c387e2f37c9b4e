//! The app-server client: against the real Codex for what it can show, against a fake one that
//! misbehaves for the rest.

mod child;
mod faults;
mod orphans;
mod schema;
mod stage;
mod turns;
