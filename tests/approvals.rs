//! What the model wants and people decide: in a terminal, with the real Codex. Nothing runs that was
//! not accepted, and nothing twice.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use rustix::process::Signal;
use tieline::control::{Client, ClientError};
use tieline::demo::model::{Script, ScriptedModel};

use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault};
use crate::support::platform::Posted;
use crate::support::proxied::Proxied;
use crate::support::wants::{Wants, runs};

/// What the first question says.
const FIRST: &str = "**Approval #1**: ";

/// A world in which people are asked.
async fn world(more: &str) -> World {
    world_of(&Wants, more).await
}

/// The same with a model of this script.
async fn world_of<M: Script + Clone>(script: &M, more: &str) -> World {
    let model = ScriptedModel::start(script.clone()).await.unwrap();
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard().with("approvals = \"chat\"").with(more)
    };
    let mut world = World::new(model, &choices);
    world.start();
    world.ready(0).await;
    world
}

/// Returns the posts of a chat that say this.
fn saying(world: &World, text: &str) -> Vec<Posted> {
    let posts = world.platform.posts("c").into_iter();
    posts.filter(|post| post.text.contains(text)).collect()
}

/// Fails unless every message was settled once.
async fn finish(world: World) {
    world.platform.all_settled().await;
    world.at_rest().await;
    let tally = world.platform.tally();
    // A platform that is killed under recognises what comes again.
    assert_eq!((tally.lost.len(), tally.twice.len()), (0, 0), "{tally:#?}");
    world.finish().await;
}

#[tokio::test]
async fn what_is_accepted_runs_once_and_what_is_declined_does_not() {
    let mut world = world("").await;
    for (number, decision, ran, told) in [
        (1, "approve", 1, "was accepted by the operator"),
        (2, "decline", 0, "was declined by the operator"),
        (3, "批准 3", 1, "was accepted by the operator"),
        (4, "approve #4", 1, "was accepted by the operator"),
    ] {
        let name = format!("n{number}");
        let asked = world.platform.write("c", &format!("run: {name}"));
        let question = world
            .platform
            .posted(&format!("**Approval #{number}**: "))
            .await;
        assert!(
            question.text.contains(&format!("trace-{name}")),
            "{}",
            question.text
        );
        assert!(
            question.text.contains("it has to leave a trace"),
            "{}",
            question.text
        );
        assert_eq!(runs(&world, &name), 0);
        let decided = world.platform.write("c", decision);
        let said = world.platform.settled(&decided).await;
        assert!(said[0].text.contains(told), "{said:?}");
        let answer = world.platform.settled(&asked).await;
        assert!(answer[0].text.contains("echo: "), "{answer:?}");
        assert_eq!(runs(&world, &name), ran, "{decision}");
        // Whoever decided was told; nobody else is there.
        assert_eq!(saying(&world, &format!("Approval #{number}**")).len(), 2);
    }
    finish(world).await;
}

#[tokio::test]
async fn what_is_accepted_for_the_session_is_not_asked_again() {
    let mut world = world("").await;
    let asked = world.platform.write("c", "run: same");
    world.platform.posted(FIRST).await;
    world.platform.write("c", "approve session");
    world.platform.settled(&asked).await;
    let again = world.platform.write("c", "run: same");
    world.platform.settled(&again).await;
    assert_eq!(runs(&world, "same"), 2);
    assert_eq!(saying(&world, "🔐").len(), 1);
    finish(world).await;
}

#[tokio::test]
async fn to_cancel_ends_the_turn() {
    let mut world = world("").await;
    let asked = world.platform.write("c", "run: never");
    world.platform.posted(FIRST).await;
    world.platform.write("c", "cancel");
    let answer = world.platform.settled(&asked).await;
    assert!(answer[0].text.contains("Stopped"), "{answer:?}");
    assert_eq!(runs(&world, "never"), 0);
    // The conversation goes on.
    let next = world.platform.write("c", "hello");
    let answer = world.platform.settled(&next).await;
    assert!(answer[0].text.contains("echo: hello"), "{answer:?}");
    finish(world).await;
}

