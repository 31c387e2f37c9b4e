//! What is ordered, and whether it may be.
//!
//! A run may do no more than its dispatcher. Of settings of Codex only those pass that certainly widen
//! nothing, for whatever starts a program of its own is in no sandbox; a dispatcher that may do anything
//! takes all but those that have a field of their own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::Settings;
use crate::config::Sandbox;
use crate::id::{LaneId, ThreadId};
use crate::ledger::{LedgerError, RunEnvironment, RunOrder};

/// What a run can be for.
pub const PURPOSES: [&str; 6] = [
    "task",
    "review",
    "check",
    "research",
    "maintenance",
    "other",
];

/// How long a run may take if nobody says.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How long a run may take at most.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest prompt, in bytes.
pub const MAX_PROMPT: usize = 1 << 20;

/// The longest name of a model or a profile, in bytes.
const MAX_NAME: usize = 128;

/// How many images, and how many directories, one may have.
const MAX_PATHS: usize = 16;

/// How many variables one may have, and settings.
const MAX_ENTRIES: usize = 64;

/// How long variables are together, or settings, in bytes.
const MAX_BYTES: usize = 32 << 10;

/// How many entries of metadata one may have, and how long they are together, in bytes.
const MAX_METADATA: (usize, usize) = (32, 8 << 10);

/// The largest schema, in bytes of JSON.
const MAX_SCHEMA: usize = 64 << 10;

/// The settings of Codex that anybody may change: none of them starts a program, opens a network or lets
/// commands do more.
const FREE_SETTINGS: &[&str] = &[
    "base_instructions",
    "developer_instructions",
    "hide_agent_reasoning",
    "instructions",
    "model",
    "model_auto_compact_token_limit",
    "model_context_window",
    "model_provider",
    "model_reasoning_effort",
    "model_reasoning_summary",
    "model_supports_reasoning_summaries",
    "model_verbosity",
    "personality",
    "project_doc_max_bytes",
    "service_tier",
    "tool_output_token_limit",
];

/// The settings that have a field of their own, or none.
const RESERVED_SETTINGS: &[&str] = &[
    "approval_policy",
    "approvals_reviewer",
    "default_permissions",
    "permissions",
    "profile",
    "profiles",
    "sandbox_mode",
    "sandbox_permissions",
    "sandbox_workspace_write",
];

/// Variables that decide what runs outside of the sandbox, and how.
const GUARDED_VARIABLES: &[&str] = &[
    "BASH_ENV",
    "ENV",
    "HOME",
    "IFS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PATH",
    "SHELL",
    "TMPDIR",
];

/// How the names of others begin.
const GUARDED_PREFIXES: &[&str] = &[
    "BASH_FUNC",
    "CODEX_",
    "DYLD_",
    "GIT_",
    "LD_",
    "OPENAI_",
    "PERL",
    "PYTHON",
    "RUBY",
    "SSH_",
    "XDG_",
];

/// A run that somebody wants, as they say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunRequest {
    /// What it is asked.
    pub prompt: String,
    /// What it is for: one of [`PURPOSES`], the first when absent.
    pub purpose: Option<String>,
    /// Where it works, from the workspace on; the workspace when absent.
    pub cwd: Option<PathBuf>,
    /// Its model, if not the dispatcher's.
    pub model: Option<String>,
    /// Its profile of Codex's configuration, if not the dispatcher's.
    pub profile: Option<String>,
    /// What its commands may do, if less than those of the dispatcher.
    pub sandbox: Option<String>,
    /// Images that it is shown.
    pub images: Vec<PathBuf>,
    /// Directories that it may write to beside its own.
    pub writable_dirs: Vec<PathBuf>,
    /// What it has in its environment on top of the dispatcher's.
    pub env: RunEnvironment,
    /// Settings of Codex, `key=value`.
    pub config: Vec<String>,
    /// Whether it also works where there is no git repository.
    pub skip_git_check: Option<bool>,
    /// Its thread is not kept.
    pub ephemeral: bool,
    /// The JSON Schema of its answer.
    pub output_schema: Option<serde_json::Value>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// The thread that it goes on with.
    pub resume: Option<ThreadId>,
    /// The lane that is told what came of it; it must be one.
    pub report_to: Option<LaneId>,
    /// What whoever orders it wants to find again.
    pub metadata: BTreeMap<String, String>,
}

