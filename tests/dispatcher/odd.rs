//! What the real codex does not do when asked: it is played by the test.

use serde_json::{Value, json};

use super::*;
use crate::support::fake_app_server::{Asked, FakeAppServer, Peer};

/// A daemon that is connected to an app-server which the test plays.
struct Played {
    world: World,
    fake: FakeAppServer,
    codex: Peer,
}

impl Played {
    async fn new() -> Self {
        Self::with("").await
    }

    async fn with(lines: &str) -> Self {
        let fake = FakeAppServer::listen();
        let mut choices = Choices::standard().with(lines);
        choices.transport = Some(fake.address());
        let world = running(&Echo::new(), &choices).await;
        let mut codex = fake.accept_and_greet().await;
        codex.take_skills().await;
        Self { world, fake, codex }
    }

    /// Writes a message and returns the `turn/start` that it leads to, on a new thread.
    async fn first(&mut self, text: &str) -> (String, Asked) {
        let id = self.world.platform.write("a", text);
        let asked = self.codex.expect("thread/start").await;
        self.codex.answer(&asked, thread("idle")).await;
        (id, self.codex.expect("turn/start").await)
    }

    /// Accepts a turn, and says that it runs and has its input.
    async fn run(&mut self, asked: &Asked, turn: &str) {
        let begun = json!({ "id": turn, "status": "inProgress" });
        self.codex.answer(asked, json!({ "turn": begun })).await;
        self.note("turn/started", json!({ "turn": begun })).await;
        let client = &asked.params["clientUserMessageId"];
        if !client.is_null() {
            let item =
                json!({ "type": "userMessage", "id": "u", "clientId": client, "content": [] });
            self.note("item/completed", json!({ "turnId": turn, "item": item }))
                .await;
        }
    }

    /// Ends a turn with an answer.
    async fn complete(&mut self, turn: &str, text: &str) {
        let turn = json!({ "id": turn, "status": "completed", "items": [said(text)] });
        self.note("turn/completed", json!({ "turn": turn })).await;
    }

    /// Says something of the thread.
    async fn note(&mut self, method: &str, mut params: Value) {
        params["threadId"] = json!("T");
        self.codex.notify(method, params).await;
    }

    /// Drops the connection, and takes the next one.
    async fn reconnect(&mut self) {
        self.codex.hang_up().await;
        self.accept().await;
    }

    /// Takes the next connection.
    async fn accept(&mut self) {
        self.codex = self.fake.accept_and_greet().await;
        self.codex.take_skills().await;
    }

    /// Answers everything that is asked of the thread's past, and returns what is asked then.
    async fn asked_after_history(&mut self, turns: &Value, items: &Value) -> Asked {
        loop {
            let asked = self.codex.asked().await;
            let data = match asked.method.as_str() {
                "thread/turns/list" => turns,
                "thread/items/list" => items,
                _ => return asked,
            };
            self.codex.answer(&asked, json!({ "data": data })).await;
        }
    }

    /// Answers everything that is asked of the thread's past, until `id` is settled.
    async fn settled_by_history(&mut self, id: &str, turns: &Value, items: &Value) -> String {
        loop {
            tokio::select! {
                posts = self.world.platform.settled(id) => return posts[0].text.clone(),
                asked = self.codex.asked() => {
                    let data = match asked.method.as_str() {
                        "thread/turns/list" => turns,
                        "thread/items/list" => items,
                        other => panic!("asked for {other}: {asked:?}"),
                    };
                    self.codex.answer(&asked, json!({ "data": data })).await;
                }
            }
        }
    }
}

fn thread(status: &str) -> Value {
    json!({
        "thread": { "id": "T", "status": { "type": status } },
        "model": "m", "modelProvider": "p", "cwd": "/",
    })
}

fn said(text: &str) -> Value {
    json!({ "type": "agentMessage", "id": "m", "text": text, "phase": "final_answer" })
}

fn item(turn: &str, item: Value) -> Value {
    json!({ "turnId": turn, "item": item })
}

/// The user message that was sent with this request.
fn input_of(turn: &str, asked: &Asked) -> Value {
    let client = &asked.params["clientUserMessageId"];
    let message = json!({ "type": "userMessage", "id": "u", "clientId": client, "content": [] });
    item(turn, message)
}

