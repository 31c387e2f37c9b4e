//! A peer that misbehaves.

use std::time::Duration;

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::sync::Arc;
use tieline::codex::protocol::{
    Answer, InjectItems, InjectItemsParams, InjectedItem, Role, ServerDiagnostics, ServerRequest,
    ThreadNameSet, ThreadNameSetParams,
};
use tieline::codex::{
    AppServer, CallError, Client, CloseReason, FailureKind, Launch, LaunchConfig, Lost, LostReason,
    Notice, Refusal, ServerRequests, Spawner, StartError, Thread, TurnEnd, TurnEvent,
};
use tieline::id::{ThreadId, TurnId};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::stage::{answered, config_in, finish, options, text, until};
use crate::support::fake_app_server::{FakeAppServer, Peer};
use crate::support::model::within;

/// A fake peer and a client that is connected to it.
struct Pair {
    server: AppServer,
    peer: Peer,
    fake: FakeAppServer,
    _dir: tempfile::TempDir,
}

impl Pair {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut LaunchConfig)) -> Self {
        let fake = FakeAppServer::listen();
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_in(dir.path());
        config.transport = fake.transport();
        change(&mut config);
        let spawner = Spawner::new().unwrap();
        let (server, peer) = tokio::join!(spawner.launch(&config), fake.accept_and_greet());
        Self {
            server: server.unwrap(),
            peer,
            fake,
            _dir: dir,
        }
    }

    fn client(&self) -> Client {
        self.server.client().clone()
    }

    /// Makes a thread with the id `T`.
    async fn thread(&mut self) -> Thread {
        let client = self.client();
        let settings = tieline::codex::protocol::ThreadSettings::default();
        let start = async {
            let asked = self.peer.expect("thread/start").await;
            self.peer.answer(&asked, opened("T")).await;
        };
        let (thread, ()) = tokio::join!(Thread::start(&client, &settings), start);
        thread.unwrap()
    }
}

fn opened(thread: &str) -> Value {
    json!({ "thread": { "id": thread, "status": { "type": "idle" } }, "model": "m",
            "modelProvider": "p", "cwd": "/" })
}

fn of_turn(turn: &str, mut more: Value) -> Value {
    more["threadId"] = json!("T");
    more["turnId"] = json!(turn);
    more
}

fn turn_params(turn: &str, status: &str) -> Value {
    json!({ "threadId": "T", "turn": { "id": turn, "status": status, "items": [] } })
}

async fn accept_turn(peer: &mut Peer, turn: &str) {
    let asked = peer.expect("turn/start").await;
    peer.answer(&asked, turn_params(turn, "inProgress")).await;
    peer.notify("turn/started", turn_params(turn, "inProgress"))
        .await;
}

async fn say(peer: &mut Peer, turn: &str, text: &str) {
    let item = json!({ "type": "agentMessage", "id": "m", "text": text, "phase": null });
    peer.notify("item/completed", of_turn(turn, json!({ "item": item })))
        .await;
}

fn name_set() -> ThreadNameSetParams {
    ThreadNameSetParams {
        thread_id: ThreadId::new("T"),
        name: "n".to_owned(),
    }
}

// === Frames ===

