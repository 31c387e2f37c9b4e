use std::path::PathBuf;
use std::time::Duration;

use tieline_channel::Conversation;
use tieline_channel::language::assert_speaks_both;

use super::*;
use crate::id::{DispatcherId, LaneId, TaskId, TeammateId};
use crate::ledger::{Asker, Origin, TeammateRecord};
use crate::teammates::Doing;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_166_100)
}

fn ago(seconds: u64) -> SystemTime {
    now() - Duration::from_secs(seconds)
}

fn asker() -> Asker {
    Asker {
        lane: LaneId::new("flow"),
        origin: None,
    }
}

/// Whoever asks where everything was asked for.
fn here() -> Viewer {
    Viewer {
        channel: ChannelId::new("team"),
        chat: ChatId::new("C1"),
        lane: LaneId::new("flow"),
        is_admin: false,
    }
}

fn asked_in(channel: &str, chat: &str) -> Asker {
    Asker {
        lane: LaneId::new("flow"),
        origin: Some(Origin {
            channel: ChannelId::new(channel),
            conversation: Conversation {
                chat: ChatId::new(chat),
                thread: None,
            },
        }),
    }
}

fn task(text: &str, state: TaskState, seconds: u64) -> TaskRecord {
    TaskRecord {
        id: TaskId::new(),
        lane: LaneId::new("flow/@x"),
        asker: Some(asker()),
        is_woken: false,
        state,
        beginning: text.to_owned(),
        given_at: ago(seconds + 5),
        changed_at: ago(seconds),
        turn: None,
        thread: None,
        codex_turn: None,
    }
}

fn mate(name: &str, state: State, seconds: u64) -> Teammate {
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
            asker: asker(),
            joined_at: ago(90_000),
            closed_at: None,
        },
        state,
        since: ago(seconds),
        waiting: 0,
        task: None,
        last: None,
    }
}

fn worktree_with(fate: WorktreeFate) -> Workspace {
    Workspace::Worktree {
        repository: PathBuf::from("/code/flow"),
        path: PathBuf::from("/state/worktrees/flow/x"),
        branch: "tieline/x".to_owned(),
        inside: PathBuf::new(),
        fate,
    }
}

fn details(task: TaskRecord, report: Option<(CompletionStatus, &str)>) -> TaskDetails {
    TaskDetails {
        text: task.beginning.clone(),
        record: task,
        report: report.map(|(status, body)| TaskReport {
            status,
            body: body.to_owned(),
        }),
    }
}

fn everybody() -> Vec<Teammate> {
    let doing = Some(Doing {
        text: "running `cargo test`".to_owned(),
        at: ago(9),
    });
    vec![
        Teammate {
            task: Some(task("fix the\n flaky test", TaskState::InTurn, 250)),
            waiting: 2,
            ..mate("flaky", State::Working { doing }, 250)
        },
        Teammate {
            task: Some(task("read it all", TaskState::InTurn, 5)),
            ..mate("reader", State::Working { doing: None }, 5)
        },
        Teammate {
            task: Some(task("write the docs", TaskState::Waiting, 30)),
            waiting: 1,
            ..mate("docs", State::Waiting, 30)
        },
        Teammate {
            task: Some(task("count the stars", TaskState::InTurn, 30)),
            ..mate("stars", State::Stopping, 30)
        },
        Teammate {
            task: Some(task("greet", TaskState::Done, 7_300)),
            ..mate("lazy", State::Idle, 7_300)
        },
        mate("new", State::Idle, 90_000),
        mate("gone", State::Closed, 60),
    ]
}

/// People and models write in the language they like.
fn silent(mut teammate: Teammate) -> Teammate {
    if let Some(task) = &mut teammate.task {
        task.beginning.clear();
    }
    if let State::Working { doing } = &mut teammate.state {
        *doing = doing.take().map(|doing| Doing {
            text: String::new(),
            ..doing
        });
    }
    teammate
}

