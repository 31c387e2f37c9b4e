//! Runs that come to their end, one way or the other.

use std::collections::BTreeMap;
use std::fs;

use pretty_assertions::assert_eq;
use serde_json::json;
use tieline::control::{ClientError, NewRun, RunDetails, RunsPage, run_route};
use tieline::failure::FailureKind;
use tieline::id::LaneId;
use tieline::ledger::RunEnvironment;

use super::{anything, done, ended, order, processes, prompt, read, running, until};
use crate::support::daemon::Choices;
use crate::support::model::{Echo, Fault, Point, completions_told, times_told};

/// Returns the code and the sentence of a refusal.
async fn refused(client: &tieline::control::Client, run: &NewRun) -> (String, String) {
    match client.exec("test", run).await {
        Err(ClientError::Refused { code, message, .. }) => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_run_is_done_and_its_envelope_tells_all_of_it() {
    let echo = Echo::new();
    let (world, client) = running(&echo, &Choices::standard()).await;
    let wanted = NewRun {
        purpose: Some("review".to_owned()),
        metadata: BTreeMap::from([("ticket".to_owned(), "T-1".to_owned())]),
        timeout: Some("2m".to_owned()),
        ..prompt("say hi")
    };
    let run = done(&client, &wanted).await;
    assert!(run.run.completed && run.run.terminal, "{run:#?}");
    assert_eq!(run.run.status, "completed");
    assert_eq!(
        (run.run.failure_kind, &run.run.failure_message),
        (None, &None)
    );
    assert_eq!(run.reply.as_deref(), Some("echo: say hi"));
    assert_eq!((run.exit_code, run.exit_signal), (Some(0), None));
    assert!(run.usage["input_tokens"] > 0, "{:?}", run.usage);
    assert!(run.run.thread.is_some() && run.run.started_at <= run.run.ended_at);
    assert_eq!(
        (run.run.purpose.as_str(), run.timeout.as_str()),
        ("review", "2m")
    );
    assert_eq!(
        (run.prompt.as_str(), run.sandbox.as_str()),
        ("say hi", "read-only")
    );
    assert_eq!(run.metadata["ticket"], "T-1");
    assert_eq!(run.cwd, world.path().join("work").canonicalize().unwrap());

    let resumed = NewRun {
        resume: run.run.thread.clone(),
        ..prompt("and again")
    };
    let again = done(&client, &resumed).await;
    assert_eq!(
        again.reply.as_deref(),
        Some("echo: and again"),
        "{again:#?}"
    );
    assert_eq!(again.run.thread, run.run.thread);
    let requests = world.model.requests();
    let last = requests.last().unwrap().user_texts().join("\n");
    assert!(
        last.contains("say hi"),
        "it goes on with what was said: {last}"
    );

    let events = fs::read_to_string(world.path().join("state/events/events.jsonl")).unwrap();
    let of_run = events
        .lines()
        .filter(|line| line.contains(&run.run.id.to_string()));
    let kinds: Vec<String> = of_run
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["run.queued", "run.started", "run.completed"]);
}

#[tokio::test]
async fn what_fails_says_what_failed() {
    let echo = Echo::new();
    echo.once(
        "bad request",
        Fault::Status(400, "{\"error\":\"bad temperature\"}", None),
    );
    echo.once("no key", Fault::Status(401, "{\"error\":\"who?\"}", None));
    echo.once("nothing", Fault::Nothing);
    let (_world, client) = running(&echo, &anything()).await;
    let with = |text: &str, config: &str| NewRun {
        config: vec![config.to_owned()],
        ..prompt(text)
    };
    let unknown = tieline::id::ThreadId::new("01900000-0000-7000-8000-000000000000");
    let missing_key = "model_providers.scripted.env_key=\"TIELINE_TEST_NO_SUCH_KEY\"";
    let provider = {
        let all = tieline::demo::model::provider_config("http://127.0.0.1:1");
        let provider = all
            .iter()
            .find(|it| it.starts_with("model_provider="))
            .unwrap();
        provider.split('"').nth(1).unwrap().to_owned()
    };
    let missing_key = missing_key.replace("scripted", &provider);
    use FailureKind as K;
    let cases = [
        (
            prompt("bad request"),
            "failed",
            K::ProviderHttpError,
            "bad temperature",
        ),
        (prompt("no key"), "blocked", K::ProviderAuthFailed, "401"),
        (
            with("x", &missing_key),
            "blocked",
            K::SecretUnavailable,
            "TIELINE_TEST_NO_SUCH_KEY",
        ),
        (
            prompt("nothing"),
            "failed",
            K::BackendResponseInvalid,
            "without a message",
        ),
        (
            with("x", "model_reasoning_effort=[1]"),
            "failed",
            K::BackendSpawnFailed,
            "model_reasoning_effort",
        ),
        (
            NewRun {
                resume: Some(unknown),
                ..prompt("x")
            },
            "failed",
            K::ThreadResumeFailed,
            "no rollout found",
        ),
        (
            NewRun {
                skip_git_check: Some(false),
                ..prompt("x")
            },
            "failed",
            K::BackendSpawnFailed,
            "trusted directory",
        ),
    ];
    for (wanted, status, kind, words) in cases {
        let run = done(&client, &wanted).await;
        assert_eq!(
            (run.run.status.as_str(), run.run.failure_kind),
            (status, Some(kind)),
            "{run:#?}"
        );
        let message = run.run.failure_message.unwrap();
        assert!(message.contains(words), "{message}");
        assert!(run.run.terminal && !run.run.completed);
    }
}

#[tokio::test]
async fn without_a_login_a_run_is_blocked() {
    let echo = Echo::new();
    let choices = anything();
    let (_world, client) = running(&echo, &choices).await;
    let wanted = NewRun {
        config: vec!["model_provider=\"openai\"".to_owned()],
        ..prompt("x")
    };
    let run = done(&client, &wanted).await;
    assert_eq!(run.run.status, "blocked");
    assert_eq!(run.run.failure_kind, Some(FailureKind::ProviderAuthFailed));
    let message = run.run.failure_message.unwrap();
    assert!(message.contains("codex login"), "{message}");
}

#[tokio::test]
async fn what_takes_too_long_is_ended() {
    let echo = Echo::new();
    let _hold = echo.hold("hang", Point::Start);
    let (_world, client) = running(&echo, &Choices::standard()).await;
    let wanted = NewRun {
        timeout: Some("2s".to_owned()),
        ..prompt("hang")
    };
    let run = done(&client, &wanted).await;
    assert_eq!(
        (run.run.status.as_str(), run.run.failure_kind),
        ("failed", Some(FailureKind::BackendTimeout)),
        "{run:#?}"
    );
    assert!(run.run.failure_message.unwrap().contains("2s"));
    assert_eq!(processes(&run.run.id.to_string()), [""; 0]);
}

#[tokio::test]
async fn a_cancelled_run_leaves_no_process() {
    let echo = Echo::new();
    echo.once(
        "sleep",
        Fault::Command("setsid sleep 4321 & trap '' TERM; sleep 4322"),
    );
    let (_world, client) = running(&echo, &anything().with("runs = { parallel = 1 }")).await;
    let id = order(&client, &prompt("sleep")).await;
    let waits = order(&client, &prompt("never")).await;
    until(&client, &id, "a command that runs", |run| {
        let doing = run.run.doing.as_ref();
        doing.is_some_and(|doing| doing.text.contains("sleep 4322"))
            && processes(&id).iter().any(|it| it.contains("sleep 4321"))
    })
    .await;
    let cancelled = client.cancel_run(&waits).await.unwrap();
    assert_eq!(cancelled.run.status, "cancelled");
    let stopping = client.cancel_run(&id).await.unwrap();
    assert!(
        stopping.run.stopping || stopping.run.terminal,
        "{stopping:#?}"
    );
    let run = ended(&client, &id).await;
    assert_eq!(run.run.status, "cancelled", "{run:#?}");
    assert_eq!(processes(&id), [""; 0]);
    // Once more changes nothing.
    let again = client.cancel_run(&id).await.unwrap();
    assert_eq!(again, run);
    let never = read(&client, &waits).await;
    assert_eq!((never.run.started_at, never.exit_code), (None, None));
}

#[tokio::test]
async fn images_directories_and_variables_reach_codex_and_values_stay_hidden() {
    const SECRET: &str = "hunter2-is-no-secret-here";
    let echo = Echo::new();
    echo.once(
        "write",
        Fault::Command("echo made > ../out/made; test -n \"$GIVEN\" && echo given > ../out/given"),
    );
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard()
    };
    let (world, client) = running(&echo, &choices).await;
    let work = world.path().join("work");
    for name in ["sub", "out", "closed"] {
        fs::create_dir(work.join(name)).unwrap();
    }
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";
    fs::write(work.join("dot.png"), PNG).unwrap();
    let wanted = NewRun {
        cwd: Some("sub".into()),
        images: vec!["dot.png".into()],
        writable_dirs: vec!["out".into()],
        env: RunEnvironment(BTreeMap::from([("GIVEN".to_owned(), SECRET.to_owned())])),
        config: vec!["model_reasoning_effort=\"high\"".to_owned()],
        ..prompt("write")
    };
    let run = done(&client, &wanted).await;
    assert_eq!(run.run.status, "completed", "{run:#?}\n{}", world.log());
    let made = fs::read_to_string(work.join("out/made"));
    assert_eq!(made.unwrap(), "made\n", "{run:#?}");
    assert_eq!(
        fs::read_to_string(work.join("out/given")).unwrap(),
        "given\n"
    );
    let sent = serde_json::to_string(world.model.requests()[0].items()).unwrap();
    assert!(sent.contains("data:image/png;base64,"), "{sent}");
    assert_eq!(run.env, ["GIVEN"]);
    assert!(!format!("{run:?}").contains(SECRET));
    world.assert_keeps(&[SECRET]);

    echo.once("elsewhere", Fault::Command("echo made > ../closed/made"));
    let elsewhere = NewRun {
        prompt: "elsewhere".to_owned(),
        ..wanted
    };
    done(&client, &elsewhere).await;
    assert!(!work.join("closed/made").exists());
}

