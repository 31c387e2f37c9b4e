//! Finds a Codex that is new enough, or fetches the pinned one through npm.
//!
//! What is fetched lies in the user's cache as `codex-<version>/node_modules/…` and is complete
//! whenever it lies there: npm works in a directory of its own beside it, which is renamed once
//! the program in it has told its version. A lock file keeps two processes from fetching twice.

mod error;
mod npm;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use tieline_channel::WithCauses;
use tokio::time::sleep;

pub use self::error::{ProbeError, ProvisionError};
use crate::codex::Environment;
use crate::codex::binary::{
    self, BIN_VARIABLE, BinaryError, MINIMUM_VERSION, TESTED_VERSION, Version,
};

/// The version of Codex that tieline is developed and tested with, and that is fetched.
pub const PINNED: Version = TESTED_VERSION;

/// How often the lock is looked at while another process has it.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// Where to look, and where to put what is fetched.
#[derive(Clone, Debug)]
pub struct Places {
    /// A Codex that the user insists on.
    pub codex_bin: Option<PathBuf>,
    /// The directory for what can be fetched again.
    pub cache_dir: Option<PathBuf>,
    /// What programs are looked for and run with.
    pub environment: Environment,
}

/// Which Codex will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Only the pinned version.
    Pinned,
    /// Any version that has all that tieline needs.
    NewEnough,
}

/// A Codex that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codex {
    /// The program itself, not npm's launcher.
    pub binary: PathBuf,
    /// The version that it told.
    pub version: Version,
}

/// Tells the user what goes on.
pub trait Progress: Send {
    /// Tells one line.
    fn say(&mut self, line: &str);

    /// Tells that the work goes on, about every second.
    fn tick(&mut self, elapsed: Duration);
}

/// Returns a Codex: `TIELINE_CODEX_BIN` if set, else the pinned version from the cache, else one
/// on `PATH` that will do, else the pinned version, fetched now.
///
/// # Errors
///
/// When there is none, with what to do about it.
pub async fn find_or_fetch(
    places: &Places,
    wanted: Wanted,
    progress: &mut dyn Progress,
) -> Result<Codex, ProvisionError> {
    let environment = &places.environment;
    if let Some(name) = &places.codex_bin {
        return find(name, wanted, environment)
            .await
            .map_err(|source| ProvisionError::Override {
                path: name.clone(),
                source,
            });
    }
    if let Some(cache_dir) = &places.cache_dir
        && let Some(codex) = cached(cache_dir, environment).await
    {
        return Ok(codex);
    }
    match find(Path::new("codex"), wanted, environment).await {
        Ok(codex) => return Ok(codex),
        Err(ProbeError::Binary(BinaryError::NotFound { .. })) => {}
        Err(error) => progress.say(&format!("not used: {}", WithCauses(&error))),
    }
    let cache_dir = places
        .cache_dir
        .as_deref()
        .ok_or(ProvisionError::NoCacheDir)?;
    let npm = binary::on_path(Path::new("npm"), environment).ok_or(ProvisionError::NoNpm)?;
    fetch(&npm, cache_dir, environment, progress).await
}

/// Returns the codex of this name, or at this path, if it will do.
async fn find(name: &Path, wanted: Wanted, environment: &Environment) -> Result<Codex, ProbeError> {
    probe(binary::find(Some(name), environment)?, wanted, environment).await
}

/// Returns the pinned Codex in the cache. One that does not run is as good as none.
async fn cached(cache_dir: &Path, environment: &Environment) -> Option<Codex> {
    let binary = installed_in(&installation(cache_dir))?;
    probe(binary, Wanted::Pinned, environment).await.ok()
}

/// Returns the program in a directory that npm has installed Codex into.
fn installed_in(directory: &Path) -> Option<PathBuf> {
    binary::program_in(&directory.join("node_modules")).filter(|program| program.is_file())
}

/// Where the pinned Codex lies in the cache.
fn installation(cache_dir: &Path) -> PathBuf {
    cache_dir.join(format!("codex-{PINNED}"))
}

