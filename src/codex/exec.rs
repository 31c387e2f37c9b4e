//! One-off jobs: `codex exec --json`, a process for each.
//!
//! Such a process is started, recorded and cleaned up after as an app-server is. It is given its prompt
//! on stdin, where no list of processes shows it, and tells what happens on stdout, a line of JSON each.
//! It knows no time limit, waits for a network without one, and so ends when it is told to.

mod report;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub use self::report::{ExecEvent, TokenUsage};
use self::report::{Lines, Told};
use super::binary;
use super::child::{ChildProcess, ExitReport, Pipes};
use super::failure::Failure;
use super::launch::{LaunchConfig, MARK_VARIABLE};
use super::protocol::SandboxMode;
use super::registry::{self, Entry};
use super::spawner::Spawner;
use super::start::{Ready, UnmadeChild, make_child};
use super::start_error::StartError;
use crate::id::ThreadId;

/// How long it may take to end by itself once it is told to.
const AFTER_TERMINATE: Duration = Duration::from_secs(3);

/// How long the rest of its output may take after its end.
const REST_OF_OUTPUT: Duration = Duration::from_secs(1);

/// What a job is to do; where, and with which configuration and environment, is in its [`LaunchConfig`].
#[derive(Clone, Debug)]
pub struct ExecCommand {
    /// What it is asked.
    pub prompt: String,
    /// The thread that it goes on with, in place of a new one.
    pub resume: Option<ThreadId>,
    /// Its model.
    pub model: Option<String>,
    /// The profile of Codex's configuration: `<home>/<profile>.config.toml`.
    pub profile: Option<String>,
    /// What its commands may touch.
    pub sandbox: SandboxMode,
    /// Images that it is shown; no path has a comma, at which Codex cuts them.
    pub images: Vec<PathBuf>,
    /// Directories that it may write to beside its own.
    pub writable_dirs: Vec<PathBuf>,
    /// It also works where there is no git repository.
    pub skip_git_check: bool,
    /// Its thread is not kept.
    pub ephemeral: bool,
    /// A file with the JSON Schema of its answer.
    pub output_schema: Option<PathBuf>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecEnd {
    /// Whether it did what it was to do.
    pub outcome: ExecOutcome,
    /// Its thread, once there was one.
    pub thread: Option<ThreadId>,
    /// The last message of the model, cut to 1 MiB.
    pub reply: Option<String>,
    /// What it took, as far as Codex says.
    pub usage: Option<TokenUsage>,
    /// How the process ended.
    pub exit: ExitReport,
    /// How many lines of its output were none that we know to read.
    pub ignored_lines: u64,
}

/// Whether a job did what it was to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecOutcome {
    /// Its turn is completed, and it has answered.
    Completed,
    /// It could not.
    Failed(Failure),
    /// It was told to end.
    Stopped {
        /// What it last complained of, if it was not getting on.
        trouble: Option<String>,
    },
}

/// Runs a job to its end, and tells of what happens meanwhile. When `stop` is cancelled it is ended:
/// asked to, and killed if it does not listen. When this returns, nothing of it is left.
///
/// # Errors
///
/// When it could not be started.
pub async fn exec(
    config: &LaunchConfig,
    spawner: &Spawner,
    command: &ExecCommand,
    stop: &CancellationToken,
    tell: &mut (dyn FnMut(ExecEvent) + Send),
) -> Result<ExecEnd, StartError> {
    let path = binary::find(config.bin.as_deref(), &config.inherited)?;
    let ready = Ready::make(config, command.profile.as_deref()).await?;
    registry::prepare(&config.run_dir)?;
    let entry = Entry::create(&config.run_dir, &config.owner)?;
    let kept_from_commands = ready.kept_from_commands.as_slice();
    let arguments = command.arguments(config, entry.mark(), kept_from_commands);
    let unmade = UnmadeChild::new(entry);
    let (child, pipes) =
        make_child(config, spawner, &path, arguments, unmade, &ready, true).await?;
    let Some(Pipes { stdin, stdout }) = pipes else {
        child.end_now(&mut Vec::new()).await;
        return Err(StartError::PipesAreGone);
    };
    let mut told = Told::default();
    let mut lines = Lines::new(stdout);
    let feeding = feed(stdin, &command.prompt);
    let following = follow(&child, &mut lines, &mut told, stop, tell);
    let ((), (exit, was_stopped)) = tokio::join!(feeding, following);
    Ok(ExecEnd {
        outcome: told.outcome(&exit, was_stopped, command.resume.is_some()),
        thread: told.thread,
        reply: told.reply,
        usage: told.usage,
        exit,
        ignored_lines: told.ignored,
    })
}

/// Gives it its prompt. One that ends before it has read it says why by itself.
async fn feed(mut stdin: ChildStdin, prompt: &str) {
    if let Err(error) = stdin.write_all(prompt.as_bytes()).await {
        tracing::debug!(%error, "a job did not read its prompt");
    }
}