#[tokio::test]
async fn what_is_no_message_is_passed_over_and_told() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let client = server.client();
    let mut notices = client.notices();
    for garbage in [
        Message::text("no json"),
        Message::text("[1,2]"),
        Message::text("{\"neither\":1}"),
        Message::binary(vec![0xff, 0]),
        Message::text(json!({ "method": "turn/started", "params": { "turn": 5 } }).to_string()),
        Message::text(json!({ "method": "brand/new", "params": {} }).to_string()),
    ] {
        peer.raw(garbage).await;
    }
    let params = name_set();
    let call = client.call::<ThreadNameSet>(&params);
    let serve = async {
        let asked = peer.expect("thread/name/set").await;
        peer.answer(&asked, json!({})).await;
    };
    let (answer, ()) = tokio::join!(call, serve);
    answer.unwrap();
    let mut kinds = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        match notice {
            Notice::BadFrame(error) => kinds.push(error.kind()),
            Notice::Warning { .. } => panic!("{notice:?}"),
        }
    }
    assert_eq!(
        kinds,
        [
            FailureKind::BackendJsonParseError,
            FailureKind::BackendResponseInvalid,
            FailureKind::BackendResponseInvalid,
            FailureKind::BackendJsonParseError,
            FailureKind::BackendResponseInvalid,
        ]
    );
    assert_eq!(client.stats().bad_frames, 5);
    assert_eq!(client.stats().unknown_notifications, 1);
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_the_connection_with_its_reason() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let frame = tokio_tungstenite::tungstenite::protocol::frame::Frame::message(
        vec![0xff, 0xfe],
        tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode::Data(
            tokio_tungstenite::tungstenite::protocol::frame::coding::Data::Text,
        ),
        true,
    );
    peer.raw(Message::Frame(frame)).await;
    let reason = within("the end", server.client().closed()).await;
    assert!(matches!(reason, CloseReason::Protocol(_)), "{reason:?}");
}

#[tokio::test]
async fn a_warning_becomes_a_notice() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let mut notices = server.client().notices();
    peer.notify("configWarning", json!({ "summary": "S", "details": "D" }))
        .await;
    let notice = within("the notice", notices.recv()).await.unwrap();
    let Notice::Warning { summary, details } = notice else {
        panic!("{notice:?}");
    };
    assert_eq!((summary.as_str(), details.as_deref()), ("S", Some("D")));
}

// === Handshake ===

#[tokio::test]
async fn a_handshake_without_an_answer_ends_in_time() {
    let fake = FakeAppServer::listen();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    config.transport = fake.transport();
    config.deadlines.handshake = Duration::from_millis(300);
    let spawner = Spawner::new().unwrap();
    let silent = async {
        let mut peer = fake.accept().await;
        peer.expect("initialize").await;
        peer.stay().await;
    };
    let (error, ()) = tokio::join!(spawner.launch(&config), silent);
    let error = error.err().unwrap();
    assert!(
        matches!(error, StartError::Handshake(CallError::TimedOut { .. })),
        "{error:?}"
    );
    assert_eq!(error.to_failure().kind, FailureKind::BackendTimeout);
}

#[tokio::test]
async fn an_old_server_is_refused_with_what_to_do() {
    let fake = FakeAppServer::listen();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    config.transport = fake.transport();
    let spawner = Spawner::new().unwrap();
    let old = async {
        let mut peer = fake.accept().await;
        let asked = peer.expect("initialize").await;
        let facts = json!({ "userAgent": "x/0.136.0", "codexHome": "/", "platformOs": "x" });
        peer.answer(&asked, facts).await;
        peer.stay().await;
    };
    let (error, ()) = tokio::join!(spawner.launch(&config), old);
    let text = format!("{:#}", anyhow::Error::from(error.err().unwrap()));
    assert!(
        text.contains("npm install -g @openai/codex@latest"),
        "{text}"
    );
}

#[tokio::test]
async fn the_handshake_happens_once_however_many_use_the_server() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        calls.spawn(server.client().call::<ThreadNameSet>(&name_set()));
    }
    // A second `initialize` would fail the expectation.
    for _ in 0..20 {
        let asked = peer.expect("thread/name/set").await;
        peer.answer(&asked, json!({})).await;
    }
    while let Some(answer) = calls.join_next().await {
        answer.unwrap().unwrap();
    }
}

// === Requests ===

