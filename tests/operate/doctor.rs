//! `tieline doctor` with the real codex.

use std::fs;

use serde_json::Value;

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, Fault};

/// Returns the state of a check.
fn state<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name}: {report:#}"));
    check["state"].as_str().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap_or_else(|_| panic!("{output:?}"))
}

fn is_left(world: &World) -> bool {
    let scratch = fs::read_dir("/tmp").unwrap().flatten();
    let mut scratch = scratch.filter(|it| {
        let name = it.file_name().to_string_lossy().into_owned();
        name.starts_with("tieline-doctor-") && fs::read_dir(it.path().join("run")).is_ok()
    });
    !world.codex_pids().is_empty() && scratch.next().is_some()
}

#[tokio::test]
async fn all_is_well_with_and_without_a_daemon_and_nothing_is_left() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    let output = tieline(&world, &["doctor", "--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let found = report(&output);
    assert_eq!(found["ok"], true);
    assert_eq!(state(&found, "test: turn"), "ok");
    assert_eq!(state(&found, "test: sandbox"), "ok");
    assert_eq!(state(&found, "ledger"), "ok");
    assert!(!world.path().join("state").exists(), "it made something");
    assert_eq!(world.codex_pids(), Vec::new());
    assert!(!is_left(&world));
    assert_eq!(
        crate::support::daemon::rollouts(&world.home()),
        Vec::<std::path::PathBuf>::new(),
        "the scratch thread was kept"
    );

    world.start();
    world.ready(0).await;
    let output = tieline(&world, &["doctor", "--no-turn"]).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(" is running, process "), "{text}");
    assert!(text.contains("skipped  test: turn"), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn refused_login_is_told_with_the_command_that_mends_it() {
    let echo = Echo::new();
    let world = World::new(echo.start().await, &Choices::standard());
    echo.always(
        "Answer with the word",
        Fault::Status(401, "no such key", None),
    );
    let output = tieline(&world, &["doctor"]).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("failed   test: turn"), "{text}");
    assert!(text.contains("provider-auth-failed"), "{text}");
    assert!(text.contains("codex login`"), "{text}");
    assert!(stderr(&output).contains("1 check failed"), "{output:?}");
    assert_eq!(world.codex_pids(), Vec::new());
}

#[tokio::test]
async fn broken_configuration_of_codex_keeps_it_from_being_tried() {
    let echo = Echo::new();
    let world = World::new(echo.start().await, &Choices::standard());
    fs::write(world.home().join("config.toml"), "x = [").unwrap();
    let found = report(&tieline(&world, &["doctor", "--json"]).await);
    assert_eq!(state(&found, "test: config"), "failed");
    assert_eq!(state(&found, "test: turn"), "skipped");
    assert_eq!(found["ok"], false);
}

#[tokio::test]
async fn damaged_ledger_and_bad_configuration_are_told() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    assert_eq!(world.stop_daemon().await, Some(0));
    fs::write(world.path().join("state/ledger/store/db"), "nonsense").unwrap();
    let found = report(&tieline(&world, &["doctor", "--json", "--no-turn"]).await);
    assert_eq!(state(&found, "ledger"), "failed");
    assert_eq!(state(&found, "daemon"), "ok");

    fs::write(world.path().join("tieline.toml"), "[daemon]\nlgo = 1\n").unwrap();
    let output = tieline(&world, &["doctor", "--json"]).await;
    assert_eq!(output.status.code(), Some(78));
    let found = report(&output);
    assert_eq!(state(&found, "configuration"), "failed");
    let told = found["checks"][0]["message"].as_str().unwrap();
    assert!(
        told.contains("`lgo`") && told.contains("no dispatcher"),
        "{told}"
    );
}
