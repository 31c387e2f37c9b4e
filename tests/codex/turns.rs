//! Threads and turns on the real Codex.

use std::time::Duration;

use pretty_assertions::assert_eq;
use tieline::codex::protocol::{
    AgentPhase, InjectedItem, Role, SkillsExtraRootsSet, SkillsExtraRootsSetParams, ThreadRead,
    ThreadReadParams, ThreadSettings, ThreadStatus, TurnStatus,
};
use tieline::codex::rollout::{self, RolloutSearch};
use tieline::codex::{AppServer, FailureKind, Lost, Refusal, Thread, ToolKind, TurnEnd, TurnEvent};
use tieline::id::ThreadId;

use super::stage::{Stage, answered, finish, options, text, until};
use crate::support::model::{Fault, Point, within};

const DRAIN: Duration = Duration::from_secs(30);

fn is_recorded(event: &TurnEvent) -> bool {
    matches!(event, TurnEvent::Recorded { .. })
}

pub(super) async fn stop(server: AppServer) {
    within("the stop", server.stop(DRAIN)).await;
}

pub(super) async fn kill(server: AppServer) {
    within("the kill", server.kill()).await;
}

// === Turns ===

#[tokio::test]
async fn a_turn_is_started_recorded_and_answered_in_this_order() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    stage.echo.once("hello", Fault::TwoMessages);
    let (events, end) = finish(thread.start_turn(text("hello"), &options("m-1"))).await;
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TurnEvent::Started { .. } => Some("started".to_owned()),
            TurnEvent::Recorded { client_id } => Some(format!("recorded {client_id}")),
            TurnEvent::Message { text, phase, .. } => Some(format!("{text} {phase:?}")),
            TurnEvent::MessageDelta { .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "started",
            "recorded m-1",
            "working on it Some(Commentary)",
            "echo: hello Some(FinalAnswer)"
        ]
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TurnEvent::MessageDelta { .. }))
    );
    assert_eq!(end, answered("echo: hello"));
    stop(server).await;
}

#[tokio::test]
async fn commentary_alone_and_silence_are_no_answer() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    for fault in [Fault::OnlyCommentary, Fault::Nothing] {
        stage.echo.once("quiet", fault);
        let (_, end) = finish(thread.start_turn(text("quiet"), &options("m"))).await;
        assert_eq!(end, TurnEnd::Completed { answer: None });
    }
    stop(server).await;
}

#[tokio::test]
async fn a_command_shows_as_a_tool_while_it_runs_and_when_it_is_done() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    stage
        .echo
        .once("run", Fault::Command("echo from-the-shell"));
    let (events, end) = finish(thread.start_turn(text("run"), &options("m"))).await;
    let sentences: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            TurnEvent::Tool(tool) if tool.kind == ToolKind::Command => Some(tool.sentence()),
            _ => None,
        })
        .collect();
    assert_eq!(sentences.len(), 2, "{events:?}");
    assert!(sentences[0].starts_with("runs ") && sentences[1].starts_with("ran "));
    let TurnEnd::Completed { answer: Some(text) } = end else {
        panic!("{end:?}");
    };
    assert!(text.contains("from-the-shell"), "{text}");
    stop(server).await;
}

#[tokio::test]
async fn an_interrupt_ends_a_turn_whenever_it_comes() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    // Before anything is known of the turn.
    stage.echo.once("early", Fault::Silence);
    let turn = thread.start_turn(text("early"), &options("m-1"));
    let interrupter = turn.interrupter();
    // Polled second: the request is on its way, and nothing has come back.
    let at_once = async { interrupter.interrupt() };
    let ((_, end), ()) = tokio::join!(finish(turn), at_once);
    assert_eq!(end, TurnEnd::Interrupted);
    // In the middle of the answer.
    let hold = stage.echo.hold("late", Point::MidStream);
    let mut turn = thread.start_turn(text("late"), &options("m-2"));
    until(&mut turn, |event| {
        matches!(event, TurnEvent::MessageDelta { .. })
    })
    .await;
    turn.interrupter().interrupt();
    assert_eq!(finish(turn).await.1, TurnEnd::Interrupted);
    hold.release();
    // The thread is as good as before.
    let (_, end) = finish(thread.start_turn(text("after"), &options("m-3"))).await;
    assert_eq!(end, answered("echo: after"));
    stop(server).await;
}

