//! Calls of tools, carried out for the model that makes them.
//!
//! A call belongs to the thread it comes from, and by it to a lane and to the turn that is open there:
//! it reaches the conversation which that turn answers, and nothing else. What it says is enqueued in
//! the same commit that remembers the call, so a call that codex repeats after whatever broke gets
//! the answer of before, and people hear nothing twice. So it is with what it orders about teammates.
//!
//! - `approvals`: requests that people decide about
//! - `teammates`: orders, and questions about how they are
//! - `describe`: what a model reads of them
//!
//! Nothing is waited for that may not come: the answer is a receipt, or what the model is to do
//! instead. People may not come either, so their time is limited.

pub(in crate::dispatcher) mod approvals;
mod describe;
mod teammates;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tieline_channel::{ChannelId, EventKind, PostKind, WireId};
use tokio::time::Instant;
use tracing::{error, info};

use self::approvals::Asking;
use self::teammates::MAX_ORDERS;
use super::Line;
use super::lane::Work;
use super::teammates::{Ordering, tell_of_order};
use super::wakes::Wakes;
use crate::codex::ServerRequests;
use crate::codex::protocol::{Answer, ServerRequest, ServerRequestKind, ToolAnswer};
use crate::events::{Event, Events};
use crate::id::{DispatcherId, LaneId, ThreadId};
use crate::ledger::{
    Ledger, LedgerError, MAX_CALL_NAME, MessageRecord, NewCall, NewPost, OpenTurn, Order, Owner,
    SentFile,
};
use crate::outbox::{self, Reply};
use crate::teammates::{OrderError, Roster};
use crate::tools::file::{self, FileError};
use crate::tools::{Call, CallError, Set, buttons};

/// How long a file may take to be made ready: the disk it lies on may be far away.
const STAGE_WITHIN: Duration = Duration::from_secs(60);

/// How often a turn may speak to people by tools: one that has lost its way must not flood a chat.
const MAX_SAID: u32 = 100;

/// What the model is answered when something is on its way to people.
const POSTED: &str = "posted";

/// What it is answered when an emoji is.
const REACTED: &str = "reacted";

/// What it is answered when a question is.
const ASKED: &str = "asked; the answer will come as a message";

/// Carries out what the models of a dispatcher call.
pub(super) struct Calls {
    pub(super) dispatcher: DispatcherId,
    pub(super) ledger: Ledger,
    pub(super) lines: BTreeMap<ChannelId, Line>,
    /// The only place that files are sent from.
    pub(super) workspace: PathBuf,
    /// Where they are copied to.
    pub(super) outgoing: PathBuf,
    /// Those who work for the dispatcher.
    pub(super) teammates: Roster,
    /// Chats are told when work is handed out.
    pub(super) announces: bool,
    /// How people are asked about what the model wants; without, it is declined.
    pub(super) asking: Option<Asking>,
    /// Who has something to do.
    pub(super) wakes: Arc<Wakes>,
    /// Told of every call.
    pub(super) events: Events,
}

/// Why a call is not carried out; for the model.
#[derive(Debug, Error)]
enum Refusal {
    #[error("the call has no usable id; call the tool again")]
    BadName,
    #[error("this thread speaks to no chat, so nothing was done")]
    NoLane,
    #[error(
        "no turn of this conversation is open, so nothing was done; this works while you answer a message \
         or deal with a completion"
    )]
    NoTurn,
    #[error("nobody has written in this conversation yet, so there is nobody to send anything to")]
    Nobody,
    #[error(
        "this turn has sent {MAX_SAID} messages, which is the most; end your turn, or say the rest when \
         somebody writes"
    )]
    TooMuch,
    #[error(
        "nothing was done: this turn has called tools {MAX_ORDERS} times, after which it orders nothing \
         more about teammates; end your turn, and go on when a result is brought to you or somebody writes"
    )]
    TooManyOrders,
    #[error("the chat is not connected any more; say it in your final answer")]
    NotConnected,
    #[error(
        "this chat takes no files; put what matters into a message, or say where the file lies: {}",
        .0.display()
    )]
    NoFiles(PathBuf),
    #[error(
        "what you answer is no message that an emoji could be put on (a result, a pressed button or a \
         command), so nothing was done; say it in words, or leave it"
    )]
    NoMessage,
    #[error("this chat takes no reactions, so nothing was done; say it in words, or leave it")]
    NoReactions,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the file took too long to be read; try again, or say where it lies")]
    TooSlow,
    #[error(
        "tieline cannot use its disk at the moment, so nothing was done; try again in a minute"
    )]
    Ledger(#[source] LedgerError),
    #[error("nothing was done: {0}")]
    Order(OrderError),
}