#[tokio::test]
async fn what_is_ordered_is_checked_and_named() {
    let echo = Echo::new();
    let (_world, client) = running(&echo, &Choices::standard()).await;
    let with = |json: serde_json::Value| -> NewRun { serde_json::from_value(json).unwrap() };
    for (wanted, code, words) in [
        (
            json!({"prompt": "x", "purpose": "fun"}),
            "bad-request",
            "\"fun\"",
        ),
        (
            json!({"prompt": "x", "sandbox": "none"}),
            "bad-request",
            "\"none\"",
        ),
        (
            json!({"prompt": "x", "sandbox": "workspace-write"}),
            "bad-request",
            "wider",
        ),
        (
            json!({"prompt": "x", "cwd": "/"}),
            "bad-request",
            "workspace",
        ),
        (
            json!({"prompt": "x", "timeout": "soon"}),
            "bad-request",
            "\"soon\"",
        ),
        (
            json!({"prompt": "x", "timeout": "25h"}),
            "bad-request",
            "24h",
        ),
        (
            json!({"prompt": "x", "session": "s1"}),
            "unknown-session",
            "\"s1\"",
        ),
        (
            json!({"prompt": "x", "report_to": "nobody"}),
            "unknown-lane",
            "nobody",
        ),
        (json!({"prompt": ""}), "bad-request", "empty"),
    ] {
        let (found, message) = refused(&client, &with(wanted)).await;
        assert_eq!(found, code, "{message}");
        assert!(message.contains(words), "{message}");
    }
    for route in [
        "/v1/runs?state=done",
        "/v1/runs?purpose=fun",
        "/v1/runs?limit=0",
        "/v1/runs?cursor=x",
        "/v1/runs?colour=red",
        &run_route("01900000-0000-7000-8000-000000000000", "31s"),
        &run_route("01900000-0000-7000-8000-000000000000", "0s"),
        &run_route("x", "0s"),
    ] {
        let asked = client.get::<serde_json::Value>(route).await;
        assert!(
            matches!(asked, Err(ClientError::Refused { .. })),
            "{route}: {asked:?}"
        );
    }
    let page: RunsPage = client.get("/v1/runs").await.unwrap();
    assert_eq!(page.runs, []);
}

