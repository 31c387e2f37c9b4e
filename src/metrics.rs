//! Counters, fed by events; for `GET /metrics`.
//!
//! What there is at a moment (queues, states) is not kept here: it is asked for when it is told.
//!
//! **Invariant**: every label has few values: names of the configuration, and closed lists.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::events::{About, Event, Level};

/// The labels of a figure.
type Labels = Vec<(&'static str, String)>;

/// How many steps the histogram of turns has, each twice as long as the one before: from half a second
/// to more than four hours.
const STEPS: u16 = 16;

/// The counters of a daemon; a cheap handle.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    events: Family<Labels, Counter>,
    received: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    settled: Family<Labels, Counter>,
    turns: Family<Labels, Counter>,
    durations: Family<Labels, Histogram>,
    model_retries: Family<Labels, Counter>,
    child_exits: Family<Labels, Counter>,
    child_restarts: Family<Labels, Counter>,
    posts: Family<Labels, Counter>,
    post_retries: Family<Labels, Counter>,
    tool_calls: Family<Labels, Counter>,
    completions: Family<Labels, Counter>,
    tasks: Family<Labels, Counter>,
    runs: Family<Labels, Counter>,
    not_recorded: Family<Labels, Counter>,
}

impl Metrics {
    /// Begins to count.
    #[expect(clippy::new_without_default, reason = "it is made once, for a daemon")]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tieline");
        let mut counter = |name: &str, help: &str| {
            let family = Family::<Labels, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let events = counter("events", "Events by level");
        let received = counter("messages_received", "Messages that were accepted");
        let refused = counter(
            "messages_refused",
            "Messages that were turned away, by reason",
        );
        let not_recorded = counter(
            "messages_not_recorded",
            "Messages that could not be recorded, so that the platform has to send them again",
        );
        let settled = counter(
            "messages_settled",
            "Messages that came to their end, by outcome and failure",
        );
        let turns = counter(
            "turns",
            "Turns that came to their end, by outcome and failure",
        );
        let model_retries = counter(
            "model_retries",
            "How often Codex could not reach the model and tried again",
        );
        let child_exits = counter("child_exits", "How often Codex ended");
        let child_restarts = counter("child_restarts", "How often Codex was started again");
        let posts = counter("posts", "Posts that came to their end, by outcome");
        let post_retries = counter("post_retries", "Attempts at posts that did not settle them");
        let tool_calls = counter("tool_calls", "Calls of tools of tieline's own, by tool");
        let completions = counter(
            "completions",
            "Results from outside and of teammates, by step",
        );
        let tasks = counter(
            "tasks",
            "Tasks that came to their end, by outcome and failure",
        );
        let runs = counter("runs", "One-off runs that are over");
        let durations = Family::<Labels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.5, 2.0, STEPS))
        });
        registry.register(
            "turn_duration_seconds",
            "How long turns took, from being opened to being settled",
            durations.clone(),
        );
        Self(Arc::new(Inner {
            registry,
            events,
            received,
            refused,
            settled,
            turns,
            durations,
            model_retries,
            child_exits,
            child_restarts,
            posts,
            post_retries,
            tool_calls,
            completions,
            tasks,
            runs,
            not_recorded,
        }))
    }

    /// Counts an event. Never waits.
    pub fn observe(&self, about: &About, event: &Event) {
        let it = &*self.0;
        let dispatcher = || {
            let id = about.dispatcher.as_ref();
            (
                "dispatcher",
                id.map(ToString::to_string).unwrap_or_default(),
            )
        };
        let channel = || {
            let id = about.channel.as_ref();
            ("channel", id.map(ToString::to_string).unwrap_or_default())
        };
        let outcome = |outcome: &str, failure: &str| {
            vec![
                dispatcher(),
                ("outcome", outcome.to_owned()),
                ("failure", failure.to_owned()),
            ]
        };
        let turn = |name: &str, failure: &str, duration_ms: u64| {
            it.turns.get_or_create(&outcome(name, failure)).inc();
            it.durations
                .get_or_create(&vec![dispatcher()])
                .observe(duration_ms as f64 / 1_000.0);
        };
        let message = |name: &str, failure: &str| {
            it.settled.get_or_create(&outcome(name, failure)).inc();
        };
        let run = |name: &str, failure: &str| {
            it.runs.get_or_create(&outcome(name, failure)).inc();
        };
        let post = |name: &str| {
            let labels = vec![channel(), ("outcome", name.to_owned())];
            it.posts.get_or_create(&labels).inc();
        };
        let completion = |step: &str| {
            let labels = vec![dispatcher(), ("step", step.to_owned())];
            it.completions.get_or_create(&labels).inc();
        };
        match event {
            Event::TurnOutput { .. } => return,
            Event::MessageReceived { .. } => {
                it.received
                    .get_or_create(&vec![dispatcher(), channel()])
                    .inc();
            }
            Event::MessageRefused { reason } => {
                let name = match serde_json::to_value(reason) {
                    Ok(Value::String(name)) => name,
                    _ => String::new(),
                };
                let labels = vec![dispatcher(), channel(), ("reason", name)];
                it.refused.get_or_create(&labels).inc();
            }
            Event::MessageNotRecorded { .. } => {
                it.not_recorded.get_or_create(&vec![channel()]).inc();
            }
            Event::MessageAnswered => message("answered", ""),
            Event::MessageFailed { failure } => message("failed", failure.as_str()),
            Event::MessageCancelled => message("cancelled", ""),
            Event::MessageUnclear => message("unclear", ""),
            Event::TurnCompleted { duration_ms } => turn("completed", "", *duration_ms),
            Event::TurnFailed {
                failure,
                duration_ms,
                ..
            } => turn("failed", failure.as_str(), *duration_ms),
            Event::TurnCancelled { duration_ms } => turn("cancelled", "", *duration_ms),
            Event::TurnUnclear { duration_ms, .. } => turn("unclear", "", *duration_ms),
            Event::TurnRetrying { .. } => {
                it.model_retries.get_or_create(&vec![dispatcher()]).inc();
            }
            Event::ChildExited { expected, .. } => {
                let labels = vec![dispatcher(), ("expected", expected.to_string())];
                it.child_exits.get_or_create(&labels).inc();
            }
            Event::ChildRestarting { .. } => {
                it.child_restarts.get_or_create(&vec![dispatcher()]).inc();
            }
            Event::PostDelivered => post("delivered"),
            Event::PostFailed { .. } => post("failed"),
            Event::PostUnclear { .. } => post("unclear"),
            Event::PostWaiting { .. } => {
                it.post_retries.get_or_create(&vec![channel()]).inc();
            }
            Event::ToolCalled { tool, success, .. } => {
                let tool = crate::tools::known(tool).unwrap_or("unknown").to_owned();
                let success = ("success", success.to_string());
                let labels = vec![dispatcher(), ("tool", tool), success];
                it.tool_calls.get_or_create(&labels).inc();
            }
            Event::CompletionReported { .. } => completion("reported"),
            Event::CompletionDelivered => completion("delivered"),
            Event::CompletionFailed { .. } => completion("failed"),
            Event::TaskSettled { state, failure } => {
                let failure = failure.map(|it| it.as_str()).unwrap_or_default();
                it.tasks.get_or_create(&outcome(state, failure)).inc();
            }
            Event::RunCompleted { .. } => run("completed", ""),
            Event::RunFailed {
                failure, blocked, ..
            } => {
                let name = if *blocked { "blocked" } else { "failed" };
                run(name, failure.as_str());
            }
            Event::RunCancelled { .. } => run("cancelled", ""),
            Event::RunUnclear => run("unclear", ""),
            Event::RunQueued { .. }
            | Event::RunStarted { .. }
            | Event::DaemonStarted { .. }
            | Event::DaemonStopping
            | Event::DaemonStopped
            | Event::MessageCommanded
            | Event::TurnOpened { .. }
            | Event::TurnSubmitted { .. }
            | Event::TurnStarted { .. }
            | Event::TurnProgress { .. }
            | Event::TurnTool { .. }
            | Event::TurnDeclined { .. }
            | Event::TurnNoise { .. }
            | Event::ThreadStarted
            | Event::ThreadResumed
            | Event::ThreadLost { .. }
            | Event::ThreadCompacted
            | Event::ChildStarting
            | Event::ChildReady { .. }
            | Event::ChildDisconnected { .. }
            | Event::ChildDegraded { .. }
            | Event::ChannelUp
            | Event::ChannelDown { .. }
            | Event::ChannelStopped
            | Event::TeammateJoined
            | Event::TeammateAssigned
            | Event::TeammateStopped { .. }
            | Event::TeammateClosed
            | Event::SessionCreated
            | Event::SessionResumed
            | Event::SessionRegistered
            | Event::SessionClosed { .. }
            | Event::SessionFailed { .. }
            | Event::TurnAccepted { .. }
            | Event::TurnSteered
            | Event::LedgerFailing { .. }
            | Event::LedgerRecovered => {}
        }
        let level: Level = event.level();
        let labels = vec![("level", level.as_str().to_owned())];
        it.events.get_or_create(&labels).inc();
    }

    /// Writes the counters as Prometheus reads them, without the end mark.
    ///
    /// # Errors
    ///
    /// As the writer.
    pub fn write(&self, writer: &mut impl fmt::Write) -> fmt::Result {
        encode_registry(writer, &self.0.registry)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
