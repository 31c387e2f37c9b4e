//! `tieline smoke`.

use std::process::Output;

use serde_json::Value;
use tokio::process::Command;

use super::*;
use crate::support::codex::codex_bin;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, within};

fn states(output: &Output) -> Vec<(String, String)> {
    let report: Value =
        serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{output:?}"));
    let checks = report["checks"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks
        .iter()
        .map(|check| (text(&check["name"]), text(&check["state"])))
        .collect()
}

const STEPS: [&str; 11] = [
    "prepare",
    "start",
    "conversation",
    "turn",
    "restart of codex",
    "turn after it",
    "resumed thread",
    "messages",
    "stop",
    "nothing is left",
    "ledger",
];

#[tokio::test]
async fn scripted_model_needs_nothing_and_every_step_is_well() {
    let home = tempfile::tempdir().unwrap();
    let smoke = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(["smoke", "--demo-model", "--json"])
        .env_clear()
        .env("HOME", home.path())
        .env("TIELINE_CODEX_BIN", codex_bin())
        .kill_on_drop(true)
        .output();
    let output = within("the smoke test", smoke).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let expected: Vec<_> = STEPS.map(|name| (name.to_owned(), "ok".to_owned())).into();
    assert_eq!(states(&output), expected);
}

#[tokio::test]
async fn dispatcher_is_tried_beside_its_daemon() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    let output = tieline(&world, &["smoke"]).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("11 ok, 0 warnings, 0 failed"), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn codex_that_does_not_work_fails_by_name_and_nothing_is_left() {
    let echo = Echo::new();
    let choices = Choices {
        bin: Some("/bin/false".into()),
        ..Choices::standard()
    };
    let world = World::new(echo.start().await, &choices);
    let output = tieline(&world, &["smoke", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let states = states(&output);
    let failed: Vec<_> = states
        .iter()
        .filter(|(_, state)| state == "failed")
        .collect();
    assert_eq!(
        failed,
        [&("start".to_owned(), "failed".to_owned())],
        "{states:?}"
    );
    let names: Vec<_> = states.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["prepare", "start", "stop", "nothing is left"]);
}
