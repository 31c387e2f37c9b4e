//! `tieline teammates` against a daemon whose teammates wait for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pretty_assertions::assert_eq;
use tieline::codex::protocol::ThreadSettings;
use tieline::codex::{LaunchConfig, Spawner};
use tieline::config::Config;
use tieline::dispatcher::{Dispatcher, Handle, Settings};
use tieline::id::{DispatcherId, LaneId, TeammateId};
use tieline::ledger::{Asker, Ledger, NewTask, NewTeammate, Order, Workspace, WorktreeFate};

use super::exit_codes::with_dispatchers;
use super::workbench::{Ran, Workbench};

/// Makes a dispatcher of the configuration of a workbench that works at nothing.
fn dispatcher(workbench: &Workbench, ledger: &Ledger) -> Handle {
    let config = Config::load(&workbench.path("tieline.toml")).expect("it is good");
    let id = DispatcherId::new("flow");
    let state = workbench.path("state");
    let settings = Settings {
        config: config.config.dispatchers[&id].clone(),
        launch: LaunchConfig::new("flow", "/", "/", &state, &state),
        attachments: state.join("attachments"),
        spills: state.join("completions"),
        outgoing: state.join("outgoing"),
        worktrees: state.join("worktrees"),
        events: tieline::events::Events::none(),
        restart_notice: None,
        thread: ThreadSettings::default(),
        id,
    };
    let launcher = Arc::new(Spawner::new().expect("a thread"));
    Dispatcher::new(settings, ledger.clone(), Default::default(), launcher).1
}

/// Has one join whose worktree is at a made-up place.
async fn spawn_in_a_worktree(ledger: &Ledger, name: &str) -> TeammateId {
    let flow = DispatcherId::new("flow");
    let new = NewTeammate {
        dispatcher: flow.clone(),
        name: name.to_owned(),
        lane: LaneId::new(format!("flow/@{name}")),
        workspace: Workspace::Worktree {
            repository: "/code/flow".into(),
            path: PathBuf::from("/state/worktrees/flow").join(name),
            branch: format!("tieline/{name}"),
            inside: PathBuf::new(),
            fate: WorktreeFate::InUse,
        },
        model: None,
        sandbox: None,
        instructions: None,
        limit: 20,
    };
    let task = NewTask {
        dispatcher: flow.clone(),
        teammate: name.to_owned(),
        asker: Asker {
            lane: LaneId::new("flow"),
            origin: None,
        },
        text: "look around".to_owned(),
    };
    let spawned = ledger.carry_out(Order::Spawn(new, task)).await;
    spawned.expect("it joins");
    let record = ledger.teammate_named(&flow, name).await;
    record.expect("a ledger").expect("a teammate").id
}

/// Lets a worktree go when it is to go: not unless it is forced.
async fn tidy_up(ledger: Ledger, id: TeammateId) {
    loop {
        let record = ledger.teammate(id).await.expect("a ledger");
        let Some(Workspace::Worktree { fate, .. }) = record.map(|it| it.workspace) else {
            return;
        };
        let became = match fate {
            WorktreeFate::InUse | WorktreeFate::Kept { .. } => {
                // The ledger is asked, for it does not tell by itself.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                continue;
            }
            WorktreeFate::Removed => return,
            WorktreeFate::Leaving { force: true } => WorktreeFate::Removed,
            WorktreeFate::Leaving { force: false } => WorktreeFate::Kept {
                reason: "it has uncommitted changes".to_owned(),
            },
        };
        let noted = ledger.worktree_left(id, fate, became).await;
        noted.expect("a ledger");
    }
}

/// Runs `scene` while a daemon has a dispatcher `flow`, and a teammate `kept` with a worktree.
async fn with_teammates<T: Send + 'static>(
    scene: impl FnOnce(&Workbench) -> T + Send + 'static,
) -> T {
    with_dispatchers(
        async |workbench, ledger, tasks| {
            let id = spawn_in_a_worktree(&ledger, "kept").await;
            tasks.spawn(tidy_up(ledger.clone(), id));
            vec![dispatcher(workbench, &ledger)]
        },
        scene,
    )
    .await
}

