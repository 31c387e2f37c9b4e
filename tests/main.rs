//! Tests that need more than one module, in one binary.

mod api;
mod approvals;
mod chats;
mod cli;
mod codex;
mod completions;
mod console;
mod demo;
mod dispatcher;
mod events;
mod faults;
mod feishu;
mod ledger;
mod operate;
mod runs;
mod sessions;
mod slack;
mod support;
mod teammates;
mod tools;
