//! Finding and fetching Codex, with an npm that is a shell script.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline::codex::Environment;
use tieline::codex::binary::program_in;
use tieline::demo::provision::{
    Codex, PINNED, Places, Progress, ProvisionError, Wanted, find_or_fetch,
};

/// A machine with a cache and a directory of programs, and nothing else on its `PATH` that could
/// be found by accident.
struct Machine {
    directory: TempDir,
}

/// Makes, in the shell, the directory that npm's last argument but the flags asks for.
const INSTALL: &str = r#"
binary() { printf '#!/bin/sh\necho codex-cli %s\n' "$1"; }
native="$3/${PROGRAM%/*}"
"#;

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("bin")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// Puts a program on the `PATH`.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path("bin").join(name);
        let program = program_in(Path::new("node_modules")).unwrap();
        let program = program.display();
        let here = self.directory.path().display();
        let script = format!("#!/bin/sh\nPROGRAM='{program}'\nHERE='{here}'\n{script}");
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
    fn npm(&self, script: &str) {
        self.program(
            "npm",
            &format!("echo called >>\"$HERE/calls\"\n{INSTALL}\n{script}"),
        );
    }

    fn npm_calls(&self) -> usize {
        fs::read_to_string(self.path("calls"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn places(&self) -> Places {
        // The fake programs need a shell's tools; no npm and no codex is looked for there first.
        self.places_with_path(&[self.path("bin"), PathBuf::from("/bin")])
    }

    fn places_with_path(&self, path: &[PathBuf]) -> Places {
        Places {
            codex_bin: None,
            cache_dir: Some(self.cache()),
            environment: Environment::from_iter([("PATH", env::join_paths(path).unwrap())]),
        }
    }

    async fn provision(&self) -> Result<Codex, ProvisionError> {
        find_or_fetch(&self.places(), Wanted::Pinned, &mut Said::default()).await
    }

    /// Returns the names in the cache, but for the lock file.
    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}

/// Keeps what was told.
#[derive(Default)]
struct Said(Vec<String>);

impl Progress for Said {
    fn say(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }

    fn tick(&mut self, _elapsed: Duration) {}
}

/// What an npm does that works.
const WORKS: &str =
    r#"mkdir -p "$native"; binary 0.169.0 >"$native/codex"; chmod +x "$native/codex""#;

fn told(error: &ProvisionError) -> String {
    error.to_string()
}

#[tokio::test]
async fn fetched_codex_lies_complete_in_the_cache_and_is_fetched_once() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let codex = machine.provision().await.unwrap();
    assert!(
        codex
            .binary
            .starts_with(machine.cache().join("codex-0.169.0"))
    );
    assert_eq!(codex.version, PINNED);
    assert_eq!(machine.cached(), ["codex-0.169.0"]);
    assert_eq!(machine.provision().await.unwrap(), codex);
    assert_eq!(machine.npm_calls(), 1);
}

#[tokio::test]
async fn npm_is_asked_for_exactly_the_pinned_version_without_scripts() {
    let machine = Machine::new();
    machine.npm(&format!("echo \"$@\" >\"$HERE/arguments\"; {WORKS}"));
    machine.provision().await.unwrap();
    let arguments = fs::read_to_string(machine.path("arguments")).unwrap();
    for expected in [
        "install --prefix ",
        " @openai/codex@0.169.0 ",
        "--ignore-scripts",
    ] {
        assert!(arguments.contains(expected), "{arguments}");
    }
}

#[tokio::test]
async fn missing_npm_says_what_to_install() {
    let machine = Machine::new();
    let places = machine.places_with_path(&[machine.path("bin")]);
    let error = find_or_fetch(&places, Wanted::Pinned, &mut Said::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ProvisionError::NoNpm));
    assert!(told(&error).contains("install Node.js"), "{error}");
    assert!(!machine.cache().exists());
}

#[tokio::test]
async fn failing_npm_says_what_to_do_and_leaves_nothing() {
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
        let error = machine.provision().await.unwrap_err();
        assert!(told(&error).contains(expected), "{script}: {error}");
        assert_eq!(machine.cached(), [""; 0], "{script}");
    }
}

#[tokio::test]
async fn an_npm_that_brings_no_program_for_this_platform_is_a_failure() {
    let machine = Machine::new();
    machine.npm("mkdir -p \"$3/node_modules/@openai/codex\"");
    let error = machine.provision().await.unwrap_err();
    assert!(matches!(error, ProvisionError::NoBuild), "{error}");
    assert_eq!(machine.cached(), [""; 0]);
}

#[tokio::test]
async fn a_program_that_does_not_run_is_never_taken_for_complete() {
    let machine = Machine::new();
    machine.npm(r#"mkdir -p "$native"; : >"$native/codex"; chmod +x "$native/codex""#);
    let error = machine.provision().await.unwrap_err();
    assert!(matches!(error, ProvisionError::Broken(_)), "{error}");
    assert_eq!(machine.cached(), [""; 0]);
}

#[tokio::test]
async fn a_broken_copy_in_the_cache_is_fetched_again() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let binary = machine.provision().await.unwrap().binary;
    fs::write(&binary, "half a prog").unwrap();
    machine.provision().await.unwrap();
    assert_eq!(machine.npm_calls(), 2);
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_away() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let left = machine.cache().join("codex-0.169.0.tmp-4711/node_modules");
    fs::create_dir_all(left).unwrap();
    machine.provision().await.unwrap();
    assert_eq!(machine.cached(), ["codex-0.169.0"]);
}

#[tokio::test]
async fn two_at_once_fetch_once() {
    let machine = Machine::new();
    // The first call waits until the second provisioning says that it waits for the first.
    machine.npm(&format!(
        "while [ ! -e \"$HERE/second-waits\" ]; do sleep 0.02; done; {WORKS}"
    ));
    let second = async {
        while machine.npm_calls() == 0 {
            tokio::task::yield_now().await;
        }
        let mut waiting = TellsWaiting(machine.path("second-waits"));
        find_or_fetch(&machine.places(), Wanted::Pinned, &mut waiting).await
    };
    let (first, second) = tokio::join!(machine.provision(), second);
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
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

#[tokio::test]
async fn a_codex_on_the_path_is_taken_when_it_is_new_enough() {
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
        let codex = find_or_fetch(&machine.places(), Wanted::NewEnough, &mut said)
            .await
            .unwrap();
        assert_eq!(codex.binary == on_path, taken, "{version}");
        assert_eq!(machine.npm_calls(), usize::from(!taken), "{version}");
        let explained = said.0.iter().any(|line| line.starts_with("not used: "));
        assert_eq!(explained, !taken, "{version}: {:?}", said.0);
    }
}

#[tokio::test]
async fn an_override_is_used_or_refused_but_never_passed_over() {
    let machine = Machine::new();
    machine.npm(WORKS);
    let provision = async |binary: &Path| {
        let mut places = machine.places();
        places.codex_bin = Some(binary.to_owned());
        find_or_fetch(&places, Wanted::NewEnough, &mut Said::default()).await
    };
    let own = machine.program("my-codex", "echo codex-cli 0.200.0");
    assert_eq!(provision(&own).await.unwrap().binary, own);
    let old = machine.program("old-codex", "echo codex-cli 0.1.0");
    let error = anyhow::Error::from(provision(&old).await.unwrap_err());
    assert!(
        format!("{error:#}").contains("0.137.0 or newer is needed"),
        "{error:#}"
    );
    assert!(provision(&machine.path("none")).await.is_err());
    assert_eq!(machine.npm_calls(), 0);
}
