//! One connection to an app-server: requests, answers, and what it says unasked.
//!
//! Two tasks own the connection, one for each direction; a [`Client`] is a cheap handle. When
//! the connection ends everybody who waits is told why, and a handle never comes back to life: a
//! new connection is a new client, so nothing late can reach the wrong one.
//!
//! What is bounded, and what happens when it is full:
//! - requests in flight ([`IN_FLIGHT`]): further ones wait, within their own deadline;
//! - frames to be written: whoever has one waits;
//! - events of a thread ([`EVENTS`]): what says nothing lasting is left out and counted when three
//!   quarters are used; the rest waits, and after [`CUT_OFF`] the reader loses its subscription;
//! - notices: the oldest are lost, and the receiver learns how many;
//! - requests of the server being answered ([`ANSWERS`]; those that people are asked about,
//!   [`PATIENT_ANSWERS`]): further ones are declined at once, calls of tools put off.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::call::CallError;
use super::notice::{FrameError, Notice};
use super::protocol::{Method, Notification, RpcError, ServerRequest};
use super::stats::{ClientStats, Counters};
use super::wire::{CloseReason, Outgoing, WRITE_LIMIT};
use crate::id::ThreadId;

/// Requests in flight. Codex refuses from about 900 on.
pub(super) const IN_FLIGHT: usize = 64;
/// Events of one thread that wait to be read.
const EVENTS: usize = 1024;
/// How long a thread's reader may hold up everything else.
pub(super) const CUT_OFF: Duration = Duration::from_secs(10);
/// Requests of the server that are being answered.
pub(super) const ANSWERS: usize = 64;
/// Requests of the server that wait for people, and so for as long as those take.
pub(super) const PATIENT_ANSWERS: usize = 256;

/// A handle to a connection; cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

/// Events of one thread, in order. Dropping it ends the subscription.
pub struct ThreadEvents {
    thread_id: ThreadId,
    generation: u64,
    receiver: mpsc::Receiver<ThreadEvent>,
    client: Client,
}

/// Something that concerns one thread.
#[derive(Clone, Debug)]
pub enum ThreadEvent {
    /// Codex said something.
    Notification(Notification),
    /// Codex asked for something and was told no.
    Declined(ServerRequest),
    /// Codex asked for something about which people are asked: the turn waits for them.
    Asked {
        /// Codex's name of the request.
        request: String,
    },
    /// It waits for them no longer.
    Answered {
        /// Codex's name of the request.
        request: String,
    },
}

pub(super) struct Shared {
    pub(super) outgoing: mpsc::Sender<Outgoing>,
    in_flight: Semaphore,
    next_id: AtomicU64,
    next_generation: AtomicU64,
    waiting: Mutex<Waiting>,
    threads: Mutex<HashMap<ThreadId, Subscriber>>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) counters: Counters,
    /// Asks both tasks to end.
    pub(super) closing: CancellationToken,
    closed: watch::Sender<Option<CloseReason>>,
}

enum Waiting {
    Open(HashMap<u64, oneshot::Sender<Result<Value, RpcError>>>),
    Closed(CloseReason),
}

struct Subscriber {
    generation: u64,
    sender: mpsc::Sender<ThreadEvent>,
}

/// Takes the request out of the table when its caller is gone.
struct Expected<'a> {
    id: u64,
    shared: &'a Shared,
}

#[derive(Serialize)]
struct Request<'a, P> {
    id: u64,
    method: &'static str,
    params: &'a P,
}

// === impl Client ===

impl Client {
    /// Asks, and waits for the answer as long as the method's own deadline allows.
    ///
    /// The request is sent when the future is first polled. Dropping the future forgets the
    /// answer, not the request.
    pub fn call<M: Method>(
        &self,
        params: &M::Params,
    ) -> impl Future<Output = Result<M::Response, CallError>> + Send + use<M> {
        self.call_within::<M>(params, M::DEADLINE)
    }

