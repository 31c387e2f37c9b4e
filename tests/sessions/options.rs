//! What a session and a turn are set up with, as the real Codex tells the model.

use std::sync::Arc;

use tieline::demo::model::Request;

use super::*;
use crate::support::model::Fault;

/// Returns what the latest request runs with.
fn latest(program: &Program) -> Arc<Request> {
    program.world.model.requests().last().unwrap().clone()
}

fn body(request: &Request, pointer: &str) -> Value {
    request.setting(pointer).cloned().unwrap_or(Value::Null)
}

#[tokio::test]
async fn what_one_turn_has_another_way_the_next_one_has_not() {
    let echo = Echo::new();
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard()
    };
    let mut program = Program::start(&echo, &choices).await;
    let other = program.world.path().join("work/other");
    std::fs::create_dir(&other).unwrap();
    let session = program
        .open(json!({ "base_instructions": "BE BRIEF", "developer_instructions": "SAY WHY" }))
        .await;
    program.ask(&session, json!({ "input": "plain" })).await;
    let plain = latest(&program);
    assert!(plain.developer_texts().concat().contains("SAY WHY"));
    let own = |request: &Request| {
        [
            "/model",
            "/reasoning/effort",
            "/reasoning/summary",
            "/service_tier",
            "/text/format",
        ]
        .map(|pointer| body(request, pointer))
    };
    for restart in [false, true] {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "type": "string" } },
            "required": ["a"],
            "additionalProperties": false,
        });
        echo.once("special", Fault::Command("pwd"));
        let special = json!({
            "input": "special", "model": "another", "effort": "high", "summary": "detailed",
            "service_tier": "flex", "personality": "friendly", "cwd": "other",
            "approval_policy": "on-request", "sandbox_policy": { "type": "readOnly" },
            "output_schema": schema,
        });
        let reply = program.ask(&session, special).await;
        assert!(reply.contains(&*other.to_string_lossy()), "{reply}");
        let request = latest(&program);
        assert_eq!(body(&request, "/model"), "another");
        assert_eq!(body(&request, "/reasoning/effort"), "high");
        assert_eq!(body(&request, "/reasoning/summary"), "detailed");
        assert_eq!(body(&request, "/service_tier"), "flex");
        assert_eq!(body(&request, "/text/format/schema"), schema);
        if restart {
            program.world.kill_daemon().await;
            program.world.start();
            program.world.ready(0).await;
        }
        echo.once(
            "ordinary",
            Fault::Command("pwd; touch written && echo wrote"),
        );
        let reply = program.ask(&session, json!({ "input": "ordinary" })).await;
        assert!(!reply.contains("other"), "{reply}");
        assert!(reply.contains("wrote"), "{reply}");
        assert_eq!(own(&latest(&program)), own(&plain));
    }
    program.world.finish().await;
}

#[tokio::test]
async fn a_plan_is_over_with_its_turn() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let mode = json!({ "mode": "plan", "settings": { "model": "planner" } });
    let plan = json!({ "input": "plan it", "collaboration_mode": mode });
    program.ask(&session, plan).await;
    assert_eq!(body(&latest(&program), "/model"), "planner");
    let told = latest(&program).developer_texts().concat();
    assert!(told.contains("Plan Mode"), "{told}");
    program.ask(&session, json!({ "input": "do it" })).await;
    let request = latest(&program);
    assert_ne!(body(&request, "/model"), "planner");
    let last = request.developer_texts().last().unwrap().to_string();
    assert!(last.contains("Collaboration Mode: Default"), "{last}");
    program.world.finish().await;
}

#[tokio::test]
async fn parts_reach_the_model_in_their_order() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let input = json!([
        { "type": "text", "text": "alpha" },
        { "type": "mention", "name": "m", "path": "app://m" },
        { "type": "text", "text": "omega" },
    ]);
    program.ask(&session, json!({ "input": input })).await;
    let request = latest(&program);
    let texts = request.user_texts();
    let end = &texts[texts.len() - 2..];
    assert_eq!(end, ["alpha", "omega"]);
    let remote = json!([{ "type": "image", "url": "https://example.org/i.png" }]);
    let refused = program.try_give(&session, json!({ "input": remote })).await;
    assert_eq!(code(refused), "bad-request");
    program.world.finish().await;
}
