//! From opening to closing.

use tieline::control::{ChangedSession, CompletionReport, Sessions, Turns};
use tieline::ledger::CompletionStatus;

use super::*;
use crate::support::model::{Fault, Point};

#[tokio::test]
async fn a_session_is_opened_given_turns_and_closed_and_is_there_after_a_restart() {
    let echo = Echo::new();
    let mut program = Program::start(&echo, &Choices::standard()).await;
    let wanted = json!({ "purpose": "nightly", "metadata": { "job": "7" } });
    let session = program.open(wanted).await;
    assert_eq!(
        (session.began.as_str(), &session.failure),
        ("created", &None)
    );
    assert!(session.thread.is_some());

    let receipt = program.give(&session, "hello <there>").await;
    assert_eq!((receipt.session, receipt.before), (session.id, Some(0)));
    let turn = program.end(&receipt).await;
    assert_eq!(turn.reply.as_deref(), Some("echo: hello <there>"));
    assert!(turn.completed && turn.codex_turn.is_some());
    assert_eq!(turn.thread, session.thread);
    assert_eq!(turn.terminal_status.as_deref(), Some("completed"));
    let texts: Vec<_> = program.world.model.requests()[0]
        .user_texts()
        .iter()
        .map(|it| (*it).to_owned())
        .collect();
    assert!(texts.contains(&"hello <there>".to_owned()), "{texts:?}");

    program.world.stop_daemon().await;
    program.world.start();
    program.world.ready(0).await;
    let listed: Sessions = program
        .client
        .get("/v1/sessions?state=active&purpose=nightly&dispatcher=test")
        .await
        .unwrap();
    assert_eq!(listed.sessions, std::slice::from_ref(&session));
    assert_eq!(program.look(&receipt, "0s").await, turn);
    assert_eq!(
        program.ask(&session, json!({ "input": "again" })).await,
        "echo: again"
    );
    let requests = program.world.model.requests();
    assert_eq!(requests[0].thread(), requests[1].thread());
    assert!(requests[1].user_texts().contains(&"hello <there>"));

    let id = session.id.to_string();
    let change = ChangedSession {
        purpose: Some(None),
        metadata: Some([("a".to_owned(), "b".to_owned())].into()),
    };
    let changed = program.client.change_session(&id, &change).await.unwrap();
    assert_eq!((changed.purpose, changed.metadata.len()), (None, 1));

    let closed = program.client.close_session(&id).await.unwrap();
    assert_eq!(
        (closed.session.state.as_str(), closed.was_running),
        ("closed", false)
    );
    let refused = program.try_give(&session, json!({ "input": "more" })).await;
    assert_eq!(code(refused), "session-not-active");
    let turns: Turns = program
        .client
        .get(&format!("/v1/sessions/{id}/turns"))
        .await
        .unwrap();
    assert_eq!(turns.turns.len(), 2);
    program.world.finish().await;
}

#[tokio::test]
async fn a_session_that_was_never_used_keeps_its_thread_over_a_restart() {
    let echo = Echo::new();
    let mut program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    program.world.kill_daemon().await;
    program.world.start();
    program.world.ready(0).await;
    let receipt = program.give(&session, "hello").await;
    let turn = program.end(&receipt).await;
    assert_eq!((turn.completed, turn.thread), (true, session.thread));
    program.world.finish().await;
}

#[tokio::test]
async fn turns_run_one_after_the_other_and_too_many_are_refused() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let hold = echo.hold("turn 0.", Point::MidStream);
    let mut receipts = Vec::new();
    for number in 0..17 {
        let receipt = program.give(&session, &format!("turn {number}.")).await;
        assert_eq!(receipt.before, Some(number));
        if number == 0 {
            hold.reached().await;
        }
        receipts.push(receipt);
    }
    let refused = program
        .try_give(&session, json!({ "input": "one more" }))
        .await;
    assert_eq!(code(refused), "too-many");
    assert_eq!(program.look(&receipts[1], "0s").await.status, "waiting");
    let dropped = receipts.remove(5);
    let id = session.id.to_string();
    let interrupt = |turn: String| {
        let (client, id) = (program.client.clone(), id.clone());
        async move { client.interrupt(&id, &turn).await.unwrap().outcome }
    };
    assert_eq!(interrupt(dropped.turn.to_string()).await, "withdrawn");
    assert_eq!(program.end(&dropped).await.status, "interrupted");
    assert_eq!(interrupt(dropped.turn.to_string()).await, "was-over");
    hold.release();
    for receipt in &receipts {
        assert_eq!(program.end(receipt).await.status, "completed");
    }
    let told: Vec<String> = program
        .world
        .model
        .requests()
        .iter()
        .filter_map(|request| request.last_user_text().map(str::to_owned))
        .collect();
    let mut expected: Vec<String> = (0..17).map(|number| format!("turn {number}.")).collect();
    expected.remove(5);
    assert_eq!(told, expected);
    program.world.finish().await;
}

