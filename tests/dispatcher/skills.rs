//! The skills that the model is given: those of the operator, and tieline's own.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::json;

use super::*;
use crate::support::fake_app_server::{FakeAppServer, Peer};
use crate::support::model::{Fault, within};

/// The operator's directory of skills, beside the configuration.
const OWN: &str = "own";

/// What a codex says that does not know the method.
const UNKNOWN: &str = "Invalid request: unknown variant `skills/extraRoots/set`, expected one of \
                       `initialize`, `thread/start`";

/// Makes a world with skills of the operator; the daemon is not started yet.
async fn world(choices: Choices, skills: &[(&str, &str)]) -> World {
    let choices = choices.with(&format!("skills = [\"{OWN}\"]"));
    let world = World::new(Echo::new().start().await, &choices);
    for (name, text) in skills {
        let place = world.path().join(OWN).join(name);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("SKILL.md"), text).unwrap();
    }
    world
}

/// Starts a daemon with such skills whose app-server the test plays.
async fn played() -> (World, FakeAppServer) {
    let fake = FakeAppServer::listen();
    let mut choices = Choices::standard();
    choices.transport = Some(fake.address());
    let mut world = world(choices, &[("x", "---\nname: x\ndescription: y\n---\n")]).await;
    world.start();
    (world, fake)
}

/// Returns what the model is told of skills in its latest request.
fn shown(world: &World) -> String {
    let request = world.model.requests().pop().unwrap();
    let texts = request.developer_texts();
    let skills = texts.iter().find(|text| text.contains("Available skills"));
    (*skills.unwrap_or_else(|| panic!("{texts:?}"))).to_owned()
}

/// Returns the only directory of tieline's own skills.
fn bundled(world: &World) -> PathBuf {
    let mut found = fs::read_dir(world.path().join("state/skills")).unwrap();
    let only = found.next().unwrap().unwrap().path();
    assert!(found.next().is_none(), "more than one");
    only
}

/// Stops the daemon, and returns how often it has said this.
async fn said(world: &mut World, text: &str) -> usize {
    assert_eq!(world.stop_daemon().await, Some(0));
    let whole = async {
        // What it said last is on its way to the file.
        while world.logged("tieline::daemon: stopped").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within("the end of the log", whole).await;
    world.logged(text).len()
}

#[tokio::test]
async fn the_model_is_told_of_all_skills_and_again_by_the_next_child() {
    let own = "---\nname: brewing\ndescription: How to make tea\n---\nBoil water.\n";
    let mut world = world(Choices::standard(), &[("brewing", own)]).await;
    world.start();
    world.ready(0).await;
    for (round, chat) in ["a", "b"].into_iter().enumerate() {
        let id = world.platform.write(chat, "hello");
        world.platform.settled(&id).await;
        let shown = shown(&world);
        let expected = [
            "- brewing: How to make tea",
            "- dispatching: How to hand out work well",
            "- tieline: What the chat bridge that you speak through can do",
        ];
        for skill in expected {
            assert!(shown.contains(skill), "{shown}");
        }
        for root in [world.path().join(OWN), bundled(&world)] {
            assert!(shown.contains(root.to_str().unwrap()), "{shown}");
        }
        if round == 0 {
            let killed = world.signal_app_server(Signal::KILL);
            world.next_app_server(killed).await;
            world.ready(1).await;
        }
    }
    assert_eq!(world.status().await.dispatchers[0].warnings, [""; 0]);
    world.finish().await;
}

#[tokio::test]
async fn a_command_in_the_sandbox_can_read_a_skill_and_tell_its_lane() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    // The rule is good for one request; what comes of the command is answered as usual.
    let look = "cat \"$HOME\"/state/skills/*/dispatching/SKILL.md; \
                echo \"thread=$CODEX_THREAD_ID dispatcher=$TIELINE_DISPATCHER\"";
    echo.once("look", Fault::Command(look));
    let id = world.platform.write("a", "look");
    world.platform.settled(&id).await;
    let request = world.model.requests().pop().unwrap();
    let output = request.tool_outputs().pop().unwrap().text().to_owned();
    assert!(output.contains("# Work that reports back"), "{output}");
    let status = world.status().await;
    let thread = status.dispatchers[0].lanes[0].thread.clone().unwrap();
    let expected = format!("thread={thread} dispatcher=test");
    assert!(output.contains(&expected), "{output}");
    world.finish().await;
}

