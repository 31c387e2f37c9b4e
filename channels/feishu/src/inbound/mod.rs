//! From what Feishu delivers to what happened.
//!
//! Feishu adds fields and types as it likes, so everything that is not needed is optional: a
//! message whose content nobody understands still is a message, which says so.
//!
//! - `message`, `press`: what events tell
//! - `readback`: the same of messages that are read back
//! - `content`, with `rich`, `card` and `mention`: what a message says
//! - `lookup`, with `glimpse` and `forward`: what an event does not tell
//!
//! **Architecture Invariant:** only `lookup` and `glimpse` do IO. What an event does not tell is listed as
//! [`Lack`], for whoever can look it up.

mod body;
mod card;
mod content;
pub(crate) mod fields;
mod forward;
mod glimpse;
pub(crate) mod lookup;
mod mention;
mod message;
mod press;
mod readback;
mod rich;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use serde_json::Value;
use tieline_channel::{Event, ThreadKey, WireId};

use self::fields::Fields as _;
pub(crate) use self::glimpse::Glimpses;
pub(crate) use self::readback::{said, sender as sender_of, written};
use crate::api::brief;

/// Who we are: from `bot/v3/info` and the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The bot, as this app names it: `ou_…`.
    pub(crate) open_id: String,
    /// The app: `cli_…`.
    pub(crate) app_id: String,
}

/// What an event means to us.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is made and taken apart at once"
)]
pub(crate) enum Delivered {
    /// Something happened: acknowledge it once it is on disk.
    Event {
        /// What.
        event: Event,
        /// What it does not tell, in the order of use.
        lacks: Vec<Lack>,
        /// The first message of the thread that a message is in, or begins.
        first: Option<WireId>,
    },
    /// Nothing of ours; acknowledge it. Says why, for the log.
    Nothing(String),
}

/// What an event does not tell of a message, and a call would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Whether the message is in a topic. Its first message tells.
    Topic(WireId),
    /// The text of the message that it quotes; until it is looked up, the quote's text is empty.
    QuotedText(WireId),
    /// The whole of what it says; the message itself tells.
    Content(content::Partial),
    /// Who wrote the message that was taken back, and in which thread; it still tells.
    Author(WireId),
}

/// Reads an event or a callback.
fn read(payload: &Value, us: &Identity, now: SystemTime) -> Delivered {
    let Some(kind) = payload.text("/header/event_type") else {
        return Delivered::nothing("an event without a type");
    };
    match kind {
        "im.message.receive_v1" => message::received(payload, us, now),
        "im.message.recalled_v1" => message::recalled(payload),
        "card.action.trigger" => press::pressed(payload),
        "im.chat.member.bot.added_v1" => Delivered::nothing("the bot was added to a chat"),
        "im.chat.member.bot.deleted_v1" => Delivered::nothing("the bot was removed from a chat"),
        other => Delivered::Nothing(format!("an event of type {}", brief(other))),
    }
}

/// Returns whether a thread is a topic, where answers go as replies in the topic; otherwise it is a
/// chain of replies, named by its first message.
pub(crate) fn is_topic(thread: &ThreadKey) -> bool {
    thread.as_str().starts_with("omt_")
}

impl Delivered {
    fn event(event: Event) -> Self {
        Self::Event {
            event,
            lacks: Vec::new(),
            first: None,
        }
    }

    fn nothing(reason: &str) -> Self {
        Self::Nothing(reason.to_owned())
    }
}