#[tokio::test]
async fn a_running_turn_is_interrupted_or_ends_with_its_session() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let id = session.id.to_string();
    let first = echo.hold("first", Point::MidStream);
    let second = echo.hold("second", Point::MidStream);
    let one = program.give(&session, "first").await;
    first.reached().await;
    assert_eq!(program.look(&one, "0s").await.status, "running");
    let stopped = program.client.interrupt(&id, &one.turn.to_string()).await;
    assert_eq!(stopped.unwrap().outcome, "ends");
    assert_eq!(program.end(&one).await.status, "interrupted");

    let two = program.give(&session, "second").await;
    let three = program.give(&session, "third").await;
    second.reached().await;
    let closed = program.client.close_session(&id).await.unwrap();
    assert_eq!((closed.was_running, closed.withdrawn), (true, 1));
    assert_eq!(program.end(&two).await.status, "interrupted");
    assert_eq!(program.end(&three).await.status, "interrupted");
    assert_eq!(
        crate::support::model::times_told(&program.world.model, "third"),
        0
    );
    first.release();
    second.release();
    program.world.finish().await;
}

#[tokio::test]
async fn what_is_added_reaches_the_turn_that_is_expected_and_no_other() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let hold = echo.hold("long work", Point::MidStream);
    let running = program.give(&session, "long work").await;
    let waiting = program.give(&session, "the next").await;
    let steer = |turn: String, input: &str| json!({ "input": input, "expected_turn": turn });
    // Right after the receipt, before codex has begun.
    let added = steer(running.turn.to_string(), "and mind the gap");
    let steered = program.give_with(&session, added).await;
    assert!(steered.steered && steered.turn == running.turn);
    let codex_turn = program.look(&running, "0s").await.codex_turn.unwrap();
    let added = steer(codex_turn.as_str().to_owned(), "and the door");
    assert_eq!(program.give_with(&session, added).await.turn, running.turn);
    for other in [waiting.turn.to_string(), "nothing".to_owned()] {
        let refused = program.try_give(&session, steer(other, "never said")).await;
        assert_eq!(code(refused), "turn-mismatch");
    }
    let with_options = json!({
        "input": "x", "expected_turn": running.turn.to_string(), "model": "m",
    });
    assert_eq!(
        code(program.try_give(&session, with_options).await),
        "bad-request"
    );
    hold.release();
    assert_eq!(program.end(&running).await.status, "completed");
    assert_eq!(program.end(&waiting).await.status, "completed");
    let late = steer(running.turn.to_string(), "never said");
    assert_eq!(
        code(program.try_give(&session, late).await),
        "turn-mismatch"
    );
    let told = |text| crate::support::model::times_told(&program.world.model, text);
    assert_eq!(
        ["and mind the gap", "and the door", "never said"].map(told),
        [1, 1, 0]
    );
    program.world.finish().await;
}

#[tokio::test]
async fn a_turn_that_fails_says_why_and_its_session_goes_on() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    echo.once("break", Fault::Failed("invalid_prompt", "not that"));
    let receipt = program.give(&session, "break").await;
    let turn = program.end(&receipt).await;
    assert_eq!((turn.status.as_str(), turn.completed), ("failed", false));
    assert!(turn.failure_kind.is_some() && turn.reply.is_none());
    assert!(turn.failure_message.unwrap().contains("not that"));
    assert_eq!(program.session(&session).await.state, "active");
    assert_eq!(
        program.ask(&session, json!({ "input": "go on" })).await,
        "echo: go on"
    );
    program.world.finish().await;
}

#[tokio::test]
async fn what_codex_refuses_fails_the_session_with_its_words() {
    let echo = Echo::new();
    let choices = Choices {
        sandbox: "danger-full-access",
        ..Choices::standard()
    };
    let program = Program::start(&echo, &choices).await;
    for (wanted, expected) in [
        (json!({ "model_provider": "nobody" }), "nobody"),
        (
            json!({ "config": { "model_reasoning_effort": 7 } }),
            "model_reasoning_effort",
        ),
        (
            json!({ "thread": "01a1fb3a-0000-7e63-8b05-e9873b103bec" }),
            "no rollout found",
        ),
        (json!({ "thread": "nonsense" }), "session id"),
    ] {
        let session = program.try_open(wanted).await.unwrap();
        assert_eq!(session.state, "failed", "{session:#?}");
        let failure = session.failure.clone().unwrap();
        assert!(failure.message.contains(expected), "{failure:?}");
        let refused = program.try_give(&session, json!({ "input": "x" })).await;
        assert_eq!(code(refused), "session-not-active");
    }
    program.world.finish().await;
}

