//! What is told of a lane's turns as events.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::*;
use crate::codex::protocol::{AgentPhase, ItemStatus};
use crate::codex::{Noise, ToolKind, ToolUse};
use crate::events::{Count, MethodCount, OutputLimit};

/// How many uses of tools are timed at once; what comes beyond has no duration.
const MAX_TIMED: usize = 64;

/// Tells what a turn does while it is followed.
pub(super) struct Teller {
    events: Events,
    /// When the tools that run were begun.
    begun: HashMap<String, Instant>,
    /// What the model said last, if that may still be its answer.
    said: Option<String>,
    output: OutputLimit,
}

impl Teller {
    pub(super) fn new(events: Events) -> Self {
        Self {
            events,
            begun: HashMap::new(),
            said: None,
            output: OutputLimit::new(),
        }
    }

    pub(super) fn tell(&self, event: Event) {
        self.events.emit(event);
    }

    /// The model said something. What it says last is its answer, and no event.
    pub(super) fn message(&mut self, text: &str, phase: Option<AgentPhase>) {
        self.goes_on();
        match phase {
            Some(AgentPhase::Commentary) => self.progress(text.to_owned()),
            Some(AgentPhase::FinalAnswer | AgentPhase::PartialAnswer) => {}
            Some(AgentPhase::Other) | None => self.said = Some(text.to_owned()),
        }
    }

    /// The model uses a tool, or has used it.
    pub(super) fn tool(&mut self, tool: &ToolUse) {
        self.goes_on();
        let took = match tool.status {
            ItemStatus::InProgress => {
                if self.begun.len() < MAX_TIMED {
                    self.begun.insert(tool.item_id.clone(), Instant::now());
                }
                None
            }
            ItemStatus::Completed
            | ItemStatus::Failed
            | ItemStatus::Declined
            | ItemStatus::Other => self.begun.remove(&tool.item_id).map(|at| at.elapsed()),
        };
        self.events.emit(tool_event(tool, took));
    }

    /// A command printed something. Nobody is told who does not listen now.
    pub(super) fn output(&mut self, command: &str, piece: &str) {
        if !self.events.has_listeners() {
            return;
        }
        for line in self.output.take(command, piece) {
            self.events.emit(Event::TurnOutput {
                line: line.line,
                left_out: line.left_out,
            });
        }
    }

    /// What the model said before is no answer, for it does something else.
    fn goes_on(&mut self) {
        if let Some(text) = self.said.take() {
            self.progress(text);
        }
    }

    fn progress(&self, text: String) {
        if !text.trim().is_empty() {
            self.events.emit(Event::TurnProgress { text });
        }
    }
}

impl Lane {
    /// Returns the handle that tells of a turn.
    pub(super) fn events_of(&self, open: &OpenTurn) -> Events {
        let events = self.events.turn(open.key);
        let events = match (&self.teammate, &self.session) {
            (Some(teammate), _) => events.teammate(&teammate.name),
            (None, Some(session)) => events.session(session.record.id),
            (None, None) => events,
        };
        match &self.attached {
            Some(attached) => events.thread(attached.thread.id()),
            None => events,
        }
    }

    /// Tells that a turn is on disk.
    pub(super) fn tell_opened(&self, open: &OpenTurn) {
        self.events_of(open).emit(Event::TurnOpened {
            messages: open.messages.len(),
            completions: open.completions.len(),
            tasks: usize::from(open.task.is_some()),
        });
    }

    /// Keeps count of what codex said that is not told one by one, until the turn is settled.
    pub(super) fn count_noise(&self, noise: &Noise) {
        let mut all = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
        all.add(noise);
    }

    /// Tells how a turn was settled: once, after the commit.
    pub(super) fn tell_settled(&self, open: &OpenTurn, work: &Work, end: &Settled<'_>) {
        let events = self.events_of(open);
        let noise = std::mem::take(&mut *self.noise.lock().unwrap_or_else(PoisonError::into_inner));
        if !noise.is_empty() {
            events.emit(noise_event(noise));
        }
        let took = open.opened_at.elapsed().unwrap_or_default();
        let duration_ms = millis(took);
        events.emit(match end.outcome {
            Outcome::Answered => Event::TurnCompleted { duration_ms },
            Outcome::Failed { kind, message } => Event::TurnFailed {
                failure: *kind,
                reason: message.clone(),
                duration_ms,
            },
            Outcome::Cancelled => Event::TurnCancelled { duration_ms },
            Outcome::Unclear { reason } => Event::TurnUnclear {
                reason: reason.clone(),
                duration_ms,
            },
        });
        for message in &work.messages {
            tell_message(&events, message, end.outcome);
        }
        if end.is_given_back {
            return;
        }
        for completion in &work.completions {
            let events = events.completion(completion.id);
            match end.outcome {
                Outcome::Answered => events.emit(Event::CompletionDelivered),
                Outcome::Failed { kind, .. } => {
                    events.emit(Event::CompletionFailed { failure: *kind });
                }
                Outcome::Cancelled | Outcome::Unclear { .. } => {}
            }
        }
        if let Some(task) = &work.task {
            let (state, failure) = match end.outcome {
                Outcome::Answered => ("done", None),
                Outcome::Failed { kind, .. } => ("failed", Some(*kind)),
                Outcome::Cancelled => ("stopped", None),
                Outcome::Unclear { .. } => ("unclear", None),
            };
            events
                .task(task.id)
                .emit(Event::TaskSettled { state, failure });
        }
    }
}

