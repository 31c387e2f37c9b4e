//! What Codex is sent, as the test sees that plays it.

use super::*;
use crate::support::fake_app_server::{Asked, FakeAppServer, Peer};

const THREAD: &str = "01a1fb3a-516e-7e63-8b05-e9873b103bec";

/// A daemon whose app-server the test plays.
async fn played(sandbox: &'static str) -> (World, Client, Peer) {
    let fake = FakeAppServer::listen();
    let choices = Choices {
        transport: Some(fake.address()),
        sandbox,
        ..Choices::standard()
    };
    let mut world = World::new(Echo::new().start().await, &choices);
    let client = Client::new(&world.path().join("state/control.sock"));
    world.start();
    let mut peer = fake.accept_and_greet().await;
    peer.take_skills().await;
    world.ready(0).await;
    (world, client, peer)
}

fn opened(thread: &str) -> Value {
    json!({
        "thread": { "id": thread, "status": { "type": "idle" }, "path": null, "turns": [] },
        "model": "m", "modelProvider": "p", "cwd": "/", "reasoningEffort": null,
        "sandbox": { "type": "dangerFullAccess" }, "serviceTier": null,
    })
}

/// Answers the opening of a thread, and returns what was asked.
async fn open(peer: &mut Peer, method: &str) -> Value {
    let asked = peer.expect(method).await;
    peer.answer(&asked, opened(THREAD)).await;
    asked.params
}

/// Plays a turn that is answered with a word, and returns what was asked.
async fn turn(peer: &mut Peer, number: u32) -> Value {
    let asked: Asked = peer.expect("turn/start").await;
    let id = format!("turn-{number}");
    let running = json!({ "id": id, "status": "inProgress", "items": [], "error": null });
    peer.answer(&asked, json!({ "turn": running })).await;
    let message = json!({
        "type": "userMessage", "id": format!("u{number}"), "content": [],
        "clientId": asked.params["clientUserMessageId"],
    });
    let answer = json!({ "type": "agentMessage", "id": format!("a{number}"), "text": "done",
                         "phase": "final_answer" });
    for (method, rest) in [
        ("turn/started", json!({ "turn": running })),
        ("item/completed", json!({ "turnId": id, "item": message })),
        ("item/completed", json!({ "turnId": id, "item": answer })),
        (
            "turn/completed",
            json!({ "turn": { "id": id, "status": "completed", "items": [answer], "error": null } }),
        ),
    ] {
        let mut params = rest;
        params["threadId"] = THREAD.into();
        peer.notify(method, params).await;
    }
    asked.params
}

