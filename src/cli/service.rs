//! `tieline service`: the daemon as a service of the system.
//!
//! - `unit`: what is written for systemd and launchd, as text
//! - `seal`: whether somebody has changed it since
//! - `manager`: asking systemctl and launchctl

mod manager;
mod seal;
mod unit;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use self::manager::Manager;
use self::seal::{Found, compare};
use self::unit::{Unit, launchd, systemd};
use crate::cli::checks::Outcome;
use crate::cli::config_args::ConfigArgs;
use crate::cli::failure::{Exit, Failure, usage};
use crate::cli::{output, table};
use crate::config::{Config, Surroundings};

/// Run the daemon as a service of this machine
///
/// For systemd, and on macOS for launchd. It starts with the machine, is restarted when it ends or
/// hangs, and is the service of the user who installs it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write the unit, and have it start with the machine
    ///
    /// A unit that somebody has changed is left alone. Says what to do next.
    Install(Install),
    /// Stop the service and remove its unit
    Uninstall(Scope),
    /// Say whether the service is there and runs
    Status(Scope),
}

#[derive(Debug, clap::Args)]
struct Install {
    #[command(flatten)]
    scope: Scope,

    /// With --system, the user that the daemon runs as; else the one who called sudo
    #[arg(long, value_name = "NAME", requires = "system")]
    user: Option<String>,

    /// Print the unit and change nothing
    #[arg(long)]
    print: bool,
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Scope {
    /// A service of the machine, for which root is needed, in place of one of this user
    #[arg(long)]
    system: bool,
}

/// Does what was asked.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Install(install) => {
            let config = args.config.load()?;
            self::install(&config, &install).await
        }
        Verb::Uninstall(scope) => uninstall(scope.system).await,
        Verb::Status(scope) => status(scope.system).await,
    }
}

/// Where the unit of a service is, and who runs it.
struct Place {
    manager: Manager,
    path: PathBuf,
}

impl Place {
    fn of(is_system: bool) -> Result<Self, Failure> {
        let surroundings = Surroundings::of_this_process();
        let manager = Manager::of_this_machine(is_system);
        let path = manager.unit_path(&surroundings).ok_or_else(|| {
            Failure::new(Exit::Config, anyhow!("the home directory is not known")).hint("set $HOME")
        })?;
        Ok(Self { manager, path })
    }

    /// Returns what stands there, if anything.
    fn read(&self) -> Result<Option<String>, Failure> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    fn failed(&self, doing: &str, error: io::Error) -> Failure {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied if self.manager.is_system() => Some("use sudo"),
            _ => None,
        };
        let error =
            anyhow::Error::from(error).context(format!("cannot {doing} {}", self.path.display()));
        let failure = Failure::new(Exit::Io, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Fails when somebody has changed the unit.
    fn ours_or_nothing(&self, wanted: &str) -> Result<Found, Failure> {
        match compare(self.read()?.as_deref(), wanted) {
            Found::Changed => {
                let shown = self.path.display();
                let error = anyhow!("{shown} was changed by somebody, and is left as it is");
                Err(Failure::new(Exit::Unanswered, error).hint(format!(
                    "compare it with `tieline service install --print`; move it away to have it written \
                     anew{}",
                    self.manager.own_settings_hint()
                )))
            }
            found => Ok(found),
        }
    }
}

async fn install(config: &Config, args: &Install) -> Result<(), Failure> {
    let place = Place::of(args.scope.system)?;
    let unit = describe(config, args)?;
    let text = match &place.manager {
        Manager::Systemd { .. } => systemd(&unit),
        Manager::Launchd { .. } => launchd(&unit),
    };
    if args.print {
        return output::print(&text);
    }
    place.manager.is_usable()?;
    let shown = place.path.display();
    let done = match place.ours_or_nothing(&text)? {
        Found::Same => format!("{shown} is there already"),
        Found::Nothing => {
            write(&place.path, &text).map_err(|error| place.failed("write", error))?;
            format!("{shown} is written")
        }
        Found::Ours => {
            write(&place.path, &text).map_err(|error| place.failed("write", error))?;
            format!("{shown} is written anew")
        }
        Found::Changed => return Ok(()),
    };
    output::print(&format!("{done}\n"))?;
    place.manager.enable(&place.path).await?;
    output::print(&place.manager.next_steps(&unit).await)
}

/// Returns what the service is to be.
fn describe(config: &Config, args: &Install) -> Result<Unit, Failure> {
    let program = std::env::current_exe()
        .context("cannot tell which program this is")
        .map_err(|error| Failure::new(Exit::Internal, error))?;
    let is_system = args.scope.system;
    let user = if is_system {
        let caller = std::env::var("SUDO_USER").ok();
        let user = args.user.clone().or(caller.filter(|it| it != "root"));
        Some(user.ok_or_else(|| {
            usage("the user that the daemon is to run as is not known")
                .hint("name them with --user; Codex and its login are theirs")
        })?)
    } else {
        None
    };
    let directories: Vec<_> = std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .filter(|directory| directory.is_absolute())
        .collect();
    let directories = std::env::join_paths(directories).unwrap_or_default();
    let environment_file = if is_system {
        PathBuf::from("/etc/tieline/environment")
    } else {
        let directory = Surroundings::of_this_process().config_directory();
        directory.unwrap_or_default().join("environment")
    };
    Ok(Unit {
        program,
        config: config.path.clone(),
        search_path: directories.to_string_lossy().into_owned(),
        user,
        environment_file,
    })
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let temporary = path.with_extension("tieline-new");
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644))?;
    fs::rename(&temporary, path)
}

