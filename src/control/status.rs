//! What the daemon tells about itself: the answer of `GET /v1/status`.
//!
//! Times are RFC 3339 in UTC with milliseconds. Fields may be added; a reader passes over those
//! that it does not know.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tieline_channel::{ChannelId, Health, Link};

use crate::id::{DispatcherId, LaneId, SessionId, ThreadId, TurnKey};
use crate::ledger::Lifecycle;

/// The daemon at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of tieline.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
    /// When the daemon was started.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// The configuration file it was started with.
    pub config: PathBuf,
    /// Where it keeps its state.
    pub state_dir: PathBuf,
    /// The dispatchers, by name.
    pub dispatchers: Vec<DispatcherStatus>,
    /// The channels, by name.
    pub channels: Vec<ChannelStatus>,
    /// The record of messages.
    pub ledger: LedgerStatus,
    /// What is on its way out.
    pub outbox: OutboxStatus,
}

/// A dispatcher at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DispatcherStatus {
    /// Its name in the configuration.
    pub id: DispatcherId,
    /// How far it is.
    pub state: Lifecycle,
    /// Since when it is so.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// When its app-server was last started.
    #[serde(with = "rfc3339::option", default)]
    pub last_started_at: Option<SystemTime>,
    /// Its last failure, in one sentence.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What commands of the model may do, and who said so.
    #[serde(default)]
    pub sandbox: Option<SandboxStatus>,
    /// The profile that it has.
    #[serde(default)]
    pub profile: Option<ProfileStatus>,
    /// Why Codex cannot sign in to its model, if it cannot: messages are kept until it can.
    #[serde(default)]
    pub login_problem: Option<LoginProblem>,
    /// What is wrong with it and does not keep it from working, each in one sentence.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// How often its app-server was replaced since the daemon started.
    pub restarts: u64,
    /// Its app-server.
    #[serde(default)]
    pub child: Option<ChildStatus>,
    /// Its lanes that have, or had, something to do; not those of teammates that have left.
    pub lanes: Vec<LaneStatus>,
    /// How many inputs wait for a turn, over all lanes.
    pub waiting: u64,
    /// How its teammates are.
    #[serde(default)]
    pub teammates: TeammateCounts,
}

/// What commands of the model may do, and who said so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// What the configuration says.
    pub requested: String,
    /// What holds.
    pub effective: String,
    /// Where that comes from: `configuration`, `default`, or the variable that narrows it.
    pub source: String,
    /// What Codex said of the thread that was loaded last; absent until one was, since the daemon was
    /// started.
    #[serde(default)]
    pub observed: Option<String>,
}

/// A profile, without any value that must not be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The preset that it begins with.
    #[serde(default)]
    pub preset: Option<String>,
    /// What its model provider is called; Codex's own configuration decides when absent.
    #[serde(default)]
    pub provider: Option<String>,
    /// The model that is asked for; Codex's own configuration decides when absent.
    #[serde(default)]
    pub model: Option<String>,
    /// How many tokens the model may have in view, if that is said.
    #[serde(default)]
    pub context_window: Option<u64>,
    /// The variables that hold its credentials.
    pub credentials: Vec<String>,
    /// Its private home, if it has one.
    #[serde(default)]
    pub home: Option<PathBuf>,
    /// Where rollouts are kept, if not in the home.
    #[serde(default)]
    pub storage: Option<StorageStatus>,
}

/// Where rollouts are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// What it is called.
    pub name: String,
    /// The directory, such as where a volume is mounted.
    pub path: PathBuf,
    /// The directory below it.
    #[serde(default)]
    pub subdir: Option<PathBuf>,
    /// Whether anything of what is in it is shown: never.
    pub values_printed: bool,
}

/// That Codex cannot sign in to its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoginProblem {
    /// Since when.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// The name of the failure: `provider-auth-failed` or `secret-unavailable`.
    pub kind: String,
    /// The cause, in Codex's words or the provider's.
    pub message: String,
    /// What mends it: a command, or which key to set.
    pub remedy: String,
}

/// How many of a dispatcher's teammates are at what; those that have left do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeammateCounts {
    /// They have a turn.
    pub working: u64,
    /// Their tasks wait.
    pub waiting: u64,
    /// They have nothing to do.
    pub idle: u64,
}

