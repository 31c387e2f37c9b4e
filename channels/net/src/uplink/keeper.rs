//! The task that holds the connections together: it does what [`Life`] decides.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::WithCauses;
use tieline_channel::health::HealthBoard;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::connection::Connection;
use super::life::{Action, ConnectionId, Event, Life, Outlook, Verdict};
use super::lines::Queue;
use super::phase::Order;
use super::{DeliveryOf, Opened, Platform, Timing, at};

/// How many events of connections may wait. A connection with another one waits, which is a matter
/// of microseconds.
const EVENTS: usize = 64;

/// How often a sign of life is written down.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// Keeps a connection up.
pub(super) struct Keeper<'a, P: Platform> {
    platform: Arc<P>,
    health: &'a HealthBoard,
    reconnect: &'a Notify,
    queue: Queue<DeliveryOf<P>>,
    timing: Timing,
    life: Life,
    /// What was last said about it.
    outlook: Outlook,
    /// At most one.
    opening: JoinSet<Result<Opened<P::Session>, P::Error>>,
    connections: JoinSet<()>,
    /// The connection of each task.
    served: HashMap<task::Id, Served>,
    n_opened: u64,
    /// Why the last attempt failed, if it did.
    failure: Option<String>,
    /// What happens to the connections.
    events: mpsc::Receiver<Event>,
    /// For connections to clone.
    teller: mpsc::Sender<Event>,
    heard: Arc<Notify>,
}

/// A connection that is served.
struct Served {
    id: ConnectionId,
    orders: watch::Sender<Order>,
}

impl<'a, P: Platform> Keeper<'a, P> {
    pub(super) fn new(
        platform: Arc<P>,
        health: &'a HealthBoard,
        reconnect: &'a Notify,
        queue: Queue<DeliveryOf<P>>,
        timing: Timing,
    ) -> Self {
        let (teller, events) = mpsc::channel(EVENTS);
        Self {
            platform,
            health,
            reconnect,
            queue,
            timing,
            life: Life::begin(timing.habits),
            outlook: Outlook::Connecting,
            opening: JoinSet::new(),
            connections: JoinSet::new(),
            served: HashMap::new(),
            n_opened: 0,
            failure: None,
            events,
            teller,
            heard: Arc::new(Notify::new()),
        }
    }

    /// Keeps a connection up until `stop` is cancelled; returns when all of them are closed.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        self.open();
        let mut hears_from = Instant::now();
        loop {
            let due = self.life.due();
            tokio::select! {
                // What a connection told counts before its end.
                biased;
                () = stop.cancelled() => break,
                Some(event) = self.events.recv() => self.on(event),
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                Some(outcome) = self.opening.join_next() => self.opened(outcome),
                () = self.reconnect.notified() => self.on(Event::Forced),
                () = at(due) => self.on(Event::Due),
                () = heard(&self.heard, hears_from) => {
                    self.health.heard();
                    hears_from = Instant::now() + HEARD_EVERY;
                }
            }
        }
        self.stop().await;
    }

    async fn stop(mut self) {
        self.events.close();
        self.opening.shutdown().await;
        for served in self.served.values() {
            served.orders.send_replace(Order::Stop);
        }
        while let Some(ended) = self.connections.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn opened(&mut self, outcome: Result<Result<Opened<P::Session>, P::Error>, JoinError>) {
        let (verdict, reason) = match outcome {
            Ok(Ok(opened)) => return self.serve(opened),
            Ok(Err(error)) => (
                self.platform.verdict(&error),
                WithCauses(&error).to_string(),
            ),
            Err(_panic) => (
                Verdict::Retry { after: None },
                "opening a connection panicked".to_owned(),
            ),
        };
        if self.outlook == Outlook::Up && self.failure.as_ref() != Some(&reason) {
            warn!(reason, ?verdict, "the connection cannot be replaced yet");
        } else {
            debug!(reason, ?verdict, "no connection");
        }
        self.failure = Some(reason.clone());
        self.on(Event::Failed { verdict, reason });
    }

    fn serve(&mut self, opened: Opened<P::Session>) {
        self.failure = None;
        self.n_opened += 1;
        let id = ConnectionId(self.n_opened);
        let longest = opened.upkeep.longest;
        let (orders, receiver) = watch::channel(Order::Serve);
        let connection = Connection {
            id,
            platform: P::NAME,
            opened,
            queue: self.queue.clone(),
            orders: receiver,
            events: self.teller.clone(),
            heard: Arc::clone(&self.heard),
            timing: self.timing,
        };
        let task = self.connections.spawn(connection.run());
        self.served.insert(task.id(), Served { id, orders });
        info!(connection = id.0, "connected to {}", P::NAME);
        self.health.heard();
        self.on(Event::Paced(longest));
        self.on(Event::Opened(id));
    }

    /// A connection's task is over. What it told before counts; a panic tells nothing.
    fn ended(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        if let Some(id) = self.forget(ended) {
            self.on(Event::Ended {
                id,
                reason: "serving the connection failed".to_owned(),
                has_delivered: false,
                after: None,
            });
        }
    }

    fn forget(&mut self, ended: Result<(task::Id, ()), JoinError>) -> Option<ConnectionId> {
        let task = match ended {
            Ok((task, ())) => task,
            Err(failure) => {
                if failure.is_panic() {
                    error!("serving a connection panicked; it is replaced");
                }
                failure.id()
            }
        };
        self.served.remove(&task).map(|served| served.id)
    }

    fn on(&mut self, event: Event) {
        for action in self.life.on(event, Instant::now()) {
            match action {
                Action::Open => self.open(),
                Action::Retire(id) => self.order(id, Order::Retire),
                Action::Close(id) => self.order(id, Order::Close),
            }
        }
        self.tell();
    }

    fn open(&mut self) {
        let platform = Arc::clone(&self.platform);
        self.opening.spawn(async move { platform.open().await });
    }

    fn order(&self, id: ConnectionId, order: Order) {
        for served in self.served.values().filter(|served| served.id == id) {
            served.orders.send_replace(order);
        }
    }

    /// Says how it looks, to the health, and to the log when that is new.
    fn tell(&mut self) {
        let outlook = self.life.outlook();
        if outlook == self.outlook {
            return;
        }
        match &outlook {
            Outlook::Connecting => {}
            Outlook::Up => self.health.up(),
            Outlook::Down(reason) => {
                if !matches!(self.outlook, Outlook::Down(_)) {
                    warn!(reason, "no connection to {}, making it again", P::NAME);
                }
                self.health.down(reason.clone());
            }
            Outlook::NeedsOperator(remedy) => {
                error!(remedy, "no connection to {} until somebody acts", P::NAME);
                self.health.needs_operator(remedy.clone());
            }
        }
        self.outlook = outlook;
    }
}

/// Waits for a sign of life, not before `from`.
async fn heard(heard: &Notify, from: Instant) {
    sleep_until(from).await;
    heard.notified().await;
}
