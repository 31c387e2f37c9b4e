//! Each dispatcher has a child of its own, and what that child is given.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::*;
use crate::support::model::{Point, times_told, within};
use crate::support::platform::Platform;
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, Sighting, To};

const SECOND: &str = "\
[channels.other]
kind = \"console\"

[dispatchers.second]
workspace = \"~/work\"
channels = [\"other\"]
sandbox = \"read-only\"
restart = { base = \"20ms\", max = \"100ms\" }
";

/// An app-server of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    pid: Pid,
    socket: PathBuf,
}

#[tokio::test]
async fn two_dispatchers_have_two_children_and_one_dies_without_the_other() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    SECOND.clone_into(&mut choices.tables);
    let mut world = running(&echo, &choices).await;
    let mut other = Platform::new(&world.path().join("state/console-other.sock"));
    world.ready(0).await;
    let before = servers(&world);
    let names: Vec<&str> = before.keys().map(String::as_str).collect();
    assert_eq!(names, ["second", "test"]);
    assert_ne!(before["second"].pid, before["test"].pid);
    assert_ne!(before["second"].socket, before["test"].socket);

    let hold = echo.hold("long work", Point::MidStream);
    let long = other.write("b", "long work");
    hold.reached().await;
    let cut = world.platform.write("a", "one");
    world.platform.settled(&cut).await;
    kill_process(before["test"].pid, Signal::KILL).unwrap();
    let replaced = within("another child", async {
        loop {
            match servers(&world).remove("test") {
                Some(server) if server.pid != before["test"].pid => return server,
                _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    });
    assert_ne!(replaced.await.socket, before["test"].socket);
    let again = world.platform.write("a", "two");
    assert_eq!(world.platform.settled(&again).await[0].text, "echo: two");
    assert_eq!(servers(&world)["second"], before["second"]);
    hold.release();
    assert_eq!(other.settled(&long).await[0].text, "echo: long work");
    assert_eq!(times_told(&world.model, "long work"), 1);

    for tally in [world.platform.tally(), other.tally()] {
        tally.assert_exactly_once();
    }
    // What each said is in files of its own.
    let logs: Vec<String> = files(&world.path().join("state/logs"))
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        logs,
        ["second.stderr.log", "test.stderr.log", "tieline.log"]
    );
    drop(other);
    world.finish().await;
}

#[tokio::test]
async fn each_start_has_another_socket_that_is_private_and_stands_in_no_file() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let mut seen: Vec<PathBuf> = Vec::new();
    world.ready(0).await;
    for round in 0..3 {
        let id = world.platform.write("a", &format!("round {round}"));
        world.platform.settled(&id).await;
        let socket = servers(&world).remove("test").unwrap().socket;
        assert!(!seen.contains(&socket), "{seen:?}");
        assert_eq!(mode(socket.parent().unwrap()), 0o700);
        // Codex puts the real one elsewhere and a link in its place.
        let real = fs::canonicalize(&socket).unwrap();
        assert!(fs::metadata(&real).unwrap().file_type().is_socket());
        assert_eq!(mode(&real), 0o600);
        assert_eq!(mode(real.parent().unwrap()), 0o700);
        seen.push(socket);
        assert_in_no_file(&world, &seen);
        // A new child of the same daemon, and then of a new one.
        if round == 0 {
            let killed = world.signal_app_server(Signal::KILL);
            world.next_app_server(killed).await;
            world.ready(1).await;
        } else {
            assert_eq!(world.stop_daemon().await, Some(0));
            assert_in_no_file(&world, &seen);
            world.start();
            world.ready(0).await;
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn without_a_model_in_the_configuration_none_is_asked_for() {
    let (opened, asked) = models_of(Choices::standard()).await;
    for frame in &opened {
        assert_eq!(frame["params"].get("model"), None, "{frame}");
    }
    // The one in codex's own configuration.
    assert_eq!(asked, ["tieline-demo", "tieline-demo"]);
}

#[tokio::test]
async fn a_model_in_the_configuration_is_asked_for_at_start_and_at_resume() {
    let choices = Choices::standard().with("model = \"quite-another\"");
    let (opened, asked) = models_of(choices).await;
    for frame in &opened {
        assert_eq!(frame["params"]["model"], "quite-another", "{frame}");
    }
    assert_eq!(asked, ["quite-another", "quite-another"]);
}

#[tokio::test]
async fn mcp_servers_are_given_at_start_and_at_resume() {
    let choices = Choices::standard()
        .with("mcp_servers.files = { command = \"false\", args = [\"--read-only\"] }");
    let (opened, _) = models_of(choices).await;
    let given = json!({ "files": { "command": "false", "args": ["--read-only"] } });
    for frame in &opened {
        assert_eq!(frame["params"]["config"]["mcp_servers"], given, "{frame}");
    }
}

/// Has a conversation over a restart of the daemon, and returns how its thread was opened each
/// time, and which models were asked.
async fn models_of(choices: Choices) -> ([Value; 2], Vec<String>) {
    let echo = Echo::new();
    let mut proxied = Proxied::outside(&echo, choices).await;
    let watch = |proxied: &Proxied, method: &str| {
        let method = format!("\"method\":\"{method}\"");
        proxied.proxy.at_frame(To::Server, &method, Mishap::None)
    };
    let mut started = watch(&proxied, "thread/start");
    let one = proxied.world.platform.write("a", "one");
    proxied.world.platform.settled(&one).await;
    assert_eq!(proxied.world.stop_daemon().await, Some(0));
    let mut resumed = watch(&proxied, "thread/resume");
    proxied.world.start();
    let two = proxied.world.platform.write("a", "two");
    proxied.world.platform.settled(&two).await;
    let opened = [frame(&mut started).await, frame(&mut resumed).await];
    let requests = proxied.world.model.requests();
    let asked = requests
        .iter()
        .map(|request| request.model().unwrap_or_default().to_owned())
        .collect();
    proxied.finish().await;
    (opened, asked)
}

async fn frame(sighting: &mut Sighting) -> Value {
    serde_json::from_str(&sighting.seen().await).unwrap()
}

/// Returns the app-servers of a world by the dispatcher they were started for.
fn servers(world: &World) -> BTreeMap<String, Server> {
    let mut servers = BTreeMap::new();
    for pid in world.codex_pids() {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
            let content = fs::read(path).unwrap_or_default();
            let parts = content.split(|byte| *byte == 0);
            parts
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect::<Vec<_>>()
        };
        let socket = read("cmdline")
            .iter()
            .find_map(|argument| argument.strip_prefix("unix://").map(PathBuf::from));
        let environment = read("environ");
        let dispatcher = environment
            .iter()
            .find_map(|variable| variable.strip_prefix("TIELINE_DISPATCHER="));
        if let (Some(socket), Some(dispatcher)) = (socket, dispatcher) {
            let other = servers.insert(dispatcher.to_owned(), Server { pid, socket });
            assert_eq!(other, None, "two children of {dispatcher}");
        }
    }
    servers
}

fn assert_in_no_file(world: &World, sockets: &[PathBuf]) {
    let places = files(&world.path().join("state"));
    // The log tells of one that could not be reached.
    for place in places.iter().filter(|it| !it.ends_with("tieline.log")) {
        let content = fs::read(place).unwrap_or_default();
        for socket in sockets {
            let name = socket.file_name().unwrap().as_encoded_bytes();
            let stands_there = content.windows(name.len()).any(|at| at == name);
            assert!(
                !stands_there,
                "{} names {}",
                place.display(),
                socket.display()
            );
        }
    }
}

/// Returns the regular files below a directory, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
