//! Whom a call reaches, and how often.

mod teammates;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tieline_channel::{Channel, Emoji, EventKey, EventKind, Language, WireId};

use super::*;
use crate::codex::DeclineAll;
use crate::config::Sandbox;
use crate::dispatcher::fake_channel::{FakeChannel, record};
use crate::id::{MessageId, TurnKey};
use crate::ledger::{
    Accepted, CompletionStatus, LedgerSettings, LedgerThread, NewCompletion, NewMessage,
    OutboxEntry, Outcome, Reach, Reaction,
};
use crate::teammates::{Rules, WhatTheyDo};

struct Bench {
    calls: Calls,
    thread: LedgerThread,
    directory: tempfile::TempDir,
    /// The lanes that were woken, in order.
    woken: Arc<Mutex<Vec<LaneId>>>,
    doing: WhatTheyDo,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["work", "outgoing"] {
            fs::create_dir(at(name)).unwrap();
        }
        let (ledger, thread) = Ledger::open(&at("ledger"), LedgerSettings::standard()).unwrap();
        let line = Line {
            kind: "slack",
            channel: Arc::new(FakeChannel::new()) as Arc<dyn Channel>,
            language: Language::English,
        };
        let (woken, doing) = (Arc::<Mutex<Vec<LaneId>>>::default(), WhatTheyDo::default());
        let rules = Rules {
            workspace: at("work"),
            worktrees: at("worktrees"),
            sandbox: Sandbox::WorkspaceWrite,
            limit: 3,
        };
        let wake = Arc::clone(&woken);
        let dispatcher = DispatcherId::new("flow");
        let teammates = Roster::new(
            dispatcher.clone(),
            rules,
            ledger.clone(),
            doing.clone(),
            move |lane| wake.lock().unwrap().push(lane),
        );
        let calls = Calls {
            dispatcher,
            ledger,
            lines: [(ChannelId::new("team"), line)].into(),
            workspace: at("work"),
            outgoing: at("outgoing"),
            teammates,
            announces: true,
            asking: None,
            wakes: Arc::default(),
            events: crate::events::Events::none(),
        };
        Self {
            calls,
            thread,
            directory,
            woken,
            doing,
        }
    }

    /// Opens a turn of a lane for a message `id`, on a thread of the lane's name.
    async fn open(&self, dispatcher: &str, lane: &str, id: &str) -> (LaneId, TurnKey) {
        let message = self.accept(dispatcher, lane, EventKind::Message, id).await;
        let lane = LaneId::new(lane);
        let turn = self.begin(&lane, vec![message]).await;
        (lane, turn)
    }

    /// Accepts what an event of this kind says in a lane.
    async fn accept(&self, dispatcher: &str, lane: &str, kind: EventKind, id: &str) -> MessageId {
        let mut message = record(&[]).message;
        message.id = WireId::new(id);
        let accepted = self.calls.ledger.accept(NewMessage {
            channel: ChannelId::new("team"),
            dispatcher: DispatcherId::new(dispatcher),
            lane: LaneId::new(lane),
            key: EventKey {
                kind,
                id: id.to_owned(),
            },
            message,
            received_at: std::time::SystemTime::now(),
            urgent: false,
        });
        match accepted.await.unwrap() {
            Accepted::New { id, .. } => id,
            Accepted::Duplicate { .. } => panic!("{id} is there already"),
        }
    }

    /// Opens a turn of a lane, on a thread of the lane's name.
    async fn begin(&self, lane: &LaneId, messages: Vec<MessageId>) -> TurnKey {
        let ledger = &self.calls.ledger;
        let thread = ThreadId::new(lane.as_str());
        let reach = Reach::default();
        ledger.set_thread(lane, thread, reach).await.unwrap();
        let turn = TurnKey::new();
        ledger.open_turn(lane, turn, messages).await.unwrap();
        turn
    }

    async fn close(&self, lane: &LaneId, turn: TurnKey) {
        let settled = self
            .calls
            .ledger
            .settle_turn(lane, turn, Outcome::Answered, Vec::new());
        settled.await.unwrap();
    }

    /// Returns whether a call worked, and what the model is told.
    async fn call(&self, thread: &str, id: &str, tool: &str, arguments: Value) -> (bool, String) {
        let params = json!({
            "threadId": thread, "turnId": "1", "callId": id, "namespace": null,
            "tool": tool, "arguments": arguments,
        });
        let request = ServerRequest::parse(&json!(0), "item/tool/call".to_owned(), &params);
        let answer = self.calls.answer(&request).await.unwrap().unwrap();
        let text = answer["contentItems"][0]["text"].as_str().unwrap();
        (answer["success"].as_bool().unwrap(), text.to_owned())
    }

    async fn reply(&self, thread: &str, id: &str) -> (bool, String) {
        self.call(
            thread,
            id,
            "reply",
            json!({"text": format!("said by {id}")}),
        )
        .await
    }

    async fn react(&self, thread: &str, id: &str) -> (bool, String) {
        self.call(thread, id, "react", json!({"emoji": "tada"}))
            .await
    }

    async fn posts(&self) -> Vec<OutboxEntry> {
        let channel = ChannelId::new("team");
        let posts = self.calls.ledger.undelivered(&channel, None, 1_000);
        posts.await.unwrap()
    }

    async fn finish(self) {
        drop(self.calls);
        self.thread.close().await;
    }
}

