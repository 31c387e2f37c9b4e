//! What breaks while a teammate works.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tieline::control::ClientError;

use super::*;
use crate::support::daemon::rollouts;
use crate::support::model::{Point, within};
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

const INITIALIZE: &str = "\"initialize\"";
const INJECT: &str = "\"thread/inject_items\"";
/// What codex answers when something is injected.
const INJECTED: &str = "\"result\":{}";
const TURN_COMPLETED: &str = "\"turn/completed\"";
const TURN_START: &str = "\"turn/start\"";

#[tokio::test]
async fn codex_is_killed_while_a_teammate_works_and_its_work_goes_on() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut proxied.world, &echo, "worker", "long work").await;
    hold.reached().await;
    proxied.kill_app_server().await;
    hold.release();
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    assert_told_once(&proxied.world, [result("worker", 1)]);
    let told = instructions_of(&proxied.world, "<trigger ");
    assert!(told.contains("status=\"ok\""), "{told}");
    proxied.world.finish().await;
}

#[tokio::test]
async fn the_daemon_is_killed_while_teammates_work_and_each_result_is_there_once() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let names = ["one", "two", "three"];
    let mut holds = Vec::new();
    for name in names {
        let task = format!("work of {name}");
        holds.push(echo.hold(&task, Point::MidStream));
        spawn(&mut world, &echo, name, &task).await;
    }
    for hold in &holds {
        hold.reached().await;
    }
    world.kill_daemon().await;
    world.start();
    for hold in &holds {
        hold.release();
    }
    for name in names {
        heard_of(&world, name, 1).await;
    }
    world.at_rest().await;
    assert_told_once(&world, names.map(|name| result(name, 1)));
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn with_ask_a_turn_that_was_cut_off_is_reported_and_not_gone_on_with() {
    let echo = Echo::new();
    let choices = Choices::standard().with("on_interrupted = \"ask\"");
    let mut world = running(&echo, &choices).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut world, &echo, "worker", "long work").await;
    hold.reached().await;
    world.kill_daemon().await;
    hold.release();
    world.start();
    heard_of(&world, "worker", 1).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("status=\"failed\""), "{told}");
    assert!(told.contains("It was cut off"), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn the_connection_breaks_at_each_step_of_a_task_and_it_is_done_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    spawn(&mut proxied.world, &echo, "worker", "warm up").await;
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    let steps = [
        (To::Server, Mishap::Before),
        (To::Server, Mishap::Halfway),
        (To::Server, Mishap::After),
    ];
    let client = Client::new(&proxied.world.path().join("state/control.sock"));
    for (number, (to, mishap)) in (2..).zip(steps) {
        let mut seen = proxied.proxy.at_frame(to, TURN_START, mishap);
        let task = format!("step {number}.");
        assign(&client, &task).await;
        seen.seen().await;
        heard_of(&proxied.world, "worker", number).await;
        proxied.world.at_rest().await;
    }
    let requests = proxied.world.model.requests();
    let last = requests
        .iter()
        .rev()
        .find(|request| {
            request
                .last_user_text()
                .is_some_and(|it| it.starts_with("<task"))
        })
        .unwrap();
    let tasks = last.user_texts();
    let tasks = tasks.iter().filter(|text| text.starts_with("<task "));
    assert_eq!(
        tasks.count(),
        1 + steps.len(),
        "each is in the history once"
    );
    assert_told_once(
        &proxied.world,
        (1..=4).map(|number| result("worker", number)),
    );
    proxied.finish().await;
}

