//! Who does a run.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tieline_channel::WithCauses;
use tokio_util::sync::CancellationToken;

use crate::codex::protocol::SandboxMode;
use crate::codex::{ExecCommand, ExecEnd, ExecEvent, Failure, LaunchConfig, Spawner, exec};
use crate::config::Sandbox;
use crate::dispatcher::sandbox_mode;
use crate::failure::FailureKind;
use crate::id::RunId;
use crate::ledger::RunOrder;

/// A run that is to be done.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub id: RunId,
    /// What is to be done.
    pub order: RunOrder,
}

/// Hears what happens while a run is done.
pub type Tell<'a> = &'a mut (dyn FnMut(ExecEvent) + Send);

/// Does runs.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Does one, once. When `stop` is cancelled it is ended, and that is waited for: when this returns,
    /// nothing of it is left.
    ///
    /// # Errors
    ///
    /// When it could not be begun.
    async fn execute(
        &self,
        job: Job,
        stop: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<ExecEnd, Failure>;
}

/// Does runs with Codex.
#[derive(Clone, Debug)]
pub struct CodexExec {
    /// How the dispatcher's Codex is run.
    pub launch: LaunchConfig,
    /// Who starts processes.
    pub spawner: Spawner,
    /// The dispatcher's model.
    pub model: Option<String>,
    /// The dispatcher's reasoning effort.
    pub effort: Option<String>,
    /// The dispatcher's profile of Codex's configuration.
    pub profile: Option<String>,
    /// Where schemas are put while they are used: a private directory that is there.
    pub schemas: PathBuf,
}

#[async_trait]
impl Executor for CodexExec {
    async fn execute(
        &self,
        job: Job,
        stop: &CancellationToken,
        tell: Tell<'_>,
    ) -> Result<ExecEnd, Failure> {
        let schema = match &job.order.output_schema {
            Some(schema) => Some(SchemaFile::write(&self.schemas, job.id, schema)?),
            None => None,
        };
        let launch = self.launch(&job);
        let mut command = self.command(job.order)?;
        command.output_schema = schema.as_ref().map(|file| file.0.clone());
        let ended = exec(&launch, &self.spawner, &command, stop, tell).await;
        if let Ok(end) = &ended
            && end.exit.leftovers > 0
        {
            let processes = end.exit.leftovers;
            tracing::debug!(run = %job.id, processes, "a run had left processes; they were ended");
        }
        ended.map_err(|error| error.to_failure())
    }
}

impl CodexExec {
    /// Returns how the process of a run is started: as the dispatcher's, but for what is its own.
    fn launch(&self, job: &Job) -> LaunchConfig {
        let order = &job.order;
        let mut launch = self.launch.clone();
        launch.owner = format!("{}-runs", launch.owner);
        launch.cwd.clone_from(&order.cwd);
        // A job is told its profile in another way than an app-server.
        launch.config.retain(|it| !it.starts_with("profile="));
        if let Some(effort) = &self.effort {
            let effort = toml::Value::from(effort.as_str());
            launch
                .config
                .push(format!("model_reasoning_effort={effort}"));
        }
        launch.config.extend(order.config.iter().cloned());
        launch.env.extend(order.env.0.clone());
        let id = job.id.to_string();
        launch.env.insert("TIELINE_RUN".to_owned(), id);
        launch
    }

    fn command(&self, order: RunOrder) -> Result<ExecCommand, Failure> {
        let Some(sandbox) = Sandbox::named(&order.sandbox) else {
            // What was checked when it was ordered.
            let message = format!("there is no sandbox {:?}", order.sandbox);
            return Err(Failure::new(FailureKind::BackendSpawnFailed, message));
        };
        check_places(&order)?;
        let sandbox: SandboxMode = sandbox_mode(sandbox);
        Ok(ExecCommand {
            prompt: order.prompt,
            resume: order.resume,
            model: order.model.or_else(|| self.model.clone()),
            profile: order.profile.or_else(|| self.profile.clone()),
            sandbox,
            images: order.images,
            writable_dirs: order.writable_dirs,
            skip_git_check: order.skip_git_check,
            ephemeral: order.ephemeral,
            output_schema: None,
        })
    }
}

/// Looks whether everything is still where it was when the run was ordered: Codex passes over an image that
/// is not there without a word.
fn check_places(order: &RunOrder) -> Result<(), Failure> {
    let directories = order.writable_dirs.iter().chain([&order.cwd]);
    let directories = directories.map(|path| (path, path.is_dir(), "directory"));
    let images = order
        .images
        .iter()
        .map(|path| (path, path.is_file(), "image"));
    for (path, is_there, what) in directories.chain(images) {
        // Also no link has taken its place.
        let is_same = path.canonicalize().is_ok_and(|real| real == *path);
        if !is_there || !is_same {
            let message = format!(
                "the {what} {} is not there any more: order it again once it is",
                path.display()
            );
            return Err(Failure::new(FailureKind::BackendSpawnFailed, message));
        }
    }
    Ok(())
}

/// A schema on disk, for as long as it is used.
struct SchemaFile(PathBuf);

impl SchemaFile {
    fn write(directory: &Path, id: RunId, schema: &serde_json::Value) -> Result<Self, Failure> {
        let path = directory.join(format!("{id}.schema.json"));
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, schema.to_string().as_bytes()));
        match written {
            Ok(()) => Ok(Self(path)),
            Err(error) => Err(Failure::new(
                FailureKind::BackendSpawnFailed,
                format!(
                    "the schema cannot be written to {}: {}",
                    path.display(),
                    WithCauses(&error)
                ),
            )),
        }
    }
}

impl Drop for SchemaFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "cannot remove a schema");
        }
    }
}

/// Removes what an earlier daemon has left of schemas.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn clear_schemas(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".schema.json") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Returns what people are told of a run that was told to end because its time was over.
pub(super) fn too_slow(limit: std::time::Duration, trouble: Option<&str>) -> Failure {
    let limit = humantime::format_duration(limit);
    match trouble {
        Some(trouble) => Failure::new(
            FailureKind::ProviderUnavailable,
            format!("it was not done within {limit}; codex kept trying in vain: {trouble}"),
        ),
        None => Failure::new(
            FailureKind::BackendTimeout,
            format!("it was not done within {limit}, and was ended; `timeout` gives it longer"),
        ),
    }
}

/// Returns whether an operator must mend something before such a run can go further.
pub(super) fn is_blocked(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::SecretUnavailable | FailureKind::ProviderAuthFailed
    )
}
