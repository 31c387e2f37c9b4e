//! What people order about what runs for them and about its thread, on a console, whose people are
//! administrators.

use rustix::process::Signal;

use super::*;
use crate::chats::commands::steady;
use crate::support::daemon::rollouts;
use crate::support::model::{Fault, Hold, Point, times_told, told, wait_for_requests, within};

/// What the request for a summary of the history says.
const SUMMARY: &str = "CHECKPOINT";

/// Writes, and returns the text that settles it.
async fn say(world: &mut World, chat: &str, text: &str) -> String {
    let id = world.platform.write(chat, text);
    answer(world, &id).await
}

async fn answer(world: &World, id: &str) -> String {
    let posts = world.platform.settled(id).await;
    assert_eq!(posts.len(), 1, "{posts:?}");
    steady(&posts[0].text)
}

/// Begins something that is held until it is let go.
async fn begin(world: &mut World, echo: &Echo, chat: &str, text: &str) -> (String, Hold) {
    let hold = echo.hold(text, Point::MidStream);
    let id = world.platform.write(chat, text);
    hold.reached().await;
    (id, hold)
}

/// Returns the texts that the model was told in each thread, those of the thread begun last last.
fn threads(world: &World) -> Vec<String> {
    told(&world.model)
        .into_values()
        .map(|texts| texts.join("\n"))
        .collect()
}

#[tokio::test]
async fn every_command_is_answered_as_people_read_it() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    world.ready(0).await;
    let mut said = Vec::new();
    for text in [
        "/status",
        "threads",
        "stop",
        "model",
        "/fork",
        "compact",
        "remember the milk",
        "/where",
        "new",
        "threads",
        "remember the bread",
        "threads",
        "resume 1",
        "resume 1",
        "resume 7",
        "what was it",
        "fork",
        "and now?",
        "threads",
        "compact",
        "model o9-mini",
        "model",
        "model default",
        "status",
        "teammates",
        "/resume",
        "/new thing",
        "/model ???",
        "/typo",
        "stop all",
        "help",
    ] {
        let answer = say(&mut world, "a", text).await;
        said.push(format!("> {text}\n{answer}"));
    }
    insta::assert_snapshot!("commands_en", said.join("\n\n"));
    assert!(times_told(&world.model, "remember the milk") > 0);
    world.finish().await;
}

#[tokio::test]
async fn every_command_is_answered_in_chinese() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard().in_chinese()).await;
    world.ready(0).await;
    let mut said = Vec::new();
    for text in [
        "状态",
        "会话列表",
        "停止",
        "模型",
        "/分叉",
        "压缩",
        "记住牛奶",
        "/进度",
        "新会话",
        "会话列表",
        "记住面包",
        "恢复1",
        "恢复 1",
        "恢复 7",
        "是什么来着",
        "分叉",
        "现在呢",
        "会话列表",
        "压缩",
        "模型 o9-mini",
        "模型",
        "模型默认",
        "/状态",
        "队友",
        "/恢复",
        "/新会话 做点事",
        "/模型 ？",
        "/未知",
        "停止全部",
        "帮助",
    ] {
        let answer = say(&mut world, "a", text).await;
        said.push(format!("> {text}\n{answer}"));
    }
    insta::assert_snapshot!("commands_zh", said.join("\n\n"));
    world.finish().await;
}

#[tokio::test]
async fn paths_and_sentences_are_for_the_model() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    for text in [
        "/etc/hosts",
        "stop the server",
        "new idea",
        "/v2",
        "resume the work",
    ] {
        assert_eq!(say(&mut world, "a", text).await, format!("echo: {text}"));
    }
    world.finish().await;
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_leaves_what_waits() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let (long, _hold) = begin(&mut world, &echo, "a", "the long one").await;
    let next = world.platform.write("a", "the next one");
    world.platform.acked(&next).await;
    let stopped = say(&mut world, "a", "stop").await;
    assert_eq!(
        stopped,
        "⏹️ Stopping it. 1 message waits and will be worked on next; `stop all` withdraws what waits."
    );
    assert_eq!(answer(&world, &long).await, "⏹️ Stopped.");
    assert_eq!(answer(&world, &next).await, "echo: the next one");
    world.finish().await;
}

