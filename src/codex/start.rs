//! The way from nothing to an app-server that answers: spawn, connect, shake hands, and say what
//! stood in the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tieline_channel::socket::MAX_PATH;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::binary::{self, Version};
use super::call::CallError;
use super::child::{ChildProcess, Pipes};
use super::connect::{shake_hands, unix_stream, upgrade};
use super::connection::Connection;
use super::credentials;
use super::home;
use super::launch::{LaunchConfig, Transport};
use super::process::raw;
use super::profile::Prepared;
use super::protocol::InitializeResponse;
use super::registry::{self, Entry};
use super::skills::{self, SkillsWarning};
use super::spawner::{Program, Spawner};
use super::start_error::StartError;
use super::wire::Wire;

/// How often a socket that does not accept yet is tried. Codex takes 20 ms to get there.
const CONNECT_EVERY: Duration = Duration::from_millis(3);

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
    /// What is wrong with the skills that it was given.
    pub skills: Vec<SkillsWarning>,
}

/// The files of a child that may never be made.
struct UnmadeChild(Option<Entry>);

/// Starts a child and connects to it: over the socket, whose path is returned, or over its pipes.
pub(super) async fn start_child(
    config: &LaunchConfig,
    spawner: &Spawner,
    path: &Path,
) -> Result<(ChildProcess, Option<PathBuf>, Wire), StartError> {
    let prepared = match &config.profile {
        Some(profile) => profile.prepare(&config.home).await?,
        None => Prepared::default(),
    };
    let home = home::check(&config.home, &config.config)?;
    let kept_from_commands =
        home::kept_from_commands(&config.home, &config.config, prepared.credentials.keys());
    credentials::hide(config, &home);
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
            arguments: config.arguments(
                unmade.mark(),
                socket.as_deref(),
                kept_from_commands.as_slice(),
            ),
            environment: prepared.add_to(config.environment(unmade.mark(), &home.key_variables)),
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
        Ok(wire) => Ok((child, socket, wire)),
        Err(error) => {
            child.end_now(&mut Vec::new()).await;
            Err(error)
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

/// Does a step within the deadline of the handshake.
pub(super) async fn within_handshake<T>(
    config: &LaunchConfig,
    step: impl Future<Output = T>,
) -> Result<T, StartError> {
    let patience = config.deadlines.handshake;
    timeout_at(Instant::now() + patience, step)
        .await
        .map_err(|_elapsed| StartError::UpgradeTimedOut(patience))
}

/// Shakes hands, refuses a server that is too old, and gives the others what they need before a
/// thread is loaded.
pub(super) async fn greet(
    config: &LaunchConfig,
    connection: &Connection,
) -> Result<ServerFacts, StartError> {
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
    let skills = skills::give(config, connection.client())
        .await
        .map_err(StartError::Skills)?;
    let facts = ServerFacts::of(response, version, skills);
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
pub(super) async fn explain(error: StartError, path: &Path, config: &LaunchConfig) -> StartError {
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

// === impl UnmadeChild ===

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
    fn of(
        response: InitializeResponse,
        version: Option<Version>,
        skills: Vec<SkillsWarning>,
    ) -> Self {
        Self {
            user_agent: response.user_agent,
            version: version.map(|version| version.to_string()),
            codex_home: response.codex_home,
            platform: response.platform_os,
            skills,
        }
    }

    /// Returns what is known of a server that was not greeted.
    pub(super) fn unknown() -> Self {
        Self {
            user_agent: String::new(),
            version: None,
            codex_home: PathBuf::new(),
            platform: String::new(),
            skills: Vec::new(),
        }
    }
}