/// Why a run is not taken.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The configuration has them turned off.
    #[error("the dispatcher takes no runs")]
    Off,
    /// A value is none of those that there are.
    #[error("`{field}` cannot be {value:?}: it is one of {}", .allowed.join(", "))]
    NotListed {
        /// Where it stands.
        field: &'static str,
        /// The value.
        value: String,
        /// Those that there are.
        allowed: Vec<&'static str>,
    },
    /// It would be allowed more than its dispatcher.
    #[error("the sandbox {wanted} is wider than the dispatcher's, {allowed}")]
    Wider {
        /// What was wanted.
        wanted: &'static str,
        /// What there is.
        allowed: &'static str,
    },
    /// A value cannot be used.
    #[error("`{field}` cannot be used: {problem}")]
    Unusable {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or directory cannot be used.
    #[error("`{field}` cannot be used: {} {problem}", path.display())]
    Path {
        /// Where it stands.
        field: &'static str,
        /// Which it is.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
    },
    /// It is not on disk.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl RunRequest {
    /// Returns what it is for.
    pub(super) fn purpose(&self) -> Result<String, RequestError> {
        let purpose = self.purpose.as_deref().unwrap_or(PURPOSES[0]);
        match PURPOSES.contains(&purpose) {
            true => Ok(purpose.to_owned()),
            false => Err(not_listed("purpose", purpose, &PURPOSES)),
        }
    }
}

/// Returns what is to be done, if it may be. Looks at the disk for moments.
pub(super) fn check(request: RunRequest, settings: &Settings) -> Result<RunOrder, RequestError> {
    let sandbox = sandbox(request.sandbox.as_deref(), settings.sandbox)?;
    // What the dispatcher may do anyway, it may have done.
    let is_free = settings.sandbox == Sandbox::DangerFullAccess;
    check_prompt(&request.prompt)?;
    check_name("model", request.model.as_deref(), "._-:/@+")?;
    check_name("profile", request.profile.as_deref(), "_-")?;
    check_name("resume", request.resume.as_ref().map(ThreadId::as_str), "-")?;
    check_config(&request.config, is_free)?;
    check_env(&request.env.0, is_free)?;
    check_metadata(&request.metadata)?;
    let places = Places::new(&settings.workspace, is_free)?;
    let cwd = match &request.cwd {
        Some(cwd) => places.directory("cwd", cwd)?,
        None => places.workspace.clone(),
    };
    let read = |field, paths: &[PathBuf], are_files| {
        if paths.len() > MAX_PATHS {
            return Err(unusable(field, format!("at most {MAX_PATHS} are taken")));
        }
        let paths = paths.iter().map(|path| match are_files {
            true => places.file(field, path),
            false => places.directory(field, path),
        });
        paths.collect::<Result<Vec<_>, _>>()
    };
    let images = read("images", &request.images, true)?;
    let writable_dirs = read("writable_dirs", &request.writable_dirs, false)?;
    if sandbox == Sandbox::ReadOnly && !writable_dirs.is_empty() {
        let problem = "in the sandbox read-only nothing can be written to";
        return Err(unusable("writable_dirs", problem));
    }
    if let Some(schema) = &request.output_schema {
        let is_short = schema.to_string().len() <= MAX_SCHEMA;
        if !schema.is_object() || !is_short {
            let problem = format!("it is a JSON Schema, an object of at most {MAX_SCHEMA} bytes");
            return Err(unusable("output_schema", problem));
        }
    }
    let timeout = request.timeout.unwrap_or(DEFAULT_TIMEOUT);
    if timeout < Duration::from_secs(1) || timeout > MAX_TIMEOUT {
        return Err(unusable("timeout", "it is a time from 1s to 24h"));
    }
    Ok(RunOrder {
        prompt: request.prompt,
        cwd,
        model: request.model,
        profile: request.profile,
        sandbox: sandbox.as_str().to_owned(),
        images,
        writable_dirs,
        env: request.env,
        config: request.config,
        skip_git_check: request.skip_git_check.unwrap_or(true),
        ephemeral: request.ephemeral,
        output_schema: request.output_schema,
        resume: request.resume,
        timeout,
        metadata: request.metadata,
    })
}