#[tokio::test]
async fn a_stop_of_all_withdraws_what_waits_here_and_nothing_else() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    choices.dispatcher = choices.dispatcher.replace("\"chat\"", "\"shared\"");
    let mut world = running(&echo, &choices).await;
    let (long, _hold) = begin(&mut world, &echo, "a", "the long one").await;
    let waiting: Vec<_> = [("a", "one"), ("b", "other"), ("a", "two")]
        .map(|(chat, text)| world.platform.write(chat, text))
        .into();
    for id in &waiting {
        world.platform.acked(id).await;
    }
    let stop = world.platform.write("a", "stop all");
    let posts = world.platform.settled(&stop).await;
    assert_eq!(
        posts[0].settles,
        [stop, waiting[0].clone(), waiting[2].clone()],
        "{posts:?}"
    );
    assert_eq!(answer(&world, &long).await, "⏹️ Stopped.");
    assert_eq!(answer(&world, &waiting[1]).await, "echo: other");
    let told = threads(&world).join("\n");
    assert!(!told.contains("one</") && !told.contains("two"), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn a_stop_is_heard_at_every_moment_of_a_turn() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    choices.sandbox = "danger-full-access";
    let mut world = running(&echo, &choices).await;
    // A model that says nothing, one that is in the middle, and a command that runs.
    for (chat, point) in [("silent", Point::Start), ("late", Point::BeforeEnd)] {
        let hold = echo.hold(chat, point);
        let id = world.platform.write(chat, chat);
        hold.reached().await;
        say(&mut world, chat, "/stop").await;
        assert_eq!(answer(&world, &id).await, "⏹️ Stopped.");
    }
    echo.once(
        "tool",
        Fault::Command("touch begun; sleep 300 & wait; echo done"),
    );
    let id = world.platform.write("tool", "tool");
    let begun = world.path().join("work/begun");
    while !begun.exists() {
        // Nothing tells of a file but looking.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    say(&mut world, "tool", "stop").await;
    assert_eq!(answer(&world, &id).await, "⏹️ Stopped.");
    // At once, before codex has begun it.
    let id = world.platform.write("quick", "quick");
    let stop = world.platform.write("quick", "stop");
    let stopped = answer(&world, &stop).await;
    let ended = answer(&world, &id).await;
    assert!(
        ended == "⏹️ Stopped." || (ended == "echo: quick" && stopped.starts_with("Nothing runs")),
        "{stopped} {ended}"
    );
    world.at_rest().await;
    world.finish().await;
}

#[tokio::test]
async fn a_stop_and_the_orders_behind_it_hold_although_the_daemon_is_killed() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    say(&mut world, "a", "remember the milk").await;
    let (long, _hold) = begin(&mut world, &echo, "a", "the long one").await;
    world.signal_app_server(Signal::STOP);
    let stop = world.platform.write("a", "stop");
    world.platform.acked(&stop).await;
    let orders = ["fork", "model o9-mini", "new"].map(|text| world.platform.write("a", text));
    for id in &orders {
        world.platform.acked(id).await;
    }
    world.kill_daemon().await;
    world.start();
    assert_eq!(answer(&world, &long).await, "⏹️ Stopped.");
    for id in &orders {
        answer(&world, id).await;
    }
    let threads = say(&mut world, "a", "threads").await;
    insta::assert_snapshot!(threads, @r"
    - ▶️ a new one, which your next message begins
    - `2`, used 1 s ago, a copy of `1`: “remember the milk”
    - `1`, used 1 s ago: “remember the milk”

    `resume 2` goes back, `new` begins another.
    ");
    say(&mut world, "a", "afresh").await;
    let last = world.model.requests().pop().unwrap();
    assert_eq!(last.model(), Some("o9-mini"));
    assert!(!last.user_texts().join("\n").contains("milk"), "{last:?}");
    world.finish().await;
}

#[tokio::test]
async fn an_order_waits_for_the_turn_that_runs_and_goes_before_the_next_one() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let (long, hold) = begin(&mut world, &echo, "a", "the long one").await;
    let next = world.platform.write("a", "the next one");
    world.platform.acked(&next).await;
    let new = world.platform.write("a", "new");
    world
        .platform
        .posted("As soon as the turn that runs is over")
        .await;
    hold.release();
    assert_eq!(answer(&world, &long).await, "echo: the long one");
    answer(&world, &new).await;
    assert_eq!(answer(&world, &next).await, "echo: the next one");
    let threads = threads(&world);
    assert_eq!(threads.len(), 2, "{threads:#?}");
    assert!(
        threads
            .iter()
            .all(|it| !(it.contains("long") && it.contains("next"))),
        "{threads:#?}"
    );
    world.finish().await;
}

