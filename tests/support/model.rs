//! The scripted model of the tests: echoes, waits where it is told to, and fails on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use serde_json::Value;
use tieline::demo::model::{Gone, Phase, Request, Responder, Script, ScriptedModel};
use tieline::demo::script::bodies;
use tokio::sync::watch;

/// A safety net, not a measure: nothing that works takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// How the key of a rule begins that is about the output of a tool.
pub(crate) const OUTPUT: &str = "output: ";

/// What the model does in place of its ordinary answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// An HTTP status with this body, and a `Retry-After` when given.
    Status(u16, &'static str, Option<&'static str>),
    /// The connection is closed before the first byte.
    CutAtOnce,
    /// The connection is closed in the middle of the message.
    CutMidStream,
    /// An event that is no JSON, then an orderly end.
    Garbage,
    /// An orderly end without `response.completed`.
    EndEarly,
    /// Not even a response header.
    Silence,
    /// Nothing more in the middle of the message.
    SilenceMidStream,
    /// `response.failed` with this code and message.
    Failed(&'static str, &'static str),
    /// `response.incomplete` with this reason.
    Incomplete(&'static str),
    /// Completed without any message.
    Nothing,
    /// Completed with progress only.
    OnlyCommentary,
    /// A shell command first; the answer comes once it has ended.
    Command(&'static str),
    /// A progress message before the answer.
    TwoMessages,
    /// Any other call of a tool, with arguments that may be no JSON.
    Call(&'static str, &'static str),
    /// Thinks aloud, then answers as usual.
    Reasoning {
        summary: &'static str,
        thoughts: &'static str,
    },
    /// Answers in so many steps, with a pause before each.
    Slow(u32, Duration),
    /// This text in place of the echo.
    Say(String),
    /// The echo, with the claim that the conversation takes so many tokens.
    Tokens(u64),
}

/// Where an answer can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Before the response header.
    Start,
    /// In the middle of the message.
    MidStream,
    /// After the message, before `response.completed`.
    BeforeEnd,
}

/// A script that answers `echo: <text>` to the last user message (a line for each envelope), and
/// the handle that steers it. Clones share everything.
///
/// Rules apply to requests whose last user text contains their key; those whose key begins with
/// [`OUTPUT`] apply to requests that bring the output of a tool with such a beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echo {
    rules: Arc<Mutex<Vec<Rule>>>,
}

#[derive(Debug)]
struct Rule {
    key: String,
    /// `None`: every time.
    times_left: Option<usize>,
    does: Does,
}

#[derive(Clone, Debug)]
enum Does {
    Fault(Fault),
    Hold(Point, Arc<Gate>),
}

impl Echo {
    /// Returns a script without rules.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Starts a model with this script; the clone that the caller keeps steers it.
    pub(crate) async fn start(&self) -> ScriptedModel {
        ScriptedModel::start(self.clone())
            .await
            .expect("a free port on loopback")
    }

    /// The next request with `key` meets `fault`.
    pub(crate) fn once(&self, key: &str, fault: Fault) {
        self.add(key, Some(1), Does::Fault(fault));
    }

    /// The next `times` requests with `key` meet `fault`.
    pub(crate) fn times(&self, times: usize, key: &str, fault: Fault) {
        self.add(key, Some(times), Does::Fault(fault));
    }

    /// Every request with `key` meets `fault`.
    pub(crate) fn always(&self, key: &str, fault: Fault) {
        self.add(key, None, Does::Fault(fault));
    }

    /// The next request with `key` is held at `point` until the returned handle lets it go.
    pub(crate) fn hold(&self, key: &str, point: Point) -> Hold {
        let gate = Arc::new(Gate::default());
        self.add(key, Some(1), Does::Hold(point, gate.clone()));
        Hold(gate)
    }

    /// From now on nothing meets a fault.
    pub(crate) fn forget_rules(&self) {
        self.rules.lock().unwrap().clear();
    }

    fn add(&self, key: &str, times_left: Option<usize>, does: Does) {
        let key = key.to_owned();
        self.rules.lock().unwrap().push(Rule {
            key,
            times_left,
            does,
        });
    }

