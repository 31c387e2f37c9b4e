//! What a chat platform must do to carry tieline's messages.
//!
//! A channel is one connection to one platform account. It turns what happens there into
//! [`Event`]s, hands them to [`Intake::accept`], and acknowledges them to the platform only when
//! that call has returned. In the other direction it carries [`Post`]s and the small gestures
//! around them. It knows its platform, and nothing of Codex, queues or other channels.
//!
//! - [`id`]: the names of channels, chats, people and messages
//! - [`inbound`]: what comes in
//! - [`outbound`]: what goes out
//! - [`emoji`]: what can be put on a message
//! - [`capability`]: what a platform can and cannot do
//! - [`error`]: failures, cut by what to do about them
//! - [`health`]: whether the connection lives
//! - [`language`]: what people are spoken to in
//! - [`channel`]: the trait itself
//! - [`retry`]: when to try again
//! - [`lookups`]: names, asked for once and remembered for a while
//! - [`setup`]: what a check of an app finds wrong
//! - [`socket`]: a private Unix socket, for what listens on this machine
//! - `conformance`: the suite that every channel passes (feature `conformance`)

pub mod capability;
pub mod channel;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod emoji;
mod ends;
pub mod error;
pub mod health;
pub mod id;
pub mod inbound;
pub mod language;
pub mod lookups;
pub mod outbound;
pub mod retry;
pub mod setup;
pub mod socket;

pub use crate::capability::{Capabilities, Repeat, TextLimit, TextUnit};
pub use crate::channel::{Channel, Intake};
pub use crate::emoji::Emoji;
pub use crate::ends::Ends;
pub use crate::error::{AcceptError, RunError, SendError, WithCauses};
pub use crate::health::{Health, Link};
pub use crate::id::{ChannelId, ChatId, ThreadKey, UserId, WireId};
pub use crate::inbound::{
    Attachment, CaughtUp, ChatKind, Conversation, Event, EventKey, EventKind, Happening, Message,
    Press, Quote, Receipt, RefusalReason, Said, Segment, Sender, SenderKind, cut, plain_text,
};
pub use crate::language::{Language, Text};
pub use crate::outbound::{
    Button, File, FileContent, Post, PostKey, PostKind, Posted, Status, with_choices,
};
