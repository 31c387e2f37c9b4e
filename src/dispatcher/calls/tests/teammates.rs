//! What a model orders about teammates is done once, and reaches those of its own dispatcher alone.

use pretty_assertions::assert_eq;
use tieline_channel::PostKind;

use super::*;
use crate::id::TeammateId;
use crate::ledger::{
    CompletionStatus, MAX_WAITING_TASKS, NewCompletion, Order, Origin, Stop, TaskReport, TaskState,
    TeammateRecord, WorktreeFate,
};
use crate::teammates::{SpawnRequest, WorkspaceRequest};

impl Bench {
    async fn spawn(&self, thread: &str, id: &str, name: &str) -> (bool, String) {
        let arguments = json!({"name": name, "task": format!("the task of {name}")});
        self.call(thread, id, "spawn_teammate", arguments).await
    }

    /// Calls a tool that must work.
    async fn done(&self, id: &str, tool: &str, arguments: Value) -> String {
        let (success, text) = self.call("flow/1", id, tool, arguments).await;
        assert!(success, "{tool}: {text}");
        text
    }

    /// Calls a tool that must not.
    async fn refused(&self, tool: &str, arguments: Value) -> String {
        let (success, text) = self.call("flow/1", "refused", tool, arguments).await;
        assert!(!success, "{tool}: {text}");
        text
    }

    async fn teammate(&self, name: &str) -> Option<TeammateRecord> {
        let dispatcher = DispatcherId::new("flow");
        let named = self.calls.ledger.teammate_named(&dispatcher, name);
        named.await.unwrap()
    }

    /// The teammate takes the task that has waited longest.
    async fn begin_task(&self, name: &str) -> (LaneId, TurnKey) {
        let (lane, turn) = (LaneId::new(format!("flow/@{name}")), TurnKey::new());
        let opened = self.calls.ledger.open_task(&lane, turn).await.unwrap();
        assert!(opened.is_some(), "{name} has nothing to do");
        (lane, turn)
    }

    /// The teammate has done what it was at.
    async fn report(&self, lane: &LaneId, turn: TurnKey, body: &str) {
        let report = TaskReport {
            status: CompletionStatus::Ok,
            body: body.to_owned(),
        };
        let ledger = &self.calls.ledger;
        let settled = ledger.settle_work(lane, turn, Outcome::Answered, report, Vec::new());
        settled.await.unwrap();
    }

    async fn said(&self) -> u32 {
        let lane = self.calls.ledger.lane(&LaneId::new("flow/1")).await;
        lane.unwrap().unwrap().open.unwrap().said
    }

    fn woken(&self) -> Vec<String> {
        let woken = std::mem::take(&mut *self.woken.lock().unwrap());
        woken.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_spawned_teammate_has_its_task_and_people_see_it() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    let (success, receipt) = bench.spawn("flow/1", "c1", "reviewer").await;
    assert!(success);
    assert_eq!(
        receipt,
        "started; what comes of it is brought to you as a <completion> from \"reviewer\": end your turn or \
         go on with something else, and do not wait"
    );
    assert_eq!(bench.woken(), ["flow/@reviewer"]);
    let asker = bench.teammate("reviewer").await.unwrap().asker;
    assert_eq!(asker.lane, LaneId::new("flow/1"));
    let origin = Origin {
        channel: ChannelId::new("team"),
        conversation: record(&[]).message.conversation,
    };
    assert_eq!(asker.origin, Some(origin));
    let lane = LaneId::new("flow/@reviewer");
    let tasks = bench.calls.ledger.tasks(&lane).await.unwrap();
    assert_eq!(tasks.len(), 1);
    let text = bench.calls.ledger.task_text(tasks[0].id).await.unwrap();
    assert_eq!(text, "the task of reviewer");

    let posts = bench.posts().await;
    let post = &posts[0].post;
    assert_eq!(
        (posts.len(), &*post.text, post.kind),
        (
            1,
            "🧩 Handed to `reviewer`: the task of reviewer",
            PostKind::Notice
        )
    );
    assert_eq!(post.to, record(&[]).message.conversation);
    assert_eq!(bench.said().await, 0, "the model has not spoken");
    bench.finish().await;
}

#[tokio::test]
async fn an_order_that_is_given_again_is_carried_out_once() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    let started = join_all((0..20).map(|_| bench.spawn("flow/1", "c1", "a"))).await;
    assert_eq!(started, vec![started[0].clone(); 20]);
    assert!(started[0].0, "{}", started[0].1);
    let task = || json!({"name": "a", "task": "more"});
    let send = || bench.call("flow/1", "c2", "send_to_teammate", task());
    let given = join_all((0..20).map(|_| send())).await;
    assert_eq!(given, vec![given[0].clone(); 20]);
    assert!(given[0].1.starts_with("given, and done after"), "{given:?}");
    let stop = || bench.call("flow/1", "c3", "stop_teammate", json!({"name": "a"}));
    let stopped = join_all((0..20).map(|_| stop())).await;
    assert_eq!(stopped, vec![stopped[0].clone(); 20]);
    let close = || bench.call("flow/1", "c4", "close_teammate", json!({"name": "a"}));
    let closed = join_all((0..20).map(|_| close())).await;
    assert_eq!(closed, vec![closed[0].clone(); 20]);
    assert!(closed[0].0, "{}", closed[0].1);

