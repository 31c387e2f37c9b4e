//! Why an app-server could not be made ready.

use std::path::PathBuf;
use std::time::Duration;

use tieline_channel::WithCauses;
use tieline_channel::socket::MAX_PATH;

use super::binary::BinaryError;
use super::call::CallError;
use super::child::ExitReport;
use super::connect::ConnectError;
use super::failure::{Failure, FailureKind};
use super::home::HomeError;
use super::profile::ProfileError;
use super::registry::RunDirError;
use super::spawner::SpawnerGone;

/// An app-server could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no usable codex.
    #[error("no usable codex")]
    Binary(#[from] BinaryError),
    /// Its home is not in order.
    #[error("codex's home is not in order")]
    Home(#[from] HomeError),
    /// Its profile cannot be used now.
    #[error("codex's profile is not in order")]
    Profile(#[from] ProfileError),
    /// The run directory is not in order.
    #[error("no place for codex's socket")]
    RunDir(#[from] RunDirError),
    /// The socket's path is longer than the system takes.
    #[error(
        "the socket path {} has {} bytes, and {MAX_PATH} are possible: set `state_dir` \
         under [daemon] to a shorter path", .0.display(), .0.as_os_str().len()
    )]
    SocketPathTooLong(PathBuf),
    /// The system did not start it.
    #[error("cannot start {} in {}: see that both exist and may be used", path.display(), cwd.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// Its working directory.
        cwd: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("{0}")]
    Exited(ExitReport),
    /// It runs and does not accept connections.
    #[error(
        "codex did not accept connections within {} s; its last lines: {last_lines:?}", after.as_secs()
    )]
    NotListening {
        /// How long it was waited for.
        after: Duration,
        /// The last lines on its stderr.
        last_lines: Vec<String>,
    },
    /// It cannot be reached.
    #[error("codex cannot be reached")]
    Connect(#[from] ConnectError),
    /// The upgrade was not answered in time.
    #[error("codex accepted the connection and then said nothing for {} s", .0.as_secs())]
    UpgradeTimedOut(Duration),
    /// The handshake failed.
    #[error("the handshake with codex failed")]
    Handshake(#[source] CallError),
    /// The directories of skills were not taken.
    #[error(
        "codex did not take the directories of skills; see that those in `skills` of the dispatcher \
         can be read, or take them out"
    )]
    Skills(#[source] CallError),
    /// A connection over pipes cannot be made a second time.
    #[error("codex was reached over its pipes, which are closed: restart it")]
    PipesAreGone,
    /// We are about to end.
    #[error(transparent)]
    SpawnerGone(#[from] SpawnerGone),
}

// === impl StartError ===

impl StartError {
    /// Returns what this means for whoever waits for codex.
    pub fn to_failure(&self) -> Failure {
        let kind = match self {
            Self::NotListening { .. }
            | Self::UpgradeTimedOut(_)
            | Self::Handshake(CallError::TimedOut { .. })
            | Self::Skills(CallError::TimedOut { .. }) => FailureKind::BackendTimeout,
            Self::Profile(ProfileError::Credential { .. } | ProfileError::File { .. }) => {
                FailureKind::SecretUnavailable
            }
            Self::Profile(ProfileError::Storage { .. }) => FailureKind::SessionStoreEvicted,
            Self::Home(HomeError::NoLogin(_)) => FailureKind::ProviderAuthFailed,
            Self::Handshake(CallError::Response { .. } | CallError::Refused { .. })
            | Self::Skills(CallError::Response { .. } | CallError::Refused { .. }) => {
                FailureKind::BackendResponseInvalid
            }
            _ => FailureKind::BackendSpawnFailed,
        };
        Failure::new(kind, WithCauses(self).to_string())
    }

    /// Returns whether trying again without a change by the operator is hopeless.
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::Binary(_) | Self::Home(_) | Self::Profile(_) | Self::SocketPathTooLong(_) => true,
            Self::RunDir(error) => matches!(error, RunDirError::NotPrivate(_)),
            Self::Spawn { .. }
            | Self::Exited(_)
            | Self::NotListening { .. }
            | Self::Connect(_)
            | Self::UpgradeTimedOut(_)
            | Self::Handshake(_)
            | Self::Skills(_)
            | Self::PipesAreGone
            | Self::SpawnerGone(_) => false,
        }
    }
}
