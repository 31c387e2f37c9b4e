//! Work that a model hands to teammates is done, and what comes of it is brought to the model once.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod broken;
mod flow;
mod many;
mod ordered;
mod stop;
mod storm;

use tieline::control::{Client, FurtherTask};
use tieline::ledger::TEAMMATE_PREFIX;

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault, completions_told};

/// The first tool call of a turn whose text has `key`.
fn will_call(echo: &Echo, key: &str, tool: &'static str, arguments: serde_json::Value) {
    echo.once(key, Fault::Call(tool, arguments.to_string().leak()));
}

/// The model hands `task` to a new teammate when a person writes `key`.
fn will_spawn(echo: &Echo, key: &str, name: &str, task: &str) {
    let arguments = serde_json::json!({"name": name, "task": task});
    will_call(echo, key, "spawn_teammate", arguments);
}

async fn running(echo: &Echo, choices: &Choices) -> World {
    let mut world = World::new(echo.start().await, choices);
    world.start();
    world
}

/// Has the model spawn a teammate by a message of chat `a`, and waits for its answer to that.
async fn spawn(world: &mut World, echo: &Echo, name: &str, task: &str) {
    let text = format!("hand out to {name}.");
    will_spawn(echo, &text, name, task);
    let id = world.platform.write("a", &text);
    let settling = world.platform.settled(&id).await;
    assert!(settling[0].text.contains("started"), "{settling:#?}");
}

/// The name of a teammate's result.
fn result(name: &str, number: u32) -> String {
    format!("{TEAMMATE_PREFIX}{name}#{number}")
}

/// Waits until a chat has been told of a result.
async fn heard_of(world: &World, name: &str, number: u32) {
    world.platform.posted(&result(name, number)).await;
}

/// Fails unless each of these results, and nothing else, is in the history of some thread once.
fn assert_told_once(world: &World, results: impl IntoIterator<Item = String>) {
    let told = completions_told(&world.model);
    let expected = results.into_iter().map(|name| (name, 1)).collect();
    assert_eq!(told, expected, "{}", world.log());
}

/// Returns what the history of the latest request about `text` has of developer messages.
fn instructions_of(world: &World, text: &str) -> String {
    let requests = world.model.requests();
    let request = requests
        .iter()
        .rev()
        .find(|request| request.last_user_text().is_some_and(|it| it.contains(text)))
        .unwrap();
    request.developer_texts().join("\n")
}

/// Gives the teammate `worker` a further task, as a person does.
async fn assign(client: &Client, task: &str) {
    let task = FurtherTask {
        task: task.to_owned(),
        lane: None,
    };
    client.assign("test", "worker", &task).await.unwrap();
}

/// Makes the workspace of a world a repository with a commit.
fn make_repository(world: &World) {
    git(world, &["init", "-q", "-b", "main"]);
    std::fs::write(world.path().join("work/a.txt"), "content").unwrap();
    git(world, &["add", "."]);
    git(world, &["commit", "-q", "-m", "first"]);
}

/// Runs git in the workspace of a world.
fn git(world: &World, arguments: &[&str]) -> String {
    let work = world.path().join("work");
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(&work)
        .env("HOME", &work)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns how many requests have `text` as what was asked last.
fn told_of(world: &World, text: &str) -> usize {
    let requests = world.model.requests();
    requests
        .iter()
        .filter(|request| request.last_user_text().is_some_and(|it| it.contains(text)))
        .count()
}