    let tasks = bench.calls.ledger.tasks(&LaneId::new("flow/@a")).await;
    assert_eq!(tasks.unwrap().len(), 2);
    assert_eq!(bench.posts().await.len(), 2);
    assert_eq!(bench.woken(), ["flow/@a"; 4]);
    bench.finish().await;
}

#[tokio::test]
async fn a_refused_order_leaves_nothing_and_tells_no_one() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    for name in ["a", "b"] {
        assert!(bench.spawn("flow/1", name, name).await.0);
    }
    bench
        .done("x", "close_teammate", json!({"name": "b"}))
        .await;
    bench.woken();
    let before = bench.posts().await.len();
    let spawn = |name: &str, more: Value| {
        let mut arguments = json!({"name": name, "task": "do it"});
        let more = more.as_object().unwrap().clone();
        arguments.as_object_mut().unwrap().extend(more);
        ("spawn_teammate", arguments)
    };
    let name = |tool, name: &str| (tool, json!({ "name": name }));
    let send = |name: &str| ("send_to_teammate", json!({"name": name, "task": "more"}));
    let table = [
        (spawn("a", json!({})), "\"a\" already: give it the work"),
        (spawn("b", json!({})), "closed lately"),
        (spawn("A b", json!({})), "cannot be the name"),
        (spawn("c", json!({"task": " "})), "`task` is empty"),
        (spawn("c", json!({"workspace": "../x"})), "leads out"),
        (spawn("c", json!({"workspace": "gone"})), "make it first"),
        (spawn("c", json!({"workspace": "/"})), "not below"),
        (
            spawn("c", json!({"sandbox": "danger-full-access"})),
            "may not have more",
        ),
        (
            spawn("c", json!({"sandbox": "none"})),
            "not one of read-only",
        ),
        (send("nobody"), "no teammate \"nobody\": the list"),
        (send("b"), "\"b\" is closed: it can be read"),
        (name("stop_teammate", "nobody"), "no teammate \"nobody\""),
        (name("stop_teammate", "b"), "\"b\" is closed"),
        (name("close_teammate", "nobody"), "no teammate \"nobody\""),
        (name("close_teammate", "b"), "\"b\" is closed"),
        (name("read_teammate", "nobody"), "no teammate \"nobody\""),
        (name("read_teammate", "No Name"), "no teammate \"No Name\""),
    ];
    for ((tool, arguments), expected) in table {
        let text = bench.refused(tool, arguments).await;
        assert!(text.starts_with("nothing was done: "), "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(bench.posts().await.len(), before, "people were told of it");
    assert_eq!(bench.woken(), [""; 0]);
    assert_eq!(bench.teammate("c").await, None);

    for name in ["c", "d"] {
        assert!(bench.spawn("flow/1", name, name).await.0);
    }
    let text = bench.spawn("flow/1", "e", "e").await.1;
    assert!(text.contains("3 teammates, which is the most"), "{text}");
    for number in 1..MAX_WAITING_TASKS {
        let (tool, arguments) = send("c");
        bench.done(&format!("s{number}"), tool, arguments).await;
    }
    let (tool, arguments) = send("c");
    let text = bench.refused(tool, arguments).await;
    assert!(text.contains("16 tasks wait"), "{text}");
    bench.finish().await;
}

#[tokio::test]
async fn what_does_not_fit_into_the_ledger_is_refused_with_what_to_do() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    // As JSON it takes twice the room.
    let path = ["\"".repeat(200).as_str(); 14].join("/");
    fs::create_dir_all(bench.calls.workspace.join(&path)).unwrap();
    let arguments = json!({"name": "a", "task": "t", "workspace": path});
    let text = bench.refused("spawn_teammate", arguments).await;
    assert!(text.contains("nothing was done: what is to be"), "{text}");
    assert!(text.contains("a workspace with a shorter path"), "{text}");
    assert_eq!(bench.teammate("a").await, None);
    assert_eq!(bench.posts().await, []);
    bench.finish().await;
}

