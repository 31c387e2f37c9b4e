//! What we ask of the app-server.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::item::Item;
use super::thread::{
    ThreadForkParams, ThreadInfo, ThreadOpened, ThreadResumeParams, ThreadStartParams,
};
use super::turn::{
    InjectedItem, TurnInfo, TurnItemsView, TurnStartParams, TurnStartResponse, UserInput,
};
use crate::id::{ThreadId, TurnId};

/// A request: its name, what goes in and what comes out.
pub trait Method {
    /// The name on the wire.
    const NAME: &'static str;
    /// How long an answer may take, unless the caller says otherwise.
    const DEADLINE: Duration = Duration::from_secs(10);
    /// What goes in. Serialises to an object: the server wants one even when it is empty.
    type Params: Serialize;
    /// What comes out.
    type Response: DeserializeOwned;
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $wire:literal($params:ty) -> $response:ty $(, $deadline:expr)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl Method for $name {
                const NAME: &'static str = $wire;
                $(const DEADLINE: Duration = $deadline;)?
                type Params = $params;
                type Response = $response;
            }
        )*

        /// Returns the names of all methods we use, to be held against the schema.
        pub fn method_names() -> &'static [&'static str] {
            &[$($wire),*]
        }
    };
}

/// A thread may wait for its MCP servers, each up to 30 s, and a long history takes seconds to read.
const OPEN_DEADLINE: Duration = Duration::from_secs(90);

methods! {
    /// The handshake.
    Initialize = "initialize"(InitializeParams) -> InitializeResponse;
    /// Makes a thread; the connection is subscribed to it.
    ThreadStart = "thread/start"(ThreadStartParams) -> ThreadOpened, OPEN_DEADLINE;
    /// Loads a stored thread and subscribes the connection to it.
    ThreadResume = "thread/resume"(ThreadResumeParams) -> ThreadOpened, OPEN_DEADLINE;
    /// Copies a stored thread, and subscribes the connection to the copy.
    ThreadFork = "thread/fork"(ThreadForkParams) -> ThreadOpened, OPEN_DEADLINE;
    /// Describes a thread, loaded or not.
    ThreadRead = "thread/read"(ThreadReadParams) -> ThreadReadResponse;
    /// Lists turns, newest first.
    ThreadTurnsList = "thread/turns/list"(ThreadTurnsListParams) -> ThreadTurnsListResponse;
    /// Lists items of all turns or of one.
    ThreadItemsList = "thread/items/list"(ThreadItemsListParams) -> ThreadItemsListResponse;
    /// Names a thread. Creates its rollout if it has none, and so makes it resumable.
    ThreadNameSet = "thread/name/set"(ThreadNameSetParams) -> Empty;
    /// Ends the connection's subscription.
    ThreadUnsubscribe = "thread/unsubscribe"(ThreadRef) -> ThreadUnsubscribeResponse;
    /// Ends the commands that a thread runs in the background.
    ThreadBackgroundTerminalsClean = "thread/backgroundTerminals/clean"(ThreadRef) -> Empty;
    /// Starts a compaction, which is a turn of its own; interrupts a running turn.
    ThreadCompactStart = "thread/compact/start"(ThreadRef) -> Empty;
    /// Adds to a thread's history. Durable at its answer on an idle thread only.
    InjectItems = "thread/inject_items"(InjectItemsParams) -> Empty;
    /// Starts a turn; on a busy thread it is folded into the running one.
    TurnStart = "turn/start"(TurnStartParams) -> TurnStartResponse;
    /// Adds to a running turn.
    TurnSteer = "turn/steer"(TurnSteerParams) -> TurnSteerResponse;
    /// Cuts a running turn short.
    TurnInterrupt = "turn/interrupt"(TurnInterruptParams) -> Empty;
    /// Sets the directories with our skills, for the whole process and in memory only.
    SkillsExtraRootsSet = "skills/extraRoots/set"(SkillsExtraRootsSetParams) -> Empty;
    /// Lists the skills, of which we want to know only the files that look like one and are none.
    SkillsList = "skills/list"(SkillsListParams) -> SkillsListResponse;
    /// Tells how the process fares.
    ServerDiagnostics = "server/diagnostics"(Empty) -> ServerDiagnosticsResponse;
}

/// An object without fields that we use.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Empty {}

/// The parameters of the handshake.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// Who we are.
    pub client_info: ClientInfo,
    /// What we want to use.
    pub capabilities: InitializeCapabilities,
}

/// Who we are; the name becomes part of an HTTP header.
#[derive(Clone, Debug, Serialize)]
pub struct ClientInfo {
    /// The name for machines.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The version.
    pub version: &'static str,
}

