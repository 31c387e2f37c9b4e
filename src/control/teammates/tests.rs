use std::path::Path as FsPath;
use std::sync::Arc;
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::codex::protocol::ThreadSettings;
use crate::codex::{LaunchConfig, Spawner};
use crate::config::Config;
use crate::control::tests::{Fixed, Running, raw};
use crate::control::{Client, ClientError, CompletionReport, teammate_route, teammates_route};
use crate::dispatcher::{Dispatcher, Settings};
use crate::id::{DispatcherId, TeammateId, TurnKey};
use crate::ledger::{
    self, Asker, CompletionStatus, Ledger, LedgerSettings, NewTask, Order, Outcome, TaskReport,
};

/// Makes a dispatcher that works at nothing, with more of its configuration.
pub(in crate::control) fn dispatcher(
    directory: &FsPath,
    ledger: &Ledger,
    name: &str,
    more: &str,
) -> Handle {
    let text = format!(
        "[channels.t]\nkind = \"console\"\n[dispatchers.{name}]\nworkspace = \"work\"\n\
         channels = [\"t\"]\n{more}"
    );
    std::fs::create_dir_all(directory.join("work/docs")).unwrap();
    let path = directory.join("tieline.toml");
    let mut config = Config::parse(&text, &path, Some(directory)).unwrap().config;
    let id = DispatcherId::new(name);
    let settings = Settings {
        config: config.dispatchers.remove(&id).unwrap(),
        launch: LaunchConfig::new(name, "/", "/", directory, directory),
        attachments: directory.join("attachments"),
        spills: directory.join("completions"),
        outgoing: directory.join("outgoing"),
        worktrees: directory.join("worktrees"),
        events: crate::events::Events::none(),
        restart_notice: None,
        thread: ThreadSettings::default(),
        id,
    };
    let launcher = Arc::new(Spawner::new().unwrap());
    Dispatcher::new(settings, ledger.clone(), Default::default(), launcher).1
}

async fn start() -> Running {
    Running::with_dispatchers(Arc::new(Fixed), |directory, ledger| {
        vec![
            dispatcher(directory, ledger, "flow", "teammates = { max = 3 }\n"),
            dispatcher(directory, ledger, "off", "teammates = { max = 0 }\n"),
        ]
    })
    .await
}

fn wanted(name: &str) -> NewTeammate {
    NewTeammate {
        name: name.to_owned(),
        task: format!("the task of {name}"),
        ..NewTeammate::default()
    }
}

fn further(task: &str) -> FurtherTask {
    FurtherTask {
        task: task.to_owned(),
        lane: None,
    }
}

async fn read(client: &Client, name: &str) -> TeammateDetails {
    client.get(&teammate_route("flow", name)).await.unwrap()
}

