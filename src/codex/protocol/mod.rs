//! The part of the app-server's protocol that we use, as types.
//!
//! Written by hand for what we send and act on; everything else a server says is kept by name
//! only. Enums stay open: a variant that a newer codex adds is `Other`, never an error. A test
//! holds these types against the JSON schema that the real binary generates.

mod item;
mod method;
mod notification;
mod request;
mod thread;
mod turn;

pub use item::{AgentPhase, ChangeKind, FileChange, Item, ItemStatus};
pub use method::{
    ClientInfo, Empty, Initialize, InitializeCapabilities, InitializeParams, InitializeResponse,
    InjectItems, InjectItemsParams, Method, ServerDiagnostics, ServerDiagnosticsGauge,
    ServerDiagnosticsProcess, ServerDiagnosticsResponse, SkillErrorInfo, SkillsExtraRootsSet,
    SkillsExtraRootsSetParams, SkillsList, SkillsListEntry, SkillsListParams, SkillsListResponse,
    SortDirection, ThreadBackgroundTerminalsClean, ThreadCompactStart, ThreadFork, ThreadItemEntry,
    ThreadItemsList, ThreadItemsListParams, ThreadItemsListResponse, ThreadNameSet,
    ThreadNameSetParams, ThreadRead, ThreadReadParams, ThreadReadResponse, ThreadRef, ThreadResume,
    ThreadStart, ThreadTurnsList, ThreadTurnsListParams, ThreadTurnsListResponse,
    ThreadUnsubscribe, ThreadUnsubscribeResponse, TurnInterrupt, TurnInterruptParams, TurnStart,
    TurnSteer, TurnSteerParams, TurnSteerResponse, method_names,
};
pub use notification::{Notification, NotificationBody, PlanStep};
pub use request::{
    Answer, McpTool, RpcError, ServerRequest, ServerRequestKind, ToolAnswer, rights,
};
pub use thread::{
    ApprovalPolicy, Personality, SandboxMode, ThreadForkParams, ThreadInfo, ThreadOpened,
    ThreadResumeParams, ThreadSettings, ThreadStartParams, ThreadStatus,
};
pub use turn::{
    CodexErrorInfo, CollaborationMode, CollaborationModeKind, CollaborationSettings, InjectedItem,
    ReasoningSummary, Role, SandboxPolicy, TurnError, TurnInfo, TurnItemsView, TurnOverrides,
    TurnStartParams, TurnStartResponse, TurnStatus, UserInput,
};
