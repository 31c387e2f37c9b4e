//! What the issue of a chat bot promises, as people see it: Slack, the daemon, Codex, a model.

mod access;
mod bots;
mod changes;
mod conversation;
mod files;
mod history;
mod marks;
mod newcomer;
mod pairing;
mod scene;
mod status;
mod tools;