/// Asserts that something was refused with a status, words and a hint.
fn assert_refused<T: std::fmt::Debug>(asked: Result<T, ClientError>, status: u16, words: &str) {
    match asked.unwrap_err() {
        ClientError::Refused {
            status: given,
            code: _,
            message,
            hint: Some(hint),
        } => {
            assert_eq!(given.as_u16(), status, "{message}");
            assert!(message.contains(words), "{message}");
            assert!(!hint.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

/// Has one join whose worktree is at a made-up place.
async fn spawn_in_a_worktree(ledger: &Ledger, name: &str) -> TeammateId {
    let flow = DispatcherId::new("flow");
    let asker = Asker {
        lane: LaneId::new("flow"),
        origin: None,
    };
    let new = ledger::NewTeammate {
        dispatcher: flow.clone(),
        name: name.to_owned(),
        lane: LaneId::new(format!("flow/@{name}")),
        workspace: Workspace::Worktree {
            repository: "/code/flow".into(),
            path: "/state/worktrees/flow/x".into(),
            branch: "tieline/x".to_owned(),
            inside: PathBuf::new(),
            fate: WorktreeFate::InUse,
        },
        model: None,
        sandbox: None,
        instructions: None,
        limit: 3,
    };
    let task = NewTask {
        dispatcher: flow.clone(),
        teammate: name.to_owned(),
        asker,
        text: "look around".to_owned(),
    };
    ledger.carry_out(Order::Spawn(new, task)).await.unwrap();
    let record = ledger.teammate_named(&flow, name).await.unwrap();
    record.unwrap().id
}

#[tokio::test]
async fn one_joins_works_is_read_and_leaves() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let none: Teammates = client.get(&teammates_route("flow")).await.unwrap();
    assert_eq!(none, Teammates::default());

    let joined = client.spawn("flow", &wanted("flaky")).await.unwrap();
    assert_eq!((joined.state.as_str(), joined.waiting), ("waiting", 1));
    let task = joined.task.unwrap();
    assert_eq!(
        (task.beginning.as_str(), task.state.as_str()),
        ("the task of flaky", "waiting")
    );
    let lane = joined.lane;
    let turn = TurnKey::new();
    running.ledger.open_task(&lane, turn).await.unwrap();
    let given = client.assign("flow", "flaky", &further("and more")).await;
    let given = given.unwrap();
    assert_eq!((given.state.as_str(), given.waiting), ("working", 1));
    assert_eq!(given.task.unwrap().state, "in_turn");
    let report = TaskReport {
        status: CompletionStatus::Ok,
        body: "It was the clock.".to_owned(),
    };
    let settled = running
        .ledger
        .settle_work(&lane, turn, Outcome::Answered, report, Vec::new());
    settled.await.unwrap();

    let details = read(&client, "flaky").await;
    let ([first], [second]) = (&*details.tasks, &*details.waiting_tasks) else {
        panic!("{details:?}");
    };
    assert_eq!(
        (first.text.as_str(), first.status.state.as_str()),
        ("the task of flaky", "done")
    );
    let result = TaskResult {
        status: CompletionStatus::Ok,
        body: "It was the clock.".to_owned(),
    };
    assert_eq!(first.result, Some(result));
    assert_eq!(
        (second.beginning.as_str(), second.state.as_str()),
        ("and more", "waiting")
    );

    let stopped = client.stop("flow", "flaky").await.unwrap();
    assert_eq!((stopped.was_working, stopped.withdrawn), (false, 1));
    assert_eq!(stopped.teammate.state, "idle");
    let closed = client.close("flow", "flaky", false).await.unwrap();
    assert_eq!((closed.was_working, closed.withdrawn), (false, 0));
    assert_eq!(closed.teammate.state, "closed");
    assert_eq!(closed.teammate.closed_at, Some(closed.teammate.since));
    let details = read(&client, "flaky").await;
    assert_eq!((details.tasks.len(), details.waiting_tasks.len()), (2, 0));
    let route = teammate_route("flow", "flaky");
    let last: TeammateDetails = client.get(&format!("{route}?tasks=1")).await.unwrap();
    assert_eq!(last.tasks, details.tasks[1..]);
    running.end().await;
}

#[tokio::test]
async fn answers_read_as_designed() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let wanted = NewTeammate {
        workspace: Some("docs".to_owned()),
        model: Some("gpt-5".to_owned()),
        sandbox: Some("read-only".to_owned()),
        instructions: Some("be kind".to_owned()),
        lane: Some(LaneId::new("flow")),
        ..wanted("docs")
    };
    client.spawn("flow", &wanted).await.unwrap();
    let id = spawn_in_a_worktree(&running.ledger, "kept").await;
    client.close("flow", "kept", false).await.unwrap();
    let kept = WorktreeFate::Kept {
        reason: "it has changes".to_owned(),
    };
    let leaving = WorktreeFate::Leaving { force: false };
    let left = running.ledger.worktree_left(id, leaving, kept);
    left.await.unwrap();

    let mut answer: Value = client.get(&teammates_route("flow")).await.unwrap();
    // Moments and temporary places, as names.
    for teammate in answer["teammates"].as_array_mut().unwrap() {
        for key in ["since", "joined_at", "closed_at"] {
            assert_time(&mut teammate[key]);
        }
        for key in ["given_at", "changed_at"] {
            assert_time(&mut teammate["task"][key]);
        }
    }
    let path = answer["teammates"][0]["workspace"]["path"].take();
    assert!(path.as_str().unwrap().ends_with("/work/docs"), "{path}");
    assert_eq!(
        answer,
        json!({ "teammates": [
            {
                "name": "docs",
                "state": "waiting",
                "since": "then",
                "doing": null,
                "waiting": 1,
                "task": {
                    "beginning": "the task of docs",
                    "state": "waiting",
                    "failure": null,
                    "woken": false,
                    "given_at": "then",
                    "changed_at": "then",
                },
                "workspace": {
                    "kind": "directory",
                    "path": null,
                    "branch": null,
                    "fate": null,
                    "reason": null,
                },
                "model": "gpt-5",
                "sandbox": "read-only",
                "lane": "flow/@docs",
                "joined_at": "then",
                "closed_at": null,
            },
            {
                "name": "kept",
                "state": "closed",
                "since": "then",
                "doing": null,
                "waiting": 0,
                "task": {
                    "beginning": "look around",
                    "state": "stopped",
                    "failure": null,
                    "woken": false,
                    "given_at": "then",
                    "changed_at": "then",
                },
                "workspace": {
                    "kind": "worktree",
                    "path": "/state/worktrees/flow/x",
                    "branch": "tieline/x",
                    "fate": "kept",
                    "reason": "it has changes",
                },
                "model": null,
                "sandbox": null,
                "lane": "flow/@kept",
                "joined_at": "then",
                "closed_at": "then",
            },
        ]})
    );
    running.end().await;
}

fn assert_time(value: &mut Value) {
    if let Some(text) = value.as_str() {
        humantime::parse_rfc3339(text).unwrap();
        *value = json!("then");
    }
}

#[tokio::test]
async fn a_kept_worktree_of_one_that_has_left_can_still_be_let_go() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let id = spawn_in_a_worktree(&running.ledger, "x").await;
    let fate = |halted: TeammateHalted| halted.teammate.workspace.fate;
    let closed = client.close("flow", "x", false).await.unwrap();
    assert_eq!(fate(closed).as_deref(), Some("leaving"));
    let kept = WorktreeFate::Kept {
        reason: "it has changes".to_owned(),
    };
    let leaving = WorktreeFate::Leaving { force: false };
    let left = running.ledger.worktree_left(id, leaving, kept);
    left.await.unwrap();
    assert_refused(client.close("flow", "x", false).await, 409, "is closed");
    let closed = client.close("flow", "x", true).await.unwrap();
    assert_eq!(fate(closed).as_deref(), Some("leaving"));
    let record = running.ledger.teammate(id).await.unwrap().unwrap();
    let Workspace::Worktree { fate, .. } = record.workspace else {
        panic!("it has no worktree");
    };
    assert_eq!(fate, WorktreeFate::Leaving { force: true });
    running.end().await;
}

#[tokio::test]
async fn a_worktree_that_is_about_to_go_can_be_let_go_with_all_that_is_in_it() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let id = spawn_in_a_worktree(&running.ledger, "x").await;
    client.close("flow", "x", false).await.unwrap();
    client.close("flow", "x", true).await.unwrap();
    let record = running.ledger.teammate(id).await.unwrap().unwrap();
    let Workspace::Worktree { fate, .. } = record.workspace else {
        panic!("it has no worktree");
    };
    assert_eq!(fate, WorktreeFate::Leaving { force: true });
    assert_refused(client.close("flow", "x", false).await, 409, "is closed");
    running.end().await;
}

