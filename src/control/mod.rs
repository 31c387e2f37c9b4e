//! HTTP on a Unix socket: looks at everything, owns nothing.
//!
//! The daemon serves it on `<state_dir>/control.sock`, which only its own user may open. Every
//! answer is JSON; one that is not a success is `{"error": {"code": …, "message": …, "hint": …}}`.
//!
//! - [`status`]: what the daemon tells about itself
//! - [`pairings`]: who asks to be let in, and who was
//! - [`lane_orders`]: what is ordered about a lane
//! - [`dispatchers`], [`lanes`]: who works, and on what
//! - [`messages`]: what became of the messages
//! - [`events`]: what happens
//! - [`health`], [`metrics`]: for those who watch over it
//! - [`completions`]: results that are reported from outside
//! - [`teammates`]: who works for a dispatcher, and what is ordered
//! - [`runs`]: one-off runs
//! - [`approvals`]: what the model wants and people decide
//! - [`sessions`]: conversations of programs, and their turns
//! - [`restart`]: having the daemon restart
//! - [`error`]: what is wrong, by name
//! - `body`, `key`: what a request says, and under which key it can be repeated
//! - [`server`]: the routes, and who is served
//! - [`client`], [`stream`]: the other end, for the command line
//!
//! **Invariant**: nothing here keeps state of its own; what is told is asked for when it is told.

pub mod approvals;
mod body;
pub mod client;
pub mod completions;
#[cfg(test)]
mod described;
pub mod dispatchers;
pub mod error;
pub mod events;
pub mod health;
#[cfg(test)]
mod hostile;
mod key;
pub mod lane_orders;
pub mod lanes;
#[cfg(test)]
mod looks;
pub mod messages;
pub mod metrics;
pub mod pairings;
mod patient;
mod redaction;
pub mod restart;
pub mod runs;
pub mod server;
pub mod sessions;
pub mod status;
pub mod stream;
pub mod teammates;
#[cfg(test)]
mod tests;

pub use crate::control::approvals::{
    ApprovalStatus, Approvals, MAX_APPROVALS, NewDecision, outcome,
};
pub use crate::control::client::{
    Client, ClientError, dispatcher_route, lane_route, run_route, session_route,
    session_turn_route, teammate_route, teammates_route, with_query,
};
pub use crate::control::completions::{CompletionReceipt, CompletionReport, MAX_BODY};
pub use crate::control::dispatchers::{
    DispatcherCapabilities, DispatcherDetails, DispatcherOverview, Dispatchers, LaneCounts,
    ModelStatus,
};
pub use crate::control::error::Code;
pub use crate::control::health::{HealthStatus, Problem};
pub use crate::control::lane_orders::{
    LaneAction, LaneOrderTaken, LaneStopped, LaneThreadsStatus, NewLaneOrder, ThreadStatus,
};
pub use crate::control::lanes::{
    ConversationStatus, LaneDetails, LaneOverview, Lanes, LostThreadStatus, QueuedMessage,
};
pub use crate::control::messages::{
    BroughtUp, MAX_MESSAGES, MessageStatus, MessageStory, Messages, PostStatus, StateStatus,
    TurnStatus,
};
pub use crate::control::pairings::{OpenCode, PairedPerson, Pairings, Person};
pub use crate::control::restart::{
    NoRestarts, RestartOrder, RestartOrdered, RestartRefused, Restarts,
};
pub use crate::control::runs::{NewRun, RunDetails, RunStatus, RunsPage};
pub use crate::control::server::{Api, ControlServer, StatusSource};
pub use crate::control::sessions::{
    ChangedSession, Mode, NewSession, NewTurn, SessionEnded, SessionFailure, SessionStatus,
    Sessions, TurnInterrupted, TurnReceipt, TurnResult, Turns,
};
pub use crate::control::status::{
    ChannelStatus, ChildStatus, DispatcherStatus, HistoryStatus, LaneStatus, LastTurn,
    LedgerStatus, LoginProblem, OpenTurn, OutboxStatus, ProfileStatus, SandboxStatus, Status,
    StorageStatus, TeammateCounts,
};
pub use crate::control::stream::{EventStream, Streamed};
pub use crate::control::teammates::{
    DoingStatus, FurtherTask, NewTeammate, TaskDetails, TaskResult, TaskStatus, TeammateDetails,
    TeammateHalted, TeammateStatus, Teammates, WorkspaceStatus,
};
