//! `tieline exec` against a running daemon.

use std::process::{Command, Output, Stdio};

use pretty_assertions::assert_eq;
use serde_json::Value;

use super::running;
use crate::support::daemon::{Choices, World};
use crate::support::model::{Echo, Fault, Point};

/// Runs `tieline exec` in the workspace, with something on its standard input.
async fn exec(world: &World, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
    command
        .arg("exec")
        .args(arguments)
        .arg("--config")
        .arg(world.path().join("tieline.toml"))
        .current_dir(world.path().join("work"))
        .env_clear()
        .env("HOME", world.path())
        .env("GIVEN", "value")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    let (sender, ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let _gone = sender.send(child.wait_with_output().unwrap());
    });
    let Output {
        status,
        stdout,
        stderr,
    } = ended.await.unwrap();
    thread.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn a_waiting_exec_prints_the_reply_alone() {
    let echo = Echo::new();
    let (world, _) = running(&echo, &Choices::standard()).await;
    let (code, out, err) = exec(&world, &["--wait", "say hi", "--env", "GIVEN"], "").await;
    assert_eq!((code, out.as_str()), (Some(0), "echo: say hi\n"), "{err}");
    assert!(
        err.starts_with("is queued, and next\n") || err.starts_with("runs\n"),
        "{err}"
    );

    let (code, out, _) = exec(&world, &["--wait", "--json", "-"], "from stdin").await;
    let run: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &run["reply"]),
        (Some(0), &Value::from("echo: from stdin"))
    );

    let (code, out, err) = exec(&world, &["list"], "").await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("ID"), "{out}");
    assert!(
        lines[1].contains("completed") && lines[1].ends_with("from stdin"),
        "{out}"
    );
    assert_eq!(lines.len(), 3);

    let id = run["id"].as_str().unwrap();
    let (_, out, _) = exec(&world, &["show", id], "").await;
    assert!(out.contains("reply:\n  echo: from stdin\n"), "{out}");
    let (_, json, _) = exec(&world, &["show", id, "--json", "--wait"], "").await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), run);
}

#[tokio::test]
async fn a_run_that_fails_fails_the_command() {
    let echo = Echo::new();
    echo.once(
        "bad",
        Fault::Status(400, "{\"error\":\"bad temperature\"}", None),
    );
    let (world, _) = running(&echo, &Choices::standard()).await;
    let (code, out, err) = exec(&world, &["--wait", "bad"], "").await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(
        err.contains("error: the run failed (provider-http-error): "),
        "{err}"
    );
    assert!(err.contains("hint: `tieline exec show "), "{err}");

    let (code, _, err) = exec(&world, &["x", "--sandbox", "none"], "").await;
    assert_eq!(code, Some(1));
    assert!(err.contains("`sandbox` cannot be \"none\""), "{err}");
    for arguments in [
        &[][..],
        &["x", "--env", "NO_SUCH_ONE"],
        &["x", "--meta", "k"],
    ] {
        assert_eq!(
            exec(&world, arguments, "").await.0,
            Some(64),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn a_run_can_be_ordered_and_cancelled_later() {
    let echo = Echo::new();
    let hold = echo.hold("hang", Point::Start);
    let (world, _) = running(&echo, &Choices::standard()).await;
    let (code, out, _) = exec(&world, &["hang"], "").await;
    assert_eq!(code, Some(0));
    let id = out.split(' ').next().unwrap().to_owned();
    hold.reached().await;
    let (code, out, _) = exec(&world, &["cancel", &id], "").await;
    assert_eq!(code, Some(0));
    assert!(
        out == format!("{id} is being stopped\n") || out == format!("{id} is cancelled\n"),
        "{out}"
    );
    let (_, out, _) = exec(&world, &["show", "--wait", &id], "").await;
    assert!(out.contains("cancelled"), "{out}");
    let (_, out, _) = exec(&world, &["cancel", &id], "").await;
    assert_eq!(out, format!("{id} is cancelled\n"));
    let (code, _, err) = exec(&world, &["show", "none"], "").await;
    assert_eq!(code, Some(1));
    assert!(err.contains("there is no run none"), "{err}");
}