#[tokio::test]
async fn where_teammates_are_off_no_work_is_handed_out() {
    let mut bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    let rules = Rules {
        workspace: bench.directory.path().join("work"),
        worktrees: bench.directory.path().join("worktrees"),
        sandbox: Sandbox::WorkspaceWrite,
        limit: 0,
    };
    let ledger = bench.calls.ledger.clone();
    let dispatcher = DispatcherId::new("flow");
    bench.calls.teammates = Roster::new(dispatcher, rules, ledger, bench.doing.clone(), |_| {});
    for (tool, name) in [("spawn_teammate", "b"), ("send_to_teammate", "a")] {
        let text = bench
            .refused(tool, json!({"name": name, "task": "t"}))
            .await;
        assert!(text.contains("turned teammates off"), "{text}");
    }
    // Those that are there can still be let go.
    bench
        .done("c2", "close_teammate", json!({"name": "a"}))
        .await;
    bench.finish().await;
}

#[tokio::test]
async fn those_of_another_dispatcher_are_out_of_reach() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    bench.open("other", "other/1", "m2").await;
    let rules = Rules {
        workspace: bench.directory.path().join("work"),
        worktrees: bench.directory.path().join("worktrees"),
        sandbox: Sandbox::WorkspaceWrite,
        limit: 3,
    };
    let other = DispatcherId::new("other");
    let ledger = bench.calls.ledger.clone();
    let others = Roster::new(other, rules, ledger, WhatTheyDo::default(), |_| {});
    let request = SpawnRequest {
        name: "theirs".to_owned(),
        task: "a secret".to_owned(),
        workspace: WorkspaceRequest::Shared,
        instructions: None,
        model: None,
        sandbox: None,
    };
    let asker = crate::ledger::Asker {
        lane: LaneId::new("other/1"),
        origin: None,
    };
    let order: Order = others.spawn(request, asker).await.unwrap();
    others.carry_out(order).await.unwrap();

    let list = bench.done("c", "list_teammates", json!({})).await;
    assert_eq!(list, "There are no teammates; spawn_teammate starts one.");
    for tool in ["read_teammate", "stop_teammate", "close_teammate"] {
        let text = bench.refused(tool, json!({"name": "theirs"})).await;
        assert!(text.contains("no teammate \"theirs\""), "{text}");
    }
    // Nor can a thread of theirs reach ours.
    let (success, text) = bench.spawn("other/1", "c", "mine").await;
    assert!(!success && text.contains("speaks to no chat"), "{text}");
    // The name is free here.
    assert!(bench.spawn("flow/1", "c1", "theirs").await.0);
    bench.finish().await;
}

