//! The ways of a result when nothing breaks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use futures_util::future::join_all;

use super::*;
use crate::support::model::{Fault, Point};

#[tokio::test]
async fn a_result_is_put_into_the_history_and_wakes_the_model_which_tells_the_people() {
    let echo = Echo::new();
    let world = in_use(&echo, &Choices::standard()).await;
    let receipt = tell(&world, &report("build-17")).await;
    assert_eq!(
        (receipt.state.as_str(), receipt.repeated),
        ("waiting", false)
    );
    let post = world.platform.posted("heard of: build-17").await;
    assert_eq!((post.kind.as_str(), post.settles.len()), ("answer", 0));
    let last = world.model.requests().last().cloned().unwrap();
    let developer = last.developer_texts();
    let item = developer
        .iter()
        .find(|text| text.starts_with("<completion "))
        .unwrap();
    assert!(
        item.starts_with("<completion id=\"build-17\" from=\"ci\" status=\"ok\" reported_at=\"20")
            && item.ends_with(">\nthe result of build-17\n</completion>"),
        "{item}"
    );
    assert!(last.last_user_text().unwrap().starts_with(TRIGGER));
    assert_told_once(&world, ["build-17".to_owned()]);
    world.at_rest().await;
    let again = tell(&world, &report("build-17")).await;
    assert_eq!((again.state.as_str(), again.repeated), ("delivered", true));
    world.finish().await;
}

#[tokio::test]
async fn what_is_reported_at_once_ten_times_is_told_once() {
    let echo = Echo::new();
    let world = in_use(&echo, &Choices::standard()).await;
    let report = report("one");
    let receipts = join_all((0..10).map(|_| tell(&world, &report))).await;
    let new = receipts.iter().filter(|receipt| !receipt.repeated).count();
    assert_eq!(new, 1, "{receipts:?}");
    world.platform.posted("heard of: one").await;
    world.at_rest().await;
    assert_told_once(&world, ["one".to_owned()]);
    world.finish().await;
}

#[tokio::test]
async fn results_that_come_while_a_turn_runs_wait_and_share_one_turn() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    let hold = echo.hold("busy", Point::MidStream);
    let busy = world.platform.write("a", "busy");
    hold.reached().await;
    for id in ["one", "two", "three"] {
        tell(&world, &report(id)).await;
    }
    let status = world.status().await;
    let waiting: u64 = status.dispatchers[0]
        .lanes
        .iter()
        .map(|it| it.waiting)
        .sum();
    assert_eq!(waiting, 3, "they are put into a running turn");
    hold.release();
    world.platform.settled(&busy).await;
    world.platform.posted("heard of: one, two, three").await;
    world.at_rest().await;
    assert_told_once(&world, ["one", "two", "three"].map(str::to_owned));
    world.finish().await;
}

#[tokio::test]
async fn a_result_is_the_first_thing_that_a_thread_ever_has() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    tell(&world, &report("first")).await;
    until_told(&world, "first").await;
    world.at_rest().await;
    assert_told_once(&world, ["first".to_owned()]);
    // Nobody has written yet, so there is nobody to tell.
    assert_eq!(world.platform.posts("a"), []);
    let hello = world.platform.write("a", "hello");
    world.platform.settled(&hello).await;
    world.finish().await;
}

#[tokio::test]
async fn an_answer_goes_where_people_wrote_last() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    let second = world.platform.write("b", "hello");
    world.platform.settled(&second).await;
    tell(&world, &report("one")).await;
    world.platform.posted("heard of: one").await;
    let texts = |chat| -> Vec<String> {
        let posts = world.platform.posts(chat);
        posts.into_iter().map(|post| post.text).collect()
    };
    assert_eq!(texts("a"), ["echo: hello"]);
    assert_eq!(texts("b"), ["echo: hello", "heard of: one"]);

    // Unless the lane is named.
    let lanes = &world.status().await.dispatchers[0].lanes;
    let lane = lanes.iter().find(|lane| lane.id.as_str().ends_with("/a"));
    let named = CompletionReport {
        lane: Some(lane.unwrap().id.clone()),
        ..report("two")
    };
    tell(&world, &named).await;
    world.platform.posted("heard of: two").await;
    assert_eq!(texts("a"), ["echo: hello", "heard of: two"]);
    world.finish().await;
}

#[tokio::test]
async fn a_long_result_is_shown_in_part_and_lies_in_a_private_file() {
    let echo = Echo::new();
    let world = in_use(&echo, &Choices::standard()).await;
    let short = CompletionReport {
        body: "界".repeat(32_000),
        ..report("short")
    };
    let long = CompletionReport {
        body: format!("{}!", "界".repeat(32_000)),
        ..report("long")
    };
    tell(&world, &short).await;
    world.platform.posted("heard of: short").await;
    tell(&world, &long).await;
    world.platform.posted("heard of: long").await;
    let last = world.model.requests().last().cloned().unwrap();
    let developer = last.developer_texts();
    let item = |id: &str| {
        let begin = format!("<completion id=\"{id}\"");
        let mut found = developer.iter().filter(|text| text.starts_with(&begin));
        (*found.next().unwrap()).to_owned()
    };
    assert!(!item("short").contains(" path="));
    assert_eq!(item("short").matches('界').count(), 32_000);
    let shown = item("long");
    assert_eq!(shown.matches('界').count(), 32_000);
    assert!(!shown.contains('!'), "the end is shown");
    let (_, rest) = shown.split_once(" path=\"").unwrap();
    let (path, rest) = rest.split_once('"').unwrap();
    assert!(rest.starts_with(" chars=\"32001\" ref="), "{}", &rest[..40]);
    assert_eq!(fs::read_to_string(path).unwrap(), long.body);
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.finish().await;
}