    /// Takes the first rule that applies to `text`.
    fn take(&self, text: &str) -> Option<Does> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| {
            rule.times_left != Some(0)
                && rule.key.starts_with(OUTPUT) == text.starts_with(OUTPUT)
                && text.contains(&rule.key)
        })?;
        if let Some(times_left) = &mut rule.times_left {
            *times_left -= 1;
        }
        Some(rule.does.clone())
    }
}

#[async_trait]
impl Script for Echo {
    async fn answer(&self, request: &Request, responder: &mut Responder) -> Result<(), Gone> {
        let text = request.last_user_text().unwrap_or_default();
        let echo = if text.starts_with(TRIGGER) {
            format!("heard of: {}", fresh_completions(request).join(", "))
        } else {
            echo_of(text)
        };
        if let Some(output) = request.fresh_tool_outputs().last() {
            if let Some(Does::Fault(fault)) = self.take(&format!("{OUTPUT}{}", output.text())) {
                return play(fault, &echo, responder).await;
            }
            let answer = format!("{echo}\n{}", output.text());
            return responder.message(&answer, Phase::FinalAnswer).await;
        }
        match self.take(text) {
            None => responder.message(&echo, Phase::FinalAnswer).await,
            Some(Does::Fault(fault)) => play(fault, &echo, responder).await,
            Some(Does::Hold(Point::Start, gate)) => {
                responder.until(gate.pass()).await?;
                responder.message(&echo, Phase::FinalAnswer).await
            }
            Some(Does::Hold(Point::MidStream, gate)) => {
                let mut message = responder.begin(Phase::FinalAnswer).await?;
                message.say("echo").await?;
                message.until(gate.pass()).await?;
                message.say(&echo["echo".len()..]).await?;
                message.end().await
            }
            Some(Does::Hold(Point::BeforeEnd, gate)) => {
                responder.message(&echo, Phase::FinalAnswer).await?;
                responder.until(gate.pass()).await
            }
        }
    }
}

/// How the input begins that makes the model look at completions.
pub(crate) const TRIGGER: &str = "<trigger ";

/// Returns the names of the completions that came since the model spoke last.
fn fresh_completions(request: &Request) -> Vec<String> {
    let items = request.items();
    let spoke = items.iter().rposition(|item| item["role"] == "assistant");
    let fresh = &items[spoke.map_or(0, |at| at + 1)..];
    completions_in(fresh)
}

