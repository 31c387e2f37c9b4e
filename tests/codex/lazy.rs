//! Threads whose rollout is written lazily: what is on disk when, on the real Codex.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline::codex::protocol::{Method, ThreadSettings};
use tieline::codex::{Refusal, Thread};
use tieline::id::{ThreadId, TurnId};

use super::stage::{Stage, answered, finish, options, text};
use super::turns::{kill, stop};
use crate::support::daemon::rollouts;
use crate::support::model::within;

const NOTHING: [PathBuf; 0] = [];

/// Methods that only these tests use, as they are on the wire.
macro_rules! raw {
    ($($name:ident = $wire:literal;)*) => {$(
        enum $name {}

        impl Method for $name {
            const NAME: &'static str = $wire;
            type Params = Value;
            type Response = Value;
        }
    )*};
}

raw! {
    Archive = "thread/archive";
    Unarchive = "thread/unarchive";
    Fork = "thread/fork";
    RawTurn = "turn/start";
}

#[tokio::test]
async fn the_first_turn_writes_the_rollout_where_it_was_announced() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let path = thread.rollout_path().unwrap().to_owned();
    assert_eq!(all_rollouts(&stage), NOTHING);
    let (_, end) = finish(thread.start_turn(text("hello"), &options("m-1"))).await;
    assert_eq!(end, answered("echo: hello"));
    assert_eq!(all_rollouts(&stage), [path]);
    stop(server).await;
}

#[tokio::test]
async fn an_unused_thread_ends_with_its_process_and_a_used_one_goes_on_in_its_file() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let unused = stage.thread(&server).await.id().clone();
    let mut used = stage.thread(&server).await;
    finish(used.start_turn(text("one"), &options("m-1"))).await;
    let id = used.id().clone();
    let path = used.rollout_path().unwrap().to_owned();
    kill(server).await;
    let before = fs::read(&path).unwrap();

    let server = stage.start().await;
    let settings = stage.settings();
    let error = Thread::resume(server.client(), &unused, &settings).await;
    assert_eq!(error.err().unwrap().refusal(), Some(Refusal::NoRollout));
    let mut used = Thread::resume(server.client(), &id, &settings)
        .await
        .unwrap();
    assert_eq!(used.rollout_path(), Some(path.as_path()));
    finish(used.start_turn(text("two"), &options("m-2"))).await;
    let after = fs::read(&path).unwrap();
    assert!(after.starts_with(&before), "it was written anew");
    assert!(after.len() > before.len());
    assert_eq!(all_rollouts(&stage), [path]);
    stop(server).await;
}

#[tokio::test]
async fn an_archived_thread_comes_back_and_archiving_writes_one_that_had_no_turn() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let client = server.client();
    let settings = stage.settings();
    let unused = stage.thread(&server).await.id().clone();
    let mut used = stage.thread(&server).await;
    finish(used.start_turn(text("one"), &options("m-1"))).await;
    let used = used.id().clone();
    assert_eq!(all_rollouts(&stage).len(), 1);
    let archived = stage.config.home.join("archived_sessions");
    for (id, told) in [(unused, vec!["two"]), (used, vec!["one", "two"])] {
        let params = json!({ "threadId": id });
        client.call::<Archive>(&params).await.unwrap();
        assert_eq!(rollouts(&archived).len(), 1);
        let refused = Thread::resume(client, &id, &settings).await.err().unwrap();
        assert_eq!(refused.refusal(), Some(Refusal::Archived), "{refused:?}");
        client.call::<Unarchive>(&params).await.unwrap();
        assert_eq!(rollouts(&archived), NOTHING);
        let mut thread = Thread::resume(client, &id, &settings).await.unwrap();
        let (_, end) = finish(thread.start_turn(text("two"), &options("m-2"))).await;
        assert_eq!(end, answered("echo: two"));
        let requests = stage.model.requests();
        assert_eq!(requests.last().unwrap().user_texts(), told);
    }
    stop(server).await;
}

#[tokio::test]
async fn a_fork_is_on_disk_at_once() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    finish(thread.start_turn(text("one"), &options("m-1"))).await;
    let params = json!({ "threadId": thread.id() });
    let forked = server.client().call::<Fork>(&params).await.unwrap();
    let path = forked["thread"]["path"].as_str().unwrap().to_owned();
    assert_ne!(thread.rollout_path(), Some(Path::new(&path)));
    assert!(Path::new(&path).is_file(), "{forked}");
    let id = ThreadId::new(forked["thread"]["id"].as_str().unwrap());
    kill(server).await;

    let server = stage.start().await;
    let mut fork = Thread::resume(server.client(), &id, &stage.settings())
        .await
        .unwrap();
    finish(fork.start_turn(text("two"), &options("m-2"))).await;
    let requests = stage.model.requests();
    assert_eq!(requests.last().unwrap().user_texts(), ["one", "two"]);
    stop(server).await;
}

