//! What tieline tells the model can be replaced by files.

use std::fs;

use rustix::process::Signal;
use tieline::control::{Client, CompletionReport};
use tieline::ledger::CompletionStatus;

use super::*;

/// Starts a daemon with prompts of the operator, which lie beside its configuration.
async fn prompted(prompts: &[(&str, &str)]) -> World {
    let choices = Choices::standard().with("prompts = \"own\"\ninstructions = \"Be brief.\"");
    let mut world = World::new(Echo::new().start().await, &choices);
    let directory = world.path().join("own");
    fs::create_dir(&directory).unwrap();
    for (name, text) in prompts {
        fs::write(directory.join(name), text).unwrap();
    }
    world.start();
    world
}

#[tokio::test]
async fn a_file_replaces_what_the_model_is_told_and_instructions_still_follow() {
    let own = [
        ("dispatcher.md", "You are a teapot.\n"),
        ("teammates.md", "Ask the kettle.\n"),
        ("answer-final.md", "Whistle.\n"),
    ];
    let mut world = prompted(&own).await;
    let id = world.platform.write("a", "hello");
    world.platform.settled(&id).await;
    let request = world.model.requests().remove(0);
    let texts = request.developer_texts();
    assert!(
        texts.contains(&"You are a teapot.\n\nAsk the kettle.\n\nWhistle.\n\nBe brief."),
        "{texts:?}"
    );
    assert!(!texts.concat().contains("behind a chat bot"), "{texts:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_file_replaces_what_is_said_of_a_lost_thread() {
    let mut world = prompted(&[("thread-lost.md", "All <gone>.\n")]).await;
    let id = world.platform.write("a", "before");
    world.platform.settled(&id).await;
    // The others are as they were.
    let request = world.model.requests().remove(0);
    let texts = request.developer_texts().concat();
    assert!(texts.contains("behind a chat bot"), "{texts}");
    assert_eq!(world.stop_daemon().await, Some(0));
    fs::remove_dir_all(world.home()).unwrap();
    fs::create_dir(world.home()).unwrap();
    world.start();
    let id = world.platform.write("a", "after");
    world.platform.settled(&id).await;
    let request = world.model.requests().pop().unwrap();
    let texts = request.user_texts().concat();
    let notice = "<notice source=\"tieline\" kind=\"thread-lost\">All &lt;gone&gt;.</notice>";
    assert!(texts.contains(notice), "{texts}");
    world.finish().await;
}

#[tokio::test]
async fn files_replace_what_is_said_of_a_restart_and_of_results() {
    let prompts = [
        ("restarted.md", "Born again.\n"),
        ("trigger.md", "Look & see.\n"),
    ];
    let mut world = prompted(&prompts).await;
    let id = world.platform.write("a", "before");
    world.platform.settled(&id).await;
    let report = CompletionReport {
        id: "build-1".to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: "green".to_owned(),
        lane: None,
    };
    let client = Client::new(&world.path().join("state/control.sock"));
    client.complete("test", &report).await.unwrap();
    world.platform.posted("heard of: build-1").await;
    let request = world.model.requests().pop().unwrap();
    let trigger = request.last_user_text().unwrap();
    assert!(
        trigger.starts_with("<trigger ") && trigger.ends_with(">\nLook & see.\n</trigger>"),
        "{trigger}"
    );
    let killed = world.signal_app_server(Signal::KILL);
    world.next_app_server(killed).await;
    world.ready(1).await;
    world
        .until_rollout_has("kind=\\\"restarted\\\">Born again.</notice>")
        .await;
    world.finish().await;
}