fn sandbox(wanted: Option<&str>, allowed: Sandbox) -> Result<Sandbox, RequestError> {
    let Some(name) = wanted else {
        return Ok(allowed);
    };
    let wanted = Sandbox::named(name).ok_or_else(|| {
        let all = ["read-only", "workspace-write", "danger-full-access"];
        not_listed("sandbox", name, &all)
    })?;
    if wanted.is_wider_than(allowed) {
        return Err(RequestError::Wider {
            wanted: wanted.as_str(),
            allowed: allowed.as_str(),
        });
    }
    Ok(wanted)
}

fn check_prompt(prompt: &str) -> Result<(), RequestError> {
    if prompt.trim().is_empty() {
        return Err(unusable("prompt", "it is empty"));
    }
    if prompt.len() > MAX_PROMPT {
        let problem = format!("it has {} bytes, and {MAX_PROMPT} are taken", prompt.len());
        return Err(unusable("prompt", problem));
    }
    Ok(())
}

/// Checks a name that becomes an argument.
fn check_name(field: &'static str, name: Option<&str>, also: &str) -> Result<(), RequestError> {
    let Some(name) = name else {
        return Ok(());
    };
    let is_good = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins_well || !name.chars().all(is_good) || name.len() > MAX_NAME {
        let problem = format!(
            "{name:?} is none: letters, digits and {also} are taken, at most {MAX_NAME}, the first a \
             letter or a digit"
        );
        return Err(unusable(field, problem));
    }
    Ok(())
}

fn check_config(config: &[String], is_free: bool) -> Result<(), RequestError> {
    check_size("config", config.iter().map(String::len))?;
    for assignment in config {
        let Some((key, _)) = assignment.split_once('=') else {
            return Err(unusable(
                "config",
                format!("{assignment:?} is not key=value"),
            ));
        };
        let key = key.trim();
        // A quoted key is the same as a bare one.
        let first = key.split('.').next().unwrap_or_default();
        let first = first.trim().trim_matches(['"', '\'']);
        if first.is_empty() || assignment.contains('\0') {
            return Err(unusable("config", format!("{key:?} is no key")));
        }
        if RESERVED_SETTINGS.contains(&first) {
            let problem = format!(
                "`{key}` decides what the run may do: that is for `sandbox` and `profile`, and nobody is \
                 asked for approvals"
            );
            return Err(unusable("config", problem));
        }
        if !is_free && !FREE_SETTINGS.contains(&first) {
            let problem = format!(
                "`{key}` could let the run do more than its dispatcher; these cannot: {}",
                FREE_SETTINGS.join(", ")
            );
            return Err(unusable("config", problem));
        }
    }
    Ok(())
}

fn check_env(env: &BTreeMap<String, String>, is_free: bool) -> Result<(), RequestError> {
    check_size(
        "env",
        env.iter().map(|(name, value)| name.len() + value.len()),
    )?;
    for (name, value) in env {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name || value.contains('\0') {
            return Err(unusable(
                "env",
                format!("{name:?} is no variable, or has a zero byte"),
            ));
        }
        if name.starts_with("TIELINE_") || name == "CODEX_HOME" {
            return Err(unusable("env", format!("{name} is set by tieline")));
        }
        let is_guarded = GUARDED_VARIABLES.contains(&name.as_str())
            || GUARDED_PREFIXES.iter().any(|it| name.starts_with(it));
        if is_guarded && !is_free {
            let problem = format!("{name} could have programs run outside of the sandbox");
            return Err(unusable("env", problem));
        }
    }
    Ok(())
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), RequestError> {
    let (most, bytes) = MAX_METADATA;
    let size: usize = metadata.iter().map(|(key, it)| key.len() + it.len()).sum();
    if metadata.len() > most || size > bytes {
        let problem = format!("at most {most} entries are taken, together {bytes} bytes");
        return Err(unusable("metadata", problem));
    }
    Ok(())
}