#[tokio::test]
async fn a_teammate_whose_thread_is_lost_begins_anew_and_people_are_told() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    spawn(&mut world, &echo, "worker", "first").await;
    heard_of(&world, "worker", 1).await;
    world.at_rest().await;
    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    world.lose_threads();
    world.start();
    let client = Client::new(&world.path().join("state/control.sock"));
    world.ready(0).await;
    assign(&client, "second").await;
    heard_of(&world, "worker", 2).await;
    world
        .platform
        .posted("The history of `worker` was lost")
        .await;
    let requests = world.model.requests();
    let second = requests
        .iter()
        .rev()
        .find(|request| {
            request
                .last_user_text()
                .is_some_and(|it| it.contains("<task"))
        })
        .unwrap();
    let text = second.user_texts().join("\n");
    assert!(text.contains("kind=\"thread-lost\""), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn the_daemon_is_killed_before_whoever_asked_knows_and_the_result_is_told_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut proxied.world, &echo, "worker", "long work").await;
    hold.reached().await;
    proxied.world.at_rest_but_for_teammates().await;
    // The result is on disk, and nothing more can be begun.
    let proxy = &proxied.proxy;
    let mut over = proxy.at_frame(To::Daemon, TURN_COMPLETED, Mishap::After);
    let mut back = proxy.at_frame(To::Server, INITIALIZE, Mishap::Hold);
    hold.release();
    over.seen().await;
    back.seen().await;
    proxied.world.platform.posted("`worker` is done").await;
    let status = proxied.world.status().await;
    let lanes = &status.dispatchers[0].lanes;
    let asker = lanes.iter().find(|lane| lane.teammate.is_none()).unwrap();
    assert_eq!((asker.waiting, &asker.open_turn), (1, &None));
    proxied.world.kill_daemon().await;
    proxied.proxy.hold(false);
    proxied.world.start();
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    assert_told_once(&proxied.world, [result("worker", 1)]);
    assert_eq!(posts_about(&proxied.world, "`worker` is done"), 1);
    proxied.world.finish().await;
}

#[tokio::test]
async fn the_connection_breaks_around_the_injection_and_the_result_is_told_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    spawn(&mut proxied.world, &echo, "worker", "warm up").await;
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    let client = Client::new(&proxied.world.path().join("state/control.sock"));
    let mishaps = [Mishap::Before, Mishap::Halfway, Mishap::After];
    for (number, mishap) in (2..).zip(mishaps) {
        let mut seen = proxied.proxy.at_frame(To::Server, INJECT, mishap);
        assign(&client, &format!("step {number}.")).await;
        seen.seen().await;
        heard_of(&proxied.world, "worker", number).await;
        proxied.world.at_rest().await;
    }
    // Codex has it, and the daemon does not know.
    let mut sent = proxied.proxy.at_frame(To::Server, INJECT, Mishap::None);
    assign(&client, "the last step.").await;
    sent.seen().await;
    let proxy = &proxied.proxy;
    let mut answered = proxy.at_frame(To::Daemon, INJECTED, Mishap::Before);
    answered.seen().await;
    heard_of(&proxied.world, "worker", 5).await;
    proxied.world.at_rest().await;
    let results = (1..=5).map(|number| result("worker", number));
    assert_told_once(&proxied.world, results);
    proxied.finish().await;
}

#[tokio::test]
async fn the_daemon_is_killed_around_the_injection_and_the_result_is_told_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let mut injected = proxied.proxy.at_frame(To::Server, INJECT, Mishap::Hold);
    spawn(&mut proxied.world, &echo, "worker", "first").await;
    injected.seen().await;
    proxied.world.kill_daemon().await;
    proxied.proxy.hold(false);
    proxied.world.start();
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    // Codex has it, and the daemon does not live to know.
    let client = Client::new(&proxied.world.path().join("state/control.sock"));
    let mut sent = proxied.proxy.at_frame(To::Server, INJECT, Mishap::None);
    assign(&client, "second").await;
    sent.seen().await;
    let mut answered = proxied.proxy.at_frame(To::Daemon, INJECTED, Mishap::Hold);
    answered.seen().await;
    proxied.world.kill_daemon().await;
    proxied.proxy.hold(false);
    proxied.world.start();
    heard_of(&proxied.world, "worker", 2).await;
    proxied.world.at_rest().await;
    let results = [result("worker", 1), result("worker", 2)];
    assert_told_once(&proxied.world, results);
    assert_eq!(posts_about(&proxied.world, "`worker` is done"), 2);
    proxied.world.finish().await;
}

#[tokio::test]
async fn on_a_full_disk_no_task_is_taken_and_the_end_of_one_is_told_when_there_is_space() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut world, &echo, "worker", "long work").await;
    hold.reached().await;
    world.at_rest_but_for_teammates().await;
    let before = world.limit_files(Some(0));
    let client = Client::new(&world.path().join("state/control.sock"));
    let task = FurtherTask {
        task: "too much".to_owned(),
        lane: None,
    };
    let refused = client.assign("test", "worker", &task).await.unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused { status, .. } if status.as_u16() == 503),
        "{refused:?}"
    );
    hold.release();
    world.until_logged("the ledger did not take it").await;
    assert_eq!(
        posts_about(&world, "`worker` is done"),
        0,
        "nothing is lost"
    );
    world.limit_files(before);
    heard_of(&world, "worker", 1).await;
    assign(&client, "second").await;
    heard_of(&world, "worker", 2).await;
    world.at_rest().await;
    assert_told_once(&world, [result("worker", 1), result("worker", 2)]);
    assert_eq!(posts_about(&world, "`worker` is done"), 2);
    assert_eq!(told_of(&world, "too much"), 0, "it was refused");
    world.finish().await;
}

