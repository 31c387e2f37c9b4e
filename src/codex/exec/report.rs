//! What a job tells on stdout, and what it comes to.
//!
//! Lines that are no JSON, or longer than any that matters, are passed over and counted. What the model
//! thinks is not even parsed.

use serde::{Deserialize, Serialize};
use tieline_channel::cut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{ExecOutcome, ExitReport, Failure};
use crate::failure::FailureKind;
use crate::id::ThreadId;

/// The longest reply that is kept, in bytes: a longer one is cut.
pub(super) const MAX_REPLY: usize = 1 << 20;

/// The longest line that is read, in bytes. The output of commands may make longer ones.
const MAX_LINE: usize = 8 << 20;

/// How much of a command people are shown, in characters.
const MAX_COMMAND: usize = 160;

/// What happens while a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// It has a thread.
    Thread(ThreadId),
    /// What it does now, in words.
    Doing(String),
}

/// How many tokens a job took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// Given to the model.
    pub input_tokens: u64,
    /// Of these, known from before.
    pub cached_input_tokens: u64,
    /// Made by the model.
    pub output_tokens: u64,
    /// Of these, spent on thinking.
    pub reasoning_output_tokens: u64,
}

/// A line of the output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OutputLine {
    /// All of it.
    Whole(Vec<u8>),
    /// It was longer than is read.
    TooLong,
}

/// Reads lines of bounded length.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What of the buffer was not looked at yet.
    rest: std::ops::Range<usize>,
    line: Vec<u8>,
    is_too_long: bool,
    max: usize,
}

/// What a job has told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) thread: Option<ThreadId>,
    pub(super) reply: Option<String>,
    pub(super) usage: Option<TokenUsage>,
    pub(super) ignored: u64,
    is_completed: bool,
    failure: Option<String>,
    trouble: Option<String>,
}

/// A line that means something.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "thread.started")]
    ThreadStarted { thread_id: ThreadId },
    #[serde(rename = "item.started")]
    ItemStarted { item: Item },
    #[serde(rename = "item.completed")]
    ItemCompleted { item: Item },
    #[serde(rename = "turn.completed")]
    TurnCompleted {
        #[serde(default)]
        usage: Option<TokenUsage>,
    },
    #[serde(rename = "turn.failed")]
    TurnFailed { error: Message },
    #[serde(rename = "error")]
    Error(Message),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Message {
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    AgentMessage {
        text: String,
    },
    CommandExecution {
        #[serde(default)]
        command: String,
    },
    McpToolCall {
        #[serde(default)]
        server: String,
        #[serde(default)]
        tool: String,
    },
    FileChange,
    WebSearch,
    #[serde(other)]
    Other,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: vec![0; 16 << 10],
            rest: 0..0,
            line: Vec::new(),
            is_too_long: false,
            max: MAX_LINE,
        }
    }

    /// Returns the next line; `None` at the end. May be dropped at any moment without losing anything.
    pub(super) async fn next(&mut self) -> Option<OutputLine> {
        loop {
            let rest = &self.buffer[self.rest.clone()];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(rest.len());
            if self.line.len() + taken > self.max {
                self.is_too_long = true;
                self.line = Vec::new();
            }
            if !self.is_too_long {
                self.line.extend_from_slice(&rest[..taken]);
            }
            self.rest.start += taken;
            if end.is_some() {
                self.rest.start += 1;
                return Some(self.take());
            }
            match self.reader.read(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.rest = 0..0;
                    let is_empty = self.line.is_empty() && !self.is_too_long;
                    return (!is_empty).then(|| self.take());
                }
                Ok(count) => self.rest = 0..count,
            }
        }
    }

    fn take(&mut self) -> OutputLine {
        let line = std::mem::take(&mut self.line);
        match std::mem::take(&mut self.is_too_long) {
            true => OutputLine::TooLong,
            false => OutputLine::Whole(line),
        }
    }
}

