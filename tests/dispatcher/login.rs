//! Codex cannot sign in: that is said once, nothing is lost by it, and it is over when somebody has
//! mended it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tieline::demo::model::provider_config;

use super::*;
use crate::support::model::{Fault, within};
use crate::support::platform::Posted;

const REFUSED: Fault = Fault::Status(401, "{\"error\":{\"message\":\"token expired\"}}", None);

/// Every message of these tests has it.
const TEXT: &str = "please";

fn notices(world: &World, chat: &str) -> Vec<Posted> {
    let mut posts = world.platform.posts(chat);
    posts.retain(|post| post.kind == "notice");
    posts
}

/// Waits until a chat was told of the trouble.
async fn told(world: &World, chat: &str, what: &str) {
    let told = async {
        while !notices(world, chat).iter().any(|it| it.text.contains(what)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within("the notice", told).await;
}

/// Fails when a chat was told anything but once of the trouble and once of its end.
fn assert_told_once(world: &World, chat: &str, what: &str) {
    let texts: Vec<String> = notices(world, chat).into_iter().map(|it| it.text).collect();
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(texts[0].contains(what), "{texts:#?}");
    assert!(texts[0].contains("Your message is kept"), "{texts:#?}");
    assert!(texts[1].contains("signed in again"), "{texts:#?}");
}

/// Returns how often the model was shown a message in the latest request that has it.
fn shown(world: &World, text: &str) -> usize {
    let requests = world.model.requests();
    let latest = requests.iter().rev().find_map(|request| {
        let all = Value::from(request.items().to_vec()).to_string();
        all.contains(text).then_some(all)
    });
    latest.unwrap_or_default().matches(text).count()
}

#[tokio::test]
async fn messages_are_kept_while_the_model_refuses_the_login_and_answered_when_it_does_not() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.always(TEXT, REFUSED);
    let first = world.platform.write("a", "one please");
    told(&world, "a", "codex login").await;
    let second = world.platform.write("a", "two please");
    let other = world.platform.write("b", "three please");
    told(&world, "b", "codex login").await;
    world.platform.acked(&second).await;

    let problem = world.status().await.dispatchers[0].login_problem.clone();
    let problem = problem.expect("the status does not tell");
    assert_eq!(problem.kind, "provider-auth-failed");
    assert!(problem.message.contains("401"), "{problem:?}");
    assert!(problem.remedy.contains("model provider"), "{problem:?}");

    echo.forget_rules();
    for (id, text) in [(&first, "one"), (&second, "two"), (&other, "three")] {
        let posts = world.platform.settled(id).await;
        assert_eq!(posts[0].text, format!("echo: {text} please"));
        assert_eq!(posts[0].kind, "answer");
    }
    world.at_rest().await;
    for chat in ["a", "b"] {
        assert_told_once(&world, chat, "cannot sign in");
    }
    assert_eq!(world.status().await.dispatchers[0].login_problem, None);
    for text in ["one please", "three please"] {
        // Once as it was asked, once in the echo if that is in the history by then.
        assert_eq!(shown(&world, &format!("\\n{text}\\n")), 1, "{text}");
    }
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn trouble_with_the_login_outlives_the_daemon_and_is_told_no_second_time() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.always(TEXT, REFUSED);
    let first = world.platform.write("a", "one please");
    told(&world, "a", "codex login").await;

    assert_eq!(world.stop_daemon().await, Some(0));
    world.start();
    let second = world.platform.write("a", "two please");
    world.platform.acked(&second).await;
    let other = world.platform.write("b", "three please");
    told(&world, "b", "codex login").await;

    world.kill_daemon().await;
    world.start();
    world.ready(0).await;
    let problem = async {
        while world.status().await.dispatchers[0].login_problem.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within("the status", problem).await;

    echo.forget_rules();
    for id in [&first, &second, &other] {
        assert_eq!(world.platform.settled(id).await[0].kind, "answer");
    }
    world.at_rest().await;
    for chat in ["a", "b"] {
        assert_told_once(&world, chat, "cannot sign in");
    }
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn a_shared_lane_keeps_the_messages_of_all_chats_in_their_order() {
    let echo = Echo::new();
    let choices = Choices {
        dispatcher: "sessions = \"shared\"\nrestart = { base = \"20ms\", max = \"100ms\" }\n"
            .into(),
        ..Choices::standard()
    };
    let mut world = running(&echo, &choices).await;
    echo.always(TEXT, REFUSED);
    let mut ids = Vec::new();
    for (chat, text) in [
        ("a", "one please"),
        ("b", "two please"),
        ("a", "three please"),
    ] {
        let id = world.platform.write(chat, text);
        told(&world, chat, "codex login").await;
        world.platform.acked(&id).await;
        ids.push(id);
    }
    echo.forget_rules();
    for id in &ids {
        assert_eq!(world.platform.settled(id).await[0].kind, "answer");
    }
    world.at_rest().await;
    for chat in ["a", "b"] {
        assert_told_once(&world, chat, "cannot sign in");
    }
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn a_key_that_is_not_set_keeps_messages_until_it_is() {
    let echo = Echo::new();
    let codex = "[dispatchers.test.codex]\nconfig = [\n".to_owned();
    let model = echo.start().await;
    let mut settings = provider_config(&model.base_url());
    let name = settings[1].split('"').nth(1).unwrap().to_owned();
    settings.push(format!("model_providers.{name}.env_key=\"WORLD_API_KEY\""));
    let settings: Vec<String> = settings.iter().map(|it| format!("{it:?}")).collect();
    let mut choices = Choices::standard();
    choices.tables = format!("{codex}{}\n]\n", settings.join(", "));
    let mut world = World::new(model, &choices);
    world.start();
    let first = world.platform.write("a", "one please");
    told(&world, "a", "no credential").await;
    let problem = world.status().await.dispatchers[0].login_problem.clone();
    let problem = problem.expect("the status does not tell");
    assert_eq!(problem.kind, "secret-unavailable");
    assert!(problem.remedy.contains("set WORLD_API_KEY"), "{problem:?}");
    let second = world.platform.write("b", "two please");
    told(&world, "b", "no credential").await;

    assert_eq!(world.stop_daemon().await, Some(0));
    world.set_environment("WORLD_API_KEY", "world-key-that-works");
    world.start();
    for id in [&first, &second] {
        assert_eq!(world.platform.settled(id).await[0].kind, "answer");
    }
    world.at_rest().await;
    for chat in ["a", "b"] {
        assert_told_once(&world, chat, "no credential");
    }
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn a_home_without_a_login_keeps_messages_until_there_is_one_and_needs_no_restart() {
    let echo = Echo::new();
    let model = echo.start().await;
    let mended = provider_config(&model.base_url()).join("\n");
    let mut choices = Choices::standard();
    choices.tables = "[dispatchers.test.codex]\nconfig = []\n".to_owned();
    let mut world = World::new(model, &choices);
    world.start();
    let id = world.platform.write("a", "one please");
    told(&world, "a", "codex login").await;
    let status = world.status().await;
    let problem = status.dispatchers[0].login_problem.clone();
    let problem = problem.expect("the status does not tell");
    let command = format!("CODEX_HOME={} codex login", world.home().display());
    assert!(problem.remedy.contains(&command), "{problem:?}");
    // A provider that needs none is as good as a login.
    let config = world.home().join("config.toml");
    fs::write(&config, mended).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o600)).unwrap();
    let posts = world.platform.settled(&id).await;
    assert_eq!(posts[0].text, "echo: one please");
    world.at_rest().await;
    assert_told_once(&world, "a", "cannot sign in");
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn a_message_that_the_model_forbids_holds_up_nothing() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.always("one please", REFUSED);
    let id = world.platform.write("a", "one please");
    told(&world, "a", "codex login").await;
    // What the model does not like at all is not the login's fault.
    echo.always("forbid", Fault::Status(403, "{}", None));
    let forbidden = world.platform.write("b", "forbid this");
    assert_eq!(world.platform.settled(&forbidden).await[0].kind, "failure");
    echo.forget_rules();
    assert_eq!(world.platform.settled(&id).await[0].kind, "answer");
    world.finish().await;
}