#[tokio::test]
async fn silence_of_the_model_ends_at_the_idle_limit() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    stage.echo.once("hang", Fault::Silence);
    let mut options = options("m");
    options.idle_limit = Duration::from_secs(1);
    let (_, end) = finish(thread.start_turn(text("hang"), &options)).await;
    let TurnEnd::TimedOut {
        failure,
        child_deaf,
    } = end
    else {
        panic!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::BackendTimeout);
    assert!(!child_deaf);
    stop(server).await;
}

#[tokio::test]
async fn a_model_server_that_is_gone_is_unavailable_at_the_idle_limit() {
    let mut stage = Stage::new().await;
    stage
        .config
        .config
        .push("features.unbounded_connection_retries=true".to_owned());
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    stage.model.stop().await;
    let mut options = options("m");
    options.idle_limit = Duration::from_secs(5);
    let (events, end) = finish(thread.start_turn(text("x"), &options)).await;
    assert!(
        events
            .iter()
            .any(|event| matches!(event, TurnEvent::Retrying { .. })),
        "{events:?}"
    );
    let TurnEnd::TimedOut { failure, .. } = end else {
        panic!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::ProviderUnavailable);
    stop(server).await;
}

#[tokio::test]
async fn what_is_sent_to_a_busy_thread_is_said_to_be_folded_in() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let hold = stage.echo.hold("first", Point::Start);
    let mut turn = thread.start_turn(text("first"), &options("m-1"));
    until(&mut turn, is_recorded).await;
    hold.reached().await;
    let running = turn.id().unwrap().clone();
    drop(turn);
    let mut second = thread.start_turn(text("second"), &options("m-2"));
    until(&mut second, |event| {
        *event
            == TurnEvent::FoldedInto {
                turn_id: running.clone(),
            }
    })
    .await;
    hold.release();
    let (_, end) = finish(second).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    stop(server).await;
}

#[tokio::test]
async fn a_turn_can_be_steered_while_it_runs_and_not_afterwards() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let hold = stage.echo.hold("first", Point::BeforeEnd);
    let mut turn = thread.start_turn(text("first"), &options("m-1"));
    until(&mut turn, is_recorded).await;
    hold.reached().await;
    let steered = turn.steer(text("more"), Some("m-2".to_owned())).await;
    assert_eq!(steered.unwrap(), *turn.id().unwrap());
    let late = turn.steer(text("too late"), None);
    hold.release();
    let (_, end) = finish(turn).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    assert_eq!(
        late.await.unwrap_err().refusal(),
        Some(Refusal::NoActiveTurn)
    );
    stop(server).await;
}

