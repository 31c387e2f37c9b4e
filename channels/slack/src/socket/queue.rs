//! Envelopes on their way to the intake: in order for each chat, chats in parallel, bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tieline_channel::{Intake, WithCauses};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Reader;
use super::envelope::Envelope;
use crate::inbound::Delivered;

/// How many envelopes may be here. Who has another one waits for a while and reads no further.
pub(super) const CAPACITY: usize = 1_024;

/// A large envelope counts as several, one for each of these many bytes.
const BYTES_PER_PLACE: usize = 16 * 1024;

/// How long reading one envelope may take: names may be looked up, but nobody's chat must wait
/// for that for ever.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The end of the queue where envelopes are put in. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    places: Arc<Semaphore>,
    works: mpsc::Sender<Work>,
}

/// A place in the queue; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// An envelope, with the way to acknowledge it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) envelope: Envelope,
    pub(super) receipt: Receipt,
}

/// What became of an envelope.
#[derive(Debug)]
pub(super) struct Settled {
    /// The envelope to acknowledge; `None` if it must come again.
    pub(super) acknowledged: Option<String>,
    /// Held until the acknowledgement is written, so that those are bounded as well.
    _place: Place,
}

/// Tells the connection that delivered an envelope what became of it, in any case: also when its
/// work panics or is aborted.
#[derive(Debug)]
pub(super) struct Receipt {
    /// What is told, taken when it is.
    settled: Option<Settled>,
    settlements: mpsc::Sender<Settled>,
}

impl Queue {
    /// Waits for room for an envelope of that many bytes. Cancel-safe.
    pub(super) async fn place(&self, bytes: usize) -> Place {
        let places = Arc::clone(&self.places);
        match places.acquire_many_owned(weight(bytes)).await {
            Ok(permit) => Place(permit),
            // It is never closed.
            Err(_closed) => std::future::pending().await,
        }
    }