#[tokio::test]
async fn thousands_of_calls_are_all_answered_and_never_more_than_64_at_a_time() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let mut calls = JoinSet::new();
    for _ in 0..5_000 {
        let call = server
            .client()
            .call_within::<ThreadNameSet>(&name_set(), Duration::from_secs(60));
        calls.spawn(call);
    }
    let mut ids = std::collections::HashSet::new();
    let mut waiting = Vec::new();
    for _ in 0..64 {
        waiting.push(peer.expect("thread/name/set").await);
    }
    let further = tokio::time::timeout(Duration::from_millis(100), peer.message()).await;
    assert!(further.is_err(), "a 65th: {further:?}");
    let mut taken = waiting.len();
    while let Some(asked) = waiting.pop() {
        assert!(ids.insert(asked.id.as_u64().unwrap()), "an id came again");
        peer.answer(&asked, json!({})).await;
        if taken < 5_000 {
            waiting.push(peer.expect("thread/name/set").await);
            taken += 1;
        }
    }
    while let Some(answer) = calls.join_next().await {
        answer.unwrap().unwrap();
    }
}

#[tokio::test]
async fn every_waiting_caller_is_told_why_the_connection_ended() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        calls.spawn(server.client().call::<ThreadNameSet>(&name_set()));
    }
    peer.expect("thread/name/set").await;
    drop(peer);
    let mut told = 0;
    while let Some(answer) = within("an answer", calls.join_next()).await {
        let Err(CallError::Closed { reason, .. }) = answer.unwrap() else {
            panic!("an answer from nowhere");
        };
        assert!(
            matches!(reason, CloseReason::Ended | CloseReason::Broken(_)),
            "{reason:?}"
        );
        told += 1;
    }
    assert_eq!(told, 100);
    let later = server.client().call::<ThreadNameSet>(&name_set()).await;
    assert!(matches!(later, Err(CallError::Closed { .. })), "{later:?}");
}

#[tokio::test]
async fn a_late_answer_is_counted_and_reaches_nobody() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let client = server.client().clone();
    let params = name_set();
    let early = client.call_within::<ThreadNameSet>(&params, Duration::from_millis(50));
    assert!(matches!(early.await, Err(CallError::TimedOut { .. })));
    let late = peer.expect("thread/name/set").await;
    let next = client.call::<ServerDiagnostics>(&Default::default());
    let serve = async {
        let asked = peer.expect("server/diagnostics").await;
        assert_ne!(asked.id, late.id);
        peer.answer(&late, json!({})).await;
        let process = json!({ "id": 7, "residentMemoryBytes": 5 });
        peer.answer(&asked, json!({ "process": process, "gauges": [] }))
            .await;
    };
    let (answer, ()) = tokio::join!(next, serve);
    assert_eq!(answer.unwrap().process.id, 7);
    assert_eq!(client.stats().late_answers, 1);
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let Pair { server, .. } = Pair::new().await;
    let items = vec![InjectedItem::message(Role::Developer, "x".repeat(17 << 20))];
    let thread_id = ThreadId::new("T");
    let params = InjectItemsParams { thread_id, items };
    let error = server.client().call::<InjectItems>(&params).await;
    let error = error.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    assert!(error.is_without_effect());
    assert_eq!(server.client().close_reason(), None);
}

#[tokio::test]
async fn an_unknown_method_can_be_told_from_other_refusals() {
    let Pair {
        server, mut peer, ..
    } = Pair::new().await;
    let client = server.client().clone();
    let params = name_set();
    for (code, message, expected) in [
        (
            -32600,
            "Invalid request: unknown variant `thread/name/set`, expected one of `x`",
            Refusal::UnknownMethod,
        ),
        (-32600, "Invalid request: missing field `x`", Refusal::Other),
    ] {
        let serve = async {
            let asked = peer.expect("thread/name/set").await;
            peer.refuse(&asked, code, message).await;
        };
        let (answer, ()) = tokio::join!(client.call::<ThreadNameSet>(&params), serve);
        assert_eq!(answer.unwrap_err().refusal(), Some(expected));
    }
}

