//! An app-server that is ready for use: its process, if it is ours, and a connection to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tieline_channel::socket::MAX_PATH;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::binary::{self, Version};
use super::call::CallError;
use super::child::{ChildProcess, ExitReport, Pipes};
use super::client::Client;
use super::connect::{connect, shake_hands, unix_stream, upgrade};
use super::connection::Connection;
use super::home;
use super::launch::{Endpoint, LaunchConfig, Transport};
use super::process::raw;
use super::protocol::InitializeResponse;
use super::registry::{self, Entry};
use super::snapshot::{ChildSnapshot, ChildState, StopReport};
use super::spawner::{Program, Spawner};
use super::start_error::StartError;
use super::wire::Wire;

/// How often a socket that does not accept yet is tried. Codex takes 20 ms to get there.
const CONNECT_EVERY: Duration = Duration::from_millis(3);
/// How long a second SIGTERM may take, which makes codex leave its turns alone and clean up.
const SECOND_TERM: Duration = Duration::from_millis(500);
/// How long the kernel and our cleaning up may take after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(5);

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

/// What an app-server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// Our name, its version and its platform.
    pub user_agent: String,
    /// Its version, if it could be read.
    pub version: Option<String>,
    /// The home it uses.
    pub codex_home: PathBuf,
    /// For example `linux`.
    pub platform: String,
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
                let started = Self::start_child(config, spawner, &path).await;
                match started {
                    Ok(started) => started,
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

    async fn start_child(
        config: &LaunchConfig,
        spawner: &Spawner,
        path: &Path,
    ) -> Result<(Origin, Wire), StartError> {
        let home = home::check(&config.home, &config.config)?;
        registry::prepare(&config.run_dir)?;
        let with_socket = config.transport == Transport::Unix;
        let entry = Entry::create(&config.run_dir, &config.owner)?;
        let socket = with_socket.then(|| entry.socket_path());
        // From here on the files have to go again whatever happens.
        let unmade = UnmadeChild(Some(entry));
        if let Some(socket) = &socket
            && socket.as_os_str().len() > MAX_PATH
        {
            return Err(StartError::SocketPathTooLong(socket.clone()));
        }
        let spawned = spawner
            .spawn(Program {
                path: path.to_owned(),
                arguments: config.arguments(unmade.mark(), socket.as_deref()),
                environment: config.environment(unmade.mark(), &home.key_variables),
                cwd: config.cwd.clone(),
                with_stdin: !with_socket,
            })
            .await?;
        let spawn_error = |source| StartError::Spawn {
            path: path.to_owned(),
            cwd: config.cwd.clone(),
            source,
        };
        let child = spawned.map_err(spawn_error)?;
        let pid = child.id();
        let Some((pid, group)) = pid.and_then(|pid| Some((pid, raw(pid)?))) else {
            return Err(spawn_error(std::io::ErrorKind::NotFound.into()));
        };
        let entry = unmade.made();
        let recorded = entry.set_child(&config.owner, pid);
        let (child, pipes) = ChildProcess::watch(child, pid, group, entry, config, spawner);
        tracing::debug!(owner = config.owner, pid, "started codex");
        let connected = match (recorded, &socket, pipes) {
            (Err(error), _, _) => Err(error.into()),
            (Ok(()), Some(socket), _) => connect_to_child(config, &child, socket).await,
            (Ok(()), None, Some(Pipes { stdin, stdout })) => Ok(Wire::lines(stdout, stdin)),
            (Ok(()), None, None) => Err(StartError::PipesAreGone),
        };
        match connected {
            Ok(wire) => Ok((Origin::Child(child, socket), wire)),
            Err(error) => {
                end_now(&child, &mut Vec::new()).await;
                Err(error)
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
            exit = end_now(&child, &mut warnings).await;
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
            Origin::Child(child, _) => end_now(child, &mut warnings).await,
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
            (StartError::Handshake(CallError::Closed { .. }), Some(exit))
                if exit.signal.is_none() =>
            {
                StartError::Exited(exit)
            }
            (error, _) => error,
        };
        match path {
            Ok(path) => explain(error, &path, &config).await,
            Err(_) => error,
        }
    }
}

/// Connects as soon as the child accepts.
async fn connect_to_child(
    config: &LaunchConfig,
    child: &ChildProcess,
    socket: &Path,
) -> Result<Wire, StartError> {
    let give_up_at = Instant::now() + config.deadlines.listen;
    let exited = child.exited();
    tokio::pin!(exited);
    let stream = loop {
        if let Ok(stream) = unix_stream(socket).await {
            break stream;
        }
        tokio::select! {
            report = &mut exited => return Err(StartError::Exited(report)),
            () = sleep(CONNECT_EVERY) => {}
            () = sleep_until(give_up_at) => {
                return Err(StartError::NotListening {
                    after: config.deadlines.listen,
                    last_lines: child.last_lines(),
                });
            }
        }
    };
    tokio::select! {
        wire = within_handshake(config, upgrade(stream, socket)) => Ok(wire??),
        report = &mut exited => Err(StartError::Exited(report)),
    }
}

async fn within_handshake<T>(
    config: &LaunchConfig,
    step: impl Future<Output = T>,
) -> Result<T, StartError> {
    let patience = config.deadlines.handshake;
    timeout_at(Instant::now() + patience, step)
        .await
        .map_err(|_elapsed| StartError::UpgradeTimedOut(patience))
}

async fn greet(config: &LaunchConfig, connection: &Connection) -> Result<ServerFacts, StartError> {
    let greeting = shake_hands(connection.client());
    let after = config.deadlines.handshake;
    let response = timeout(after, greeting)
        .await
        .unwrap_or(Err(CallError::TimedOut {
            method: "initialize",
            after,
        }))
        .map_err(StartError::Handshake)?;
    let version = Version::find_in(&response.user_agent);
    if let Some(version) = version {
        version.check()?;
    }
    let facts = ServerFacts::of(response, version);
    tracing::info!(
        owner = config.owner,
        user_agent = facts.user_agent,
        home = %facts.codex_home.display(),
        platform = facts.platform,
        "codex is ready"
    );
    Ok(facts)
}

/// Says "too old" instead of what an old codex says of arguments it does not know.
///
/// The version is asked for only here: a codex that works tells it in the handshake, so that no
/// start has to wait for `--version`.
async fn explain(error: StartError, path: &Path, config: &LaunchConfig) -> StartError {
    let may_be_its_age = matches!(
        error,
        StartError::Exited(_)
            | StartError::NotListening { .. }
            | StartError::UpgradeTimedOut(_)
            | StartError::Handshake(_)
    );
    if !may_be_its_age {
        return error;
    }
    match binary::version(path, &config.inherited.minimal()).await {
        Ok(version) => version.check().map_or_else(StartError::Binary, |()| error),
        Err(_) => error,
    }
}

/// Kills a child and waits until nothing of it is left.
async fn end_now(child: &ChildProcess, warnings: &mut Vec<String>) -> Option<ExitReport> {
    if let Err(error) = child.kill() {
        warnings.push(format!("cannot kill codex: {error}"));
    }
    let exit = timeout(AFTER_KILL, child.exited()).await.ok();
    if exit.is_none() {
        warnings.push(format!("codex, process {}, does not die", child.pid));
    }
    exit
}

/// The files of a child that may never be made.
struct UnmadeChild(Option<Entry>);

impl UnmadeChild {
    fn mark(&self) -> &str {
        self.0.as_ref().map_or("", Entry::mark)
    }

    fn made(mut self) -> Entry {
        self.0
            .take()
            .expect("taken only here, and `self` is gone then")
    }
}

impl Drop for UnmadeChild {
    fn drop(&mut self) {
        if let Some(entry) = &self.0 {
            // The future may have been dropped between the spawn and its answer.
            entry.kill_marked();
            entry.remove_files();
        }
    }
}

// === impl ServerFacts ===

impl ServerFacts {
    fn of(response: InitializeResponse, version: Option<Version>) -> Self {
        Self {
            user_agent: response.user_agent,
            version: version.map(|version| version.to_string()),
            codex_home: response.codex_home,
            platform: response.platform_os,
        }
    }

    fn unknown() -> Self {
        Self {
            user_agent: String::new(),
            version: None,
            codex_home: PathBuf::new(),
            platform: String::new(),
        }
    }
}
