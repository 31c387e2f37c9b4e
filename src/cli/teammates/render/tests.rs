use std::time::Duration;

use super::*;
use crate::control::{DoingStatus, TaskResult};
use crate::id::LaneId;
use crate::ledger::CompletionStatus;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

fn shared() -> WorkspaceStatus {
    WorkspaceStatus {
        kind: "shared".to_owned(),
        path: None,
        branch: None,
        fate: None,
        reason: None,
    }
}

fn worktree(fate: &str, reason: Option<&str>) -> WorkspaceStatus {
    WorkspaceStatus {
        kind: "worktree".to_owned(),
        path: Some("/state/worktrees/flow/flaky".into()),
        branch: Some("tieline/flaky".to_owned()),
        fate: Some(fate.to_owned()),
        reason: reason.map(str::to_owned),
    }
}

fn task(text: &str, state: &str, seconds: u64) -> TaskStatus {
    TaskStatus {
        beginning: text.to_owned(),
        state: state.to_owned(),
        failure: None,
        woken: false,
        given_at: ago(seconds + 60),
        changed_at: ago(seconds),
    }
}

fn mate(name: &str, state: &str, seconds: u64) -> TeammateStatus {
    TeammateStatus {
        name: name.to_owned(),
        state: state.to_owned(),
        since: ago(seconds),
        doing: None,
        waiting: 0,
        task: None,
        workspace: shared(),
        model: None,
        sandbox: None,
        lane: LaneId::new(format!("flow/@{name}")),
        joined_at: ago(9_000),
        closed_at: None,
    }
}

fn flaky() -> TeammateStatus {
    TeammateStatus {
        doing: Some(DoingStatus {
            text: "running cargo test --workspace \u{1b}[31m--all-features".to_owned(),
            at: ago(9),
        }),
        waiting: 1,
        task: Some(task(
            "fix the flaky test in the module of the clock",
            "in_turn",
            250,
        )),
        workspace: worktree("in_use", None),
        ..mate("flaky", "working", 250)
    }
}