#[tokio::test]
async fn a_peer_that_is_deaf_is_given_up_and_everybody_told() {
    let pair = Pair::with(|config| {
        config.deadlines.liveness.ping_every = Duration::from_millis(50);
        config.deadlines.liveness.deaf_after = Duration::from_millis(400);
    });
    // Not polled, the peer answers no ping; its socket stays open.
    let Pair { server, peer, .. } = pair.await;
    let params = name_set();
    let answer = within(
        "the verdict",
        server.client().call::<ThreadNameSet>(&params),
    );
    let Err(CallError::Closed { reason, .. }) = answer.await else {
        panic!("an answer from nowhere");
    };
    assert!(matches!(reason, CloseReason::Deaf(_)), "{reason:?}");
    drop(peer);
}

#[tokio::test]
async fn a_peer_that_answers_pings_is_not_deaf() {
    let pair = Pair::with(|config| {
        config.deadlines.liveness.ping_every = Duration::from_millis(50);
        config.deadlines.liveness.deaf_after = Duration::from_millis(1_000);
    });
    let Pair {
        server, mut peer, ..
    } = pair.await;
    tokio::select! {
        () = peer.stay() => panic!("closed: {:?}", server.client().close_reason()),
        reason = server.client().closed() => panic!("closed: {reason:?}"),
        () = tokio::time::sleep(Duration::from_millis(2_500)) => {}
    }
}

#[tokio::test]
async fn a_dropped_connection_is_replaced_by_a_new_client() {
    let Pair {
        mut server,
        peer,
        fake,
        ..
    } = Pair::new().await;
    let old = server.client().clone();
    drop(peer);
    within("the end", old.closed()).await;
    let (client, mut peer) = tokio::join!(server.reconnect(), fake.accept_and_greet());
    let client = client.unwrap();
    assert!(old.close_reason().is_some(), "the old one stays closed");
    let params = name_set();
    let serve = async {
        let asked = peer.expect("thread/name/set").await;
        peer.answer(&asked, json!({})).await;
    };
    let (answer, ()) = tokio::join!(client.call::<ThreadNameSet>(&params), serve);
    answer.unwrap();
}

// === What the server asks ===

#[tokio::test]
async fn whatever_is_asked_is_declined_at_once_in_its_own_form() {
    let Pair {
        mut peer, server, ..
    } = Pair::new().await;
    let about = json!({ "threadId": "T", "turnId": "1", "itemId": "i", "tool": "x",
                        "serverName": "s", "questions": [] });
    let declined = json!({ "decision": "decline" });
    let denied =
        json!({ "decision": { "denied": { "rejection": "nobody is there to approve it" } } });
    let no_tool = json!([{ "type": "inputText", "text": "no such tool: x" }]);
    for (method, expected) in [
        ("item/commandExecution/requestApproval", declined.clone()),
        ("item/fileChange/requestApproval", declined),
        (
            "item/permissions/requestApproval",
            json!({ "permissions": {}, "scope": "turn" }),
        ),
        ("item/tool/requestUserInput", json!({ "answers": {} })),
        (
            "mcpServer/elicitation/request",
            json!({ "action": "decline" }),
        ),
        (
            "item/tool/call",
            json!({ "contentItems": no_tool, "success": false }),
        ),
        ("execCommandApproval", denied.clone()),
        ("applyPatchApproval", denied),
    ] {
        let answer = peer.ask(0, method, about.clone()).await;
        assert_eq!(answer["result"], expected, "{method}");
    }
    let answer = peer.ask(1, "brand/new", json!({})).await;
    assert_eq!(answer["error"]["code"], -32601);
    drop(server);
}