#[tokio::test]
async fn a_turn_that_fails_is_begun_again_and_nothing_is_put_in_twice() {
    let echo = Echo::new();
    let world = in_use(&echo, &Choices::standard()).await;
    let status = Fault::Status(503, "{}", None);
    // Codex itself tries again, too.
    echo.times(2, TRIGGER, Fault::Failed("invalid_prompt", "no"));
    echo.once(TRIGGER, status);
    tell(&world, &report("one")).await;
    world.platform.posted("heard of: one").await;
    world.at_rest().await;
    assert_told_once(&world, ["one".to_owned()]);
    let posts = world.platform.posts("a");
    assert_eq!(
        posts.len(),
        2,
        "people hear of failures in between: {posts:#?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn two_chats_of_one_conversation_each_hear_of_their_own() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    choices.dispatcher = choices.dispatcher.replace("\"chat\"", "\"shared\"");
    let mut world = in_use(&echo, &choices).await;
    let hold = echo.hold("busy", Point::MidStream);
    let busy = world.platform.write("a", "busy");
    hold.reached().await;
    // This is for those who wrote last by now; others write before it is brought up.
    tell(&world, &report("one")).await;
    let other = world.platform.write("b", "hello");
    hold.release();
    world.platform.settled(&busy).await;
    world.platform.settled(&other).await;
    world.platform.posted("heard of: one").await;
    let last = world.platform.posts("a").pop().unwrap();
    assert_eq!(last.text, "heard of: one");
    assert_told_once(&world, ["one".to_owned()]);
    world.finish().await;
}

#[tokio::test]
async fn a_model_that_says_nothing_about_a_result_is_not_asked_again() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    echo.once(TRIGGER, Fault::Nothing);
    tell(&world, &report("one")).await;
    until_told(&world, "one").await;
    world.at_rest().await;
    assert_eq!(tell(&world, &report("one")).await.state, "delivered");
    // The same after a kill.
    let hold = echo.hold(TRIGGER, Point::Start);
    tell(&world, &report("two")).await;
    hold.reached().await;
    world.kill_daemon().await;
    echo.always("", Fault::Nothing);
    hold.release();
    world.start();
    world.at_rest().await;
    assert_eq!(tell(&world, &report("two")).await.state, "delivered");
    let posts = world.platform.posts("a");
    assert!(
        posts.iter().all(|post| post.kind != "failure"),
        "{posts:#?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_result_that_finds_no_room_on_the_disk_holds_nobody_up() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    let spills = world.path().join("state/completions");
    fs::remove_dir_all(&spills).unwrap();
    fs::write(&spills, "in the way").unwrap();
    let long = CompletionReport {
        body: "x".repeat(40_000),
        ..report("long")
    };
    tell(&world, &long).await;
    let ask = world.platform.write("a", "still there");
    let posts = world.platform.settled(&ask).await;
    assert_eq!(posts[0].text, "echo: still there");
    fs::remove_file(&spills).unwrap();
    fs::create_dir(&spills).unwrap();
    world.platform.posted("heard of: long").await;
    assert_told_once(&world, ["long".to_owned()]);
    world.finish().await;
}

#[tokio::test]
async fn a_message_that_comes_while_turns_fail_shows_the_result_as_well() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    echo.always(TRIGGER, Fault::Failed("invalid_prompt", "no"));
    tell(&world, &report("one")).await;
    until_told(&world, "one").await;
    let ask = world.platform.write("a", "what about one");
    world.platform.settled(&ask).await;
    world.at_rest().await;
    let again = tell(&world, &report("one")).await;
    assert_eq!(again.state, "delivered", "{}", world.log());
    assert_told_once(&world, ["one".to_owned()]);
    world.finish().await;
}

#[tokio::test]
async fn an_urgent_message_interrupts_and_the_result_is_not_lost() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    let hold = echo.hold(TRIGGER, Point::MidStream);
    tell(&world, &report("one")).await;
    hold.reached().await;
    let urgent = world.platform.write("a", "! stop that");
    let posts = world.platform.settled(&urgent).await;
    assert_eq!(posts[0].kind, "answer", "{posts:?}");
    hold.release();
    world.at_rest().await;
    assert_told_once(&world, ["one".to_owned()]);
    assert_eq!(tell(&world, &report("one")).await.state, "delivered");
    world.finish().await;
}
