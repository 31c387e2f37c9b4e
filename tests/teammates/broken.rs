//! What breaks while a teammate works.

use super::*;
use crate::support::model::Point;
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

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
