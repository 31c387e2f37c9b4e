//! The daemon as a process of its own, to be broken.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;
use tieline::control::{Client, DispatcherStatus, Status};
use tieline::demo::model::{ScriptedModel, provider_config};
use tieline::ledger::Lifecycle;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::codex::codex_bin;
use super::feishu::{self, MockFeishu};
use super::model::within;
use super::platform::Platform;
use super::scan::{MARKED, Scanner};
use super::slack::{self, MockSlack};

/// Where the daemon of a world finds the bot token.
const BOT_TOKEN_FILE: &str = "bot-token";

/// Where the daemon of a world finds the app's secret.
const APP_SECRET_FILE: &str = "app-secret";

/// A daemon's whole world: directories, configuration, scripted model, platform.
pub(crate) struct World {
    directory: TempDir,
    pub(crate) model: ScriptedModel,
    pub(crate) platform: Platform,
    environment: Vec<(String, String)>,
    daemon: Option<Child>,
    logging: JoinSet<()>,
}

/// What may differ between worlds.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    /// What commands may do.
    pub(crate) sandbox: &'static str,
    /// More lines of `[dispatchers.test]`.
    pub(crate) dispatcher: String,
    /// In place of the child that the daemon starts.
    pub(crate) transport: Option<String>,
    /// In place of the pinned codex.
    pub(crate) bin: Option<PathBuf>,
    /// More tables of the configuration.
    pub(crate) tables: String,
    /// More lines of `[channels.term]`.
    pub(crate) console: String,
    /// The channels of the dispatcher; `term`, the console, is always declared.
    pub(crate) channels: Vec<String>,
    /// More of the daemon's environment.
    pub(crate) environment: Vec<(String, String)>,
    /// More files of the daemon's home directory, for its eyes only.
    pub(crate) files: Vec<(String, String)>,
}

impl Choices {
    pub(crate) fn standard() -> Self {
        Self {
            sandbox: "read-only",
            dispatcher: "sessions = \"chat\"\nrestart = { base = \"20ms\", max = \"100ms\" }\n"
                .to_owned(),
            transport: None,
            bin: None,
            tables: String::new(),
            console: String::new(),
            channels: vec!["term".to_owned()],
            environment: Vec::new(),
            files: Vec::new(),
        }
    }

    /// With a Slack channel `team`, one token in the environment and one in a file, to which
    /// everybody may speak; `more` is for `[channels.team]`.
    pub(crate) fn with_slack(self, slack: &MockSlack, more: &str) -> Self {
        let everyone = "direct = \"everyone\"\ngroups = \"everyone\"";
        self.with_slack_for(slack, more, everyone)
    }

    /// With such a channel, to which may speak whom `access` lets.
    pub(crate) fn with_slack_for(mut self, slack: &MockSlack, more: &str, access: &str) -> Self {
        self.channels.push("team".to_owned());
        self.environment
            .push(("SLACK_APP_TOKEN".to_owned(), slack::APP_TOKEN.to_owned()));
        self.files
            .push((BOT_TOKEN_FILE.to_owned(), slack::BOT_TOKEN.to_owned()));
        self.tables.push_str(&format!(
            "[channels.team]\nkind = \"slack\"\napi_url = {url:?}\n\
             app_token = {{ env = \"SLACK_APP_TOKEN\" }}\n\
             bot_token = {{ file = \"~/{BOT_TOKEN_FILE}\" }}\n{more}\n\
             [dispatchers.test.access]\n{access}\n",
            url = slack.api_url(),
        ));
        self
    }

    /// With a console that speaks Chinese.
    pub(crate) fn in_chinese(mut self) -> Self {
        self.console.push_str("language = \"zh\"\n");
        self
    }

    /// With a Feishu channel `office`, its secret in a file, to which everybody may speak; `more`
    /// is for `[channels.office]`.
    pub(crate) fn with_feishu(mut self, feishu: &MockFeishu, more: &str) -> Self {
        self.channels.push("office".to_owned());
        self.files
            .push((APP_SECRET_FILE.to_owned(), feishu::APP_SECRET.to_owned()));
        self.tables.push_str(&format!(
            "[channels.office]\nkind = \"feishu\"\nbase_url = {url:?}\napp_id = {app:?}\n\
             app_secret = {{ file = \"~/{APP_SECRET_FILE}\" }}\n{more}\n\
             [dispatchers.test.access]\ndirect = \"everyone\"\ngroups = \"everyone\"\n",
            url = feishu.base_url(),
            app = feishu::APP_ID,
        ));
        self
    }

