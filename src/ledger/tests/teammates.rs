//! Teammates: ordered, given tasks, reported once, stopped, and forgotten with all that was theirs.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tieline_channel::{ChannelId, ChatId, Conversation};

use super::fixture::{accept, lane};
use crate::id::{DispatcherId, LaneId, TaskId, TurnKey};
use crate::ledger::task::MAX_REMEMBERED_TASKS;
use crate::ledger::{
    Asker, CompletionRecord, CompletionState, CompletionStatus, Halt, Halted, Ledger, LedgerError,
    LedgerSettings, LedgerThread, MAX_WAITING_TASKS, NewCall, NewCompletion, NewTask, NewTeammate,
    Order, Origin, Outcome, RosterError, Stop, TaskReport, TaskState, Workspace, WorktreeFate,
};

struct Fixture {
    directory: tempfile::TempDir,
    ledger: Ledger,
    thread: LedgerThread,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ledger, thread) = Ledger::open(directory.path(), LedgerSettings::standard()).unwrap();
        Self {
            directory,
            ledger,
            thread,
        }
    }

    /// Closes the ledger and opens it again, as the next process would.
    async fn again(self) -> Self {
        drop(self.ledger);
        self.thread.close().await;
        let (ledger, thread) =
            Ledger::open(self.directory.path(), LedgerSettings::standard()).unwrap();
        Self {
            directory: self.directory,
            ledger,
            thread,
        }
    }

    async fn close(self) -> tempfile::TempDir {
        drop(self.ledger);
        self.thread.close().await;
        self.directory
    }

    async fn order(&self, order: Order) -> Result<Halted, LedgerError> {
        let ordered = self.ledger.carry_out(order).await?;
        Ok(ordered.halted)
    }

    async fn spawn(&self, name: &str) {
        self.order(spawn(name)).await.unwrap();
    }

    /// Takes the next task of a teammate into a turn.
    async fn begin(&self, name: &str) -> (TurnKey, TaskId) {
        let turn = TurnKey::new();
        let open = self.ledger.open_task(&lane_of(name), turn).await.unwrap();
        (turn, open.expect("no task waits").task.unwrap())
    }

    async fn finish(&self, name: &str, turn: TurnKey, body: &str) {
        let report = TaskReport {
            status: CompletionStatus::Ok,
            body: body.to_owned(),
        };
        self.ledger
            .settle_work(&lane_of(name), turn, Outcome::Answered, report, Vec::new())
            .await
            .unwrap();
    }

    /// Returns what waits for a lane: names, states of the work, bodies.
    async fn arrived(&self, at: &LaneId) -> Vec<(String, CompletionStatus, String)> {
        let mut arrived = Vec::new();
        for completion in self.ledger.arrivals(at, 100).await.unwrap() {
            let CompletionRecord {
                id, name, status, ..
            } = completion;
            let body = self.ledger.completion_body(id).await.unwrap();
            arrived.push((name, status, body));
        }
        arrived
    }

    async fn states(&self, name: &str) -> Vec<&'static str> {
        let tasks = self.ledger.tasks(&lane_of(name)).await.unwrap();
        tasks.iter().map(|task| task.state.as_str()).collect()
    }
}

fn flow() -> DispatcherId {
    DispatcherId::new("flow")
}

fn lane_of(name: &str) -> LaneId {
    LaneId::new(format!("flow/@{name}"))
}

fn origin() -> Origin {
    Origin {
        channel: ChannelId::new("team"),
        conversation: Conversation {
            chat: ChatId::new("C1"),
            thread: None,
        },
    }
}

fn task(name: &str, text: &str, asker: LaneId) -> NewTask {
    NewTask {
        dispatcher: flow(),
        teammate: name.to_owned(),
        asker: Asker {
            lane: asker,
            origin: Some(origin()),
        },
        text: text.to_owned(),
    }
}

fn teammate(name: &str) -> NewTeammate {
    NewTeammate {
        dispatcher: flow(),
        name: name.to_owned(),
        lane: lane_of(name),
        workspace: Workspace::Worktree {
            repository: "/code".into(),
            path: format!("/worktrees/{name}").into(),
            branch: format!("tieline/{name}"),
            inside: "".into(),
            fate: WorktreeFate::InUse,
        },
        model: Some("small".to_owned()),
        sandbox: Some("read-only".to_owned()),
        instructions: Some("be brief ".repeat(1_000)),
        limit: 3,
    }
}