#[tokio::test]
async fn several_are_decided_in_any_order_and_which_one_has_to_be_said() {
    let mut world = world("").await;
    let asked = world.platform.write("c", "run: a b c");
    for number in 1..=3 {
        world
            .platform
            .posted(&format!("**Approval #{number}**: "))
            .await;
    }
    let unclear = world.platform.write("c", "approve");
    let said = world.platform.settled(&unclear).await;
    assert!(said[0].text.contains("Which one?"), "{said:?}");
    // They come in any order.
    let number = |name: &str| {
        let question = saying(&world, &format!("trace-{name}'")).remove(0).text;
        let (_, rest) = question.split_once('#').unwrap();
        rest.split_once('*').unwrap().0.to_owned()
    };
    let [a, b, c] = ["a", "b", "c"].map(number);
    for decision in [
        format!("approve {c}"),
        format!("decline {a}"),
        format!("approve {b}"),
    ] {
        let decided = world.platform.write("c", &decision);
        world.platform.settled(&decided).await;
    }
    world.platform.settled(&asked).await;
    assert_eq!(["a", "b", "c"].map(|it| runs(&world, it)), [0, 1, 1]);
    let late = world.platform.write("c", &format!("approve {a}"));
    let said = world.platform.settled(&late).await;
    assert!(said[0].text.contains("Too late."), "{said:?}");
    assert_eq!(runs(&world, "a"), 0);
    finish(world).await;
}

#[tokio::test]
async fn words_that_decide_nothing_are_for_the_model() {
    let mut world = world("").await;
    let before = world.platform.write("c", "approve");
    let answer = world.platform.settled(&before).await;
    assert!(answer[0].text.contains("echo: approve"), "{answer:?}");
    let certain = world.platform.write("c", "/approve");
    let answer = world.platform.settled(&certain).await;
    assert!(answer[0].text.contains("Nothing waits"), "{answer:?}");
    let asked = world.platform.write("c", "run: a");
    world.platform.posted(FIRST).await;
    // No choices are numbered here.
    let number = world.platform.write("c", "1");
    let elsewhere = world.platform.write("d", "approve 1");
    let answer = world.platform.settled(&elsewhere).await;
    assert!(answer[0].text.contains("echo: approve 1"), "{answer:?}");
    assert_eq!(runs(&world, "a"), 0);
    world.platform.write("c", "decline");
    world.platform.settled(&asked).await;
    world.platform.settled(&number).await;
    finish(world).await;
}

#[tokio::test]
async fn what_nobody_decides_in_time_is_declined_and_a_turn_that_waits_is_not_silent() {
    let mut world = world("approval_timeout = \"3s\"\nturn_idle_timeout = \"1s\"").await;
    let asked = world.platform.write("c", "run: a");
    world.platform.posted(FIRST).await;
    let said = world
        .platform
        .posted("nobody decided within 3 seconds")
        .await;
    assert_eq!(said.kind, "notice");
    let answer = world.platform.settled(&asked).await;
    assert!(answer[0].text.contains("echo: "), "{answer:?}");
    let late = world.platform.write("c", "approve 1");
    let said = world.platform.settled(&late).await;
    assert!(said[0].text.contains("Too late."), "{said:?}");
    assert_eq!(runs(&world, "a"), 0);
    finish(world).await;
}

#[tokio::test]
async fn a_killed_daemon_declines_what_was_open_and_says_so() {
    let mut world = world("").await;
    let asked = world.platform.write("c", "run: a");
    world.platform.posted(FIRST).await;
    world.kill_daemon().await;
    world.start();
    world
        .platform
        .posted("tieline was restarted before anybody decided")
        .await;
    // The turn goes on, and the model wants it again.
    world.platform.posted("**Approval #2**: ").await;
    assert_eq!(runs(&world, "a"), 0);
    let late = world.platform.write("c", "approve 1");
    let said = world.platform.settled(&late).await;
    assert!(said[0].text.contains("Too late."), "{said:?}");
    world.platform.write("c", "approve 2");
    world.platform.settled(&asked).await;
    assert_eq!(runs(&world, "a"), 1);
    finish(world).await;
}

#[tokio::test]
async fn a_child_that_dies_takes_what_it_asked_for_with_it() {
    let mut world = world("").await;
    let asked = world.platform.write("c", "run: a");
    world.platform.posted(FIRST).await;
    world.signal_app_server(Signal::KILL);
    world
        .platform
        .posted("Codex ended unexpectedly before anybody decided")
        .await;
    world.platform.posted("**Approval #2**: ").await;
    assert_eq!(runs(&world, "a"), 0);
    world.platform.write("c", "approve");
    world.platform.settled(&asked).await;
    assert_eq!(runs(&world, "a"), 1);
    finish(world).await;
}

