//! Keeps the dispatcher's child alive: starts it, reconnects to it, replaces it, stops it.
//!
//! A dropped connection with a living child is made again, and turns go on. A dead or deaf child
//! is replaced with backoff. Lanes see only the [`Link`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tieline_channel::WithCauses;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::login::{Login, is_login_trouble};
use crate::codex::{
    AppServer, ChildSnapshot, Client, CloseReason, FailureKind, Launch, LaunchConfig, ServerFacts,
    StartError,
};
use crate::events::{Event, Events};
use crate::id::DispatcherId;
use crate::ledger::{DispatcherRecord, Ledger, Lifecycle};
use tieline_channel::retry::RestartPolicy;

/// How long a living child is asked for a new connection before it is replaced.
const RECONNECT_FOR: Duration = Duration::from_secs(5);

/// A connection that lasts so long is steady: longer than codex takes to look at what it is sent.
const STEADY_AFTER: Duration = Duration::from_millis(50);

/// How many connections in a row may be lost before they are steady; then the child is replaced,
/// which takes longer each time.
const MAX_DROPS: u32 = 20;

/// How long it rests before it is asked again: a new connection may break as well.
const RECONNECT_EVERY: Duration = Duration::from_millis(50);

/// How long a child may take to end by itself when the daemon stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// What lanes know of the child.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// There is no connection, since then; it is being made.
    Down {
        /// When it was lost, or first tried.
        since: Instant,
        /// Why codex did not start when it was last tried.
        failure: Option<FailureKind>,
    },
    /// There is a connection.
    Up(Session),
    /// The dispatcher is stopping, or switched off: there will be none until it is started again.
    Stopped,
}

/// One connection to one child.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Counts connections: a thread must be resumed once on each.
    pub(super) connection: u64,
    /// Counts children: what a dead one was told is over.
    pub(super) child: u64,
    /// The connection.
    pub(super) client: Client,
}

/// What the supervisor says of itself to whoever looks.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where in its life the dispatcher is.
    pub record: DispatcherRecord,
    /// The child, as the codex module tells it.
    pub child: Option<ChildSnapshot>,
    /// What the child said about itself.
    pub facts: Option<ServerFacts>,
}

/// Owns the child and its connection.
pub(super) struct Supervisor {
    id: DispatcherId,
    launch: LaunchConfig,
    launcher: Arc<dyn Launch>,
    ledger: Ledger,
    policy: RestartPolicy,
    login: Login,
    link: watch::Sender<Link>,
    condition: watch::Sender<Condition>,
    /// Children up to this number are to be replaced.
    unwanted: watch::Receiver<u64>,
    /// What codex signs in with has changed.
    refreshed: watch::Receiver<u64>,
    connections: u64,
    children: u64,
    refusals: Refusals,
    events: Events,
}

/// Starts that failed one after the other.
#[derive(Debug, Default)]
struct Refusals {
    count: u32,
    reason: String,
}

/// What others hold of a supervisor.
#[derive(Clone)]
pub(super) struct Supervised {
    /// The connection.
    pub(super) link: watch::Receiver<Link>,
    /// What there is to show.
    pub(super) condition: watch::Receiver<Condition>,
    unwanted: Arc<watch::Sender<u64>>,
    refreshed: Arc<watch::Sender<u64>>,
}

impl Supervised {
    /// Asks for another child, as soon as can be: what it signs in with has changed.
    pub(super) fn refresh(&self) {
        self.refreshed.send_modify(|count| *count += 1);
    }

    /// Asks for another child in place of this one, which does not do what it is told.
    pub(super) fn replace_child(&self, child: u64) {
        self.unwanted.send_if_modified(|unwanted| {
            let is_news = *unwanted < child;
            *unwanted = child.max(*unwanted);
            is_news
        });
    }
}

/// Why a child is no longer tended.
enum End {
    /// It ended by itself, or lost its connection for good.
    Lost(String),
    /// The dispatcher stops.
    Stop,
}