#[tokio::test]
async fn every_failure_of_the_model_has_its_kind_and_the_thread_goes_on() {
    use FailureKind as K;
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let status = |status| Fault::Status(status, "{\"error\":{\"message\":\"no\"}}", None);
    let cases = [
        (status(401), K::ProviderAuthFailed),
        (status(403), K::ProviderAuthFailed),
        (status(429), K::ProviderRateLimited),
        (status(400), K::ProviderHttpError),
        (
            Fault::Status(400, "{\"error\":\"bad tool call in history\"}", None),
            K::ProviderInvalidToolCall,
        ),
        (status(413), K::ProviderHttpError),
        (status(500), K::ProviderUnavailable),
        (status(503), K::ProviderUnavailable),
        (Fault::CutAtOnce, K::ProviderStreamDisconnected),
        (Fault::CutMidStream, K::ProviderStreamDisconnected),
        (Fault::Garbage, K::ProviderStreamDisconnected),
        (Fault::EndEarly, K::ProviderStreamDisconnected),
        (
            Fault::Failed("rate_limit_exceeded", "slow"),
            K::ProviderRateLimited,
        ),
        (
            Fault::Failed("context_length_exceeded", "long"),
            K::ProviderHttpError,
        ),
        (
            Fault::Failed("server_is_overloaded", "busy"),
            K::ProviderUnavailable,
        ),
        (Fault::Failed("odd", "their words"), K::ProviderHttpError),
        (
            Fault::Incomplete("max_output_tokens"),
            K::BackendResponseInvalid,
        ),
    ];
    for (fault, expected) in cases {
        let name = format!("{fault:?}");
        stage.echo.once("fail", fault);
        let (_, end) = finish(thread.start_turn(text("fail"), &options("m"))).await;
        let TurnEnd::Failed(failure) = end else {
            panic!("{name}: {end:?}");
        };
        assert_eq!(failure.kind, expected, "{name}: {failure}");
        assert_eq!(
            failure.context_exceeded,
            name.contains("context_length"),
            "{name}"
        );
    }
    let (_, end) = finish(thread.start_turn(text("fine"), &options("m"))).await;
    assert_eq!(end, answered("echo: fine"));
    stop(server).await;
}

#[tokio::test]
async fn a_missing_key_is_a_missing_secret() {
    let mut stage = Stage::new().await;
    let key = "model_providers.tieline-demo.env_key=\"NO_SUCH_KEY\"";
    stage.config.config.push(key.to_owned());
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let (_, end) = finish(thread.start_turn(text("x"), &options("m"))).await;
    let TurnEnd::Failed(failure) = end else {
        panic!("{end:?}");
    };
    assert_eq!(failure.kind, FailureKind::SecretUnavailable);
    stop(server).await;
}

#[tokio::test]
async fn a_compaction_is_a_turn_without_an_answer() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    finish(thread.start_turn(text("hello"), &options("m"))).await;
    let (events, end) = finish(thread.compact(&options("m"))).await;
    assert!(events.contains(&TurnEvent::Compacting), "{events:?}");
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    stop(server).await;
}

// === Threads ===

#[tokio::test]
async fn the_settings_arrive_at_start_and_again_at_resume() {
    let stage = Stage::new().await;
    let settings = ThreadSettings {
        base_instructions: Some("BASE-TEXT".to_owned()),
        developer_instructions: Some("DEVELOPER-TEXT".to_owned()),
        ..stage.settings()
    };
    let server = stage.start().await;
    let thread = Thread::start(server.client(), &settings).await;
    let mut thread = thread.unwrap();
    assert_eq!(Some(&thread.opened().cwd), settings.cwd.as_ref());
    assert_eq!(
        thread.opened().model,
        "tieline-demo",
        "left out, codex's own counts"
    );
    finish(thread.start_turn(text("one"), &options("m-1"))).await;
    let id = thread.id().clone();
    kill(server).await;

    let server = stage.start().await;
    let resumed = Thread::resume(server.client(), &id, &settings).await;
    let mut thread = resumed.unwrap();
    assert_eq!(*thread.id(), id);
    let (_, end) = finish(thread.start_turn(text("two"), &options("m-2"))).await;
    assert_eq!(end, answered("echo: two"));
    let requests = stage.model.requests();
    let last = requests.last().unwrap();
    let developer = last.developer_texts();
    for wanted in ["BASE-TEXT", "DEVELOPER-TEXT"] {
        assert!(
            developer.iter().any(|text| text.contains(wanted)),
            "{wanted}"
        );
    }
    stop(server).await;
}