#[tokio::test]
async fn more_requests_than_can_be_answered_are_declined_at_once() {
    struct Never;
    #[async_trait]
    impl ServerRequests for Never {
        async fn answer(&self, _request: &ServerRequest) -> Option<Answer> {
            std::future::pending().await
        }
    }
    let Pair {
        mut peer, server, ..
    } = Pair::with(|config| config.requests = Arc::new(Never)).await;
    let about = json!({ "threadId": "T", "turnId": "1", "itemId": "i" });
    let method = "item/fileChange/requestApproval";
    for id in 0..64 {
        peer.say(json!({ "id": id, "method": method, "params": about }))
            .await;
    }
    let answer = peer.ask(64, method, about).await;
    assert_eq!(answer["result"], json!({ "decision": "decline" }));
    drop(server);
}

#[tokio::test]
async fn a_request_whose_handler_panics_is_answered_with_an_error() {
    struct Clumsy;
    #[async_trait]
    impl ServerRequests for Clumsy {
        async fn answer(&self, _request: &ServerRequest) -> Option<Answer> {
            panic!("on purpose");
        }
    }
    let Pair {
        mut peer, server, ..
    } = Pair::with(|config| config.requests = Arc::new(Clumsy)).await;
    let answer = peer.ask(3, "item/tool/call", json!({})).await;
    assert_eq!(answer["error"]["code"], -32603);
    drop(server);
}

#[tokio::test]
async fn a_declined_approval_shows_in_its_turn() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let mut turn = thread.start_turn(text("x"), &options("k"));
    let serve = async {
        accept_turn(&mut pair.peer, "1").await;
        let about = of_turn("1", json!({ "itemId": "i", "command": "rm -rf /" }));
        let method = "item/commandExecution/requestApproval";
        pair.peer.ask(0, method, about).await;
    };
    let declined = TurnEvent::Declined {
        what: "to run a command: rm -rf /".to_owned(),
    };
    tokio::join!(until(&mut turn, |event| *event == declined), serve);
}

// === Turns ===

#[tokio::test]
async fn an_interrupt_before_the_answer_is_delivered_once_the_turn_has_started() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let turn = thread.start_turn(text("x"), &options("k"));
    let interrupter = turn.interrupter();
    let serve = async {
        // Never answered.
        pair.peer.expect("turn/start").await;
        interrupter.interrupt();
        interrupter.interrupt();
        pair.peer
            .notify("turn/started", turn_params("1", "inProgress"))
            .await;
        let too_early = pair.peer.expect("turn/interrupt").await;
        pair.peer
            .refuse(&too_early, -32600, "no active turn to interrupt")
            .await;
        let again = pair.peer.expect("turn/interrupt").await;
        assert_eq!(again.params, json!({ "threadId": "T", "turnId": "1" }));
        pair.peer.answer(&again, json!({})).await;
        pair.peer
            .notify("turn/completed", turn_params("1", "interrupted"))
            .await;
    };
    let ((_, end), ()) = tokio::join!(finish(turn), serve);
    assert_eq!(end, TurnEnd::Interrupted);
}

#[tokio::test]
async fn an_interrupt_before_anything_was_sent_sends_nothing() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let turn = thread.start_turn(text("x"), &options("k"));
    turn.interrupter().interrupt();
    assert_eq!(finish(turn).await, (vec![], TurnEnd::Interrupted));
    let probe = async {
        let asked = pair.peer.expect("thread/name/set").await;
        pair.peer.answer(&asked, json!({})).await;
    };
    let (answer, ()) = tokio::join!(thread.set_name("n"), probe);
    answer.unwrap();
}