impl Supervisor {
    pub(super) fn new(
        id: DispatcherId,
        launch: LaunchConfig,
        launcher: Arc<dyn Launch>,
        ledger: Ledger,
        policy: RestartPolicy,
        login: Login,
        events: Events,
    ) -> (Self, Supervised) {
        let (link, link_seen) = watch::channel(Link::Down {
            since: Instant::now(),
            failure: None,
        });
        let record = DispatcherRecord {
            id: id.clone(),
            state: Lifecycle::Declared,
            last_started_at: None,
            last_error: None,
            restarts: 0,
            changed_at: SystemTime::now(),
        };
        let (condition, condition_seen) = watch::channel(Condition {
            record,
            child: None,
            facts: None,
        });
        let (unwanted, unwanted_seen) = watch::channel(0);
        let (refreshed, refreshed_seen) = watch::channel(0);
        let supervised = Supervised {
            link: link_seen,
            condition: condition_seen,
            unwanted: Arc::new(unwanted),
            refreshed: Arc::new(refreshed),
        };
        let supervisor = Self {
            id,
            launch,
            launcher,
            ledger,
            policy,
            login,
            link,
            condition,
            unwanted: unwanted_seen,
            refreshed: refreshed_seen,
            connections: 0,
            children: 0,
            refusals: Refusals::default(),
            events,
        };
        (supervisor, supervised)
    }

    /// Keeps a child alive until `stop` is cancelled, then ends it. Can go on after that.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Self {
        self.link.send_if_modified(|link| {
            let was_stopped = matches!(link, Link::Stopped);
            if was_stopped {
                *link = Link::Down {
                    since: Instant::now(),
                    failure: None,
                };
            }
            was_stopped
        });
        while !stop.is_cancelled() {
            self.events.emit(Event::ChildStarting);
            self.enter(Lifecycle::Starting, None).await;
            self.refreshed.mark_unchanged();
            let started = tokio::select! {
                () = stop.cancelled() => break,
                started = self.launcher.launch(&self.launch) => started,
            };
            let uptime = match started {
                Ok(mut server) => {
                    let ready_at = Instant::now();
                    self.refusals = Refusals::default();
                    self.login.started();
                    self.children += 1;
                    self.show_child(server.snapshot());
                    let end = self.tend(&mut server, &stop).await;
                    self.part_from(server, end).await;
                    ready_at.elapsed()
                }
                Err(failure) => {
                    let reason = WithCauses(&failure).to_string();
                    self.refusals.log(&reason);
                    let cause = failure.to_failure();
                    if is_login_trouble(&cause) {
                        self.login.start_failed(&cause);
                    } else {
                        self.login.started();
                    }
                    self.events.emit(Event::ChildDegraded {
                        failure: failure.to_failure().kind,
                        reason: reason.clone(),
                    });
                    self.show_child(ChildSnapshot::of_failure(&failure));
                    self.link.send_modify(|link| {
                        if let Link::Down { failure: last, .. } = link {
                            *last = Some(cause.kind);
                        }
                    });
                    self.enter(Lifecycle::Degraded, Some(reason)).await;
                    Duration::ZERO
                }
            };
            if stop.is_cancelled() {
                break;
            }
            let delay = self.policy.after_run(uptime);
            self.condition
                .send_modify(|condition| condition.record.restarts += 1);
            debug!(delay_ms = delay.as_millis(), "codex is started again");
            self.events.emit(Event::ChildRestarting {
                in_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(delay) => {}
                Ok(()) = self.refreshed.changed() => {}
            }
        }
        self.link.send_replace(Link::Stopped);
        self.enter(Lifecycle::Stopped, None).await;
        self
    }

    /// Watches one child until it is lost or the dispatcher stops.
    async fn tend(&mut self, server: &mut AppServer, stop: &CancellationToken) -> End {
        let mut client = server.client().clone();
        let mut dropped_at_once = 0;
        loop {
            self.connections += 1;
            let connected_at = Instant::now();
            self.show_facts(server.facts().clone());
            self.link.send_replace(Link::Up(Session {
                connection: self.connections,
                child: self.children,
                client: client.clone(),
            }));
            self.events.emit(Event::ChildReady {
                pid: server.snapshot().pid,
                version: server.facts().version.clone(),
            });
            self.enter(Lifecycle::Ready, None).await;
            let reason = tokio::select! {
                () = stop.cancelled() => return End::Stop,
                exit = server.exited() => return End::Lost(exit.to_string()),
                reason = client.closed() => reason,
                Ok(_) = self.unwanted.wait_for(|unwanted| *unwanted >= self.children) => {
                    return End::Lost("codex did not do what it was told".to_owned());
                }
                Ok(()) = self.refreshed.changed() => {
                    return End::Lost("what codex signs in with has changed".to_owned());
                }
            };
            self.link.send_replace(Link::Down {
                since: Instant::now(),
                failure: None,
            });
            self.events.emit(Event::ChildDisconnected {
                reason: reason.to_string(),
            });
            if matches!(reason, CloseReason::Deaf(_)) {
                return End::Lost(reason.to_string());
            }
            if connected_at.elapsed() >= STEADY_AFTER {
                dropped_at_once = 0;
            }
            dropped_at_once += 1;
            if dropped_at_once > MAX_DROPS {
                return End::Lost(format!("codex keeps dropping its connection: {reason}"));
            }
            let exited = server.exited();
            let reconnected = tokio::select! {
                () = stop.cancelled() => return End::Stop,
                exit = exited => return End::Lost(exit.to_string()),
                reconnected = tokio::time::timeout(RECONNECT_FOR, reconnect(server)) => reconnected,
            };
            client = match reconnected {
                Ok(Ok(client)) => client,
                Ok(Err(failure)) => return End::Lost(WithCauses(&failure).to_string()),
                Err(_elapsed) => return End::Lost(format!("{reason}; no new connection")),
            };
            warn!(%reason, "the connection to codex was lost and made again");
        }
    }