#[tokio::test]
async fn what_does_not_fit_is_a_bad_request() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let refused = client.assign("flow", &"x".repeat(600), &further("t")).await;
    assert_refused(refused, 400, "does not fit (the teammate's name: 600 bytes");
    running.end().await;
}

#[tokio::test]
async fn a_wish_that_git_still_thinks_about_holds_nothing_up_and_is_given_up_with_its_asker() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) =
        Ledger::open(&directory.path().join("ledger"), LedgerSettings::standard()).unwrap();
    let handle = dispatcher(directory.path(), &ledger, "flow", "");
    let wish = Wish::Spawn(SpawnRequest {
        name: "flaky".to_owned(),
        task: "fix it".to_owned(),
        workspace: WorkspaceRequest::Worktree,
        instructions: None,
        model: None,
        sandbox: None,
    });
    tokio::select! {
        biased;
        done = handle.fulfil(wish, None, None) => panic!("it was too quick: {done:?}"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(handle.n_reports(), 0);
    drop((handle, ledger));
    thread.close().await;
}

#[tokio::test]
async fn everything_that_cannot_be_is_refused_with_what_to_do() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let spawn = async |change: &dyn Fn(&mut NewTeammate)| {
        let mut wanted = wanted("new");
        change(&mut wanted);
        client.spawn("flow", &wanted).await
    };
    let some = |text: &str| Some(text.to_owned());

    assert_refused(client.spawn("no", &wanted("x")).await, 404, "no dispatcher");
    let listed = client.get::<Teammates>(&teammates_route("no")).await;
    assert_refused(listed, 404, "there is no dispatcher \"no\"");
    assert_refused(
        client.spawn("off", &wanted("x")).await,
        409,
        "turned teammates off",
    );
    for name in ["", "Big", "a b", "../up", "-x", "名字"] {
        let refused = spawn(&|it| name.clone_into(&mut it.name)).await;
        assert_refused(refused, 400, "cannot be the name");
    }
    assert_refused(
        spawn(&|it| it.task = " \n".to_owned()).await,
        400,
        "is empty",
    );
    let long = "x".repeat(teammates::MAX_TASK + 1);
    assert_refused(
        spawn(&|it| it.task = long.clone()).await,
        400,
        "100001 char",
    );
    let huge = "x".repeat(3 << 20);
    assert_refused(
        spawn(&|it| it.task = huge.clone()).await,
        413,
        "is larger than",
    );
    for wrong in ["/", "nowhere", "docs/../.."] {
        let refused = spawn(&|it| it.workspace = some(wrong)).await;
        assert_refused(refused, 400, "cannot be its directory");
    }
    let refused = spawn(&|it| it.sandbox = some("jail")).await;
    assert_refused(refused, 400, "there is no sandbox \"jail\"");
    let refused = spawn(&|it| it.sandbox = some("danger-full-access")).await;
    assert_refused(refused, 400, "may not have more");
    // Its workspace is no repository.
    let refused = spawn(&|it| it.workspace = some("worktree")).await;
    assert_refused(refused, 409, "");
    let refused = spawn(&|it| it.lane = Some(LaneId::new("moon"))).await;
    assert_refused(refused, 404, "no lane moon");

    client.spawn("flow", &wanted("a")).await.unwrap();
    assert_refused(client.spawn("flow", &wanted("a")).await, 409, "already");
    let refused = spawn(&|it| it.lane = Some(LaneId::new("flow/@a"))).await;
    assert_refused(refused, 400, "is that of a teammate");
    client.spawn("flow", &wanted("b")).await.unwrap();
    client.spawn("flow", &wanted("c")).await.unwrap();
    assert_refused(
        client.spawn("flow", &wanted("d")).await,
        409,
        "which is the most",
    );
    client.close("flow", "c", false).await.unwrap();
    assert_refused(
        client.spawn("flow", &wanted("c")).await,
        409,
        "closed lately",
    );

    for name in ["nobody", "No/Body", "c"] {
        let (status, words) = match name {
            "c" => (409, "is closed"),
            _ => (404, "there is no teammate"),
        };
        let assigned = client.assign("flow", name, &further("x")).await;
        assert_refused(assigned, status, words);
        assert_refused(client.stop("flow", name).await, status, words);
        assert_refused(client.close("flow", name, true).await, status, words);
    }
    let unknown = teammate_route("flow", "No/Body");
    assert_refused(
        client.get::<Value>(&unknown).await,
        404,
        "there is no teammate",
    );
    assert_refused(
        client.assign("flow", "a", &further("")).await,
        400,
        "is empty",
    );
    for _ in 1..ledger::MAX_WAITING_TASKS {
        client.assign("flow", "a", &further("x")).await.unwrap();
    }
    let assigned = client.assign("flow", "a", &further("x")).await;
    assert_refused(assigned, 409, "16 tasks wait");
    for query in ["tasks=0", "tasks=11", "tasks=all"] {
        let route = format!("{}?{query}", teammate_route("flow", "a"));
        assert_refused(client.get::<Value>(&route).await, 400, "");
    }
    running.end().await;
}