#[tokio::test]
async fn a_teammate_has_no_tools() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    let posts = bench.posts().await.len();
    let (lane, _turn) = bench.begin_task("a").await;
    let thread = ThreadId::new("the thread of a");
    let ledger = &bench.calls.ledger;
    ledger
        .set_thread(&lane, thread, Reach::default())
        .await
        .unwrap();
    let arguments = json!({"name": "b", "task": "t", "text": "hi"});
    for tool in ["spawn_teammate", "list_teammates", "reply", "anything"] {
        let (success, text) = bench
            .call("the thread of a", "c", tool, arguments.clone())
            .await;
        assert!(
            !success && text.contains("no tools of tieline here"),
            "{text}"
        );
    }
    assert_eq!(bench.posts().await.len(), posts);
    assert_eq!(bench.teammate("b").await, None);
    bench.finish().await;
}

#[tokio::test]
async fn people_are_told_of_work_only_where_they_are_to_be() {
    let mut bench = Bench::new();
    bench.calls.announces = false;
    bench.open("flow", "flow/1", "m1").await;
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    assert_eq!(bench.posts().await, []);

    // Nobody has written here: a result alone has led to the turn.
    bench.calls.announces = true;
    let lane = LaneId::new("flow/quiet");
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
    let thread = ThreadId::new("quiet");
    ledger
        .set_thread(&lane, thread, Reach::default())
        .await
        .unwrap();
    let opened = ledger.open_trigger(&lane, TurnKey::new(), vec![completion]);
    opened.await.unwrap();
    assert!(!bench.reply("quiet", "c1").await.0);
    assert!(bench.spawn("quiet", "c2", "b").await.0);
    assert_eq!(bench.posts().await, []);
    assert_eq!(bench.teammate("b").await.unwrap().asker.origin, None);

    // The chat is not connected any more.
    bench.calls.lines.clear();
    bench
        .done("c3", "send_to_teammate", json!({"name": "a", "task": "t"}))
        .await;
    assert_eq!(bench.posts().await, []);
    bench.finish().await;
}

#[tokio::test]
async fn a_turn_that_hands_out_work_for_ever_does_not_flood_the_chat() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    for round in 0..30 {
        bench
            .done(&format!("p{round}"), "stop_teammate", json!({"name": "a"}))
            .await;
        let task = json!({"name": "a", "task": "again"});
        bench
            .done(&format!("s{round}"), "send_to_teammate", task)
            .await;
    }
    assert_eq!(bench.posts().await.len(), 25);
    bench.finish().await;
}

#[tokio::test]
async fn whoever_stops_work_is_told_what_ended_and_others_by_a_result() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    bench.open("flow", "flow/2", "m2").await;
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    let (lane, turn) = bench.begin_task("a").await;
    bench.report(&lane, turn, "the first").await;
    let task = || json!({"name": "a", "task": "more"});
    bench.done("c2", "send_to_teammate", task()).await;
    bench.begin_task("a").await;
    bench.done("c3", "send_to_teammate", task()).await;
    let (success, _) = bench.call("flow/2", "c1", "send_to_teammate", task()).await;
    assert!(success);
    bench.woken();

    let receipt = bench
        .done("c4", "stop_teammate", json!({"name": "a"}))
        .await;
    assert_eq!(
        receipt,
        "stopped: it can be given other work, and you are brought nothing more of what you had given it; its \
         turn ends; 2 waiting tasks will not be done; results not brought to you: 1; read it to see them"
    );
    assert_eq!(bench.woken(), ["flow/2", "flow/@a"]);
    let ledger = &bench.calls.ledger;
    let of = async |lane: &str| ledger.lane(&LaneId::new(lane)).await.unwrap().unwrap();
    assert_eq!(
        (of("flow/1").await.arrived, of("flow/2").await.arrived),
        (0, 1)
    );

    let list = bench.done("c5", "list_teammates", json!({})).await;
    assert!(list.contains("a: stopping: its turn is ending"), "{list}");
    let receipt = bench
        .done("c6", "close_teammate", json!({"name": "a"}))
        .await;
    assert!(
        receipt.starts_with("closed: it can still be read"),
        "{receipt}"
    );
    bench.finish().await;
}