    /// As [`call`](Self::call), with a deadline of the caller's.
    pub fn call_within<M: Method>(
        &self,
        params: &M::Params,
        deadline: Duration,
    ) -> impl Future<Output = Result<M::Response, CallError>> + Send + use<M> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let encoded = serde_json::to_string(&Request {
            id,
            method: M::NAME,
            params,
        });
        let client = self.clone();
        async move {
            let method = M::NAME;
            let text = encoded.map_err(|source| CallError::Encode { method, source })?;
            if text.len() > WRITE_LIMIT {
                return Err(CallError::TooLarge {
                    method,
                    bytes: text.len(),
                    limit: WRITE_LIMIT,
                });
            }
            let answer = timeout_at(
                Instant::now() + deadline,
                client.shared.exchange(id, method, text),
            )
            .await
            .map_err(|_elapsed| CallError::TimedOut {
                method,
                after: deadline,
            })??;
            serde_json::from_value(answer).map_err(|source| CallError::Response { method, source })
        }
    }

    /// Subscribes to what concerns a thread; do so before it is resumed and nothing is missed.
    ///
    /// There is one subscription per thread: a newer one ends the older.
    pub fn events(&self, thread_id: &ThreadId) -> ThreadEvents {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let generation = self.shared.next_generation.fetch_add(1, Ordering::Relaxed);
        let mut threads = lock(&self.shared.threads);
        // After the end of the connection nobody would take the sender out again.
        if self.close_reason().is_none() {
            threads.insert(thread_id.clone(), Subscriber { generation, sender });
        }
        ThreadEvents {
            thread_id: thread_id.clone(),
            generation,
            receiver,
            client: self.clone(),
        }
    }

    /// Subscribes to what concerns the whole process. A slow reader loses the oldest.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Waits until the connection has ended, and tells why.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        let mut closed = self.shared.closed.subscribe();
        async move {
            match closed.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or(CloseReason::Ended),
                Err(_sender_gone) => CloseReason::Ended,
            }
        }
    }

    /// Returns why the connection has ended, if it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.closed.borrow().clone()
    }

    /// Returns figures about the connection.
    pub fn stats(&self) -> ClientStats {
        self.shared.counters.read()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("closed", &self.close_reason())
            .finish_non_exhaustive()
    }
}

// === impl ThreadEvents ===

impl ThreadEvents {
    /// Returns the next event; `None` when the subscription has ended: with the connection
    /// (see [`Client::close_reason`]), by a newer one, or because nothing was read for 10 s while
    /// the queue was full. Cancel-safe.
    pub async fn next(&mut self) -> Option<ThreadEvent> {
        self.receiver.recv().await
    }

    /// Returns an event that is already here.
    pub fn try_next(&mut self) -> Option<ThreadEvent> {
        self.receiver.try_recv().ok()
    }

    /// Returns whether events still come.
    pub fn is_live(&self) -> bool {
        lock(&self.client.shared.threads)
            .get(&self.thread_id)
            .is_some_and(|subscriber| subscriber.generation == self.generation)
    }
}

impl Drop for ThreadEvents {
    fn drop(&mut self) {
        self.client
            .shared
            .unsubscribe(&self.thread_id, self.generation);
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(outgoing: mpsc::Sender<Outgoing>) -> Self {
        Self {
            outgoing,
            in_flight: Semaphore::new(IN_FLIGHT),
            next_id: AtomicU64::new(1),
            next_generation: AtomicU64::new(1),
            waiting: Mutex::new(Waiting::Open(HashMap::new())),
            threads: Mutex::new(HashMap::new()),
            notices: broadcast::channel(64).0,
            counters: Counters::default(),
            closing: CancellationToken::new(),
            closed: watch::channel(None).0,
        }
    }

    async fn exchange(
        &self,
        id: u64,
        method: &'static str,
        text: String,
    ) -> Result<Value, CallError> {
        let closed = |reason| CallError::Closed { method, reason };
        let _permit = self
            .in_flight
            .acquire()
            .await
            .map_err(|_closed| closed(self.reason_or_ended()))?;
        let (sender, receiver) = oneshot::channel();
        let _expected = self.expect(id, sender).map_err(closed)?;
        if self.outgoing.send(Outgoing::Text(text)).await.is_err() {
            return Err(closed(self.reason_or_ended()));
        }
        match receiver.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(CallError::Refused { method, error }),
            Err(_dropped) => Err(closed(self.reason_or_ended())),
        }
    }