#[tokio::test]
async fn no_more_run_at_a_time_than_may() {
    let echo = Echo::new();
    let holds = ["one", "two", "three"].map(|key| echo.hold(key, Point::Start));
    let (_world, client) = running(&echo, &Choices::standard()).await;
    let mut ids = Vec::new();
    for key in ["one", "two", "three"] {
        ids.push(order(&client, &prompt(key)).await);
    }
    for hold in &holds[..2] {
        hold.reached().await;
    }
    let third = read(&client, &ids[2]).await;
    assert_eq!((third.run.status.as_str(), third.ahead), ("queued", 0));
    let running = "/v1/runs?state=running".to_owned();
    let page: RunsPage = client.get(&running).await.unwrap();
    let listed: Vec<String> = page.runs.iter().map(|run| run.id.to_string()).collect();
    assert_eq!(listed, [ids[1].clone(), ids[0].clone()]);
    holds[0].release();
    ended(&client, &ids[0]).await;
    holds[2].reached().await;
    for hold in &holds[1..] {
        hold.release();
    }
    for id in &ids {
        assert!(ended(&client, id).await.run.completed);
    }
}

#[tokio::test]
async fn runs_can_be_turned_off() {
    let echo = Echo::new();
    let (_world, client) =
        running(&echo, &Choices::standard().with("runs = { parallel = 0 }")).await;
    assert_eq!(refused(&client, &prompt("x")).await.0, "turned-off");
}

