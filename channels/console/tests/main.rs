//! The console over its real socket, in one binary.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod conformance;
mod protocol;
mod support;
mod terminal;
