//! How long people in Feishu wait, measured and printed, asserted nowhere:
//! `cargo bench --bench feishu`.
//!
//! Feishu's pace is nearly four posts a second in each group, sixteen a second in all.
#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/waits.rs"]
mod waits;

use support::feishu::{Feishu, Options};

fn main() {
    waits::print::<Feishu>(Options::default);
}
