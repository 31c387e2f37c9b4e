//! The durable record of every message, turn and reply: the only place that knows the database.
//!
//! Its interface speaks of messages, lanes, turns and posts; trees, keys and files stay inside, so
//! that another engine can serve the same interface.
//!
//! **Invariants.** A method returns only when its effect is on disk, and the effect is there whole
//! or not at all. States change only by the pure functions `on` of their types. No value in the
//! database is larger than a bound that its type enforces. Nothing here knows a platform, Codex or
//! the configuration.
//!
//! - [`Ledger`]: the handle; `handle`, `door`, `settings`, `command`
//! - `message`, `completion`, `call`, `approval`, `teammate`, `task`, `run`, `session`, `keyed`, `story`, `admission`, `pairing`, `lane`, `order`, `post`, `history`, `dispatcher`, `restart`, `counts`,
//!   `health`, `error`: what it speaks of
//! - `writer`: the one thread that has the database, and how it heals
//! - `operation`, `transaction`: what commands do, and how a group of them becomes one commit
//! - `lock`, `store`, `watchdog`, `spool`, `opening`, `migration`: the files; `copy` backs them up,
//!   `inspection` looks at them
//! - `key`, `value`, `time`: the encoding

mod admission;
mod approval;
mod call;
mod command;
mod completion;
mod copy;
mod counts;
mod dispatcher;
mod door;
mod error;
#[cfg(test)]
pub(crate) mod flaky;
mod handle;
mod health;
mod history;
mod inspection;
mod key;
mod keyed;
mod lane;
mod lock;
mod message;
mod migration;
mod opening;
mod operation;
mod order;
mod pairing;
mod post;
mod restart;
mod run;
mod session;
mod settings;
mod spool;
mod store;
mod story;
mod task;
mod teammate;
mod time;
mod transaction;
mod value;
mod watchdog;
mod writer;

#[cfg(test)]
mod tests;

pub use self::admission::{Admission, Admitted, Conditions, Fate, Limit, Performed};
pub use self::approval::{
    ApprovalEvent, ApprovalKind, ApprovalRecord, ApprovalState, Asked, Decider, Decision,
    MAX_ASIDE, MAX_OPEN_APPROVALS, MAX_WANTED, NewApproval, Ruled, Ruling, VoidReason, Voided,
    Wanted,
};
pub use self::call::{CallRecord, Done, MAX_CALL_NAME, NewCall};
pub use self::completion::{
    CompletionEvent, CompletionRecord, CompletionState, CompletionStatus, Hold,
    MAX_TURN_COMPLETIONS, NewCompletion, Reported, Return,
};
pub use self::counts::{Counts, MessageCounts, PostCounts};
pub use self::dispatcher::{DispatcherRecord, Lifecycle};
pub use self::error::{IllegalTransition, LedgerError, OpenError};
pub use self::handle::Ledger;
pub use self::health::LedgerHealth;
pub use self::history::HistoryMark;
pub use self::inspection::{Inspection, inspect};
pub use self::keyed::{IdempotencyKey, MAX_IDEMPOTENCY_KEY, Once, RequestDigest};
pub use self::lane::{
    LaneRecord, LostThread, MAX_REMEMBERED, MAX_TOLD, MAX_TURN_MESSAGES, OpenTurn, Origin, Owner,
    Reach, SettledTurn, Stop, Trouble, TurnEvent, TurnPhase,
};
pub use self::message::{
    Accepted, MessageEvent, MessageRecord, MessageState, NewMessage, Outcome, Revised,
};
pub use self::operation::Expired;
pub use self::order::{
    KeptThread, LaneModel, LaneOrder, LaneWish, MAX_BEGINNING, MAX_KEPT, MAX_ORDERS, NewStop,
    OrderEffect, OrderPhase, OrderRefusal, Orderer, Stopped, StoppedTurn, Which, Withdrawn,
};
pub use self::pairing::{
    Confirmation, Guest, Host, INVITATION_LIFE, INVITATION_REPEAT, Invitation, MAX_INVITATIONS,
    NotACode, Paired, PairingCode, PairingError,
};
pub use self::post::{Edit, NewPost, OutboxEntry, PostEvent, PostState, Reaction, SentFile};
pub use self::restart::{MAX_NOTICE, Restart};
pub use self::run::{
    MAX_WAITING_RUNS, NewRun, RUN_PREFIX, RunDetails, RunEnd, RunEnding, RunEnvironment, RunEvent,
    RunFilter, RunOrder, RunPage, RunRecord, RunResult, RunState,
};
pub use self::session::{
    Began, Effective, MAX_METADATA, MAX_PURPOSE, MAX_SESSIONS, MAX_WAITING_TURNS, NewSession,
    NewTurn, SessionChange, SessionClosed, SessionError, SessionRecord, SessionState, TurnAccepted,
    TurnStopped,
};
pub use self::settings::{KEY_RETENTION, LedgerSettings, MIN_DEDUP_RETENTION};
pub use self::story::{
    About, EndedTurn, Found, MAX_FOUND, MessageFilter, PastState, Saying, Story, StoryTurn,
};
pub use self::task::{
    Asker, NewTask, TEAMMATE_PREFIX, TaskEvent, TaskRecord, TaskReport, TaskState,
};
pub use self::teammate::{
    Halt, Halted, MAX_WAITING_TASKS, NewTeammate, Order, Ordered, RosterError, TeammateRecord,
    Workspace, WorktreeFate,
};
pub use self::writer::LedgerThread;
