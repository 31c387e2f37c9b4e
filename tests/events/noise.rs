//! What codex says beside the turn itself: it is played by the test.

use serde_json::{Value, json};

use super::*;
use crate::support::daemon::Choices;
use crate::support::fake_app_server::{FakeAppServer, Peer};
use crate::support::model::Echo;

/// A turn of a codex that the test plays, and that has begun.
struct Begun {
    world: World,
    codex: Peer,
    message: String,
    _fake: FakeAppServer,
}

impl Begun {
    async fn new() -> Self {
        let fake = FakeAppServer::listen();
        let mut choices = Choices::standard();
        choices.transport = Some(fake.address());
        let mut world = World::new(Echo::new().start().await, &choices);
        world.start();
        let mut codex = fake.accept_and_greet().await;
        codex.take_skills().await;
        let message = world.platform.write("a", "hello");
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
        Self {
            world,
            codex,
            message,
            _fake: fake,
        }
    }

    /// Says something of the turn.
    async fn note(&mut self, method: &str, params: &Value) {
        let mut params = params.clone();
        params["threadId"] = json!("T");
        params["turnId"] = json!("1");
        self.codex.notify(method, params).await;
    }

    /// Ends the turn with an answer, and returns all that was told.
    async fn end(&mut self) -> Vec<EventRecord> {
        let item = json!({ "type": "agentMessage", "id": "m", "text": "SECRET", "phase": null });
        let done = json!({ "id": "1", "status": "completed", "items": [item] });
        self.codex
            .notify("turn/completed", json!({ "threadId": "T", "turn": done }))
            .await;
        self.world.platform.settled(&self.message).await;
        let mut stream = listen(&self.world, 0).await;
        until(&mut stream, "post.delivered").await
    }
}

#[tokio::test]
async fn a_turn_that_succeeds_after_retries_is_a_success_and_they_are_told() {
    let mut begun = Begun::new().await;
    let error = json!({ "message": "stream disconnected", "additionalDetails": "503" });
    for _ in 0..2 {
        let retry = json!({ "willRetry": true, "error": error });
        begun.note("error", &retry).await;
    }
    let told = begun.end().await;
    let retries: Vec<&str> = told
        .iter()
        .filter(|it| it.kind == "turn.retrying")
        .map(|it| it.message.as_str())
        .collect();
    assert_eq!(
        retries,
        ["codex tries the model again: stream disconnected: 503"; 2]
    );
    let ends = ["turn.completed", "turn.failed", "turn.noise"];
    let ends: Vec<&str> = kinds(&told)
        .into_iter()
        .filter(|kind| ends.contains(kind))
        .collect();
    assert_eq!(ends, ["turn.completed"]);
}

#[tokio::test]
async fn what_the_model_says_on_the_way_is_progress_and_its_answer_is_none() {
    let mut begun = Begun::new().await;
    let said = |text: &str, phase: Value| {
        let item = json!({ "type": "agentMessage", "id": "m", "text": text, "phase": phase });
        json!({ "item": item })
    };
    let tool = |status: &str| {
        let item = json!({
            "type": "mcpToolCall", "id": "t", "server": "docs", "tool": "search", "status": status,
            "arguments": { "query": "SECRET" }, "result": { "content": "SECRET" },
        });
        json!({ "item": item })
    };
    begun
        .note("item/completed", &said("I look", json!("commentary")))
        .await;
    begun
        .note("item/completed", &said("first I search", json!(null)))
        .await;
    begun.note("item/started", &tool("inProgress")).await;
    begun.note("item/completed", &tool("failed")).await;
    begun
        .note("item/completed", &said("SECRET", json!(null)))
        .await;
    let told = begun.end().await;
    let sentences: Vec<String> = told
        .iter()
        .filter(|it| ["turn.progress", "turn.tool"].contains(&it.kind.as_str()))
        .map(|it| it.message.split(" (").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        sentences,
        [
            "I look",
            "first I search",
            "uses docs.search",
            "used docs.search, which failed"
        ]
    );
    assert!(!on_disk(&begun.world).contains("SECRET"), "{told:?}");
}

#[tokio::test]
async fn noise_is_summed_up_once_with_exact_counts_and_messages_of_the_model_are_none() {
    let mut begun = Begun::new().await;
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
            begun.note(method, &params).await;
        }
    }
    // What concerns the thread as a whole has no turn.
    begun
        .codex
        .notify("warning", json!({ "threadId": "T", "message": "SECRET" }))
        .await;
    let heard = begun.end().await;
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
    begun.world.kill_daemon().await;
    assert!(!on_disk(&begun.world).contains("SECRET"));
}
