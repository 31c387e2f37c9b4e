//! An event as it is written and read.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tieline_channel::ChannelId;

use super::event::Level;
use crate::id::{
    CompletionId, DispatcherId, LaneId, MessageId, OutboxId, RunId, SessionId, TaskId, ThreadId,
    TurnKey,
};

/// An event, as it lies on disk and as the API gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number: larger than that of every earlier one, also of earlier runs. Live output of commands
    /// has none, for it is kept nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When it happened.
    #[serde(with = "time")]
    pub at: SystemTime,
    /// Whether somebody should look at it.
    pub level: Level,
    /// What it is, by a name that stays: `turn.started`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same as one sentence for people, which may change.
    pub message: String,
    /// What it is about.
    #[serde(flatten)]
    pub about: About,
    /// What else there is to say, by type.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// How many events before this one found no place on disk.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
}

/// What an event is about: as much of it as there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The dispatcher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispatcher: Option<DispatcherId>,
    /// The lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<LaneId>,
    /// Our name of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnKey>,
    /// The Codex thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// The message of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// The teammate, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teammate: Option<String>,
    /// The task of a teammate, or the turn of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The session of a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelId>,
    /// Our name of the result that was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<CompletionId>,
    /// The entry of the outbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post: Option<OutboxId>,
    /// The one-off run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Times as RFC 3339 in UTC with milliseconds.
mod time {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(de::Error::custom)
    }
}
