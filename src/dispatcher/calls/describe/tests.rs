use std::path::PathBuf;

use pretty_assertions::assert_eq;

use super::*;
use crate::failure::FailureKind;
use crate::id::{DispatcherId, TaskId, TeammateId};
use crate::ledger::{Asker, CompletionStatus, TaskReport, TeammateRecord};
use crate::teammates::Doing;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

fn reader() -> LaneId {
    LaneId::new("flow/1")
}

fn task(beginning: &str, state: TaskState, changed: u64) -> TaskRecord {
    TaskRecord {
        id: TaskId::new(),
        lane: LaneId::new("flow/@a"),
        asker: Some(Asker {
            lane: reader(),
            origin: None,
        }),
        is_woken: false,
        state,
        beginning: beginning.to_owned(),
        given_at: ago(7_200),
        changed_at: ago(changed),
        turn: None,
        thread: None,
        codex_turn: None,
    }
}

/// A teammate that is at, and was last at, these tasks.
fn teammate(
    name: &str,
    state: State,
    seconds: u64,
    current: Option<TaskRecord>,
    last: Option<TaskRecord>,
) -> Teammate {
    let since = ago(seconds);
    Teammate {
        record: TeammateRecord {
            id: TeammateId::new(),
            dispatcher: DispatcherId::new("flow"),
            name: name.to_owned(),
            lane: LaneId::new(format!("flow/@{name}")),
            workspace: Workspace::Shared,
            model: None,
            sandbox: None,
            results: 0,
            asker: Asker {
                lane: reader(),
                origin: None,
            },
            joined_at: ago(90_000),
            closed_at: (state == State::Closed).then_some(since),
        },
        state,
        since,
        waiting: 0,
        task: current.or_else(|| last.clone()),
        last,
    }
}