#[tokio::test]
async fn a_thread_that_is_there_is_taken_up_by_one_session_at_a_time() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let first = program.open(json!({})).await;
    program.ask(&first, json!({ "input": "remember me" })).await;
    let thread = first.thread.clone().unwrap();
    let wanted = json!({ "thread": thread });
    assert_eq!(code(program.try_open(wanted.clone()).await), "thread-taken");
    let registered = json!({ "thread": thread, "mode": "registered" });
    assert_eq!(code(program.try_open(registered).await), "thread-taken");
    program
        .client
        .close_session(&first.id.to_string())
        .await
        .unwrap();
    let second = program.open(wanted).await;
    assert_eq!(
        (second.began.as_str(), second.thread),
        ("resumed", Some(thread))
    );
    // The same words as before: they are another turn all the same.
    let second = program.session(&second_of(&program).await).await;
    let reply = program
        .ask(&second, json!({ "input": "remember me" }))
        .await;
    assert_eq!(reply, "echo: remember me");
    let requests = program.world.model.requests();
    let texts = requests.last().unwrap().user_texts();
    let same = texts.iter().filter(|text| **text == "remember me");
    assert_eq!(same.count(), 2);
    program.world.finish().await;
}

async fn second_of(program: &Program) -> SessionStatus {
    let listed: Sessions = program
        .client
        .get("/v1/sessions?state=active")
        .await
        .unwrap();
    listed.sessions[0].clone()
}

#[tokio::test]
async fn each_mistake_has_its_own_code() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    let registered = json!({ "mode": "registered", "thread": "somewhere" });
    let registered = program.open(registered).await;
    assert_eq!(registered.lane, None);
    let input = json!({ "input": "x" });
    assert_eq!(
        code(program.try_give(&registered, input.clone()).await),
        "wrong-mode"
    );
    let steer = json!({ "input": "x", "expected_turn": "t" });
    assert_eq!(
        code(program.try_give(&registered, steer).await),
        "wrong-mode"
    );
    let mode = json!({ "mode": "registered" });
    assert_eq!(code(program.try_open(mode).await), "bad-request");
    let eternal = json!({ "thread": "t", "ephemeral": true });
    assert_eq!(code(program.try_open(eternal).await), "bad-request");
    for wider in [
        json!({ "sandbox": "workspace-write" }),
        json!({ "cwd": "/" }),
        json!({ "config": { "sandbox_mode": "danger-full-access" } }),
    ] {
        assert_eq!(code(program.try_open(wider).await), "bad-request");
    }
    let session = program.open(json!({})).await;
    for bad in [
        json!({ "input": "" }),
        json!({ "input": [] }),
        json!({ "input": " \n" }),
        json!({ "input": "x", "sandbox_policy": { "type": "dangerFullAccess" } }),
        json!({ "input": "x", "cwd": "/" }),
        json!({ "input": "x", "output_schema": 7 }),
    ] {
        assert_eq!(code(program.try_give(&session, bad).await), "bad-request");
    }
    let get = |route: &str| {
        let (client, route) = (program.client.clone(), route.to_owned());
        async move { code(client.get::<Value>(&route).await) }
    };
    let id = session.id;
    for (route, expected) in [
        ("/v1/sessions/nothing".to_owned(), "unknown-session"),
        (
            format!("/v1/sessions/{}", tieline::id::SessionId::new()),
            "unknown-session",
        ),
        (format!("/v1/sessions/{id}/turns/nothing"), "unknown-turn"),
        (
            format!("/v1/sessions/{id}/turns/{}", tieline::id::TaskId::new()),
            "unknown-turn",
        ),
        ("/v1/sessions?state=lost".to_owned(), "bad-request"),
        (
            "/v1/sessions?dispatcher=other".to_owned(),
            "unknown-dispatcher",
        ),
    ] {
        assert_eq!(get(&route).await, expected, "{route}");
    }
    let report = CompletionReport {
        id: "build".to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: "green".to_owned(),
        lane: session.lane.clone(),
    };
    assert_eq!(
        code(program.client.complete("test", &report).await),
        "wrong-mode"
    );
    program.world.finish().await;
}

#[tokio::test]
async fn an_ephemeral_session_leaves_nothing_and_is_over_with_its_child() {
    let echo = Echo::new();
    let mut program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({ "ephemeral": true })).await;
    for text in ["one", "two"] {
        let reply = program.ask(&session, json!({ "input": text })).await;
        assert_eq!(reply, format!("echo: {text}"));
    }
    let rollouts = crate::support::daemon::rollouts(&program.world.home().join("sessions"));
    assert_eq!(rollouts, Vec::<std::path::PathBuf>::new());
    let hold = echo.hold("three", Point::MidStream);
    let running = program.give(&session, "three").await;
    let waiting = program.give(&session, "four").await;
    hold.reached().await;
    program
        .world
        .signal_app_server(rustix::process::Signal::KILL);
    for receipt in [&running, &waiting] {
        let turn = program.end(receipt).await;
        assert_eq!(turn.status, "failed", "{turn:#?}");
        assert_eq!(turn.failure_kind.unwrap().as_str(), "session-store-evicted");
    }
    let failed = program.until(&session, "failed").await;
    assert_eq!(
        failed.failure.unwrap().kind.as_str(),
        "session-store-evicted"
    );
    hold.release();

    let idle = program.open(json!({ "ephemeral": true })).await;
    program.world.stop_daemon().await;
    program.world.start();
    let failed = program.until(&idle, "failed").await;
    assert_eq!(
        failed.failure.unwrap().kind.as_str(),
        "session-store-evicted"
    );
    program.world.finish().await;
}