#[tokio::test]
async fn what_is_not_understood_is_a_bad_request() {
    let running = start().await;
    for (method, route, body) in [
        ("POST", "teammates", "{}"),
        ("POST", "teammates", "not JSON"),
        (
            "POST",
            "teammates",
            "{\"name\": \"a\", \"task\": \"b\", \"tsak\": \"c\"}",
        ),
        ("POST", "teammates/a/tasks", "[]"),
        ("DELETE", "teammates/a?discard=perhaps", ""),
    ] {
        let answer = raw(
            &running.socket,
            &format!(
                "{method} /v1/dispatchers/flow/{route} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("\"hint\":\""), "{answer}");
    }
    running.end().await;
}

#[tokio::test]
async fn created_and_accepted_are_told_apart() {
    let running = start().await;
    for (route, body, status) in [
        ("teammates", "{\"name\": \"a\", \"task\": \"b\"}", "201"),
        ("teammates/a/tasks", "{\"task\": \"c\"}", "202"),
        ("teammates/a/stop", "", "200"),
    ] {
        let answer = raw(
            &running.socket,
            &format!(
                "POST /v1/dispatchers/flow/{route} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
        )
        .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    running.end().await;
}

#[tokio::test]
async fn an_order_that_was_begun_is_carried_out_also_when_whoever_gave_it_breaks_off() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, thread) =
        Ledger::open(&directory.path().join("ledger"), LedgerSettings::standard()).unwrap();
    let handle = dispatcher(directory.path(), &ledger, "flow", "");
    let wish = Wish::Spawn(SpawnRequest {
        name: "flaky".to_owned(),
        task: "fix it".to_owned(),
        workspace: WorkspaceRequest::Shared,
        instructions: None,
        model: None,
        sandbox: None,
    });
    tokio::select! {
        biased;
        done = handle.fulfil(wish, None, None) => panic!("it was too quick: {done:?}"),
        () = std::future::ready(()) => {}
    }
    let carried_out = async {
        while handle.teammates().list().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), carried_out).await.unwrap();
    drop((handle, ledger));
    thread.close().await;
}