impl From<LedgerError> for Refusal {
    fn from(failure: LedgerError) -> Self {
        match failure {
            LedgerError::TurnNotOpen { .. } => Self::NoTurn,
            problem @ (LedgerError::Roster(_) | LedgerError::TooLarge { .. }) => {
                Self::Order(problem.into())
            }
            other => Self::Ledger(other),
        }
    }
}

impl From<OrderError> for Refusal {
    fn from(problem: OrderError) -> Self {
        match problem {
            OrderError::Ledger(failure) => failure.into(),
            problem => Self::Order(problem),
        }
    }
}

/// Who calls.
struct Caller {
    lane: LaneId,
    open: OpenTurn,
    tools: Set,
}

/// What a call leads to.
enum Prepared {
    /// Something is done, once.
    Deed(Box<Deed>),
    /// Nothing; the model is told something that may be otherwise the next time.
    Told(String),
}

/// What a call does.
struct Deed {
    posts: Vec<NewPost>,
    receipt: String,
    /// What it made ready, to be removed if it was done before.
    file: Option<SentFile>,
    /// What it orders about teammates; the model says nothing to people by that.
    order: Option<Order>,
}

impl Deed {
    /// The model says something to people.
    fn said(posts: Vec<NewPost>, receipt: &str) -> Self {
        Self {
            posts,
            receipt: receipt.to_owned(),
            file: None,
            order: None,
        }
    }
}

/// Who hears what a model says.
struct Audience<'a> {
    line: &'a Line,
    reply: Reply,
    /// What people wrote last, if they see it as a message.
    message: Option<WireId>,
}

#[async_trait]
impl ServerRequests for Calls {
    fn is_patient(&self, request: &ServerRequest) -> bool {
        self.asking.is_some() && request.is_for_people()
    }

    async fn withdrawn(&self, request: &ServerRequest) {
        self.no_longer_asked(request).await;
    }

