//! The two tasks behind a [`Client`]: one reads, one writes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{ANSWERS, Client, PATIENT_ANSWERS, Shared, ThreadEvent};
use super::notice::{FrameError, Notice};
use super::protocol::{
    Answer, FileChange, Item, Notification, NotificationBody, RpcError, ServerRequest,
    ServerRequestKind,
};
use super::wire::{CloseReason, Incoming, Outgoing, Wire};
use crate::id::ThreadId;

/// Frames that wait to be written.
const OUTGOING: usize = 256;
/// How long a connection may still be read after writing to it has failed: a child that ends
/// may have said something before.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How many changes of files that are under way are remembered, until codex asks about them.
const CHANGES: usize = 64;

/// Answers what the app-server asks.
///
/// Each request gets exactly one answer, whatever an implementation does: when it panics or has
/// too many at once, the request is declined for it.
#[async_trait]
pub trait ServerRequests: Send + Sync {
    /// Returns the answer; `None` declines in the form that lets the turn go on and tells the
    /// model. The turn waits meanwhile, without limit.
    async fn answer(&self, request: &ServerRequest) -> Option<Answer>;

    /// Returns whether the answer may take its time, because people are asked. Such requests have
    /// bounds of their own, and the turn does not count as silent meanwhile.
    fn is_patient(&self, _request: &ServerRequest) -> bool {
        false
    }

    /// Takes note that codex needs no answer to a patient request any more; what was answering it
    /// has been dropped.
    async fn withdrawn(&self, _request: &ServerRequest) {}
}

/// Declines everything at once.
#[derive(Clone, Copy, Debug)]
pub struct DeclineAll;

/// When a silent peer counts as deaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// How often it is pinged.
    pub ping_every: Duration,
    /// How long it may be silent.
    pub deaf_after: Duration,
}

/// The owner of a connection; dropping it ends the connection at once.
pub(super) struct Connection {
    client: Client,
    tasks: JoinSet<()>,
}

struct Reader {
    shared: Arc<Shared>,
    handler: Arc<dyn ServerRequests>,
    answers: JoinSet<(ServerRequest, bool)>,
    /// Which request a task answers, should it panic.
    answering: HashMap<task::Id, Answering>,
    /// What the changes of files are that are under way, the newest last.
    changes: VecDeque<(ThreadId, String, Vec<FileChange>)>,
}

/// A request that is being answered.
struct Answering {
    /// Codex's name of it.
    id: Value,
    thread_id: Option<ThreadId>,
    is_patient: bool,
    /// Codex needs the answer no longer.
    withdrawn: CancellationToken,
}

/// Tells everybody of the end, also when the task is aborted.
struct CloseOnDrop(Arc<Shared>);

#[async_trait]
impl ServerRequests for DeclineAll {
    async fn answer(&self, _request: &ServerRequest) -> Option<Answer> {
        None
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(10),
            deaf_after: Duration::from_secs(20),
        }
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn open(wire: Wire, handler: Arc<dyn ServerRequests>, liveness: Liveness) -> Self {
        let (sender, outgoing) = mpsc::channel(OUTGOING);
        let shared = Arc::new(Shared::new(sender));
        let (failed, write_failed) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(write(
            shared.clone(),
            wire.sink,
            outgoing,
            liveness.ping_every,
            failed,
        ));
        let reader = Reader {
            shared: shared.clone(),
            handler,
            answers: JoinSet::new(),
            answering: HashMap::new(),
            changes: VecDeque::new(),
        };
        tasks.spawn(async move {
            let guard = CloseOnDrop(reader.shared.clone());
            let reason = reader
                .run(wire.source, write_failed, liveness.deaf_after)
                .await;
            tracing::debug!(%reason, "connection ended");
            guard.0.close(reason);
        });
        Self {
            client: Client { shared },
            tasks,
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Says goodbye and waits for both tasks, a second at most.
    pub(super) async fn close(mut self) {
        self.client.shared.close(CloseReason::Requested);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What has not ended by then is aborted with the set.
        drop(timeout(Duration::from_secs(1), all).await);
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseReason::Requested);
    }
}

async fn write(
    shared: Arc<Shared>,
    mut sink: impl futures_util::Sink<Outgoing, Error = CloseReason> + Unpin,
    mut outgoing: mpsc::Receiver<Outgoing>,
    ping_every: Duration,
    failed: oneshot::Sender<CloseReason>,
) {
    let mut ping = interval_at(Instant::now() + ping_every, ping_every);
    let failure = loop {
        let frame = tokio::select! {
            () = shared.closing.cancelled() => break None,
            frame = outgoing.recv() => match frame {
                Some(frame) => frame,
                None => break None,
            },
            _ = ping.tick() => Outgoing::Ping,
        };
        // A peer that does not read may keep us here until it counts as deaf.
        tokio::select! {
            () = shared.closing.cancelled() => break None,
            sent = sink.send(frame) => if let Err(reason) = sent {
                break Some(reason);
            },
        }
    };
    match failure {
        // The reader may be gone already.
        Some(reason) => drop(failed.send(reason)),
        None => drop(timeout(LAST_WORDS, sink.send(Outgoing::Close)).await),
    }
}

// === impl Reader ===

impl Reader {
    async fn run(
        mut self,
        mut source: impl futures_util::Stream<Item = Result<Incoming, CloseReason>> + Unpin,
        mut write_failed: oneshot::Receiver<CloseReason>,
        deaf_after: Duration,
    ) -> CloseReason {
        let shared = self.shared.clone();
        let mut end_at = Instant::now() + deaf_after;
        let mut end_reason = CloseReason::Deaf(deaf_after);
        let mut can_write = true;
        loop {
            tokio::select! {
                // In this order, so that what is already here counts before any deadline.
                biased;
                () = shared.closing.cancelled() => return CloseReason::Requested,
                Some(answered) = self.answers.join_next_with_id() => self.answered(answered).await,
                incoming = source.next() => {
                    match incoming {
                        None => return CloseReason::Ended,
                        Some(Err(reason)) => return reason,
                        Some(Ok(incoming)) => self.take(incoming).await,
                    }
                    // Counted from now on: delivering may have taken its time.
                    if can_write {
                        end_at = Instant::now() + deaf_after;
                    }
                }
                failure = &mut write_failed, if can_write => {
                    can_write = false;
                    if let Ok(reason) = failure {
                        end_at = Instant::now() + LAST_WORDS;
                        end_reason = reason;
                    }
                }
                () = sleep_until(end_at) => return end_reason,
            }
        }
    }

