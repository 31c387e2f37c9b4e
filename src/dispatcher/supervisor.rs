//! Keeps the dispatcher's child alive: starts it, reconnects to it, replaces it, stops it.
//!
//! A dropped connection with a living child is made again, and turns go on. A dead or deaf child
//! is replaced with backoff. Lanes see only the [`Link`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tieline_channel::WithCauses;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::codex::{
    AppServer, ChildSnapshot, Client, CloseReason, FailureKind, Launch, LaunchConfig, ServerFacts,
};
use crate::id::DispatcherId;
use crate::ledger::{DispatcherRecord, Ledger, Lifecycle};
use crate::retry::RestartPolicy;

/// How long a living child is asked for a new connection before it is replaced.
const RECONNECT_FOR: Duration = Duration::from_secs(5);

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
    /// The dispatcher is stopping: there will be none.
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
    link: watch::Sender<Link>,
    condition: watch::Sender<Condition>,
    replace: Arc<Notify>,
    connections: u64,
    children: u64,
}

/// What others hold of a supervisor.
#[derive(Clone)]
pub(super) struct Supervised {
    /// The connection.
    pub(super) link: watch::Receiver<Link>,
    /// What there is to show.
    pub(super) condition: watch::Receiver<Condition>,
    /// Asks for another child: this one does not do what it is told.
    pub(super) replace: Arc<Notify>,
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
        let replace = Arc::new(Notify::new());
        let supervised = Supervised {
            link: link_seen,
            condition: condition_seen,
            replace: Arc::clone(&replace),
        };
        let supervisor = Self {
            id,
            launch,
            launcher,
            ledger,
            policy,
            link,
            condition,
            replace,
            connections: 0,
            children: 0,
        };
        (supervisor, supervised)
    }

    /// Keeps a child alive until `stop` is cancelled, then ends it.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.enter(Lifecycle::Starting, None).await;
            let started = tokio::select! {
                () = stop.cancelled() => break,
                started = self.launcher.launch(&self.launch) => started,
            };
            let uptime = match started {
                Ok(mut server) => {
                    let ready_at = Instant::now();
                    self.children += 1;
                    self.show_child(server.snapshot());
                    let end = self.tend(&mut server, &stop).await;
                    self.part_from(server, end).await;
                    ready_at.elapsed()
                }
                Err(failure) => {
                    let reason = WithCauses(&failure).to_string();
                    warn!(error = %reason, "codex did not start");
                    self.show_child(ChildSnapshot::of_failure(&failure));
                    self.link.send_modify(|link| {
                        if let Link::Down { failure: last, .. } = link {
                            *last = Some(failure.to_failure().kind);
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
            info!(delay_ms = delay.as_millis(), "codex is started again");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
        self.link.send_replace(Link::Stopped);
        self.enter(Lifecycle::Stopped, None).await;
    }

    /// Watches one child until it is lost or the dispatcher stops.
    async fn tend(&mut self, server: &mut AppServer, stop: &CancellationToken) -> End {
        let mut client = server.client().clone();
        loop {
            self.connections += 1;
            self.link.send_replace(Link::Up(Session {
                connection: self.connections,
                child: self.children,
                client: client.clone(),
            }));
            let facts = server.facts().clone();
            self.condition
                .send_modify(|condition| condition.facts = Some(facts));
            self.enter(Lifecycle::Ready, None).await;
            let reason = tokio::select! {
                () = stop.cancelled() => return End::Stop,
                exit = server.exited() => return End::Lost(exit.to_string()),
                reason = client.closed() => reason,
                () = self.replace.notified() => {
                    return End::Lost("codex did not end a turn it was told to end".to_owned());
                }
            };
            self.link.send_replace(Link::Down {
                since: Instant::now(),
                failure: None,
            });
            if matches!(reason, CloseReason::Deaf(_)) {
                return End::Lost(reason.to_string());
            }
            let exited = server.exited();
            let reconnected = tokio::select! {
                () = stop.cancelled() => return End::Stop,
                exit = exited => return End::Lost(exit.to_string()),
                reconnected = tokio::time::timeout(RECONNECT_FOR, server.reconnect()) => reconnected,
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
        let report = match end {
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
                self.enter(Lifecycle::Degraded, Some(reason)).await;
                server.kill().await
            }
            End::Stop => {
                self.link.send_replace(Link::Stopped);
                self.enter(Lifecycle::Stopping, None).await;
                server.stop(STOP_GRACE).await
            }
        };
        for warning in &report.warnings {
            warn!(%warning, "codex did not end as it should");
        }
        self.show_child(report.snapshot);
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