fn assert_done(ran: &Ran) {
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn teammates_join_are_given_work_are_read_and_leave() {
    with_teammates(|workbench| {
        let run = |arguments: &[&str]| {
            let mut all = vec!["teammates"];
            all.extend(arguments);
            workbench.run(&all)
        };
        let ran = run(&["spawn", "docs", "--task", "- write the docs"]);
        assert_done(&ran);
        insta::assert_snapshot!(ran.stdout, @"docs has joined flow: it works in the dispatcher's workspace, and what comes of its task is told in the chat");

        let piped = [
            "teammates",
            "send",
            "docs",
            "--file",
            "-",
            "--dispatcher",
            "flow",
        ];
        let ran = workbench.run_with_input(&piped, "and the examples\nwith output\n");
        assert_done(&ran);
        insta::assert_snapshot!(ran.stdout, @"docs has it, after 1 waiting task");

        for arguments in [&[][..], &["list"], &["list", "--dispatcher", "flow"]] {
            let listed = run(arguments);
            assert_done(&listed);
            let rows: Vec<Vec<&str>> = listed
                .stdout
                .lines()
                .map(|line| line.split_whitespace().collect())
                .collect();
            assert_eq!(rows.len(), 3, "{}", listed.stdout);
            assert_eq!(rows[1][..2], ["docs", "waiting"]);
            assert_eq!(rows[2][..2], ["kept", "waiting"]);
        }
        let json = run(&["--json"]).stdout;
        let answer: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(answer["teammates"][0]["waiting"], 2);

        let read = run(&["read", "docs", "--tasks", "1"]);
        assert_done(&read);
        for task in ["- write the docs", "and the examples with output"] {
            assert!(read.stdout.contains(task), "{}", read.stdout);
        }
        let json = run(&["read", "docs", "--json"]).stdout;
        let answer: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(answer["tasks"], serde_json::json!([]));
        let waiting = &answer["waiting_tasks"][0]["beginning"];
        assert_eq!(waiting, "- write the docs");

        let ran = run(&["stop", "docs"]);
        assert_done(&ran);
        assert_eq!(ran.stdout, "docs stops: 2 waiting tasks will not be done\n");
        let json = run(&["close", "docs", "--json"]).stdout;
        let answer: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(answer["teammate"]["state"], "closed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_says_what_became_of_the_worktree_and_how_to_let_it_go() {
    with_teammates(|workbench| {
        let config = ["--config", "tieline.toml"];
        let run = |arguments: &[&str]| {
            let mut all = vec!["teammates"];
            all.extend(arguments);
            all.extend(config);
            workbench.run(&all)
        };
        let ran = run(&["close", "kept"]);
        assert_done(&ran);
        insta::assert_snapshot!(ran.stdout, @r"
        kept is closed: 1 waiting task will not be done
        its worktree /state/worktrees/flow/kept is kept: it has uncommitted changes
        look at it (`git -C /state/worktrees/flow/kept status --ignore-submodules=dirty`), take over what you need, and then
        `tieline teammates close kept --discard --config tieline.toml` removes it, with what is only there
        ");
        let again = run(&["close", "kept"]);
        assert_eq!((again.code, again.stdout.as_str()), (Some(1), ""));
        insta::assert_snapshot!(again.stderr, @r#"
        error: teammate "kept" is closed: it can be read, and does nothing any more
        hint: for new work, spawn one of another name; a worktree that was kept goes with `tieline teammates close NAME --discard`
        "#);
        let ran = run(&["close", "kept", "--discard"]);
        assert_done(&ran);
        insta::assert_snapshot!(ran.stdout, @r"
        kept is closed
        its worktree is removed; the branch tieline/kept stays
        ");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_said_with_what_to_do() {
    with_teammates(|workbench| {
        let table: [(&[&str], i32, &str); 9] = [
            (&["spawn", "x"], 64, "--task"),
            (
                &["spawn", "x", "--task", "a", "--file", "b"],
                64,
                "cannot be used",
            ),
            (
                &["spawn", "x", "--file", "/no/such"],
                74,
                "cannot read /no/such",
            ),
            (&["spawn", "X!", "--task", "a"], 1, "cannot be the name"),
            (
                &["spawn", "x", "--task", "a", "--sandbox", "jail"],
                1,
                "no sandbox",
            ),
            (&["read", "x", "--tasks", "11"], 64, "11"),
            (&["read", "x"], 1, "there is no teammate \"x\""),
            (
                &["send", "x", "--task", "a", "--lane", "moon"],
                1,
                "no lane moon",
            ),
            (
                &["list", "--dispatcher", "moon"],
                1,
                "the configuration has: flow",
            ),
        ];
        for (arguments, code, words) in table {
            let mut all = vec!["teammates"];
            all.extend(arguments);
            let ran = workbench.run(&all);
            assert_eq!(
                (ran.code, ran.stdout.as_str()),
                (Some(code), ""),
                "{arguments:?}"
            );
            assert!(ran.stderr.contains(words), "{}", ran.stderr);
        }
    })
    .await;
}

#[test]
fn without_a_daemon_it_exits_69() {
    let workbench = Workbench::configured();
    let ran = workbench.run(&["teammates", "stop", "x"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(69), ""));
    assert!(ran.stderr.contains("hint: start it"), "{}", ran.stderr);
    assert!(!Path::new("state").exists());
}
