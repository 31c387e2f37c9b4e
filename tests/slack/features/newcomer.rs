//! From nothing to the first answer, by the words of the README.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, within};
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, MockSlack, Options, Post};

/// Runs a line of the README in the directory where Codex is to work, and returns what it says; it
/// must succeed, and show no token.
async fn run(world: &World, line: &str, input: &str) -> String {
    let arguments = line.strip_prefix("tieline ").expect("a command of ours");
    let mut child = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(arguments.split(' '))
        .current_dir(world.path().join("work"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", world.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = within(line, child.wait_with_output()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{line}: {said}\n{complained}");
    for secret in [APP_TOKEN, BOT_TOKEN] {
        assert!(!said.contains(secret) && !complained.contains(secret));
    }
    said
}

/// Returns the part of the manifest that is a list of this name.
fn listed(manifest: &str, name: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|it| it.trim() != name).skip(1);
    let items = lines.map_while(|it| it.trim().strip_prefix("- "));
    items.map(str::to_owned).collect()
}

fn code_in(post: &Post) -> String {
    let text = post.visible();
    let (_, rest) = text.split_once("`tieline pair ").expect("a command");
    rest.split_once('`').expect("a code").0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_leads_from_nothing_to_answers() {
    let readme = include_str!("../../../README.md");
    let slack = MockSlack::start(Options::default().hasty()).await;
    let mut world = World::new(Echo::new().start().await, &Choices::standard());

    let line = "tieline init slack";
    assert!(readme.contains(line));
    run(&world, line, "").await;
    let manifest = fs::read_to_string(world.path().join("work/slack-app-manifest.yaml")).unwrap();
    assert_eq!(listed(&manifest, "bot:"), Options::default().scopes);

    // What a test must change: which Slack, which Codex, and where its state is.
    let path = world.path().join(".config/tieline/tieline.toml");
    let ours = fs::read_to_string(world.path().join("tieline.toml")).unwrap();
    let (surroundings, _) = ours.split_once("[channels.term]").unwrap();
    let theirs = fs::read_to_string(&path).unwrap().replace(
        "kind = \"slack\"\n",
        &format!("kind = \"slack\"\napi_url = {:?}\n", slack.api_url()),
    );
    let config = format!("{surroundings}\n{theirs}");
    fs::write(&path, &config).unwrap();
    fs::write(world.path().join("tieline.toml"), &config).unwrap();

    let line = "tieline init slack --tokens";
    assert!(readme.contains(line));
    let said = run(&world, line, &format!("{APP_TOKEN}\n{BOT_TOKEN}\n")).await;
    assert!(said.contains("Kept the tokens"), "{said}");
    let said = run(&world, "tieline check", "").await;
    assert!(said.contains("@coding-agent"), "{said}");

    world.start();
    world.ready(0).await;
    slack.wait_for_connections(1).await;
    let mei = slack.person("Mei");
    let direct = slack.direct(&mei);
    slack.say(&mei, &direct, "hello");
    let is_code = |post: &Post| post.visible().contains("`tieline pair ");
    let code = code_in(&slack.wait_for_post("a code", is_code).await);
    run(&world, &format!("tieline pair {code}"), "").await;
    slack.say(&mei, &direct, "hello again");
    let is_answer = |post: &Post| post.visible() == "echo: hello again";
    slack.wait_for_post("an answer", is_answer).await;

    // In a channel.
    assert!(readme.contains("start tieline again, and mention it"));
    let ops = slack.public("ops");
    let chats = format!("chats = [\"slack:{ops}\"]");
    let config = config.replace("chats = []", &chats);
    fs::write(world.path().join("tieline.toml"), config).unwrap();
    world.stop_daemon().await;
    world.start();
    world.ready(0).await;
    let asked = slack.ask(&mei, &ops, "and here?");
    slack.all_answered(&[asked]).await;
    let status = run(&world, "tieline status", "").await;
    assert!(status.contains("2 answered"), "{status}");
    run(&world, "tieline messages", "").await;
    world.finish().await;
    slack.finish();
}