#[tokio::test]
async fn at_most_so_many_orders_wait() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let (_, hold) = begin(&mut world, &echo, "a", "the long one").await;
    let orders: Vec<_> = (0..8).map(|_| world.platform.write("a", "new")).collect();
    for id in &orders {
        world.platform.acked(id).await;
    }
    let refused = say(&mut world, "a", "new").await;
    assert!(
        refused.contains("8 changes of this thread wait"),
        "{refused}"
    );
    hold.release();
    for id in &orders {
        answer(&world, id).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_thread_that_is_gone_is_said_to_be_and_the_present_one_stays() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    say(&mut world, "a", "remember the milk").await;
    say(&mut world, "a", "new").await;
    say(&mut world, "a", "remember the bread").await;
    assert_eq!(world.stop_daemon().await, Some(0));
    let first = rollouts(&world.home()).into_iter().min().unwrap();
    std::fs::remove_file(first).unwrap();
    world.start();
    let answer = say(&mut world, "a", "resume 1").await;
    assert_eq!(
        answer,
        "⚠️ Thread 1 is gone from the machine and cannot be opened. The present thread stays."
    );
    say(&mut world, "a", "what was it").await;
    let texts = world.model.requests().pop().unwrap();
    let texts = texts.user_texts().join("\n");
    assert!(
        texts.contains("bread") && !texts.contains("milk"),
        "{texts}"
    );
    world.finish().await;
}

#[tokio::test]
async fn threads_of_one_chat_are_not_those_of_another() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    say(&mut world, "a", "a secret of a").await;
    say(&mut world, "b", "hello").await;
    say(&mut world, "a", "new").await;
    let kept = world.status().await;
    let lane = kept.dispatchers[0]
        .lanes
        .iter()
        .find(|it| it.id.as_str().ends_with("/b"));
    assert!(lane.is_some(), "{kept:#?}");
    let all = say(&mut world, "b", "threads").await;
    assert!(!all.contains("secret"), "{all}");
    let of_a = told(&world.model)
        .into_iter()
        .find(|(_, texts)| texts.join("").contains("secret"))
        .unwrap()
        .0;
    let answer = say(&mut world, "b", &format!("resume {of_a}")).await;
    assert!(answer.contains("There is no thread"), "{answer}");
    world.finish().await;
}

#[tokio::test]
async fn a_chosen_model_runs_the_turns_from_the_next_one_on_and_after_a_restart() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let model = |world: &World| {
        let last = world.model.requests().pop().unwrap();
        last.model().unwrap().to_owned()
    };
    say(&mut world, "a", "one").await;
    let before = model(&world);
    say(&mut world, "a", "model o9-mini").await;
    say(&mut world, "a", "two").await;
    assert_eq!(model(&world), "o9-mini");
    say(&mut world, "b", "other").await;
    assert_eq!(
        model(&world),
        before,
        "another chat's turns are not concerned"
    );
    assert_eq!(world.stop_daemon().await, Some(0));
    world.start();
    say(&mut world, "a", "three").await;
    assert_eq!(model(&world), "o9-mini");
    say(&mut world, "a", "new").await;
    say(&mut world, "a", "four").await;
    assert_eq!(model(&world), "o9-mini");
    say(&mut world, "a", "model default").await;
    say(&mut world, "a", "five").await;
    assert_eq!(model(&world), before);
    world.kill_daemon().await;
    world.start();
    say(&mut world, "a", "six").await;
    assert_eq!(model(&world), before);
    world.finish().await;
}

