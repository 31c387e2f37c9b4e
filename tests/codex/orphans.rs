//! What is left of a daemon that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pretty_assertions::assert_eq;
use tieline::codex::{AppServer, Spawner, Thread, TurnEnd, reap_orphans};
use tieline::demo::model::provider_config;

use super::stage::{Stage, answered, config_in, finish, options, text};
use crate::support::codex::codex_bin;
use crate::support::model::{Fault, within};

/// Makes this test binary act as a daemon.
const DIRECTORY: &str = "TIELINE_TEST_DAEMON_DIRECTORY";
const MODEL: &str = "TIELINE_TEST_DAEMON_MODEL";

/// A daemon in a process of its own, so that it can be killed.
struct Daemon(Child);

impl Daemon {
    fn start(dir: &Path, model: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "codex::orphans::daemon", "--nocapture"])
            .env(DIRECTORY, dir)
            .env(MODEL, model)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Not a test by itself: what [`Daemon`] runs.
#[tokio::test]
async fn daemon() {
    let (Some(dir), Some(model)) = (std::env::var_os(DIRECTORY), std::env::var_os(MODEL)) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let mut config = config_in(&dir);
    config.bin = Some(codex_bin().to_owned());
    config.config = provider_config(model.to_str().unwrap());
    for setting in [
        "sandbox_mode=\"danger-full-access\"",
        "approval_policy=\"never\"",
    ] {
        config.config.push(setting.to_owned());
    }
    let spawner = Spawner::new().unwrap();
    let server = AppServer::start(&config, &spawner).await.unwrap();
    let settings = Default::default();
    let mut thread = Thread::start(server.client(), &settings).await.unwrap();
    let (_, end) = finish(thread.start_turn(text("detach"), &options("m-1"))).await;
    assert!(matches!(end, TurnEnd::Completed { .. }));
    let facts = format!(
        "{}\n{}\n",
        server.snapshot().pid.unwrap(),
        thread.id().as_str()
    );
    fs::write(dir.join("facts.tmp"), facts).unwrap();
    fs::rename(dir.join("facts.tmp"), dir.join("facts")).unwrap();
    std::future::pending::<()>().await;
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let poll = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, poll).await;
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

#[tokio::test]
async fn a_killed_daemon_takes_its_child_along_and_the_next_one_finds_the_rest() {
    let stage = Stage::new().await;
    let dir = stage.dir.path();
    let detach = "(trap '' TERM HUP; exec setsid sh -c 'echo $$ > detached.tmp; \
        mv detached.tmp detached; exec sleep 1000') >/dev/null 2>&1 & \
        while ! [ -s detached ]; do sleep 0.01; done";
    stage.echo.once("detach", Fault::Command(detach));
    let daemon = Daemon::start(dir, &stage.model.base_url());
    wait_until("the daemon", || dir.join("facts").exists()).await;
    let facts = fs::read_to_string(dir.join("facts")).unwrap();
    let (child, thread) = facts.trim().split_once('\n').unwrap();
    let detached = fs::read_to_string(dir.join("work/detached")).unwrap();
    let detached = detached.trim();
    assert!(is_alive(child) && is_alive(detached));
    assert_eq!(
        reap_orphans(&stage.config.run_dir).unwrap(),
        [],
        "its daemon lives"
    );
    assert!(is_alive(child) && is_alive(detached));
    let link = stage.run_files();
    let link = link.iter().find(|name| name.ends_with(".sock")).unwrap();
    let target = fs::read_link(stage.config.run_dir.join(link)).unwrap();

    daemon.kill();
    wait_until("the parent-death signal", || !is_alive(child)).await;
    assert!(is_alive(detached), "no signal reaches it");
    assert!(target.exists(), "nobody has cleaned up yet");

    let orphans = reap_orphans(&stage.config.run_dir).unwrap();
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].owner, "flow");
    assert!(orphans[0].killed >= 1);
    wait_until("the detached command", || !is_alive(detached)).await;
    assert!(!target.exists());
    assert_eq!(stage.run_files(), Vec::<String>::new());

    // Nobody holds the thread any more.
    let server = stage.start().await;
    let id = tieline::id::ThreadId::new(thread);
    let mut thread = Thread::resume(server.client(), &id, &stage.settings())
        .await
        .unwrap();
    let (_, end) = finish(thread.start_turn(text("again"), &options("m-2"))).await;
    assert_eq!(end, answered("echo: again"));
    within("the stop", server.stop(Duration::from_secs(30))).await;
}
