//! The task that holds the connections together: it does what [`Life`] decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::WithCauses;
use tieline_channel::health::HealthBoard;
use tieline_net::life::{Action, ConnectionId, Event, Habits, Life, Outlook};
use tieline_net::phase::Order;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Reader;
use super::deadlines::Deadlines;
use super::lock::{self, Lock};
use super::opening::{self, OpenError, Opened};
use super::push::Queue;
use super::wire::{Report, Wire};
use crate::account::Account;
use crate::discovery::Timing;

/// How many reports may wait. A connection with another one waits, which is a matter of
/// microseconds.
const REPORTS: usize = 64;

/// How often a sign of life is written down.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// Keeps a connection up.
pub(super) struct Keeper<'a> {
    account: &'a Arc<Account>,
    health: &'a HealthBoard,
    reconnect: &'a Notify,
    reader: Arc<dyn Reader>,
    queue: Queue,
    deadlines: Deadlines,
    life: Life,
    /// What was last said about it.
    outlook: Outlook,
    /// At most one.
    opening: JoinSet<Result<Opened, OpenError>>,
    connections: JoinSet<()>,
    /// The connection of each task.
    ids: HashMap<task::Id, ConnectionId>,
    orders: BTreeMap<ConnectionId, watch::Sender<Order>>,
    n_opened: u64,
    /// Why the last attempt failed, if it did.
    failure: Option<String>,
    reports: mpsc::Receiver<(ConnectionId, Report)>,
    /// For connections to clone.
    reporter: mpsc::Sender<(ConnectionId, Report)>,
    heard: Arc<Notify>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        account: &'a Arc<Account>,
        health: &'a HealthBoard,
        reconnect: &'a Notify,
        reader: Arc<dyn Reader>,
        queue: Queue,
        deadlines: Deadlines,
    ) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        Self {
            account,
            health,
            reconnect,
            reader,
            queue,
            deadlines,
            life: Life::begin(Habits {
                lived: deadlines.lived,
                longest: Timing::default().reconnect_interval,
                slow: deadlines.slow,
            }),
            outlook: Outlook::Connecting,
            opening: JoinSet::new(),
            connections: JoinSet::new(),
            ids: HashMap::new(),
            orders: BTreeMap::new(),
            n_opened: 0,
            failure: None,
            reports,
            reporter,
            heard: Arc::new(Notify::new()),
        }
    }

    /// Keeps a connection up until `stop` is cancelled; returns when all of them are closed.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let Some(_lock) = stop.run_until_cancelled(self.lock()).await else {
            return;
        };
        self.open();
        let mut hears_from = Instant::now();
        loop {
            let due = self.life.due();
            tokio::select! {
                // What a connection reported counts before its end.
                biased;
                () = stop.cancelled() => break,
                Some((id, report)) = self.reports.recv() => self.reported(id, report),
                Some(ended) = self.connections.join_next_with_id() => self.ended(ended),
                Some(outcome) = self.opening.join_next() => {
                    self.opened(outcome.unwrap_or(Err(OpenError::Panicked)));
                }
                () = self.reconnect.notified() => self.on(Event::Forced),
                () = at(due) => self.on(Event::Due),
                () = pulse(&self.heard, hears_from) => {
                    self.health.heard();
                    hears_from = Instant::now() + HEARD_EVERY;
                }
            }
        }
        self.stop().await;
    }

    /// Waits until no other process of this machine serves the app.
    async fn lock(&mut self) -> Lock {
        let (account, health) = (self.account, self.health);
        let outlook = &mut self.outlook;
        let settings = &account.settings;
        let taken = |remedy: String| {
            error!(remedy, "not connecting to Feishu until somebody acts");
            health.needs_operator(remedy.clone());
            *outlook = Outlook::NeedsOperator(remedy);
        };
        let poll = self.deadlines.lock;
        lock::take(&settings.app_id, &settings.base_url, poll, taken).await
    }

    async fn stop(mut self) {
        self.reports.close();
        self.opening.shutdown().await;
        for orders in self.orders.values() {
            orders.send_replace(Order::Stop);
        }
        while let Some(ended) = self.connections.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn opened(&mut self, outcome: Result<Opened, OpenError>) {
        let opened = match outcome {
            Ok(opened) => opened,
            Err(error) => {
                let verdict = opening::verdict(&error);
                let reason = WithCauses(&error).to_string();
                if self.outlook == Outlook::Up && self.failure.as_ref() != Some(&reason) {
                    warn!(reason, ?verdict, "the connection cannot be replaced yet");
                } else {
                    debug!(reason, ?verdict, "no connection");
                }
                self.failure = Some(reason.clone());
                return self.on(Event::Failed { verdict, reason });
            }
        };
        self.failure = None;
        self.life.wait_at_most(opened.timing.reconnect_interval);
        self.n_opened += 1;
        let id = ConnectionId(self.n_opened);
        let (orders, receiver) = watch::channel(Order::Serve);
        let wire = Wire {
            id,
            socket: opened.socket,
            service_id: opened.service_id,
            timing: opened.timing,
            queue: self.queue.clone(),
            orders: receiver,
            reporter: self.reporter.clone(),
            heard: Arc::clone(&self.heard),
            deadlines: self.deadlines,
        };
        let task = self.connections.spawn(wire.run());
        self.ids.insert(task.id(), id);
        self.orders.insert(id, orders);
        info!(
            connection = id.0,
            device_id = opened.device_id,
            "connected to Feishu"
        );
        self.health.heard();
        self.on(Event::Opened(id));
    }

    fn reported(&mut self, id: ConnectionId, report: Report) {
        match report {
            Report::Configured(timing) => self.life.wait_at_most(timing.reconnect_interval),
            Report::Ended {
                reason,
                has_delivered,
                after,
            } => {
                info!(connection = id.0, reason, "a connection ends");
                self.on(Event::Ended {
                    id,
                    reason,
                    has_delivered,
                    after,
                });
            }
        }
    }

    /// A connection's task is over. What it reported before counts; a panic reports nothing.
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
        let id = self.ids.remove(&task)?;
        self.orders.remove(&id);
        Some(id)
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
        let opening = opening::open(
            Arc::clone(self.account),
            Arc::clone(&self.reader),
            self.deadlines,
        );
        self.opening.spawn(opening);
    }

    fn order(&self, id: ConnectionId, order: Order) {
        if let Some(orders) = self.orders.get(&id) {
            orders.send_replace(order);
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
                    warn!(reason, "no connection to Feishu, making it again");
                }
                self.health.down(reason.clone());
            }
            Outlook::NeedsOperator(remedy) => {
                error!(remedy, "no connection to Feishu until somebody acts");
                self.health.needs_operator(remedy.clone());
            }
        }
        self.outlook = outlook;
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits for a sign of life, not before `from`.
async fn pulse(heard: &Notify, from: Instant) {
    sleep_until(from).await;
    heard.notified().await;
}
