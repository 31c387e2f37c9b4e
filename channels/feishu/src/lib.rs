//! Feishu and Lark, as a channel: the long connection brings what is said, the Open API takes what
//! is answered.
//!
//! - [`Settings`]: what a daemon makes a channel of
//! - [`registration`]: making an app by scanning a QR code
//! - [`setup`]: what an app needs in the developer console
//! - `frame`, `parts`: what goes over the long connection
//! - `discovery`: where the long connection is
//! - `api`: what the answers of the Open API mean
//! - `connection`: how long connections are opened, events and their acknowledgement
//! - `status`, `names`, `files`, `history`: reactions, names, attachments, reading back
//! - `topics`: what to reply to in a topic
//! - `get`: the calls that read
//! - `bots`, `tenant`: which name another bot counts under, which organisation is ours
//! - `button`: what a button carries
//! - `fence`: blocks of code
//! - `inbound`: from Feishu's events to ours
//! - `outbound`: from our posts to Feishu's messages

mod account;
mod api;
mod bots;
mod button;
mod channel;
mod connection;
mod discovery;
mod fence;
mod files;
mod frame;
mod get;
mod history;
mod inbound;
mod names;
mod outbound;
mod parts;
pub mod registration;
#[cfg(test)]
mod scripted;
mod settings;
pub mod setup;
mod status;
mod tenant;
mod topics;

pub use self::channel::FeishuChannel;
pub use self::settings::Settings;