fn reacted() -> (bool, String) {
    (true, REACTED.to_owned())
}

fn posted() -> (bool, String) {
    (true, POSTED.to_owned())
}

#[tokio::test]
async fn a_call_reaches_the_conversation_of_the_open_turn_and_answers_its_message() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    assert_eq!(bench.reply("flow/1", "c1").await, posted());
    let posts = bench.posts().await;
    let post = &posts[0].post;
    assert_eq!(post.to, record(&[]).message.conversation);
    assert_eq!(post.reply_to, Some(WireId::new("m1")));
    assert_eq!((&*post.text, post.settles.len()), ("said by c1", 0));
    bench.finish().await;
}

#[tokio::test]
async fn nobody_is_reached_from_elsewhere_or_without_a_turn() {
    let bench = Bench::new();
    bench.open("other", "other/1", "m1").await;
    let (lane, turn) = bench.open("flow", "flow/1", "m2").await;
    bench.close(&lane, turn).await;
    for (thread, expected) in [
        ("unknown", "speaks to no chat"),
        ("other/1", "speaks to no chat"),
        ("flow/1", "no turn of this conversation is open"),
    ] {
        let (success, text) = bench.reply(thread, "c1").await;
        assert!(!success && text.contains(expected), "{thread}: {text}");
    }
    // A thread that the lane no longer has.
    bench.open("flow", "flow/2", "m3").await;
    let (lane, thread) = (LaneId::new("flow/2"), ThreadId::new("newer"));
    let ledger = &bench.calls.ledger;
    ledger
        .set_thread(&lane, thread, Reach::default())
        .await
        .unwrap();
    assert!(!bench.reply("flow/2", "c1").await.0);
    assert_eq!(bench.reply("newer", "c1").await, posted());
    for id in [String::new(), "c".repeat(MAX_CALL_NAME + 1)] {
        let (success, text) = bench.reply("newer", &id).await;
        assert!(!success && text.contains("no usable id"), "{text}");
    }
    assert_eq!(bench.posts().await.len(), 1);
    bench.finish().await;
}

#[tokio::test]
async fn a_call_that_is_made_again_is_answered_again_and_done_once() {
    let bench = Bench::new();
    let (lane, turn) = bench.open("flow", "flow/1", "m1").await;
    fs::write(bench.calls.workspace.join("a"), "content").unwrap();
    let send = || bench.call("flow/1", "c2", "send_file", json!({"path": "a"}));
    let replies = join_all((0..20).map(|_| bench.reply("flow/1", "c1"))).await;
    let files = join_all((0..20).map(|_| send())).await;
    assert_eq!(replies, vec![posted(); 20]);
    assert_eq!(files, vec![posted(); 20]);
    // Whatever it passes this time.
    assert_eq!(
        bench.call("flow/1", "c1", "reply", json!({})).await,
        posted()
    );
    let posts = bench.posts().await;
    assert_eq!(posts.len(), 2, "{posts:#?}");
    let copies = fs::read_dir(bench.directory.path().join("outgoing")).unwrap();
    let copies: Vec<_> = copies.map(|entry| entry.unwrap().path()).collect();
    let file = posts[1].post.file.as_ref().unwrap();
    assert_eq!(copies, [&*file.path], "copies are left");
    assert_eq!(posts[1].id, file.owner);

    // In another turn it is another call.
    let open = bench.calls.ledger.lane(&lane).await.unwrap().unwrap().open;
    assert_eq!(open.unwrap().said, 2);
    bench.close(&lane, turn).await;
    bench.open("flow", "flow/1", "m2").await;
    assert_eq!(bench.reply("flow/1", "c1").await, posted());
    assert_eq!(bench.posts().await.len(), 3);
    bench.finish().await;
}

#[tokio::test]
async fn a_question_has_buttons_and_a_refused_call_may_be_made_again() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    let wrong = json!({"question": "Which?"});
    assert!(!bench.call("flow/1", "c1", "ask_user", wrong).await.0);
    let right = json!({"question": "Which?", "choices": ["A", "B"]});
    assert!(bench.call("flow/1", "c1", "ask_user", right).await.0);
    let posts = bench.posts().await;
    let labels = posts[0].post.buttons.iter().map(|it| &*it.label);
    assert_eq!(labels.collect::<Vec<_>>(), ["A", "B"]);
    bench.finish().await;
}

