//! Finds a Codex that is new enough, or fetches the pinned one through npm.
//!
//! What is fetched lies in the user's cache as `codex-<version>/node_modules/…` and is complete
//! whenever it lies there: npm works in a directory of its own beside it, which is renamed once
//! the program in it has told its version. A lock file keeps two processes from fetching twice.
//!
//! Everything here blocks: call it from a thread that may.

mod error;
mod npm;
#[cfg(test)]
mod tests;
mod version;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use self::error::{ProbeError, ProvisionError};
pub use self::version::{NoVersion, Version};

/// The version of Codex that tieline is developed and tested with, and that is fetched.
pub const PINNED: Version = Version::new(0, 169, 0);

/// The oldest version of Codex that has all that tieline needs.
pub const MINIMUM: Version = Version::new(0, 137, 0);

/// How long a program may take to tell its version.
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// How often a child is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Where to look, and where to put what is fetched.
#[derive(Clone, Debug)]
pub struct Places {
    /// A Codex that the user insists on.
    pub codex_bin: Option<PathBuf>,
    /// The directory for what can be fetched again.
    pub cache_dir: Option<PathBuf>,
    /// The directories that hold programs, as `PATH` has them.
    pub path: OsString,
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
    /// The program. One from `PATH` may be npm's launcher, all others are native.
    pub binary: PathBuf,
    /// The version that it told.
    pub version: Version,
}

/// Tells the user what goes on.
pub trait Progress {
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
pub fn find_or_fetch(
    places: &Places,
    wanted: Wanted,
    progress: &mut dyn Progress,
) -> Result<Codex, ProvisionError> {
    if let Some(path) = &places.codex_bin {
        return probe(path, wanted).map_err(|source| ProvisionError::Override {
            path: path.clone(),
            source,
        });
    }
    if let Some(codex) = places.cache_dir.as_deref().and_then(cached) {
        return Ok(codex);
    }
    if let Some(path) = find_program("codex", &places.path) {
        match probe(&path, wanted) {
            Ok(codex) => return Ok(codex),
            Err(error) => progress.say(&format!("not used: {error}")),
        }
    }
    let cache_dir = places
        .cache_dir
        .as_deref()
        .ok_or(ProvisionError::NoCacheDir)?;
    let npm = find_program("npm", &places.path).ok_or(ProvisionError::NoNpm)?;
    fetch(&npm, cache_dir, &places.path, progress)
}

/// Returns the native program in a directory that npm has installed Codex into.
pub fn native_binary(directory: &Path) -> Option<PathBuf> {
    let package = platform_package()?;
    let vendor = directory.join("node_modules").join(package).join("vendor");
    let mut triples = fs::read_dir(vendor).ok()?.flatten();
    triples.find_map(|triple| {
        let binary = triple.path().join("bin/codex");
        binary.is_file().then_some(binary)
    })
}

/// Returns the name of the npm package with the native program for this platform.
pub fn platform_package() -> Option<&'static str> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Some("@openai/codex-linux-x64"),
        ("linux", "aarch64") => Some("@openai/codex-linux-arm64"),
        ("macos", "x86_64") => Some("@openai/codex-darwin-x64"),
        ("macos", "aarch64") => Some("@openai/codex-darwin-arm64"),
        _ => None,
    }
}

/// Returns the pinned Codex in the cache. One that does not run is as good as none.
fn cached(cache_dir: &Path) -> Option<Codex> {
    let binary = native_binary(&installation(cache_dir))?;
    probe(&binary, Wanted::Pinned).ok()
}

/// Where the pinned Codex lies in the cache.
fn installation(cache_dir: &Path) -> PathBuf {
    cache_dir.join(format!("codex-{PINNED}"))
}

