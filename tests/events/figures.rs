//! `GET /metrics` and `GET /healthz`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::*;
use crate::support::daemon::Choices;
use crate::support::model::{Echo, Fault};

/// Asks a route; returns the status, and the text of the answer.
async fn ask(world: &World, route: &str) -> (StatusCode, String) {
    let mut stream = UnixStream::connect(socket(world)).await.unwrap();
    let request = format!("GET {route} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

pub(super) async fn scrape(world: &World) -> String {
    let (code, text) = ask(world, "/metrics").await;
    assert_eq!(code, StatusCode::OK, "{text}");
    text
}

/// Reads figures strictly: each sample belongs to a family that was declared before it, once.
fn read(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut declared = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(declared.insert(name, kind).is_none(), "{name} twice");
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        let is_declared = declared.iter().any(|(name, kind)| match *kind {
            "counter" => family == format!("{name}_total"),
            "histogram" => ["_sum", "_count", "_bucket"]
                .iter()
                .any(|end| family == format!("{name}{end}")),
            _ => family == *name,
        });
        assert!(is_declared, "{line}");
        let value: f64 = value.parse().unwrap();
        assert!(
            samples.insert(name.to_owned(), value).is_none(),
            "{name} twice"
        );
    }
    samples
}

#[tokio::test]
async fn figures_are_read_by_prometheus_and_count_right() {
    let echo = Echo::new();
    echo.always("quota", Fault::Failed("insufficient_quota", "no more"));
    let mut world = World::new(echo.start().await, &Choices::standard());
    world.start();
    for text in ["one", "two", "quota"] {
        let id = world.platform.write("a", text);
        world.platform.settled(&id).await;
    }
    world.at_rest().await;
    let figures = read(&scrape(&world).await);
    let of = |name: &str| figures.get(name).copied();
    for (name, expected) in [
        (
            "tieline_messages_received_total{dispatcher=\"test\",channel=\"term\"}",
            3.0,
        ),
        (
            "tieline_messages_settled_total{dispatcher=\"test\",outcome=\"answered\",failure=\"\"}",
            2.0,
        ),
        (
            "tieline_turns_total{dispatcher=\"test\",outcome=\"completed\",failure=\"\"}",
            2.0,
        ),
        (
            "tieline_turn_duration_seconds_count{dispatcher=\"test\"}",
            3.0,
        ),
        (
            "tieline_posts_total{channel=\"term\",outcome=\"delivered\"}",
            3.0,
        ),
        ("tieline_messages{state=\"answered\"}", 2.0),
        ("tieline_messages{state=\"failed\"}", 1.0),
        ("tieline_child_up{dispatcher=\"test\"}", 1.0),
        ("tieline_channel_up{channel=\"term\",kind=\"console\"}", 1.0),
        ("tieline_queue_length{dispatcher=\"test\"}", 0.0),
        ("tieline_turns_open{dispatcher=\"test\"}", 0.0),
        ("tieline_ledger_up", 1.0),
        ("tieline_events_missed", 0.0),
    ] {
        assert_eq!(of(name), Some(expected), "{name}: {figures:#?}");
    }
    assert!(of("tieline_ledger_size_bytes").unwrap() > 0.0);
}

#[tokio::test]
async fn health_tells_a_codex_that_does_not_start() {
    let mut choices = Choices::standard();
    choices.bin = Some("/bin/false".into());
    let mut world = World::new(Echo::new().start().await, &choices);
    world.start();
    let told = async {
        loop {
            if let Ok(mut stream) = client(&world).stream("/v1/events/stream?after=0").await {
                until(&mut stream, "child.degraded").await;
                return;
            }
            // Nothing tells when it listens.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    within("a failure", told).await;
    let (code, body) = ask(&world, "/healthz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(body["status"], "failing");
    assert_eq!(body["problems"][0]["part"], "dispatcher test");
}

#[tokio::test]
async fn health_tells_a_ledger_that_cannot_write_and_that_it_can_again() {
    let mut world = World::new(Echo::new().start().await, &Choices::standard());
    world.start();
    let first = world.platform.write("a", "one");
    world.platform.settled(&first).await;
    let (code, body) = ask(&world, "/healthz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    let well = json!({ "status": "ok", "problems": [] });
    assert_eq!((code, body), (StatusCode::OK, well));
    let mut stream = listen(&world, 0).await;
    let before = world.limit_files(Some(0));
    let second = world.platform.write("a", "two");
    until(&mut stream, "ledger.failing").await;
    let (code, body) = ask(&world, "/healthz").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["problems"][0]["part"], "ledger", "{body}");
    world.limit_files(before);
    until(&mut stream, "ledger.recovered").await;
    world.platform.settled(&second).await;
    assert_eq!(ask(&world, "/healthz").await.0, StatusCode::OK);
    // Events as well find their place again.
    let figures = read(&scrape(&world).await);
    assert!(figures["tieline_events_missed"] > 0.0, "{figures:?}");
}