    async fn answer(&self, request: &ServerRequest) -> Option<Answer> {
        if let Some(asking) = self.asking
            && request.is_for_people()
        {
            return self.ask_people(request, asking).await;
        }
        let ServerRequestKind::ToolCall {
            call_id,
            namespace: None,
            tool,
            arguments,
        } = &request.kind
        else {
            return None;
        };
        let thread = request.thread_id.as_ref();
        let began_at = Instant::now();
        let answer = match self.call(thread, call_id, tool, arguments).await {
            Ok(receipt) => ToolAnswer {
                text: receipt,
                success: true,
            },
            Err(Refusal::Ledger(LedgerError::Closed)) => {
                // The daemon stops. Nothing was done, so the next one is to be asked: the
                // connection ends, and this with it.
                std::future::pending().await
            }
            Err(refusal) => {
                if let Refusal::Ledger(failure) = &refusal {
                    error!(tool, error = %failure, "a tool cannot be used");
                } else {
                    info!(tool, "a call of a tool was refused");
                }
                ToolAnswer {
                    text: refusal.to_string(),
                    success: false,
                }
            }
        };
        let events = match thread {
            Some(thread) => &self.events.thread(thread),
            None => &self.events,
        };
        events.emit(Event::ToolCalled {
            tool: tool.clone(),
            success: answer.success,
            duration_ms: u64::try_from(began_at.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        Some(Ok(answer.to_value()))
    }
}

impl Calls {
    /// Carries out a call, unless it was before. Returns the receipt.
    async fn call(
        &self,
        thread: Option<&ThreadId>,
        name: &str,
        tool: &str,
        arguments: &serde_json::Value,
    ) -> Result<String, Refusal> {
        if name.is_empty() || name.len() > MAX_CALL_NAME {
            return Err(Refusal::BadName);
        }
        let caller = self.caller(thread).await?;
        if let Some(receipt) = self.receipt(&caller, name).await? {
            info!(lane = %caller.lane, tool, "codex asks for a call again that was carried out");
            return Ok(receipt);
        }
        let call = caller.tools.read(tool, arguments)?;
        let deed = match self.prepare(&caller, call).await {
            Ok(Prepared::Deed(deed)) => deed,
            Ok(Prepared::Told(text)) => return Ok(text),
            // It may be so because the same call was carried out meanwhile.
            Err(refusal) => return self.receipt(&caller, name).await?.ok_or(refusal),
        };
        let lane = caller.lane;
        let kind_of_order = deed.order.as_ref().map(Ordering::of);
        let new = NewCall {
            lane: lane.clone(),
            turn: caller.open.key,
            call: name.to_owned(),
            tool: tool.to_owned(),
            receipt: deed.receipt,
            posts: deed.posts,
            is_said: deed.order.is_none(),
            order: deed.order,
        };
        let done = self.ledger.do_call(new).await;
        let is_in_vain = match &done {
            Ok(done) => !done.is_new,
            // Whether it happened, nobody can say.
            Err(LedgerError::Closed) => false,
            Err(_) => true,
        };
        if is_in_vain && let Some(file) = &deed.file {
            file::discard(file).await;
        }
        let done = done?;
        if let Some(ordered) = &done.ordered {
            self.teammates.wake(ordered);
            if let Some(kind) = kind_of_order {
                tell_of_order(&self.events, &kind, ordered);
            }
        }
        info!(%lane, tool, is_new = done.is_new, "a tool was called");
        Ok(done.receipt)
    }

    /// Returns the lane and the turn that a call comes from.
    async fn caller(&self, thread: Option<&ThreadId>) -> Result<Caller, Refusal> {
        let thread = thread.ok_or(Refusal::NoLane)?;
        let lane = self.ledger.lane_of_thread(&self.dispatcher, thread).await?;
        let lane = lane.ok_or(Refusal::NoLane)?;
        let open = lane.open.ok_or(Refusal::NoTurn)?;
        Ok(Caller {
            lane: lane.id,
            open,
            tools: match lane.owner {
                Owner::Teammate(_) | Owner::Session(_) => Set::Teammate,
                // A thread that was begun when there could be teammates is told that they are off.
                Owner::Chat => Set::Dispatching,
            },
        })
    }

    /// Returns what a call was answered when it was carried out, if it was.
    async fn receipt(&self, caller: &Caller, name: &str) -> Result<Option<String>, LedgerError> {
        let turn = caller.open.key;
        let done = self.ledger.done_call(&caller.lane, turn, name).await?;
        Ok(done.map(|call| call.receipt))
    }

    /// Makes ready what a call does.
    async fn prepare(&self, caller: &Caller, call: Call) -> Result<Prepared, Refusal> {
        let deed = match call {
            Call::Reply { text } => {
                let Audience { line, reply, .. } = self.audience(caller).await?;
                let posts = outbox::compose(&reply, &text, Some(line.capabilities()));
                Deed::said(posts, POSTED)
            }
            Call::React { emoji } => {
                let audience = self.audience(caller).await?;
                if !audience.line.capabilities().reactions {
                    return Err(Refusal::NoReactions);
                }
                let message = audience.message.ok_or(Refusal::NoMessage)?;
                let reaction = outbox::reaction(&audience.reply, message, emoji);
                Deed::said(vec![reaction], REACTED)
            }
            Call::AskUser { question, choices } => {
                let Audience { reply, .. } = self.audience(caller).await?;
                let mut post = reply.template(&question);
                post.buttons = buttons(&question, &choices);
                Deed::said(vec![post], ASKED)
            }
            Call::SendFile { path, text } => {
                let Audience { line, reply, .. } = self.audience(caller).await?;
                let capabilities = line.capabilities();
                if !capabilities.files {
                    return Err(Refusal::NoFiles(self.workspace.join(path)));
                }
                let limit = capabilities.max_file_bytes;
                let staging = file::stage(&self.workspace, &path, limit, &self.outgoing);
                let file = tokio::time::timeout(STAGE_WITHIN, staging)
                    .await
                    .map_err(|_elapsed| Refusal::TooSlow)??;
                let mut post = reply.template(text.as_deref().unwrap_or_default());
                post.file = Some(file.clone());
                Deed {
                    file: Some(file),
                    ..Deed::said(vec![post], POSTED)
                }
            }
            Call::Order(order) => self.order(caller, order).await?,
            Call::Look(question) => {
                return self.look(caller, question).await.map(Prepared::Told);
            }
        };
        Ok(Prepared::Deed(Box::new(deed)))
    }

    /// Returns who hears what the model says in a turn.
    async fn audience(&self, caller: &Caller) -> Result<Audience<'_>, Refusal> {
        if caller.open.said >= MAX_SAID {
            return Err(Refusal::TooMuch);
        }
        let work = Work::load(&self.ledger, &caller.lane, &caller.open).await?;
        let origin = work.origin.ok_or(Refusal::Nobody)?;
        let line = self
            .lines
            .get(&origin.channel)
            .ok_or(Refusal::NotConnected)?;
        let reply = Reply {
            channel: origin.channel,
            to: origin.conversation,
            reply_to: work.messages.last().map(|last| last.message.id.clone()),
            settles: Vec::new(),
            kind: PostKind::Answer,
            language: line.language,
        };
        let message = work.messages.last().and_then(written);
        Ok(Audience {
            line,
            reply,
            message,
        })
    }
}

/// Returns the platform's name of a message, if people see one: a press and a command have none.
fn written(record: &MessageRecord) -> Option<WireId> {
    match record.key.kind {
        EventKind::Press | EventKind::Command => None,
        EventKind::Message | EventKind::Edit | EventKind::Deletion => {
            Some(record.message.id.clone())
        }
    }
}

#[cfg(test)]
mod tests;
