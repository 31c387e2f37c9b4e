//! From a person to a teammate and back.

use tieline::control::CompletionReport;
use tieline::id::LaneId;
use tieline::ledger::CompletionStatus;

use super::*;

#[tokio::test]
async fn a_task_is_done_by_a_thread_of_its_own_and_its_result_reaches_who_asked() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    spawn(&mut world, &echo, "reviewer", "look at <it>").await;
    heard_of(&world, "reviewer", 1).await;
    world.at_rest().await;
    assert_told_once(&world, [result("reviewer", 1)]);
    let texts: Vec<_> = world
        .platform
        .posts("a")
        .into_iter()
        .map(|it| it.text)
        .collect();
    assert_eq!(texts[0], "🧩 Handed to `reviewer`: look at <it>");
    let done = texts.iter().filter(|it| it.contains("`reviewer` is done"));
    assert_eq!(done.count(), 1, "{texts:#?}");

    let requests = world.model.requests();
    let task = requests
        .iter()
        .find(|request| {
            let text = request.last_user_text().unwrap_or_default();
            text.starts_with("<task from=\"test\"")
        })
        .unwrap();
    let asked = requests
        .iter()
        .find(|request| {
            request
                .last_user_text()
                .unwrap_or_default()
                .contains("hand out")
        })
        .unwrap();
    assert_ne!(task.thread(), asked.thread());
    let ours = |tool: &&String| tool.ends_with("_teammate") || *tool == "reply";
    assert!(asked.tools().iter().any(|tool| ours(&tool)));
    assert_eq!(task.tools().iter().find(ours), None, "it can hand work on");
    let told = instructions_of(&world, "<task ");
    assert!(told.contains("Your name is `reviewer`"), "{told}");
    let result = instructions_of(&world, "<trigger ");
    assert!(
        result.contains("echo: look at &lt;it&gt;"),
        "its answer is the result: {result}"
    );
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}

#[tokio::test]
async fn a_teammate_keeps_its_thread_over_tasks_and_restarts() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    spawn(&mut world, &echo, "scribe", "first task").await;
    heard_of(&world, "scribe", 1).await;
    world.at_rest().await;
    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    world.start();
    let more = serde_json::json!({"name": "scribe", "task": "second task"});
    will_call(&echo, "more", "send_to_teammate", more);
    let id = world.platform.write("a", "more");
    world.platform.settled(&id).await;
    heard_of(&world, "scribe", 2).await;
    let requests = world.model.requests();
    let of = |text: &str| {
        let has = |it: &&std::sync::Arc<tieline::demo::model::Request>| {
            it.last_user_text().is_some_and(|it| it.contains(text))
        };
        requests.iter().find(has).unwrap()
    };
    let (first, second) = (of("first task"), of("second task"));
    assert_eq!(first.thread(), second.thread());
    assert!(second.user_texts().join("\n").contains("first task"));
    world.finish().await;
}

#[tokio::test]
async fn a_teammate_that_results_wake_is_told_who_reads_its_answer() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    spawn(&mut world, &echo, "worker", "begin a build").await;
    heard_of(&world, "worker", 1).await;
    let client = Client::new(&world.path().join("state/control.sock"));
    let report = CompletionReport {
        id: "build-1".to_owned(),
        from: "ci".to_owned(),
        status: CompletionStatus::Ok,
        body: "green".to_owned(),
        lane: Some(LaneId::new("test/@worker")),
    };
    client.complete("test", &report).await.unwrap();
    heard_of(&world, "worker", 2).await;
    let requests = world.model.requests();
    let trigger_of = |worker: bool| {
        let texts = requests.iter().filter(|request| {
            let instructions = request.developer_texts().concat();
            instructions.contains("Your name is `worker`") == worker
        });
        let mut texts = texts.filter_map(|request| request.last_user_text());
        let trigger = texts.find(|text| text.starts_with("<trigger "));
        trigger.unwrap().to_owned()
    };
    assert!(trigger_of(true).contains("your report to the agent"));
    assert!(trigger_of(false).contains("goes to the people"));
    world.finish().await;
}

#[tokio::test]
async fn what_a_model_may_not_do_it_is_told_and_nothing_begins() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let task = "never begins";
    let table = [
        (
            serde_json::json!({"name": "A b", "task": task}),
            "cannot be the name",
        ),
        (
            serde_json::json!({"name": "a", "task": task, "sandbox": "workspace-write"}),
            "may not have more",
        ),
        (
            serde_json::json!({"name": "a", "task": task, "workspace": "/etc"}),
            "not below the dispatcher's workspace",
        ),
        (
            serde_json::json!({"name": "a", "task": task, "workspace": "worktree"}),
            "is in no git repository",
        ),
    ];
    for (number, (arguments, expected)) in table.into_iter().enumerate() {
        let text = format!("try {number}.");
        will_call(&echo, &text, "spawn_teammate", arguments);
        let id = world.platform.write("a", &text);
        let settling = world.platform.settled(&id).await;
        assert!(settling[0].text.contains(expected), "{settling:#?}");
    }
    assert_eq!(told_of(&world, task), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_task_that_fails_is_reported_as_such() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    echo.once("break it", Fault::Failed("invalid_prompt", "not that"));
    spawn(&mut world, &echo, "unlucky", "break it").await;
    heard_of(&world, "unlucky", 1).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("status=\"failed\""), "{told}");
    assert!(told.contains("It could not be finished"), "{told}");
    world.platform.posted("`unlucky` could not finish").await;
    world.finish().await;
}

