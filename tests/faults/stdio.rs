//! The same faults with codex on its standard input and output: there is no second connection, so
//! whatever breaks it replaces the child.

use super::*;
use crate::support::model::Point;

fn over_pipes() -> Choices {
    let mut choices = Choices::standard();
    choices.transport = Some("stdio".to_owned());
    choices
}

#[tokio::test]
async fn over_pipes_a_conversation_goes_on_over_a_restart() {
    let echo = Echo::new();
    let mut world = running(&echo, &over_pipes()).await;
    for text in ["one", "two"] {
        let id = world.platform.write("a", text);
        let posts = world.platform.settled(&id).await;
        assert_eq!(posts[0].text, format!("echo: {text}"));
    }
    let command = std::fs::read(format!(
        "/proc/{}/cmdline",
        world.app_server().unwrap().as_raw_nonzero()
    ));
    let command = String::from_utf8(command.unwrap()).unwrap();
    assert!(command.contains("stdio://"), "{command}");
    assert_eq!(world.stop_daemon().await, Some(0));
    assert_eq!(world.codex_pids(), Vec::new());
    world.start();
    let id = world.platform.write("a", "three");
    world.platform.settled(&id).await;
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["one", "two", "three"]);
    assert_eq!(crate::support::model::told(&world.model).len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn over_pipes_a_child_killed_after_turn_start_is_replaced() {
    kill_child_at(Point::Start).await;
}

#[tokio::test]
async fn over_pipes_a_child_killed_mid_stream_is_replaced() {
    kill_child_at(Point::MidStream).await;
}

#[tokio::test]
async fn over_pipes_a_child_killed_after_the_answer_is_not_asked_again() {
    kill_child_at(Point::BeforeEnd).await;
}

async fn kill_child_at(point: Point) {
    let echo = Echo::new();
    let mut world = running(&echo, &over_pipes()).await;
    let hold = echo.hold("fragile", point);
    let id = world.platform.write("a", "fragile");
    hold.reached().await;
    kill_app_server(&world).await;
    assert_eq!(world.platform.settled(&id).await[0].text, "echo: fragile");
    world.platform.tally().assert_exactly_once();
    assert_told_once(&world, &["fragile"]);
    world.finish().await;
}

#[tokio::test]
async fn over_pipes_a_daemon_killed_mid_turn_leaves_no_child_and_the_next_one_goes_on() {
    for point in [Point::Start, Point::MidStream, Point::BeforeEnd] {
        let echo = Echo::new();
        let mut world = running(&echo, &over_pipes()).await;
        let hold = echo.hold("fragile", point);
        let id = world.platform.write("a", "fragile");
        hold.reached().await;
        let orphan = world.app_server().unwrap();
        world.kill_daemon().await;
        // Its standard input has ended, and so has it.
        crate::support::model::within("the orphan's end", world.gone(orphan)).await;
        world.start();
        assert_eq!(world.platform.settled(&id).await[0].text, "echo: fragile");
        world.platform.tally().assert_exactly_once();
        assert_told_once(&world, &["fragile"]);
        world.finish().await;
    }
}
