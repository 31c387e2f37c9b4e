//! `tieline complete`, and what the route says to mistakes.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::*;

async fn complete(world: &World, args: &[&str], input: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .args(["complete", "--config"])
        .arg(world.path().join("tieline.toml"))
        .args(args)
        .env_remove("TIELINE_DISPATCHER")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said + &complaint)
}

#[tokio::test]
async fn a_result_is_reported_from_a_file_or_a_pipe() {
    let echo = Echo::new();
    let world = in_use(&echo, &Choices::standard()).await;
    let piped = ["--from", "ci", "--id", "piped", "--file", "-"];
    let (code, said) = complete(&world, &piped, "all green").await;
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "recorded: it waits for test\n")
    );
    world.platform.posted("heard of: piped").await;
    world.at_rest().await;
    let (code, said) = complete(&world, &piped, "all green").await;
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "reported before: test has dealt with it\n")
    );

    let file = world.path().join("result.md");
    std::fs::write(&file, "it broke").unwrap();
    let file = file.to_str().unwrap();
    let args = [
        "--dispatcher",
        "test",
        "--from",
        "ci",
        "--id",
        "filed",
        "--status",
        "failed",
        "--file",
        file,
    ];
    let (code, said) = complete(&world, &args, "").await;
    assert_eq!(code, Some(0), "{said}");
    world.platform.posted("heard of: filed").await;
    let last = world.model.requests().last().cloned().unwrap();
    let texts = last.developer_texts().join("\n");
    assert!(
        texts.contains("<completion id=\"filed\" from=\"ci\" status=\"failed\""),
        "{texts}"
    );
    world.finish().await;
}

#[tokio::test]
async fn mistakes_are_said_with_what_to_do() {
    let echo = Echo::new();
    let world = in_use(&echo, &Choices::standard()).await;
    let from = ["--from", "ci", "--file", "-"];
    for (args, code, words) in [
        (
            vec!["--id", "x", "--dispatcher", "nobody"],
            1,
            "the configuration has: test",
        ),
        (vec!["--id", ""], 1, "`id` is empty"),
        (vec!["--id", "x", "--lane", "moon"], 1, "no lane moon"),
    ] {
        let args: Vec<&str> = from.iter().copied().chain(args).collect();
        let (exit, said) = complete(&world, &args, "").await;
        assert_eq!(exit, Some(code), "{said}");
        assert!(said.contains(words) && said.contains("hint: "), "{said}");
    }
    let missing = ["--from", "ci", "--id", "x", "--file", "/no/such/file"];
    let (exit, said) = complete(&world, &missing, "").await;
    assert_eq!(exit, Some(74), "{said}");
    assert!(said.contains("cannot read /no/such/file"), "{said}");
    world.at_rest().await;
    assert_told_once(&world, []);
    world.finish().await;
}
