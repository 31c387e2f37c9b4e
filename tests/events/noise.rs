//! What codex says beside the turn itself: it is played by the test.

use serde_json::{Value, json};

use super::*;
use crate::support::daemon::Choices;
use crate::support::fake_app_server::FakeAppServer;
use crate::support::model::Echo;

#[tokio::test]
async fn noise_is_summed_up_once_with_exact_counts_and_messages_of_the_model_are_none() {
    let fake = FakeAppServer::listen();
    let mut choices = Choices::standard();
    choices.transport = Some(fake.address());
    let mut world = World::new(Echo::new().start().await, &choices);
    world.start();
    let mut codex = fake.accept_and_greet().await;
    codex.take_skills().await;
    let id = world.platform.write("a", "hello");
    let asked = codex.expect("thread/start").await;
    let thread = json!({
        "thread": { "id": "T", "status": { "type": "idle" } },
        "model": "m", "modelProvider": "p", "cwd": "/",
    });
    codex.answer(&asked, thread).await;
    let asked = codex.expect("turn/start").await;
    let begun = json!({ "id": "1", "status": "inProgress" });
    codex.answer(&asked, json!({ "turn": begun })).await;
    codex
        .notify("turn/started", json!({ "threadId": "T", "turn": begun }))
        .await;
    let item = |kind: &str| json!({ "type": kind, "id": "i", "text": "SECRET", "phase": null });
    let delta = json!({ "itemId": "i", "delta": "SECRET" });
    let said: [(&str, Value, usize); 10] = [
        ("thread/tokenUsage/updated", json!({ "tokenUsage": {} }), 3),
        ("item/reasoning/textDelta", delta.clone(), 5),
        ("item/reasoning/summaryTextDelta", delta.clone(), 4),
        ("item/started", json!({ "item": item("reasoning") }), 2),
        ("item/completed", json!({ "item": item("reasoning") }), 2),
        ("item/completed", json!({ "item": item("imageView") }), 1),
        ("turn/diff/updated", json!({ "diff": "SECRET" }), 2),
        ("item/agentMessage/delta", delta, 7),
        ("item/started", json!({ "item": item("agentMessage") }), 1),
        ("item/completed", json!({ "item": item("agentMessage") }), 1),
    ];
    for (method, params, count) in said {
        for _ in 0..count {
            let mut params = params.clone();
            params["threadId"] = json!("T");
            params["turnId"] = json!("1");
            codex.notify(method, params).await;
        }
    }
    // What concerns the thread as a whole has no turn.
    codex
        .notify("warning", json!({ "threadId": "T", "message": "SECRET" }))
        .await;
    let done = json!({ "id": "1", "status": "completed", "items": [item("agentMessage")] });
    codex
        .notify("turn/completed", json!({ "threadId": "T", "turn": done }))
        .await;
    world.platform.settled(&id).await;

    let mut stream = listen(&world, 0).await;
    let heard = until(&mut stream, "post.delivered").await;
    let noise: Vec<&Value> = heard
        .iter()
        .filter(|it| it.kind == "turn.noise")
        .map(|it| &it.detail)
        .collect();
    let expected = json!({
        "notifications": [
            { "method": "item/completed", "count": 3 },
            { "method": "item/reasoning/summaryTextDelta", "count": 4 },
            { "method": "item/reasoning/textDelta", "count": 5 },
            { "method": "item/started", "count": 2 },
            { "method": "thread/tokenUsage/updated", "count": 3 },
            { "method": "turn/diff/updated", "count": 2 },
            { "method": "warning", "count": 1 },
        ],
        "items": [
            { "type": "imageView", "count": 1 },
            { "type": "reasoning", "count": 2 },
        ],
    });
    assert_eq!(noise, [&expected]);
    assert!(
        !heard.iter().any(|it| it.message.contains("SECRET")),
        "{heard:?}"
    );
    drop(stream);
    world.kill_daemon().await;
    assert!(!on_disk(&world).contains("SECRET"));
}