#[tokio::test]
async fn a_thread_unloaded_in_the_middle_of_a_turn_is_loaded_again_and_its_answer_found() {
    let mut played = Played::new().await;
    let (id, asked) = played.first("hello").await;
    played.run(&asked, "1").await;
    played.note("thread/closed", json!({})).await;
    let resume = played.codex.expect("thread/resume").await;
    played.codex.answer(&resume, thread("idle")).await;
    let turns = json!([{ "id": "1", "status": "completed" }]);
    let items = json!([input_of("1", &asked), item("1", said("found"))]);
    let text = played.settled_by_history(&id, &turns, &items).await;
    assert_eq!(text, "found");
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn a_request_that_is_never_answered_does_not_hold_up_the_shutdown() {
    let mut played = Played::new().await;
    played.world.platform.write("a", "hello");
    played.codex.expect("thread/start").await;
    let code = tokio::select! {
        code = played.world.stop_daemon() => code,
        () = async { played.codex.stay().await; std::future::pending().await } => unreachable!(),
    };
    assert_eq!(code, Some(0));
    played.world.finish().await;
}

#[tokio::test]
async fn a_turn_start_without_an_answer_is_looked_into_and_not_given_up() {
    let mut played = Played::new().await;
    let (id, asked) = played.first("hello").await;
    // No answer: after its deadline the connection is not used any more.
    played.codex.stay().await;
    played.accept().await;
    let resume = played.codex.expect("thread/resume").await;
    played.codex.answer(&resume, thread("idle")).await;
    let again = played.asked_after_history(&json!([]), &json!([])).await;
    assert_eq!(again.method, "turn/start");
    assert_eq!(
        again.params["clientUserMessageId"],
        asked.params["clientUserMessageId"]
    );
    played.run(&again, "1").await;
    played.complete("1", "here I am").await;
    assert_eq!(
        played.world.platform.settled(&id).await[0].text,
        "here I am"
    );
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn the_first_turn_of_a_thread_goes_on_when_somebody_else_interrupts_it() {
    let mut played = Played::new().await;
    let (id, asked) = played.first("hello").await;
    played.run(&asked, "1").await;
    let interrupted = json!({ "id": "1", "status": "interrupted" });
    played
        .note("turn/completed", json!({ "turn": interrupted }))
        .await;
    let items = json!([input_of("1", &asked)]);
    let next = played
        .asked_after_history(&json!([interrupted]), &items)
        .await;
    assert_eq!(next.method, "turn/start");
    assert_eq!(next.params["input"], json!([]), "it was told twice");
    played.run(&next, "2").await;
    played.complete("2", "done").await;
    assert_eq!(played.world.platform.settled(&id).await[0].text, "done");
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn somebody_elses_turn_is_not_taken_for_ours() {
    let mut played = Played::new().await;
    let (id, _) = played.first("hello").await;
    played.reconnect().await;
    let resume = played.codex.expect("thread/resume").await;
    played.codex.answer(&resume, thread("active")).await;
    // A turn runs, and our message is nowhere: neither followed nor added to it.
    let running = json!([{ "id": "x", "status": "inProgress" }]);
    for _ in 0..5 {
        let asked = played.codex.asked().await;
        assert!(asked.method.ends_with("/list"), "{asked:?}");
        let data = match asked.method.as_str() {
            "thread/turns/list" => running.clone(),
            _ => json!([]),
        };
        played.codex.answer(&asked, json!({ "data": data })).await;
    }
    let over = json!([{ "id": "x", "status": "completed" }]);
    let theirs = json!([item("x", said("not for you"))]);
    let next = played.asked_after_history(&over, &theirs).await;
    assert_eq!(next.method, "turn/start");
    played.run(&next, "1").await;
    played.complete("1", "for you").await;
    assert_eq!(played.world.platform.settled(&id).await[0].text, "for you");
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn whoever_waits_for_a_thread_that_another_codex_has_is_told_once() {
    let mut played = Played::new().await;
    let (one, asked) = played.first("hello").await;
    played.run(&asked, "1").await;
    played.complete("1", "hi").await;
    played.world.platform.settled(&one).await;
    played.reconnect().await;
    let two = played.world.platform.write("a", "still there?");
    let told = loop {
        tokio::select! {
            told = played.world.platform.posted("another Codex") => break told,
            asked = played.codex.asked() => {
                assert_eq!(asked.method, "thread/resume");
                let text = "thread T already has an active writer";
                played.codex.refuse(&asked, -32600, text).await;
            }
        }
    };
    assert_eq!(told.kind, "notice");
    // Closed there, it goes on here.
    let resume = played.codex.expect("thread/resume").await;
    played.codex.answer(&resume, thread("idle")).await;
    let next = played.codex.expect("turn/start").await;
    played.run(&next, "2").await;
    played.complete("2", "yes").await;
    assert_eq!(played.world.platform.settled(&two).await[0].text, "yes");
    assert_eq!(played.world.platform.tally().notices, 1);
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn a_connection_that_is_dropped_again_and_again_is_not_made_again_at_once() {
    let mut played = Played::new().await;
    // Each is lost as soon as it is there, until the supervisor gives the child up.
    let mut connections = 0;
    while played.world.logged("keeps dropping").is_empty() {
        assert!(connections < 1000, "made again for ever");
        played.reconnect().await;
        connections += 1;
    }
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn a_refusal_that_nobody_knows_loses_a_thread_only_when_it_stays() {
    let mut played = Played::new().await;
    let (one, asked) = played.first("hello").await;
    played.run(&asked, "1").await;
    played.complete("1", "hi").await;
    played.world.platform.settled(&one).await;
    played.reconnect().await;
    let two = played.world.platform.write("a", "again");
    for _ in 0..2 {
        let resume = played.codex.expect("thread/resume").await;
        let text = "failed to read thread: too many open files";
        played.codex.refuse(&resume, -32603, text).await;
    }
    let resume = played.codex.expect("thread/resume").await;
    played.codex.answer(&resume, thread("idle")).await;
    let next = played.codex.expect("turn/start").await;
    assert_eq!(next.params["threadId"], "T");
    played.run(&next, "2").await;
    played.complete("2", "kept").await;
    assert_eq!(played.world.platform.settled(&two).await[0].text, "kept");
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn an_end_that_never_came_is_looked_up_when_codex_has_nothing_to_interrupt() {
    let mut played = Played::with("turn_idle_timeout = \"1s\"").await;
    let (id, asked) = played.first("hello").await;
    played.run(&asked, "1").await;
    // The turn is over, and nobody was told. Asked again and again, codex knows of nothing.
    let resume = loop {
        let asked = played.codex.asked().await;
        if asked.method != "turn/interrupt" {
            break asked;
        }
        let text = "no active turn to interrupt";
        played.codex.refuse(&asked, -32600, text).await;
    };
    assert_eq!(resume.method, "thread/resume");
    played.codex.answer(&resume, thread("idle")).await;
    let turns = json!([{ "id": "1", "status": "completed" }]);
    let items = json!([input_of("1", &asked), item("1", said("it was over"))]);
    let text = played.settled_by_history(&id, &turns, &items).await;
    assert_eq!(text, "it was over");
    played.world.kill_daemon().await;
}

#[tokio::test]
async fn nothing_is_added_to_a_turn_of_somebody_else() {
    let mut played = Played::new().await;
    let (one, asked) = played.first("hello").await;
    played.run(&asked, "1").await;
    played.complete("1", "hi").await;
    played.world.platform.settled(&one).await;
    played.reconnect().await;
    let two = played.world.platform.write("a", "and me?");
    for _ in 0..2 {
        let resume = played.codex.expect("thread/resume").await;
        played.codex.answer(&resume, thread("active")).await;
    }
    let resume = played.codex.expect("thread/resume").await;
    played.codex.answer(&resume, thread("idle")).await;
    let next = played.codex.expect("turn/start").await;
    played.run(&next, "2").await;
    played.complete("2", "now you").await;
    assert_eq!(played.world.platform.settled(&two).await[0].text, "now you");
    played.world.kill_daemon().await;
}
