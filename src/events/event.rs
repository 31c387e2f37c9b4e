//! The list of all that is told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tieline_channel::RefusalReason;

use crate::failure::FailureKind;

/// Whether somebody should look at an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is as it should be.
    Info,
    /// Something went wrong, and tieline copes.
    Warn,
    /// Something went wrong for good, or waits for a person.
    Error,
}

/// Something that happened. What it is about (the lane, the turn …) is said by the
/// [`Events`](super::Events) that it is told with.
///
/// A variant has what is known of it beyond that: never the text of a message, the arguments or the
/// result of a tool, or anything of the model's reasoning.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "detail")]
pub enum Event {
    /// The daemon runs.
    #[serde(rename = "daemon.started")]
    DaemonStarted {
        /// Its version.
        version: &'static str,
        /// Its process.
        pid: u32,
        /// The run before it had come to its end.
        after_clean_end: bool,
    },
    /// The daemon accepts nothing more.
    #[serde(rename = "daemon.stopping")]
    DaemonStopping,
    /// The daemon has come to its end: the last event of a run.
    #[serde(rename = "daemon.stopped")]
    DaemonStopped,

    /// A message was accepted and waits for its turn.
    #[serde(rename = "message.received")]
    MessageReceived {
        /// Its place among those that wait.
        place: usize,
    },
    /// A message was turned away.
    #[serde(rename = "message.refused")]
    MessageRefused {
        /// Why.
        reason: RefusalReason,
    },
    /// A message was a word that tieline answers itself.
    #[serde(rename = "message.commanded")]
    MessageCommanded,
    /// An event of a platform could not be recorded, and was not acknowledged.
    #[serde(rename = "message.not_recorded")]
    MessageNotRecorded {
        /// Why.
        reason: String,
    },
    /// A message has its answer.
    #[serde(rename = "message.answered")]
    MessageAnswered,
    /// A message came to no answer.
    #[serde(rename = "message.failed")]
    MessageFailed {
        /// What went wrong.
        failure: FailureKind,
    },
    /// A message was stopped, or another was taken in its place.
    #[serde(rename = "message.cancelled")]
    MessageCancelled,
    /// It cannot be told what became of a message.
    #[serde(rename = "message.unclear")]
    MessageUnclear,

