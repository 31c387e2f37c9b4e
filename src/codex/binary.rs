//! Finding the codex that is to be run, and its version.
//!
//! What npm puts on the `PATH` is a script for node, which starts the native binary from a package
//! for the platform. We start that binary ourselves: node costs 41 MB and 50 ms, and when it is
//! killed the real process lives on.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::time::timeout;

use super::launch::Environment;
use super::process::raw;

/// The oldest codex that can be used: the first with `thread/inject_items`.
pub const MINIMUM_VERSION: Version = Version::new(0, 137, 0);

/// The version of codex that tieline is developed and tested with.
pub const TESTED_VERSION: Version = Version::new(0, 169, 0);

/// Overrides which codex is run, unless the configuration names one.
pub const BIN_VARIABLE: &str = "TIELINE_CODEX_BIN";

/// How long a program may take to tell its version, and the like: a cold disk has to read it first.
const ASK_DEADLINE: Duration = Duration::from_secs(10);

/// A version of codex. A pre-release counts as its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// No usable codex. What is shown says what to do as well.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// No such file, or not on the `PATH`.
    NotFound {
        /// What was looked for.
        name: PathBuf,
    },
    /// It exists and cannot be read or run.
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The npm launcher is there without the package for this platform.
    NoPlatformPackage {
        /// The launcher.
        launcher: PathBuf,
        /// The package.
        package: &'static str,
    },
    /// It did not tell its version.
    NoVersion {
        /// The file.
        path: PathBuf,
        /// The first line it printed.
        answer: String,
    },
    /// It is older than what we need.
    TooOld {
        /// Its version.
        found: Version,
    },
}

impl BinaryError {
    /// Returns what is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::NotFound { name } => format!("codex was not found as {name:?}"),
            Self::Unusable { path, .. } => {
                format!("{} cannot be used as codex", path.display())
            }
            Self::NoPlatformPackage { launcher, package } => format!(
                "{} is codex's launcher, but the package {package} with the program itself is \
                 missing",
                launcher.display()
            ),
            Self::NoVersion { path, answer } => format!(
                "{} does not tell its version; it answered {answer:?}",
                path.display()
            ),
            Self::TooOld { found } => {
                format!("this codex is {found}, and tieline needs {MINIMUM_VERSION} or newer")
            }
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => {
                "install it with `npm install -g @openai/codex`, or set `bin` under [codex] to its \
                 path"
            }
            Self::NoPlatformPackage { .. } => "reinstall it with `npm install -g @openai/codex`",
            Self::Unusable { .. } | Self::NoVersion { .. } => {
                "see that `bin` under [codex] is codex itself, and that this user may run it"
            }
            Self::TooOld { .. } => "run `npm install -g @openai/codex@latest`",
        }
    }
}

impl fmt::Display for BinaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.remedy())
    }
}

/// Finds codex: as configured, else as [`BIN_VARIABLE`] says, else `codex` on the `PATH`. What has
/// a slash is a path, anything else a name.
///
/// # Errors
/// There is none, or only half of one.
pub fn find(configured: Option<&Path>, environment: &Environment) -> Result<PathBuf, BinaryError> {
    let from_environment = environment
        .get(BIN_VARIABLE)
        .filter(|name| !name.is_empty());
    let name = configured
        .or_else(|| from_environment.map(Path::new))
        .unwrap_or(Path::new("codex"));
    let path = if name.components().count() > 1 {
        name.is_file().then(|| name.to_owned())
    } else {
        on_path(name, environment)
    };
    let path = path.ok_or_else(|| BinaryError::NotFound {
        name: name.to_owned(),
    })?;
    resolve_launcher(&path)
}

/// Finds a program on the `PATH`. Directories that are not absolute do not count: what is run must
/// not depend on where we happen to be.
pub fn on_path(name: &Path, environment: &Environment) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        path.metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(environment.get("PATH")?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(is_executable)
}

/// Returns where npm puts the native program in a directory of modules; nothing if codex is not
/// built for this platform.
pub fn program_in(node_modules: &Path) -> Option<PathBuf> {
    Platform::current().map(|platform| platform.program_in(node_modules))
}

