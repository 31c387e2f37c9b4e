//! Many of them.

use super::*;
use crate::support::model::Point;
use crate::support::proxied::Proxied;

#[tokio::test]
async fn one_that_hangs_disturbs_nobody() {
    let echo = Echo::new();
    let choices = Choices::standard().with("teammates = { parallel = 2 }");
    let mut world = running(&echo, &choices).await;
    let hold = echo.hold("hang", Point::Start);
    spawn(&mut world, &echo, "stuck", "hang").await;
    hold.reached().await;
    for name in ["a", "b", "c"] {
        spawn(&mut world, &echo, name, "quick").await;
        heard_of(&world, name, 1).await;
    }
    let id = world.platform.write("b", "and people?");
    let settling = world.platform.settled(&id).await;
    assert_eq!(settling[0].text, "echo: and people?");
    hold.release();
    heard_of(&world, "stuck", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn those_beyond_the_limit_wait_for_their_turn() {
    let echo = Echo::new();
    let choices = Choices::standard().with("teammates = { parallel = 1, max = 2 }");
    let mut world = running(&echo, &choices).await;
    let hold = echo.hold("first work", Point::MidStream);
    spawn(&mut world, &echo, "first", "first work").await;
    hold.reached().await;
    spawn(&mut world, &echo, "second", "second work").await;
    will_call(
        &echo,
        "how are they",
        "list_teammates",
        serde_json::json!({}),
    );
    let id = world.platform.write("a", "how are they");
    let settling = world.platform.settled(&id).await;
    let listed = &settling[0].text;
    assert!(
        listed.contains("first") && listed.contains("working"),
        "{listed}"
    );
    assert!(
        listed.contains("second") && listed.contains("waiting"),
        "{listed}"
    );
    will_spawn(&echo, "a third", "third", "never");
    let id = world.platform.write("a", "a third");
    let settling = world.platform.settled(&id).await;
    assert!(
        settling[0].text.contains("there are 2 teammates"),
        "{settling:#?}"
    );
    hold.release();
    heard_of(&world, "first", 1).await;
    heard_of(&world, "second", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn twenty_work_at_the_same_time_in_one_child() {
    let echo = Echo::new();
    let choices = Choices::standard().with("teammates = { parallel = 20, announce = false }");
    let mut world = running(&echo, &choices).await;
    let names: Vec<String> = (0..20).map(|number| format!("mate-{number}")).collect();
    let mut holds = Vec::new();
    for name in &names {
        let task = format!("work of {name}.");
        holds.push(echo.hold(&task, Point::MidStream));
        spawn(&mut world, &echo, name, &task).await;
    }
    for hold in &holds {
        hold.reached().await;
    }
    assert_eq!(world.codex_pids().len(), 1, "they share a child");
    for hold in &holds {
        hold.release();
    }
    for name in &names {
        heard_of(&world, name, 1).await;
    }
    world.at_rest().await;
    assert_told_once(&world, names.iter().map(|name| result(name, 1)));
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn one_that_works_keeps_its_place_when_the_connection_breaks() {
    let echo = Echo::new();
    let choices = Choices::standard().with("teammates = { parallel = 1 }");
    let mut proxied = Proxied::child(&echo, choices).await;
    let hold = echo.hold("first work", Point::MidStream);
    spawn(&mut proxied.world, &echo, "first", "first work").await;
    hold.reached().await;
    spawn(&mut proxied.world, &echo, "second", "second work").await;
    proxied.break_connection().await;
    let id = proxied.world.platform.write("b", "hello");
    proxied.world.platform.settled(&id).await;
    let begun = |text: &str| {
        let requests = proxied.world.model.requests();
        let mut texts = requests
            .iter()
            .filter_map(|request| request.last_user_text());
        texts.any(|it| it.contains(text))
    };
    assert!(!begun("second work"), "two work at the same time");
    hold.release();
    heard_of(&proxied.world, "first", 1).await;
    heard_of(&proxied.world, "second", 1).await;
    proxied.world.finish().await;
}
