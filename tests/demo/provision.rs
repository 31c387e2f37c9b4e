//! Finding and fetching Codex, with an npm that is a shell script.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline::demo::provision::{
    Codex, PINNED, Places, Progress, ProvisionError, Wanted, find_or_fetch, platform_package,
};

/// A machine with a cache and a directory of programs, and nothing else on its `PATH` that could
/// be found by accident.
pub(super) struct Machine {
    directory: TempDir,
}

/// Makes, in the shell, the directory that npm's last argument but the flags asks for.
const INSTALL: &str = r#"
binary() { printf '#!/bin/sh\necho codex-cli %s\n' "$1"; }
native="$3/node_modules/$PACKAGE/vendor/some-triple/bin"
"#;

impl Machine {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        Self { directory }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// Puts a program on the `PATH`.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path("bin").join(name);
        let package = platform_package().unwrap();
        let here = self.directory.path().display();
        let script = format!("#!/bin/sh\nPACKAGE='{package}'\nHERE='{here}'\n{script}");
        // Written by another process: while this one has the file open for writing, a fork in
        // another test's thread could inherit that and make running it fail (ETXTBSY).
        let mut writer = Command::new("/bin/sh")
            .args(["-c", r#"cat >"$1" && chmod 755 "$1""#, "sh"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writer
            .stdin
            .take()
            .unwrap()
            .write_all(script.as_bytes())
            .unwrap();
        assert!(writer.wait().unwrap().success());
        path
    }

    /// Puts an npm on the `PATH` that counts its calls and then does `script`.
    pub(super) fn npm(&self, script: &str) {
        self.program(
            "npm",
            &format!("echo called >>\"$HERE/calls\"\n{INSTALL}\n{script}"),
        );
    }

    pub(super) fn npm_calls(&self) -> usize {
        fs::read_to_string(self.path("calls"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    pub(super) fn places(&self) -> Places {
        // The fake programs need a shell's tools; no npm and no codex is looked for there first.
        let path = [self.path("bin").into_os_string(), OsString::from("/bin")];
        Places {
            codex_bin: None,
            cache_dir: Some(self.cache()),
            path: path.join(&OsString::from(":")),
        }
    }

    fn provision(&self) -> Result<Codex, ProvisionError> {
        find_or_fetch(&self.places(), Wanted::Pinned, &mut Said::default())
    }

    /// Returns the names in the cache, but for the lock file.
    pub(super) fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}

/// Keeps what was told.
#[derive(Default)]
pub(super) struct Said(Vec<String>);

impl Progress for Said {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn tick(&mut self, _elapsed: Duration) {}
}

/// What an npm does that works.
pub(super) const WORKS: &str =
    r#"mkdir -p "$native"; binary 0.169.0 >"$native/codex"; chmod +x "$native/codex""#;

fn told(error: &ProvisionError) -> String {
    error.to_string()
}

#[test]
fn fetched_codex_lies_complete_in_the_cache_and_is_fetched_once() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let codex = machine.provision().unwrap();
    assert!(
        codex
            .binary
            .starts_with(machine.cache().join("codex-0.169.0"))
    );
    assert_eq!(codex.version, PINNED);
    assert_eq!(machine.cached(), ["codex-0.169.0"]);
    assert_eq!(machine.provision().unwrap(), codex);
    assert_eq!(machine.npm_calls(), 1);
}

#[test]
fn npm_is_asked_for_exactly_the_pinned_version_without_scripts() {
    let machine = Machine::new();
    machine.npm(&format!("echo \"$@\" >\"$HERE/arguments\"; {WORKS}"));
    machine.provision().unwrap();
    let arguments = fs::read_to_string(machine.path("arguments")).unwrap();
    for expected in [
        "install --prefix ",
        " @openai/codex@0.169.0 ",
        "--ignore-scripts",
    ] {
        assert!(arguments.contains(expected), "{arguments}");
    }
}

#[test]
fn missing_npm_says_what_to_install() {
    let machine = Machine::new();
    let mut places = machine.places();
    places.path = machine.path("bin").into_os_string();
    let error = find_or_fetch(&places, Wanted::Pinned, &mut Said::default()).unwrap_err();
    assert!(matches!(error, ProvisionError::NoNpm));
    assert!(told(&error).contains("install Node.js"), "{error}");
    assert!(!machine.cache().exists());
}

#[test]
fn failing_npm_says_what_to_do_and_leaves_nothing() {
    let table = [
        ("echo npm error code EAI_AGAIN >&2; exit 1", "go online"),
        (
            "mkdir -p \"$native\"; echo npm error ENOSPC >&2; exit 1",
            "the disk is full",
        ),
        (
            "echo /usr/bin/env: \\'node\\': No such file or directory >&2; exit 127",
            "Node.js is not",
        ),
        ("echo something new >&2; exit 3", "something new"),
        ("kill -9 $$", "signal: 9"),
    ];
    for (script, expected) in table {
        let machine = Machine::new();
        machine.npm(script);
        let error = machine.provision().unwrap_err();
        assert!(told(&error).contains(expected), "{script}: {error}");
        assert_eq!(machine.cached(), [""; 0], "{script}");
    }
}

#[test]
fn an_npm_that_brings_no_program_for_this_platform_is_a_failure() {
    let machine = Machine::new();
    machine.npm("mkdir -p \"$3/node_modules/@openai/codex\"");
    let error = machine.provision().unwrap_err();
    assert!(matches!(error, ProvisionError::NoBuild), "{error}");
    assert_eq!(machine.cached(), [""; 0]);
}

#[test]
fn a_program_that_does_not_run_is_never_taken_for_complete() {
    let machine = Machine::new();
    machine.npm(r#"mkdir -p "$native"; : >"$native/codex"; chmod +x "$native/codex""#);
    let error = machine.provision().unwrap_err();
    assert!(matches!(error, ProvisionError::Broken(_)), "{error}");
    assert_eq!(machine.cached(), [""; 0]);
}

#[test]
fn a_broken_copy_in_the_cache_is_fetched_again() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let binary = machine.provision().unwrap().binary;
    fs::write(&binary, "half a prog").unwrap();
    machine.provision().unwrap();
    assert_eq!(machine.npm_calls(), 2);
}

#[test]
fn what_a_killed_process_left_is_swept_away() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let left = machine.cache().join("codex-0.169.0.tmp-4711/node_modules");
    fs::create_dir_all(left).unwrap();
    machine.provision().unwrap();
    assert_eq!(machine.cached(), ["codex-0.169.0"]);
}

#[test]
fn two_at_once_fetch_once() {
    let machine = Machine::new();
    // The first call waits until the second provisioning says that it waits for the first.
    machine.npm(&format!(
        "while [ ! -e \"$HERE/second-waits\" ]; do sleep 0.02; done; {WORKS}"
    ));
    let first = thread::scope(|scope| {
        let first = scope.spawn(|| machine.provision());
        while machine.npm_calls() == 0 {
            thread::yield_now();
        }
        let mut second = TellsWaiting(machine.path("second-waits"));
        let second = find_or_fetch(&machine.places(), Wanted::Pinned, &mut second).unwrap();
        let first = first.join().unwrap().unwrap();
        assert_eq!(first, second);
        first
    });
    assert_eq!(first.version, PINNED);
    assert_eq!(machine.npm_calls(), 1);
}

/// Makes a file when it is told that another process is at work.
struct TellsWaiting(PathBuf);

impl Progress for TellsWaiting {
    fn say(&mut self, line: &str) {
        assert!(line.contains("another process"), "{line}");
        fs::write(&self.0, "").unwrap();
    }

    fn tick(&mut self, _elapsed: Duration) {}
}

#[test]
fn a_codex_on_the_path_is_taken_when_it_is_new_enough() {
    let table = [
        ("0.137.0", true),
        ("0.170.2", true),
        ("0.136.9", false),
        ("weird", false),
    ];
    for (version, taken) in table {
        let machine = Machine::new();
        machine.npm(WORKS);
        let on_path = machine.program("codex", &format!("echo codex-cli {version}"));
        let mut said = Said::default();
        let codex = find_or_fetch(&machine.places(), Wanted::NewEnough, &mut said).unwrap();
        assert_eq!(codex.binary == on_path, taken, "{version}");
        assert_eq!(machine.npm_calls(), usize::from(!taken), "{version}");
        let explained = said.0.iter().any(|line| line.starts_with("not used: "));
        assert_eq!(explained, !taken, "{version}: {:?}", said.0);
    }
}

#[test]
fn an_override_is_used_or_refused_but_never_passed_over() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let mut places = machine.places();
    let mut provision = |binary: &Path| {
        places.codex_bin = Some(binary.to_owned());
        find_or_fetch(&places, Wanted::NewEnough, &mut Said::default())
    };
    let own = machine.program("my-codex", "echo codex-cli 0.200.0");
    assert_eq!(provision(&own).unwrap().binary, own);
    let old = machine.program("old-codex", "echo codex-cli 0.1.0");
    let error = anyhow::Error::from(provision(&old).unwrap_err());
    assert!(
        format!("{error:#}").contains("0.137.0 or newer is needed"),
        "{error:#}"
    );
    assert!(provision(&machine.path("none")).is_err());
    assert_eq!(machine.npm_calls(), 0);
}