impl Told {
    /// Takes a line in.
    pub(super) fn note(&mut self, line: OutputLine, tell: &mut (dyn FnMut(ExecEvent) + Send)) {
        let event = match line {
            OutputLine::Whole(line) if line.trim_ascii().is_empty() => return,
            OutputLine::Whole(line) => serde_json::from_slice(&line).ok(),
            OutputLine::TooLong => None,
        };
        let Some(event) = event else {
            self.ignored += 1;
            return;
        };
        match event {
            Event::ThreadStarted { thread_id } => {
                self.thread = Some(thread_id.clone());
                tell(ExecEvent::Thread(thread_id));
            }
            Event::ItemStarted { item } => {
                self.trouble = None;
                if let Some(doing) = item.doing() {
                    tell(ExecEvent::Doing(doing));
                }
            }
            Event::ItemCompleted { item } => {
                self.trouble = None;
                if let Item::AgentMessage { text } = item {
                    self.reply = Some(cut_bytes(text, MAX_REPLY));
                }
            }
            Event::TurnCompleted { usage } => {
                self.is_completed = true;
                self.usage = usage;
            }
            Event::TurnFailed { error } => self.failure = Some(error.message),
            Event::Error(error) => self.trouble = Some(error.message),
            Event::Other => {}
        }
    }

    /// Says what it came to.
    pub(super) fn outcome(
        &self,
        exit: &ExitReport,
        was_stopped: bool,
        is_resumed: bool,
    ) -> ExecOutcome {
        if self.is_completed {
            let has_answered = self.reply.as_ref().is_some_and(|it| !it.trim().is_empty());
            return match has_answered {
                true => ExecOutcome::Completed,
                false => ExecOutcome::Failed(Failure::no_answer()),
            };
        }
        if was_stopped {
            let trouble = self.trouble.clone();
            return ExecOutcome::Stopped { trouble };
        }
        if let Some(message) = &self.failure {
            return ExecOutcome::Failed(Failure::of_message(message));
        }
        let said = explanation(exit);
        let kind = match &self.thread {
            // It has told something, and nothing of it was JSON.
            None if self.ignored > 0 && exit.code == Some(0) => FailureKind::BackendJsonParseError,
            None if is_resumed && said.contains("thread/resume") => FailureKind::ThreadResumeFailed,
            None => FailureKind::BackendSpawnFailed,
            Some(_) => FailureKind::BackendResponseInvalid,
        };
        ExecOutcome::Failed(Failure::new(kind, said))
    }
}

/// Returns how a process ended and what it said of that.
fn explanation(exit: &ExitReport) -> String {
    let ended = match (exit.code, exit.signal) {
        (_, Some(signal)) => format!("codex was ended by signal {signal}"),
        (Some(code), None) => format!("codex ended with code {code}"),
        (None, None) => "codex ended".to_owned(),
    };
    let lines = &exit.last_lines;
    let is_telling = |line: &&String| {
        let is_noise = ["WARNING: proceeding", "Stack backtrace", "Reading prompt"]
            .iter()
            .any(|noise| line.starts_with(noise));
        !is_noise && !line.trim_start().starts_with(|c: char| c.is_ascii_digit())
    };
    let begins = lines.iter().rposition(|line| line.starts_with("Error"));
    let said: Vec<&str> = lines[begins.unwrap_or_default()..]
        .iter()
        .filter(is_telling)
        .map(|line| line.as_str())
        .collect();
    match said.is_empty() {
        true => ended,
        false => format!("{ended} and said: {}", said.join(" ")),
    }
}

