//! Asking systemctl and launchctl.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::process::Command;
use tokio::time::timeout;

use super::unit::{LABEL, Unit};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::plain;
use crate::codex::Environment;
use crate::codex::binary::on_path;
use crate::config::Surroundings;

/// How long an order may take: stopping takes up to 30 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the service is called for systemd.
const NAME: &str = "tieline.service";

/// What runs services on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    /// systemd.
    Systemd {
        /// That of the machine, not of the user.
        is_system: bool,
    },
    /// launchd of macOS.
    Launchd {
        /// That of the machine, not of the user.
        is_system: bool,
    },
}

/// How a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Whether it starts with the machine, in the manager's word.
    pub(super) starts: String,
    /// Whether it runs, in the manager's word.
    pub(super) now: String,
    is_well: bool,
}

impl State {
    /// Returns whether it runs, and will again.
    pub(super) fn is_well(&self) -> bool {
        self.is_well
    }
}

/// What a program said.
struct Said {
    is_success: bool,
    stdout: String,
    stderr: String,
}

impl Manager {
    /// Returns the one that this system has.
    pub(super) fn of_this_machine(is_system: bool) -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd { is_system }
        } else {
            Self::Systemd { is_system }
        }
    }

    /// Returns whether it is that of the machine.
    pub(super) fn is_system(self) -> bool {
        match self {
            Self::Systemd { is_system } | Self::Launchd { is_system } => is_system,
        }
    }

    /// Returns where a unit has to be; `None` when the home directory is not known.
    pub(super) fn unit_path(self, surroundings: &Surroundings) -> Option<PathBuf> {
        let list = format!("{LABEL}.plist");
        Some(match self {
            Self::Systemd { is_system: true } => Path::new("/etc/systemd/system").join(NAME),
            Self::Systemd { is_system: false } => {
                // Beside tieline's own directory.
                let own = surroundings.config_directory()?;
                own.with_file_name("systemd").join("user").join(NAME)
            }
            Self::Launchd { is_system: true } => Path::new("/Library/LaunchDaemons").join(list),
            Self::Launchd { is_system: false } => {
                let home = surroundings.home.as_ref()?;
                home.join("Library/LaunchAgents").join(list)
            }
        })
    }

    /// Returns how settings of one's own are made without changing the unit.
    pub(super) fn own_settings_hint(self) -> &'static str {
        match self {
            Self::Systemd { is_system: true } => {
                "; `systemctl edit tieline` is for settings of your own"
            }
            Self::Systemd { is_system: false } => {
                "; `systemctl --user edit tieline` is for settings of your own"
            }
            Self::Launchd { .. } => "",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Systemd { .. } => "systemctl",
            Self::Launchd { .. } => "launchctl",
        }
    }

    /// Fails when it cannot be ordered anything.
    pub(super) fn is_usable(self) -> Result<(), Failure> {
        let program = self.program();
        if on_path(Path::new(program), &Environment::of_this_process()).is_some() {
            return Ok(());
        }
        let error = anyhow!("there is no {program} on this machine: it runs no such services");
        Err(Failure::new(Exit::Unanswered, error)
            .hint("`tieline service install --print` shows what a service needs, for another supervisor")
            .hint("in a container, let `tieline run` be its program"))
    }

    /// Has a unit start with the machine. It is not started now: one may run already.
    pub(super) async fn enable(self, unit: &Path) -> Result<(), Failure> {
        match self {
            Self::Systemd { .. } => {
                self.order(&["daemon-reload"]).await?;
                self.order(&["enable", NAME]).await
            }
            // What lies there starts with the next login.
            Self::Launchd { .. } => {
                let _unit = unit;
                Ok(())
            }
        }
    }

    /// Stops a service, and has it start no more.
    pub(super) async fn disable(self, unit: &Path) -> Result<(), Failure> {
        match self {
            Self::Systemd { .. } => self.order(&["disable", "--now", NAME]).await,
            Self::Launchd { .. } => {
                // One that is not loaded need not be stopped.
                let domain = self.domain();
                let unit = unit.display().to_string();
                self.run(&["bootout", &domain, &unit]).await.map(drop)
            }
        }
    }

    /// Has it notice that a unit has gone.
    pub(super) async fn reload(self) -> Result<(), Failure> {
        match self {
            Self::Systemd { .. } => self.order(&["daemon-reload"]).await,
            Self::Launchd { .. } => Ok(()),
        }
    }

    /// Asks how the service is.
    pub(super) async fn ask(self) -> Result<State, Failure> {
        match self {
            Self::Systemd { .. } => {
                let starts = self.word(&["is-enabled", NAME]).await?;
                let now = self.word(&["is-active", NAME]).await?;
                let is_well = starts == "enabled" && matches!(&*now, "active" | "reloading");
                Ok(State {
                    starts,
                    now,
                    is_well,
                })
            }
            Self::Launchd { .. } => {
                let target = format!("{}/{LABEL}", self.domain());
                let said = self.run(&["print", &target]).await?;
                let now = if said.is_success {
                    "loaded"
                } else {
                    "not loaded"
                };
                Ok(State {
                    starts: "enabled".to_owned(),
                    now: now.to_owned(),
                    is_well: said.is_success,
                })
            }
        }
    }

    /// Says what to do once it is installed.
    pub(super) async fn next_steps(self, unit: &Unit) -> String {
        let mut steps = Vec::new();
        let file = unit.environment_file.display();
        match self {
            Self::Systemd { is_system } => {
                steps.push(format!(
                    "secrets that are variables go into {file}, a line NAME=value each; `chmod 600` it"
                ));
                let start = if is_system {
                    "systemctl start tieline"
                } else {
                    "systemctl --user start tieline"
                };
                steps.push(format!(
                    "`{start}` starts it now; end a `tieline run` of your own before"
                ));
                if !is_system && !lingers().await {
                    steps.push(
                        "`loginctl enable-linger` keeps it running when you log out, and starts it with \
                         the machine"
                            .to_owned(),
                    );
                }
            }
            Self::Launchd { is_system } => {
                let directory = if is_system {
                    "/Library/LaunchDaemons"
                } else {
                    "~/Library/LaunchAgents"
                };
                steps.push(
                    "secrets go into files, for `{ file = … }`: launchd reads no file of variables"
                        .to_owned(),
                );
                steps.push(format!(
                    "`launchctl bootstrap {} {directory}/{LABEL}.plist` starts it now",
                    self.domain()
                ));
            }
        }
        steps.push(
            "`tieline doctor` says whether all is well, `tieline logs -f` what it does".to_owned(),
        );
        let steps: String = steps.iter().map(|step| format!("  - {step}\n")).collect();
        format!("it starts with the machine from now on; next:\n{steps}")
    }

    fn domain(self) -> String {
        match self.is_system() {
            true => "system".to_owned(),
            false => format!("gui/{}", rustix::process::getuid().as_raw()),
        }
    }

    /// Gives an order that must succeed.
    async fn order(self, arguments: &[&str]) -> Result<(), Failure> {
        let said = self.run(arguments).await?;
        if said.is_success {
            return Ok(());
        }
        let stderr = said.stderr.trim();
        let text = format!(
            "{} {}: {}",
            self.program(),
            arguments.join(" "),
            plain(stderr)
        );
        let failure = Failure::new(Exit::Unanswered, anyhow!(text));
        Err(match self {
            Self::Systemd { is_system: false } if stderr.contains("bus") => failure
                .hint("log in as this user directly, not by `su` or `sudo`: systemd knows no session of theirs")
                .hint("or make it a service of the machine: `sudo tieline service install --system --user NAME`"),
            Self::Systemd { is_system: true } => failure.hint("use sudo"),
            Self::Systemd { .. } | Self::Launchd { .. } => failure,
        })
    }

    /// Asks for one word.
    async fn word(self, arguments: &[&str]) -> Result<String, Failure> {
        let said = self.run(arguments).await?;
        let word = said.stdout.trim();
        let word = if word.is_empty() {
            said.stderr.trim()
        } else {
            word
        };
        Ok(plain(word))
    }

    async fn run(self, arguments: &[&str]) -> Result<Said, Failure> {
        let program = self.program();
        let mut all = Vec::new();
        if self == (Self::Systemd { is_system: false }) {
            all.push("--user");
        }
        all.extend(arguments);
        self::run(program, &all)
            .await
            .map_err(|error| Failure::new(Exit::Unanswered, error))
    }
}

/// Returns whether services of this user run while they are not logged in; if nobody tells, not.
async fn lingers() -> bool {
    let user = std::env::var("USER").unwrap_or_default();
    match run("loginctl", &["show-user", &user, "--property=Linger"]).await {
        Ok(said) => said.stdout.trim() == "Linger=yes",
        Err(_) => false,
    }
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Said> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, output)
        .await
        .map_err(|_elapsed| anyhow!("{program} did not end within {} s", PATIENCE.as_secs()))?
        .with_context(|| format!("cannot run {program}"))?;
    Ok(Said {
        is_success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
