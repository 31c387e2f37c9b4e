//! What became of the messages: the answer of `GET /v1/messages`.
//!
//! Times are as in [`status`](super::status).

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, ChatId, RefusalReason, ThreadKey, UserId, WireId};

use crate::control::status::rfc3339;
use crate::id::{LaneId, MessageId};

/// How many messages are told at most.
pub const MAX_MESSAGES: usize = 1_000;

/// The newest messages, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// One each.
    pub messages: Vec<MessageStatus>,
}

/// A message at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageStatus {
    /// Our name of it.
    pub id: MessageId,
    /// Where it came in.
    pub channel: ChannelId,
    /// The chat.
    pub chat: ChatId,
    /// The thread in it.
    #[serde(default)]
    pub thread: Option<ThreadKey>,
    /// The platform's name of it.
    pub message: WireId,
    /// Who wrote it.
    pub sender: UserId,
    /// Their name, if the platform told it.
    #[serde(default)]
    pub sender_name: Option<String>,
    /// The beginning of its text; empty for what was refused, of which none is kept.
    pub text: String,
    /// Its lane.
    pub lane: LaneId,
    /// `queued`, `in_turn`, `answered`, `failed`, `cancelled`, `unclear` or `refused`.
    pub state: String,
    /// Its place among those that wait in its lane: 1 is next. Absent beyond the first hundred.
    #[serde(default)]
    pub place: Option<usize>,
    /// How many decisions of people its turn waits for.
    #[serde(default)]
    pub approvals: u32,
    /// The name of the failure, if it failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// Why it was turned away, if it was refused.
    #[serde(default)]
    pub refusal: Option<RefusalReason>,
    /// When it was written, by the platform's clock.
    #[serde(with = "rfc3339")]
    pub sent_at: SystemTime,
    /// When it arrived here.
    #[serde(with = "rfc3339")]
    pub received_at: SystemTime,
    /// When it came to its state.
    #[serde(with = "rfc3339")]
    pub changed_at: SystemTime,
}