/// What we want to use.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeCapabilities {
    /// Methods and fields the protocol calls experimental.
    pub experimental_api: bool,
    /// Notifications we do not want.
    pub opt_out_notification_methods: &'static [&'static str],
}

/// The answer to the handshake.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResponse {
    /// Our name, codex's version and the platform.
    pub user_agent: String,
    /// The home in effect.
    pub codex_home: PathBuf,
    /// For example `linux`.
    pub platform_os: String,
}

/// Which thread.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadRef {
    /// The thread.
    pub thread_id: ThreadId,
}

/// The parameters of `thread/read`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadReadParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Whether its turns are wanted.
    pub include_turns: bool,
}

/// The answer to `thread/read`.
#[derive(Clone, Debug, Deserialize)]
pub struct ThreadReadResponse {
    /// The thread.
    pub thread: ThreadInfo,
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SortDirection {
    /// The oldest.
    Asc,
    /// The newest.
    Desc,
}

/// The parameters of `thread/turns/list`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadTurnsListParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// How many at most.
    pub limit: u32,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// How much of each.
    pub items_view: TurnItemsView,
}

/// The answer to `thread/turns/list`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadTurnsListResponse {
    /// The turns.
    pub data: Vec<TurnInfo>,
    /// Where to go on, unless this was the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// The parameters of `thread/items/list`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadItemsListParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Only items of this turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<TurnId>,
    /// How many at most.
    pub limit: u32,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Which end comes first.
    pub sort_direction: SortDirection,
}

/// The answer to `thread/items/list`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadItemsListResponse {
    /// The items.
    pub data: Vec<ThreadItemEntry>,
    /// Where to go on, unless this was the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// An item and the turn it belongs to.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadItemEntry {
    /// The turn.
    pub turn_id: TurnId,
    /// The item.
    pub item: Item,
}

/// The parameters of `thread/name/set`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadNameSetParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Its name.
    pub name: String,
}

/// The answer to `thread/unsubscribe`.
#[derive(Clone, Debug, Deserialize)]
pub struct ThreadUnsubscribeResponse {
    /// `unsubscribed`, `notSubscribed` or `notLoaded`.
    pub status: String,
}

/// The parameters of `thread/inject_items`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InjectItemsParams {
    /// The thread; it has to be loaded.
    pub thread_id: ThreadId,
    /// What to add; at least one.
    pub items: Vec<InjectedItem>,
}

/// The parameters of `turn/steer`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnSteerParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn that has to be running.
    pub expected_turn_id: TurnId,
    /// What to add.
    pub input: Vec<UserInput>,
    /// Recorded with the user message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_user_message_id: Option<String>,
}

/// The answer to `turn/steer`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnSteerResponse {
    /// The running turn.
    pub turn_id: TurnId,
}

/// The parameters of `turn/interrupt`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnInterruptParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// The turn; empty means whatever runs.
    pub turn_id: TurnId,
}

/// The parameters of `skills/extraRoots/set`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillsExtraRootsSetParams {
    /// Absolute paths of directories that hold skill directories. Replaces the list.
    pub extra_roots: Vec<PathBuf>,
}

/// The parameters of `skills/list`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillsListParams {
    /// The working directories whose skills are asked for.
    pub cwds: Vec<PathBuf>,
    /// Whether the files are looked at again.
    pub force_reload: bool,
}

/// The answer to `skills/list`.
#[derive(Clone, Debug, Deserialize)]
pub struct SkillsListResponse {
    /// What there is, for each working directory.
    pub data: Vec<SkillsListEntry>,
}

/// The skills of one working directory.
#[derive(Clone, Debug, Deserialize)]
pub struct SkillsListEntry {
    /// Files that look like skills and are none.
    #[serde(default)]
    pub errors: Vec<SkillErrorInfo>,
}

/// A file that looks like a skill and is none.
#[derive(Clone, Debug, Deserialize)]
pub struct SkillErrorInfo {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// The answer to `server/diagnostics`.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerDiagnosticsResponse {
    /// The process.
    pub process: ServerDiagnosticsProcess,
    /// Named figures.
    pub gauges: Vec<ServerDiagnosticsGauge>,
}

/// The process behind the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerDiagnosticsProcess {
    /// Its process id.
    pub id: u32,
    /// Its resident memory.
    #[serde(default)]
    pub resident_memory_bytes: Option<u64>,
}

/// A named figure, such as `core.turns.active`.
#[derive(Clone, Debug, Deserialize)]
pub struct ServerDiagnosticsGauge {
    /// The name.
    pub name: String,
    /// The figure.
    pub value: u64,
}
