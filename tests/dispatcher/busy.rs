//! What happens to a message that comes while its lane's turn runs.

use super::*;
use crate::support::model::{Point, times_told};

#[tokio::test]
async fn queued_messages_of_one_chat_go_together_in_the_next_turn() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("the long one", Point::MidStream);
    let long = world.platform.write("a", "the long one");
    hold.reached().await;
    let burst: Vec<_> = ["one", "two", "three"]
        .iter()
        .map(|text| world.platform.write("a", text))
        .collect();
    for id in &burst {
        world.platform.acked(id).await;
    }
    hold.release();
    assert_eq!(
        world.platform.settled(&long).await[0].text,
        "echo: the long one"
    );
    let posts = world.platform.settled(&burst[2]).await;
    assert_eq!(posts[0].text, "echo: one\necho: two\necho: three");
    assert_eq!(posts[0].settles, burst);
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn another_chats_long_turn_blocks_nobody() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("slow", Point::MidStream);
    let slow = world.platform.write("a", "slow");
    hold.reached().await;
    let quick = world.platform.write("b", "quick");
    assert_eq!(world.platform.settled(&quick).await[0].text, "echo: quick");
    hold.release();
    world.platform.settled(&slow).await;
    world.finish().await;
}

#[tokio::test]
async fn steered_messages_join_the_running_turn() {
    let echo = Echo::new();
    let choices = Choices::standard().with("on_busy = \"steer\"");
    let mut world = running(&echo, &choices).await;
    let hold = echo.hold("first", Point::MidStream);
    let first = world.platform.write("a", "first");
    hold.reached().await;
    let second = world.platform.write("a", "second");
    world.platform.acked(&second).await;
    // Codex asks the model again, with both.
    crate::support::model::wait_for_requests(&world.model, "the steered request", |requests| {
        requests.iter().any(|request| {
            request
                .last_user_text()
                .is_some_and(|text| text.contains("second"))
        })
    })
    .await;
    hold.release();
    let posts = world.platform.settled(&second).await;
    assert_eq!(posts[0].settles, [first, second], "{posts:?}");
    assert_eq!(times_told(&world.model, "second"), 1);
    world.finish().await;
}

#[tokio::test]
async fn interrupting_stops_the_turn_and_takes_the_newer_message() {
    let echo = Echo::new();
    let choices = Choices::standard().with("on_busy = \"interrupt\"");
    let mut world = running(&echo, &choices).await;
    let hold = echo.hold("old news", Point::MidStream);
    let old = world.platform.write("a", "old news");
    hold.reached().await;
    let new = world.platform.write("a", "news");
    let posts = world.platform.settled(&old).await;
    assert!(posts[0].text.contains("Stopped"), "{posts:?}");
    assert_eq!(world.platform.settled(&new).await[0].text, "echo: news");
    world.finish().await;
}

#[tokio::test]
async fn an_exclamation_mark_interrupts_whatever_the_policy() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("old news", Point::MidStream);
    let old = world.platform.write("a", "old news");
    hold.reached().await;
    let waiting = world.platform.write("a", "patient");
    world.platform.acked(&waiting).await;
    let urgent = world.platform.write("a", "!now");
    let posts = world.platform.settled(&old).await;
    assert!(posts[0].text.contains("Stopped"), "{posts:?}");
    assert_eq!(world.platform.settled(&urgent).await[0].text, "echo: now");
    assert_eq!(
        world.platform.settled(&waiting).await[0].text,
        "echo: patient"
    );
    world.finish().await;
}

#[tokio::test]
async fn an_older_urgent_message_does_not_stop_a_newer_one() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let begun = echo.hold("old news", Point::MidStream);
    let old = world.platform.write("a", "old news");
    begun.reached().await;
    let first = world.platform.write("a", "!urgent one");
    let second = world.platform.write("a", "!urgent two");
    world.platform.settled(&old).await;
    let settled = [
        world.platform.settled(&first).await,
        world.platform.settled(&second).await,
    ];
    assert_eq!(settled[1][0].text, "echo: urgent two");
    // The first one ran, or made room for the second one, which is newer.
    let text = &settled[0][0].text;
    assert!(
        text == "echo: urgent one" || text.contains("newer message"),
        "{text}"
    );
    world.finish().await;
}

#[tokio::test]
async fn everybody_who_waits_for_a_shared_thread_is_told_of_an_outage() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    choices.dispatcher = choices.dispatcher.replace("\"chat\"", "\"shared\"");
    let mut world = World::new(echo.start().await, &choices);
    let home = world.home();
    let hidden = world.path().join("hidden");
    std::fs::rename(&home, &hidden).unwrap();
    world.start();
    let waiting: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|chat| world.platform.write(chat, &format!("from {chat}")))
        .collect();
    for id in &waiting {
        world.platform.acked(id).await;
    }
    world.platform.posted("Codex does not start").await;
    std::fs::rename(&hidden, &home).unwrap();
    for (id, chat) in waiting.iter().zip(["a", "b", "c"]) {
        let posts = world.platform.settled(id).await;
        assert_eq!(posts[0].text, format!("echo: from {chat}"));
        let told = world.platform.posts(chat);
        let told = told
            .iter()
            .filter(|post| post.text.contains("Codex does not start"));
        assert_eq!(told.count(), 1, "{chat}");
    }
    // A reason that stays the same is worth one warning.
    let warned = world.logged("codex did not start");
    let warned = warned.iter().filter(|line| line.contains("WARN"));
    assert_eq!(warned.count(), 1);
    world.finish().await;
}