    fn expect(
        &self,
        id: u64,
        sender: oneshot::Sender<Result<Value, RpcError>>,
    ) -> Result<Expected<'_>, CloseReason> {
        match &mut *lock(&self.waiting) {
            Waiting::Open(table) => {
                table.insert(id, sender);
                Ok(Expected { id, shared: self })
            }
            Waiting::Closed(reason) => Err(reason.clone()),
        }
    }

    /// Hands an answer to who asked.
    pub(super) fn answered(&self, id: Option<u64>, answer: Result<Value, RpcError>) {
        let waiting = id.and_then(|id| match &mut *lock(&self.waiting) {
            Waiting::Open(table) => table.remove(&id),
            Waiting::Closed(_) => None,
        });
        let taken = waiting.is_some_and(|sender| sender.send(answer).is_ok());
        if !taken {
            self.counters.late_answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands an event to the reader of its thread.
    pub(super) async fn deliver(&self, thread_id: &ThreadId, event: ThreadEvent) {
        let Some((sender, generation)) = lock(&self.threads)
            .get(thread_id)
            .map(|subscriber| (subscriber.sender.clone(), subscriber.generation))
        else {
            return;
        };
        let is_droppable = match &event {
            ThreadEvent::Notification(notification) => notification.is_droppable(),
            ThreadEvent::Declined(_) | ThreadEvent::Asked { .. } | ThreadEvent::Answered { .. } => {
                false
            }
        };
        if is_droppable {
            if sender.capacity() < EVENTS / 4 || sender.try_send(event).is_err() {
                self.counters.dropped_events.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        if sender.send_timeout(event, CUT_OFF).await.is_err() {
            tracing::warn!(%thread_id, "nobody reads the events of this thread; its reader is cut off");
            self.unsubscribe(thread_id, generation);
        }
    }

    fn unsubscribe(&self, thread_id: &ThreadId, generation: u64) {
        let mut threads = lock(&self.threads);
        if threads
            .get(thread_id)
            .is_some_and(|subscriber| subscriber.generation == generation)
        {
            threads.remove(thread_id);
        }
    }

    pub(super) fn bad_frame(&self, error: FrameError) {
        let before = self.counters.bad_frames.fetch_add(1, Ordering::Relaxed);
        // Once is enough to look into it; a broken peer may send thousands.
        if before == 0 {
            tracing::warn!(%error, "passed over a frame; further ones are only counted");
        } else {
            tracing::debug!(%error, "passed over a frame");
        }
        self.notice(Notice::BadFrame(error));
    }

    pub(super) fn notice(&self, notice: Notice) {
        // Nobody listening is fine.
        drop(self.notices.send(notice));
    }

    /// Ends everything that depends on the connection. The first reason stays.
    pub(super) fn close(&self, reason: CloseReason) {
        let table = {
            let mut waiting = lock(&self.waiting);
            match &mut *waiting {
                Waiting::Closed(_) => return,
                Waiting::Open(table) => {
                    let table = std::mem::take(table);
                    *waiting = Waiting::Closed(reason.clone());
                    table
                }
            }
        };
        // The reason comes first: whoever sees an end below asks for it.
        self.closed.send_replace(Some(reason));
        self.in_flight.close();
        drop(table);
        lock(&self.threads).clear();
        self.closing.cancel();
    }

    fn reason_or_ended(&self) -> CloseReason {
        self.closed.borrow().clone().unwrap_or(CloseReason::Ended)
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        if let Waiting::Open(table) = &mut *lock(&self.shared.waiting) {
            table.remove(&self.id);
        }
    }
}

/// Locks for a few instructions; what a panicking holder left is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