    /// Ends what is left of a child.
    async fn part_from(&mut self, server: AppServer, end: End) {
        let (report, reason, expected) = match end {
            End::Lost(reason) => {
                warn!(%reason, "codex is lost");
                self.link.send_if_modified(|link| match link {
                    Link::Up(_) => {
                        *link = Link::Down {
                            since: Instant::now(),
                            failure: None,
                        };
                        true
                    }
                    Link::Down { .. } | Link::Stopped => false,
                });
                self.enter(Lifecycle::Degraded, Some(reason.clone())).await;
                (server.kill().await, reason, false)
            }
            End::Stop => {
                self.link.send_replace(Link::Stopped);
                self.enter(Lifecycle::Stopping, None).await;
                let reason = "it was told to".to_owned();
                (server.stop(STOP_GRACE).await, reason, true)
            }
        };
        self.events.emit(Event::ChildExited {
            reason,
            code: report.snapshot.code,
            signal: report.snapshot.signal,
            expected,
        });
        for warning in &report.warnings {
            warn!(%warning, "codex did not end as it should");
        }
        self.show_child(report.snapshot);
    }

    /// Shows what the server says of itself. What it finds wrong is worth a warning once, not at
    /// each start.
    fn show_facts(&self, facts: ServerFacts) {
        let known = match &self.condition.borrow().facts {
            Some(before) => before.skills.clone(),
            None => Vec::new(),
        };
        for problem in facts.skills.iter().filter(|it| !known.contains(it)) {
            warn!(%problem, "something is wrong with the skills; codex works without");
        }
        self.condition
            .send_modify(|condition| condition.facts = Some(facts));
    }

    fn show_child(&self, snapshot: ChildSnapshot) {
        self.condition
            .send_modify(|condition| condition.child = Some(snapshot));
    }

    /// Records and shows where in its life the dispatcher is. Supervision goes on when the disk
    /// does not.
    async fn enter(&self, state: Lifecycle, error: Option<String>) {
        let mut record = self.condition.borrow().record.clone();
        let now = SystemTime::now();
        if state == Lifecycle::Ready {
            record.last_started_at = Some(now);
        }
        if error.is_some() {
            record.last_error = error;
        }
        record.state = state;
        record.changed_at = now;
        self.condition
            .send_modify(|condition| condition.record = record.clone());
        if let Err(failure) = self.ledger.set_dispatcher(record).await {
            warn!(dispatcher = %self.id, error = %failure, "the dispatcher's state is not on disk");
        }
    }
}

impl Refusals {
    /// Logs a start that failed: a reason is worth a warning once.
    fn log(&mut self, reason: &str) {
        self.count += 1;
        let attempt = self.count;
        if self.reason == reason {
            debug!(attempt, error = %reason, "codex did not start");
        } else {
            warn!(attempt, error = %reason, "codex did not start; trying again until it does");
            reason.clone_into(&mut self.reason);
        }
    }
}

/// Asks a living child for a new connection until there is one, or can be none.
async fn reconnect(server: &mut AppServer) -> Result<Client, StartError> {
    loop {
        match server.reconnect().await {
            Ok(client) => return Ok(client),
            Err(failure @ (StartError::PipesAreGone | StartError::Exited(_))) => {
                return Err(failure);
            }
            Err(failure) => {
                debug!(error = %WithCauses(&failure), "no new connection yet");
                tokio::time::sleep(RECONNECT_EVERY).await;
            }
        }
    }
}
