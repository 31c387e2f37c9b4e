//! Teammates: ordered, given tasks, reported once, stopped, and forgotten with all that was theirs.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tieline_channel::{ChannelId, ChatId, Conversation};

use super::fixture::{accept, lane};
use crate::id::{CompletionId, DispatcherId, LaneId, TaskId, ThreadId, TurnKey};
use crate::ledger::task::MAX_REMEMBERED_TASKS;
use crate::ledger::teammate::MAX_CLOSED;
use crate::ledger::{
    Asker, CompletionRecord, CompletionState, CompletionStatus, Halt, Halted, Hold, Ledger,
    LedgerError, LedgerSettings, LedgerThread, MAX_WAITING_TASKS, NewCall, NewCompletion, NewTask,
    NewTeammate, Order, Origin, Outcome, Owner, Reach, Return, RosterError, Stop, TaskReport,
    TaskState, TeammateRecord, Workspace, WorktreeFate,
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

    /// One joins that has no place of its own and no instructions.
    async fn join(&self, name: &str) {
        let new = NewTeammate {
            workspace: Workspace::Shared,
            instructions: None,
            ..teammate(name)
        };
        let spawn = Order::Spawn(new, task(name, "look", lane()));
        self.order(spawn).await.unwrap();
    }

    /// Takes the next task of a teammate into a turn.
    async fn begin(&self, name: &str) -> (TurnKey, TaskId) {
        let turn = TurnKey::new();
        let open = self.ledger.open_task(&lane_of(name), turn).await.unwrap();
        (turn, open.expect("no task waits").task.unwrap())
    }

    /// Ends a turn well. Returns the lane that is told.
    async fn finish(&self, name: &str, turn: TurnKey, body: &str) -> Option<LaneId> {
        let report = TaskReport {
            status: CompletionStatus::Ok,
            body: body.to_owned(),
        };
        self.ledger
            .settle_work(&lane_of(name), turn, Outcome::Answered, report, Vec::new())
            .await
            .unwrap()
    }

    async fn known(&self, name: &str) -> Option<TeammateRecord> {
        self.ledger.teammate_named(&flow(), name).await.unwrap()
    }

    async fn fate(&self, name: &str) -> WorktreeFate {
        fate(&self.known(name).await.unwrap().workspace)
    }

    /// Something is reported to a lane from outside.
    async fn tell(&self, at: &LaneId, name: &str) -> CompletionId {
        let reported = self.ledger.report(NewCompletion {
            dispatcher: flow(),
            lane: at.clone(),
            name: name.to_owned(),
            from: "ci".to_owned(),
            status: CompletionStatus::Ok,
            body: String::new(),
            origin: None,
        });
        reported.await.unwrap().id
    }

    async fn state_of(&self, completion: CompletionId) -> CompletionState {
        let record = self.ledger.completion(completion).await.unwrap();
        record.unwrap().state
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

/// One is told to end what it does; a model of a lane does so in a conversation.
fn halt(name: &str, by: Option<LaneId>) -> Halt {
    Halt {
        dispatcher: flow(),
        name: name.to_owned(),
        stop: Stop {
            origin: by.is_some().then(origin),
            by,
            ..Stop::by_person()
        },
    }
}

fn close(name: &str) -> Order {
    Order::Close {
        halt: halt(name, None),
        force: false,
    }
}

/// It is closed, and its worktree goes whatever is in it.
fn discard(name: &str) -> Order {
    Order::Close {
        halt: halt(name, None),
        force: true,
    }
}

fn fate(workspace: &Workspace) -> WorktreeFate {
    match workspace {
        Workspace::Worktree { fate, .. } => fate.clone(),
        other => panic!("{other:?}"),
    }
}

fn kept(reason: &str) -> WorktreeFate {
    WorktreeFate::Kept {
        reason: reason.to_owned(),
    }
}

fn days(days: u64) -> SystemTime {
    SystemTime::now() + Duration::from_secs(days * 24 * 3600)
}

#[tokio::test]
async fn a_task_becomes_a_turn_and_its_result_a_completion_also_for_the_next_process() {
    let it = Fixture::new();
    it.spawn("reviewer").await;
    let record = it.ledger.lane(&lane_of("reviewer")).await.unwrap().unwrap();
    let known = it.ledger.teammate_named(&flow(), "reviewer").await.unwrap();
    let known = known.unwrap();
    assert_eq!(
        (record.owner, record.assigned, record.inputs()),
        (Owner::Teammate(known.id), 1, 1)
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
    let build = it.tell(&lane_of("a"), "build").await;
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
        let origin = by.is_some().then(origin);
        let stop = Stop {
            by,
            origin,
            ..Stop::by_person()
        };
        assert_eq!(record.open.unwrap().stop, Some(stop));
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
    assert_eq!(
        fate(&known.workspace),
        WorktreeFate::Leaving { force: false }
    );
    let kept = WorktreeFate::Kept {
        reason: "it has changes".to_owned(),
    };
    it.ledger
        .worktree_left(
            known.id,
            WorktreeFate::Leaving { force: false },
            kept.clone(),
        )
        .await
        .unwrap();
    let known = it.ledger.teammate(known.id).await.unwrap().unwrap();
    assert_eq!(fate(&known.workspace), kept);

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

#[tokio::test]
async fn the_lane_is_named_that_is_told_of_work_and_none_when_nobody_is() {
    let it = Fixture::new();
    it.spawn("a").await;
    let elsewhere = LaneId::new("flow/b");
    it.order(Order::Assign(task("a", "more", elsewhere.clone())))
        .await
        .unwrap();
    for asker in [lane(), elsewhere.clone()] {
        let (turn, _) = it.begin("a").await;
        assert_eq!(it.finish("a", turn, "done").await, Some(asker));
    }
    it.order(Order::Assign(task("a", "more", lane())))
        .await
        .unwrap();
    let (turn, _) = it.begin("a").await;
    it.order(Order::Stop(halt("a", Some(lane()))))
        .await
        .unwrap();
    assert_eq!(it.finish("a", turn, "done").await, None);
    it.close().await;
}

#[tokio::test]
async fn what_a_teammate_was_brought_wakes_it_no_more_once_it_is_stopped_or_closed() {
    for order in [Order::Stop(halt("a", Some(lane()))), close("a")] {
        let it = Fixture::new();
        it.spawn("a").await;
        let own = lane_of("a");
        let (turn, _) = it.begin("a").await;
        it.finish("a", turn, "done").await;
        let thread = ThreadId::new("t");
        let reach = Reach::default();
        it.ledger
            .set_thread(&own, thread.clone(), reach)
            .await
            .unwrap();
        // One that a failed turn has given back, in the history already; and one that is new.
        let shown = it.tell(&own, "shown").await;
        let turn = TurnKey::new();
        it.ledger
            .open_trigger(&own, turn, vec![shown])
            .await
            .unwrap();
        it.ledger
            .completions_injected(&own, turn, &thread)
            .await
            .unwrap();
        let hold = Hold {
            failures: 1,
            until: days(1),
        };
        let back = Return {
            forgotten: false,
            hold: Some(hold),
        };
        it.ledger
            .return_turn(&own, turn, Outcome::Cancelled, back, Vec::new())
            .await
            .unwrap();
        let new = it.tell(&own, "new").await;
        // And one that its turn is about.
        let present = it.tell(&own, "present").await;
        let turn = TurnKey::new();
        it.ledger
            .open_trigger(&own, turn, vec![present])
            .await
            .unwrap();
        let held = it.ledger.lane(&own).await.unwrap().unwrap();
        assert_eq!((held.arrived, held.hold.is_some()), (2, true));

        it.order(order.clone()).await.unwrap();
        for withdrawn in [shown, new] {
            let state = it.state_of(withdrawn).await;
            assert_eq!(state, CompletionState::Withdrawn, "{order:?}");
        }
        let record = it.ledger.lane(&own).await.unwrap().unwrap();
        assert_eq!((record.arrived, record.hold), (0, None), "{order:?}");
        it.ledger
            .return_turn(
                &own,
                turn,
                Outcome::Cancelled,
                Return::default(),
                Vec::new(),
            )
            .await
            .unwrap();
        assert_eq!(it.state_of(present).await, CompletionState::Withdrawn);
        let record = it.ledger.lane(&own).await.unwrap().unwrap();
        assert_eq!((record.inputs(), record.open), (0, None), "{order:?}");
        it.close().await;
    }
}

#[tokio::test]
async fn a_hold_ends_with_the_last_completion_that_it_was_about() {
    let it = Fixture::new();
    it.spawn("a").await;
    let (turn, _) = it.begin("a").await;
    it.finish("a", turn, "not seen yet").await;
    let id = it.ledger.arrivals(&lane(), 1).await.unwrap()[0].id;
    let turn = TurnKey::new();
    it.ledger
        .open_trigger(&lane(), turn, vec![id])
        .await
        .unwrap();
    let hold = Hold {
        failures: 2,
        until: days(1),
    };
    let back = Return {
        forgotten: true,
        hold: Some(hold),
    };
    it.ledger
        .return_turn(&lane(), turn, Outcome::Cancelled, back, Vec::new())
        .await
        .unwrap();
    let halted = it
        .order(Order::Stop(halt("a", Some(lane()))))
        .await
        .unwrap();
    assert_eq!(halted.unseen, 1);
    let record = it.ledger.lane(&lane()).await.unwrap().unwrap();
    assert_eq!((record.arrived, record.hold), (0, None));
    it.close().await;
}

#[tokio::test]
async fn one_that_has_left_something_unfinished_is_not_forgotten() {
    let it = Fixture::new();
    it.join("works").await;
    it.spawn("leaves").await;
    let (turn, _) = it.begin("works").await;
    for name in ["works", "leaves"] {
        it.order(close(name)).await.unwrap();
    }
    // The turn of one is open, the worktree of the other is there.
    assert_eq!(it.ledger.expire(days(31)).await.unwrap().teammates, 0);
    it.finish("works", turn, "after all").await;
    let id = it.known("leaves").await.unwrap().id;
    let leaving = WorktreeFate::Leaving { force: false };
    it.ledger
        .worktree_left(id, leaving, WorktreeFate::Removed)
        .await
        .unwrap();
    // They stay for as long again.
    assert_eq!(it.ledger.expire(days(60)).await.unwrap().teammates, 0);
    assert_eq!(it.ledger.expire(days(62)).await.unwrap().teammates, 2);
    assert_eq!(it.ledger.lane(&lane_of("works")).await.unwrap(), None);
    assert_eq!(it.ledger.counts().await.unwrap().open_turns, 0);
    it.close().await;
}

#[tokio::test]
async fn the_results_of_a_new_one_are_not_taken_for_those_of_an_earlier_one_of_its_name() {
    let it = Fixture::new();
    for body in ["the first", "the second"] {
        it.spawn("a").await;
        let (turn, _) = it.begin("a").await;
        it.finish("a", turn, body).await;
        it.order(close("a")).await.unwrap();
        let id = it.known("a").await.unwrap().id;
        let leaving = WorktreeFate::Leaving { force: false };
        it.ledger
            .worktree_left(id, leaving, WorktreeFate::Removed)
            .await
            .unwrap();
        assert_eq!(it.ledger.expire(days(31)).await.unwrap().teammates, 1);
    }
    let arrived: Vec<_> = it.arrived(&lane()).await.into_iter().collect();
    let named: Vec<_> = arrived
        .iter()
        .map(|(name, _, body)| (&**name, &**body))
        .collect();
    assert_eq!(
        named,
        [
            ("teammate:a#1", "the first"),
            ("teammate:a#2", "the second")
        ]
    );
    it.close().await;
}

#[tokio::test]
async fn a_worktree_that_is_about_to_go_can_be_discarded_and_that_is_not_overtaken() {
    let it = Fixture::new();
    it.spawn("a").await;
    it.order(close("a")).await.unwrap();
    let id = it.known("a").await.unwrap().id;
    let (gentle, forced) = (
        WorktreeFate::Leaving { force: false },
        WorktreeFate::Leaving { force: true },
    );
    assert_eq!(it.fate("a").await, gentle);
    let left = async |wanted: &WorktreeFate, became| {
        it.ledger
            .worktree_left(id, wanted.clone(), became)
            .await
            .unwrap();
    };
    for _ in 0..2 {
        it.order(discard("a")).await.unwrap();
        assert_eq!(it.fate("a").await, forced);
        // What was begun before that has come to its end.
        left(&gentle, kept("it has changes")).await;
        assert_eq!(it.fate("a").await, forced);
    }
    left(&forced, kept("git has an error")).await;
    assert_eq!(it.fate("a").await, kept("git has an error"));
    it.order(discard("a")).await.unwrap();
    left(&forced, WorktreeFate::Removed).await;
    let gone = it.order(discard("a")).await;
    let closed = RosterError::Closed {
        name: "a".to_owned(),
    };
    assert_eq!(gone, Err(LedgerError::Roster(closed)));
    it.close().await;
}

#[tokio::test]
async fn only_so_many_that_have_left_are_remembered_and_all_that_are_not_finished() {
    let it = Fixture::new();
    // Its worktree is to go.
    it.spawn("unfinished").await;
    it.order(close("unfinished")).await.unwrap();
    // Of its worktree somebody still has to hear.
    it.spawn("kept").await;
    it.order(close("kept")).await.unwrap();
    let kept = it.ledger.teammate_named(&flow(), "kept").await.unwrap();
    let (leaving, stays) = (
        WorktreeFate::Leaving { force: false },
        WorktreeFate::Kept {
            reason: "it has changes".to_owned(),
        },
    );
    let left = it.ledger.worktree_left(kept.unwrap().id, leaving, stays);
    left.await.unwrap();
    it.join("stays").await;
    let name = |number: usize| format!("n{number:03}");
    for number in 0..=MAX_CLOSED {
        it.join(&name(number)).await;
        it.order(close(&name(number))).await.unwrap();
    }
    let all = it.ledger.teammates(&flow()).await.unwrap();
    let names: Vec<_> = all.into_iter().map(|teammate| teammate.name).collect();
    let expected = (2..=MAX_CLOSED).map(name);
    let expected: Vec<_> = ["kept".to_owned()]
        .into_iter()
        .chain(expected)
        .chain(["stays".to_owned(), "unfinished".to_owned()])
        .collect();
    assert_eq!(names, expected);
    assert_eq!(it.ledger.lane(&lane_of("n000")).await.unwrap(), None);
    it.close().await;
}

#[tokio::test]
async fn whoever_joins_has_room_for_all_that_may_be_noted_of_it() {
    let it = Fixture::new();
    let long = "x".repeat(2_000);
    let leaving = WorktreeFate::Leaving { force: false };
    let (mut taken, mut refused) = (0, 0);
    // The longer its path, the less room there is.
    for bytes in (1_500..6_000).step_by(100) {
        let mut new = teammate("a");
        new.name = format!("a{bytes}");
        new.lane = lane_of(&new.name);
        new.instructions = Some(long.clone());
        new.limit = 100;
        if let Workspace::Worktree { path, .. } = &mut new.workspace {
            *path = "p".repeat(bytes).into();
        }
        let name = new.name.clone();
        let spawn = Order::Spawn(new, task(&name, "look", lane()));
        match it.order(spawn).await {
            Ok(_) => taken += 1,
            Err(LedgerError::TooLarge { .. }) => {
                refused += 1;
                assert_eq!(it.known(&name).await, None, "{bytes}");
                continue;
            }
            Err(other) => panic!("{other:?}"),
        }
        it.order(close(&name)).await.unwrap();
        let id = it.known(&name).await.unwrap().id;
        let noted = it
            .ledger
            .worktree_left(id, leaving.clone(), kept(&"界".repeat(500)));
        noted
            .await
            .unwrap_or_else(|error| panic!("{bytes}: {error}"));
        assert!(matches!(it.fate(&name).await, WorktreeFate::Kept { .. }));
    }
    // Instructions do not take the room of the path.
    assert!(taken > 10 && refused > 10, "{taken} {refused}");
    it.close().await;
}
