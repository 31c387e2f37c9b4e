//! What the tests share: the pinned Codex and the scripted model.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![allow(dead_code, reason = "not every helper is used on every platform")]

pub(crate) mod codex;
pub(crate) mod crowd;
pub(crate) mod daemon;
pub(crate) mod fake_app_server;
pub(crate) mod feishu;
pub(crate) mod foreman;
pub(crate) mod mock;
pub(crate) mod model;
pub(crate) mod platform;
pub(crate) mod proxied;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod running;
pub(crate) mod scan;
pub(crate) mod service;
pub(crate) mod slack;
