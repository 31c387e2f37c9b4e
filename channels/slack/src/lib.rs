//! Slack, as a channel: Socket Mode brings what is said, the Web API takes what is answered.
//!
//! - [`Settings`], [`SlackChannel`]: what a daemon makes a channel of
//! - [`setup`]: the app's manifest, and a check of its tokens that says what is missing
//! - `web`: calls of the Web API: tokens, pacing, errors
//! - `socket`: Socket Mode: how connections are opened, envelopes and their acknowledgement
//! - `inbound`: from Slack's events to ours; mrkdwn to Markdown
//! - `outbound`: from our posts to Slack's messages; Markdown to blocks
//! - `status`: reactions and the native status
//! - `files`: attachments in and out
//! - `history`: reading back what was missed, and what a thread said before

mod account;
mod channel;
mod files;
mod history;
mod inbound;
mod outbound;
#[cfg(test)]
mod scripted;
mod settings;
pub mod setup;
mod socket;
mod status;
mod web;

pub use self::channel::SlackChannel;
pub use self::settings::Settings;
