//! Tests that look inside. What can be seen from outside is tested in `tests/ledger.rs`.

mod approvals;
mod calls;
mod completions;
mod conversations;
mod fixture;
mod healing;
mod keyed;
mod opening;
mod orders;
mod power;
mod runs;
mod sessions;
mod store;
mod teammates;
mod transitions;
