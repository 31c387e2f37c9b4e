//! `tieline sessions` against the running daemon.

use std::process::Stdio;

use super::*;
use crate::support::model::{Fault, Point};

/// What a verb printed, and how it ended.
#[derive(Debug)]
struct Ran {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

async fn run(program: &Program, arguments: &[&str]) -> Ran {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tieline"))
        .arg("sessions")
        .args(arguments)
        .arg("--config")
        .arg(program.world.path().join("tieline.toml"))
        .env_remove("TIELINE_DISPATCHER")
        .stdin(Stdio::null())
        .output();
    let output = crate::support::model::within("the verb", output).await;
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        code: output.status.code(),
    }
}

#[tokio::test]
async fn a_script_opens_a_session_asks_and_closes_it() {
    let echo = Echo::new();
    let program = Program::start(&echo, &Choices::standard()).await;
    assert_eq!(run(&program, &[]).await.stdout, "no sessions\n");
    let new = ["new", "--purpose", "nightly build", "--metadata", "job=7"];
    let opened = run(&program, &new).await;
    assert_eq!(opened.code, Some(0), "{opened:?}");
    let id = opened.stdout.trim();

    let asked = run(&program, &["turn", id, "hello", "--wait"]).await;
    assert_eq!(
        (asked.stdout.as_str(), asked.code),
        ("echo: hello\n", Some(0))
    );
    let asked = run(&program, &["turn", id, "hello", "--wait", "--json"]).await;
    let answer: Value = serde_json::from_str(&asked.stdout).unwrap();
    assert_eq!(answer["reply"], "echo: hello");

    echo.once("break", Fault::Failed("invalid_prompt", "not that"));
    let failed = run(&program, &["turn", id, "break", "--wait"]).await;
    assert_eq!((failed.stdout.as_str(), failed.code), ("", Some(1)));
    assert!(failed.stderr.contains("not that"), "{failed:?}");

    let hold = echo.hold("long", Point::MidStream);
    let given = run(&program, &["turn", id, "long"]).await;
    let turn = given.stdout.trim();
    hold.reached().await;
    let steered = run(&program, &["steer", id, turn, "and this"]).await;
    assert_eq!(
        steered.stdout,
        format!("added to turn {turn}\n"),
        "{steered:?}"
    );
    let mismatch = run(&program, &["steer", id, "other", "and this"]).await;
    assert_eq!(mismatch.code, Some(1), "{mismatch:?}");
    let stopped = run(&program, &["interrupt", id, turn]).await;
    assert_eq!(stopped.stdout, "the turn ends\n", "{stopped:?}");
    hold.release();

    let listed = run(
        &program,
        &["list", "--state", "active", "--purpose", "nightly build"],
    )
    .await;
    assert!(
        listed.stdout.contains(id) && listed.stdout.contains("nightly build"),
        "{listed:?}"
    );
    let shown = run(&program, &["show", id]).await;
    for expected in ["active for", "job", "hello", "failed: ", "interrupted"] {
        assert!(shown.stdout.contains(expected), "{expected}: {shown:?}");
    }
    assert_eq!(run(&program, &["close", id]).await.stdout, "closed\n");
    let refused = run(&program, &["turn", id, "more"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
    let bad = run(&program, &["new", "--sandbox", "none"]).await;
    assert_eq!(bad.code, Some(64), "{bad:?}");
    let lost = run(&program, &["new", "--thread", "nonsense"]).await;
    assert_eq!(lost.code, Some(1), "{lost:?}");
    program.world.finish().await;
}