#[tokio::test]
async fn what_one_does_and_did_can_be_read() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    let read = async |id: &str, count: u32| {
        let arguments = json!({"name": "a", "count": count});
        bench.done(id, "read_teammate", arguments).await
    };
    let text = read("r0", 1).await;
    assert!(text.starts_with("a: waiting for a free place"), "{text}");
    assert!(
        text.contains("waits, given 0s ago: the task of a"),
        "{text}"
    );

    let (lane, turn) = bench.begin_task("a").await;
    bench.doing.note(&lane, "reads the\nparser");
    let text = read("r1", 1).await;
    assert!(text.contains("a: working for 0s\n"), "{text}");
    assert!(text.contains("doing, 0s ago: reads the parser"), "{text}");
    assert!(
        text.contains("begun 0s ago, not done yet ===\nthe task of a"),
        "{text}"
    );
    bench.report(&lane, turn, "All is well.").await;
    for number in 2..=3 {
        let task = json!({"name": "a", "task": format!("task {number}")});
        bench
            .done(&format!("c{number}"), "send_to_teammate", task)
            .await;
    }
    bench.begin_task("a").await;

    // The one that waits takes nobody's place.
    let text = read("r2", 2).await;
    let ends = "done 0s ago ===\nthe task of a\n--- Its result, status ok ---\nAll is well.\n\n\
                === Task given 0s ago, begun 0s ago, not done yet ===\ntask 2";
    assert!(text.contains("; 1 task waits for it"), "{text}");
    assert!(text.ends_with(ends), "{text}");
    let default = bench
        .done("r3", "read_teammate", json!({"name": "a"}))
        .await;
    assert_eq!(default, text);
    // It is asked anew each time, also under the same name.
    bench
        .done("c9", "close_teammate", json!({"name": "a"}))
        .await;
    let text = read("r2", 2).await;
    assert!(
        text.starts_with("a: closed 0s ago; its turn is ending"),
        "{text}"
    );
    assert_eq!(bench.said().await, 0);
    bench.finish().await;
}

#[tokio::test]
async fn what_is_given_beside_the_task_is_kept_with_the_teammate() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    fs::create_dir(bench.calls.workspace.join("docs")).unwrap();
    let arguments = json!({
        "name": "writer", "task": "t", "workspace": "docs", "instructions": "Be brief.",
        "model": "small", "sandbox": "read-only",
    });
    bench.done("c1", "spawn_teammate", arguments).await;
    let writer = bench.teammate("writer").await.unwrap();
    let id: TeammateId = writer.id;
    let instructions = bench.calls.ledger.instructions(id).await.unwrap();
    assert_eq!(instructions.as_deref(), Some("Be brief."));
    assert_eq!(writer.model.as_deref(), Some("small"));
    assert_eq!(writer.sandbox.as_deref(), Some("read-only"));
    let text = bench.done("c2", "list_teammates", json!({})).await;
    for part in ["/work/docs\n", "model: small", "sandbox: read-only"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let tasks = bench.calls.ledger.tasks(&writer.lane).await.unwrap();
    assert_eq!(tasks[0].state, TaskState::Waiting);
    bench.finish().await;
}