#[tokio::test]
async fn a_newer_message_that_stops_the_turn_ends_what_it_asked_for() {
    let mut world = world("on_busy = \"interrupt\"").await;
    let asked = world.platform.write("c", "run: a");
    world.platform.posted(FIRST).await;
    let newer = world.platform.write("c", "hello");
    world.platform.settled(&asked).await;
    world
        .platform
        .posted("Approval #1** is no longer needed")
        .await;
    world.platform.settled(&newer).await;
    assert_eq!(runs(&world, "a"), 0);
    finish(world).await;
}

#[tokio::test]
async fn over_a_new_connection_people_are_not_asked_again() {
    let echo = Echo::new();
    let wish =
        r#"{"cmd":"echo ran >> trace-a","login":false,"sandbox_permissions":"require_escalated"}"#;
    for _ in 0..2 {
        echo.once("run", Fault::Call("exec_command", wish));
    }
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard().with("approvals = \"chat\"")
    };
    let mut proxied = Proxied::child(&echo, choices).await;
    let mut number = 0;
    // Before the decision, and after it.
    for decide_first in [false, true] {
        number += 1;
        let asked = proxied.world.platform.write("c", "run");
        let question = format!("**Approval #{number}**: ");
        proxied.world.platform.posted(&question).await;
        if decide_first {
            // Codex does not hear of it at first.
            proxied.world.signal_app_server(Signal::STOP);
            let decided = proxied.world.platform.write("c", "approve");
            proxied.world.platform.settled(&decided).await;
            proxied.proxy.break_now();
            proxied.world.signal_app_server(Signal::CONT);
        } else {
            proxied.break_connection().await;
            proxied.break_connection().await;
            proxied.world.platform.write("c", "approve");
        }
        let answer = proxied.world.platform.settled(&asked).await;
        assert!(answer[0].text.contains("echo: run"), "{answer:?}");
        assert_eq!(runs(&proxied.world, "a"), number);
        assert_eq!(saying(&proxied.world, "🔐").len(), number);
    }
    proxied.finish().await;
}

#[tokio::test]
async fn what_is_long_is_shown_whole_beside_the_question() {
    let echo = Echo::new();
    let mut world = world_of(&echo, "").await;
    let command = format!("echo ok{}; echo ran >> trace-a", "\\n".repeat(400));
    let wish = format!(
        r#"{{"cmd":"{command}","login":false,"sandbox_permissions":"require_escalated","justification":"a\u202eb"}}"#
    );
    echo.once("run", Fault::Call("exec_command", String::leak(wish)));
    let asked = world.platform.write("c", "run");
    let question = world.platform.posted(FIRST).await.text;
    assert!(
        question.contains("echo ran >> trace-a") && question.contains("⋯"),
        "{question}"
    );
    assert!(question.contains(r"a\u{202e}b"), "{question}");
    assert!(question.contains("All of it is right above."), "{question}");
    let whole = &saying(&world, "echo ok")[0].text;
    assert!(whole.matches('\n').count() > 400, "{whole}");
    world.platform.write("c", "decline");
    world.platform.settled(&asked).await;
    assert_eq!(runs(&world, "a"), 0);
    finish(world).await;
}

#[tokio::test]
async fn which_files_would_change_is_shown() {
    let echo = Echo::new();
    let mut world = world_of(&echo, "").await;
    let outside = world.path().join("outside.txt");
    let patch = format!(
        "*** Begin Patch\n*** Add File: {}\n+one\n+two\n*** End Patch",
        outside.display()
    );
    echo.once("change", Fault::Patch(patch.clone()));
    echo.once("change", Fault::Patch(patch));
    for (number, decision, exists) in [(1, "decline", false), (2, "approve", true)] {
        let asked = world.platform.write("c", "change");
        let question = world
            .platform
            .posted(&format!("**Approval #{number}**: "))
            .await
            .text;
        assert!(question.contains("wants to change files"), "{question}");
        assert!(question.contains("outside.txt  +2\n"), "{question}");
        assert!(question.contains("+one\n+two\n"), "{question}");
        assert!(!outside.exists());
        world.platform.write("c", decision);
        world.platform.settled(&asked).await;
        assert_eq!(outside.exists(), exists);
    }
    finish(world).await;
}

