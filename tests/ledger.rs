//! The ledger through its public face: what it promises to those who build on it.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod behaviour;
mod child;
mod crash;
mod disk_full;
mod fixture;
mod gate;
mod model;