/// Fetches the pinned Codex, unless another process has done so meanwhile.
fn fetch(
    npm: &Path,
    cache_dir: &Path,
    path: &OsStr,
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
    let _lock = lock(cache_dir, progress)?;
    if let Some(codex) = cached(cache_dir) {
        return Ok(codex);
    }

    // With the lock held, whatever lies around was left by a process that died.
    let unfinished = format!("codex-{PINNED}.tmp-");
    for entry in fs::read_dir(cache_dir)
        .map_err(failed("read", cache_dir))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&unfinished) {
            remove_all(&entry.path()).map_err(failed("remove", &entry.path()))?;
        }
    }
    let directory = cache_dir.join(format!("{unfinished}{}", process::id()));
    fs::create_dir(&directory).map_err(failed("create", &directory))?;

    let fetched = npm::install(npm, &directory, path, progress).and_then(|()| {
        let binary = native_binary(&directory).ok_or(ProvisionError::NoBuild)?;
        probe(&binary, Wanted::Pinned).map_err(ProvisionError::Broken)
    });
    if let Err(error) = fetched {
        if let Err(error) = remove_all(&directory) {
            tracing::warn!(%error, directory = %directory.display(), "unfinished download left behind");
        }
        return Err(error);
    }

    let installation = installation(cache_dir);
    remove_all(&installation).map_err(failed("remove", &installation))?;
    fs::rename(&directory, &installation).map_err(failed("rename", &directory))?;
    let binary = native_binary(&installation).ok_or(ProvisionError::NoBuild)?;
    probe(&binary, Wanted::Pinned).map_err(ProvisionError::Broken)
}

/// Takes the lock that makes fetching the business of one process; it goes with the file.
fn lock(cache_dir: &Path, progress: &mut dyn Progress) -> Result<File, ProvisionError> {
    let path = cache_dir.join(format!("codex-{PINNED}.lock"));
    let failed = |source| ProvisionError::Cache {
        doing: "lock",
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress.say("another process is fetching codex already; waiting for it");
            file.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    Ok(file)
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Asks a program for its version.
fn probe(path: &Path, wanted: Wanted) -> Result<Codex, ProbeError> {
    let failed = |source| ProbeError::Run {
        path: path.to_owned(),
        source,
    };
    let mut command = Command::new(path);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    wait(&mut child, PROBE_LIMIT, |_| {}).map_err(failed)?;
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said).map_err(failed)?;
    }
    let word = said.split_whitespace().next_back().unwrap_or_default();
    let Ok(version) = word.parse() else {
        let path = path.to_owned();
        return Err(ProbeError::NoVersion { path, said });
    };
    if !wanted.accepts(version) {
        return Err(ProbeError::Version {
            path: path.to_owned(),
            found: version,
            wanted,
        });
    }
    Ok(Codex {
        binary: path.to_owned(),
        version,
    })
}

/// Waits for a child, and kills it when it takes longer than `limit`.
fn wait(
    child: &mut Child,
    limit: Duration,
    mut tick: impl FnMut(Duration),
) -> io::Result<ExitStatus> {
    let started_at = Instant::now();
    let mut ticked_at = started_at;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started_at.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        if ticked_at.elapsed() >= Duration::from_secs(1) {
            ticked_at = Instant::now();
            tick(started_at.elapsed());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Returns the first executable file of that name.
fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|program| {
            fs::metadata(program).is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}

// === impl Places ===

impl Places {
    /// Reads the environment: `TIELINE_CODEX_BIN`; `TIELINE_CACHE_DIR`, else `tieline` in
    /// `XDG_CACHE_HOME`, else in `~/.cache`; and `PATH`.
    pub fn from_env() -> Self {
        let directory = |name: &str| {
            let value = env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        let cache_dir = directory("TIELINE_CACHE_DIR")
            .or_else(|| Some(directory("XDG_CACHE_HOME")?.join("tieline")))
            .or_else(|| Some(directory("HOME")?.join(".cache/tieline")));
        Self {
            codex_bin: directory("TIELINE_CODEX_BIN"),
            cache_dir,
            path: env::var_os("PATH").unwrap_or_default(),
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn accepts(self, version: Version) -> bool {
        match self {
            Self::Pinned => version == PINNED,
            Self::NewEnough => version >= MINIMUM,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned => write!(f, "exactly {PINNED}"),
            Self::NewEnough => write!(f, "{MINIMUM} or newer"),
        }
    }
}