#[test]
fn list_reads_well() {
    let failed = TaskStatus {
        failure: Some("provider-rate-limited".to_owned()),
        ..task("greet", "failed", 7_300)
    };
    let all = [
        TeammateStatus {
            waiting: 1,
            task: Some(task("write the docs", "waiting", 30)),
            workspace: WorkspaceStatus {
                kind: "directory".to_owned(),
                path: Some("/code/flow/docs".into()),
                ..shared()
            },
            ..mate("docs", "waiting", 30)
        },
        flaky(),
        TeammateStatus {
            task: Some(failed),
            ..mate("lazy", "idle", 7_300)
        },
        TeammateStatus {
            task: Some(task("look around", "done", 90_000)),
            workspace: worktree("kept", Some("it has changes")),
            ..mate("old", "closed", 90_000)
        },
    ];
    insta::assert_snapshot!(list(&all, now()), @r"
    NAME   STATE    FOR     WAITING  WHERE                 TASK                                       DOING
    docs   waiting  30s           1  /code/flow/docs       write the docs (waiting)                   -
    flaky  working  4m 10s        1  tieline/flaky         fix the flaky test in the module of the …  running cargo test --workspace  [31m--al…
    lazy   idle     2h 1m         0  shared                greet (failed: provider-rate-limited)      -
    old    closed   1d 1h         0  tieline/flaky (kept)  look around (done)                         -
    ");
    insta::assert_snapshot!(list(&[], now()), @"no teammates");
}

#[test]
fn one_reads_well() {
    let whole = |status: TaskStatus, result: Option<&str>| TaskDetails {
        text: format!("{}\nand say why", status.beginning),
        status,
        result: result.map(|body| TaskResult {
            status: CompletionStatus::Ok,
            body: body.to_owned(),
        }),
    };
    let woken = TaskStatus {
        woken: true,
        ..task("results", "done", 400)
    };
    let all = TeammateDetails {
        teammate: TeammateStatus {
            model: Some("gpt-5".to_owned()),
            sandbox: Some("read-only".to_owned()),
            ..flaky()
        },
        tasks: vec![
            whole(
                task("look", "done", 4_000),
                Some("It is the clock.\n\n- \u{1b}[1mline 7"),
            ),
            whole(woken, Some("The build is green.")),
            whole(task("fix it", "in_turn", 250), None),
        ],
        waiting_tasks: vec![task("tidy up", "waiting", 30)],
    };
    insta::assert_snapshot!(details(&all, now()), @r"
    flaky    working for 4m 10s
    doing    running cargo test --workspace  [31m--all-features (9s ago)
    waiting  1 task
    where    the worktree /state/worktrees/flow/flaky on the branch tieline/flaky
    model    gpt-5
    sandbox  read-only

    task, given 1h 7m ago, done 1h 6m ago
        look
        and say why
    result, ok
        It is the clock.

        -  [1mline 7

    woken by results, given 7m 40s ago, done 6m 40s ago
        results
        and say why
    result, ok
        The build is green.

    task, given 5m 10s ago, being done for 4m 10s
        fix it
        and say why

    task, given 1m 30s ago, waiting
        tidy up
    ");
}

#[test]
fn orders_are_confirmed_with_what_they_have_led_to() {
    let joined_in = |workspace| {
        let teammate = TeammateStatus {
            workspace,
            ..mate("flaky", "waiting", 0)
        };
        joined(&teammate, "flow")
    };
    let given_to = |state: &str, waiting| {
        let teammate = TeammateStatus {
            waiting,
            ..mate("flaky", state, 0)
        };
        given(&teammate)
    };
    let halted = |was_working, withdrawn| TeammateHalted {
        teammate: mate("flaky", "idle", 0),
        was_working,
        withdrawn,
    };
    let told = [
        joined_in(shared()),
        joined_in(worktree("in_use", None)),
        given_to("working", 0),
        given_to("waiting", 1),
        given_to("working", 1),
        given_to("working", 3),
        stopped(&halted(false, 0)),
        stopped(&halted(true, 0)),
        stopped(&halted(true, 1)),
        stopped(&halted(false, 2)),
    ];
    insta::assert_snapshot!(told.concat(), @r"
    flaky has joined flow: it works in the dispatcher's workspace, and what comes of its task is told in the chat
    flaky has joined flow: it works in the worktree /state/worktrees/flow/flaky on the branch tieline/flaky, and what comes of its task is told in the chat
    flaky is at it
    flaky has it next
    flaky has it next, after what it does
    flaky has it, after 2 waiting tasks
    flaky had nothing to do
    flaky stops: its turn ends
    flaky stops: its turn ends; 1 waiting task will not be done
    flaky stops: 2 waiting tasks will not be done
    ");
}

#[test]
fn what_became_of_a_worktree_is_said_with_what_to_do() {
    let told = [
        shared(),
        worktree("removed", None),
        worktree("kept", Some("it has uncommitted changes")),
        worktree("leaving", None),
    ]
    .map(|workspace| {
        let halted = TeammateHalted {
            teammate: TeammateStatus {
                workspace,
                ..mate("flaky", "closed", 0)
            },
            was_working: true,
            withdrawn: 0,
        };
        closed(&halted, " --config other.toml")
    });
    insta::assert_snapshot!(told.join("---\n"), @r"
    flaky is closed: its turn ends
    ---
    flaky is closed: its turn ends
    its worktree is removed; the branch tieline/flaky stays
    ---
    flaky is closed: its turn ends
    its worktree /state/worktrees/flow/flaky is kept: it has uncommitted changes
    look at it (`git -C /state/worktrees/flow/flaky status --ignore-submodules=dirty`), take over what you need, and then
    `tieline teammates close flaky --discard --config other.toml` removes it, with what is only there
    ---
    flaky is closed: its turn ends
    its worktree /state/worktrees/flow/flaky goes when nobody works in it any more; `tieline teammates read flaky --config other.toml` says what became of it
    ");
}
