//! An app-server that is ready for use: its process, if it is ours, and a connection to it.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::binary;
use super::call::CallError;
use super::child::{ChildProcess, ExitReport};
use super::client::Client;
use super::connect::{connect, unix_stream, upgrade};
use super::connection::Connection;
use super::launch::{Endpoint, LaunchConfig, Transport};
use super::snapshot::{ChildSnapshot, ChildState, StopReport};
use super::spawner::Spawner;
use super::start::{ServerFacts, explain, greet, start_child, within_handshake};
use super::start_error::StartError;

/// How long a second SIGTERM may take, which makes codex leave its turns alone and clean up.
const SECOND_TERM: Duration = Duration::from_millis(500);
/// Makes app-servers ready for use: a seam, so that a dispatcher can be tried with a fake.
#[async_trait]
pub trait Launch: Send + Sync {
    /// Returns an app-server that is ready.
    ///
    /// # Errors
    /// It could not be made ready; nothing of it is left.
    async fn launch(&self, config: &LaunchConfig) -> Result<AppServer, StartError>;
}

/// An app-server that has been started and greeted.
///
/// There is no unready one: [`start`](Self::start) returns when the handshake is done, so whoever
/// has one can use it, and the handshake happens once however many wait for it.
///
/// All that is known about a child belongs to this value: a later start is another value, and
/// nothing that happens to an old one can be taken for news of the new one. Dropping it kills the
/// child at once; [`stop`](Self::stop) is kinder.
pub struct AppServer {
    config: LaunchConfig,
    origin: Origin,
    connection: Connection,
    facts: ServerFacts,
}

enum Origin {
    Child(ChildProcess, Option<PathBuf>),
    External(Endpoint),
}

#[async_trait]
impl Launch for Spawner {
    async fn launch(&self, config: &LaunchConfig) -> Result<AppServer, StartError> {
        AppServer::start(config, self).await
    }
}

// === impl AppServer ===

impl AppServer {
    /// Starts a child, or finds the external server, and shakes hands.
    ///
    /// Takes about 50 ms. Dropping the future kills what was started so far.
    ///
    /// # Errors
    /// It is not ready; nothing of it is left, no process and no file.
    pub async fn start(config: &LaunchConfig, spawner: &Spawner) -> Result<Self, StartError> {
        let (origin, wire) = match &config.transport {
            Transport::External(endpoint) => {
                let wire = within_handshake(config, connect(endpoint)).await??;
                (Origin::External(endpoint.clone()), wire)
            }
            Transport::Unix | Transport::Stdio => {
                let path = binary::find(config.bin.as_deref(), &config.inherited)?;
                match start_child(config, spawner, &path).await {
                    Ok((child, socket, wire)) => (Origin::Child(child, socket), wire),
                    Err(error) => return Err(explain(error, &path, config).await),
                }
            }
        };
        let connection = Connection::open(wire, config.requests.clone(), config.deadlines.liveness);
        let greeted = match &origin {
            Origin::Child(child, _) => {
                tokio::select! {
                    greeted = greet(config, &connection) => greeted,
                    report = child.exited() => Err(StartError::Exited(report)),
                }
            }
            Origin::External(_) => greet(config, &connection).await,
        };
        let server = |facts| Self {
            config: config.clone(),
            origin,
            connection,
            facts,
        };
        match greeted {
            Ok(facts) => Ok(server(facts)),
            Err(error) => {
                let unready = server(ServerFacts::unknown());
                Err(unready.give_up(error).await)
            }
        }
    }

    /// Returns the present connection; cheap to clone.
    pub fn client(&self) -> &Client {
        self.connection.client()
    }