async fn uninstall(is_system: bool) -> Result<(), Failure> {
    let place = Place::of(is_system)?;
    let shown = place.path.display();
    // What we would write does not matter here, only whether what is there is as we wrote it.
    if place.ours_or_nothing("")? == Found::Nothing {
        return output::print(&format!("there is no {shown}: nothing to do\n"));
    }
    place.manager.is_usable()?;
    place.manager.disable(&place.path).await?;
    fs::remove_file(&place.path).map_err(|error| place.failed("remove", error))?;
    place.manager.reload().await?;
    output::print(&format!(
        "the service is stopped, and {shown} removed; configuration and state are left\n"
    ))
}

async fn status(is_system: bool) -> Result<(), Failure> {
    let place = Place::of(is_system)?;
    let shown = place.path.display().to_string();
    let unit = match place.read()? {
        None => {
            return output::print(&format!(
                "no service: there is no {shown}; `tieline service install` writes it\n"
            ));
        }
        Some(text) if seal::is_whole(&text) => shown,
        Some(_) => format!("{shown}, changed by somebody"),
    };
    let state = place.manager.ask().await?;
    let mut rows = table::rows();
    rows.add_row(["unit", &unit]);
    rows.add_row(["starts with the machine", &state.starts]);
    rows.add_row(["now", &state.now]);
    output::print(&table::write(&rows))
}

/// Looks, for the doctor, whether an installed service is in order.
pub(crate) async fn look() -> Outcome {
    for is_system in [false, true] {
        let Ok(place) = Place::of(is_system) else {
            continue;
        };
        if !place.path.exists() {
            continue;
        }
        let shown = place.path.display();
        let scope = if is_system { " --system" } else { "" };
        return match place.manager.ask().await {
            Ok(state) if state.is_well() => {
                Outcome::Ok(format!("{shown}: {}, {}", state.starts, state.now))
            }
            Ok(state) => Outcome::warning(
                format!("{shown}: {}, {}", state.starts, state.now),
                format!(
                    "`tieline service install{scope}` says how it is started; `tieline service \
                     uninstall{scope}` removes it"
                ),
            ),
            Err(failure) => Outcome::warning(
                format!(
                    "{shown} is there, and cannot be asked about: {}",
                    failure.text()
                ),
                format!("`tieline service status{scope}` shows more"),
            ),
        };
    }
    Outcome::Skipped("none is installed; `tieline service install` does that".to_owned())
}
