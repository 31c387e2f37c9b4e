//! How long people in Slack wait, measured and printed, asserted nowhere:
//! `cargo bench --bench slack`.
//!
//! Slack's pace is a post a second in each channel, twenty a second in all.
#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/waits.rs"]
mod waits;

use support::slack::{Options, Slack};

fn main() {
    waits::print::<Slack>(Options::default);
}
