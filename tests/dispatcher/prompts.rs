//! What tieline tells the model can be replaced by files.

use std::fs;

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
    let mut world = prompted(&[("dispatcher.md", "You are a teapot.\n")]).await;
    let id = world.platform.write("a", "hello");
    world.platform.settled(&id).await;
    let request = world.model.requests().remove(0);
    let texts = request.developer_texts();
    assert!(
        texts.contains(&"You are a teapot.\n\nBe brief."),
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