    /// Returns what the server said about itself.
    pub fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Replaces a connection that has ended by a new one to the same process. Turns go on
    /// meanwhile; threads have to be resumed on the new connection.
    ///
    /// # Errors
    /// The process has ended or cannot be reached, or it is reached over its pipes, which exist
    /// once. It is as it was before.
    pub async fn reconnect(&mut self) -> Result<Client, StartError> {
        let wire = match &self.origin {
            Origin::Child(child, _) if child.exit_report().is_some() => {
                return Err(match child.exit_report() {
                    Some(report) => StartError::Exited(report),
                    None => StartError::PipesAreGone,
                });
            }
            Origin::Child(_, None) => return Err(StartError::PipesAreGone),
            Origin::Child(_, Some(socket)) => {
                let wire = async { upgrade(unix_stream(socket).await?, socket).await };
                within_handshake(&self.config, wire).await??
            }
            Origin::External(endpoint) => {
                within_handshake(&self.config, connect(endpoint)).await??
            }
        };
        let liveness = self.config.deadlines.liveness;
        let connection = Connection::open(wire, self.config.requests.clone(), liveness);
        match greet(&self.config, &connection).await {
            Ok(facts) => {
                self.facts = facts;
                let old = std::mem::replace(&mut self.connection, connection);
                old.close().await;
                Ok(self.client().clone())
            }
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    /// Waits until the child has ended and nothing of it is left. Never returns for an external
    /// server.
    pub fn exited(&self) -> impl Future<Output = ExitReport> + Send + use<> {
        let exited = match &self.origin {
            Origin::Child(child, _) => Some(child.exited()),
            Origin::External(_) => None,
        };
        async move {
            match exited {
                Some(exited) => exited.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Returns what there is to know at this moment.
    pub fn snapshot(&self) -> ChildSnapshot {
        match &self.origin {
            Origin::External(_) => ChildSnapshot::of_state(ChildState::External),
            Origin::Child(child, _) => {
                let running = ChildSnapshot {
                    pid: Some(child.pid),
                    started_at: Some(child.started_at),
                    ..ChildSnapshot::of_state(ChildState::Running)
                };
                match child.exit_report() {
                    None => running,
                    Some(report) => ChildSnapshot {
                        last_error: Some(report.to_string()),
                        ..running.ended(ChildState::Failed, &report)
                    },
                }
            }
        }
    }

    /// Returns the last lines on the child's stderr.
    pub fn last_lines(&self) -> Vec<String> {
        match &self.origin {
            Origin::Child(child, _) => child.last_lines(),
            Origin::External(_) => Vec::new(),
        }
    }

    /// Closes the connection and ends the child.
    ///
    /// SIGTERM lets codex finish its running turns, which takes as long as it takes; `drain` is how
    /// long we wait. Turns that are not worth waiting for should be interrupted before. Then it is
    /// asked again, which makes it leave at once, and at last killed. What it had started goes
    /// with it. An external server is left alone.
    pub async fn stop(self, drain: Duration) -> StopReport {
        let before = self.snapshot();
        self.connection.close().await;
        let child = match self.origin {
            Origin::External(_) => {
                return StopReport {
                    snapshot: ChildSnapshot::of_state(ChildState::Idle),
                    exit: None,
                    was_forced: false,
                    warnings: Vec::new(),
                };
            }
            Origin::Child(child, _) => child,
        };
        let mut warnings = Vec::new();
        let mut exit = None;
        for patience in [drain, SECOND_TERM] {
            if let Err(error) = child.terminate() {
                warnings.push(format!("cannot send SIGTERM to codex: {error}"));
            }
            exit = timeout(patience, child.exited()).await.ok();
            if exit.is_some() {
                break;
            }
        }
        let was_forced = exit.is_none();
        if was_forced {
            exit = child.end_now(&mut warnings).await;
        }
        StopReport {
            snapshot: match &exit {
                Some(report) => before.ended(ChildState::Stopped, report),
                None => before,
            },
            exit,
            was_forced,
            warnings,
        }
    }

    /// Kills the child at once: for one that is deaf.
    pub async fn kill(self) -> StopReport {
        let before = self.snapshot();
        let mut warnings = Vec::new();
        let exit = match &self.origin {
            Origin::Child(child, _) => child.end_now(&mut warnings).await,
            Origin::External(_) => None,
        };
        self.connection.close().await;
        StopReport {
            snapshot: match (&exit, &self.origin) {
                (Some(report), _) => before.ended(ChildState::Stopped, report),
                (None, Origin::External(_)) => ChildSnapshot::of_state(ChildState::Idle),
                (None, Origin::Child(..)) => before,
            },
            exit,
            was_forced: true,
            warnings,
        }
    }

    /// Ends what could not be made ready, and says why it could not.
    async fn give_up(self, error: StartError) -> StartError {
        let path = match &self.origin {
            Origin::Child(..) => binary::find(self.config.bin.as_deref(), &self.config.inherited),
            Origin::External(_) => return error,
        };
        let config = self.config.clone();
        let report = self.kill().await;
        let error = match (error, report.exit) {
            // It went away by itself, which explains more than a closed connection.
            (
                StartError::Handshake(CallError::Closed { .. })
                | StartError::Skills(CallError::Closed { .. }),
                Some(exit),
            ) if exit.signal.is_none() => StartError::Exited(exit),
            (error, _) => error,
        };
        match path {
            Ok(path) => explain(error, &path, &config).await,
            Err(_) => error,
        }
    }
}