#[tokio::test]
async fn a_thread_without_a_turn_has_no_rollout_and_a_name_gives_it_one() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let unused = stage.thread(&server).await;
    let named = stage.thread(&server).await;
    let path = unused.rollout_path().unwrap().to_owned();
    let nothing = rollout::search(&path, Role::User, |_| true).await;
    assert!(matches!(nothing, RolloutSearch::NoFile));
    let client = server.client();
    let newest = client.newest_turn(unused.id()).await.unwrap();
    assert!(newest.is_none(), "{newest:?}");
    let found = client.find_message(unused.id(), "m-1").await.unwrap();
    assert_eq!(found, None);
    named.set_name("lane").await.unwrap();
    let (unused, named) = (unused.id().clone(), named.id().clone());
    kill(server).await;

    let server = stage.start().await;
    let settings = stage.settings();
    let error = Thread::resume(server.client(), &unused, &settings).await;
    let error = error.err().unwrap();
    assert_eq!(error.refusal(), Some(Refusal::NoRollout), "{error:?}");
    let failure = error.to_resume_failure(false);
    assert_eq!(failure.kind, FailureKind::ThreadResumeFailed);
    let resumed = Thread::resume(server.client(), &named, &settings).await;
    assert_eq!(
        resumed.unwrap().opened().thread.name.as_deref(),
        Some("lane")
    );
    stop(server).await;
}

#[tokio::test]
async fn a_thread_that_another_process_holds_is_refused_as_such() {
    let stage = Stage::new().await;
    let holder = stage.start().await;
    let mut thread = stage.thread(&holder).await;
    finish(thread.start_turn(text("one"), &options("m-1"))).await;
    let id = thread.id().clone();
    let other = stage.start().await;
    let settings = stage.settings();
    let error = Thread::resume(other.client(), &id, &settings).await;
    let error = error.err().unwrap();
    assert_eq!(error.refusal(), Some(Refusal::ActiveWriter), "{error:?}");
    // The lock goes with the process.
    kill(holder).await;
    let resumed = Thread::resume(other.client(), &id, &settings).await;
    assert_eq!(*resumed.unwrap().id(), id);
    stop(other).await;
}

#[tokio::test]
async fn an_injected_item_survives_a_kill_and_is_told_to_the_model_once() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    finish(thread.start_turn(text("one"), &options("m-1"))).await;
    let item = InjectedItem::message(Role::Developer, "[completion c-17] done");
    thread.inject(vec![item]).await.unwrap();
    let id = thread.id().clone();
    let path = thread.rollout_path().unwrap().to_owned();
    kill(server).await;
    let has = |role| rollout::search(&path, role, |text| text.contains("c-17"));
    assert!(matches!(has(Role::Developer).await, RolloutSearch::Found));
    assert!(matches!(has(Role::User).await, RolloutSearch::Absent));

    let server = stage.start().await;
    let mut thread = Thread::resume(server.client(), &id, &stage.settings())
        .await
        .unwrap();
    // Nothing new is said: the model is asked to go on.
    let (_, end) = finish(thread.start_turn(Vec::new(), &options("m-2"))).await;
    assert!(matches!(end, TurnEnd::Completed { .. }), "{end:?}");
    let requests = stage.model.requests();
    let told = requests.last().unwrap().developer_texts();
    assert_eq!(told.iter().filter(|text| text.contains("c-17")).count(), 1);
    stop(server).await;
}

#[tokio::test]
async fn skill_directories_can_be_set() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let params = SkillsExtraRootsSetParams {
        extra_roots: vec![stage.dir.path().join("skills")],
    };
    let set = server.client().call::<SkillsExtraRootsSet>(&params);
    set.await.unwrap();
    stop(server).await;
}

// === After something went wrong ===

#[tokio::test]
async fn a_message_is_found_again_with_its_turn_and_answer() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    for number in 1..=3 {
        let client_id = format!("m-{number}");
        let said = text(&format!("number {number}"));
        finish(thread.start_turn(said, &options(&client_id))).await;
    }
    stage.echo.once("broken", Fault::Status(400, "{}", None));
    finish(thread.start_turn(text("broken"), &options("m-4"))).await;
    let client = server.client();
    let id = thread.id();
    let found = client.find_message(id, "m-2").await.unwrap().unwrap();
    assert_eq!(found.status, TurnStatus::Completed);
    assert_eq!(found.answer.as_deref(), Some("echo: number 2"));
    assert_eq!(found.last_phase, Some(Some(AgentPhase::FinalAnswer)));
    assert_eq!(found.failure, None);
    let failed = client.find_message(id, "m-4").await.unwrap().unwrap();
    assert_eq!(failed.status, TurnStatus::Failed);
    let kind = failed.failure.unwrap().kind;
    assert_eq!(kind, FailureKind::ProviderHttpError);
    assert_eq!(client.find_message(id, "m-5").await.unwrap(), None);
    let newest = client.newest_turn(id).await.unwrap().unwrap();
    assert_eq!(newest.id, failed.turn_id);
    stop(server).await;
}