    /// Takes a place if there is one.
    pub(super) fn try_place(&self, bytes: usize) -> Option<Place> {
        match Arc::clone(&self.places).try_acquire_many_owned(weight(bytes)) {
            Ok(permit) => Some(Place(permit)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// Puts an envelope in; it is behind everything that was put in before for its chat.
    pub(super) fn put(&self, envelope: Envelope, receipt: Receipt) {
        // There is room for as many as have a place. Without the other end, which only happens at
        // the very end, the receipt says that the envelope must come again.
        if self.works.try_send(Work { envelope, receipt }).is_err() {
            debug!("an envelope comes too late");
        }
    }
}

impl Receipt {
    /// Makes a receipt that says "again" until [`acknowledge`](Self::acknowledge) is called.
    /// `settlements` has room for [`CAPACITY`].
    pub(super) fn new(place: Place, settlements: mpsc::Sender<Settled>) -> Self {
        Self {
            settled: Some(Settled {
                acknowledged: None,
                _place: place,
            }),
            settlements,
        }
    }

    /// Has the envelope acknowledged, if the connection that delivered it still can.
    fn acknowledge(mut self, envelope_id: String) {
        if let Some(settled) = &mut self.settled {
            settled.acknowledged = Some(envelope_id);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settled) = self.settled.take() {
            // Only fails when the connection is gone, and then there is nobody to tell.
            drop(self.settlements.try_send(settled));
        }
    }
}

fn weight(bytes: usize) -> u32 {
    let places = (1 + bytes / BYTES_PER_PLACE).min(CAPACITY);
    u32::try_from(places).unwrap_or(u32::MAX)
}

/// Makes a queue: the end to put envelopes in, and what [`run`] takes.
pub(super) fn queue() -> (Queue, mpsc::Receiver<Work>) {
    let (works, receiver) = mpsc::channel(CAPACITY);
    let queue = Queue {
        places: Arc::new(Semaphore::new(CAPACITY)),
        works,
    };
    (queue, receiver)
}

/// Reads envelopes and hands in what they say, until nobody puts any in; `drain` after `stop` what
/// is still here is dropped unacknowledged.
pub(super) async fn run(
    mut works: mpsc::Receiver<Work>,
    reader: Arc<dyn Reader>,
    intake: Arc<dyn Intake>,
    stop: &CancellationToken,
    drain: Duration,
) {
    let mut lanes = Lanes {
        hands: Arc::new(Hands {
            reader,
            intake,
            is_refused: AtomicBool::new(false),
        }),
        tasks: JoinSet::new(),
        running: HashMap::new(),
        waiting: HashMap::new(),
    };
    let overtime = async {
        stop.cancelled().await;
        sleep(drain).await;
    };
    tokio::pin!(overtime);
    let mut is_open = true;
    while is_open || !lanes.tasks.is_empty() {
        tokio::select! {
            Some(ended) = lanes.tasks.join_next_with_id() => lanes.ended(ended),
            work = works.recv(), if is_open => match work {
                Some(work) => lanes.put(work),
                None => is_open = false,
            },
            () = &mut overtime => break,
        }
    }
    // The connections wait for their receipts, and are waited for by whoever called us.
    lanes.tasks.shutdown().await;
}

/// One line for each chat that has something waiting.
struct Lanes {
    hands: Arc<Hands>,
    /// The first of each line.
    tasks: JoinSet<()>,
    /// The chat of each task.
    running: HashMap<task::Id, String>,
    /// The others, by chat; a chat without a task has none.
    waiting: HashMap<String, VecDeque<Work>>,
}

impl Lanes {
    fn put(&mut self, work: Work) {
        let chat = work.envelope.chat().unwrap_or_default().to_owned();
        match self.waiting.get_mut(&chat) {
            Some(line) => line.push_back(work),
            None => {
                self.waiting.insert(chat.clone(), VecDeque::new());
                self.start(chat, work);
            }
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(failure) => {
                // Its text may have what somebody wrote.
                error!("handling an envelope panicked; it is not acknowledged, so it comes again");
                failure.id()
            }
        };
        let Some(chat) = self.running.remove(&id) else {
            return;
        };
        match self.waiting.get_mut(&chat).and_then(VecDeque::pop_front) {
            Some(work) => self.start(chat, work),
            None => {
                self.waiting.remove(&chat);
            }
        }
    }

    fn start(&mut self, chat: String, work: Work) {
        let hands = Arc::clone(&self.hands);
        let task = self.tasks.spawn(async move { hands.handle(work).await });
        self.running.insert(task.id(), chat);
    }
}

/// What envelopes are handled with.
struct Hands {
    reader: Arc<dyn Reader>,
    intake: Arc<dyn Intake>,
    /// Whether the intake refused the last event, so that this is said once.
    is_refused: AtomicBool,
}

impl Hands {
    /// Hands in what an envelope says, and acknowledges it when that is on disk.
    async fn handle(&self, work: Work) {
        let Work { envelope, receipt } = work;
        let (id, kind) = (envelope.envelope_id.as_str(), envelope.kind.as_str());
        let event = match timeout(READ_WITHIN, self.reader.read(&envelope)).await {
            Ok(Ok(Delivered::Event(event))) => event,
            Ok(Ok(Delivered::Nothing(reason))) => {
                debug!(envelope_id = id, kind, reason, "nothing for us");
                return receipt.acknowledge(envelope.envelope_id);
            }
            Ok(Err(error)) => {
                let error = WithCauses(&error);
                warn!(envelope_id = id, kind, %error, "cannot read an envelope, it comes again");
                return;
            }
            Err(_elapsed) => {
                warn!(
                    envelope_id = id,
                    kind, "reading an envelope takes too long, it comes again"
                );
                return;
            }
        };
        match self.intake.accept(event).await {
            Ok(verdict) => {
                if self.is_refused.swap(false, Ordering::Relaxed) {
                    info!("messages are taken again");
                }
                debug!(envelope_id = id, kind, ?verdict, "taken");
                receipt.acknowledge(envelope.envelope_id);
            }
            Err(error) => {
                let error = WithCauses(&error);
                if self.is_refused.swap(true, Ordering::Relaxed) {
                    debug!(envelope_id = id, kind, %error, "not taken, so it comes again");
                } else {
                    warn!(
                        %error,
                        "messages are not taken, so they are not acknowledged and come again"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_envelopes_take_more_places_and_never_more_than_there_are() {
        assert_eq!(weight(0), 1);
        assert_eq!(weight(BYTES_PER_PLACE - 1), 1);
        assert_eq!(weight(BYTES_PER_PLACE), 2);
        let queue = queue().0;
        let all = queue.try_place(usize::MAX - 1);
        assert!(all.is_some());
        assert!(queue.try_place(0).is_none());
        drop(all);
        assert!(queue.try_place(0).is_some());
    }

    #[test]
    fn a_receipt_says_again_unless_it_was_told_otherwise() {
        let queue = queue().0;
        let (settlements, mut settled) = mpsc::channel(CAPACITY);
        let receipt = || Receipt::new(queue.try_place(0).unwrap(), settlements.clone());
        drop(receipt());
        receipt().acknowledge("e1".to_owned());
        let mut told = Vec::new();
        while let Ok(settled) = settled.try_recv() {
            told.push(settled.acknowledged);
        }
        assert_eq!(told, [None, Some("e1".to_owned())]);
        assert_eq!(queue.places.available_permits(), CAPACITY);
    }
}