#[tokio::test]
async fn an_ephemeral_thread_writes_nothing() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let settings = ThreadSettings {
        ephemeral: Some(true),
        ..stage.settings()
    };
    let mut thread = Thread::start(server.client(), &settings).await.unwrap();
    assert_eq!(thread.rollout_path(), None);
    let (_, end) = finish(thread.start_turn(text("psst"), &options("m-1"))).await;
    assert_eq!(end, answered("echo: psst"));
    assert_eq!(all_rollouts(&stage), NOTHING);
    let id = thread.id().clone();
    kill(server).await;
    let server = stage.start().await;
    let error = Thread::resume(server.client(), &id, &stage.settings()).await;
    assert_eq!(error.err().unwrap().refusal(), Some(Refusal::NoRollout));
    stop(server).await;
}

#[tokio::test]
async fn a_rollout_that_cannot_be_made_is_kept_in_memory_and_made_by_a_later_turn() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let path = thread.rollout_path().unwrap().to_owned();
    // Permissions do not stop root; a file in place of the directory stops everybody.
    let sessions = stage.config.home.join("sessions");
    assert!(!sessions.exists());
    fs::write(&sessions, "in the way").unwrap();
    // Codex answers all the same, and says nothing of it but to its log.
    let (_, end) = finish(thread.start_turn(text("one"), &options("m-1"))).await;
    assert_eq!(end, answered("echo: one"));
    let log = stage.config.log_dir.join("flow.stderr.log");
    within("codex to complain", async {
        while !fs::read_to_string(&log)
            .is_ok_and(|text| text.contains("failed to record rollout items"))
        {
            // Nothing tells that a file has grown but looking.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    fs::remove_file(&sessions).unwrap();
    let (_, end) = finish(thread.start_turn(text("two"), &options("m-2"))).await;
    assert_eq!(end, answered("echo: two"));
    assert_eq!(all_rollouts(&stage), [path]);
    let id = thread.id().clone();
    kill(server).await;

    let server = stage.start().await;
    let found = server.client().find_message(&id, "m-1").await.unwrap();
    assert!(found.is_some(), "the first turn was forgotten");
    stop(server).await;
}

#[tokio::test]
async fn a_thread_whose_rollout_could_never_be_made_is_gone_with_its_process() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let sessions = stage.config.home.join("sessions");
    fs::write(&sessions, "in the way").unwrap();
    let mut thread = stage.thread(&server).await;
    let (_, end) = finish(thread.start_turn(text("one"), &options("m-1"))).await;
    assert_eq!(end, answered("echo: one"));
    let id = thread.id().clone();
    kill(server).await;
    fs::remove_file(&sessions).unwrap();
    let server = stage.start().await;
    let error = Thread::resume(server.client(), &id, &stage.settings()).await;
    assert_eq!(error.err().unwrap().refusal(), Some(Refusal::NoRollout));
    stop(server).await;
}

#[tokio::test]
async fn what_the_first_turn_overrides_is_what_is_recorded() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let elsewhere = stage.dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    // As it is on the wire: our own turns never change the sandbox.
    let started = server.client().call::<RawTurn>(&json!({
        "threadId": thread.id(),
        "input": [{"type": "text", "text": "hello"}],
        "model": "another-model",
        "cwd": elsewhere,
        "sandboxPolicy": {"type": "readOnly"},
    }));
    let started = started.await.unwrap();
    let turn = TurnId::new(started["turn"]["id"].as_str().unwrap());
    let (_, end) = finish(thread.attach(turn, &options("m-1"))).await;
    assert_eq!(end, answered("echo: hello"));
    let records = records(thread.rollout_path().unwrap());
    let of_turn: Vec<_> = records
        .iter()
        .filter(|record| record["type"] == "turn_context")
        .map(|record| &record["payload"])
        .collect();
    assert_eq!(of_turn.len(), 1);
    assert_eq!(of_turn[0]["model"], "another-model");
    assert_eq!(of_turn[0]["cwd"], json!(elsewhere));
    assert_eq!(of_turn[0]["sandbox_policy"]["type"], "read-only");
    // And what the thread was begun with is nowhere in what the model is told.
    let begun_in = stage.settings().cwd.unwrap().display().to_string();
    let context: String = records
        .iter()
        .filter(|record| record["type"] == "response_item")
        .map(Value::to_string)
        .collect();
    assert!(context.contains(elsewhere.to_str().unwrap()), "{context}");
    assert!(!context.contains(&begun_in), "{context}");
    stop(server).await;
}

#[tokio::test]
async fn a_rollout_begins_with_its_thread_then_the_context_then_what_was_said() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    finish(thread.start_turn(text("hello"), &options("m-1"))).await;
    let records = records(thread.rollout_path().unwrap());
    let first = |fits: &dyn Fn(&Value) -> bool| records.iter().position(fits).unwrap();
    let meta = first(&|record| record["type"] == "session_meta");
    let context = first(&|record| record.to_string().contains("<environment_context>"));
    let turn = first(&|record| record["type"] == "turn_context");
    let said = first(&|record| record["payload"]["content"][0]["text"] == "hello");
    assert_eq!(meta, 0);
    assert_eq!(records[meta]["payload"]["id"], json!(thread.id()));
    assert!(
        meta < context && context < turn && turn < said,
        "{records:#?}"
    );
    stop(server).await;
}

/// Returns every rollout of the home, archived ones included.
fn all_rollouts(stage: &Stage) -> Vec<PathBuf> {
    rollouts(&stage.config.home)
}

fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