/// Fetches the pinned Codex, unless another process has done so meanwhile.
async fn fetch(
    npm: &Path,
    cache_dir: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<Codex, ProvisionError> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| ProvisionError::Cache {
            doing,
            path,
            source,
        }
    };
    fs::create_dir_all(cache_dir).map_err(failed("create", cache_dir))?;
    let _lock = lock(cache_dir, progress).await?;
    if let Some(codex) = cached(cache_dir, environment).await {
        return Ok(codex);
    }

    // With the lock held, whatever lies around was left by a process that died.
    let unfinished = format!("codex-{PINNED}.tmp-");
    for entry in fs::read_dir(cache_dir)
        .map_err(failed("read", cache_dir))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&unfinished) {
            remove_all(&entry.path())
                .await
                .map_err(failed("remove", &entry.path()))?;
        }
    }
    let directory = cache_dir.join(format!("{unfinished}{}", process::id()));
    fs::create_dir(&directory).map_err(failed("create", &directory))?;

    if let Err(error) = install(npm, &directory, environment, progress).await {
        if let Err(error) = remove_all(&directory).await {
            tracing::warn!(%error, directory = %directory.display(), "unfinished download left behind");
        }
        return Err(error);
    }

    let installation = installation(cache_dir);
    remove_all(&installation)
        .await
        .map_err(failed("remove", &installation))?;
    fs::rename(&directory, &installation).map_err(failed("rename", &directory))?;
    checked(&installation, environment).await
}

/// Lets npm install the pinned Codex into `directory`, and tries it.
async fn install(
    npm: &Path,
    directory: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<Codex, ProvisionError> {
    npm::install(npm, directory, environment, progress).await?;
    checked(directory, environment).await
}

/// Returns what npm has installed, which must be the pinned Codex.
async fn checked(directory: &Path, environment: &Environment) -> Result<Codex, ProvisionError> {
    let binary = installed_in(directory).ok_or(ProvisionError::NoBuild)?;
    probe(binary, Wanted::Pinned, environment)
        .await
        .map_err(ProvisionError::Broken)
}

/// Takes the lock that makes fetching the business of one process; it goes with the file.
async fn lock(cache_dir: &Path, progress: &mut dyn Progress) -> Result<File, ProvisionError> {
    let path = cache_dir.join(format!("codex-{PINNED}.lock"));
    let failed = |source| ProvisionError::Cache {
        doing: "lock",
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(failed)?;
    let mut waits = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if !waits {
            progress.say("another process is fetching codex already; waiting for it");
            waits = true;
        }
        sleep(LOCK_INTERVAL).await;
    }
}

async fn remove_all(path: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Asks a program for its version.
async fn probe(
    binary: PathBuf,
    wanted: Wanted,
    environment: &Environment,
) -> Result<Codex, ProbeError> {
    let version = binary::version(&binary, &environment.minimal()).await?;
    if !wanted.accepts(version) {
        return Err(ProbeError::Version {
            path: binary,
            found: version,
            wanted,
        });
    }
    Ok(Codex { binary, version })
}

// === impl Places ===

impl Places {
    /// Reads the environment: `TIELINE_CODEX_BIN`; `TIELINE_CACHE_DIR`, else `tieline` in
    /// `XDG_CACHE_HOME`, else in `~/.cache`; and `PATH`.
    pub fn from_env() -> Self {
        let environment = Environment::of_this_process();
        let set = |name: &str| {
            let value = environment.get(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let cache_dir = set("TIELINE_CACHE_DIR")
            .or_else(|| Some(set("XDG_CACHE_HOME")?.join("tieline")))
            .or_else(|| Some(set("HOME")?.join(".cache/tieline")));
        Self {
            codex_bin: set(BIN_VARIABLE),
            cache_dir,
            environment,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn accepts(self, version: Version) -> bool {
        match self {
            Self::Pinned => version == PINNED,
            Self::NewEnough => version >= MINIMUM_VERSION,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => write!(f, "exactly {PINNED}"),
            Self::NewEnough => write!(f, "{MINIMUM_VERSION} or newer"),
        }
    }
}