#[tokio::test]
async fn an_emoji_goes_on_the_last_message_of_the_turn_and_people_have_heard_something() {
    let bench = Bench::new();
    let (lane, turn) = bench.open("flow", "flow/1", "m1").await;
    let joined = bench
        .accept("flow", "flow/1", EventKind::Message, "m2")
        .await;
    let ledger = &bench.calls.ledger;
    ledger.join_turn(&lane, turn, joined).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.react("flow/1", "c1").await, reacted());
    }
    let posts = bench.posts().await;
    assert_eq!(posts.len(), 1, "{posts:#?}");
    let post = &posts[0].post;
    let reaction = Reaction {
        message: WireId::new("m2"),
        emoji: Emoji::Tada,
    };
    assert_eq!(post.reaction, Some(reaction));
    assert_eq!(post.to, record(&[]).message.conversation);
    assert_eq!((&*post.text, post.settles.len()), ("", 0));
    // So that nobody is told that they were told nothing.
    let open = ledger.lane(&lane).await.unwrap().unwrap().open;
    assert_eq!(open.unwrap().said, 1);
    bench.finish().await;
}

#[tokio::test]
async fn without_a_message_or_reactions_no_emoji_is_promised() {
    let mut bench = Bench::new();
    for (lane, kind) in [
        ("flow/press", EventKind::Press),
        ("flow/command", EventKind::Command),
    ] {
        let message = bench.accept("flow", lane, kind, lane).await;
        let lane = LaneId::new(lane);
        bench.begin(&lane, vec![message]).await;
        let (success, text) = bench.react(lane.as_str(), "c1").await;
        assert!(
            !success && text.contains("no message that an emoji"),
            "{text}"
        );
    }

    // A result is brought up to where somebody wrote before.
    let (lane, turn) = bench.open("flow", "flow/1", "m1").await;
    bench.close(&lane, turn).await;
    let ledger = &bench.calls.ledger;
    let completion = ledger.report(NewCompletion {
        dispatcher: DispatcherId::new("flow"),
        lane: lane.clone(),
        name: "build-1".to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: "green".to_owned(),
        origin: None,
    });
    let completion = completion.await.unwrap().id;
    let opened = ledger.open_trigger(&lane, TurnKey::new(), vec![completion]);
    opened.await.unwrap();
    let (success, text) = bench.react("flow/1", "c1").await;
    assert!(
        !success && text.contains("no message that an emoji"),
        "{text}"
    );
    assert_eq!(bench.reply("flow/1", "c2").await, posted());
    assert_eq!(bench.posts().await.len(), 1);

    bench.open("flow", "flow/2", "m2").await;
    let line = bench.calls.lines.values_mut().next().unwrap();
    line.channel = Arc::new(FakeChannel::new().without_reactions());
    let (success, text) = bench.react("flow/2", "c1").await;
    assert!(!success && text.contains("takes no reactions"), "{text}");
    assert_eq!(bench.posts().await.len(), 1);
    bench.finish().await;
}

#[tokio::test]
async fn what_the_chat_does_not_take_is_not_sent() {
    let mut bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    fs::write(bench.calls.workspace.join("large"), [0; 1_001]).unwrap();
    let send = |path| json!({ "path": path });
    for (path, expected) in [("large", "more than 1000 bytes"), ("../x", "no file")] {
        let (success, text) = bench.call("flow/1", "c", "send_file", send(path)).await;
        assert!(!success && text.contains(expected), "{text}");
    }
    bench.calls.outgoing = Path::new("/nowhere").to_owned();
    fs::write(bench.calls.workspace.join("small"), "x").unwrap();
    let (success, text) = bench.call("flow/1", "c", "send_file", send("small")).await;
    assert!(!success && text.contains("try again in a minute"), "{text}");
    bench.calls.lines.clear();
    let (success, text) = bench.reply("flow/1", "c").await;
    assert!(!success && text.contains("not connected"), "{text}");
    assert_eq!(bench.posts().await, []);
    bench.finish().await;
}

#[tokio::test]
async fn a_turn_that_has_lost_its_way_does_not_flood_the_chat() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    for tens in 0..MAX_SAID / 10 {
        let ids: Vec<_> = (0..10).map(|ones| format!("c{tens}{ones}")).collect();
        let replies = join_all(ids.iter().map(|id| bench.reply("flow/1", id))).await;
        assert_eq!(replies, vec![posted(); 10], "{tens}");
    }
    let (success, text) = bench.reply("flow/1", "one more").await;
    assert!(!success && text.contains("which is the most"), "{text}");
    bench.finish().await;
}

#[tokio::test]
async fn whatever_else_codex_asks_is_declined_as_ever() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    for (method, params) in [
        (
            "item/commandExecution/requestApproval",
            json!({"threadId": "flow/1"}),
        ),
        ("item/tool/requestUserInput", json!({"threadId": "flow/1"})),
        ("something/new", json!({})),
        (
            "item/tool/call",
            json!({"threadId": "flow/1", "callId": "c", "namespace": "mcp", "tool": "reply",
                   "arguments": {"text": "hi"}}),
        ),
    ] {
        let request = ServerRequest::parse(&json!(0), method.to_owned(), &params);
        assert_eq!(bench.calls.answer(&request).await, None, "{method}");
        assert_eq!(DeclineAll.answer(&request).await, None);
    }
    assert_eq!(bench.posts().await, []);
    bench.finish().await;
}
