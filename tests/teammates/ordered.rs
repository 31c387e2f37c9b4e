//! What a model orders while its calls and their answers are on the way.

use super::*;
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

/// The answer to a call.
const ANSWER: &str = "\"contentItems\"";
const CALL: &str = "\"item/tool/call\"";
const RESUME: &str = "\"thread/resume\"";

/// The model gives `worker` a task when a person writes `key`.
fn will_send(echo: &Echo, key: &str, task: &str) {
    let arguments = serde_json::json!({"name": "worker", "task": task});
    will_call(echo, key, "send_to_teammate", arguments);
}

#[tokio::test]
async fn a_connection_that_breaks_around_an_order_gives_the_task_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    spawn(&mut proxied.world, &echo, "worker", "warm up").await;
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    let steps = [
        (To::Daemon, CALL, Mishap::Before),
        (To::Daemon, CALL, Mishap::Halfway),
        (To::Daemon, CALL, Mishap::After),
        (To::Server, ANSWER, Mishap::Before),
        (To::Server, ANSWER, Mishap::Halfway),
        (To::Server, ANSWER, Mishap::After),
    ];
    for (number, (to, frame, mishap)) in (2..).zip(steps) {
        let key = format!("order {number}.");
        will_send(&echo, &key, &format!("task {number}."));
        let mut seen = proxied.proxy.at_frame(to, frame, mishap);
        let id = proxied.world.platform.write("a", &key);
        seen.seen().await;
        let settling = proxied.world.platform.settled(&id).await;
        assert!(settling[0].text.contains("given"), "{settling:#?}");
        heard_of(&proxied.world, "worker", number).await;
        proxied.world.at_rest().await;
    }
    let results = (1..2 + u32::try_from(steps.len()).unwrap()).map(|it| result("worker", it));
    assert_told_once(&proxied.world, results);
    let posts = proxied.world.platform.posts("a");
    let handed = posts.iter().filter(|post| post.text.contains("Handed to"));
    assert_eq!(handed.count(), 1 + steps.len(), "{posts:#?}");
    proxied.finish().await;
}

#[tokio::test]
async fn a_killed_daemon_that_is_asked_again_has_given_the_task_once() {
    let echo = Echo::new();
    let mut proxied = Proxied::outside(&echo, Choices::standard()).await;
    spawn(&mut proxied.world, &echo, "worker", "first").await;
    heard_of(&proxied.world, "worker", 1).await;
    proxied.world.at_rest().await;
    will_send(&echo, "once", "only once");
    // The task is on disk, and the answer to the call never arrives; nor does the daemon come back
    // before it is killed.
    let mut answered = proxied.proxy.at_frame(To::Server, ANSWER, Mishap::Before);
    let mut back = proxied.proxy.at_frame(To::Server, RESUME, Mishap::Hold);
    let id = proxied.world.platform.write("a", "once");
    answered.seen().await;
    back.seen().await;
    proxied.world.kill_daemon().await;
    proxied.proxy.hold(false);
    proxied.world.start();
    let settling = proxied.world.platform.settled(&id).await;
    assert!(settling[0].text.contains("given"), "{settling:#?}");
    heard_of(&proxied.world, "worker", 2).await;
    proxied.world.at_rest().await;
    assert_told_once(&proxied.world, [result("worker", 1), result("worker", 2)]);
    let repeated = proxied.world.logged("asks for a call again");
    assert_eq!(repeated.len(), 1, "{}", proxied.world.log());
    proxied.finish().await;
}
