//! The task that holds the connections together: it does what [`Life`] decides.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tieline_channel::WithCauses;
use tieline_net::life::{Action, ConnectionId, Event, Habits, Life, Outlook};
use tieline_net::phase::Order;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::connection::{Connection, Report};
use super::opening::{self, OpenError, Opened};
use super::queue::Queue;
use super::timing::Timing;
use super::verdict;
use crate::account::Account;
use tieline_channel::health::HealthBoard;

/// How many reports may wait. A connection with another one waits, which is a matter of
/// microseconds.
const REPORTS: usize = 64;

/// How often a sign of life is written down.
const HEARD_EVERY: Duration = Duration::from_secs(1);

/// A connection that lived this long was a good one.
const LIVED: Duration = Duration::from_secs(5);

/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long Slack may count a connection that is gone.
const COUNTED_FOR: Duration = Duration::from_secs(60);

/// Keeps a connection up.
pub(super) struct Keeper<'a> {
    account: &'a Arc<Account>,
    health: &'a HealthBoard,
    reconnect: &'a Notify,
    queue: Queue,
    timing: Timing,
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
    /// When connections ended lately.
    ended_at: VecDeque<Instant>,
    has_warned_of_others: bool,
    /// Why the last attempt failed, if it did.
    failure: Option<String>,
    reports: mpsc::Receiver<(ConnectionId, Report)>,
    /// For connections to clone.
    reporter: mpsc::Sender<(ConnectionId, Report)>,
    pulse: Arc<Notify>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        account: &'a Arc<Account>,
        health: &'a HealthBoard,
        reconnect: &'a Notify,
        queue: Queue,
        timing: Timing,
    ) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        Self {
            account,
            health,
            reconnect,
            queue,
            timing,
            life: Life::begin(Habits {
                lived: LIVED,
                longest: LONGEST_WAIT,
                slow: timing.slow,
            }),
            outlook: Outlook::Connecting,
            opening: JoinSet::new(),
            connections: JoinSet::new(),
            ids: HashMap::new(),
            orders: BTreeMap::new(),
            n_opened: 0,
            ended_at: VecDeque::new(),
            has_warned_of_others: false,
            failure: None,
            reports,
            reporter,
            pulse: Arc::new(Notify::new()),
        }
    }

    /// Keeps a connection up until `stop` is cancelled; returns when all of them are closed.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
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
                () = pulse(&self.pulse, hears_from) => {
                    self.health.heard();
                    hears_from = Instant::now() + HEARD_EVERY;
                }
            }
        }
        self.stop().await;
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
                let verdict = verdict::on_failure(&self.account.settings.id, &error);
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
        self.look_for_others(opened.num_connections);
        self.n_opened += 1;
        let id = ConnectionId(self.n_opened);
        let (orders, receiver) = watch::channel(Order::Serve);
        let connection = Connection {
            id,
            socket: opened.socket,
            queue: self.queue.clone(),
            orders: receiver,
            reporter: self.reporter.clone(),
            pulse: Arc::clone(&self.pulse),
            timing: self.timing,
        };
        let task = self.connections.spawn(connection.run());
        self.ids.insert(task.id(), id);
        self.orders.insert(id, orders);
        info!(
            connection = id.0,
            num_connections = opened.num_connections,
            "connected to Slack"
        );
        self.health.heard();
        self.on(Event::Opened(id));
    }

    fn reported(&mut self, id: ConnectionId, report: Report) {
        match report {
            Report::Announced(reason) => {
                info!(connection = id.0, ?reason, "Slack announces its end");
                self.on(Event::Announced {
                    id,
                    verdict: verdict::on_disconnect(&self.account.settings.id, &reason),
                    reason: format!("Slack ended the connection ({reason:?})"),
                });
            }
            Report::Ended {
                reason,
                has_delivered,
            } => {
                info!(connection = id.0, reason, "a connection ends");
                self.on(Event::Ended {
                    id,
                    reason,
                    has_delivered,
                    after: None,
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
        self.ended_at.push_back(Instant::now());
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
        let opening = opening::open(Arc::clone(self.account), self.timing);
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
                    warn!(reason, "no connection to Slack, making it again");
                }
                self.health.down(reason.clone());
            }
            Outlook::NeedsOperator(remedy) => {
                error!(remedy, "no connection to Slack until somebody acts");
                self.health.needs_operator(remedy.clone());
            }
        }
        self.outlook = outlook;
    }

    /// Warns, once, when Slack counts more connections than there can be of ours.
    fn look_for_others(&mut self, num_connections: Option<usize>) {
        let now = Instant::now();
        self.ended_at
            .retain(|ended_at| now - *ended_at < COUNTED_FOR);
        let ours = self.connections.len() + self.ended_at.len() + 1;
        let Some(counted) = num_connections.filter(|counted| *counted > ours) else {
            return;
        };
        if !std::mem::replace(&mut self.has_warned_of_others, true) {
            warn!(
                counted,
                ours,
                "Slack counts more connections of this app than ours: another process uses the \
                 same app-level token and gets a part of the messages, unless it has just ended"
            );
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits for a sign of life, not before `from`.
async fn pulse(pulse: &Notify, from: Instant) {
    sleep_until(from).await;
    pulse.notified().await;
}
