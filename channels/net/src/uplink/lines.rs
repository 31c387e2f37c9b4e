//! Deliveries on their way to the intake: in order for each line, lines in parallel, bounded.
//!
//! **Architecture Invariant:** a delivery is taken only when the intake has it on disk. Whatever
//! else becomes of it (it cannot be read, its work panics, the channel stops), whoever delivered it
//! is told that it must come again.

use std::collections::{HashMap, VecDeque};
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tieline_channel::{Event, Intake, WithCauses};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

/// How many deliveries may be here. Who has another one waits for a while and reads no further.
pub(super) const CAPACITY: usize = 1_024;

/// A large delivery counts as several, one for each of these many bytes.
const BYTES_PER_PLACE: usize = 16 * 1024;

/// How long reading one delivery may take: names may be looked up, but nobody's line must wait for
/// that for ever.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// What a platform delivers.
pub trait Delivery: Send + Sync + 'static {
    /// What the connection needs to tell the platform what became of it.
    type Slip: Send + Sync + 'static;

    /// Returns the line that it stands in: what is in one line, a chat say, stays in order.
    fn line(&self) -> &str;

    /// Returns the platform's name of it, for the log.
    fn name(&self) -> &str;

    /// Returns what kind of thing it is, for the log.
    fn kind(&self) -> &str;
}

/// What a delivery means.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is made and taken apart at once"
)]
pub enum Meaning {
    /// Something happened.
    Event(Event),
    /// Nothing for us. Says why, for the log.
    Nothing(String),
}

/// Why a delivery cannot be read for now.
pub type Unreadable = Box<dyn StdError + Send + Sync>;

/// Says what a delivery means.
#[async_trait]
pub trait Reader<D: Delivery>: Send + Sync {
    /// Reads one delivery.
    ///
    /// # Errors
    ///
    /// When it cannot be read for now; it must come again.
    async fn read(&self, delivery: &D) -> Result<Meaning, Unreadable>;
}

/// The end of the queue where deliveries are put in. Cheap to clone.
#[derive(Debug)]
pub(super) struct Queue<D: Delivery> {
    places: Arc<Semaphore>,
    works: mpsc::Sender<Work<D>>,
}

/// The end of the queue that [`run`] takes deliveries from.
#[derive(Debug)]
pub(super) struct Works<D: Delivery>(mpsc::Receiver<Work<D>>);

/// A place in the queue; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A delivery, with the way to say what became of it.
#[derive(Debug)]
struct Work<D: Delivery> {
    delivery: D,
    receipt: Receipt<D::Slip>,
}

/// What became of a delivery.
#[derive(Debug)]
pub(super) struct Settled<S> {
    /// What it was.
    pub(super) slip: S,
    /// What became of it.
    pub(super) outcome: Outcome,
    /// Held until the platform is told, so that what it is to be told is bounded as well.
    _place: Place,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is on disk, or means nothing to us.
    Taken,
    /// It must come again.
    Again,
}

/// Tells the connection that brought a delivery what became of it, in any case: also when its work
/// panics or is aborted.
#[derive(Debug)]
pub(super) struct Receipt<S> {
    /// What is told, taken when it is.
    settled: Option<Settled<S>>,
    settlements: mpsc::Sender<Settled<S>>,
}

// === impl Queue ===

impl<D: Delivery> Queue<D> {
    /// Waits for room for a delivery of that many bytes. Cancel-safe.
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

    /// Puts a delivery in; it is behind everything that was put in before for its line.
    pub(super) fn put(&self, delivery: D, receipt: Receipt<D::Slip>) {
        // There is room for as many as have a place. Without the other end, which only happens at
        // the very end, the receipt says that the delivery must come again.
        if self.works.try_send(Work { delivery, receipt }).is_err() {
            debug!("a delivery comes too late");
        }
    }
}

impl<D: Delivery> Clone for Queue<D> {
    fn clone(&self) -> Self {
        Self {
            places: Arc::clone(&self.places),
            works: self.works.clone(),
        }
    }
}

// === impl Receipt ===

impl<S> Receipt<S> {
    /// Makes a receipt that says [`Again`](Outcome::Again) unless the delivery is taken.
    /// `settlements` has room for [`CAPACITY`].
    pub(super) fn new(slip: S, place: Place, settlements: mpsc::Sender<Settled<S>>) -> Self {
        Self {
            settled: Some(Settled {
                slip,
                outcome: Outcome::Again,
                _place: place,
            }),
            settlements,
        }
    }

    /// Has the platform told that the delivery is taken, if the connection that brought it still
    /// can.
    fn taken(mut self) {
        if let Some(settled) = &mut self.settled {
            settled.outcome = Outcome::Taken;
        }
    }
}