    async fn take(&mut self, incoming: Incoming) {
        let text = match incoming {
            Incoming::Heard => return,
            Incoming::Garbage(what) => {
                return self.shared.bad_frame(FrameError::NotJson {
                    bytes: 0,
                    problem: what.to_owned(),
                });
            }
            Incoming::Text(text) => text,
        };
        let message = match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(message)) => message,
            Ok(_) => return self.shared.bad_frame(FrameError::UnknownShape),
            Err(error) => {
                return self.shared.bad_frame(FrameError::NotJson {
                    bytes: text.len(),
                    problem: error.to_string(),
                });
            }
        };
        drop(text);
        self.dispatch(message).await;
    }

    async fn dispatch(&mut self, mut message: serde_json::Map<String, Value>) {
        let id = message.remove("id");
        let method = message.remove("method");
        let params = message.remove("params").unwrap_or(Value::Null);
        match (id, method) {
            (Some(id), Some(Value::String(method))) => self.requested(id, method, params).await,
            (None, Some(Value::String(method))) => self.notified(method, params).await,
            (Some(id), None) => {
                let answer = if let Some(error) = message.remove("error") {
                    Err(
                        serde_json::from_value(error).unwrap_or_else(|error| RpcError {
                            code: 0,
                            message: format!("an error that cannot be read: {error}"),
                            data: None,
                        }),
                    )
                } else if let Some(result) = message.remove("result") {
                    Ok(result)
                } else {
                    return self.shared.bad_frame(FrameError::UnknownShape);
                };
                self.shared.answered(id.as_u64(), answer);
            }
            (None | Some(_), None | Some(_)) => self.shared.bad_frame(FrameError::UnknownShape),
        }
    }

    async fn notified(&mut self, method: String, params: Value) {
        let notification = match Notification::parse(method.clone(), params) {
            Ok(notification) => notification,
            Err(_error) => {
                return self.shared.bad_frame(FrameError::Notification { method });
            }
        };
        if let NotificationBody::RequestResolved { request } = &notification.body {
            let named = self.answering.values();
            for answering in named.filter(|it| it.id == *request) {
                answering.withdrawn.cancel();
            }
        }
        if let Some(thread_id) = notification.thread_id.clone() {
            self.note_changes(&thread_id, &notification.body);
            let event = ThreadEvent::Notification(notification);
            return self.shared.deliver(&thread_id, event).await;
        }
        match notification.body {
            NotificationBody::Warning { summary, details } => {
                tracing::info!(summary, "codex warns");
                self.shared.notice(Notice::Warning { summary, details });
            }
            _ => {
                let unknown = &self.shared.counters.unknown_notifications;
                unknown.fetch_add(1, Ordering::Relaxed);
                tracing::trace!(method, "no use for this notification");
            }
        }
    }

    /// Remembers what changes of files are about: a request to allow one does not say.
    fn note_changes(&mut self, thread_id: &ThreadId, body: &NotificationBody) {
        match body {
            NotificationBody::ItemStarted(Item::FileChange { id, changes, .. }) => {
                self.changes
                    .push_back((thread_id.clone(), id.clone(), changes.clone()));
                if self.changes.len() > CHANGES {
                    self.changes.pop_front();
                }
            }
            NotificationBody::ItemCompleted(Item::FileChange { id, .. }) => {
                self.changes.retain(|(_, item, _)| item != id);
            }
            NotificationBody::TurnCompleted(_) => {
                self.changes.retain(|(thread, _, _)| thread != thread_id);
            }
            _ => {}
        }
    }

    /// Says what a request is about that does not say itself.
    fn complete(&self, request: &mut ServerRequest) {
        if let ServerRequestKind::FileChangeApproval { changes, .. } = &mut request.kind {
            let (thread, item) = (&request.thread_id, &request.item_id);
            let mut known = self.changes.iter().rev();
            *changes = known
                .find(|(of, id, _)| Some(of) == thread.as_ref() && Some(id) == item.as_ref())
                .map(|(_, _, changes)| changes.clone());
        }
    }

    async fn requested(&mut self, id: Value, method: String, params: Value) {
        let mut request = ServerRequest::parse(&id, method, &params);
        self.complete(&mut request);
        let is_patient = self.handler.is_patient(&request);
        let same = self.answering.values();
        let same = same.filter(|it| it.is_patient == is_patient).count();
        if same >= if is_patient { PATIENT_ANSWERS } else { ANSWERS } {
            tracing::warn!(
                method = request.method,
                "too many requests of codex at once"
            );
            send_answer(&self.shared, &id, request.put_off()).await;
            return self.declined(request).await;
        }
        let handler = self.handler.clone();
        let shared = self.shared.clone();
        let withdrawn = CancellationToken::new();
        let answering = Answering {
            id: id.clone(),
            thread_id: request.thread_id.clone(),
            is_patient,
            withdrawn: withdrawn.clone(),
        };
        if is_patient {
            self.waits(&answering, true).await;
        }
        let task = self.answers.spawn(async move {
            let answer = if is_patient {
                let Some(answer) = withdrawn
                    .run_until_cancelled(handler.answer(&request))
                    .await
                else {
                    handler.withdrawn(&request).await;
                    return (request, false);
                };
                answer
            } else {
                handler.answer(&request).await
            };
            let declined = answer.is_none();
            let answer = answer.unwrap_or_else(|| request.decline());
            send_answer(&shared, &id, answer).await;
            (request, declined)
        });
        self.answering.insert(task.id(), answering);
    }

    /// Tells the reader of a thread that people are asked, or no longer.
    async fn waits(&self, answering: &Answering, begins: bool) {
        if let Some(thread_id) = &answering.thread_id {
            let request = answering.id.to_string();
            let event = match begins {
                true => ThreadEvent::Asked { request },
                false => ThreadEvent::Answered { request },
            };
            self.shared.deliver(thread_id, event).await;
        }
    }

    async fn answered(&mut self, answered: Result<(task::Id, (ServerRequest, bool)), JoinError>) {
        match answered {
            Ok((task, (request, declined))) => {
                let answering = self.answering.remove(&task);
                if let Some(answering) = answering.filter(|it| it.is_patient) {
                    self.waits(&answering, false).await;
                }
                if declined {
                    self.declined(request).await;
                }
            }
            Err(error) => {
                let Some(answering) = self.answering.remove(&error.id()) else {
                    return;
                };
                if answering.is_patient {
                    self.waits(&answering, false).await;
                }
                tracing::error!(%error, "answering a request of codex failed");
                let answer = Err(RpcError {
                    code: -32603,
                    message: "tieline failed to answer".to_owned(),
                    data: None,
                });
                send_answer(&self.shared, &answering.id, answer).await;
            }
        }
    }

    async fn declined(&self, request: ServerRequest) {
        tracing::info!(
            method = request.method,
            thread_id = request.thread_id.as_ref().map(tracing::field::display),
            "declined a request of codex"
        );
        if let Some(thread_id) = request.thread_id.clone() {
            let event = ThreadEvent::Declined(request);
            self.shared.deliver(&thread_id, event).await;
        }
    }
}

#[derive(Serialize)]
struct AnswerFrame<'a> {
    id: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<RpcError>,
}

async fn send_answer(shared: &Shared, id: &Value, answer: Answer) {
    let (result, error) = match answer {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    match serde_json::to_string(&AnswerFrame { id, result, error }) {
        // When the connection is gone, so is the question.
        Ok(text) => drop(shared.outgoing.send(Outgoing::Text(text)).await),
        Err(error) => tracing::error!(%error, "an answer to codex could not be encoded"),
    }
}
