//! Slack, against a strict mock of it.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod commands;
mod conformance;
mod connection;
mod faults;
mod features;
mod mock;
mod pace;
mod reactions;
mod teammates;
mod whole;
