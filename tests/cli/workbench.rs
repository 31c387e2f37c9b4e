//! A directory of its own to run the program in, and nothing of the environment of the tests.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A directory with a home and a workspace.
pub(crate) struct Workbench {
    directory: TempDir,
}

impl Workbench {
    /// Makes one without a configuration.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["home", "workspace"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        Self { directory }
    }

    /// Makes one with a configuration of one dispatcher and one console. Its Codex runs elsewhere,
    /// so that none need be found.
    pub(crate) fn configured() -> Self {
        let workbench = Self::new();
        workbench.write(
            "tieline.toml",
            "[daemon]\nstate_dir = \"state\"\n\n\
             [codex]\ntransport = \"unix:///nonexistent/codex.sock\"\n\n\
             [channels.terminal]\nkind = \"console\"\n\n\
             [dispatchers.flow]\nworkspace = \"workspace\"\nchannels = [\"terminal\"]\n",
        );
        workbench
    }

    /// Returns a path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file in the directory.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
        // It may be a secret.
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.path(name), private).expect("a private file");
    }

    /// Returns the program, ready to run in the directory.
    pub(crate) fn tieline(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("HOME", self.path("home"));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = self.tieline(arguments).output().expect("the program runs");
        self.ran(output)
    }

    /// Runs the program to its end with this on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .tieline(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stdin = child.stdin.take().expect("it was piped");
        let written = stdin.write_all(input.as_bytes());
        written.expect("the program reads its input");
        drop(stdin);
        self.ran(child.wait_with_output().expect("the program ends"))
    }

    /// Reads what a run gave.
    pub(crate) fn ran(&self, output: Output) -> Ran {
        let directory = self.directory.path().display().to_string();
        let text = |bytes| {
            String::from_utf8(bytes)
                .expect("the program writes UTF-8")
                .replace(&directory, "$DIR")
        };
        Ran {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// How a run went; the directory is written as `$DIR`.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}