#[test]
fn every_state_is_told() {
    let done = || Some(task("Read the\n code", TaskState::Done, 3_600));
    let at_work = || Some(task("Mend it", TaskState::InTurn, 300));
    let doing = Doing {
        text: "runs the tests".to_owned(),
        at: ago(12),
    };
    let working = |doing| State::Working { doing };
    let failed = TaskState::Failed {
        kind: FailureKind::BackendTimeout,
    };
    let woken = TaskRecord {
        is_woken: true,
        ..task("", TaskState::Unclear, 60)
    };
    let mut busy = teammate("busy", working(Some(doing)), 300, at_work(), done());
    busy.waiting = 2;
    let mut elsewhere = teammate("elsewhere", State::Idle, 60, None, Some(woken));
    elsewhere.record.asker.lane = LaneId::new("flow/2");
    elsewhere.record.model = Some("small".to_owned());
    elsewhere.record.sandbox = Some("read-only".to_owned());
    elsewhere.record.workspace = Workspace::Directory {
        path: PathBuf::from("/work/docs"),
    };
    let next = task("Tidy up", TaskState::Waiting, 90);
    let mut queued = teammate("queued", State::Waiting, 60, Some(next), None);
    queued.waiting = 1;
    let all_of_them = [
        busy,
        teammate("new", working(None), 300, at_work(), None),
        queued,
        teammate("idle", State::Idle, 60, None, Some(task("Try", failed, 60))),
        elsewhere,
        teammate("halted", State::Stopping, 60, at_work(), done()),
        teammate("leaving", State::Closed, 30, at_work(), None),
        teammate(
            "left",
            State::Closed,
            30,
            None,
            Some(task("Go", TaskState::Stopped, 30)),
        ),
    ];
    insta::assert_snapshot!(all(&all_of_them, &reader(), now()), @r#"
    There are 6 teammates. Their results are brought to you by themselves.

    busy: working for 5m; 2 tasks wait for it
      task: Mend it
      doing, 12s ago: runs the tests
      last task, done 1h ago: Read the code
      works in your workspace

    new: working for 5m
      task: Mend it
      doing: nothing was heard of it yet
      works in your workspace

    queued: waiting for a free place among those that work, or for Codex; 1 task waits for it
      next: Tidy up
      works in your workspace

    idle: idle: it can be given a task
      last task, failed (backend-timeout) 1m ago: Try
      works in your workspace

    elsewhere: idle: it can be given a task
      last task, unclear whether done, 1m ago: results that it was brought
      its newest task is for another conversation, which is told of it
      works in /work/docs
      model: small
      sandbox: read-only

    halted: stopping: its turn is ending
      task: Mend it
      last task, done 1h ago: Read the code
      works in your workspace

    leaving: closed 30s ago; its turn is ending
      task: Mend it
      works in your workspace

    left: closed 30s ago
      last task, stopped 30s ago: Go
      works in your workspace
    "#);
}

#[test]
fn what_became_of_a_worktree_is_told() {
    let place = |fate| {
        place(&Workspace::Worktree {
            repository: PathBuf::from("/code/flow"),
            path: PathBuf::from("/state/worktrees/flow/a"),
            branch: "tieline/a".to_owned(),
            inside: PathBuf::new(),
            fate,
        })
    };
    let reason = "2 files are not committed".to_owned();
    let table = [
        (
            WorktreeFate::InUse,
            "works on branch tieline/a, in the worktree /state/worktrees/flow/a",
        ),
        (
            WorktreeFate::Leaving { force: false },
            "its worktree /state/worktrees/flow/a goes when nobody works in it, unless something would be \
             lost by that; branch tieline/a stays",
        ),
        (
            WorktreeFate::Leaving { force: true },
            "its worktree /state/worktrees/flow/a goes when nobody works in it, with all that is not \
             committed; branch tieline/a stays",
        ),
        (
            WorktreeFate::Removed,
            "its worktree is gone; what it committed is on branch tieline/a",
        ),
        (
            WorktreeFate::Kept { reason },
            "its worktree /state/worktrees/flow/a is still there, on branch tieline/a: 2 files are not \
             committed; take that over (`git -C /state/worktrees/flow/a diff --ignore-submodules=dirty HEAD`, and what \
             `git -C /state/worktrees/flow/a status --ignore-submodules=dirty` shows; the skill dispatching says how), and only then \
             close it once more with discard, which destroys what is not committed",
        ),
    ];
    for (fate, expected) in table {
        assert_eq!(place(fate), expected);
    }
}

#[test]
fn a_long_list_goes_on_with_names_and_only_the_latest_that_left() {
    let many: Vec<_> = (0..100)
        .map(|number| {
            let doing = Doing {
                text: "x".repeat(300),
                at: ago(1),
            };
            let state = State::Working { doing: Some(doing) };
            let at_work = task(&"y".repeat(500), TaskState::InTurn, 5);
            teammate(&format!("t{number}"), state, 5, Some(at_work), None)
        })
        .collect();
    let text = all(&many, &reader(), now());
    assert!(text.len() < MAX_LIST + 4_000, "{}", text.len());
    assert!(text.ends_with("\n\nt99: working for 5s"), "{text}");

    let left: Vec<_> = (1..=30)
        .map(|number| {
            let name = format!("t{number}");
            teammate(&name, State::Closed, number * 60, None, None)
        })
        .collect();
    let text = all(&left, &reader(), now());
    assert!(text.contains("t1: closed 1m ago") && text.contains("t10: closed 10m ago"));
    assert!(!text.contains("t11:"), "{text}");
    assert!(text.ends_with("20 more were closed before that; they can be read by name."));
}

fn settled(text: &str, body: &str) -> TaskDetails {
    TaskDetails {
        record: task("cut", TaskState::Done, 60),
        text: text.to_owned(),
        report: Some(TaskReport {
            status: CompletionStatus::Ok,
            body: body.to_owned(),
        }),
    }
}

fn read(tasks: Vec<TaskDetails>) -> String {
    let details = Details {
        teammate: teammate("a", State::Idle, 60, None, None),
        tasks,
        waiting: Vec::new(),
    };
    one(&details, &reader(), now())
}

#[test]
fn one_is_told_with_its_tasks_and_what_came_of_them() {
    let stopped = TaskDetails {
        record: task("cut", TaskState::Stopped, 50),
        text: "Never begun".to_owned(),
        report: None,
    };
    let woken = TaskDetails {
        record: TaskRecord {
            is_woken: true,
            ..task("", TaskState::Unclear, 40)
        },
        text: String::new(),
        report: settled("", "perhaps").report,
    };
    let text = read(vec![settled("Look.\nWell.", "Seen."), stopped, woken]);
    insta::assert_snapshot!(text, @r#"
    a: idle: it can be given a task
      works in your workspace
      joined 1d ago

    === Task given 2h ago, done 1m ago ===
    Look.
    Well.
    --- Its result, status ok ---
    Seen.

    === Task given 2h ago, stopped 50s ago ===
    Never begun
    --- There is no result ---

    === Nobody's task: results that it was brought, unclear whether done, 40s ago ===
    --- Its result, status ok ---
    perhaps
    "#);
}

#[test]
fn what_is_read_is_bounded_and_the_oldest_is_cut_first() {
    let long = |c: char| c.to_string().repeat(12_000);
    let text = read(vec![
        settled("the oldest", &long('a')),
        settled("the next", &long('b')),
        settled("the newest", &long('界')),
    ]);
    let count = |c: char| text.chars().filter(|it| *it == c).count();
    assert!(
        count('界') >= 12_000 && count('b') >= 12_000,
        "they are not whole"
    );
    let left = MAX_SHOWN - 2 * 12_000 - "the newest".len() - "the next".len();
    assert!(
        text.contains(&format!(
            "…\n(cut here: the first {left} of 12000 characters)"
        )),
        "it does not say what is missing"
    );
    assert!(text.contains("===\n(left out here: 10 characters)\n---"));
    assert!(text.chars().count() < MAX_SHOWN + 1_000);

    // One that is too long by itself.
    let text = read(vec![settled("t", &"z".repeat(1_000_000))]);
    assert!(text.contains("(cut here: the first 30000 of 1000000 characters)"));
    assert!(text.chars().count() < MAX_SHOWN + 1_000);
}
