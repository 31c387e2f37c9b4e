//! Orders that are repeated because their answers were lost.

use serde_json::{Value, json};
use tieline::control::{Client, FurtherTask, NewTeammate, TeammateDetails, teammate_route};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::raw;
use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Point, within};

/// Returns a request that gives an order under a key.
fn order(key: &str, route: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /v1/dispatchers/test/{route} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Waits until the daemon has such a teammate, with so many tasks.
async fn has(client: &Client, name: &str, tasks: usize) {
    let there = async {
        loop {
            let route = teammate_route("test", name);
            if let Ok(details) = client.get::<TeammateDetails>(&route).await
                && details.tasks.len() + details.waiting_tasks.len() == tasks
            {
                return;
            }
            // The daemon is asked, for it does not tell by itself.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    within("a teammate with its tasks", there).await;
}

#[tokio::test]
async fn an_order_whose_answer_was_lost_with_the_daemon_is_repeated_and_carried_out_once() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    let socket = world.path().join("state/control.sock");
    let client = Client::new(&socket);
    world.start();
    world.ready(0).await;
    let hold = echo.hold("first", Point::MidStream);

    let orders = [
        ("teammates", json!({ "name": "worker", "task": "first" }), 1),
        ("teammates/worker/tasks", json!({ "task": "second" }), 2),
    ];
    for (route, body, tasks) in &orders {
        let order = order("the-key", route, body);
        // Nobody reads the answer: the daemon dies after the commit.
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(&order).await.unwrap();
        has(&client, "worker", *tasks).await;
        world.kill_daemon().await;
        drop(stream);
        world.start();
        world.ready(0).await;

        for _ in 0..2 {
            let answer = raw(&socket, &order).await;
            assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
            assert!(answer.contains("idempotent-replayed: true"), "{answer}");
        }
        has(&client, "worker", *tasks).await;
    }
    hold.release();
    world.at_rest().await;
    for text in ["first", "second"] {
        let told = world.model.requests().into_iter().filter(|request| {
            let asked = request.last_user_text();
            asked.is_some_and(|it| it.contains("<task ") && it.contains(text))
        });
        assert!(told.count() >= 1, "{text} was not done");
    }
    has(&client, "worker", 2).await;
    world.finish().await;
}

#[tokio::test]
async fn the_client_repeats_by_itself_what_a_daemon_that_was_restarted_had_begun() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    let client = Client::new(&world.path().join("state/control.sock"));
    world.start();
    world.ready(0).await;
    let hold = echo.hold("first", Point::MidStream);
    let wanted = NewTeammate {
        name: "worker".to_owned(),
        task: "first".to_owned(),
        ..NewTeammate::default()
    };
    client.spawn("test", &wanted).await.unwrap();
    // Many at once, so that some are on their way when the daemon dies.
    let tasks = (0..10).map(|number| FurtherTask {
        task: format!("task {number}"),
        lane: None,
    });
    let mut given = tokio::task::JoinSet::new();
    for task in tasks {
        let client = client.clone();
        given.spawn(async move { client.assign("test", "worker", &task).await });
    }
    world.kill_daemon().await;
    world.start();
    let mut n_given = 0;
    while let Some(answer) = given.join_next().await {
        // One that found nobody there had not begun, and was not repeated.
        n_given += usize::from(answer.unwrap().is_ok());
    }
    world.ready(0).await;
    has(&client, "worker", 1 + n_given).await;
    hold.release();
    world.finish().await;
}