fn spawn(name: &str) -> Order {
    Order::Spawn(teammate(name), task(name, "look", lane()))
}

fn halt(name: &str, by: Option<LaneId>) -> Halt {
    Halt {
        dispatcher: flow(),
        name: name.to_owned(),
        by,
    }
}

fn close(name: &str) -> Order {
    Order::Close {
        halt: halt(name, None),
        force: false,
    }
}

#[tokio::test]
async fn a_task_becomes_a_turn_and_its_result_a_completion_also_for_the_next_process() {
    let it = Fixture::new();
    it.spawn("reviewer").await;
    let record = it.ledger.lane(&lane_of("reviewer")).await.unwrap().unwrap();
    let known = it.ledger.teammate_named(&flow(), "reviewer").await.unwrap();
    let known = known.unwrap();
    assert_eq!(
        (record.teammate, record.assigned, record.inputs()),
        (Some(known.id), 1, 1)
    );
    assert_eq!(record.last_from, None, "people do not hear from its lane");
    let (turn, id) = it.begin("reviewer").await;
    assert_eq!(it.ledger.task_text(id).await.unwrap(), "look");
    assert_eq!(it.ledger.task_report(id).await.unwrap(), None);

    let it = it.again().await;
    let record = it.ledger.lane(&lane_of("reviewer")).await.unwrap().unwrap();
    assert_eq!((record.assigned, record.open.unwrap().task), (0, Some(id)));
    let long = "found it. ".repeat(2_000);
    it.finish("reviewer", turn, &long).await;
    assert_eq!(
        it.arrived(&lane()).await,
        [(
            "teammate:reviewer#1".to_owned(),
            CompletionStatus::Ok,
            long.clone()
        )]
    );
    let arrival = &it.ledger.arrivals(&lane(), 1).await.unwrap()[0];
    assert_eq!(arrival.origin, Some(origin()));
    assert_eq!(arrival.from, "reviewer");
    let it = it.again().await;
    let report = it.ledger.task_report(id).await.unwrap().unwrap();
    assert_eq!((report.status, report.body), (CompletionStatus::Ok, long));
    let task = it.ledger.task(id).await.unwrap().unwrap();
    assert_eq!((task.state, task.turn), (TaskState::Done, Some(turn)));
    let instructions = it.ledger.instructions(known.id).await.unwrap();
    assert_eq!(instructions, teammate("reviewer").instructions);
    it.close().await;
}