fn check_size(
    field: &'static str,
    sizes: impl ExactSizeIterator<Item = usize>,
) -> Result<(), RequestError> {
    if sizes.len() > MAX_ENTRIES || sizes.sum::<usize>() > MAX_BYTES {
        let problem = format!("at most {MAX_ENTRIES} are taken, together {MAX_BYTES} bytes");
        return Err(unusable(field, problem));
    }
    Ok(())
}

/// Where a run may be.
struct Places {
    workspace: PathBuf,
    is_free: bool,
}

impl Places {
    fn new(workspace: &Path, is_free: bool) -> Result<Self, RequestError> {
        Ok(Self {
            workspace: real("cwd", workspace)?,
            is_free,
        })
    }

    fn directory(&self, field: &'static str, path: &Path) -> Result<PathBuf, RequestError> {
        let real = self.inside(field, path)?;
        match real.is_dir() {
            true => Ok(real),
            false => Err(bad_path(field, path, "is not a directory")),
        }
    }

    fn file(&self, field: &'static str, path: &Path) -> Result<PathBuf, RequestError> {
        let real = self.inside(field, path)?;
        // Codex takes a comma for the end of a path.
        if real.to_string_lossy().contains(',') {
            return Err(bad_path(
                field,
                path,
                "has a comma, which Codex cannot read",
            ));
        }
        match real.is_file() {
            true => Ok(real),
            false => Err(bad_path(field, path, "is not a file")),
        }
    }

    /// Returns where a path leads to, if that is no place that is closed to the run.
    fn inside(&self, field: &'static str, path: &Path) -> Result<PathBuf, RequestError> {
        let real = real(field, &self.workspace.join(path))?;
        match self.is_free || real.starts_with(&self.workspace) {
            true => Ok(real),
            false => Err(bad_path(
                field,
                path,
                "is not in the dispatcher's workspace",
            )),
        }
    }
}

fn real(field: &'static str, path: &Path) -> Result<PathBuf, RequestError> {
    path.canonicalize().map_err(|error| RequestError::Path {
        field,
        path: path.to_owned(),
        problem: match error.kind() {
            io::ErrorKind::NotFound => "does not exist",
            _ => "cannot be looked at",
        },
        source: Some(error),
    })
}

fn bad_path(field: &'static str, path: &Path, problem: &'static str) -> RequestError {
    RequestError::Path {
        field,
        path: path.to_owned(),
        problem,
        source: None,
    }
}

fn not_listed(field: &'static str, value: &str, allowed: &[&'static str]) -> RequestError {
    RequestError::NotListed {
        field,
        value: tieline_channel::cut(value, 80),
        allowed: allowed.to_vec(),
    }
}

