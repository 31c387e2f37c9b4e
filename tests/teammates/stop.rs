//! Work that is stopped: by the model that handed it out, and by a person.

use super::*;
use tieline::control::CompletionReport;
use tieline::id::LaneId;
use tieline::ledger::CompletionStatus;

use crate::support::model::{Point, TRIGGER};

#[tokio::test]
async fn a_model_that_stops_a_teammate_is_not_told_what_came_of_it() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut world, &echo, "worker", "long work").await;
    hold.reached().await;
    will_call(
        &echo,
        "enough",
        "stop_teammate",
        serde_json::json!({"name": "worker"}),
    );
    let id = world.platform.write("a", "enough");
    let settling = world.platform.settled(&id).await;
    assert!(settling[0].text.contains("its turn ends"), "{settling:#?}");
    world.at_rest().await;
    assert_told_once(&world, []);
    // It is there for the next task, and knows the one before.
    let more = serde_json::json!({"name": "worker", "task": "short work"});
    will_call(&echo, "go on", "send_to_teammate", more);
    let id = world.platform.write("a", "go on");
    world.platform.settled(&id).await;
    heard_of(&world, "worker", 1).await;
    assert_told_once(&world, [result("worker", 1)]);
    world.finish().await;
}

#[tokio::test]
async fn whom_a_person_takes_the_work_away_from_is_told_so() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut world, &echo, "worker", "long work").await;
    hold.reached().await;
    let client = Client::new(&world.path().join("state/control.sock"));
    client.stop("test", "worker").await.unwrap();
    heard_of(&world, "worker", 1).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("status=\"stopped\""), "{told}");
    world.platform.posted("`worker` was stopped").await;
    world.at_rest().await;
    assert_told_once(&world, [result("worker", 1)]);
    world.finish().await;
}

#[tokio::test]
async fn a_teammate_that_is_closed_at_work_ends_and_stays_readable() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    spawn(&mut world, &echo, "worker", "first work").await;
    heard_of(&world, "worker", 1).await;
    let hold = echo.hold("long work", Point::MidStream);
    let more = serde_json::json!({"name": "worker", "task": "long work"});
    will_call(&echo, "go on", "send_to_teammate", more);
    let id = world.platform.write("a", "go on");
    world.platform.settled(&id).await;
    hold.reached().await;
    will_call(
        &echo,
        "enough",
        "close_teammate",
        serde_json::json!({"name": "worker"}),
    );
    let id = world.platform.write("a", "enough");
    world.platform.settled(&id).await;
    world.at_rest().await;
    will_call(
        &echo,
        "what was it",
        "read_teammate",
        serde_json::json!({"name": "worker", "count": 2}),
    );
    let id = world.platform.write("a", "what was it");
    let settling = world.platform.settled(&id).await;
    for expected in ["closed", "first work", "echo: first work", "long work"] {
        assert!(settling[0].text.contains(expected), "{settling:#?}");
    }
    let again = serde_json::json!({"name": "worker", "task": "anything"});
    will_call(&echo, "once more", "send_to_teammate", again);
    let id = world.platform.write("a", "once more");
    let settling = world.platform.settled(&id).await;
    assert!(settling[0].text.contains("is closed"), "{settling:#?}");
    assert_told_once(&world, [result("worker", 1)]);
    world.finish().await;
}

#[tokio::test]
async fn a_stop_holds_also_when_the_daemon_is_killed_before_it_is_carried_out() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let hold = echo.hold("long work", Point::MidStream);
    spawn(&mut world, &echo, "worker", "long work").await;
    hold.reached().await;
    // Codex cannot be told, and the daemon does not live to see it.
    let pid = world.app_server().unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let client = Client::new(&world.path().join("state/control.sock"));
    client.stop("test", "worker").await.unwrap();
    world.kill_daemon().await;
    world.start();
    heard_of(&world, "worker", 1).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("status=\"stopped\""), "{told}");
    world.at_rest().await;
    let requests = world.model.requests();
    let worked = requests.iter().filter(|request| {
        let text = request.last_user_text().unwrap_or_default();
        text.contains("long work") && text.starts_with("<task")
    });
    assert_eq!(worked.count(), 1, "it was gone on with");
    world.finish().await;
}

#[tokio::test]
async fn what_results_have_woken_a_teammate_for_is_stopped_for_good() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    spawn(&mut world, &echo, "worker", "first work").await;
    heard_of(&world, "worker", 1).await;
    world.at_rest().await;
    let hold = echo.hold(TRIGGER, Point::MidStream);
    let client = Client::new(&world.path().join("state/control.sock"));
    let build = CompletionReport {
        id: "build".to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: "green".to_owned(),
        lane: Some(LaneId::new("test/@worker")),
    };
    client.complete("test", &build).await.unwrap();
    hold.reached().await;
    client.stop("test", "worker").await.unwrap();
    heard_of(&world, "worker", 2).await;
    world.at_rest().await;
    let woken = |request: &&std::sync::Arc<tieline::demo::model::Request>| {
        let texts = request.developer_texts();
        let has_it = texts.iter().any(|text| text.contains("id=\"build\""));
        has_it
            && request
                .last_user_text()
                .is_some_and(|it| it.starts_with(TRIGGER))
    };
    let requests = world.model.requests();
    assert_eq!(
        requests.iter().filter(woken).count(),
        1,
        "it was woken again"
    );
    let again = client.complete("test", &build).await.unwrap();
    assert_eq!((again.repeated, &*again.state), (true, "delivered"));
    world.finish().await;
}