#[tokio::test]
async fn a_copy_has_what_was_said_and_the_tools_and_leaves_the_thread_as_it_was() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    say(&mut world, "a", "remember the milk").await;
    let tools = world.model.requests().pop().unwrap().tools().to_owned();
    say(&mut world, "a", "fork").await;
    say(&mut world, "a", "in the copy").await;
    let copy = world.model.requests().pop().unwrap();
    assert_eq!(copy.tools(), tools);
    assert!(copy.user_texts().join("\n").contains("milk"));
    world.kill_daemon().await;
    world.start();
    say(&mut world, "a", "still in the copy").await;
    let again = world.model.requests().pop().unwrap();
    assert_eq!(again.thread(), copy.thread());
    assert_eq!(again.tools(), tools);
    say(&mut world, "a", "resume 1").await;
    say(&mut world, "a", "in the first").await;
    let first = world.model.requests().pop().unwrap();
    let texts = first.user_texts().join("\n");
    assert!(texts.contains("milk") && !texts.contains("copy"), "{texts}");
    assert_ne!(first.thread(), copy.thread());
    world.finish().await;
}

#[tokio::test]
async fn a_history_is_shortened_once_although_the_daemon_or_codex_is_killed_meanwhile() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let summaries = |world: &World| {
        let requests = world.model.requests();
        let texts = requests.iter().filter_map(|it| it.last_user_text());
        texts.filter(|text| text.contains(SUMMARY)).count()
    };
    say(&mut world, "a", "remember the milk").await;
    // Killed in the middle: it is done again, for nothing came of it.
    for kills_daemon in [true, false] {
        let hold = echo.hold(SUMMARY, Point::MidStream);
        let order = world.platform.write("a", "compact");
        hold.reached().await;
        if kills_daemon {
            world.kill_daemon().await;
            world.start();
        } else {
            world.signal_app_server(Signal::KILL);
        }
        let text = answer(&world, &order).await;
        assert!(text.starts_with("🗜️ Shortened"), "{text}");
    }
    assert_eq!(summaries(&world), 4);
    assert_eq!(say(&mut world, "a", "go on").await, "echo: go on");
    world.finish().await;
}

#[tokio::test]
async fn a_history_that_cannot_be_shortened_is_said_to_stay() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    say(&mut world, "a", "remember the milk").await;
    echo.always(
        SUMMARY,
        Fault::Status(400, r#"{"error":{"message":"no"}}"#, None),
    );
    let text = say(&mut world, "a", "compact").await;
    assert!(
        text.contains("could not be shortened and stays as it is"),
        "{text}"
    );
    assert_eq!(say(&mut world, "a", "go on").await, "echo: go on");
    world.finish().await;
}

#[tokio::test]
async fn whoever_decides_about_a_lost_thread_can_begin_anew() {
    let echo = Echo::new();
    let choices = Choices::standard().with("on_lost_thread = \"stop\"");
    let mut world = running(&echo, &choices).await;
    say(&mut world, "a", "before the loss").await;
    assert_eq!(world.stop_daemon().await, Some(0));
    world.lose_threads();
    world.start();
    for text in ["after the loss", "fork", "compact"] {
        let answer = say(&mut world, "a", text).await;
        assert!(answer.contains("begin anew with `new`"), "{answer}");
    }
    say(&mut world, "a", "new").await;
    assert_eq!(say(&mut world, "a", "afresh").await, "echo: afresh");
    let texts = threads(&world).join("\n");
    assert!(!texts.contains("thread-lost"), "{texts}");
    world.finish().await;
}