#[tokio::test]
async fn after_a_kill_the_thread_knows_what_was_recorded() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let hold = stage.echo.hold("cut off", Point::MidStream);
    let mut turn = thread.start_turn(text("cut off"), &options("m-1"));
    until(&mut turn, is_recorded).await;
    hold.reached().await;
    drop(turn);
    let (id, path) = (
        thread.id().clone(),
        thread.rollout_path().unwrap().to_owned(),
    );
    kill(server).await;
    let search = rollout::search(&path, Role::User, |text| text == "cut off").await;
    assert!(matches!(search, RolloutSearch::Found), "{search:?}");
    let located = rollout::locate(&stage.config.home, &id).await.unwrap();
    assert_eq!(located, Some(path));

    let server = stage.start().await;
    // No resume is needed to ask.
    let found = server.client().find_message(&id, "m-1").await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.status, TurnStatus::Interrupted);
    assert_eq!(found.answer, None);
    let mut thread = Thread::resume(server.client(), &id, &stage.settings())
        .await
        .unwrap();
    let (_, end) = finish(thread.start_turn(Vec::new(), &options("m-1"))).await;
    assert_eq!(end, answered("echo: cut off"));
    hold.release();
    stop(server).await;
}

#[tokio::test]
async fn a_turn_goes_on_while_the_connection_is_replaced() {
    let stage = Stage::new().await;
    let mut server = stage.start().await;
    let mut thread = stage.thread(&server).await;
    let hold = stage.echo.hold("patience", Point::MidStream);
    let mut turn = thread.start_turn(text("patience"), &options("m-1"));
    until(&mut turn, is_recorded).await;
    hold.reached().await;
    let turn_id = turn.id().unwrap().clone();
    let pid = server.snapshot().pid;
    let client = server.reconnect().await.unwrap();
    let (_, end) = finish(turn).await;
    assert!(matches!(end, TurnEnd::Lost(Lost { .. })), "{end:?}");
    assert_eq!(server.snapshot().pid, pid, "the same process");

    let id = thread.id().clone();
    let mut thread = Thread::resume(&client, &id, &stage.settings())
        .await
        .unwrap();
    assert_eq!(thread.opened().thread.status, ThreadStatus::Active);
    let newest = client.newest_turn(&id).await.unwrap().unwrap();
    assert_eq!(
        (newest.id, newest.status),
        (turn_id.clone(), TurnStatus::InProgress)
    );
    let turn = thread.attach(turn_id, &options("m-1"));
    hold.release();
    let (_, end) = finish(turn).await;
    assert_eq!(end, answered("echo: patience"));
    stop(server).await;
}

#[tokio::test]
async fn a_thread_nobody_knows_is_refused_as_such() {
    let stage = Stage::new().await;
    let server = stage.start().await;
    let client = server.client();
    let unknown = ThreadId::new("01a1f874-0a18-7a43-b458-a9c0e3c4fa48");
    let params = ThreadReadParams {
        thread_id: unknown.clone(),
        include_turns: false,
    };
    let error = client.call::<ThreadRead>(&params).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ThreadNotFound), "{error:?}");
    let error = Thread::resume(client, &unknown, &stage.settings()).await;
    let error = error.err().unwrap();
    let failure = error.to_resume_failure(true);
    assert_eq!(failure.kind, FailureKind::SessionStoreEvicted);
    stop(server).await;
}
