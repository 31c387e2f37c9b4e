//! The only place that knows the Codex app-server: its process, its socket, its protocol.
//!
//! Knows nothing of chats, dispatchers or the ledger. From the bottom up:
//!
//! - [`binary`], [`home`] and the launch configuration say what is run and where;
//! - a [`Spawner`] starts children from a thread that outlives them, and the registry remembers them
//!   on disk, so that [`reap_orphans`] finds what a killed daemon has left;
//! - an [`AppServer`] is a process, ours or not, that has been greeted and given its skills: there is
//!   no unready one;
//! - a [`Client`] is one connection to it; it dies with the connection and is never revived;
//! - a [`Thread`] is a conversation on that connection, a [`Turn`] the one thing it does at a time;
//! - [`rollout`] and the history methods of [`Client`] tell after a crash what a thread really has.
//!
//! Invariants:
//!
//! - When an exit is reported nothing of the child is left: no process, no socket, no file.
//! - Everybody who waits is told why when a connection ends; nobody waits without a deadline.
//! - Every request of the server is answered, and every queue is bounded.
//! - A turn is settled exactly once.
//! - What the model thinks is not even parsed.
//!
//! Policy is not here: when to restart, what to send again, and what to tell people.

mod app_server;
pub mod binary;
mod call;
mod child;
mod client;
mod connect;
mod connection;
mod credentials;
mod diagnose;
mod failure;
mod history;
pub mod home;
mod launch;
mod notice;
mod output;
mod process;
mod profile;
pub mod protocol;
mod registry;
pub mod rollout;
mod skills;
mod snapshot;
mod spawner;
mod start;
mod start_error;
mod stats;
mod thread;
mod turn;
mod wire;

pub use app_server::{AppServer, Launch};
pub use call::{CallError, Refusal};
pub use child::ExitReport;
pub use client::{Client, ThreadEvent, ThreadEvents};
pub use connect::ConnectError;
pub use connection::{DeclineAll, Liveness, ServerRequests};
pub use credentials::{Credentials, credentials_of};
pub use diagnose::{Check, diagnose, try_out};
pub use failure::{Failure, FailureKind};
pub use history::{FoundTurn, HistoryError};
pub use launch::{Deadlines, Endpoint, Environment, LaunchConfig, Transport, TransportError};
pub use notice::{FrameError, Notice};
pub use output::error_log;
pub use profile::{Catalog, Profile, ProfileError};
pub use registry::{Orphan, RunDirError, reap_orphans};
pub use skills::SkillsWarning;
pub use snapshot::{ChildSnapshot, ChildState, StopReport};
pub use spawner::{Spawner, SpawnerGone};
pub use start::ServerFacts;
pub use start_error::StartError;
pub use stats::ClientStats;
pub use thread::Thread;
pub use turn::{
    Interrupter, Lost, LostReason, Noise, ToolKind, ToolUse, Turn, TurnEnd, TurnEvent, TurnOptions,
};
pub use wire::CloseReason;