#[tokio::test]
async fn each_option_of_a_session_is_sent_when_its_thread_is_opened() {
    let (world, client, mut peer) = played("danger-full-access").await;
    let wanted = json!({
        "approval_policy": "on-request", "base_instructions": "base",
        "developer_instructions": "developer", "sandbox": "read-only", "model": "m",
        "model_provider": "p", "service_tier": "flex", "personality": "friendly",
        "config": { "model_reasoning_effort": "high" }, "cwd": "/usr", "purpose": "why",
    });
    let expected = json!({
        "approvalPolicy": "on-request", "baseInstructions": "base",
        "developerInstructions": "developer", "sandbox": "read-only", "model": "m",
        "modelProvider": "p", "serviceTier": "flex", "personality": "friendly", "cwd": "/usr",
    });
    for (thread, method) in [(None, "thread/start"), (Some(THREAD), "thread/resume")] {
        let mut wanted = wanted.clone();
        if let Some(thread) = thread {
            wanted["thread"] = thread.into();
        }
        let wanted: NewSession = serde_json::from_value(wanted).unwrap();
        let asker = client.clone();
        let asking = aside(async move { asker.open_session("test", &wanted).await.unwrap() });
        let asked = open(&mut peer, method).await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(asked[field], *value, "{method} {field}");
        }
        assert_eq!(asked["config"]["model_reasoning_effort"], "high");
        assert_eq!(asked["threadId"].as_str(), thread);
        match thread {
            None => {
                let named = peer.expect("thread/name/set").await;
                assert_eq!(named.params["name"], "why");
                peer.answer(&named, json!({})).await;
            }
            Some(_) => {
                let newest = peer.expect("thread/turns/list").await;
                peer.answer(&newest, json!({ "data": [], "nextCursor": null }))
                    .await;
            }
        }
        let session = asking.answer().await;
        assert_eq!(session.state, "active");
        let closing = {
            let client = client.clone();
            aside(async move { client.close_session(&session.id.to_string()).await })
        };
        let clean = peer.expect("thread/backgroundTerminals/clean").await;
        peer.answer(&clean, json!({})).await;
        let left = peer.expect("thread/unsubscribe").await;
        peer.answer(&left, json!({ "status": "unsubscribed" }))
            .await;
        closing.answer().await.unwrap();
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_not_asked_for_is_left_out_and_an_ephemeral_thread_gets_no_name() {
    let (world, client, mut peer) = played("read-only").await;
    let wanted: NewSession = serde_json::from_value(json!({ "ephemeral": true })).unwrap();
    let asking = aside(async move { client.open_session("test", &wanted).await.unwrap() });
    let asked = open(&mut peer, "thread/start").await;
    for absent in [
        "model",
        "modelProvider",
        "serviceTier",
        "personality",
        "baseInstructions",
        "developerInstructions",
        "dynamicTools",
    ] {
        assert_eq!(asked.get(absent), None, "{absent}");
    }
    assert_eq!(
        (&asked["ephemeral"], &asked["sandbox"]),
        (&json!(true), &json!("read-only"))
    );
    assert_eq!(asking.answer().await.state, "active");
    drop(peer);
    world.finish().await;
}

#[tokio::test]
async fn each_option_of_a_turn_is_sent_with_it_and_taken_back_with_the_next() {
    let (world, client, mut peer) = played("danger-full-access").await;
    let asker = client.clone();
    let asking = aside(async move {
        asker
            .open_session("test", &NewSession::default())
            .await
            .unwrap()
    });
    open(&mut peer, "thread/start").await;
    let named = peer.expect("thread/name/set").await;
    peer.answer(&named, json!({})).await;
    let session = asking.answer().await.id.to_string();
    let schema = json!({ "type": "object" });
    let mode = json!({
        "mode": "plan",
        "settings": { "model": "x", "reasoning_effort": null, "developer_instructions": null },
    });
    let first = json!({
        "input": [{ "type": "text", "text": "a" }, { "type": "localImage", "path": "/i.png" }],
        "model": "x", "effort": "high", "cwd": "/usr", "sandbox_policy": { "type": "readOnly" },
        "approval_policy": "untrusted", "service_tier": "flex", "personality": "pragmatic",
        "summary": "concise", "output_schema": schema, "collaboration_mode": mode,
    });
    let first: NewTurn = serde_json::from_value(first).unwrap();
    client.give_turn(&session, &first).await.unwrap();
    let asked = turn(&mut peer, 1).await;
    assert_eq!(
        asked["input"],
        json!([{ "type": "text", "text": "a" }, { "type": "localImage", "path": "/i.png" }])
    );
    for (field, value) in [
        ("model", json!("x")),
        ("effort", json!("high")),
        ("cwd", json!("/usr")),
        (
            "sandboxPolicy",
            json!({ "type": "readOnly", "networkAccess": false }),
        ),
        ("approvalPolicy", json!("untrusted")),
        ("serviceTier", json!("flex")),
        ("personality", json!("pragmatic")),
        ("summary", json!("concise")),
        ("outputSchema", schema),
        ("collaborationMode", mode),
    ] {
        assert_eq!(asked[field], value, "{field}");
    }

    let second: NewTurn = serde_json::from_value(json!({ "input": "b" })).unwrap();
    client.give_turn(&session, &second).await.unwrap();
    let asked = turn(&mut peer, 2).await;
    assert_eq!(asked["input"], json!([{ "type": "text", "text": "b" }]));
    for (field, value) in [
        ("model", json!("m")),
        ("cwd", json!(world.path().join("work"))),
        ("sandboxPolicy", json!({ "type": "dangerFullAccess" })),
        ("serviceTier", Value::Null),
        ("personality", json!("none")),
        ("summary", json!("auto")),
    ] {
        assert_eq!(asked.get(field), Some(&value), "{field}");
    }
    assert_eq!(asked["collaborationMode"]["mode"], "default");
    assert_eq!(
        asked["collaborationMode"]["settings"]["reasoning_effort"],
        Value::Null
    );
    assert_eq!(asked.get("outputSchema"), None);
    drop(peer);
    world.finish().await;
}
