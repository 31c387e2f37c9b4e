//! The demo, and the scripted model with the real Codex.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod provision;

use std::process::Stdio;

use serde_json::Value;
use tieline::demo::model::{ScriptedModel, provider_args};
use tieline::demo::script::DemoScript;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::support::codex::codex_bin;
use crate::support::model::{Echo, Fault, Point, told, within};

/// Runs one prompt through the real Codex and returns its events.
async fn exec(model: &ScriptedModel, prompt: &str) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(codex_bin());
    command
        .args(["exec", "--json", "--skip-git-repo-check", "--strict-config"])
        .args(provider_args(&model.base_url()))
        .arg(prompt)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home.path())
        .env("CODEX_HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within("codex to end", command.output()).await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!events.is_empty(), "codex said nothing: {stderr}");
    events
}

/// Returns the texts of the model's messages.
fn messages(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter(|event| event["type"] == "item.completed")
        .filter(|event| event["item"]["type"] == "agent_message")
        .filter_map(|event| event["item"]["text"].as_str())
        .collect()
}

#[tokio::test]
async fn real_codex_echoes_and_says_everything_once() {
    let model = Echo::new().start().await;
    let events = exec(&model, "hello").await;
    assert_eq!(messages(&events), ["echo: hello"], "{events:#?}");
    let told: Vec<_> = told(&model).into_values().collect();
    assert_eq!(told, [["hello"]]);
    model.stop().await;
}

#[tokio::test]
async fn real_codex_runs_the_command_of_the_demo() {
    let model = ScriptedModel::start(DemoScript).await.unwrap();
    let events = exec(&model, "run").await;
    let said = messages(&events);
    assert!(
        said[0].starts_with("Codex ran `uname -sr`, which printed: Linux "),
        "{events:#?}"
    );
    model.stop().await;
}

#[tokio::test]
async fn real_codex_passes_both_messages_on() {
    let model = ScriptedModel::start(DemoScript).await.unwrap();
    assert_eq!(messages(&exec(&model, "two").await).len(), 2);
    model.stop().await;
}

#[tokio::test]
async fn real_codex_notices_each_failure() {
    let echo = Echo::new();
    let model = echo.start().await;
    let table = [
        (Fault::Status(503, "down", None), "503"),
        (Fault::Status(401, "who", None), "401"),
        (Fault::CutAtOnce, "stream disconnected"),
        (Fault::CutMidStream, "stream disconnected"),
        (Fault::Garbage, "stream closed before response.completed"),
        (Fault::EndEarly, "stream closed before response.completed"),
        (Fault::Failed("invalid_prompt", "not that"), "not that"),
        (Fault::Incomplete("max_output_tokens"), "max_output_tokens"),
    ];
    for (fault, expected) in table {
        echo.once("hello", fault.clone());
        let events = exec(&model, "hello").await;
        let failure = events.last().unwrap();
        assert_eq!(failure["type"], "turn.failed", "{fault:?}: {events:#?}");
        let message = failure["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{fault:?}: {message}");
    }
    model.stop().await;
}

#[tokio::test]
async fn a_held_answer_goes_on_when_released() {
    let echo = Echo::new();
    let model = echo.start().await;
    for point in [Point::Start, Point::MidStream, Point::BeforeEnd] {
        let hold = echo.hold("hello", point);
        let (events, ()) = tokio::join!(exec(&model, "hello"), async {
            hold.reached().await;
            hold.release();
        });
        assert_eq!(messages(&events), ["echo: hello"], "{point:?}");
    }
    model.stop().await;
}

#[tokio::test]
async fn the_demo_hands_work_out_and_ends_when_it_has_told_what_came_of_it() {
    let place = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .arg("demo")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", place.path())
        .env("TIELINE_CODEX_BIN", codex_bin())
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = demo.stdin.take().unwrap();
    input.write_all(b"ask the team\n").await.unwrap();
    drop(input);
    let output = within("the demo to end", demo.wait_with_output())
        .await
        .unwrap();
    let (said, aside) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{aside}");
    let expected = [
        (&said, "I have handed that to a teammate"),
        (
            &said,
            "`scout-1` is done. It says: This machine runs Linux ",
        ),
        (&aside, "🧩 Handed to `scout-1`"),
        (&aside, "🧩 `scout-1` is done"),
    ];
    for (stream, text) in expected {
        assert_eq!(stream.matches(text).count(), 1, "{text}: {said}\n{aside}");
    }
}