#[tokio::test]
async fn a_connection_that_ends_in_a_turn_loses_it_with_its_ids() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let turn = thread.start_turn(text("x"), &options("k"));
    let serve = async {
        accept_turn(&mut pair.peer, "1").await;
        let delta = of_turn("1", json!({ "itemId": "m", "delta": "half an" }));
        pair.peer.notify("item/agentMessage/delta", delta).await;
        drop(pair.peer);
    };
    let ((events, end), ()) = tokio::join!(finish(turn), serve);
    assert!(
        matches!(events.last(), Some(TurnEvent::MessageDelta { .. })),
        "{events:?}"
    );
    let TurnEnd::Lost(lost) = end else {
        panic!("{end:?}");
    };
    assert_eq!(lost.thread_id, ThreadId::new("T"));
    assert_eq!(lost.turn_id, Some(TurnId::new("1")));
    assert!(matches!(lost.reason, LostReason::Closed(_)));
    let message = lost.to_failure().message;
    assert!(message.starts_with(Lost::CLASS), "{message}");
}

#[tokio::test]
async fn a_retry_that_works_is_a_success() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let turn = thread.start_turn(text("x"), &options("k"));
    let serve = async {
        accept_turn(&mut pair.peer, "1").await;
        let error = json!({ "message": "Reconnecting... 1/5" });
        let error = of_turn("1", json!({ "willRetry": true, "error": error }));
        pair.peer.notify("error", error).await;
        say(&mut pair.peer, "1", "fine").await;
        pair.peer
            .notify("turn/completed", turn_params("1", "completed"))
            .await;
    };
    let ((events, end), ()) = tokio::join!(finish(turn), serve);
    assert_eq!(end, answered("fine"));
    let retries = events
        .iter()
        .filter(|event| matches!(event, TurnEvent::Retrying { .. }));
    assert_eq!(retries.count(), 1);
}

#[tokio::test]
async fn progress_keeps_a_turn_alive_beyond_its_idle_limit_and_silence_ends_it() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let mut options = options("k");
    options.idle_limit = Duration::from_secs(1);
    let turn = thread.start_turn(text("x"), &options);
    let begun = std::time::Instant::now();
    let serve = async {
        accept_turn(&mut pair.peer, "1").await;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Reasoning shows nowhere, and is a sign of life.
            let delta = of_turn("1", json!({ "itemId": "r", "delta": "hm" }));
            pair.peer.notify("item/reasoning/textDelta", delta).await;
        }
        let asked = pair.peer.expect("turn/interrupt").await;
        let alive_for = begun.elapsed();
        pair.peer
            .notify("turn/completed", turn_params("1", "interrupted"))
            .await;
        pair.peer.answer(&asked, json!({})).await;
        alive_for
    };
    let ((_, end), alive_for) = tokio::join!(finish(turn), serve);
    assert!(alive_for > Duration::from_secs(2), "{alive_for:?}");
    let TurnEnd::TimedOut {
        failure,
        child_deaf,
    } = end
    else {
        panic!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::BackendTimeout);
    assert!(!child_deaf);
}

#[tokio::test]
async fn retries_without_end_are_an_unavailable_provider() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let mut options = options("k");
    options.idle_limit = Duration::from_millis(500);
    let turn = thread.start_turn(text("x"), &options);
    let serve = async {
        accept_turn(&mut pair.peer, "1").await;
        let error = json!({ "message": "Reconnecting... waiting for network" });
        let error = of_turn("1", json!({ "willRetry": true, "error": error }));
        let asked = loop {
            pair.peer.notify("error", error.clone()).await;
            let pause = Duration::from_millis(50);
            if let Ok(asked) = tokio::time::timeout(pause, pair.peer.asked()).await {
                break asked;
            }
        };
        assert_eq!(asked.method, "turn/interrupt");
        pair.peer.answer(&asked, json!({})).await;
        pair.peer
            .notify("turn/completed", turn_params("1", "interrupted"))
            .await;
    };
    let ((_, end), ()) = tokio::join!(finish(turn), serve);
    let TurnEnd::TimedOut { failure, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::ProviderUnavailable);
}

