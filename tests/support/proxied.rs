//! A daemon whose connection to the real app-server goes through a proxy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tieline::demo::model::provider_args;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::codex::codex_bin;
use super::daemon::{Choices, World};
use super::model::{Echo, within};
use super::proxy::Proxy;

/// A world with a running daemon, and the proxy on its way to the app-server.
pub(crate) struct Proxied {
    pub(crate) world: World,
    pub(crate) proxy: Proxy,
    dir: TempDir,
    pid: Pid,
    /// The app-server, when the daemon has not started it.
    outside: Option<Child>,
}

impl Proxied {
    /// The app-server is the daemon's own child.
    ///
    /// What the daemon starts makes the socket it is told to make a way to the proxy, and then
    /// becomes codex on another one.
    pub(crate) async fn child(echo: &Echo, mut choices: Choices) -> Self {
        let dir = directory();
        let proxy = Proxy::listen(&dir.path().join("proxy"), &dir.path().join("codex"));
        let bin = dir.path().join("start-codex");
        let script = format!(
            "#!/bin/sh\n\
             [ \"$1\" = app-server ] || exec '{codex}' \"$@\"\n\
             ln -s '{dir}/proxy' \"${{3#unix://}}\"\n\
             shift 3\n\
             exec '{codex}' app-server --listen 'unix://{dir}/codex' \"$@\"\n",
            codex = codex_bin().display(),
            dir = dir.path().display(),
        );
        fs::write(&bin, script).unwrap();
        fs::set_permissions(&bin, fs::Permissions::from_mode(0o755)).unwrap();
        choices.bin = Some(bin);
        let mut world = World::new(echo.start().await, &choices);
        world.start();
        // A child that cannot be greeted at its start is replaced, so nothing is broken before.
        world.ready(0).await;
        let pid = world.app_server().expect("it is connected");
        Self {
            world,
            proxy,
            dir,
            pid,
            outside: None,
        }
    }

    /// The app-server is run by somebody else.
    pub(crate) async fn outside(echo: &Echo, mut choices: Choices) -> Self {
        let dir = directory();
        let socket = dir.path().join("codex");
        let proxy = Proxy::listen(&dir.path().join("proxy"), &socket);
        choices.transport = Some(format!("unix://{}/proxy", dir.path().display()));
        let mut world = World::new(echo.start().await, &choices);
        let child = Command::new(codex_bin())
            .args(["app-server", "--listen"])
            .arg(format!("unix://{}", socket.display()))
            .args(provider_args(&world.model.base_url()))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", world.path())
            .env("CODEX_HOME", world.home())
            .env("RUST_LOG", "off")
            .current_dir(world.path().join("work"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        within("the app-server to listen", listening(&socket)).await;
        world.start();
        world.ready(0).await;
        Self {
            world,
            proxy,
            dir,
            pid,
            outside: Some(child),
        }
    }

    /// Breaks the connection and waits for the next.
    pub(crate) async fn break_connection(&self) {
        let so_far = self.proxy.connections();
        self.proxy.break_now();
        self.proxy.connected_again(so_far).await;
    }

    /// Kills the app-server, the daemon's own child, and waits for the next.
    pub(crate) async fn kill_app_server(&mut self) {
        let killed = self.world.signal_app_server(Signal::KILL);
        assert_eq!(killed, Some(self.pid));
        self.pid = self.world.next_app_server(killed).await;
    }

    /// Ends everything, and fails if the app-server did not outlive all that happened.
    pub(crate) async fn finish(mut self) {
        let log = self.world.log();
        assert_eq!(
            self.world.app_server(),
            Some(self.pid),
            "not the app-server of before:\n{log}"
        );
        assert_eq!(self.world.stop_daemon().await, Some(0), "{log}");
        if let Some(outside) = &mut self.outside {
            assert_eq!(self.world.app_server(), Some(self.pid), "ended by a guest");
            kill_process(self.pid, Signal::TERM).unwrap();
            within("the app-server's end", outside.wait())
                .await
                .unwrap();
        }
        remove_socket(self.dir.path());
        self.world.finish().await;
    }
}

fn directory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("tl-").tempdir_in("/tmp").unwrap()
}

/// Removes what a killed app-server leaves of its real socket.
fn remove_socket(dir: &Path) {
    if let Ok(target) = fs::read_link(dir.join("codex")) {
        let lock = PathBuf::from(format!("{}.lock", target.display()));
        for file in [target, lock] {
            // It has gone by itself when the app-server ended well.
            let _gone = fs::remove_file(file);
        }
    }
}

async fn listening(socket: &Path) {
    while UnixStream::connect(socket).await.is_err() {
        // Nothing tells that it listens but trying.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