#[tokio::test]
async fn a_broken_skill_of_ours_is_reported_once_and_stands_in_the_status() {
    let mut world = world(Choices::standard(), &[("bad", "no front matter\n")]).await;
    // This one is none of tieline's business.
    let other = world.home().join("skills/other");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("SKILL.md"), "neither\n").unwrap();
    world.start();
    world.ready(0).await;
    let killed = world.signal_app_server(Signal::KILL);
    world.next_app_server(killed).await;
    world.ready(1).await;
    let path = world.path().join(OWN).join("bad/SKILL.md");
    let warnings = world.status().await.dispatchers.remove(0).warnings;
    assert_eq!(
        warnings,
        [format!(
            "the skill {} is left out: missing YAML frontmatter delimited by ---; mend the file",
            path.display()
        )]
    );
    assert_eq!(said(&mut world, "is left out").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn skills_are_given_at_each_connection_before_a_thread_is_loaded() {
    let (mut world, fake) = played().await;
    world.platform.write("a", "hello");
    let mut peer = fake.accept_and_greet().await;
    let roots = peer.take_skills().await;
    assert_eq!(roots, json!([world.path().join(OWN), bundled(&world)]));
    peer.expect("thread/start").await;
    peer.hang_up().await;
    let mut peer = fake.accept_and_greet().await;
    assert_eq!(peer.take_skills().await, roots);
    peer.expect("thread/start").await;
    world.kill_daemon().await;
}

#[tokio::test]
async fn a_codex_that_knows_no_skills_is_used_all_the_same_and_warned_of_once() {
    let (mut world, fake) = played().await;
    world.platform.write("a", "hello");
    for _ in 0..2 {
        let mut peer = fake.accept_and_greet().await;
        refuse_skills(&mut peer, -32600, UNKNOWN).await;
        peer.expect("thread/start").await;
        peer.hang_up().await;
    }
    let warnings = world.status().await.dispatchers.remove(0).warnings;
    assert!(warnings[0].contains("update codex"), "{warnings:?}");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(said(&mut world, "update codex").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_codex_that_refuses_the_skills_is_not_ready_and_the_reason_is_told() {
    let (mut world, fake) = played().await;
    world.platform.write("a", "hello");
    let mut peer = fake.accept_and_greet().await;
    refuse_skills(&mut peer, -32603, "the disk is on fire").await;
    assert_eq!(peer.last_words().await, [""; 0]);
    // It is tried again.
    let mut peer = fake.accept_and_greet().await;
    let status = world.status().await.dispatchers.remove(0);
    let error = status.last_error.unwrap();
    for part in [
        "did not take the directories of skills",
        "`skills` of the dispatcher",
        "the disk is on fire",
    ] {
        assert!(error.contains(part), "{error}");
    }
    peer.take_skills().await;
    peer.expect("thread/start").await;
    world.kill_daemon().await;
}

#[tokio::test]
async fn that_codex_cannot_say_what_is_wrong_is_a_warning() {
    let (mut world, fake) = played().await;
    world.platform.write("a", "hello");
    let mut peer = fake.accept_and_greet().await;
    let set = peer.expect("skills/extraRoots/set").await;
    peer.answer(&set, json!({})).await;
    let list = peer.expect("skills/list").await;
    peer.refuse(&list, -32603, "too many of them").await;
    peer.expect("thread/start").await;
    let warnings = world.status().await.dispatchers.remove(0).warnings;
    assert!(warnings[0].contains("too many of them"), "{warnings:?}");
    world.kill_daemon().await;
}

async fn refuse_skills(peer: &mut Peer, code: i64, message: &str) {
    let set = peer.expect("skills/extraRoots/set").await;
    peer.refuse(&set, code, message).await;
}