/// How a turn was settled.
pub(super) struct Settled<'a> {
    pub(super) outcome: &'a Outcome,
    /// What it was to bring up waits for another turn.
    pub(super) is_given_back: bool,
}

/// Tells what became of a message.
pub(super) fn tell_message(events: &Events, message: &MessageRecord, outcome: &Outcome) {
    let events = events.channel(&message.channel).message(message.id);
    events.emit(match outcome {
        Outcome::Answered => Event::MessageAnswered,
        Outcome::Failed { kind, .. } => Event::MessageFailed { failure: *kind },
        Outcome::Cancelled => Event::MessageCancelled,
        Outcome::Unclear { .. } => Event::MessageUnclear,
    });
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn noise_event(noise: Noise) -> Event {
    let Noise { methods, items } = noise;
    let list = |counts: BTreeMap<String, u64>| counts.into_iter();
    Event::TurnNoise {
        notifications: list(methods)
            .map(|(method, count)| MethodCount { method, count })
            .collect(),
        items: list(items)
            .map(|(kind, count)| Count { kind, count })
            .collect(),
    }
}

/// Returns what is told of the use of a tool: no arguments, no results.
fn tool_event(tool: &ToolUse, took: Option<Duration>) -> Event {
    let (kind, name) = match tool.kind {
        ToolKind::Command => ("command", format!("`{}`", tool.name)),
        ToolKind::FileChange => ("file-change", "files".to_owned()),
        ToolKind::Mcp => ("mcp", tool.name.clone()),
        ToolKind::Dynamic => ("dynamic", tool.name.clone()),
        // What it is asked for is an argument.
        ToolKind::WebSearch => ("web-search", "the web".to_owned()),
    };
    let (does, did) = match tool.kind {
        ToolKind::Command => ("runs", "ran"),
        ToolKind::FileChange => ("changes", "changed"),
        ToolKind::Mcp | ToolKind::Dynamic => ("uses", "used"),
        ToolKind::WebSearch => ("searches", "searched"),
    };
    let (status, mut sentence) = match tool.status {
        ItemStatus::InProgress => ("running", format!("{does} {name}")),
        ItemStatus::Completed | ItemStatus::Other => ("completed", format!("{did} {name}")),
        ItemStatus::Failed if tool.exit_code.is_some() => ("failed", format!("{did} {name}")),
        ItemStatus::Failed => ("failed", format!("{did} {name}, which failed")),
        ItemStatus::Declined => ("declined", format!("was not allowed to use {name}")),
    };
    let exit = tool.exit_code.map(|code| format!("exit {code}"));
    let duration_ms = took.map(millis);
    let lasted = took.map(|took| match took.as_secs() {
        0 => format!("{} ms", took.as_millis()),
        _ => humantime::format_duration(Duration::from_secs(took.as_secs())).to_string(),
    });
    let more: Vec<String> = exit.into_iter().chain(lasted).collect();
    if !more.is_empty() {
        sentence = format!("{sentence} ({})", more.join(", "));
    }
    Event::TurnTool {
        tool: match tool.kind {
            ToolKind::Command => "shell".to_owned(),
            ToolKind::FileChange | ToolKind::WebSearch => kind.to_owned(),
            ToolKind::Mcp | ToolKind::Dynamic => tool.name.clone(),
        },
        kind,
        status,
        exit_code: tool.exit_code,
        duration_ms,
        sentence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(kind: ToolKind, name: &str, status: ItemStatus, exit_code: Option<i32>) -> ToolUse {
        ToolUse {
            item_id: "i".to_owned(),
            kind,
            name: name.to_owned(),
            status,
            exit_code,
        }
    }

    #[test]
    fn uses_of_tools_are_told_as_people_would() {
        use ItemStatus::{Completed, Declined, Failed, InProgress};
        use ToolKind::{Command, Dynamic, FileChange, Mcp, WebSearch};
        let second = Some(Duration::from_secs(12));
        for (tool, took, expected) in [
            (
                tool(Command, "cargo test", InProgress, None),
                None,
                "runs `cargo test`",
            ),
            (
                tool(Command, "cargo test", Failed, Some(1)),
                second,
                "ran `cargo test` (exit 1, 12s)",
            ),
            (
                tool(Command, "rm -r /", Declined, None),
                None,
                "was not allowed to use `rm -r /`",
            ),
            (
                tool(FileChange, "files", Completed, None),
                None,
                "changed files",
            ),
            (
                tool(Mcp, "docs.search", Failed, None),
                Some(Duration::from_millis(7)),
                "used docs.search, which failed (7 ms)",
            ),
            (tool(Dynamic, "reply", Completed, None), None, "used reply"),
            (
                tool(WebSearch, "who is Mei", Completed, None),
                None,
                "searched the web",
            ),
        ] {
            let event = tool_event(&tool, took);
            assert_eq!(event.to_string(), expected);
            let told = serde_json::to_string(&event).unwrap();
            assert!(!told.contains("Mei"), "{told}");
        }
    }
}