#[tokio::test]
async fn a_worktree_is_named_to_whoever_wants_one_and_planned_once() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(arguments)
            .current_dir(&bench.calls.workspace)
            .env("HOME", bench.directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let arguments = || json!({"name": "a", "task": "t", "workspace": "worktree"});
    let text = bench.refused("spawn_teammate", arguments()).await;
    assert!(text.contains("is in no git repository"), "{text}");
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    let spawn = || bench.call("flow/1", "c1", "spawn_teammate", arguments());
    let started = join_all((0..8).map(|_| spawn())).await;
    assert_eq!(started, vec![started[0].clone(); 8]);
    let (success, receipt) = &started[0];
    let at = bench.directory.path().join("worktrees/a");
    let ends = format!(
        "do not wait; it works on branch tieline/a in {}",
        at.display()
    );
    assert!(*success && receipt.ends_with(&ends), "{receipt}");
    let text = bench.done("l1", "list_teammates", json!({})).await;
    let place = format!(
        "works on branch tieline/a, in the worktree {}",
        at.display()
    );
    assert!(text.contains(&place), "{text}");

    let receipt = bench
        .done("c2", "close_teammate", json!({"name": "a"}))
        .await;
    assert!(
        receipt.contains("unless something would be lost"),
        "{receipt}"
    );
    assert!(receipt.contains("branch tieline/a stays"), "{receipt}");
    let id = bench.teammate("a").await.unwrap().id;
    let kept = WorktreeFate::Kept {
        reason: "1 file is not committed".to_owned(),
    };
    let leaving = WorktreeFate::Leaving { force: false };
    let left = bench.calls.ledger.worktree_left(id, leaving, kept);
    left.await.unwrap();
    let text = bench.refused("close_teammate", json!({"name": "a"})).await;
    assert!(text.contains("\"a\" is closed"), "{text}");
    let discard = json!({"name": "a", "discard": true});
    let receipt = bench.done("c3", "close_teammate", discard).await;
    assert!(receipt.contains("goes with all that is not"), "{receipt}");
    let text = bench
        .done("l2", "read_teammate", json!({"name": "a"}))
        .await;
    assert!(
        text.contains("goes when nobody works in it, with all"),
        "{text}"
    );
    bench.finish().await;
}

#[tokio::test]
async fn a_turn_that_orders_for_ever_comes_to_an_end() {
    let bench = Bench::new();
    let (lane, turn) = bench.open("flow", "flow/1", "m1").await;
    let task = || json!({"name": "a", "task": "again"});
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    let mut calls = 1;
    while calls < MAX_ORDERS {
        let (tool, arguments) = match calls % 2 {
            1 => ("stop_teammate", json!({"name": "a"})),
            _ => ("send_to_teammate", task()),
        };
        calls += 1;
        bench.done(&format!("c{calls}"), tool, arguments).await;
    }
    for (tool, arguments) in [
        ("spawn_teammate", json!({"name": "b", "task": "t"})),
        ("send_to_teammate", task()),
        ("stop_teammate", json!({"name": "a"})),
        ("close_teammate", json!({"name": "a"})),
    ] {
        let text = bench.refused(tool, arguments).await;
        assert!(text.contains("end your turn"), "{tool}: {text}");
    }
    // It can still ask and speak, and what was done before is answered as before.
    bench.done("l", "list_teammates", json!({})).await;
    assert_eq!(bench.reply("flow/1", "r").await, posted());
    assert!(bench.spawn("flow/1", "c1", "a").await.0);
    bench.close(&lane, turn).await;
    bench.open("flow", "flow/1", "m2").await;
    bench.done("c1", "send_to_teammate", task()).await;
    bench.finish().await;
}

#[tokio::test]
async fn a_stopped_turn_knows_in_which_conversation_that_was_asked_for() {
    let bench = Bench::new();
    bench.open("flow", "flow/1", "m1").await;
    let origin = Origin {
        channel: ChannelId::new("team"),
        conversation: record(&[]).message.conversation,
    };
    for (name, tool) in [("a", "stop_teammate"), ("b", "close_teammate")] {
        assert!(bench.spawn("flow/1", name, name).await.0);
        let (lane, _turn) = bench.begin_task(name).await;
        bench.done(tool, tool, json!({"name": name})).await;
        let record = bench.calls.ledger.lane(&lane).await.unwrap().unwrap();
        let stop = Stop {
            by: Some(LaneId::new("flow/1")),
            origin: Some(origin.clone()),
            ..Stop::by_person()
        };
        assert_eq!(record.open.unwrap().stop, Some(stop));
    }
    bench.finish().await;
}