#[tokio::test]
async fn whoever_stops_one_is_a_person_and_the_asker_is_told() {
    let running = start().await;
    let client = Client::new(&running.socket);
    client.spawn("flow", &wanted("flaky")).await.unwrap();
    client.stop("flow", "flaky").await.unwrap();
    let lane = running.ledger.lane(&LaneId::new("flow")).await.unwrap();
    assert_eq!(lane.unwrap().arrived, 1);
    running.end().await;
}

#[tokio::test]
async fn results_from_outside_are_not_taken_for_those_of_teammates_nor_told_to_one_that_has_left() {
    let running = start().await;
    let client = Client::new(&running.socket);
    let report = |id: &str, lane: Option<&str>| CompletionReport {
        id: id.to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: String::new(),
        lane: lane.map(LaneId::new),
    };
    let forged = report("teammate:flaky#1", None);
    let refused = client.complete("flow", &forged).await;
    assert_refused(refused, 400, "which results of teammates do");
    client.spawn("flow", &wanted("flaky")).await.unwrap();
    let result = report("build-1", Some("flow/@flaky"));
    client.complete("flow", &result).await.unwrap();
    client.close("flow", "flaky", false).await.unwrap();
    // What was reported before is answered as before.
    assert!(client.complete("flow", &result).await.unwrap().repeated);
    let refused = client
        .complete("flow", &report("build-2", Some("flow/@flaky")))
        .await;
    assert_refused(refused, 409, "its teammate is closed");
    running.end().await;
}

