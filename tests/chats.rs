//! What holds for every chat service: scenarios that the tests of each run with options of its own.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

pub(crate) mod calls;
pub(crate) mod commands;
pub(crate) mod connections;
pub(crate) mod disk;
pub(crate) mod events;
pub(crate) mod kills;
pub(crate) mod load;
pub(crate) mod pace;
pub(crate) mod reactions;
pub(crate) mod teammates;