/// Asks a codex for its version.
///
/// # Errors
/// It cannot be run, or prints something else.
pub async fn version(path: &Path, environment: &Environment) -> Result<Version, BinaryError> {
    let output = ask(path, &["--version".into()], environment)
        .await
        .map_err(|source| BinaryError::Unusable {
            path: path.to_owned(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Version::find_in(&text).ok_or_else(|| BinaryError::NoVersion {
        path: path.to_owned(),
        answer: text.lines().next().unwrap_or_default().to_owned(),
    })
}

/// Runs a program that tells something and ends by itself. Nothing of it is left on return, nor when
/// the future is dropped.
pub(super) async fn ask(
    path: &Path,
    arguments: &[OsString],
    environment: &Environment,
) -> io::Result<Output> {
    let child = Command::new(path)
        .args(arguments)
        .env_clear()
        .envs(environment.iter())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    // What is no codex may do anything, and start anything.
    let mut group = KillOnDrop(child.id().and_then(raw));
    let output = timeout(ASK_DEADLINE, child.wait_with_output())
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    group.0 = None;
    Ok(output)
}

impl Version {
    /// Makes a version of its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Finds the first version in a text such as `codex-cli 0.169.0` or `tieline/0.169.0 (Debian)`.
    pub fn find_in(text: &str) -> Option<Self> {
        text.split(|c: char| c.is_whitespace() || c == '/')
            .find_map(Self::parse)
    }

    /// Returns an error that says what to do if this is older than [`MINIMUM_VERSION`].
    ///
    /// # Errors
    /// It is.
    pub fn check(self) -> Result<(), BinaryError> {
        if self < MINIMUM_VERSION {
            return Err(BinaryError::TooOld { found: self });
        }
        Ok(())
    }

    fn parse(word: &str) -> Option<Self> {
        let mut numbers = word.trim_start_matches('v').splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let rest = numbers.next()?;
        let patch = rest.split(['-', '+']).next()?.parse().ok()?;
        Some(Self::new(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A process group that is not to outlive its usefulness. It must not have been reaped.
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have gone by itself, which is as good.
            let _gone: Result<(), Errno> = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Returns the native binary behind npm's launcher; anything else is returned as it is.
fn resolve_launcher(path: &Path) -> Result<PathBuf, BinaryError> {
    let unusable = |source| BinaryError::Unusable {
        path: path.to_owned(),
        source,
    };
    let real = path.canonicalize().map_err(unusable)?;
    let mut start = [0; 2];
    let is_script = std::fs::File::open(&real)
        .and_then(|mut file| file.read_exact(&mut start))
        .map(|()| start == *b"#!")
        .map_err(unusable)?;
    let is_launcher = is_script && real.file_name() == Some(OsStr::new("codex.js"));
    let Some(package_root) = real.parent().and_then(Path::parent).filter(|_| is_launcher) else {
        return Ok(real);
    };
    let Some(platform) = Platform::current() else {
        return Ok(real);
    };
    // Where node would look: in the launcher's own package, then in every directory above.
    let nested = package_root
        .ancestors()
        .map(|directory| platform.program_in(&directory.join("node_modules")));
    nested
        .chain([platform.program_of(package_root)])
        .find(|program| program.is_file())
        .ok_or_else(|| BinaryError::NoPlatformPackage {
            launcher: real.clone(),
            package: platform.package,
        })
}

/// How npm knows the build for a platform.
struct Platform {
    package: &'static str,
    triple: &'static str,
}

impl Platform {
    fn current() -> Option<Self> {
        let (package, triple) = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => ("@openai/codex-linux-x64", "x86_64-unknown-linux-musl"),
            ("linux", "aarch64") => ("@openai/codex-linux-arm64", "aarch64-unknown-linux-musl"),
            ("macos", "x86_64") => ("@openai/codex-darwin-x64", "x86_64-apple-darwin"),
            ("macos", "aarch64") => ("@openai/codex-darwin-arm64", "aarch64-apple-darwin"),
            _ => return None,
        };
        Some(Self { package, triple })
    }

    /// Returns where the program is when its package is among these modules.
    fn program_in(&self, node_modules: &Path) -> PathBuf {
        self.program_of(&node_modules.join(self.package))
    }

    fn program_of(&self, package: &Path) -> PathBuf {
        package.join("vendor").join(self.triple).join("bin/codex")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn write(path: &Path, content: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn launcher_in(modules: &Path) -> PathBuf {
        let launcher = modules.join("@openai/codex/bin/codex.js");
        write(&launcher, b"#!/usr/bin/env node\n");
        launcher
    }

    fn install_into(modules: &Path) -> PathBuf {
        let program = program_in(modules).unwrap();
        write(&program, b"\x7fELF");
        program
    }

    #[test]
    fn the_launcher_on_the_path_leads_to_the_program_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let modules = root.join("lib/node_modules");
        let launcher = launcher_in(&modules);
        let program = install_into(&modules);
        fs::create_dir(root.join("bin")).unwrap();
        symlink(&launcher, root.join("bin/codex")).unwrap();
        let environment = Environment::from_iter([("PATH", root.join("bin"))]);
        assert_eq!(find(None, &environment).unwrap(), program);
    }

    #[test]
    fn the_launcher_leads_to_the_program_inside_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let launcher = launcher_in(&root);
        let program = install_into(&root.join("@openai/codex/node_modules"));
        assert_eq!(
            find(Some(&launcher), &Environment::default()).unwrap(),
            program
        );
    }

    #[test]
    fn a_launcher_without_its_program_says_what_to_install() {
        let dir = tempfile::tempdir().unwrap();
        let launcher = launcher_in(dir.path());
        let error = find(Some(&launcher), &Environment::default()).unwrap_err();
        assert!(matches!(error, BinaryError::NoPlatformPackage { .. }));
        assert!(error.to_string().contains("npm install -g @openai/codex"));
    }

    #[test]
    fn the_configuration_beats_the_variable_and_the_variable_beats_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["a", "b", "codex"] {
            write(&root.join(name), b"\x7fELF");
        }
        let path = ("PATH", root.clone());
        let environment = Environment::from_iter([path.clone(), (BIN_VARIABLE, "b".into())]);
        assert_eq!(
            find(Some(Path::new("a")), &environment).unwrap(),
            root.join("a")
        );
        assert_eq!(find(None, &environment).unwrap(), root.join("b"));
        let environment = Environment::from_iter([path]);
        assert_eq!(find(None, &environment).unwrap(), root.join("codex"));
    }

    #[test]
    fn a_missing_codex_says_how_to_get_it() {
        let error = find(None, &Environment::default()).unwrap_err();
        assert!(error.to_string().contains("npm install -g @openai/codex"));
    }

    #[test]
    fn what_cannot_be_run_is_not_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("first/codex"), b"\x7fELF");
        write(&dir.path().join("second/codex"), b"\x7fELF");
        let first = dir.path().join("first/codex");
        fs::set_permissions(&first, fs::Permissions::from_mode(0o644)).unwrap();
        let path = [
            ".".into(),
            dir.path().join("first"),
            dir.path().join("second"),
        ];
        let environment = Environment::from_iter([("PATH", std::env::join_paths(path).unwrap())]);
        let found = on_path(Path::new("codex"), &environment);
        assert_eq!(found, Some(dir.path().join("second/codex")));
    }

    #[test]
    fn versions_are_found_and_compared() {
        let version = |text| Version::find_in(text);
        let made = |major, minor, patch| Some(Version::new(major, minor, patch));
        assert_eq!(version("0.169.0"), made(0, 169, 0));
        assert_eq!(version("0.169.0-alpha.3"), made(0, 169, 0));
        assert_eq!(version("codex-cli 0.169.0\n"), made(0, 169, 0));
        assert_eq!(
            version("tieline/0.137.2-alpha.1 (Debian 12.0.0)"),
            made(0, 137, 2)
        );
        let none = ["", "codex", "1.2", "1.2.3.4", "1.2.x", "no version here"];
        for text in none {
            assert_eq!(version(text), None, "{text}");
        }
        assert!(version("0.9.0") < version("0.137.0"));
        assert!(version("codex-cli 0.136.9").unwrap().check().is_err());
        assert!(version("codex-cli 0.137.0").unwrap().check().is_ok());
        assert!(version("codex-cli 1.0.0").unwrap().check().is_ok());
    }
}
