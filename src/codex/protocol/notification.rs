//! What the app-server tells us unasked.

use serde::Deserialize;
use serde_json::Value;

use super::item::Item;
use super::thread::ThreadStatus;
use super::turn::{TurnError, TurnInfo};
use crate::id::{ThreadId, TurnId};

/// A notification: whom it concerns and what it says.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The name on the wire.
    pub method: String,
    /// The thread it concerns.
    pub thread_id: Option<ThreadId>,
    /// The turn it concerns.
    pub turn_id: Option<TurnId>,
    /// The type of the item that it is about, as codex names it.
    pub item_type: Option<String>,
    /// What it says.
    pub body: NotificationBody,
}

/// What a notification says, as far as we act on it.
#[derive(Clone, Debug)]
pub enum NotificationBody {
    /// `turn/started`
    TurnStarted(TurnInfo),
    /// `turn/completed`
    TurnCompleted(TurnInfo),
    /// `item/started`
    ItemStarted(Item),
    /// `item/completed`
    ItemCompleted(Item),
    /// `item/agentMessage/delta`
    AgentMessageDelta {
        /// The message it belongs to.
        item_id: String,
        /// The piece of text.
        delta: String,
    },
    /// `item/commandExecution/outputDelta`
    CommandOutputDelta {
        /// The command it belongs to.
        item_id: String,
        /// The piece of output.
        delta: String,
    },
    /// `item/plan/delta`
    PlanDelta {
        /// The piece of text.
        delta: String,
    },
    /// `turn/plan/updated`
    PlanUpdated {
        /// The steps: their status and text.
        steps: Vec<PlanStep>,
    },
    /// `turn/diff/updated`: files changed; the diff itself is not kept.
    DiffUpdated,
    /// `error`
    Error {
        /// What happened.
        error: TurnError,
        /// Whether codex tries again by itself.
        will_retry: bool,
    },
    /// `thread/status/changed`
    ThreadStatusChanged(ThreadStatus),
    /// `thread/closed`: the thread was unloaded.
    ThreadClosed,
    /// `thread/name/updated`
    ThreadNameUpdated(Option<String>),
    /// `configWarning`, `warning` and `deprecationNotice`
    Warning {
        /// One line.
        summary: String,
        /// More of it.
        details: Option<String>,
    },
    /// `serverRequest/resolved`: a request of the server needs no answer any more.
    RequestResolved {
        /// Codex's name of the request.
        request: Value,
    },
    /// Progress that carries nothing for us: pieces of reasoning, of which not even the text is
    /// read, token counts, patches in the making.
    Activity,
    /// Something else.
    Unknown,
}

/// A step of the model's plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PlanStep {
    /// What is to be done.
    pub step: String,
    /// How far it is: `pending`, `inProgress` or `completed`.
    pub status: String,
}

impl Notification {
    /// The methods that are parsed into a body of their own.
    pub const METHODS: &'static [&'static str] = &[
        "turn/started",
        "turn/completed",
        "item/started",
        "item/completed",
        "item/agentMessage/delta",
        "item/commandExecution/outputDelta",
        "item/plan/delta",
        "turn/plan/updated",
        "turn/diff/updated",
        "error",
        "thread/status/changed",
        "thread/closed",
        "thread/name/updated",
        "configWarning",
        "warning",
        "deprecationNotice",
        "serverRequest/resolved",
    ];

    /// The methods we ask to be spared: we would only throw them away. Pieces of answers are not
    /// among them: people like to see those.
    pub const OPT_OUT: &'static [&'static str] = &[
        "account/rateLimits/updated",
        "thread/readState/changed",
        "remoteControl/status/changed",
        "thread/goal/cleared",
    ];

    /// Reads a notification.
    ///
    /// # Errors
    /// A method that we act on has parameters of another shape than we know.
    pub fn parse(method: String, mut params: Value) -> Result<Self, serde_json::Error> {
        let thread_id = string_at(&params, "threadId")
            .or_else(|| string_at(params.get("thread")?, "id"))
            .map(ThreadId::new);
        let turn_id = string_at(&params, "turnId")
            .or_else(|| string_at(params.get("turn")?, "id"))
            .map(TurnId::new);
        let item_type = params.get("item").and_then(|item| string_at(item, "type"));
        let body = match method.as_str() {
            "turn/started" => NotificationBody::TurnStarted(field(&mut params, "turn")?),
            "turn/completed" => NotificationBody::TurnCompleted(field(&mut params, "turn")?),
            "item/started" => NotificationBody::ItemStarted(field(&mut params, "item")?),
            "item/completed" => NotificationBody::ItemCompleted(field(&mut params, "item")?),
            "item/agentMessage/delta" => NotificationBody::AgentMessageDelta {
                item_id: field(&mut params, "itemId")?,
                delta: field(&mut params, "delta")?,
            },
            "item/commandExecution/outputDelta" => NotificationBody::CommandOutputDelta {
                item_id: field(&mut params, "itemId")?,
                delta: field(&mut params, "delta")?,
            },
            "item/plan/delta" => NotificationBody::PlanDelta {
                delta: field(&mut params, "delta")?,
            },
            "turn/plan/updated" => NotificationBody::PlanUpdated {
                steps: field(&mut params, "plan")?,
            },
            "turn/diff/updated" => NotificationBody::DiffUpdated,
            "error" => NotificationBody::Error {
                error: field(&mut params, "error")?,
                will_retry: field(&mut params, "willRetry")?,
            },
            "thread/status/changed" => {
                NotificationBody::ThreadStatusChanged(field(&mut params, "status")?)
            }
            "thread/closed" => NotificationBody::ThreadClosed,
            "thread/name/updated" => {
                NotificationBody::ThreadNameUpdated(string_at(&params, "threadName"))
            }
            "configWarning" | "deprecationNotice" => NotificationBody::Warning {
                summary: field(&mut params, "summary")?,
                details: string_at(&params, "details"),
            },
            "warning" => NotificationBody::Warning {
                summary: field(&mut params, "message")?,
                details: None,
            },
            "serverRequest/resolved" => NotificationBody::RequestResolved {
                request: field(&mut params, "requestId")?,
            },
            _ if turn_id.is_some() => NotificationBody::Activity,
            _ => NotificationBody::Unknown,
        };
        Ok(Self {
            method,
            thread_id,
            turn_id,
            item_type,
            body,
        })
    }

    /// Returns whether this may be left out when its reader is far behind: the same is said again
    /// in full by something that is never left out.
    pub(crate) fn is_droppable(&self) -> bool {
        match &self.body {
            NotificationBody::AgentMessageDelta { .. }
            | NotificationBody::CommandOutputDelta { .. }
            | NotificationBody::PlanDelta { .. }
            | NotificationBody::PlanUpdated { .. }
            | NotificationBody::DiffUpdated
            | NotificationBody::ThreadStatusChanged(_)
            | NotificationBody::ThreadNameUpdated(_)
            | NotificationBody::Warning { .. }
            | NotificationBody::Activity
            | NotificationBody::Unknown => true,
            NotificationBody::TurnStarted(_)
            | NotificationBody::TurnCompleted(_)
            | NotificationBody::ItemStarted(_)
            | NotificationBody::ItemCompleted(_)
            | NotificationBody::Error { .. }
            | NotificationBody::RequestResolved { .. }
            | NotificationBody::ThreadClosed => false,
        }
    }
}

fn string_at(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn field<T: serde::de::DeserializeOwned>(
    params: &mut Value,
    key: &str,
) -> Result<T, serde_json::Error> {
    serde_json::from_value(params.get_mut(key).map_or(Value::Null, Value::take))
}