#[tokio::test]
async fn a_worktree_is_made_for_its_teammate_and_removed_when_nothing_is_lost() {
    let echo = Echo::new();
    let mut world = World::new(echo.start().await, &Choices::standard());
    make_repository(&world);
    world.start();

    echo.once(
        "where are you",
        Fault::Command("pwd; cat a.txt; git branch --show-current"),
    );
    let arguments =
        serde_json::json!({"name": "smith", "task": "where are you", "workspace": "worktree"});
    will_call(&echo, "begin", "spawn_teammate", arguments);
    let id = world.platform.write("a", "begin");
    world.platform.settled(&id).await;
    heard_of(&world, "smith", 1).await;
    let place = world.path().join("state/worktrees/test/smith");
    let told = instructions_of(&world, "<trigger ");
    let place_shown = place.display().to_string();
    for expected in [&*place_shown, "content", "tieline/smith"] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let close = serde_json::json!({"name": "smith"});
    will_call(&echo, "enough", "close_teammate", close);
    let id = world.platform.write("a", "enough");
    world.platform.settled(&id).await;
    crate::support::model::within("the worktree to go", async {
        while place.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(git(&world, &["branch", "--list", "tieline/smith"]).contains("smith"));
    assert_eq!(git(&world, &["status", "--porcelain"]), "");
    world.finish().await;
}

#[tokio::test]
async fn changes_that_nobody_can_commit_are_taken_over_from_a_worktree() {
    let echo = Echo::new();
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard()
    };
    let mut world = World::new(echo.start().await, &choices);
    make_repository(&world);
    world.start();

    let change = "echo changed > a.txt; echo new > b.txt; \
                  git -c user.name=t -c user.email=t@localhost commit -q -a -m change 2>&1";
    echo.once("change it", Fault::Command(change));
    let arguments =
        serde_json::json!({"name": "smith", "task": "change it", "workspace": "worktree"});
    will_call(&echo, "begin", "spawn_teammate", arguments);
    let id = world.platform.write("a", "begin");
    world.platform.settled(&id).await;
    heard_of(&world, "smith", 1).await;
    let told = instructions_of(&world, "<task ");
    assert!(told.contains("leave your changes uncommitted"), "{told}");
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("Read-only file system"), "{told}");

    // As the skill says.
    let place = world.path().join("state/worktrees/test/smith");
    let take_over = format!(
        "worktree={}; cd \"$(git rev-parse --show-toplevel)\"; \
         git -C \"$worktree\" diff --binary HEAD | git apply && \
         git -C \"$worktree\" ls-files --others --exclude-standard -z | \
         tar -C \"$worktree\" --null -T - -cf - | tar -xf - && echo taken over",
        place.display()
    );
    echo.once("take it over", Fault::Command(take_over.leak()));
    let id = world.platform.write("a", "take it over");
    let settling = world.platform.settled(&id).await;
    assert!(settling[0].text.contains("taken over"), "{settling:#?}");
    assert_eq!(
        git(&world, &["status", "--porcelain"]),
        " M a.txt\n?? b.txt\n"
    );
    assert_eq!(
        std::fs::read_to_string(world.path().join("work/a.txt")).unwrap(),
        "changed\n"
    );

    // Whoever closes it without having done that loses nothing.
    let close = serde_json::json!({"name": "smith"});
    will_call(&echo, "enough", "close_teammate", close);
    let id = world.platform.write("a", "enough");
    let settling = world.platform.settled(&id).await;
    assert!(settling[0].text.contains("take that over"), "{settling:#?}");
    world.at_rest().await;
    assert!(place.exists());
    world.finish().await;
}

#[tokio::test]
async fn a_directory_that_leads_elsewhere_is_no_way_out_of_the_sandbox() {
    let echo = Echo::new();
    let choices = Choices {
        sandbox: "workspace-write",
        ..Choices::standard()
    };
    let mut world = World::new(echo.start().await, &choices);
    let [docs, outside] = ["work/docs", "outside"].map(|it| world.path().join(it));
    for directory in [&docs, &outside] {
        std::fs::create_dir(directory).unwrap();
    }
    world.start();
    let write = format!(
        "touch '{}' && echo written || echo shut out",
        docs.join("note").display()
    )
    .leak();
    echo.once("write a note", Fault::Command(write));
    let arguments =
        serde_json::json!({"name": "worker", "task": "write a note", "workspace": "docs"});
    will_call(&echo, "begin", "spawn_teammate", arguments);
    let id = world.platform.write("a", "begin");
    world.platform.settled(&id).await;
    heard_of(&world, "worker", 1).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("written"), "{told}");

    std::fs::rename(&docs, world.path().join("work/moved")).unwrap();
    std::os::unix::fs::symlink(&outside, &docs).unwrap();
    echo.once("write another", Fault::Command(write));
    let client = Client::new(&world.path().join("state/control.sock"));
    assign(&client, "write another").await;
    heard_of(&world, "worker", 2).await;
    let told = instructions_of(&world, "<trigger ");
    assert!(told.contains("shut out"), "{told}");
    assert!(!outside.join("note").exists());
    world.finish().await;
}
