//! Feishu and Lark, as a channel: the long connection brings what is said, the Open API takes what
//! is answered.
//!
//! - [`Settings`]: what a daemon makes a channel of
//! - [`registration`]: making an app by scanning a QR code
//! - [`setup`]: what an app needs in the developer console
//! - `frame`, `parts`: what goes over the long connection
//! - `discovery`: where the long connection is
//! - `api`: what the answers of the Open API mean
//! - `button`: what a button carries
//! - `fence`: blocks of code
//! - `inbound`: from Feishu's events to ours
//! - `outbound`: from our posts to Feishu's messages

#[cfg_attr(
    not(test),
    allow(dead_code, reason = "the connection that uses it comes next")
)]
mod api;
mod button;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the connection that uses it comes next")
)]
mod discovery;
mod fence;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the connection that uses it comes next")
)]
mod frame;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the connection that uses it comes next")
)]
mod inbound;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the connection that uses it comes next")
)]
mod outbound;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the connection that uses it comes next")
)]
mod parts;
pub mod registration;
mod settings;
pub mod setup;

pub use self::settings::{Language, Settings};