/// Returns the names of the completions among items of a history, in order.
pub(crate) fn completions_in(items: &[Value]) -> Vec<String> {
    let developer = items.iter().filter(|item| item["role"] == "developer");
    let parts = developer
        .filter_map(|item| item["content"].as_array())
        .flatten();
    parts
        .filter_map(|part| part["text"].as_str()?.strip_prefix("<completion id=\""))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Returns how often each completion stands in the latest request of each thread: 1 for each, and
/// in one thread only, is what exactly-once means.
pub(crate) fn completions_told(model: &ScriptedModel) -> BTreeMap<String, usize> {
    assert_eq!(model.forgotten(), 0, "the log is incomplete");
    let mut latest = BTreeMap::new();
    for request in model.requests() {
        let thread = request.thread().unwrap_or_default().to_owned();
        latest.insert(thread, completions_in(request.items()));
    }
    let mut told = BTreeMap::new();
    for name in latest.into_values().flatten() {
        *told.entry(name).or_default() += 1;
    }
    told
}

/// Returns what [`Echo`] answers to a turn's text.
pub(crate) fn echo_of(text: &str) -> String {
    let lines: Vec<_> = bodies(text)
        .into_iter()
        .map(|body| format!("echo: {body}"))
        .collect();
    lines.join("\n")
}

async fn play(fault: Fault, echo: &str, responder: &mut Responder) -> Result<(), Gone> {
    match fault {
        Fault::Status(status, body, retry_after) => {
            let status = StatusCode::from_u16(status).expect("a status code");
            let headers = retry_after.map(|seconds| ("retry-after", seconds));
            responder.status(status, headers.as_slice(), body).await
        }
        Fault::CutAtOnce => responder.cut().await,
        Fault::CutMidStream => {
            responder
                .begin(Phase::FinalAnswer)
                .await?
                .say("echo")
                .await?;
            responder.cut().await
        }
        Fault::Garbage => {
            responder.raw(b"data: {no json\n\n").await?;
            responder.end().await
        }
        Fault::EndEarly => {
            responder
                .begin(Phase::FinalAnswer)
                .await?
                .say("echo")
                .await?;
            responder.end().await
        }
        Fault::Silence => responder.silence().await,
        Fault::SilenceMidStream => {
            responder
                .begin(Phase::FinalAnswer)
                .await?
                .say("echo")
                .await?;
            responder.silence().await
        }
        Fault::Failed(code, message) => responder.failed(code, message).await,
        Fault::Incomplete(reason) => responder.incomplete(reason).await,
        Fault::Nothing => Ok(()),
        Fault::OnlyCommentary => responder.message("working on it", Phase::Commentary).await,
        Fault::Command(command) => responder.command(command).await,
        Fault::TwoMessages => {
            responder
                .message("working on it", Phase::Commentary)
                .await?;
            responder.message(echo, Phase::FinalAnswer).await
        }
        Fault::Call(name, arguments) => responder.raw_call(name, arguments).await,
        Fault::Reasoning { summary, thoughts } => {
            responder.reasoning(summary, thoughts).await?;
            responder.message(echo, Phase::FinalAnswer).await
        }
        Fault::Slow(steps, pause) => {
            let mut message = responder.begin(Phase::FinalAnswer).await?;
            for step in 0..steps {
                message.until(tokio::time::sleep(pause)).await?;
                message.say(&format!("{step} ")).await?;
            }
            message.say(echo).await?;
            message.end().await
        }
        Fault::Tokens(tokens) => {
            responder.claim_tokens(tokens);
            responder.message(echo, Phase::FinalAnswer).await
        }
        Fault::Say(text) => responder.message(&text, Phase::FinalAnswer).await,
    }
}

/// One answer that is held, or will be.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Gate>);

impl Hold {
    /// Makes the handle of a gate.
    pub(super) fn of(gate: &Arc<Gate>) -> Self {
        Self(Arc::clone(gate))
    }

    /// Waits until the answer has come to the point where it is held.
    pub(crate) async fn reached(&self) {
        let mut reached = self.0.reached.subscribe();
        let arrival = reached.wait_for(|reached| *reached);
        within("the model to reach the hold", arrival)
            .await
            .expect("the gate lives");
    }

    /// Lets the answer go on.
    pub(crate) fn release(&self) {
        self.0.open.send_replace(true);
    }
}

/// Where an answer is held until it may go on.
#[derive(Debug, Default)]
pub(super) struct Gate {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Tells that this is reached, and waits until it is open.
    pub(super) async fn pass(&self) {
        self.reached.send_replace(true);
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the gate lives");
    }
}

/// Waits for something that is certain to come.
///
/// # Panics
///
/// When it does not come within a minute.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {LIMIT:?} for {what}"),
    }
}

/// Waits until the model's requests satisfy `predicate`.
pub(crate) async fn wait_for_requests(
    model: &ScriptedModel,
    what: &str,
    predicate: impl FnMut(&[Arc<Request>]) -> bool,
) {
    within(what, model.wait_for(predicate)).await;
}

/// Returns, for each thread, the user texts of its latest request: all that its model has ever
/// been told, in order.
pub(crate) fn told(model: &ScriptedModel) -> BTreeMap<String, Vec<String>> {
    assert_eq!(model.forgotten(), 0, "the log is incomplete");
    let mut told = BTreeMap::new();
    for request in model.requests() {
        let thread = request.thread().unwrap_or_default().to_owned();
        let texts = request
            .user_texts()
            .into_iter()
            .map(str::to_owned)
            .collect();
        told.insert(thread, texts);
    }
    told
}

/// Returns in how many user texts of the latest request of each thread `needle` occurs: 1 is what
/// exactly-once means.
pub(crate) fn times_told(model: &ScriptedModel, needle: &str) -> usize {
    let told = told(model);
    let texts = told.values().flatten();
    texts.map(|text| text.matches(needle).count()).sum()
}