fn unusable(field: &'static str, problem: impl Into<String>) -> RequestError {
    RequestError::Unusable {
        field,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DispatcherId;

    struct Bench {
        directory: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            for name in ["work", "work/sub", "other"] {
                std::fs::create_dir(directory.path().join(name)).unwrap();
            }
            for name in ["work/a.png", "work/a,b.png", "other/b.png"] {
                std::fs::write(directory.path().join(name), "x").unwrap();
            }
            let link = directory.path().join("work/link");
            std::os::unix::fs::symlink(directory.path().join("other"), link).unwrap();
            Self { directory }
        }

        fn path(&self, name: &str) -> PathBuf {
            let directory = self.directory.path().canonicalize().unwrap();
            directory.join(name)
        }

        fn check(&self, sandbox: Sandbox, request: RunRequest) -> Result<RunOrder, String> {
            let settings = Settings {
                dispatcher: DispatcherId::new("flow"),
                workspace: self.path("work"),
                sandbox,
                parallel: 1,
            };
            check(request, &settings).map_err(|error| error.to_string())
        }
    }

    fn request() -> RunRequest {
        RunRequest {
            prompt: "look".to_owned(),
            ..RunRequest::default()
        }
    }

    #[test]
    fn only_listed_purposes_and_sandboxes_are_taken_and_others_are_named() {
        let bench = Bench::new();
        for purpose in PURPOSES {
            let request = RunRequest {
                purpose: Some(purpose.to_owned()),
                ..request()
            };
            assert_eq!(request.purpose().unwrap(), purpose);
        }
        assert_eq!(request().purpose().unwrap(), "task");
        for bad in ["", "Task", "tasks", "revue"] {
            let request = RunRequest {
                purpose: Some(bad.to_owned()),
                ..request()
            };
            let error = request.purpose().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
            assert!(error.contains("task, review, check"), "{error}");
        }
        let with = |name: &str| RunRequest {
            sandbox: Some(name.to_owned()),
            ..request()
        };
        use Sandbox::{DangerFullAccess as Danger, ReadOnly as Read, WorkspaceWrite as Write};
        for (allowed, wanted, is_taken) in [
            (Read, "read-only", true),
            (Read, "workspace-write", false),
            (Write, "read-only", true),
            (Write, "workspace-write", true),
            (Write, "danger-full-access", false),
            (Danger, "danger-full-access", true),
        ] {
            let checked = bench.check(allowed, with(wanted));
            match is_taken {
                true => assert_eq!(checked.unwrap().sandbox, wanted),
                false => assert!(checked.unwrap_err().contains("is wider than")),
            }
        }
        for bad in ["", "none", "READ-ONLY", "read_only"] {
            let error = bench.check(Danger, with(bad)).unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
            assert!(
                error.contains("read-only, workspace-write, danger"),
                "{error}"
            );
        }
        let inherited = bench.check(Write, request()).unwrap();
        assert_eq!(inherited.sandbox, "workspace-write");
    }

    #[test]
    fn paths_stay_in_the_workspace_unless_anything_is_allowed() {
        let bench = Bench::new();
        let paths = |cwd: &str, image: &str, directory: &str| RunRequest {
            cwd: Some(cwd.into()),
            images: vec![image.into()],
            writable_dirs: vec![directory.into()],
            ..request()
        };
        let order = bench
            .check(Sandbox::WorkspaceWrite, paths("sub", "a.png", "sub"))
            .unwrap();
        assert_eq!(order.cwd, bench.path("work/sub"));
        assert_eq!(order.images, [bench.path("work/a.png")]);
        assert_eq!(order.writable_dirs, [bench.path("work/sub")]);
        for (request, words) in [
            (
                paths("link", "a.png", "sub"),
                "`cwd` cannot be used: link is not in",
            ),
            (paths("..", "a.png", "sub"), "`cwd`"),
            (paths("none", "a.png", "sub"), "does not exist"),
            (paths("a.png", "a.png", "sub"), "is not a directory"),
            (paths("sub", "link/b.png", "sub"), "`images`"),
            (paths("sub", "sub", "sub"), "is not a file"),
            (paths("sub", "a,b.png", "sub"), "has a comma"),
            (
                paths("sub", "a.png", "/etc"),
                "`writable_dirs` cannot be used: /etc is not in",
            ),
        ] {
            let error = bench.check(Sandbox::WorkspaceWrite, request).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let free = paths("link", "link/b.png", "../other");
        let order = bench.check(Sandbox::DangerFullAccess, free).unwrap();
        assert_eq!(order.cwd, bench.path("other"));
        let error = bench.check(Sandbox::ReadOnly, paths("sub", "a.png", "sub"));
        assert!(
            error
                .unwrap_err()
                .contains("read-only nothing can be written")
        );
    }

    #[test]
    fn settings_that_could_widen_anything_are_refused() {
        let bench = Bench::new();
        let with = |assignment: &str| RunRequest {
            config: vec![assignment.to_owned()],
            ..request()
        };
        for good in [
            "model_reasoning_effort=\"high\"",
            "model = \"m\"",
            "model_verbosity=low",
        ] {
            bench.check(Sandbox::ReadOnly, with(good)).unwrap();
        }
        for (bad, even_when_free) in [
            ("sandbox_mode=\"danger-full-access\"", true),
            ("sandbox_workspace_write.network_access=true", true),
            ("\"sandbox_mode\"=\"danger-full-access\"", true),
            ("approval_policy=\"never\"", true),
            ("profile=\"x\"", true),
            ("mcp_servers.x.command=\"sh\"", false),
            ("notify=[\"sh\"]", false),
            ("shell_environment_policy={}", false),
            ("model_providers.x.auth.command=\"sh\"", false),
            ("features.hooks=true", false),
            ("no assignment", true),
            ("=x", true),
        ] {
            let refused = bench.check(Sandbox::WorkspaceWrite, with(bad));
            assert!(refused.is_err(), "{bad}");
            let when_free = bench.check(Sandbox::DangerFullAccess, with(bad));
            assert_eq!(when_free.is_err(), even_when_free, "{bad}");
        }
    }

    #[test]
    fn variables_that_could_run_programs_are_refused() {
        let bench = Bench::new();
        let with = |name: &str| RunRequest {
            env: RunEnvironment(BTreeMap::from([(name.to_owned(), "hunter2".to_owned())])),
            ..request()
        };
        for good in ["TOKEN", "MY_PATH", "ENVIRONMENT", "CI", "_x1"] {
            bench.check(Sandbox::ReadOnly, with(good)).unwrap();
        }
        for bad in [
            "PATH",
            "LD_PRELOAD",
            "GIT_SSH_COMMAND",
            "BASH_ENV",
            "ENV",
            "HOME",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "CODEX_API_KEY",
            "CODEX_HOME",
            "TIELINE_CHILD",
            "",
            "a=b",
            "1a",
            "a b",
        ] {
            let error = bench.check(Sandbox::WorkspaceWrite, with(bad)).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        bench
            .check(Sandbox::DangerFullAccess, with("PATH"))
            .unwrap();
        for bad in ["CODEX_HOME", "TIELINE_CHILD"] {
            assert!(bench.check(Sandbox::DangerFullAccess, with(bad)).is_err());
        }
    }

    #[test]
    fn everything_is_bounded() {
        let bench = Bench::new();
        let many = |n: usize| (0..n).map(|n| (format!("k{n}"), String::new()));
        let bad = [
            RunRequest {
                prompt: " \n".into(),
                ..request()
            },
            RunRequest {
                prompt: "x".repeat(MAX_PROMPT + 1),
                ..request()
            },
            RunRequest {
                model: Some("-m".into()),
                ..request()
            },
            RunRequest {
                profile: Some("../x".into()),
                ..request()
            },
            RunRequest {
                resume: Some(ThreadId::new("--last")),
                ..request()
            },
            RunRequest {
                timeout: Some(Duration::ZERO),
                ..request()
            },
            RunRequest {
                timeout: Some(MAX_TIMEOUT + Duration::from_secs(1)),
                ..request()
            },
            RunRequest {
                env: RunEnvironment(many(65).collect()),
                ..request()
            },
            RunRequest {
                env: RunEnvironment([("a".to_owned(), "x".repeat(MAX_BYTES))].into()),
                ..request()
            },
            RunRequest {
                config: vec!["model=m".into(); 65],
                ..request()
            },
            RunRequest {
                metadata: many(33).collect(),
                ..request()
            },
            RunRequest {
                images: vec!["a.png".into(); 17],
                ..request()
            },
            RunRequest {
                output_schema: Some(serde_json::json!([])),
                ..request()
            },
        ];
        for (index, request) in bad.into_iter().enumerate() {
            assert!(
                bench.check(Sandbox::ReadOnly, request).is_err(),
                "case {index}"
            );
        }
    }
}