/// The app-server of a dispatcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildStatus {
    /// How it is, in a word of the codex module.
    pub state: String,
    /// Its process; absent when somebody else runs it.
    #[serde(default)]
    pub pid: Option<u32>,
    /// When it was started.
    #[serde(with = "rfc3339::option", default)]
    pub started_at: Option<SystemTime>,
    /// The version it reports.
    #[serde(default)]
    pub version: Option<String>,
}

/// A lane at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Which lane.
    pub id: LaneId,
    /// The teammate that works on it; absent for conversations.
    #[serde(default)]
    pub teammate: Option<String>,
    /// The session that a program has on it.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Its Codex thread, once it has one.
    #[serde(default)]
    pub thread: Option<ThreadId>,
    /// How it is, in a word of the dispatcher module.
    pub state: String,
    /// How many inputs wait for a turn.
    pub waiting: u64,
    /// The turn in flight.
    #[serde(default)]
    pub open_turn: Option<OpenTurn>,
    /// The turn that ended last.
    #[serde(default)]
    pub last_turn: Option<LastTurn>,
}

/// How the last turn of a lane ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastTurn {
    /// Our name of it.
    pub id: TurnKey,
    /// `answered`, `failed`, `cancelled` or `unclear`.
    pub outcome: String,
    /// The name of the failure, if it failed.
    #[serde(default)]
    pub failure: Option<String>,
    /// The cause, in words for operators.
    #[serde(default)]
    pub cause: Option<String>,
    /// When it was settled.
    #[serde(with = "rfc3339")]
    pub settled_at: SystemTime,
}

/// A turn in flight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenTurn {
    /// Our name of it.
    pub id: TurnKey,
    /// When it was started.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// How many decisions of people it waits for.
    #[serde(default)]
    pub approvals: u32,
}

/// A channel at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its name in the configuration.
    pub id: ChannelId,
    /// The kind of platform.
    pub kind: String,
    /// How its connection is.
    pub state: Link,
    /// Since when it is so.
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// When something last came in, be it a message or a sign of life.
    #[serde(with = "rfc3339::option", default)]
    pub heard_at: Option<SystemTime>,
    /// The last failure, with what to do about it.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What reading back has come to; absent where the platform has no history.
    #[serde(default)]
    pub history: Option<HistoryStatus>,
}

/// What reading back a channel's history has come to since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryStatus {
    /// When everything readable was last read.
    #[serde(with = "rfc3339::option", default)]
    pub last_read_at: Option<SystemTime>,
    /// How many messages were found that had not come by the connection.
    pub missed: u64,
    /// How often the connection was found to bring nothing although it looked alive.
    #[serde(default)]
    pub deaf: u64,
    /// What cannot be read until somebody has changed something, each in one sentence.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// Why the last reading failed, if it did.
    #[serde(default)]
    pub last_error: Option<String>,
}

impl ChannelStatus {
    /// Tells a channel's health, and what reading back has come to.
    pub fn new(id: ChannelId, kind: &str, health: Health, history: Option<HistoryStatus>) -> Self {
        let Health {
            link,
            since,
            heard_at,
            last_error,
        } = health;
        Self {
            id,
            kind: kind.to_owned(),
            state: link,
            since,
            heard_at,
            last_error,
            history,
        }
    }
}

/// The record of messages at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LedgerStatus {
    /// How it is, in a word of the ledger module.
    pub state: String,
    /// What it takes on disk, in bytes.
    pub size_bytes: u64,
    /// How many messages are in each state.
    pub messages: BTreeMap<String, u64>,
}

/// What is on its way out, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// What waits.
    pub pending: u64,
    /// What is being sent.
    pub sending: u64,
    /// What will not be sent.
    pub failed: u64,
    /// What may or may not have been sent.
    pub unclear: u64,
}

/// Times as text, for `#[serde(with = …)]`: RFC 3339 in UTC with milliseconds.
pub mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes a time.
    ///
    /// # Errors
    ///
    /// As the serializer.
    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    /// Reads a time.
    ///
    /// # Errors
    ///
    /// When it is not RFC 3339.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(de::Error::custom)
    }

    /// The same for times that may be absent.
    pub mod option {
        use std::time::SystemTime;

        use serde::{Deserialize, Deserializer, Serializer, de};

        /// Writes a time, or null.
        ///
        /// # Errors
        ///
        /// As the serializer.
        pub fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a time, or null.
        ///
        /// # Errors
        ///
        /// When it is neither.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| humantime::parse_rfc3339(&text).map_err(de::Error::custom))
                .transpose()
        }
    }
}