/// Reads what it tells until it has ended; also returns whether it was told to.
async fn follow<R: tokio::io::AsyncRead + Unpin>(
    child: &ChildProcess,
    lines: &mut Lines<R>,
    told: &mut Told,
    stop: &CancellationToken,
    tell: &mut (dyn FnMut(ExecEvent) + Send),
) -> (ExitReport, bool) {
    let exited = child.exited();
    tokio::pin!(exited);
    let mut kill_at = None;
    let mut was_stopped = false;
    let mut is_open = true;
    let exit = loop {
        tokio::select! {
            line = lines.next(), if is_open => match line {
                Some(line) => told.note(line, tell),
                None => is_open = false,
            },
            exit = &mut exited => break exit,
            () = stop.cancelled(), if !was_stopped => {
                was_stopped = true;
                kill_at = Some(Instant::now() + AFTER_TERMINATE);
                if let Err(error) = child.terminate() {
                    tracing::warn!(pid = child.pid, %error, "cannot ask a job to end");
                }
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                kill_at = None;
                if let Err(error) = child.kill() {
                    tracing::warn!(pid = child.pid, %error, "cannot kill a job");
                }
            }
        }
    };
    let rest = async {
        while let Some(line) = lines.next().await {
            told.note(line, tell);
        }
    };
    if is_open && timeout(REST_OF_OUTPUT, rest).await.is_err() {
        tracing::debug!(pid = child.pid, "something holds the output of a job open");
    }
    (exit, was_stopped)
}

impl ExecCommand {
    /// Returns the arguments. They show in the list of processes: no secrets here.
    fn arguments(&self, config: &LaunchConfig, mark: &str, more: &[String]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["exec".into(), "--json".into()];
        let flag = |name: &str, value: &std::ffi::OsStr| {
            let mut flag = OsString::from(format!("{name}="));
            flag.push(value);
            flag
        };
        arguments.push(flag("--sandbox", self.sandbox.as_str().as_ref()));
        for (is_wanted, name) in [
            (self.skip_git_check, "--skip-git-repo-check"),
            (self.ephemeral, "--ephemeral"),
        ] {
            if is_wanted {
                arguments.push(name.into());
            }
        }
        for (name, value) in [("--model", &self.model), ("--profile", &self.profile)] {
            if let Some(value) = value {
                arguments.push(flag(name, value.as_ref()));
            }
        }
        for directory in &self.writable_dirs {
            arguments.push(flag("--add-dir", directory.as_os_str()));
        }
        if let Some(schema) = &self.output_schema {
            arguments.push(flag("--output-schema", schema.as_os_str()));
        }
        // So that commands carry the mark whatever the user's policy lets through.
        let marked = format!("shell_environment_policy.set.{MARK_VARIABLE}=\"{mark}\"");
        for assignment in config.config.iter().chain(more).chain([&marked]) {
            arguments.push("-c".into());
            arguments.push(assignment.into());
        }
        arguments.extend(config.args.iter().map(OsString::from));
        if self.resume.is_some() {
            arguments.push("resume".into());
        }
        for image in &self.images {
            arguments.push(flag("--image", image.as_os_str()));
        }
        if let Some(thread) = &self.resume {
            arguments.push(thread.as_str().into());
        }
        arguments.push("-".into());
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn command() -> ExecCommand {
        ExecCommand {
            prompt: "look around".to_owned(),
            resume: None,
            model: None,
            profile: None,
            sandbox: SandboxMode::ReadOnly,
            images: Vec::new(),
            writable_dirs: Vec::new(),
            skip_git_check: false,
            ephemeral: false,
            output_schema: None,
        }
    }

    fn arguments(command: &ExecCommand) -> Vec<String> {
        let mut config = LaunchConfig::new("flow", "/h", "/w", "/run/t", "/log");
        config.config = vec!["a=1".to_owned()];
        let arguments = command.arguments(&config, "m1", &[]).into_iter();
        arguments.map(|it| it.into_string().unwrap()).collect()
    }

    #[test]
    fn the_prompt_is_no_argument() {
        assert_eq!(
            arguments(&command()),
            [
                "exec",
                "--json",
                "--sandbox=read-only",
                "-c",
                "a=1",
                "-c",
                "shell_environment_policy.set.TIELINE_CHILD=\"m1\"",
                "-"
            ]
        );
    }

    #[test]
    fn every_wish_is_an_argument_and_images_are_beside_the_prompt() {
        let command = ExecCommand {
            resume: Some(ThreadId::new("t1")),
            model: Some("m".to_owned()),
            profile: Some("p".to_owned()),
            sandbox: SandboxMode::WorkspaceWrite,
            images: vec!["/w/a.png".into(), "/w/b.png".into()],
            writable_dirs: vec!["/w/out".into()],
            skip_git_check: true,
            ephemeral: true,
            output_schema: Some("/s.json".into()),
            ..command()
        };
        assert_eq!(
            arguments(&command).join(" "),
            "exec --json --sandbox=workspace-write --skip-git-repo-check --ephemeral --model=m \
             --profile=p --add-dir=/w/out --output-schema=/s.json -c a=1 -c \
             shell_environment_policy.set.TIELINE_CHILD=\"m1\" resume --image=/w/a.png \
             --image=/w/b.png t1 -"
        );
    }
}
