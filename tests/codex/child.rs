//! The process: start, stop, death, and what is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::json;
use tieline::codex::binary::{self, BinaryError};
use tieline::codex::protocol::ServerDiagnostics;
use tieline::codex::{
    AppServer, ChildSnapshot, ChildState, CloseReason, FailureKind, LaunchConfig, Lost, LostReason,
    Spawner, StartError, Transport, TurnEnd, TurnEvent, diagnose, try_out,
};

use super::stage::{Stage, answered, config_in, finish, options, text, until};
use crate::support::model::{Fault, Point, within};

const DRAIN: Duration = Duration::from_secs(30);
const NOTHING: [String; 0] = [];

/// Makes a program out of a shell script.
fn script(dir: &Path, lines: &str) -> PathBuf {
    let path = dir.join("program");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A script that is started in place of codex, in a home that needs no login.
struct Scripted {
    dir: tempfile::TempDir,
    spawner: Spawner,
    config: LaunchConfig,
}

impl Scripted {
    fn new(lines: &str) -> Self {
        Self::with_version("echo codex-cli 0.169.0; exit", lines)
    }

    /// A script that does `version` when asked for its version, and `lines` otherwise.
    fn with_version(version: &str, lines: &str) -> Self {
        let lines = format!("case \"$1\" in --version) {version};; esac\n{lines}");
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_in(dir.path());
        config.bin = Some(script(dir.path(), &lines));
        config.config = vec!["model_provider=\"none\"".to_owned()];
        Self {
            dir,
            spawner: Spawner::new().unwrap(),
            config,
        }
    }

    async fn start(&self) -> Result<AppServer, StartError> {
        within("the start", AppServer::start(&self.config, &self.spawner)).await
    }

    async fn fail(&self) -> StartError {
        self.start().await.err().expect("no start")
    }

    fn run_files(&self) -> Vec<String> {
        let files = fs::read_dir(&self.config.run_dir).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// Answers the handshake on its pipes.
const GREET: &str = r#"
read -r asked
printf '{"id":1,"result":{"userAgent":"x/0.169.0","codexHome":"/h","platformOs":"sh"}}\n'
read -r initialized
"#;

fn signal(pid: u32, signal: &str) {
    let status = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// Waits until a file holds a line, and returns it as a number.
async fn number_in(path: &Path) -> u32 {
    let read = async {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if let Some((number, _)) = text.split_once('\n') {
                return number.trim().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a number in a file", read).await
}

// === Start ===

#[tokio::test]
async fn a_child_is_ready_and_leaves_nothing_when_stopped() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    assert_eq!(server.facts().version.as_deref(), Some("0.169.0"));
    let snapshot = server.snapshot();
    assert_eq!(snapshot.state, ChildState::Running);
    assert!(snapshot.pid.is_some() && snapshot.started_at.is_some());
    assert_eq!(stage.run_files().len(), 2, "a record and a socket");
    let mode = fs::metadata(&stage.config.run_dir).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o700);
    let diagnostics = server
        .client()
        .call::<ServerDiagnostics>(&Default::default());
    assert_eq!(Some(diagnostics.await.unwrap().process.id), snapshot.pid);

    let client = server.client().clone();
    let report = within("the stop", server.stop(DRAIN)).await;
    assert_eq!(report.snapshot.state, ChildState::Stopped);
    assert_eq!(report.exit.unwrap().code, Some(0));
    assert!(!report.was_forced);
    assert_eq!(report.warnings, NOTHING);
    assert_eq!(client.closed().await, CloseReason::Requested);
    assert_eq!(stage.run_files(), NOTHING);
}

#[tokio::test]
async fn two_starts_have_two_sockets_and_two_processes() {
    let stage = Stage::new().await;
    let (one, two) = tokio::join!(stage.start(), stage.start());
    assert_ne!(one.snapshot().pid, two.snapshot().pid);
    assert_eq!(stage.run_files().len(), 4);
    for server in [one, two] {
        within("the stop", server.stop(DRAIN)).await;
    }
    assert_eq!(stage.run_files(), NOTHING);
}

#[tokio::test]
async fn a_child_sees_its_arguments_environment_and_directory() {
    let mut scripted = Scripted::new(
        r#"printf '%s\n' "$@" > arguments; env > environment; pwd > directory; exit 3"#,
    );
    scripted.config.args = vec!["--disable".into(), "plugins".into()];
    for (name, value) in [
        ("TIELINE_DAEMON_ID", "d-1"),
        ("TIELINE_CONTROL_SOCKET", "/s"),
    ] {
        scripted.config.env.insert(name.into(), value.into());
    }
    scripted
        .config
        .inherited
        .set("SLACK_BOT_TOKEN", "xoxb-secret");
    let error = scripted.fail().await;
    let StartError::Exited(report) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(report.code, Some(3));
    let work = &scripted.config.cwd;
    let read = |name| fs::read_to_string(work.join(name)).unwrap();
    let arguments = read("arguments");
    assert!(
        arguments.starts_with("app-server\n--listen\nunix://"),
        "{arguments}"
    );
    assert!(arguments.contains("-c\nmodel_provider=\"none\"\n"));
    assert!(arguments.ends_with("--disable\nplugins\n"));
    let environment = read("environment");
    assert!(environment.contains("TIELINE_DAEMON_ID=d-1\n"));
    assert!(environment.contains("TIELINE_CONTROL_SOCKET=/s\n"));
    assert!(environment.contains(&format!("CODEX_HOME={}\n", scripted.config.home.display())));
    assert!(!environment.contains("xoxb-secret"));
    assert_eq!(Path::new(read("directory").trim()), work.as_path());
}

#[tokio::test]
async fn a_socket_that_comes_late_is_waited_for() {
    let mut stage = Stage::new().await;
    let real = stage.config.bin.take().unwrap();
    let late = format!("sleep 2; exec '{}' \"$@\"", real.display());
    stage.config.bin = Some(script(stage.dir.path(), &late));
    let server = stage.start().await;
    within("the stop", server.stop(DRAIN)).await;
}

// === Doctor ===

async fn bad_checks(config: &LaunchConfig) -> Vec<(&'static str, String)> {
    let checks = within("the diagnosis", diagnose(config)).await;
    checks
        .into_iter()
        .filter_map(|check| {
            let problem = check.failed()?;
            Some((check.name, format!("{}: {}", problem.what, problem.remedy)))
        })
        .collect()
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_with_what_works() {
    let stage = Stage::new().await;
    let checks = diagnose(&stage.config).await;
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names, ["bin", "version", "home", "login", "socket"]);
    assert!(
        checks.iter().all(|check| check.failed().is_none()),
        "{checks:#?}"
    );
    assert_eq!(checks[1].found.as_deref(), Ok("0.169.0"));
    let tried = within("the trial", try_out(&stage.config, true)).await;
    let names: Vec<_> = tried.iter().map(|check| check.name).collect();
    assert_eq!(names, ["config", "sandbox"]);
    assert!(tried.iter().all(|check| check.found.is_ok()), "{tried:#?}");
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let good = Scripted::new("");
    type Spoil = fn(&mut LaunchConfig);
    let cases: [(&str, &str, Spoil); 5] = [
        ("bin", "npm install", |config| {
            config.bin = Some("/no/such/codex".into());
        }),
        ("login", "codex login", |config| config.config.clear()),
        ("home", "create it", |config| config.home.push("nowhere")),
        ("socket", "shorter path", |config| {
            config.run_dir.push("x".repeat(100));
        }),
        ("endpoint", "nobody accepts", |config| {
            config.transport = "unix:///no/such/socket".parse().unwrap();
        }),
    ];
    for (name, advice, spoil) in cases {
        let mut config = good.config.clone();
        spoil(&mut config);
        let bad = bad_checks(&config).await;
        assert_eq!(bad.len(), 1, "{name}: {bad:?}");
        assert_eq!(bad[0].0, name);
        assert!(bad[0].1.contains(advice), "{bad:?}");
    }
    let old = Scripted::with_version("echo codex-cli 0.136.0; exit", "");
    let bad = bad_checks(&old.config).await;
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0].0, "version");
    assert!(bad[0].1.contains("@openai/codex@latest"), "{bad:?}");
}

// === Failed starts ===

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_failed_start_and_nothing_else() {
    let mut scripted = Scripted::new("");
    scripted.config.bin = Some("/no/such/codex".into());
    let error = scripted.fail().await;
    assert!(matches!(error, StartError::Binary(_)), "{error:?}");
    assert!(error.needs_operator());
    let snapshot = ChildSnapshot::of_failure(&error);
    assert_eq!(snapshot.state, ChildState::Failed);
    assert!(snapshot.last_error.unwrap().contains("npm install"));
    assert!(!scripted.config.run_dir.exists());
}

#[tokio::test]
async fn a_working_directory_that_does_not_exist_leaves_nothing_behind() {
    let mut scripted = Scripted::new("");
    scripted.config.cwd = scripted.dir.path().join("nowhere");
    let error = scripted.fail().await;
    assert!(matches!(error, StartError::Spawn { .. }), "{error:?}");
    assert_eq!(error.to_failure().kind, FailureKind::BackendSpawnFailed);
    assert_eq!(scripted.run_files(), NOTHING);
}

#[tokio::test]
async fn a_home_without_a_login_is_found_before_anything_is_started() {
    let mut scripted = Scripted::new("touch started");
    scripted.config.config.clear();
    let error = scripted.fail().await;
    assert!(matches!(error, StartError::Home(_)), "{error:?}");
    assert!(!scripted.config.cwd.join("started").exists());
}

#[tokio::test]
async fn a_child_that_ends_at_once_is_quoted() {
    let scripted = Scripted::new("echo 'Error: no luck today' >&2; echo more >&2; exit 3");
    let error = scripted.fail().await;
    let StartError::Exited(report) = &error else {
        panic!("{error:?}");
    };
    assert_eq!((report.code, report.signal), (Some(3), None));
    assert_eq!(
        error.to_string(),
        "codex ended with code 3 and said: Error: no luck today"
    );
    assert_eq!(scripted.run_files(), NOTHING);
}

#[tokio::test]
async fn a_configuration_codex_refuses_is_told_in_its_words() {
    let mut stage = Stage::new().await;
    stage.config.args = vec!["--enable".into(), "no_such_feature".into()];
    let error = within("the start", AppServer::start(&stage.config, &stage.spawner)).await;
    let text = error.err().unwrap().to_string();
    assert!(text.contains("no_such_feature"), "{text}");
    assert_eq!(stage.run_files(), NOTHING);
}

#[tokio::test]
async fn an_old_codex_is_named_as_the_reason() {
    let scripted = Scripted::with_version(
        "echo codex-cli 0.136.0; exit",
        "echo 'error: unexpected argument' >&2; exit 2",
    );
    let error = scripted.fail().await;
    let text = format!("{:#}", anyhow::Error::from(error));
    assert!(text.contains("0.136.0"), "{text}");
    assert!(
        text.contains("npm install -g @openai/codex@latest"),
        "{text}"
    );
}

#[tokio::test]
async fn a_program_that_hangs_when_asked_for_its_version_is_ended_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let program = format!(
        "sleep 1000 & echo $! > '{}'; while :; do sleep 1; done",
        pids.display()
    );
    let program = script(dir.path(), &program);
    let environment = config_in(dir.path()).inherited;
    let asked = binary::version(&program, &environment);
    let (error, sleeper) = tokio::join!(asked, number_in(&pids));
    assert!(
        matches!(error, Err(BinaryError::Unusable { .. })),
        "{error:?}"
    );
    let gone = async {
        while is_alive(sleeper) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("its end", gone).await;
}

#[tokio::test]
async fn a_child_that_never_accepts_is_ended_with_all_it_started() {
    let mut scripted = Scripted::new(
        r#"trap '' TERM; sleep 1000 & echo $! > grandchild; echo busy >&2; while :; do sleep 1; done"#,
    );
    scripted.config.deadlines.listen = Duration::from_secs(1);
    let error = scripted.fail().await;
    let StartError::NotListening { last_lines, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(last_lines, &["busy"]);
    assert_eq!(error.to_failure().kind, FailureKind::BackendTimeout);
    let grandchild = number_in(&scripted.config.cwd.join("grandchild")).await;
    assert!(!is_alive(grandchild));
    assert_eq!(scripted.run_files(), NOTHING);
}

#[tokio::test]
async fn a_socket_path_that_is_too_long_is_explained() {
    let mut scripted = Scripted::new("touch started");
    scripted.config.run_dir = scripted.dir.path().join("x".repeat(80));
    let error = scripted.fail().await;
    assert!(
        matches!(error, StartError::SocketPathTooLong(_)),
        "{error:?}"
    );
    assert_eq!(scripted.run_files(), NOTHING);
    assert!(!scripted.config.cwd.join("started").exists());
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing() {
    let scripted = Scripted::new("echo $$ > pid; while :; do sleep 1; done");
    let path = scripted.config.cwd.join("pid");
    tokio::select! {
        result = AppServer::start(&scripted.config, &scripted.spawner) => {
            panic!("{:?}", result.err());
        }
        _ = number_in(&path) => {}
    }
    let pid = number_in(&path).await;
    let gone = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of the child", gone).await;
    assert_eq!(scripted.run_files(), NOTHING);
}

// === Ends ===

#[tokio::test]
async fn a_killed_child_loses_its_turn_and_is_reported_with_its_signal() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let hold = stage.echo.hold("wait", Point::MidStream);
    let mut turn = thread.start_turn(text("wait"), &options("m-1"));
    until(&mut turn, |event| {
        matches!(event, TurnEvent::Recorded { .. })
    })
    .await;
    hold.reached().await;
    signal(server.snapshot().pid.unwrap(), "KILL");
    let (_, end) = finish(turn).await;
    assert!(
        matches!(
            &end,
            TurnEnd::Lost(Lost {
                reason: LostReason::Closed(_),
                turn_id: Some(_),
                ..
            })
        ),
        "{end:?}"
    );
    let report = within("the exit", server.exited()).await;
    assert_eq!((report.code, report.signal), (None, Some(9)));
    assert_eq!(server.snapshot().state, ChildState::Failed);
    assert_eq!(
        stage.run_files(),
        NOTHING,
        "nothing is left when it is seen"
    );
    hold.release();
}

#[tokio::test]
async fn the_real_socket_and_its_lock_are_removed_after_a_kill() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let link = stage.run_files();
    let link = link.iter().find(|name| name.ends_with(".sock")).unwrap();
    let target = fs::read_link(stage.config.run_dir.join(link)).unwrap();
    let lock = PathBuf::from(format!("{}.lock", target.display()));
    assert!(target.exists() && lock.exists());
    signal(server.snapshot().pid.unwrap(), "KILL");
    within("the exit", server.exited()).await;
    assert!(!target.exists() && !lock.exists());
}

#[tokio::test]
async fn a_stopped_process_is_deaf_and_can_be_killed() {
    let mut stage = Stage::new().await;
    stage.config.deadlines.liveness.ping_every = Duration::from_millis(200);
    stage.config.deadlines.liveness.deaf_after = Duration::from_secs(2);
    let server = stage.start().await;
    signal(server.snapshot().pid.unwrap(), "STOP");
    let reason = within("the verdict", server.client().closed()).await;
    assert!(matches!(reason, CloseReason::Deaf(_)), "{reason:?}");
    assert_eq!(server.snapshot().state, ChildState::Running);
    let report = within("the kill", server.kill()).await;
    assert_eq!(report.exit.unwrap().signal, Some(9));
    assert_eq!(stage.run_files(), NOTHING);
}

#[tokio::test]
async fn a_child_that_drains_for_ever_is_asked_a_second_time() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    stage.echo.once("hang", Fault::Silence);
    let mut turn = thread.start_turn(text("hang"), &options("m-1"));
    until(&mut turn, |event| {
        matches!(event, TurnEvent::Recorded { .. })
    })
    .await;
    drop(turn);
    let report = within("the stop", server.stop(Duration::from_millis(300))).await;
    assert_eq!(report.exit.unwrap().code, Some(0), "it left by itself");
    assert!(!report.was_forced);
    assert_eq!(stage.run_files(), NOTHING);
}

#[tokio::test]
async fn a_child_that_ignores_every_signal_is_gone_with_its_grandchild() {
    let mut scripted = Scripted::new(&format!(
        "trap '' TERM INT HUP\n(trap '' TERM; exec sleep 1000) & echo $! > grandchild\n{GREET}\n\
         while :; do sleep 1; done"
    ));
    scripted.config.transport = Transport::Stdio;
    let server = scripted.start().await.unwrap();
    let grandchild = number_in(&scripted.config.cwd.join("grandchild")).await;
    let report = within("the stop", server.stop(Duration::from_millis(200))).await;
    assert!(report.was_forced);
    assert_eq!(report.exit.unwrap().signal, Some(9));
    assert!(!is_alive(grandchild));
    assert_eq!(scripted.run_files(), NOTHING);
}

#[tokio::test]
async fn a_command_that_detached_itself_ends_with_its_child() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    stage.echo.once(
        "detach",
        Fault::Command("trap '' TERM; setsid sh -c 'trap \"\" TERM HUP; echo $$ > detached; exec sleep 1000' >/dev/null 2>&1 & while ! [ -s detached ]; do sleep 0.01; done"),
    );
    let (_, end) = finish(thread.start_turn(text("detach"), &options("m-1"))).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    let detached = number_in(&stage.config.cwd.join("detached")).await;
    assert!(is_alive(detached));
    signal(server.snapshot().pid.unwrap(), "KILL");
    let report = within("the exit", server.exited()).await;
    assert!(!is_alive(detached));
    assert!(report.leftovers >= 1, "{report:?}");
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let pid = server.snapshot().pid.unwrap();
    let client = server.client().clone();
    drop(server);
    assert_eq!(stage.run_files(), NOTHING);
    within("the end of the connection", client.closed()).await;
    let gone = async {
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of the child", gone).await;
}

#[tokio::test]
async fn an_old_end_is_no_news_of_the_next_start() {
    let stage = Stage::new().await;
    let old = stage.start().await;
    let exited = old.exited();
    signal(old.snapshot().pid.unwrap(), "KILL");
    let new = stage.start().await;
    within("the exit", exited).await;
    assert_eq!(old.snapshot().state, ChildState::Failed);
    assert_eq!(new.snapshot().state, ChildState::Running);
    assert_eq!(new.client().close_reason(), None);
    within("the stop", new.stop(DRAIN)).await;
}

#[tokio::test]
async fn an_external_server_is_used_and_left_alone() {
    let stage = Stage::new().await;
    let owner = stage.start().await;
    let files = stage.run_files();
    let socket = files.iter().find(|name| name.ends_with(".sock")).unwrap();
    let mut config = config_in(stage.dir.path());
    let endpoint = format!("unix://{}/{socket}", stage.config.run_dir.display());
    config.transport = endpoint.parse().unwrap();
    let guest = AppServer::start(&config, &stage.spawner).await.unwrap();
    assert_eq!(guest.snapshot().state, ChildState::External);
    assert_eq!(guest.snapshot().pid, None);
    let mut thread = stage.thread(&guest).await;
    let (_, end) = finish(thread.start_turn(text("hello"), &options("m-1"))).await;
    assert_eq!(end, answered("echo: hello"));
    let report = guest.stop(DRAIN).await;
    assert_eq!(report.snapshot.state, ChildState::Idle);
    assert_eq!(owner.snapshot().state, ChildState::Running);
    within("the stop", owner.stop(DRAIN)).await;
}

// === Pipes ===

#[tokio::test]
async fn codex_over_its_pipes_does_the_same() {
    let mut stage = Stage::new().await;
    stage.config.transport = Transport::Stdio;
    let mut server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let (events, end) = finish(thread.start_turn(text("hello"), &options("m-1"))).await;
    assert_eq!(end, answered("echo: hello"));
    let recorded = TurnEvent::Recorded {
        client_id: "m-1".to_owned(),
    };
    assert!(events.contains(&recorded), "{events:?}");
    assert!(matches!(
        server.reconnect().await,
        Err(StartError::PipesAreGone)
    ));
    let report = within("the stop", server.stop(DRAIN)).await;
    assert_eq!(report.exit.unwrap().code, Some(0));
    assert_eq!(stage.run_files(), NOTHING);
}

#[tokio::test]
async fn codex_over_its_pipes_is_found_deaf_too() {
    let mut stage = Stage::new().await;
    stage.config.transport = Transport::Stdio;
    stage.config.deadlines.liveness.ping_every = Duration::from_millis(200);
    stage.config.deadlines.liveness.deaf_after = Duration::from_secs(2);
    let server = stage.start().await;
    let pid = server.snapshot().pid.unwrap();
    // Pings are answered meanwhile.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(server.client().close_reason(), None);
    signal(pid, "STOP");
    let reason = within("the verdict", server.client().closed()).await;
    assert!(matches!(reason, CloseReason::Deaf(_)), "{reason:?}");
    within("the kill", server.kill()).await;
}

#[tokio::test]
async fn the_last_line_of_a_dying_child_is_taken_although_it_has_no_end() {
    let opened = json!({ "id": 2, "result": { "thread": { "id": "T", "status": { "type": "idle" } },
        "model": "m", "modelProvider": "p", "cwd": "/" } });
    let started = json!({ "id": 3, "result": { "turn": { "id": "1", "status": "inProgress" } } });
    let item = json!({ "type": "agentMessage", "id": "m", "text": "famous last words" });
    let last = json!({ "method": "turn/completed", "params": { "threadId": "T",
        "turn": { "id": "1", "status": "completed", "items": [item] } } });
    let mut scripted = Scripted::new(&format!(
        "{GREET}\nread -r a; printf '%s\\n' '{opened}'\nread -r a; printf '%s\\n' '{started}'\n\
         printf '%s' '{last}'; exit 3"
    ));
    scripted.config.transport = Transport::Stdio;
    let server = scripted.start().await.unwrap();
    let settings = Default::default();
    let client = server.client().clone();
    // The script relies on requests being numbered from 1 on.
    let thread = tieline::codex::Thread::start(&client, &settings).await;
    let mut thread = thread.unwrap();
    let (_, end) = finish(thread.start_turn(text("x"), &options("k"))).await;
    assert_eq!(end, answered("famous last words"));
    assert_eq!(within("the exit", server.exited()).await.code, Some(3));
}

#[tokio::test]
async fn output_is_logged_under_the_owner_s_name() {
    let mut scripted = Scripted::new(&format!(
        "printf '\\033[33mWARN\\033[0m first\\n' >&2\n{GREET}\nread -r more"
    ));
    scripted.config.owner = "flow-2".to_owned();
    scripted.config.transport = Transport::Stdio;
    let server = scripted.start().await.unwrap();
    within("the stop", server.stop(DRAIN)).await;
    let log = fs::read_to_string(scripted.config.log_dir.join("flow-2.stderr.log"));
    assert_eq!(log.unwrap(), "WARN first\n");
}
