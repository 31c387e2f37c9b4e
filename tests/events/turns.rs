//! What a turn of the real codex tells.

use serde_json::{Value, json};

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, Fault};

const THOUGHT: &str = "a thought that nobody may read";
const SUMMARY: &str = "a summary of thoughts that nobody may read";

#[tokio::test]
async fn a_turn_is_told_in_order_and_nothing_of_what_was_thought_or_printed() {
    let echo = Echo::new();
    echo.once(
        "think",
        Fault::Reasoning {
            summary: SUMMARY,
            thoughts: THOUGHT,
        },
    );
    echo.once(
        "run",
        Fault::Command("for i in 1 2 3 4; do echo printed-by-$((40+2)); sleep 0.3; done; exit 3"),
    );
    let mut world = World::new(
        echo.start().await,
        &Choices {
            sandbox: "danger-full-access",
            ..Choices::standard()
        },
    );
    world.start();
    world.ready(0).await;
    let mut stream = listen(&world, 0).await;
    let first = world.platform.write("a", "think about it");
    world.platform.settled(&first).await;
    let heard = until(&mut stream, "post.delivered").await;
    let second = world.platform.write("a", "run something");
    world.platform.settled(&second).await;
    let more = until(&mut stream, "post.delivered").await;

    let told = kinds(&heard);
    let of_daemon = ["daemon.started", "child.starting", "child.ready"];
    assert!(of_daemon.iter().all(|kind| told.contains(kind)), "{told:?}");
    let about_turn: Vec<_> = told
        .iter()
        .copied()
        .filter(|kind| !kind.starts_with("child") && !kind.starts_with("daemon"))
        .filter(|kind| !kind.starts_with("channel"))
        .collect();
    assert_eq!(
        about_turn,
        [
            "message.received",
            "thread.started",
            "turn.opened",
            "turn.submitted",
            "turn.started",
            "turn.noise",
            "turn.completed",
            "message.answered",
            "post.delivered",
        ]
    );
    let completed = heard.iter().find(|it| it.kind == "turn.completed").unwrap();
    let about = &completed.about;
    assert_eq!(about.dispatcher.as_ref().unwrap().as_str(), "test");
    assert_eq!(about.lane.as_ref().unwrap().as_str(), "test/term/a");
    assert!(about.turn.is_some() && about.thread.is_some(), "{about:?}");

    let tools: Vec<&EventRecord> = more.iter().filter(|it| it.kind == "turn.tool").collect();
    let [running, done] = tools[..] else {
        panic!("{tools:?}")
    };
    assert!(running.message.starts_with("runs `"), "{}", running.message);
    assert_eq!(done.detail["status"], json!("failed"));
    assert_eq!(done.detail["exit_code"], json!(3));
    assert!(done.message.contains("exit 3"), "{}", done.message);
    assert!(done.detail["duration_ms"].is_u64(), "{:?}", done.detail);
    let output: Vec<&EventRecord> = more.iter().filter(|it| it.kind == "turn.output").collect();
    assert!(
        output
            .iter()
            .any(|it| it.message == "printed-by-42" && it.seq.is_none()),
        "{more:?}"
    );

    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    let disk = on_disk(&world);
    let last: Value = serde_json::from_str(disk.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "daemon.stopped");
    for secret in [
        THOUGHT,
        SUMMARY,
        "printed-by-42",
        "think about it",
        "echo: think",
        "aggregatedOutput",
        "commandActions",
        "\"item\"",
    ] {
        assert!(!disk.contains(secret), "{secret} is on disk: {disk}");
    }
}

#[tokio::test]
async fn a_failure_has_the_same_name_in_events_records_and_figures() {
    let echo = Echo::new();
    echo.always("quota", Fault::Failed("insufficient_quota", "no more"));
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    let id = world.platform.write("a", "quota");
    world.platform.settled(&id).await;
    let mut stream = listen(&world, 0).await;
    let heard = until(&mut stream, "message.failed").await;
    let failed = heard.iter().find(|it| it.kind == "turn.failed").unwrap();
    let name = failed.detail["failure"].as_str().unwrap();
    assert_eq!(heard.last().unwrap().detail["failure"], *name);
    let messages: Value = client(&world).get("/v1/messages").await.unwrap();
    assert_eq!(messages["messages"][0]["failure"], *name);
    let figures = super::figures::scrape(&world).await;
    let line = format!(
        "tieline_turns_total{{dispatcher=\"test\",outcome=\"failed\",failure=\"{name}\"}} 1"
    );
    assert!(figures.contains(&line), "{figures}");
}

#[tokio::test]
async fn numbers_go_on_over_restarts_and_who_comes_back_misses_nothing() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    let mut last = 0;
    for round in 0..3 {
        world.start();
        world.ready(0).await;
        let mut stream = listen(&world, last).await;
        let id = world.platform.write("a", &format!("round {round}"));
        world.platform.settled(&id).await;
        let heard = until(&mut stream, "message.answered").await;
        let seqs: Vec<u64> = heard.iter().filter_map(|it| it.seq).collect();
        assert!(seqs[0] > last, "{seqs:?} after {last}");
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
        assert!(kinds(&heard).contains(&"daemon.started"), "{heard:?}");
        last = *seqs.last().unwrap();
        if round == 0 {
            // In the middle of anything.
            world.kill_daemon().await;
        } else {
            assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
        }
    }
    world.start();
    world.ready(0).await;
    let all = events_after(&world, 0).await;
    let seqs: Vec<u64> = all.iter().filter_map(|it| it.seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    let starts: Vec<bool> = all
        .iter()
        .filter(|it| it.kind == "daemon.started")
        .map(|it| it.detail["after_clean_end"].as_bool().unwrap())
        .collect();
    assert_eq!(starts, [true, false, true, true]);
}