/// Gives an order under a key; returns the status, whether it is said to be a repeat, and the body.
async fn keyed(running: &Running, key: &str, route: &str, body: &Value) -> (u16, bool, Value) {
    let body = body.to_string();
    let answer = raw(
        &running.socket,
        &format!(
            "POST /v1/dispatchers/{route} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let is_repeat = head.contains("idempotent-replayed: true");
    (status, is_repeat, serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn an_order_that_is_repeated_under_its_key_is_carried_out_once() {
    let running = start().await;
    let one = json!({ "name": "one", "task": "first" });
    let route = "flow/teammates";
    let (status, is_repeat, joined) = keyed(&running, "k", route, &one).await;
    assert_eq!((status, is_repeat), (201, false));
    // However it is written, and also when it could not be any more.
    let written = json!({ "lane": null, "task": "first", "name": "one" });
    let (status, is_repeat, again) = keyed(&running, "k", route, &written).await;
    assert_eq!((status, is_repeat), (201, true));
    assert_eq!(again, joined);
    let other = json!({ "name": "two", "task": "first" });
    let (status, is_repeat, refused) = keyed(&running, "k", route, &other).await;
    assert_eq!((status, is_repeat), (409, false));
    assert_eq!(refused["error"]["code"], "key-reused");

    // Tasks have keys of their own.
    let task = json!({ "task": "second" });
    let tasks = "flow/teammates/one/tasks";
    for expected in [false, true, true] {
        let (status, is_repeat, given) = keyed(&running, "k", tasks, &task).await;
        assert_eq!((status, is_repeat), (202, expected));
        assert_eq!(given["waiting"], 2);
    }
    let (status, ..) = keyed(&running, "k", "flow/teammates/two/tasks", &task).await;
    assert_eq!(
        status, 409,
        "the same task for another teammate is another order"
    );
    // As things are now, not as they were.
    Client::new(&running.socket)
        .close("flow", "one", false)
        .await
        .unwrap();
    let (status, is_repeat, closed) = keyed(&running, "k", route, &one).await;
    assert_eq!((status, is_repeat), (201, true));
    assert_eq!(closed["state"], "closed");

    let refused = keyed(&running, "a b", route, &one).await;
    assert_eq!(
        (refused.0, &refused.2["error"]["code"]),
        (400, &json!("bad-request"))
    );
    // What was refused has used no key up.
    let (status, ..) = keyed(&running, "late", route, &json!({ "name": "", "task": "t" })).await;
    assert_eq!(status, 400);
    let (status, is_repeat, _) = keyed(&running, "late", route, &other).await;
    assert_eq!((status, is_repeat), (201, false));
    running.end().await;
}

#[tokio::test]
async fn the_same_order_given_many_times_at_once_is_carried_out_once() {
    let running = start().await;
    let order = json!({ "name": "one", "task": "first" });
    let all = (0..20).map(|_| keyed(&running, "k", "flow/teammates", &order));
    let answers = futures_util::future::join_all(all).await;
    assert!(
        answers.iter().all(|(status, ..)| *status == 201),
        "{answers:?}"
    );
    let n_new = answers
        .iter()
        .filter(|(_, is_repeat, _)| !is_repeat)
        .count();
    assert_eq!(n_new, 1);
    running.end().await;
}
