//! The only place that knows the Codex app-server: its process, its socket, its protocol.

mod app_server;
pub mod binary;
mod call;
mod child;
mod client;
mod connect;
mod connection;
mod failure;
mod history;
pub mod home;
mod launch;
mod output;
mod process;
pub mod protocol;
mod registry;
pub mod rollout;
mod spawner;
mod thread;
mod turn;
mod wire;

pub use app_server::{
    AppServer, ChildSnapshot, ChildState, Launch, ServerFacts, StartError, StopReport,
};
pub use call::{CallError, Refusal};
pub use child::ExitReport;
pub use client::{Client, ClientStats, FrameError, Notice, ThreadEvent, ThreadEvents};
pub use connect::ConnectError;
pub use connection::{DeclineAll, Liveness, ServerRequests};
pub use failure::{Failure, FailureKind};
pub use history::{FoundTurn, HistoryError};
pub use launch::{Deadlines, Endpoint, Environment, LaunchConfig, Transport, TransportError};
pub use registry::{Orphan, RunDirError, reap_orphans};
pub use spawner::{Spawner, SpawnerGone};
pub use thread::Thread;
pub use turn::{
    Interrupter, Lost, LostReason, ToolKind, ToolUse, Turn, TurnEnd, TurnEvent, TurnOptions,
};
pub use wire::CloseReason;