#[tokio::test]
async fn orders_are_kept_while_codex_is_away() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    say(&mut world, "a", "remember the milk").await;
    assert_eq!(world.stop_daemon().await, Some(0));
    let home = world.home();
    let hidden = world.path().join("hidden");
    std::fs::rename(&home, &hidden).unwrap();
    world.start();
    let fork = world.platform.write("a", "fork");
    world.platform.acked(&fork).await;
    world.platform.posted("Codex does not start").await;
    std::fs::rename(&hidden, &home).unwrap();
    let text = answer(&world, &fork).await;
    assert!(text.starts_with("🔀 Going on in a copy"), "{text}");
    wait_for_requests(&world.model, "the first turn", |requests| {
        !requests.is_empty()
    })
    .await;
    world.finish().await;
}

// === On the machine ===

/// Runs `tieline lane …`, and returns its output and exit code.
async fn tieline(world: &World, args: &[&str]) -> String {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tieline"))
        .arg("lane")
        .args(args)
        .arg("--config")
        .arg(world.path().join("tieline.toml"))
        .env_clear()
        .env("HOME", world.path())
        .output();
    let output = within("tieline lane", output).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    format!(
        "$ tieline lane {}\n{}{}({code})\n",
        args.join(" "),
        text(output.stdout),
        text(output.stderr)
    )
}

/// Replaces what differs from run to run: the names of threads and orders, and times.
fn settle(text: &str) -> String {
    let is_uuid = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let lines = text.lines().map(|line| {
        let words = line.split(' ').map(|word| {
            let bare = word.trim_matches(|c| c == '"' || c == ',');
            if is_uuid(bare) {
                word.replace(bare, "UUID")
            } else if bare.ends_with('Z') && bare.starts_with("20") {
                word.replace(bare, "TIME")
            } else if bare
                .strip_suffix('s')
                .is_some_and(|it| it.parse::<u32>().is_ok())
            {
                "1s".to_owned()
            } else {
                word.to_owned()
            }
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[tokio::test]
async fn lanes_are_stopped_and_sent_to_other_threads_on_the_machine() {
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    world.ready(0).await;
    let lane = "test/term/a";
    let mut said = tieline(&world, &["threads", lane]).await;
    say(&mut world, "a", "remember the milk").await;
    said += &tieline(&world, &["fork", lane]).await;
    world.platform.posted("Going on in a copy").await;
    said += &tieline(&world, &["model", lane, "o9-mini"]).await;
    world.platform.posted("From the next turn on").await;
    said += &tieline(&world, &["threads", lane]).await;
    let (long, _hold) = begin(&mut world, &echo, "a", "the long one").await;
    let waiting = world.platform.write("a", "never mind");
    world.platform.acked(&waiting).await;
    said += &tieline(&world, &["new", lane]).await;
    said += &tieline(&world, &["stop", lane, "--all"]).await;
    assert_eq!(
        answer(&world, &long).await,
        "⏹️ Stopped by the operator of this machine."
    );
    let withdrawn = answer(&world, &waiting).await;
    assert!(
        withdrawn.contains("has withdrawn this message"),
        "{withdrawn}"
    );
    world
        .platform
        .posted("Your next message begins a new thread")
        .await;
    said += &tieline(&world, &["resume", lane, "1"]).await;
    world.platform.posted("Back in thread 1").await;
    said += &tieline(&world, &["threads", lane, "--json"]).await;
    said += &tieline(&world, &["compact", lane, "--json"]).await;
    said += &tieline(&world, &["stop", lane]).await;
    said += &tieline(&world, &["stop", "test/term/nobody"]).await;
    said += &tieline(&world, &["model", lane, "what is it"]).await;
    insta::assert_snapshot!("lane", settle(&said));
    world.at_rest().await;
    world.finish().await;
}
