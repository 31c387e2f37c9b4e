//! The daemon and Codex die at each step of a turn: it is answered, and said to the model once.

use std::time::Duration;

use rustix::process::Signal;

use super::*;
use crate::support::model::{Point, told};

/// What dies.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Daemon,
    Codex,
}

/// Fails unless each thread was told exactly these texts, in order.
fn assert_told(program: &Program, expected: &[&str]) {
    for texts in told(&program.world.model).into_values() {
        let given: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|text| !text.starts_with('<'))
            .collect();
        assert_eq!(given, expected, "{}", program.world.log());
    }
}

async fn kill(program: &mut Program, victim: Victim) {
    match victim {
        Victim::Daemon => {
            program.world.kill_daemon().await;
            program.world.start();
        }
        Victim::Codex => {
            program.world.signal_app_server(Signal::KILL);
        }
    }
}

async fn dies_at(victim: Victim, point: Point) {
    let echo = Echo::new();
    let mut program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    // The same words: nothing but their place tells them from what comes later.
    program.ask(&session, json!({ "input": "go on" })).await;
    let hold = echo.hold("go on", point);
    let fragile = program.give(&session, "go on").await;
    let next = program.give(&session, "go on").await;
    hold.reached().await;
    kill(&mut program, victim).await;
    hold.release();
    for receipt in [&fragile, &next] {
        let turn = program.end(receipt).await;
        assert_eq!(
            turn.status,
            "completed",
            "{turn:#?}\n{}",
            program.world.log()
        );
        assert_eq!(turn.reply.as_deref(), Some("echo: go on"));
    }
    assert_told(&program, &["go on"; 3]);
    program.world.finish().await;
}

#[tokio::test]
async fn the_daemon_dies_before_the_model_answers() {
    dies_at(Victim::Daemon, Point::Start).await;
}

#[tokio::test]
async fn the_daemon_dies_while_the_model_answers() {
    dies_at(Victim::Daemon, Point::MidStream).await;
}

#[tokio::test]
async fn the_daemon_dies_when_the_model_has_answered() {
    dies_at(Victim::Daemon, Point::BeforeEnd).await;
}

#[tokio::test]
async fn codex_dies_before_the_model_answers() {
    dies_at(Victim::Codex, Point::Start).await;
}

#[tokio::test]
async fn codex_dies_while_the_model_answers() {
    dies_at(Victim::Codex, Point::MidStream).await;
}

#[tokio::test]
async fn codex_dies_when_the_model_has_answered() {
    dies_at(Victim::Codex, Point::BeforeEnd).await;
}

/// The victim dies so long after the receipt: in the few milliseconds in which codex gets the turn.
async fn dies_after(victim: Victim, delays: impl IntoIterator<Item = u64>) {
    let echo = Echo::new();
    let mut program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let mut n_turns = 0;
    for delay in delays {
        let receipt = program.give(&session, "the same again").await;
        n_turns += 1;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        kill(&mut program, victim).await;
        let turn = program.end(&receipt).await;
        assert_eq!(
            turn.status,
            "completed",
            "{turn:#?}\n{}",
            program.world.log()
        );
        assert_told(&program, &vec!["the same again"; n_turns]);
    }
    program.world.finish().await;
}

#[tokio::test]
async fn the_daemon_dies_while_codex_gets_the_turn() {
    dies_after(Victim::Daemon, [0, 1, 2, 4, 6, 8, 10, 15, 20]).await;
}

#[tokio::test]
async fn codex_dies_while_it_gets_the_turn() {
    dies_after(Victim::Codex, [0, 1, 2, 4, 6, 8, 10, 15, 20]).await;
}

#[tokio::test]
async fn a_turn_is_accepted_once_for_each_key_also_when_the_daemon_dies() {
    let echo = Echo::new();
    let mut program = Program::start(&echo, &Choices::standard()).await;
    let session = program.open(json!({})).await;
    let hold = echo.hold("once", Point::Start);
    let receipt = program.give(&session, "once").await;
    hold.reached().await;
    let sent: Vec<_> = (0..5)
        .map(|number| {
            let client = program.client.clone();
            let id = session.id.to_string();
            aside(async move {
                let turn: NewTurn =
                    serde_json::from_value(json!({ "input": format!("more {number}") })).unwrap();
                client.give_turn(&id, &turn).await
            })
        })
        .collect();
    program.world.kill_daemon().await;
    program.world.start();
    hold.release();
    assert_eq!(program.end(&receipt).await.status, "completed");
    let mut accepted = Vec::new();
    for answer in sent {
        // One that found nobody there had not begun.
        accepted.extend(answer.answer().await);
    }
    for receipt in &accepted {
        assert_eq!(program.end(receipt).await.status, "completed");
    }
    program.world.at_rest().await;
    let requests = program.world.model.requests();
    let last = requests.last().unwrap().user_texts().join("\n");
    assert_eq!(last.matches("more ").count(), accepted.len(), "{last}");
    program.world.finish().await;
}