impl Item {
    /// Says what is being done.
    fn doing(&self) -> Option<String> {
        match self {
            Self::CommandExecution { command } => {
                Some(format!("runs `{}`", cut(&one_line(command), MAX_COMMAND)))
            }
            Self::McpToolCall { server, tool } => Some(format!(
                "calls {}",
                cut(&one_line(&format!("{server}.{tool}")), MAX_COMMAND)
            )),
            Self::FileChange => Some("changes files".to_owned()),
            Self::WebSearch => Some("searches the web".to_owned()),
            Self::AgentMessage { .. } | Self::Other => None,
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Cuts a text that has more bytes than that, between characters.
fn cut_bytes(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use std::time::SystemTime;

    fn exit(code: i32, lines: &[&str]) -> ExitReport {
        ExitReport {
            code: Some(code),
            signal: None,
            exited_at: SystemTime::UNIX_EPOCH,
            last_lines: lines.iter().map(|&line| line.to_owned()).collect(),
            leftovers: 0,
        }
    }

    async fn told(output: &str) -> (Told, Vec<ExecEvent>) {
        let (mut told, mut events) = (Told::default(), Vec::new());
        let mut lines = Lines::new(output.as_bytes());
        while let Some(line) = lines.next().await {
            told.note(line, &mut |event| events.push(event));
        }
        (told, events)
    }

    #[tokio::test]
    async fn the_last_message_is_the_reply_and_noise_is_counted() {
        let (told, events) = told(concat!(
            "{\"type\":\"thread.started\",\"thread_id\":\"t1\"}\n",
            "not json\n\n",
            "{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"looking\"}}\n",
            "{\"type\":\"item.started\",\"item\":{\"type\":\"command_execution\",\"command\":\"ls\\n-l\"}}\n",
            "{\"type\":\"item.completed\",\"item\":{\"type\":\"reasoning\",\"text\":\"hm\"}}\n",
            "{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"done\"}}\n",
            "{\"type\":\"brand.new\"}\n",
            "{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":200,\"output_tokens\":10}}",
        ))
        .await;
        assert_eq!(told.reply.as_deref(), Some("done"));
        assert_eq!((told.ignored, told.usage.unwrap().input_tokens), (1, 200));
        assert_eq!(
            events,
            [
                ExecEvent::Thread(ThreadId::new("t1")),
                ExecEvent::Doing("runs `ls -l`".to_owned())
            ]
        );
        // What was known when it was told to end holds all the same.
        for was_stopped in [false, true] {
            let outcome = told.outcome(&exit(0, &[]), was_stopped, false);
            assert_eq!(outcome, ExecOutcome::Completed);
        }
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
        let output = format!("{}\nshort\n{}", "x".repeat(40_000), "y".repeat(40_000));
        let mut lines = Lines {
            max: 1_000,
            ..Lines::new(output.as_bytes())
        };
        assert_eq!(lines.next().await, Some(OutputLine::TooLong));
        let short = OutputLine::Whole(b"short".to_vec());
        assert_eq!(lines.next().await, Some(short));
        assert_eq!(lines.next().await, Some(OutputLine::TooLong));
        assert_eq!(lines.next().await, None);
    }

    #[tokio::test]
    async fn every_end_has_its_name() {
        use FailureKind as K;
        const STARTED: &str = "{\"type\":\"thread.started\",\"thread_id\":\"t1\"}\n";
        let failed = |message: &str| {
            format!("{STARTED}{{\"type\":\"turn.failed\",\"error\":{{\"message\":{message:?}}}}}\n")
        };
        let resume = "Error: thread/resume: thread/resume failed: no rollout found for thread id x";
        let cases = [
            (
                format!("{STARTED}{{\"type\":\"turn.completed\"}}"),
                exit(0, &[]),
                K::BackendResponseInvalid,
                "without a message",
            ),
            (
                failed("unexpected status 401 Unauthorized: no"),
                exit(1, &[]),
                K::ProviderAuthFailed,
                "401",
            ),
            (
                failed("Missing environment variable: `X`."),
                exit(1, &[]),
                K::SecretUnavailable,
                "`X`",
            ),
            (
                String::new(),
                exit(
                    1,
                    &[
                        "WARNING: proceeding, even though",
                        resume,
                        "Stack backtrace:",
                        " 0: x",
                    ],
                ),
                K::ThreadResumeFailed,
                "no rollout found for thread id x",
            ),
            (
                String::new(),
                exit(
                    1,
                    &[
                        "Error loading config.toml: invalid type",
                        "in `model_reasoning_effort`",
                    ],
                ),
                K::BackendSpawnFailed,
                "codex ended with code 1 and said: Error loading config.toml: invalid type in `model_reasoning_effort`",
            ),
            (
                "what?".to_owned(),
                exit(0, &[]),
                K::BackendJsonParseError,
                "code 0",
            ),
            (
                STARTED.to_owned(),
                exit(1, &["Error: gone"]),
                K::BackendResponseInvalid,
                "Error: gone",
            ),
        ];
        for (output, exit, kind, words) in cases {
            let (told, _) = told(&output).await;
            let ExecOutcome::Failed(failure) = told.outcome(&exit, false, true) else {
                panic!("{output} did not fail");
            };
            assert_eq!(failure.kind, kind, "{output}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }

    #[tokio::test]
    async fn one_that_is_told_to_end_says_what_kept_it() {
        let (told, _) =
            told("{\"type\":\"error\",\"message\":\"Reconnecting... waiting for network\"}\n")
                .await;
        let trouble = Some("Reconnecting... waiting for network".to_owned());
        let outcome = told.outcome(&exit(1, &[]), true, false);
        assert_eq!(outcome, ExecOutcome::Stopped { trouble });
    }

    #[test]
    fn a_long_reply_is_cut_between_characters() {
        assert_eq!(cut_bytes("aß".to_owned(), 2), "a…");
        assert_eq!(cut_bytes("aß".to_owned(), 3), "aß");
    }
}