#[test]
fn everybody_who_is_there_is_listed_with_what_they_are_at() {
    let quiet: Vec<_> = everybody().into_iter().map(silent).collect();
    assert_speaks_both(|language| teammates(&quiet, &here(), now(), language));
    insta::assert_snapshot!(teammates(&everybody(), &here(), now(), Language::English), @r"
    - ⏳ `flaky` works for 4 min: “fix the flaky test”; 9 s ago: running 'cargo test'; tasks that wait: 2
    - ⏳ `reader` works for 5 s: “read it all”
    - 🕓 `docs` waits for 30 s: “write the docs”; tasks that wait: 1
    - ⏹️ `stars` is being stopped: “count the stars”
    - 💤 `lazy` is idle for 2 h, last: “greet”
    - 💤 `new` is idle for 1 d
    ");
    insta::assert_snapshot!(teammates(&everybody(), &here(), now(), Language::Chinese), @r"
    - ⏳ `flaky` 正在工作，已 4 分钟：“fix the flaky test”；9 秒前：running 'cargo test'；等待的任务：2
    - ⏳ `reader` 正在工作，已 5 秒：“read it all”
    - 🕓 `docs` 已等待 30 秒：“write the docs”；等待的任务：1
    - ⏹️ `stars` 正在停止：“count the stars”
    - 💤 `lazy` 空闲，已 2 小时，上一项任务：“greet”
    - 💤 `new` 空闲，已 1 天
    ");
}

#[test]
fn nobody_is_said_to_be_nobody() {
    let gone = [mate("gone", State::Closed, 60)];
    assert_speaks_both(|language| teammates(&gone, &here(), now(), language));
    insta::assert_snapshot!(teammates(&gone, &here(), now(), Language::English), @"- Nobody works for me at the moment.");
    assert_speaks_both(|language| no_teammate("flaky", language));
    insta::assert_snapshot!(
        no_teammate("`flaky", Language::English),
        @"There is no teammate `'flaky`. `teammates` lists those that there are."
    );
}

#[test]
fn a_list_is_cut_and_says_so() {
    let crowd: Vec<_> = (0..100)
        .map(|n| Teammate {
            task: Some(task(&"long ".repeat(1000), TaskState::Waiting, 1)),
            ..mate(&format!("m{n}"), State::Waiting, 1)
        })
        .collect();
    let told = teammates(&crowd, &here(), now(), Language::English);
    assert_eq!(told.lines().count(), LISTED + 1);
    assert!(told.ends_with("\n- and 80 more"), "{told}");
    assert!(told.chars().count() < 3_000, "{told}");
}

fn with_results() -> Details {
    let failed = TaskState::Failed {
        kind: crate::failure::FailureKind::ProviderRateLimited,
    };
    let body = "It was the `clock`:\n\n```rust\nlet now = 0;\n```\n";
    let woken = TaskRecord {
        is_woken: true,
        ..task("", TaskState::Done, 700)
    };
    Details {
        teammate: Teammate {
            record: TeammateRecord {
                workspace: worktree_with(WorktreeFate::Kept {
                    reason: "/state/worktrees/flow/x has changes".to_owned(),
                }),
                ..mate("gone", State::Idle, 0).record
            },
            ..mate("gone", State::Closed, 60)
        },
        tasks: vec![
            details(
                task("too old", TaskState::Done, 9_000),
                Some((CompletionStatus::Ok, "passed over")),
            ),
            details(
                task("find out", failed, 8_000),
                Some((CompletionStatus::Failed, "The provider has had enough.")),
            ),
            details(woken, Some((CompletionStatus::Ok, body))),
            details(
                task("and then", TaskState::Stopped, 61),
                Some((CompletionStatus::Stopped, "It was stopped.")),
            ),
        ],
        waiting: Vec::new(),
    }
}

#[test]
fn one_is_told_with_its_last_results_and_without_paths() {
    insta::assert_snapshot!(teammate(&with_results(), &here(), now(), Language::English), @r"
    - 👋 `gone` has left 1 min ago
    - 🌿 its worktree was kept, for it has what is nowhere else; its branch: `tieline/x`
    - ⚠️ failed (`provider-rate-limited`) 2 h ago: “find out” → The provider has had enough.
    - ✅ done 11 min ago: (results that came in) → It was the 'clock': rust let now = 0;
    - ⏹️ stopped 1 min ago: “and then”
    ");
    insta::assert_snapshot!(teammate(&with_results(), &here(), now(), Language::Chinese), @r"
    - 👋 `gone` 已于 1 分钟前离开
    - 🌿 它的工作树保留了下来，因为里面有别处没有的内容；它的分支：`tieline/x`
    - ⚠️ 2 小时前失败（`provider-rate-limited`）：“find out” → The provider has had enough.
    - ✅ 11 分钟前完成：（收到的结果） → It was the 'clock': rust let now = 0;
    - ⏹️ 1 分钟前已停止：“and then”
    ");
}

#[test]
fn long_results_are_cut() {
    let mut found = with_results();
    for task in &mut found.tasks {
        task.report = Some(TaskReport {
            status: CompletionStatus::Ok,
            body: "long ".repeat(10_000),
        });
    }
    let told = teammate(&found, &here(), now(), Language::English);
    assert!(told.chars().count() < 1_800, "{told}");
}

#[test]
fn every_state_of_a_task_and_fate_of_a_worktree_is_told_in_both_languages() {
    let fates = [
        WorktreeFate::InUse,
        WorktreeFate::Leaving { force: false },
        WorktreeFate::Removed,
        WorktreeFate::Kept {
            reason: String::new(),
        },
    ];
    let states = [
        TaskState::Done,
        TaskState::Failed {
            kind: crate::failure::FailureKind::BackendTimeout,
        },
        TaskState::Stopped,
        TaskState::Unclear,
    ];
    for (fate, state) in fates.into_iter().zip(states) {
        let mut found = Details {
            teammate: mate("x", State::Idle, 1),
            tasks: vec![details(task("", state, 1), None)],
            waiting: Vec::new(),
        };
        found.teammate.record.workspace = worktree_with(fate);
        assert_speaks_both(|language| teammate(&found, &here(), now(), language));
    }
}

#[test]
fn what_was_asked_for_in_another_chat_is_told_to_nobody_but_administrators() {
    let is_told = |asker: &Asker, viewer: &Viewer| {
        let doing = Some(Doing {
            text: "reading SECRET".to_owned(),
            at: ago(1),
        });
        let begun = TaskRecord {
            asker: Some(asker.clone()),
            ..task("do SECRET", TaskState::InTurn, 5)
        };
        let over = TaskRecord {
            asker: Some(asker.clone()),
            ..task("try SECRET", TaskState::Done, 9)
        };
        let mut at_work = Teammate {
            task: Some(begun),
            ..mate("x", State::Working { doing }, 5)
        };
        let secrets = |teammate: &Teammate, language| {
            let found = Details {
                teammate: teammate.clone(),
                tasks: vec![details(
                    over.clone(),
                    Some((CompletionStatus::Ok, "It is SECRET.")),
                )],
                waiting: Vec::new(),
            };
            let told = teammates(std::slice::from_ref(teammate), viewer, now(), language)
                + &super::teammate(&found, viewer, now(), language);
            told.matches("SECRET").count()
        };
        let counts = [Language::English, Language::Chinese].map(|it| secrets(&at_work, it));
        // Woken by results, it works for whoever asked last.
        at_work.task = None;
        at_work.record.asker = asker.clone();
        let woken = secrets(&at_work, Language::English);
        (counts, woken)
    };
    let everything = ([6, 6], 4);
    let nothing = ([0, 0], 0);
    assert_eq!(is_told(&asked_in("team", "C1"), &here()), everything);
    assert_eq!(is_told(&asked_in("team", "C2"), &here()), nothing);
    assert_eq!(is_told(&asked_in("office", "C1"), &here()), nothing);
    let admin = Viewer {
        is_admin: true,
        ..here()
    };
    assert_eq!(is_told(&asked_in("team", "C2"), &admin), everything);
    // On the machine, for this conversation or another.
    assert_eq!(is_told(&asker(), &here()), everything);
    let elsewhere = Viewer {
        lane: LaneId::new("flow/2"),
        ..here()
    };
    assert_eq!(is_told(&asker(), &elsewhere), nothing);
}

#[test]
fn of_what_was_asked_for_elsewhere_the_state_is_told() {
    let elsewhere = |state, seconds| TaskRecord {
        asker: Some(asked_in("team", "C2")),
        ..task("never told", state, seconds)
    };
    let report = Some((CompletionStatus::Ok, "never told"));
    let found = Details {
        teammate: Teammate {
            task: Some(elsewhere(TaskState::InTurn, 5)),
            ..mate("flaky", State::Working { doing: None }, 5)
        },
        tasks: vec![details(elsewhere(TaskState::Done, 60), report)],
        waiting: Vec::new(),
    };
    assert_speaks_both(|language| teammate(&found, &here(), now(), language));
    insta::assert_snapshot!(teammate(&found, &here(), now(), Language::English), @r"
    - ⏳ `flaky` works for 5 s: (asked for in another conversation)
    - ✅ done 1 min ago: (asked for in another conversation)
    ");
    insta::assert_snapshot!(teammate(&found, &here(), now(), Language::Chinese), @r"
    - ⏳ `flaky` 正在工作，已 5 秒：（在其他对话中交办）
    - ✅ 1 分钟前完成：（在其他对话中交办）
    ");
}
