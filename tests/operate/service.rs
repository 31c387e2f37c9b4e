//! `tieline service`, with a systemctl of ours on the `PATH`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use super::stderr;
use super::stdout;
use crate::cli::workbench::Workbench;

/// A machine whose systemctl notes what it is asked and answers as `body` says.
struct Machine(Workbench);

impl Machine {
    fn new(body: &str) -> Self {
        let workbench = Workbench::configured();
        fs::create_dir(workbench.path("bin")).unwrap();
        let machine = Self(workbench);
        let asked = machine.0.path("asked");
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\n{body}\n", asked.display());
        for name in ["systemctl", "loginctl"] {
            let path = machine.0.path("bin").join(name);
            fs::write(&path, &script).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.0.tieline(arguments);
        let path = format!("{}:/usr/bin:/bin", self.0.path("bin").display());
        command.env("PATH", path).output().unwrap()
    }

    fn unit(&self) -> PathBuf {
        self.0.path("home/.config/systemd/user/tieline.service")
    }

    /// Returns what systemctl was asked so far.
    fn asked(&self) -> String {
        fs::read_to_string(self.0.path("asked")).unwrap_or_default()
    }
}

#[test]
fn service_is_installed_told_of_and_removed() {
    let machine =
        Machine::new("case \"$2\" in is-enabled) echo enabled;; is-active) echo active;; esac");
    let output = machine.run(&["service", "status"]);
    assert!(stdout(&output).starts_with("no service:"), "{output:?}");

    let output = machine.run(&["service", "install"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    for step in [
        "systemctl --user start tieline",
        "loginctl enable-linger",
        "chmod 600",
        "tieline doctor",
    ] {
        assert!(text.contains(step), "{step}\n{text}");
    }
    let unit = fs::read_to_string(machine.unit()).unwrap();
    assert!(
        unit.contains("Type=notify") && unit.contains("WatchdogSec="),
        "{unit}"
    );
    assert!(
        machine
            .asked()
            .starts_with("--user daemon-reload\n--user enable tieline.service\n")
    );
    let again = machine.run(&["service", "install"]);
    assert!(stdout(&again).contains("is there already"), "{again:?}");

    let output = machine.run(&["service", "status"]);
    let text = stdout(&output);
    assert!(
        text.contains("enabled") && text.contains("active"),
        "{text}"
    );
    let doctor = machine.run(&["doctor", "--offline"]);
    assert!(stdout(&doctor).contains("ok       service"), "{doctor:?}");

    let output = machine.run(&["service", "uninstall"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!machine.unit().exists());
    assert!(
        machine
            .asked()
            .contains("--user disable --now tieline.service\n")
    );
    let output = machine.run(&["service", "uninstall"]);
    assert!(stdout(&output).contains("nothing to do"), "{output:?}");
}

#[test]
fn unit_that_somebody_has_changed_is_left_alone() {
    let machine = Machine::new("");
    machine.run(&["service", "install"]);
    let changed = fs::read_to_string(machine.unit())
        .unwrap()
        .replace("RestartSec=5", "RestartSec=9");
    fs::write(machine.unit(), &changed).unwrap();
    for verb in ["install", "uninstall"] {
        let output = machine.run(&["service", verb]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            stderr(&output).contains("was changed by somebody"),
            "{output:?}"
        );
        assert_eq!(fs::read_to_string(machine.unit()).unwrap(), changed);
    }
    let output = machine.run(&["service", "status"]);
    assert!(
        stdout(&output).contains("changed by somebody"),
        "{output:?}"
    );
}

#[test]
fn printing_changes_nothing_and_a_machine_without_systemd_says_what_to_do() {
    let machine = Machine::new("");
    let output = machine.run(&["service", "install", "--print"]);
    assert!(stdout(&output).contains("[Service]"), "{output:?}");
    let output = machine.run(&["service", "install", "--system", "--user", "mei", "--print"]);
    assert!(stdout(&output).contains("\nUser=mei\n"), "{output:?}");
    assert!(!machine.unit().exists());
    assert_eq!(machine.asked(), "");

    let mut command = machine.0.tieline(&["service", "install"]);
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("there is no systemctl"),
        "{output:?}"
    );
    assert!(stderr(&output).contains("--print"), "{output:?}");
    assert!(!machine.unit().exists());
}

#[test]
fn session_that_systemd_does_not_know_is_explained() {
    let machine = Machine::new("echo 'Failed to connect to bus: No medium found' >&2; exit 1");
    let output = machine.run(&["service", "install"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(
        text.contains("Failed to connect to bus") && text.contains("--system"),
        "{text}"
    );
}

#[test]
fn service_that_does_not_run_is_a_warning_of_the_doctor() {
    let machine = Machine::new(
        "case \"$2\" in is-enabled) echo disabled;; is-active) echo failed; exit 3;; esac",
    );
    machine.run(&["service", "install"]);
    let doctor = machine.run(&["doctor", "--offline"]);
    let text = stdout(&doctor);
    assert!(
        text.contains("warning  service") && text.contains("disabled, failed"),
        "{text}"
    );
}