    /// A turn is on disk, and is given to Codex next.
    #[serde(rename = "turn.opened")]
    TurnOpened {
        /// How many messages it answers.
        messages: usize,
        /// How many results it brings up.
        completions: usize,
        /// How many tasks it is for: one or none.
        tasks: usize,
    },
    /// A turn was given to Codex.
    #[serde(rename = "turn.submitted")]
    TurnSubmitted {
        /// It had been begun before something broke, and goes on.
        again: bool,
    },
    /// Codex works on a turn.
    #[serde(rename = "turn.started")]
    TurnStarted {
        /// Codex's name of it.
        codex_turn: String,
    },
    /// The model says what it is about to do.
    #[serde(rename = "turn.progress")]
    TurnProgress {
        /// What it says, cut to 2,000 characters.
        text: String,
    },
    /// The model uses a tool, or has used it.
    #[serde(rename = "turn.tool")]
    TurnTool {
        /// The tool, as one name.
        tool: String,
        /// What kind of tool it is: `command`, `file-change`, `mcp`, `dynamic`, `web-search`.
        kind: &'static str,
        /// How far it is: `running`, `completed`, `failed`, `declined`.
        status: &'static str,
        /// How a command ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// How long it took, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// The same as a sentence.
        #[serde(skip)]
        sentence: String,
    },
    /// What a command prints, to those who listen at that moment; it is kept nowhere.
    #[serde(rename = "turn.output")]
    TurnOutput {
        /// A line, cut to 500 characters.
        line: String,
        /// How many lines before it were left out, because there were too many.
        #[serde(skip_serializing_if = "is_zero")]
        left_out: u64,
    },
    /// Codex asked for something and was told no.
    #[serde(rename = "turn.declined")]
    TurnDeclined {
        /// For what it asked.
        what: String,
    },
    /// The model could not be reached, and Codex tries again by itself.
    #[serde(rename = "turn.retrying")]
    TurnRetrying {
        /// What Codex says of it.
        reason: String,
    },
    /// What else Codex said during a turn, which is told by numbers alone.
    #[serde(rename = "turn.noise")]
    TurnNoise {
        /// Notifications that became no event.
        notifications: Vec<MethodCount>,
        /// Items that became no event.
        items: Vec<Count>,
    },
    /// A turn has come to its end, and its answer is on its way.
    #[serde(rename = "turn.completed")]
    TurnCompleted {
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// A turn has failed.
    #[serde(rename = "turn.failed")]
    TurnFailed {
        /// What went wrong.
        failure: FailureKind,
        /// The cause, in words for operators.
        reason: String,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// A turn was stopped, or another was taken in its place.
    #[serde(rename = "turn.cancelled")]
    TurnCancelled {
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// It cannot be told what became of a turn.
    #[serde(rename = "turn.unclear")]
    TurnUnclear {
        /// Why.
        reason: String,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },

    /// A thread was begun.
    #[serde(rename = "thread.started")]
    ThreadStarted,
    /// A stored thread was loaded.
    #[serde(rename = "thread.resumed")]
    ThreadResumed,
    /// A thread cannot be loaded any more.
    #[serde(rename = "thread.lost")]
    ThreadLost {
        /// Why.
        reason: String,
    },
    /// A thread's history was summarised to make room.
    #[serde(rename = "thread.compacted")]
    ThreadCompacted,

    /// Codex is being started.
    #[serde(rename = "child.starting")]
    ChildStarting,
    /// Codex takes turns.
    #[serde(rename = "child.ready")]
    ChildReady {
        /// Its process; absent when somebody else runs it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        /// The version it reports.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// The connection to a living Codex was lost and is made again.
    #[serde(rename = "child.disconnected")]
    ChildDisconnected {
        /// Why.
        reason: String,
    },
    /// Codex has ended.
    #[serde(rename = "child.exited")]
    ChildExited {
        /// How, in a sentence.
        reason: String,
        /// With what code.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// By what signal.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// The daemon wanted it to.
        expected: bool,
    },
    /// Codex did not start.
    #[serde(rename = "child.degraded")]
    ChildDegraded {
        /// What went wrong.
        failure: FailureKind,
        /// The cause.
        reason: String,
    },
    /// Codex is started again, soon.
    #[serde(rename = "child.restarting")]
    ChildRestarting {
        /// In how long, in milliseconds.
        in_ms: u64,
    },

    /// A post is with its platform.
    #[serde(rename = "post.delivered")]
    PostDelivered,
    /// A post waits to be sent again.
    #[serde(rename = "post.waiting")]
    PostWaiting {
        /// Why.
        reason: String,
    },
    /// A post will not be sent.
    #[serde(rename = "post.failed")]
    PostFailed {
        /// Why.
        reason: String,
    },
    /// Whether a post was sent will not be known.
    #[serde(rename = "post.unclear")]
    PostUnclear {
        /// Why.
        reason: String,
    },

    /// A channel is connected.
    #[serde(rename = "channel.up")]
    ChannelUp,
    /// A channel's connection was lost, or it waits for a person.
    #[serde(rename = "channel.down")]
    ChannelDown {
        /// A person must do something.
        needs_operator: bool,
        /// What is wrong, with what to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A channel has ended.
    #[serde(rename = "channel.stopped")]
    ChannelStopped,

    /// A result was reported, and waits to be told.
    #[serde(rename = "completion.reported")]
    CompletionReported {
        /// Its producer's name of it.
        name: String,
        /// Who did the work.
        from: String,
        /// How the work ended.
        status: String,
    },
    /// The model was told of a result.
    #[serde(rename = "completion.delivered")]
    CompletionDelivered,
    /// The model could not be told of a result; people were.
    #[serde(rename = "completion.failed")]
    CompletionFailed {
        /// What went wrong.
        failure: FailureKind,
    },

    /// A teammate has joined.
    #[serde(rename = "teammate.joined")]
    TeammateJoined,
    /// A teammate was given a task.
    #[serde(rename = "teammate.assigned")]
    TeammateAssigned,
    /// A teammate was told to end what it does.
    #[serde(rename = "teammate.stopped")]
    TeammateStopped {
        /// It was at work.
        was_working: bool,
        /// How many tasks will not be done.
        withdrawn: u64,
    },
    /// A teammate was closed.
    #[serde(rename = "teammate.closed")]
    TeammateClosed,
    /// A task has come to its end.
    #[serde(rename = "task.settled")]
    TaskSettled {
        /// How: `done`, `failed`, `stopped`, `unclear`.
        state: &'static str,
        /// What went wrong, if it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<FailureKind>,
    },

    /// A one-off run was ordered, and waits.
    #[serde(rename = "run.queued")]
    RunQueued {
        /// What it is for.
        purpose: String,
    },
    /// A one-off run was begun.
    #[serde(rename = "run.started")]
    RunStarted {
        /// What it is for.
        purpose: String,
    },
    /// A one-off run is done.
    #[serde(rename = "run.completed")]
    RunCompleted {
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// A one-off run could not be done.
    #[serde(rename = "run.failed")]
    RunFailed {
        /// What went wrong.
        failure: FailureKind,
        /// The cause, in words for operators.
        reason: String,
        /// An operator must mend something first.
        blocked: bool,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },
    /// A one-off run was stopped, before it began or while it was done.
    #[serde(rename = "run.cancelled")]
    RunCancelled {
        /// Why.
        reason: String,
    },
    /// A one-off run was being done when the daemon broke.
    #[serde(rename = "run.unclear")]
    RunUnclear,
    /// A session has its thread.
    #[serde(rename = "session.created")]
    SessionCreated,
    /// A session has taken up a thread that was there.
    #[serde(rename = "session.resumed")]
    SessionResumed,
    /// A session is known that somebody else works with.
    #[serde(rename = "session.registered")]
    SessionRegistered,
    /// A session was closed.
    #[serde(rename = "session.closed")]
    SessionClosed {
        /// A turn ran, and ends.
        was_running: bool,
        /// How many turns waited and will not be.
        withdrawn: u64,
    },
    /// A session has no thread, or has lost it.
    #[serde(rename = "session.failed")]
    SessionFailed {
        /// What went wrong.
        failure: FailureKind,
        /// In Codex's words.
        reason: String,
    },
    /// A turn that a program has given is on disk.
    #[serde(rename = "turn.accepted")]
    TurnAccepted {
        /// How many are before it.
        before: usize,
    },
    /// Something was added to the running turn of a session.
    #[serde(rename = "turn.steered")]
    TurnSteered,

    /// A call of a tool of ours was carried out, or refused.
    #[serde(rename = "tool.called")]
    ToolCalled {
        /// Which tool.
        tool: String,
        /// It was carried out.
        success: bool,
        /// How long it took, in milliseconds.
        duration_ms: u64,
    },

    /// The ledger cannot write: nothing is accepted.
    #[serde(rename = "ledger.failing")]
    LedgerFailing {
        /// What the disk said.
        reason: String,
    },
    /// The ledger can write again.
    #[serde(rename = "ledger.recovered")]
    LedgerRecovered,
}

/// How often something was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The type of an item.
    #[serde(rename = "type")]
    pub kind: String,
    /// How often.
    pub count: u64,
}

/// How often something was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodCount {
    /// The method of a notification.
    pub method: String,
    /// How often.
    pub count: u64,
}

impl Level {
    /// Returns its name as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Event {
    /// Returns whether somebody should look at it.
    pub fn level(&self) -> Level {
        match self {
            Self::MessageFailed { .. }
            | Self::MessageUnclear
            | Self::TurnFailed { .. }
            | Self::TurnUnclear { .. }
            | Self::PostFailed { .. }
            | Self::PostUnclear { .. }
            | Self::CompletionFailed { .. }
            | Self::ChildDegraded { .. }
            | Self::RunFailed { .. }
            | Self::RunUnclear
            | Self::LedgerFailing { .. } => Level::Error,
            Self::ChannelDown { needs_operator, .. } if *needs_operator => Level::Error,
            Self::ChildExited { expected, .. } if *expected => Level::Info,
            Self::TaskSettled { failure, .. } if failure.is_none() => Level::Info,
            Self::ToolCalled { success, .. } if *success => Level::Info,
            Self::DaemonStarted {
                after_clean_end, ..
            } if *after_clean_end => Level::Info,
            Self::DaemonStarted { .. }
            | Self::MessageNotRecorded { .. }
            | Self::TurnRetrying { .. }
            | Self::TurnDeclined { .. }
            | Self::ThreadLost { .. }
            | Self::ChildDisconnected { .. }
            | Self::ChildExited { .. }
            | Self::ChildRestarting { .. }
            | Self::PostWaiting { .. }
            | Self::ChannelDown { .. }
            | Self::TaskSettled { .. }
            | Self::SessionFailed { .. }
            | Self::ToolCalled { .. } => Level::Warn,
            Self::DaemonStopping
            | Self::DaemonStopped
            | Self::MessageReceived { .. }
            | Self::MessageRefused { .. }
            | Self::MessageCommanded
            | Self::MessageAnswered
            | Self::MessageCancelled
            | Self::TurnOpened { .. }
            | Self::TurnSubmitted { .. }
            | Self::TurnStarted { .. }
            | Self::TurnProgress { .. }
            | Self::TurnTool { .. }
            | Self::TurnOutput { .. }
            | Self::TurnNoise { .. }
            | Self::TurnCompleted { .. }
            | Self::TurnCancelled { .. }
            | Self::ThreadStarted
            | Self::ThreadResumed
            | Self::ThreadCompacted
            | Self::ChildStarting
            | Self::ChildReady { .. }
            | Self::PostDelivered
            | Self::ChannelUp
            | Self::ChannelStopped
            | Self::CompletionReported { .. }
            | Self::CompletionDelivered
            | Self::TeammateJoined
            | Self::TeammateAssigned
            | Self::TeammateStopped { .. }
            | Self::TeammateClosed
            | Self::RunQueued { .. }
            | Self::RunStarted { .. }
            | Self::RunCompleted { .. }
            | Self::RunCancelled { .. }
            | Self::SessionCreated
            | Self::SessionResumed
            | Self::SessionRegistered
            | Self::SessionClosed { .. }
            | Self::TurnAccepted { .. }
            | Self::TurnSteered
            | Self::LedgerRecovered => Level::Info,
        }
    }

    /// Returns whether it is for those who listen at this moment alone.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::TurnOutput { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaemonStarted {
                version,
                after_clean_end: true,
                ..
            } => write!(f, "tieline {version} runs"),
            Self::DaemonStarted { version, .. } => {
                write!(
                    f,
                    "tieline {version} runs; the run before did not end as it should"
                )
            }
            Self::DaemonStopping => f.write_str("the daemon stops: nothing more is accepted"),
            Self::DaemonStopped => f.write_str("the daemon has stopped"),
            Self::MessageReceived { place } if *place <= 1 => {
                f.write_str("a message came in and is next")
            }
            Self::MessageReceived { place } => {
                write!(f, "a message came in and waits at place {place}")
            }
            Self::MessageRefused { reason } => write!(f, "a message was turned away: {reason}"),
            Self::MessageCommanded => f.write_str("a word to tieline itself was answered"),
            Self::MessageNotRecorded { reason } => write!(
                f,
                "a message could not be recorded, so the platform has to send it again: {reason}"
            ),
            Self::MessageAnswered => f.write_str("a message was answered"),
            Self::MessageFailed { failure } => write!(f, "a message failed: {failure}"),
            Self::MessageCancelled => f.write_str("a message was cancelled"),
            Self::MessageUnclear => f.write_str("it is not known what became of a message"),
            Self::TurnOpened {
                messages,
                completions,
                tasks,
            } => {
                f.write_str("a turn was opened for ")?;
                let counts = [
                    (*messages, "message"),
                    (*completions, "result"),
                    (*tasks, "task"),
                ];
                let mut is_first = true;
                for (count, name) in counts.into_iter().filter(|(count, _)| *count > 0) {
                    let between = if is_first { "" } else { " and " };
                    let plural = if count == 1 { "" } else { "s" };
                    write!(f, "{between}{count} {name}{plural}")?;
                    is_first = false;
                }
                if is_first {
                    f.write_str("nothing new")?;
                }
                Ok(())
            }
            Self::TurnSubmitted { again: false } => f.write_str("the turn was given to codex"),
            Self::TurnSubmitted { again: true } => f.write_str("the turn was taken up again"),
            Self::TurnStarted { .. } => f.write_str("codex works on the turn"),
            Self::TurnProgress { text } => f.write_str(text),
            Self::TurnTool { sentence, .. } => f.write_str(sentence),
            Self::TurnOutput { line, left_out: 0 } => f.write_str(line),
            Self::TurnOutput { line, left_out } => {
                write!(f, "({left_out} lines left out) {line}")
            }
            Self::TurnDeclined { what } => write!(f, "codex asked for {what} and was told no"),
            Self::TurnRetrying { reason } => write!(f, "codex tries the model again: {reason}"),
            Self::TurnNoise {
                notifications,
                items,
            } => {
                let said: u64 = notifications.iter().map(|it| it.count).sum();
                let kept: u64 = items.iter().map(|it| it.count).sum();
                write!(
                    f,
                    "besides, codex sent {said} notifications and {kept} items that are not told"
                )
            }
            Self::TurnCompleted { duration_ms } => {
                write!(f, "the turn is done, after {}", Took(*duration_ms))
            }
            Self::TurnFailed {
                failure,
                reason,
                duration_ms,
            } => write!(
                f,
                "the turn failed after {}: {failure}: {reason}",
                Took(*duration_ms)
            ),
            Self::TurnCancelled { duration_ms } => {
                write!(f, "the turn was stopped after {}", Took(*duration_ms))
            }
            Self::TurnUnclear { reason, .. } => {
                write!(f, "it is not known what became of the turn: {reason}")
            }
            Self::ThreadStarted => f.write_str("a thread was begun"),
            Self::ThreadResumed => f.write_str("the thread was loaded"),
            Self::ThreadLost { reason } => write!(f, "the thread is lost: {reason}"),
            Self::ThreadCompacted => f.write_str("the thread's history was summarised"),
            Self::ChildStarting => f.write_str("codex is being started"),
            Self::ChildReady { version, .. } => match version {
                Some(version) => write!(f, "codex {version} is ready"),
                None => f.write_str("codex is ready"),
            },
            Self::ChildDisconnected { reason } => {
                write!(f, "the connection to codex was lost: {reason}")
            }
            Self::ChildExited {
                reason, expected, ..
            } => match expected {
                true => write!(f, "codex was ended: {reason}"),
                false => write!(f, "codex is lost: {reason}"),
            },
            Self::ChildDegraded { failure, reason } => {
                write!(f, "codex did not start: {failure}: {reason}")
            }
            Self::ChildRestarting { in_ms } => {
                write!(f, "codex is started again in {}", Took(*in_ms))
            }
            Self::PostDelivered => f.write_str("a post was delivered"),
            Self::PostWaiting { reason } => write!(f, "a post waits: {reason}"),
            Self::PostFailed { reason } => write!(f, "a post was given up: {reason}"),
            Self::PostUnclear { reason } => {
                write!(f, "it is not known whether a post was delivered: {reason}")
            }
            Self::ChannelUp => f.write_str("the channel is connected"),
            Self::ChannelDown { reason, .. } => match reason {
                Some(reason) => write!(f, "the channel is not connected: {reason}"),
                None => f.write_str("the channel is not connected"),
            },
            Self::ChannelStopped => f.write_str("the channel has ended"),
            Self::CompletionReported { name, from, status } => {
                write!(f, "{from} reported {name:?}: {status}")
            }
            Self::CompletionDelivered => f.write_str("the model was told of a result"),
            Self::CompletionFailed { failure } => {
                write!(f, "the model could not be told of a result: {failure}")
            }
            Self::TeammateJoined => f.write_str("a teammate joined"),
            Self::TeammateAssigned => f.write_str("the teammate was given a task"),
            Self::TeammateStopped { .. } => {
                f.write_str("the teammate was told to end what it does")
            }
            Self::TeammateClosed => f.write_str("the teammate leaves"),
            Self::TaskSettled { state, failure } => match failure {
                Some(failure) => write!(f, "a task is {state}: {failure}"),
                None => write!(f, "a task is {state}"),
            },
            Self::RunQueued { purpose } => write!(f, "a run was ordered: {purpose}"),
            Self::RunStarted { purpose } => write!(f, "a run was begun: {purpose}"),
            Self::RunCompleted { duration_ms } => {
                write!(f, "the run is done, after {}", Took(*duration_ms))
            }
            Self::RunFailed {
                failure,
                reason,
                blocked,
                duration_ms,
            } => {
                let how = match blocked {
                    true => "is blocked",
                    false => "failed",
                };
                write!(
                    f,
                    "the run {how} after {}: {failure}: {reason}",
                    Took(*duration_ms)
                )
            }
            Self::RunCancelled { reason } => write!(f, "the run was stopped: {reason}"),
            Self::RunUnclear => f.write_str(
                "a run was in the middle when the daemon broke; how far it came is not known",
            ),
            Self::SessionCreated => f.write_str("a session has its thread"),
            Self::SessionResumed => f.write_str("a session has taken up its thread"),
            Self::SessionRegistered => {
                f.write_str("a session is known that somebody else works with")
            }
            Self::SessionClosed { .. } => f.write_str("a session was closed"),
            Self::SessionFailed { failure, reason } => {
                write!(f, "a session has no thread: {failure}: {reason}")
            }
            Self::TurnAccepted { before: 0 } => f.write_str("a turn was accepted and is next"),
            Self::TurnAccepted { before } => {
                write!(f, "a turn was accepted; {before} are before it")
            }
            Self::TurnSteered => f.write_str("something was added to the turn"),
            Self::ToolCalled {
                tool,
                success: true,
                ..
            } => write!(f, "the tool {tool} was called"),
            Self::ToolCalled { tool, .. } => write!(f, "a call of the tool {tool} was refused"),
            Self::LedgerFailing { reason } => {
                write!(
                    f,
                    "the ledger cannot write, so nothing is accepted: {reason}"
                )
            }
            Self::LedgerRecovered => f.write_str("the ledger can write again"),
        }
    }
}

/// A length of time as people say it.
struct Took(u64);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(millis) = self;
        match millis {
            0..1_000 => write!(f, "{millis} ms"),
            1_000..10_000 => write!(f, "{}.{} s", millis / 1_000, millis % 1_000 / 100),
            _ => {
                let whole = Duration::from_secs(millis / 1_000);
                humantime::format_duration(whole).fmt(f)
            }
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
