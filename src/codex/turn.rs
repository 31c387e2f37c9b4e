//! One turn: from the input to the one event that settles it.

mod event;
mod interrupt;
mod noise;
mod progress;

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use tieline_channel::WithCauses;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub use self::event::{Lost, LostReason, ToolKind, ToolUse, TurnEnd, TurnEvent};
pub use self::interrupt::Interrupter;
use self::interrupt::{Interrupting, interrupt};
pub use self::noise::Noise;
use self::progress::Progress;
use super::call::{CallError, Refusal};
use super::client::{Client, ThreadEvent, ThreadEvents};
use super::failure::{Failure, FailureKind};
use super::protocol::{
    NotificationBody, TurnInfo, TurnInterruptParams, TurnOverrides, TurnSteer, TurnSteerParams,
    UserInput,
};
use super::thread::Thread;
use crate::id::{ThreadId, TurnId};

/// How long a turn may take to end once it was interrupted; it takes 8 ms.
const INTERRUPT_GRACE: Duration = Duration::from_secs(15);
/// How long the end of a turn that is over may be on its way.
const END_GRACE: Duration = Duration::from_secs(1);

/// How a turn is to be run.
#[derive(Clone, Debug)]
pub struct TurnOptions {
    /// Recorded with the input, to find it by after a crash. Codex does not check it.
    pub client_message_id: Option<String>,
    /// How long the turn may be silent. Announcements that codex tries again do not count.
    pub idle_limit: Duration,
    /// What changes with this turn.
    pub overrides: TurnOverrides,
}

/// A turn in flight.
///
/// Borrows its thread: one at a time. Everything happens in [`next`](Self::next), so it has to be
/// called until it returns `None`. Dropping a turn stops watching it, not the turn.
pub struct Turn<'a> {
    client: Client,
    thread_id: ThreadId,
    events: &'a mut ThreadEvents,
    last_turn: &'a mut Option<TurnId>,
    progress: Progress,
    starting: Option<Starting>,
    /// Whether the request has been sent.
    is_sent: bool,
    asked: watch::Sender<bool>,
    interrupting: Option<Interrupting>,
    ending: Option<Ending>,
    idle_limit: Duration,
    idle_at: Instant,
    /// The requests of codex about which people are asked: while there are some, the turn is not
    /// silent but waits.
    waits_for: BTreeSet<String>,
    ready: VecDeque<TurnEvent>,
    is_settled: bool,
}

/// What starting a turn answers: the turn, if it is told.
pub(super) type Starting =
    Pin<Box<dyn Future<Output = Result<Option<TurnInfo>, CallError>> + Send>>;

/// The turn is to be cut short.
struct Ending {
    cause: Cause,
    give_up_at: Instant,
    /// The interrupt has been sent; that takes an id to send it for.
    is_sent: bool,
    /// Codex says that there is nothing to interrupt.
    is_over: bool,
}

enum Cause {
    Asked,
    Idle(Failure),
}

/// What woke a turn.
enum Woken {
    Event(Option<ThreadEvent>),
    Started(Result<Option<TurnInfo>, CallError>),
    InterruptAnswered(Result<(), CallError>),
    InterruptAsked,
    TimeIsUp,
}

// === impl Turn ===

impl<'a> Turn<'a> {
    /// Follows a turn that `starting` starts, or that already runs when its id is known.
    pub(super) fn follow(
        thread: &'a mut Thread,
        starting: Option<Starting>,
        turn_id: Option<TurnId>,
        options: &TurnOptions,
    ) -> Self {
        let (client, thread_id, events, last_turn) = thread.for_turn();
        Self {
            client,
            thread_id,
            events,
            last_turn,
            progress: Progress::new(options.client_message_id.clone(), turn_id),
            is_sent: starting.is_none(),
            starting,
            asked: watch::channel(false).0,
            interrupting: None,
            ending: None,
            idle_limit: options.idle_limit,
            idle_at: Instant::now() + options.idle_limit,
            waits_for: BTreeSet::new(),
            ready: VecDeque::new(),
            is_settled: false,
        }
    }