#[tokio::test]
async fn tasks_are_done_in_order_and_what_a_teammate_finds_by_itself_goes_to_who_asked_last() {
    let it = Fixture::new();
    it.spawn("a").await;
    let elsewhere = LaneId::new("flow/b");
    for asker in [lane(), elsewhere.clone()] {
        let order = Order::Assign(task("a", "more", asker));
        it.order(order).await.unwrap();
    }
    for body in ["one", "two", "three"] {
        let (turn, _) = it.begin("a").await;
        it.finish("a", turn, body).await;
    }
    let none = it.ledger.open_task(&lane_of("a"), TurnKey::new()).await;
    assert_eq!(none.unwrap(), None);
    it.ledger
        .report(NewCompletion {
            dispatcher: flow(),
            lane: lane_of("a"),
            name: "build".to_owned(),
            from: "ci".to_owned(),
            status: CompletionStatus::Ok,
            body: String::new(),
            origin: None,
        })
        .await
        .unwrap();
    let build = it.ledger.arrivals(&lane_of("a"), 1).await.unwrap()[0].id;
    let turn = TurnKey::new();
    it.ledger
        .open_trigger(&lane_of("a"), turn, vec![build])
        .await
        .unwrap();
    it.finish("a", turn, "the build is green").await;
    let bodies = async |at: &LaneId| {
        let arrived = it.arrived(at).await.into_iter();
        arrived
            .map(|(name, _, body)| format!("{name} {body}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        bodies(&lane()).await,
        ["teammate:a#1 one", "teammate:a#2 two"]
    );
    assert_eq!(
        bodies(&elsewhere).await,
        ["teammate:a#3 three", "teammate:a#4 the build is green"]
    );
    let tasks = it.ledger.tasks(&lane_of("a")).await.unwrap();
    let woken: Vec<bool> = tasks.iter().map(|task| task.is_woken).collect();
    assert_eq!(woken, [false, false, false, true]);
    it.close().await;
}

#[tokio::test]
async fn who_stops_a_teammate_is_not_told_what_it_knows_and_others_are() {
    let elsewhere = LaneId::new("flow/b");
    for by in [Some(lane()), Some(elsewhere.clone()), None] {
        let it = Fixture::new();
        it.spawn("a").await;
        it.order(Order::Assign(task("a", "second", lane())))
            .await
            .unwrap();
        let (turn, _) = it.begin("a").await;
        it.finish("a", turn, "not seen yet").await;
        let (turn, _) = it.begin("a").await;
        for text in ["third", "fourth"] {
            it.order(Order::Assign(task("a", text, lane())))
                .await
                .unwrap();
        }
        let is_asker = by == Some(lane());
        let halted = it.order(Order::Stop(halt("a", by.clone()))).await.unwrap();
        assert_eq!(
            halted,
            Halted {
                is_running: true,
                waiting: 2,
                unseen: usize::from(is_asker),
            }
        );
        let it = it.again().await;
        let record = it.ledger.lane(&lane_of("a")).await.unwrap().unwrap();
        assert_eq!(record.assigned, 0);
        assert_eq!(record.open.unwrap().stop, Some(Stop { by }));
        // It was done in the very moment.
        it.finish("a", turn, "after all").await;
        assert_eq!(it.states("a").await, ["done", "done", "stopped", "stopped"]);
        let names: Vec<_> = it.arrived(&lane()).await;
        let names: Vec<_> = names
            .iter()
            .map(|(name, status, _)| (&**name, *status))
            .collect();
        let told = [
            ("teammate:a#1", CompletionStatus::Ok),
            ("teammate:a#2", CompletionStatus::Stopped),
            ("teammate:a#3", CompletionStatus::Stopped),
            ("teammate:a#4", CompletionStatus::Ok),
        ];
        assert_eq!(names, if is_asker { &told[..0] } else { &told[..] });
        let asker = it.ledger.lane(&lane()).await.unwrap().unwrap();
        assert_eq!(asker.arrived, names.len());
        it.close().await;
    }
}

#[tokio::test]
async fn a_result_that_a_thread_has_is_not_taken_back() {
    let it = Fixture::new();
    it.spawn("a").await;
    let (turn, _) = it.begin("a").await;
    it.finish("a", turn, "seen").await;
    let id = it.ledger.arrivals(&lane(), 1).await.unwrap()[0].id;
    let turn = TurnKey::new();
    it.ledger
        .open_trigger(&lane(), turn, vec![id])
        .await
        .unwrap();
    let halted = it
        .order(Order::Stop(halt("a", Some(lane()))))
        .await
        .unwrap();
    assert_eq!(halted, Halted::default());
    let state = it.ledger.completion(id).await.unwrap().unwrap().state;
    assert_eq!(state, CompletionState::InTurn);
    it.close().await;
}

#[tokio::test]
async fn orders_that_do_not_fit_change_nothing_and_say_so() {
    let it = Fixture::new();
    let refused = async |order| match it.order(order).await {
        Err(LedgerError::Roster(error)) => error,
        other => panic!("{other:?}"),
    };
    let name = |name: &str| name.to_owned();
    assert_eq!(
        refused(Order::Assign(task("a", "x", lane()))).await,
        RosterError::Unknown { name: name("a") }
    );
    for each in ["a", "b", "c"] {
        it.spawn(each).await;
    }
    assert_eq!(
        refused(spawn("a")).await,
        RosterError::NameTaken { name: name("a") }
    );
    assert_eq!(refused(spawn("d")).await, RosterError::TooMany { limit: 3 });
    for _ in 1..MAX_WAITING_TASKS {
        let order = Order::Assign(task("a", "x", lane()));
        it.order(order).await.unwrap();
    }
    assert_eq!(
        refused(Order::Assign(task("a", "x", lane()))).await,
        RosterError::Overworked { name: name("a") }
    );
    it.order(close("b")).await.unwrap();
    for order in [
        Order::Assign(task("b", "x", lane())),
        Order::Stop(halt("b", None)),
        close("b"),
    ] {
        assert_eq!(
            refused(order).await,
            RosterError::Closed { name: name("b") }
        );
    }
    assert_eq!(
        refused(spawn("b")).await,
        RosterError::NameRemembered { name: name("b") }
    );
    // The place of one that has left is free.
    it.spawn("d").await;
    let all = it.ledger.teammates(&flow()).await.unwrap();
    let names: Vec<_> = all.iter().map(|teammate| &*teammate.name).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let other = it.ledger.teammates(&DispatcherId::new("other")).await;
    assert_eq!(other.unwrap(), []);
    it.close().await;
}

#[tokio::test]
async fn a_call_that_orders_something_is_carried_out_once_or_not_at_all() {
    let it = Fixture::new();
    let message = accept(&it.ledger, "m1").await.unwrap();
    let turn = TurnKey::new();
    it.ledger
        .open_turn(&lane(), turn, vec![message])
        .await
        .unwrap();
    let call = |name: &str, order| NewCall {
        lane: lane(),
        turn,
        call: name.to_owned(),
        tool: "spawn_teammate".to_owned(),
        receipt: "started".to_owned(),
        posts: Vec::new(),
        is_said: false,
        order: Some(order),
    };
    let done = it.ledger.do_call(call("1", spawn("a"))).await.unwrap();
    assert_eq!(done.receipt, "started");
    assert_eq!(done.ordered.unwrap().lane, lane_of("a"));
    let again = it.ledger.do_call(call("1", spawn("a"))).await.unwrap();
    assert_eq!((again.is_new, again.ordered), (false, None));
    assert_eq!(it.ledger.tasks(&lane_of("a")).await.unwrap().len(), 1);
    let taken = it.ledger.do_call(call("2", spawn("a"))).await;
    assert!(matches!(taken, Err(LedgerError::Roster(_))), "{taken:?}");
    assert_eq!(
        it.ledger.done_call(&lane(), turn, "2").await.unwrap(),
        None,
        "what was refused may be tried again"
    );
    let stop = Order::Stop(halt("a", Some(lane())));
    let done = it.ledger.do_call(call("3", stop)).await.unwrap();
    assert_eq!(done.receipt, "started; 1 waiting task will not be done");
    let record = it.ledger.lane(&lane()).await.unwrap().unwrap();
    assert_eq!(record.open.unwrap().said, 0, "people have heard nothing");
    it.close().await;
}

#[tokio::test]
async fn only_the_last_tasks_are_remembered_and_nothing_of_a_teammate_long_after_it_was_closed() {
    let it = Fixture::new();
    it.spawn("a").await;
    let long = "x".repeat(10_000);
    for _ in 0..MAX_REMEMBERED_TASKS + 3 {
        let (turn, _) = it.begin("a").await;
        it.order(Order::Assign(task("a", &long, lane())))
            .await
            .unwrap();
        it.finish("a", turn, &long).await;
    }
    let tasks = it.ledger.tasks(&lane_of("a")).await.unwrap();
    assert_eq!(tasks.len(), MAX_REMEMBERED_TASKS + 1);
    assert_eq!(tasks.last().unwrap().state, TaskState::Waiting);

    it.order(close("a")).await.unwrap();
    let known = it.ledger.teammate_named(&flow(), "a").await.unwrap();
    let known = known.unwrap();
    assert!(known.closed_at.is_some());
    let fate = |workspace: &Workspace| match workspace {
        Workspace::Worktree { fate, .. } => fate.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        fate(&known.workspace),
        WorktreeFate::Leaving { force: false }
    );
    let kept = WorktreeFate::Kept {
        reason: "it has changes".to_owned(),
    };
    it.ledger
        .worktree_left(known.id, kept.clone())
        .await
        .unwrap();
    let known = it.ledger.teammate(known.id).await.unwrap().unwrap();
    assert_eq!(fate(&known.workspace), kept);

    let days = |days: u64| SystemTime::now() + Duration::from_secs(days * 24 * 3600);
    it.ledger.expire(days(29)).await.unwrap();
    assert!(it.ledger.teammate(known.id).await.unwrap().is_some());
    let expired = it.ledger.expire(days(31)).await.unwrap();
    assert_eq!(expired.teammates, 1);
    assert_eq!(it.ledger.teammate(known.id).await.unwrap(), None);
    assert_eq!(it.ledger.tasks(&lane_of("a")).await.unwrap(), []);
    assert_eq!(it.ledger.lane(&lane_of("a")).await.unwrap(), None);
    it.spawn("a").await;
    it.order(Order::Stop(halt("a", None))).await.unwrap();

    let directory = it.close().await;
    let spool = directory.path().join("spool");
    let names = std::fs::read_dir(spool).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| !name.starts_with("completion_"));
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("teammate_"), "{names:?}");
}