#[tokio::test]
async fn a_child_that_does_not_obey_an_interrupt_is_called_deaf() {
    let mut pair = Pair::with(|config| {
        config.deadlines.liveness.deaf_after = Duration::from_secs(3_600);
    })
    .await;
    let mut thread = pair.thread().await;
    let mut options = options("k");
    options.idle_limit = Duration::from_secs(5);
    let mut turn = thread.start_turn(text("x"), &options);
    let started = |event: &TurnEvent| matches!(event, TurnEvent::Started { .. });
    tokio::join!(until(&mut turn, started), accept_turn(&mut pair.peer, "1"));
    // From here on nothing comes in: the clock may run as fast as it likes.
    tokio::time::pause();
    let (_, end) = finish(turn).await;
    let TurnEnd::TimedOut {
        failure,
        child_deaf,
    } = end
    else {
        panic!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::BackendTimeout);
    assert!(child_deaf);
}

#[tokio::test]
async fn a_refused_turn_did_nothing() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let turn = thread.start_turn(text("x"), &options("k"));
    let serve = async {
        let asked = pair.peer.expect("turn/start").await;
        pair.peer
            .refuse(
                &asked,
                -32600,
                "Server is draining; retry after reconnecting",
            )
            .await;
    };
    let ((_, end), ()) = tokio::join!(finish(turn), serve);
    let TurnEnd::Refused { refusal, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(refusal, Refusal::Draining);
}

#[tokio::test]
async fn a_reader_that_is_behind_misses_pieces_and_never_the_end() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let mut turn = thread.start_turn(text("x"), &options("k"));
    let started = |event: &TurnEvent| matches!(event, TurnEvent::Started { .. });
    tokio::join!(until(&mut turn, started), accept_turn(&mut pair.peer, "1"));
    for _ in 0..5_000 {
        let delta = of_turn("1", json!({ "itemId": "m", "delta": "x" }));
        pair.peer.notify("item/agentMessage/delta", delta).await;
    }
    say(&mut pair.peer, "1", "all of it").await;
    pair.peer
        .notify("turn/completed", turn_params("1", "completed"))
        .await;
    // An answer that comes after all of this says that all of it was taken in.
    pair.peer
        .ask(0, "currentTime/read", json!({ "threadId": "T" }))
        .await;
    let client = pair.client();
    assert!(client.stats().dropped_events > 4_000);
    let (_, end) = finish(turn).await;
    assert_eq!(end, answered("all of it"));
}

#[tokio::test]
async fn what_is_late_of_an_earlier_turn_does_not_touch_the_next() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    for turn_id in ["1", "2"] {
        let turn = thread.start_turn(text("x"), &options("k"));
        let serve = async {
            let asked = pair.peer.expect("turn/start").await;
            // The end of the turn before, again, before this one is answered.
            pair.peer
                .notify("turn/completed", turn_params("1", "failed"))
                .await;
            say(&mut pair.peer, "0", "stale").await;
            pair.peer
                .answer(&asked, turn_params(turn_id, "inProgress"))
                .await;
            pair.peer
                .notify("turn/started", turn_params(turn_id, "inProgress"))
                .await;
            say(&mut pair.peer, turn_id, turn_id).await;
            pair.peer
                .notify("turn/completed", turn_params(turn_id, "completed"))
                .await;
        };
        let ((_, end), ()) = tokio::join!(finish(turn), serve);
        assert_eq!(end, answered(turn_id));
    }
}

#[tokio::test]
async fn an_unloaded_thread_loses_its_turn() {
    let mut pair = Pair::new().await;
    let mut thread = pair.thread().await;
    let turn = thread.start_turn(text("x"), &options("k"));
    let serve = async {
        accept_turn(&mut pair.peer, "1").await;
        pair.peer
            .notify("thread/closed", json!({ "threadId": "T" }))
            .await;
    };
    let ((_, end), ()) = tokio::join!(finish(turn), serve);
    assert!(
        matches!(
            end,
            TurnEnd::Lost(Lost {
                reason: LostReason::Unloaded,
                ..
            })
        ),
        "{end:?}"
    );
}