    /// Returns what happens next; `None` after [`TurnEvent::Settled`]. Cancel-safe.
    ///
    /// The first call sends the request. Its answer and the turn's notifications are taken as they
    /// come, whichever is first.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_settled {
                return None;
            }
            if !self.is_sent && *self.asked.borrow() {
                self.settle(TurnEnd::Interrupted);
                continue;
            }
            self.is_sent = true;
            let woken = self.woken().await;
            if matches!(woken, Woken::Event(_)) {
                self.take_earlier_answer();
            }
            self.handle(woken);
        }
    }

    /// Returns the turn's id, once it is known.
    pub fn id(&self) -> Option<&TurnId> {
        self.progress.turn_id.as_ref()
    }

    /// Returns how often codex has said what became no event of this turn.
    pub fn noise(&self) -> &Noise {
        &self.progress.noise
    }

    /// Returns a handle that interrupts this turn; it works before codex has answered, too. The
    /// turn then settles as [`TurnEnd::Interrupted`], unless it ends otherwise at the same moment.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter::new(self.asked.clone())
    }

    /// Adds to the running turn.
    ///
    /// # Errors
    /// Its id is not known yet, or it has ended ([`Refusal::NoActiveTurn`]), or takes no input.
    /// What was accepted is lost when the turn is interrupted or codex dies.
    pub fn steer(
        &self,
        input: Vec<UserInput>,
        client_message_id: Option<String>,
    ) -> impl Future<Output = Result<TurnId, CallError>> + Send + use<> {
        let expected = self.progress.turn_id.clone();
        let call = self.client.call::<TurnSteer>(&TurnSteerParams {
            thread_id: self.thread_id.clone(),
            // An empty id matches no turn, which is what codex then says.
            expected_turn_id: expected.unwrap_or_else(|| TurnId::new("")),
            input,
            client_user_message_id: client_message_id,
        });
        async move { Ok(call.await?.turn_id) }
    }

    /// An answer came before the events that are read after it, and names the turn they belong to.
    fn take_earlier_answer(&mut self) {
        if let Some(answer) = poll(&mut self.starting).now_or_never() {
            self.starting = None;
            self.handle(Woken::Started(answer));
        }
    }

    async fn woken(&mut self) -> Woken {
        let mut asked = self.asked.subscribe();
        let can_be_asked = self.ending.is_none();
        let time = match &self.ending {
            Some(ending) => Some(ending.give_up_at),
            None if self.waits_for.is_empty() => Some(self.idle_at),
            None => None,
        };
        tokio::select! {
            event = self.events.next() => Woken::Event(event),
            started = poll(&mut self.starting) => {
                self.starting = None;
                Woken::Started(started)
            }
            answer = poll(&mut self.interrupting) => {
                self.interrupting = None;
                Woken::InterruptAnswered(answer)
            }
            _ = asked.wait_for(|asked| *asked), if can_be_asked => Woken::InterruptAsked,
            () = sleep_until(time.unwrap_or(self.idle_at)), if time.is_some() => Woken::TimeIsUp,
        }
    }

    fn handle(&mut self, woken: Woken) {
        match woken {
            Woken::Event(Some(ThreadEvent::Notification(notification))) => {
                if matches!(notification.body, NotificationBody::ThreadClosed) {
                    return self.lose(LostReason::Unloaded);
                }
                let meaning = self.progress.take(notification);
                if meaning.is_sign_of_life {
                    self.idle_at = Instant::now() + self.idle_limit;
                }
                self.ready.extend(meaning.events);
                match meaning.end {
                    Some(end) => self.end(end),
                    None => self.interrupt_if_due(),
                }
            }
            Woken::Event(Some(ThreadEvent::Declined(request))) => {
                let is_ours = request.turn_id.is_none() || request.turn_id == self.progress.turn_id;
                if let Some(what) = request.summary().filter(|_| is_ours) {
                    self.idle_at = Instant::now() + self.idle_limit;
                    self.ready.push_back(TurnEvent::Declined { what });
                }
            }
            Woken::Event(Some(ThreadEvent::Asked { request })) => {
                self.waits_for.insert(request);
            }
            Woken::Event(Some(ThreadEvent::Answered { request })) => {
                self.waits_for.remove(&request);
                self.idle_at = Instant::now() + self.idle_limit;
            }
            Woken::Event(None) => {
                let reason = self.client.close_reason();
                self.lose(reason.map_or(LostReason::Unsubscribed, LostReason::Closed));
            }
            Woken::Started(Ok(turn)) => {
                self.accepted(turn);
                self.interrupt_if_due();
            }
            Woken::Started(Err(error)) => self.not_accepted(&error),
            Woken::InterruptAnswered(answer) => self.interrupt_answered(answer),
            Woken::InterruptAsked => self.cut_short(Cause::Asked),
            Woken::TimeIsUp => self.time_is_up(),
        }
    }

    fn accepted(&mut self, turn: Option<TurnInfo>) {
        let Some(turn) = turn else { return };
        // A new turn has not begun when the answer is given.
        let was_running = turn.started_at.is_some() || self.last_turn.as_ref() == Some(&turn.id);
        let is_known = self.progress.turn_id.as_ref() == Some(&turn.id);
        self.progress.turn_id = Some(turn.id.clone());
        if was_running && !is_known {
            let turn_id = turn.id;
            self.ready.push_back(TurnEvent::FoldedInto { turn_id });
        }
    }

    fn not_accepted(&mut self, error: &CallError) {
        if self.progress.turn_id.is_some() {
            // It runs nevertheless: its notifications say so.
            tracing::warn!(error = %WithCauses(error), "no usable answer to turn/start");
            return;
        }
        match error {
            CallError::Refused { .. } | CallError::TooLarge { .. } | CallError::Encode { .. } => {
                self.settle(TurnEnd::Refused {
                    refusal: error.refusal().unwrap_or(Refusal::Other),
                    failure: error.to_failure(),
                });
            }
            // What came before is still to be read; the end of the events says the same.
            CallError::Closed { .. } => {}
            CallError::TimedOut { .. } => self.settle(TurnEnd::TimedOut {
                failure: error.to_failure(),
                child_deaf: true,
            }),
            // Codex has taken it; its id comes with `turn/started`.
            CallError::Response { .. } => {
                tracing::warn!(error = %WithCauses(error), "odd answer to turn/start");
            }
        }
    }

    fn time_is_up(&mut self) {
        match &self.ending {
            None => {
                let failure = match &self.progress.retry {
                    Some(retry) => Failure::unreachable(retry),
                    None => Failure::new(
                        FailureKind::BackendTimeout,
                        format!(
                            "the turn was silent for {}",
                            humantime::format_duration(self.idle_limit)
                        ),
                    ),
                };
                self.cut_short(Cause::Idle(failure));
            }
            Some(ending) if ending.is_over => self.lose(LostReason::Missed),
            Some(ending) => {
                let failure = match &ending.cause {
                    Cause::Idle(failure) => failure.clone(),
                    Cause::Asked => Failure::new(
                        FailureKind::BackendTimeout,
                        "codex did not end an interrupted turn",
                    ),
                };
                self.settle(TurnEnd::TimedOut {
                    failure,
                    child_deaf: true,
                });
            }
        }
    }

    fn cut_short(&mut self, cause: Cause) {
        self.ending = Some(Ending {
            cause,
            give_up_at: Instant::now() + INTERRUPT_GRACE,
            is_sent: false,
            is_over: false,
        });
        self.interrupt_if_due();
    }

    /// Sends the interrupt as soon as there is an id to send it for, and once.
    fn interrupt_if_due(&mut self) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        if let Some(turn_id) = &self.progress.turn_id
            && !ending.is_sent
        {
            ending.is_sent = true;
            let params = TurnInterruptParams {
                thread_id: self.thread_id.clone(),
                turn_id: turn_id.clone(),
            };
            self.interrupting = Some(interrupt(self.client.clone(), params));
        }
    }

    fn interrupt_answered(&mut self, answer: Result<(), CallError>) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        match answer {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.refusal(),
                    Some(Refusal::NoActiveTurn | Refusal::OtherTurn)
                ) =>
            {
                // Its end is on the way, or came before we listened.
                ending.is_over = true;
                ending.give_up_at = Instant::now() + END_GRACE;
            }
            // It was not told to end; that it does not is all we know.
            Err(CallError::Refused { .. }) => {}
            Err(error) => {
                tracing::warn!(error = %WithCauses(&error), "cannot interrupt a turn");
                // That it is deaf is clear now: there is nothing to wait for.
                ending.give_up_at = Instant::now();
            }
        }
    }

    /// The turn has ended as codex says; why it was cut short is what we know better.
    fn end(&mut self, end: TurnEnd) {
        let end = match (end, self.ending.take()) {
            (
                TurnEnd::Interrupted,
                Some(Ending {
                    cause: Cause::Idle(failure),
                    ..
                }),
            ) => TurnEnd::TimedOut {
                failure,
                child_deaf: false,
            },
            (end, _) => end,
        };
        self.settle(end);
    }

    fn lose(&mut self, reason: LostReason) {
        let lost = Lost {
            thread_id: self.thread_id.clone(),
            turn_id: self.progress.turn_id.clone(),
            reason,
        };
        self.settle(TurnEnd::Lost(lost));
    }

    fn settle(&mut self, end: TurnEnd) {
        self.is_settled = true;
        // A request that is still unanswered is of no interest any more.
        self.starting = None;
        self.interrupting = None;
        self.last_turn.clone_from(&self.progress.turn_id);
        self.ready.push_back(TurnEvent::Settled(end));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.progress.turn_id.is_some() {
            self.last_turn.clone_from(&self.progress.turn_id);
        }
    }
}

/// Polls what there may be.
async fn poll<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