impl<S> Drop for Receipt<S> {
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

/// Makes a queue: the end to put deliveries in, and what [`run`] takes.
pub(super) fn queue<D: Delivery>() -> (Queue<D>, Works<D>) {
    let (works, receiver) = mpsc::channel(CAPACITY);
    let queue = Queue {
        places: Arc::new(Semaphore::new(CAPACITY)),
        works,
    };
    (queue, Works(receiver))
}

/// Reads deliveries and hands in what they say, until nobody puts any in; `drain` after `stop` what
/// is still here is dropped, to come again.
pub(super) async fn run<D: Delivery>(
    works: Works<D>,
    reader: Arc<dyn Reader<D>>,
    intake: Arc<dyn Intake>,
    stop: &CancellationToken,
    drain: Duration,
) {
    let Works(mut works) = works;
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

/// The lines that have something waiting.
struct Lanes<D: Delivery> {
    hands: Arc<Hands<D>>,
    /// The first of each line.
    tasks: JoinSet<()>,
    /// The line of each task.
    running: HashMap<task::Id, String>,
    /// The others, by line; a line without a task has none.
    waiting: HashMap<String, VecDeque<Work<D>>>,
}

impl<D: Delivery> Lanes<D> {
    fn put(&mut self, work: Work<D>) {
        let line = work.delivery.line().to_owned();
        match self.waiting.get_mut(&line) {
            Some(waiting) => waiting.push_back(work),
            None => {
                self.waiting.insert(line.clone(), VecDeque::new());
                self.start(line, work);
            }
        }
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(failure) => {
                // Its text may have what somebody wrote.
                error!("handling a delivery panicked; it is not acknowledged, so it comes again");
                failure.id()
            }
        };
        let Some(line) = self.running.remove(&id) else {
            return;
        };
        match self.waiting.get_mut(&line).and_then(VecDeque::pop_front) {
            Some(work) => self.start(line, work),
            None => {
                self.waiting.remove(&line);
            }
        }
    }

    fn start(&mut self, line: String, work: Work<D>) {
        let hands = Arc::clone(&self.hands);
        let task = self.tasks.spawn(async move { hands.handle(work).await });
        self.running.insert(task.id(), line);
    }
}

/// What deliveries are handled with.
struct Hands<D> {
    reader: Arc<dyn Reader<D>>,
    intake: Arc<dyn Intake>,
    /// Whether the intake refused the last event, so that this is said once.
    is_refused: AtomicBool,
}

impl<D: Delivery> Hands<D> {
    /// Hands in what a delivery says; it is taken when that is on disk.
    async fn handle(&self, work: Work<D>) {
        let Work { delivery, receipt } = work;
        let (name, kind) = (delivery.name(), delivery.kind());
        let event = match timeout(READ_WITHIN, self.reader.read(&delivery)).await {
            Ok(Ok(Meaning::Event(event))) => event,
            Ok(Ok(Meaning::Nothing(reason))) => {
                debug!(name, kind, reason, "nothing for us");
                return receipt.taken();
            }
            Ok(Err(error)) => {
                let error = WithCauses(&*error);
                warn!(name, kind, %error, "cannot read a delivery, it comes again");
                return;
            }
            Err(_elapsed) => {
                warn!(
                    name,
                    kind, "reading a delivery takes too long, it comes again"
                );
                return;
            }
        };
        match self.intake.accept(event).await {
            Ok(verdict) => {
                if self.is_refused.swap(false, Ordering::Relaxed) {
                    info!("messages are taken again");
                }
                debug!(name, kind, ?verdict, "taken");
                receipt.taken();
            }
            Err(error) => {
                let error = WithCauses(&error);
                if self.is_refused.swap(true, Ordering::Relaxed) {
                    debug!(name, kind, %error, "not taken, so it comes again");
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

    struct Letter;

    impl Delivery for Letter {
        type Slip = u32;

        fn line(&self) -> &'static str {
            "line"
        }

        fn name(&self) -> &'static str {
            "letter"
        }

        fn kind(&self) -> &'static str {
            "letter"
        }
    }

    #[test]
    fn large_deliveries_take_more_places_and_never_more_than_there_are() {
        assert_eq!(weight(0), 1);
        assert_eq!(weight(BYTES_PER_PLACE - 1), 1);
        assert_eq!(weight(BYTES_PER_PLACE), 2);
        let queue = queue::<Letter>().0;
        let all = queue.try_place(usize::MAX - 1);
        assert!(all.is_some());
        assert!(queue.try_place(0).is_none());
        drop(all);
        assert!(queue.try_place(0).is_some());
    }

    #[test]
    fn a_receipt_says_again_unless_it_was_told_otherwise() {
        let queue = queue::<Letter>().0;
        let (settlements, mut settled) = mpsc::channel(CAPACITY);
        let receipt = |slip| Receipt::new(slip, queue.try_place(0).unwrap(), settlements.clone());
        drop(receipt(1));
        receipt(2).taken();
        // Without the other end of the queue nobody can take it.
        queue.put(Letter, receipt(3));
        let mut told = Vec::new();
        while let Ok(settled) = settled.try_recv() {
            told.push((settled.slip, settled.outcome));
        }
        let again = Outcome::Again;
        assert_eq!(told, [(1, again), (2, Outcome::Taken), (3, again)]);
        assert_eq!(queue.places.available_permits(), CAPACITY);
    }
}
