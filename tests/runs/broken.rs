//! Runs whose daemon ends in the middle.

use pretty_assertions::assert_eq;
use tieline::control::RunsPage;

use super::{anything, client, done, ended, order, processes, prompt, read, running};
use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault, Point, times_told, within};

async fn restart(world: &mut World) {
    world.start();
    world.ready(0).await;
}

#[tokio::test]
async fn after_a_crash_what_ran_is_unclear_and_what_waited_goes_on() {
    let echo = Echo::new();
    echo.once("first", Fault::Command("setsid sleep 5432 & sleep 5433"));
    let (mut world, client) = running(&echo, &anything().with("runs = { parallel = 1 }")).await;
    let first = order(&client, &prompt("first")).await;
    let second = order(&client, &prompt("second")).await;
    let third = order(&client, &prompt("third")).await;
    within("a detached command", async {
        while !processes(&first).iter().any(|it| it.contains("sleep 5432")) {
            // Nothing tells of a process but looking.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    world.kill_daemon().await;
    restart(&mut world).await;

    assert_eq!(processes(&first), [""; 0]);
    let broken = read(&client, &first).await;
    assert_eq!(broken.run.status, "unclear", "{broken:#?}");
    assert!(broken.run.terminal && broken.run.thread.is_some());
    for id in [&second, &third] {
        let run = ended(&client, id).await;
        assert!(run.run.completed, "{run:#?}");
    }
    assert_eq!(times_told(&world.model, "first"), 1, "it is not repeated");
}

#[tokio::test]
async fn a_daemon_that_stops_ends_what_runs_and_says_so() {
    let echo = Echo::new();
    let hold = echo.hold("hang", Point::Start);
    let (mut world, client) =
        running(&echo, &Choices::standard().with("runs = { parallel = 1 }")).await;
    let id = order(&client, &prompt("hang")).await;
    let waits = order(&client, &prompt("later")).await;
    hold.reached().await;
    assert_eq!(world.stop_daemon().await, Some(0));
    assert_eq!(processes(&id), [""; 0]);
    restart(&mut world).await;
    let run = read(&client, &id).await;
    assert_eq!(run.run.status, "cancelled", "{run:#?}");
    let problem = run.run.failure_message.unwrap();
    assert!(problem.contains("daemon was stopped"), "{problem}");
    assert!(ended(&client, &waits).await.run.completed);
}

#[tokio::test]
async fn runs_are_listed_after_a_restart_as_before() {
    let echo = Echo::new();
    echo.once("bad", Fault::Status(400, "{\"error\":\"bad\"}", None));
    let (mut world, client) = running(&echo, &Choices::standard()).await;
    let mut whole = Vec::new();
    for text in ["one", "bad", "three"] {
        whole.push(done(&client, &prompt(text)).await);
    }
    let routes = [
        "/v1/runs".to_owned(),
        "/v1/runs?state=failed".to_owned(),
        "/v1/runs?dispatcher=other".to_owned(),
        "/v1/runs?limit=2".to_owned(),
    ];
    let mut before: Vec<RunsPage> = Vec::new();
    for route in &routes {
        before.push(client.get(route).await.unwrap());
    }
    let count: Vec<usize> = before.iter().map(|page| page.runs.len()).collect();
    assert_eq!(count, [3, 1, 0, 2]);
    let cursor = before[3].next.clone().unwrap();
    let rest = format!("/v1/runs?limit=2&cursor={cursor}");
    let rest_before: RunsPage = client.get(&rest).await.unwrap();
    assert_eq!((rest_before.runs.len(), &rest_before.next), (1, &None));

    world.stop_daemon().await;
    restart(&mut world).await;
    for (route, before) in routes.iter().zip(&before) {
        assert_eq!(&client.get::<RunsPage>(route).await.unwrap(), before);
    }
    assert_eq!(client.get::<RunsPage>(&rest).await.unwrap(), rest_before);
    for run in whole {
        assert_eq!(read(&client, &run.run.id.to_string()).await, run);
    }
}

#[tokio::test]
async fn an_order_that_is_repeated_under_its_key_is_done_once() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let echo = Echo::new();
    let hold = echo.hold("once", Point::Start);
    let (mut world, _) = running(&echo, &Choices::standard()).await;
    let socket = world.path().join("state/control.sock");
    let ask = async |body: &str| {
        let request = format!(
            "POST /v1/dispatchers/test/runs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             idempotency-key: k1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let body = "{\"prompt\":\"once\"}";
    let first = ask(body).await;
    assert!(first.starts_with("HTTP/1.1 202"), "{first}");
    hold.reached().await;
    let again = ask(body).await;
    assert!(
        again.starts_with("HTTP/1.1 202") && again.contains("idempotent-replayed: true"),
        "{again}"
    );
    hold.release();
    world.stop_daemon().await;
    restart(&mut world).await;
    let later = ask(body).await;
    assert!(later.contains("idempotent-replayed: true"), "{later}");
    let other = ask("{\"prompt\":\"twice\"}").await;
    assert!(other.contains("key-reused"), "{other}");
    let page: RunsPage = client(&world).get("/v1/runs").await.unwrap();
    assert_eq!(page.runs.len(), 1);
    assert_eq!(times_told(&world.model, "once"), 1);
}