#[tokio::test]
async fn codex_is_killed_while_a_worktree_is_made_and_the_task_is_done_there() {
    let echo = Echo::new();
    let tools = tempfile::tempdir().unwrap();
    let at = |name: &str| tools.path().join(name);
    // A git that takes its time to check out.
    let script = format!(
        "#!/bin/sh\n\
         case \"$*\" in *'worktree add'*)\n\
         touch '{at}/begun'; while [ ! -e '{at}/go' ]; do sleep 0.01; done;;\n\
         esac\n\
         PATH=\"${{PATH#*:}}\" exec git \"$@\"\n",
        at = tools.path().display(),
    );
    std::fs::write(at("git"), script).unwrap();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(at("git"), executable).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", tools.path().display());
    let mut choices = Choices::standard();
    choices.environment.push(("PATH".to_owned(), path));
    let mut world = World::new(echo.start().await, &choices);
    make_repository(&world);
    world.start();
    let task = "where are you";
    echo.once(task, Fault::Command("pwd"));
    let arguments = serde_json::json!({"name": "smith", "task": task, "workspace": "worktree"});
    will_call(&echo, "begin", "spawn_teammate", arguments);
    let id = world.platform.write("a", "begin");
    world.platform.settled(&id).await;
    within("git to begin", async {
        while !at("begun").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let killed = world.signal_app_server(Signal::KILL);
    world.next_app_server(killed).await;
    std::fs::write(at("go"), "").unwrap();
    heard_of(&world, "smith", 1).await;
    world.at_rest().await;
    assert_told_once(&world, [result("smith", 1)]);
    let told = instructions_of(&world, "<trigger ");
    let place = world.path().join("state/worktrees/test/smith");
    assert!(told.contains(&*place.display().to_string()), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn with_stop_a_teammate_whose_thread_is_lost_fails_and_others_go_on() {
    let echo = Echo::new();
    let choices = Choices::standard().with("on_lost_thread = \"stop\"");
    let mut world = running(&echo, &choices).await;
    for name in ["worker", "other"] {
        spawn(&mut world, &echo, name, &format!("first of {name}")).await;
        heard_of(&world, name, 1).await;
    }
    world.at_rest().await;
    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    let threads = rollouts(&world.home().join("sessions"));
    let is_its = |path: &PathBuf| {
        let content = std::fs::read_to_string(path).unwrap();
        content.contains("<task ") && content.contains("first of worker")
    };
    let its: Vec<_> = threads.into_iter().filter(is_its).collect();
    assert_eq!(its.len(), 1, "{its:#?}");
    std::fs::remove_file(&its[0]).unwrap();
    world.start();
    world.ready(0).await;
    let client = Client::new(&world.path().join("state/control.sock"));
    for number in [2, 3] {
        assign(&client, &format!("task {number}")).await;
        heard_of(&world, "worker", number).await;
        let told = instructions_of(&world, "<trigger ");
        let begins = format!("<completion id=\"teammate:worker#{number}\"");
        let told = &told[told.find(&begins).unwrap()..];
        assert!(told.contains("status=\"failed\""), "{told}");
    }
    assert_eq!(posts_about(&world, "`worker` could not finish"), 2);
    assert_eq!(told_of(&world, "task 2") + told_of(&world, "task 3"), 0);
    let more = FurtherTask {
        task: "second".to_owned(),
        lane: None,
    };
    client.assign("test", "other", &more).await.unwrap();
    heard_of(&world, "other", 2).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("echo: second"), "{told}");
    world.at_rest().await;
    world.finish().await;
}

/// Returns how many posts of the chat say so.
fn posts_about(world: &World, text: &str) -> usize {
    let posts = world.platform.posts("a");
    posts.iter().filter(|post| post.text.contains(text)).count()
}