#[tokio::test]
async fn whoever_is_to_be_told_is_told_once() {
    let echo = Echo::new();
    let (mut world, client) = running(&echo, &Choices::standard()).await;
    let hello = world.platform.write("a", "hello");
    world.platform.settled(&hello).await;
    let lanes = &world.status().await.dispatchers[0].lanes;
    let lane: LaneId = lanes[0].id.clone();
    let wanted = NewRun {
        report_to: Some(lane),
        ..prompt("count the files")
    };
    let run = done(&client, &wanted).await;
    let name = format!("run:{}", run.run.id);
    world.platform.posted(&name).await;
    assert_eq!(completions_told(&world.model), BTreeMap::from([(name, 1)]));
    assert_eq!(times_told(&world.model, "count the files"), 1);
}

#[tokio::test]
async fn a_schema_shapes_the_answer() {
    let echo = Echo::new();
    echo.once("shape", Fault::Say("{\"n\":1}".to_owned()));
    let (world, client) = running(&echo, &Choices::standard()).await;
    let schema = json!({
        "type": "object", "properties": {"n": {"type": "integer"}},
        "required": ["n"], "additionalProperties": false,
    });
    let wanted = NewRun {
        output_schema: Some(schema.clone()),
        ..prompt("shape")
    };
    let run: RunDetails = done(&client, &wanted).await;
    assert_eq!(run.reply.as_deref(), Some("{\"n\":1}"), "{run:#?}");
    assert_eq!(run.output_schema, Some(schema));
    let left = fs::read_dir(world.path().join("state/runs")).unwrap();
    assert_eq!(left.count(), 0, "schemas are removed");
}
