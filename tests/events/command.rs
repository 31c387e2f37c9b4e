//! `tieline events`.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::Echo;

fn command(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
    command
        .args(["events", "--config"])
        .arg(world.path().join("tieline.toml"))
        .args(args)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Returns the exit code, what is said, and what is said aside.
async fn events(world: &World, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(world, args).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn events_are_lines_for_people_and_json_for_programs() {
    let mut world = World::new(Echo::new().start().await, &Choices::standard());
    world.start();
    let id = world.platform.write("a", "hello");
    world.platform.settled(&id).await;
    world.at_rest().await;

    let (code, lines, aside) = events(&world, &["-n", "1000"]).await;
    assert_eq!((code, aside.as_str()), (Some(0), ""));
    let found = |part: &str| lines.lines().any(|line| line.contains(part));
    assert!(
        found("info   test/term/a  a message came in and is next"),
        "{lines}"
    );
    assert!(
        found("info   test/term/a  a message was answered"),
        "{lines}"
    );
    assert!(found("info   daemon  tieline"), "{lines}");
    // A pipe is no terminal.
    assert!(!lines.contains('\u{1b}'), "{lines}");

    let (code, lines, aside) = events(&world, &["--after", "0", "-n", "2"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert_eq!(aside, "tieline: there are more: --after 2\n");

    let filtered = ["--type", "message", "--dispatcher", "test", "--json"];
    let (code, json, _) = events(&world, &filtered).await;
    assert_eq!(code, Some(0));
    let page: Page = serde_json::from_str(&json).unwrap();
    assert_eq!(
        kinds(&page.events),
        ["message.received", "message.answered"]
    );

    let (code, none, aside) = events(&world, &["--level", "error"]).await;
    assert_eq!((code, none.as_str()), (Some(0), ""));
    assert_eq!(aside, "tieline: no such events\n");

    world.stop_daemon().await;
    let (code, _, aside) = events(&world, &["-f"]).await;
    assert_eq!(code, Some(69), "{aside}");
}

/// `tieline events -f`, running.
struct Following {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    aside: Lines<BufReader<ChildStderr>>,
}

impl Following {
    fn start(world: &World) -> Self {
        let mut child = command(world, &["-f", "-n", "1000"]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let aside = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            _child: child,
            lines,
            aside,
        }
    }

    async fn until(&mut self, part: &str) -> Vec<String> {
        let mut read = Vec::new();
        let reached = async {
            loop {
                let line = self.lines.next_line().await.unwrap().unwrap();
                let is_it = line.contains(part);
                read.push(line);
                if is_it {
                    return;
                }
            }
        };
        within(part, reached).await;
        read
    }

    async fn aside(&mut self) -> String {
        let next = within("a word aside", self.aside.next_line()).await;
        next.unwrap().unwrap()
    }
}

#[tokio::test]
async fn following_goes_on_over_restarts_and_tells_each_event_once() {
    let mut world = World::new(Echo::new().start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    let mut following = Following::start(&world);
    let mut read = following.until("codex 0.").await;
    for round in 0..2 {
        let id = world.platform.write("a", &format!("round {round}"));
        world.platform.settled(&id).await;
        read.extend(following.until("a message was answered").await);
        if round == 0 {
            assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
            world.start();
        } else {
            world.kill_daemon().await;
            world.start();
        }
        let gone = following.aside().await;
        assert!(gone.contains("waiting for"), "{gone}");
        assert_eq!(following.aside().await, "tieline: connected again");
        world.ready(0).await;
    }
    read.extend(
        following
            .until("the run before did not end as it should")
            .await,
    );
    let count = |part: &str| read.iter().filter(|line| line.contains(part)).count();
    assert_eq!(count("a message was answered"), 2, "{read:#?}");
    assert_eq!(count(" runs"), 3, "{read:#?}");
    assert_eq!(count("the daemon has stopped"), 1, "{read:#?}");
}