    pub(crate) fn with(mut self, lines: &str) -> Self {
        self.dispatcher.push_str(lines);
        self.dispatcher.push('\n');
        self
    }
}

impl World {
    /// Makes a world around a model; the daemon is not started yet.
    pub(crate) fn new(model: ScriptedModel, choices: &Choices) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("tl-")
            .tempdir_in("/tmp")
            .unwrap();
        let at = directory.path();
        for name in ["work", "home"] {
            fs::create_dir(at.join(name)).unwrap();
        }
        // The world is in a directory that otherwise may be written to in any sandbox but the narrowest.
        let closed = ["exclude_slash_tmp", "exclude_tmpdir_env_var"]
            .map(|it| format!("sandbox_workspace_write.{it}=true"));
        let settings: Vec<String> = provider_config(&model.base_url())
            .into_iter()
            .chain(closed)
            .map(|it| format!("{it:?}"))
            .collect();
        let transport = choices.transport.as_deref().unwrap_or("unix");
        let config = format!(
            "[daemon]\nstate_dir = {state:?}\nlog = \"info,tieline=debug\"\n\n\
             [codex]\nbin = {bin:?}\nhome = {home:?}\ntransport = {transport:?}\nconfig = [{settings}]\n\
             env = {{ MARKED_TOKEN = {MARKED:?} }}\n\n\
             [channels.term]\nkind = \"console\"\n{console}\n\
             [dispatchers.test]\nworkspace = {work:?}\nchannels = {channels:?}\nsandbox = {sandbox:?}\n{more}\n{tables}",
            state = at.join("state"),
            bin = choices.bin.as_deref().unwrap_or_else(|| codex_bin()),
            home = at.join("home"),
            work = at.join("work"),
            settings = settings.join(", "),
            channels = choices.channels,
            sandbox = choices.sandbox,
            more = choices.dispatcher,
            console = choices.console,
            tables = choices.tables,
        );
        fs::write(at.join("tieline.toml"), config).unwrap();
        for (name, content) in &choices.files {
            fs::write(at.join(name), content).unwrap();
            fs::set_permissions(at.join(name), Permissions::from_mode(0o600)).unwrap();
        }
        let platform = Platform::new(&at.join("state/console-term.sock"));
        Self {
            directory,
            model,
            platform,
            environment: choices.environment.clone(),
            daemon: None,
            logging: JoinSet::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Has codex lose all that it has on disk. It must not run.
    pub(crate) fn lose_threads(&self) {
        fs::remove_dir_all(self.home()).unwrap();
        fs::create_dir(self.home()).unwrap();
    }

    /// Sets a variable of the environment that the daemon is started in.
    pub(crate) fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the daemon.
    pub(crate) fn start(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let child = Command::new(env!("CARGO_BIN_EXE_tieline"))
            .args(["run", "--config"])
            .arg(self.path().join("tieline.toml"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.unwrap();
        // Not straight into the file: the daemon may be told that files are full.
        let mut log = child.stderr.take().unwrap();
        let path = self.path().join("daemon.log");
        self.logging.spawn(async move {
            let mut file = tokio::fs::File::options()
                .create(true)
                .append(true)
                .open(path)
                .await
                .unwrap();
            tokio::io::copy(&mut log, &mut file).await.unwrap();
            file.flush().await.unwrap();
        });
        self.daemon = Some(child);
    }

    /// Returns the daemon's process.
    pub(crate) fn daemon_pid(&self) -> Pid {
        let id = self
            .daemon
            .as_ref()
            .and_then(Child::id)
            .expect("the daemon runs");
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    /// Returns what the system says of the daemon's memory, in megabytes: `VmRSS` is resident now,
    /// `VmHWM` was resident at most.
    pub(crate) fn memory(&self, field: &str) -> f64 {
        let path = format!("/proc/{}/status", self.daemon_pid().as_raw_nonzero());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024.0 / 1e6
    }

    /// Kills the daemon as a power cut would, nearly.
    pub(crate) async fn kill_daemon(&mut self) {
        let mut child = self.daemon.take().expect("the daemon runs");
        child.start_kill().unwrap();
        child.wait().await.unwrap();
    }

    /// Ends the daemon as a service manager does, and returns its exit code.
    pub(crate) async fn stop_daemon(&mut self) -> Option<i32> {
        let pid = self.daemon_pid();
        let mut child = self.daemon.take().expect("the daemon runs");
        kill_process(pid, Signal::TERM).unwrap();
        let status = tokio::time::timeout(Duration::from_secs(20), child.wait())
            .await
            .unwrap_or_else(|_| panic!("no end within 20 s of SIGTERM:\n{}", self.log()))
            .unwrap();
        assert_eq!(status.signal(), None, "{}", self.log());
        status.code()
    }

    /// Waits until the daemon answers, however its dispatchers are.
    pub(crate) async fn until_socket(&self) {
        let client = Client::new(&self.path().join("state/control.sock"));
        let answers = async {
            while client.status().await.is_err() {
                // The socket is asked, for it does not tell by itself.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("an answer of the daemon", answers).await;
    }

    /// Waits until the dispatcher is ready after so many restarts.
    pub(crate) async fn ready(&self, restarts: u64) {
        let client = Client::new(&self.path().join("state/control.sock"));
        let is_ready = async {
            loop {
                if let Ok(status) = client.status().await
                    && status.dispatchers.iter().all(|dispatcher| {
                        dispatcher.state == Lifecycle::Ready && dispatcher.restarts >= restarts
                    })
                {
                    return;
                }
                // The socket is asked, for it does not tell by itself.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), is_ready)
            .await
            .is_err()
        {
            panic!("not ready after 60 s:\n{}", self.log());
        }
    }

    /// Waits until nothing waits, no turn is open, and no post is on its way.
    pub(crate) async fn at_rest(&self) {
        self.until_rest(|dispatcher| {
            let is_busy = dispatcher.lanes.iter().any(|it| it.open_turn.is_some());
            dispatcher.waiting == 0 && !is_busy
        })
        .await;
    }

    /// Waits until that is so but for what teammates do.
    pub(crate) async fn at_rest_but_for_teammates(&self) {
        self.until_rest(|dispatcher| {
            let mut lanes = dispatcher.lanes.iter();
            lanes.all(|it| it.teammate.is_some() || (it.waiting == 0 && it.open_turn.is_none()))
        })
        .await;
    }

    async fn until_rest(&self, is_at_rest: impl Fn(&DispatcherStatus) -> bool) {
        let client = Client::new(&self.path().join("state/control.sock"));
        let rests = async {
            loop {
                if let Ok(status) = client.status().await
                    && status.outbox.pending + status.outbox.sending == 0
                    && status.dispatchers.iter().all(&is_at_rest)
                {
                    return;
                }
                // The socket is asked, for it does not tell by itself.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), rests)
            .await
            .is_err()
        {
            panic!("not at rest after 60 s:\n{}", self.log());
        }
    }

    /// Asks the daemon how it is.
    pub(crate) async fn status(&self) -> Status {
        let client = Client::new(&self.path().join("state/control.sock"));
        let status = client.status().await.unwrap();
        let told = serde_json::to_vec(&status).unwrap();
        assert!(!Scanner::new().finds_in(&told), "a secret in the status");
        status
    }

    /// Returns where a secret has come out: in what was logged, told as an event, or said to people.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let scanner = Scanner::new();
        let mut leaks = Vec::new();
        for name in ["daemon.log", "state/logs", "state/events"] {
            leaks.extend(scanner.files_with_secrets(&self.path().join(name)));
        }
        if scanner.finds_in(self.platform.everything_seen().as_bytes()) {
            leaks.push("a post".to_owned());
        }
        leaks
    }

    /// Returns the codex processes of this world, by their `CODEX_HOME`.
    pub(crate) fn codex_pids(&self) -> Vec<Pid> {
        // Also one that a profile has made.
        let marker = format!("CODEX_HOME={}/", self.path().display());
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(id) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = environment
                .windows(marker.len())
                .any(|at| at == marker.as_bytes());
            let is_running = !is_zombie(id);
            if is_ours && is_running {
                pids.extend(Pid::from_raw(id));
            }
        }
        pids
    }

    /// Returns the app-server of this world, when there is one.
    pub(crate) fn app_server(&self) -> Option<Pid> {
        self.codex_pids().into_iter().find(|pid| {
            let command =
                fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
            command
                .split(|byte| *byte == 0)
                .any(|argument| argument == b"app-server")
        })
    }

    /// Waits until there is an app-server that is not `other`.
    pub(crate) async fn next_app_server(&self, other: Option<Pid>) -> Pid {
        let found = async {
            loop {
                match self.app_server() {
                    Some(pid) if Some(pid) != other => return pid,
                    // Nothing tells of a process but looking.
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), found).await {
            Ok(pid) => pid,
            Err(_) => panic!("no app-server within 60 s:\n{}", self.log()),
        }
    }

    /// Sends a signal to the app-server, if there is one right now.
    pub(crate) fn signal_app_server(&self, signal: Signal) -> Option<Pid> {
        let pid = self.app_server()?;
        // It may have ended by itself in this moment.
        kill_process(pid, signal).ok()?;
        Some(pid)
    }

    /// Waits until a process is gone.
    pub(crate) async fn gone(&self, pid: Pid) {
        while self.codex_pids().contains(&pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a rollout of this world contains `text`.
    pub(crate) async fn until_rollout_has(&self, text: &str) {
        let found = async {
            while !rollouts(&self.home().join("sessions"))
                .iter()
                .any(|path| fs::read_to_string(path).is_ok_and(|content| content.contains(text)))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), found)
            .await
            .is_err()
        {
            panic!("no rollout has {text:?} after 60 s:\n{}", self.log());
        }
    }

    /// Ends the daemon and fails when anything of it is left.
    pub(crate) async fn finish(mut self) {
        if self.daemon.is_some() {
            assert_eq!(self.stop_daemon().await, Some(0), "{}", self.log());
        }
        assert_eq!(
            self.codex_pids(),
            Vec::<Pid>::new(),
            "processes are left:\n{}",
            self.log()
        );
        let run = self.path().join("state/run");
        let left: Vec<_> = fs::read_dir(&run)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        assert_eq!(
            left,
            Vec::<PathBuf>::new(),
            "files are left:\n{}",
            self.log()
        );
    }

    /// Returns the lines of the whole log that contain `text`.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default();
        log.lines()
            .filter(|line| line.contains(text))
            .map(str::to_owned)
            .collect()
    }

    /// Waits until a line of the log contains `text`.
    pub(crate) async fn until_logged(&self, text: &str) {
        let logged = async {
            while self.logged(text).is_empty() {
                // The file does not tell by itself.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(text, logged).await;
    }

    /// Sets how large a file the daemon may write, and returns how large it was.
    pub(crate) fn limit_files(&self, size: Option<u64>) -> Option<u64> {
        let limit = Rlimit {
            current: size,
            maximum: None,
        };
        let before = prlimit(Some(self.daemon_pid()), Resource::Fsize, limit);
        before.unwrap().current
    }

    /// Fails when a secret is anywhere that the daemon or its children have written to.
    pub(crate) fn assert_keeps(&self, secrets: &[&str]) {
        let given = [BOT_TOKEN_FILE, APP_SECRET_FILE];
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).unwrap().flatten() {
                // Links lead to what others have written.
                let kind = entry.file_type().unwrap();
                let path = entry.path();
                if kind.is_dir() {
                    directories.push(path);
                } else if kind.is_file() && given.iter().all(|it| entry.file_name() != *it) {
                    let content = fs::read(&path).unwrap_or_default();
                    for secret in secrets {
                        let is_there = content
                            .windows(secret.len())
                            .any(|at| at == secret.as_bytes());
                        assert!(!is_there, "a secret is in {}", path.display());
                    }
                }
            }
        }
    }

    /// Returns the end of what the daemon logged.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.path().join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(120)..].join("\n")
    }
}

impl Drop for World {
    /// A failed test leaves no process behind.
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            // It may have ended already.
            let _ended = daemon.start_kill();
        }
        for pid in self.codex_pids() {
            let _ended = kill_process(pid, Signal::KILL);
        }
        if !std::thread::panicking() {
            assert_eq!(self.leaks(), Vec::<String>::new(), "secrets have come out");
        } else {
            let mut error = std::io::stderr();
            let _shown = std::io::Write::write_all(&mut error, self.log().as_bytes());
        }
    }
}

/// Returns the rollouts below a directory.
pub(crate) fn rollouts(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(rollouts(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            found.push(path);
        }
    }
    found
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_none_or(|rest| rest.trim_start().starts_with('Z'))
}