/// Runs `tieline` with this world's configuration.
async fn tieline(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(arguments)
        .arg("--config")
        .arg(world.path().join("tieline.toml"))
        .env_clear()
        .env("HOME", world.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn whoever_works_at_the_machine_sees_what_waits_and_decides() {
    let mut world = world("").await;
    assert_eq!(
        tieline(&world, &["approvals"]).await,
        (Some(0), "nothing waits for a decision\n".to_owned())
    );
    let asked = world.platform.write("c", "run: a b");
    for number in 1..=2 {
        world
            .platform
            .posted(&format!("**Approval #{number}**: "))
            .await;
    }
    let (_, list) = tieline(&world, &["approvals"]).await;
    assert!(list.contains("open, ") && list.contains("term:c"), "{list}");
    let rows: Vec<Vec<_>> = list
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    let id = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.contains(&format!("trace-{name}'").as_str()));
        row.unwrap_or_else(|| panic!("{list}"))[0].to_owned()
    };
    let (a, b) = (id("a"), id("b"));

    // Everything tells what is waited for.
    let (_, status) = tieline(&world, &["status"]).await;
    assert!(status.contains("waits for approval"), "{status}");
    let (_, messages) = tieline(&world, &["messages"]).await;
    assert!(
        messages.contains("in turn, waits for approval"),
        "{messages}"
    );
    let here = world.platform.write("c", "where");
    let said = world.platform.settled(&here).await;
    assert!(said[0].text.contains("waits for an approval"), "{said:?}");

    let (code, said) = tieline(&world, &["approvals", "accept", &a[24..]]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("in term:c: accept by operator\n"), "{said}");
    let (code, said) = tieline(&world, &["approvals", "decline", &a]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("is settled already: accept by operator"),
        "{said}"
    );
    let (code, said) = tieline(&world, &["approvals", "decline", "x"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no approval x"), "{said}");
    let (code, said) = tieline(&world, &["approvals", "decline", &b, "--json"]).await;
    assert_eq!(code, Some(0), "{said}");
    let decided: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(decided["decision"], "decline");
    world.platform.settled(&asked).await;
    assert_eq!(["a", "b"].map(|it| runs(&world, it)), [1, 0]);
    // Nobody here has decided, so everybody is told.
    for told in [
        "was accepted by the operator",
        "was declined by the operator",
    ] {
        assert_eq!(saying(&world, told).len(), 1, "{told}");
    }
    let (_, all) = tieline(&world, &["approvals", "list", "--all", "--json"]).await;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all["approvals"].as_array().unwrap().len(), 2);

    let client = Client::new(&world.path().join("state/control.sock"));
    for route in [
        "/v1/approvals?state=odd",
        "/v1/approvals?limit=0",
        "/v1/approvals?x=1",
    ] {
        let refused = client.get::<serde_json::Value>(route).await.unwrap_err();
        assert!(
            matches!(&refused, ClientError::Refused { code, .. } if code == "bad-request"),
            "{refused:?}"
        );
    }
    let refused = client.decide(&a, "maybe").await.unwrap_err();
    assert!(
        refused.to_string().contains("is no decision"),
        "{refused:?}"
    );
    finish(world).await;
}

#[tokio::test]
async fn a_teammates_wishes_come_to_where_its_task_was_given() {
    let mut world = world("").await;
    let greeting = world.platform.write("c", "hello");
    world.platform.settled(&greeting).await;
    let spawn = ["teammates", "spawn", "flaky", "--task", "run: a"];
    let (code, said) = tieline(&world, &spawn).await;
    assert_eq!(code, Some(0), "{said}");
    let question = world.platform.posted(FIRST).await;
    assert!(
        question.text.contains("the teammate `flaky` wants to run"),
        "{question:?}"
    );
    world.platform.write("c", "approve");
    world.platform.posted("flaky").await;
    world.until_logged("decision=\"accept\"").await;
    world.at_rest().await;
    assert_eq!(runs(&world, "a"), 1);
    finish(world).await;
}

#[tokio::test]
async fn without_chat_everything_is_declined_at_once() {
    let model = ScriptedModel::start(Wants).await.unwrap();
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard()
    };
    let mut world = World::new(model, &choices);
    world.start();
    let asked = world.platform.write("c", "run: a");
    world.platform.settled(&asked).await;
    assert_eq!(runs(&world, "a"), 0);
    assert_eq!(saying(&world, "🔐").len(), 0);
    finish(world).await;
}
