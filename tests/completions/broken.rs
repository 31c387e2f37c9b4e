//! Results and everything that breaks on their way.

use std::fs;

use super::*;
use crate::support::model::{Fault, Point, within};
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};

const INJECT: &str = "\"thread/inject_items\"";
const TURN_START: &str = "\"turn/start\"";

async fn in_use_proxied(echo: &Echo) -> Proxied {
    let mut proxied = Proxied::child(echo, Choices::standard()).await;
    let first = proxied.world.platform.write("a", "hello");
    proxied.world.platform.settled(&first).await;
    proxied
}

#[tokio::test]
async fn the_connection_breaks_at_each_step_and_the_result_is_there_once() {
    let echo = Echo::new();
    let proxied = in_use_proxied(&echo).await;
    let steps = [
        (To::Server, INJECT, Mishap::Before),
        (To::Server, INJECT, Mishap::Halfway),
        (To::Server, INJECT, Mishap::After),
        (To::Server, TURN_START, Mishap::Before),
        (To::Server, TURN_START, Mishap::Halfway),
        (To::Server, TURN_START, Mishap::After),
        (To::Daemon, "\"userMessage\"", Mishap::Before),
        (To::Daemon, "\"turn/completed\"", Mishap::Before),
    ];
    let mut ids = Vec::new();
    for (number, (to, frame, mishap)) in steps.into_iter().enumerate() {
        let id = format!("step-{number}");
        let mut seen = proxied.proxy.at_frame(to, frame, mishap);
        tell(&proxied.world, &report(&id)).await;
        seen.seen().await;
        proxied.world.platform.posted(&id).await;
        ids.push(id);
    }
    proxied.world.at_rest().await;
    assert_told_once(&proxied.world, ids);
    let posts = proxied.world.platform.posts("a");
    assert_eq!(posts.len(), 1 + steps.len(), "{posts:#?}");
    proxied.finish().await;
}

#[tokio::test]
async fn codex_is_killed_between_the_steps_and_the_result_is_there_once() {
    let echo = Echo::new();
    let mut proxied = in_use_proxied(&echo).await;
    let mut ids = Vec::new();
    // After the item is there, and before the turn; then in the turn.
    for (number, frame) in [TURN_START, "\"item/agentMessage/delta\""]
        .iter()
        .enumerate()
    {
        let id = format!("kill-{number}");
        let to = if number == 0 { To::Server } else { To::Daemon };
        let mut seen = proxied.proxy.at_frame(to, frame, Mishap::Hold);
        let hold = (number == 1).then(|| echo.hold(TRIGGER, Point::MidStream));
        tell(&proxied.world, &report(&id)).await;
        if let Some(hold) = &hold {
            hold.reached().await;
        }
        // Else it would hold what comes after it is told not to.
        seen.seen().await;
        proxied.kill_app_server().await;
        proxied.proxy.hold(false);
        if let Some(hold) = &hold {
            hold.release();
        }
        proxied.world.platform.posted(&id).await;
        ids.push(id);
    }
    proxied.world.at_rest().await;
    assert_told_once(&proxied.world, ids);
    proxied.world.finish().await;
}

#[tokio::test]
async fn the_daemon_is_killed_between_the_steps_and_the_result_is_there_once() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    // Once the rollout has it, the daemon may or may not have recorded that.
    tell(&world, &report("inject")).await;
    world
        .until_rollout_has("<completion id=\\\"inject\\\"")
        .await;
    world.kill_daemon().await;
    world.start();
    world.platform.posted("inject").await;
    // While the model answers.
    let hold = echo.hold(TRIGGER, Point::MidStream);
    tell(&world, &report("answer")).await;
    hold.reached().await;
    world.kill_daemon().await;
    hold.release();
    world.start();
    world.platform.posted("answer").await;
    world.at_rest().await;
    assert_told_once(&world, ["inject", "answer"].map(str::to_owned));
    world.finish().await;
}

#[tokio::test]
async fn a_lost_thread_is_begun_anew_with_the_results_that_wait() {
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    let hold = echo.hold(TRIGGER, Point::Start);
    tell(&world, &report("one")).await;
    hold.reached().await;
    world.kill_daemon().await;
    let sessions = world.home().join("sessions");
    let child = world.app_server();
    if let Some(child) = child {
        within("the child to end", world.gone(child)).await;
    }
    fs::remove_dir_all(&sessions).unwrap();
    for entry in fs::read_dir(world.home()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".sqlite") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    hold.release();
    world.start();
    world.platform.posted("heard of: one").await;
    world.at_rest().await;
    let last = world.model.requests().last().cloned().unwrap();
    let items = last
        .developer_texts()
        .iter()
        .filter(|text| text.starts_with("<completion id=\"one\""))
        .count();
    assert_eq!(items, 1);
    world.finish().await;
}

#[tokio::test]
async fn what_is_reported_while_codex_is_away_is_delivered_when_it_is_back() {
    let echo = Echo::new();
    let mut choices = Choices::standard();
    let gone = tempfile::tempdir().unwrap();
    let bin = gone.path().join("codex");
    choices.bin = Some(bin.clone());
    let mut world = World::new(echo.start().await, &choices);
    world.start();
    let receipt = tell(&world, &report("early")).await;
    assert_eq!(receipt.state, "waiting");
    std::os::unix::fs::symlink(crate::support::codex::codex_bin(), &bin).unwrap();
    until_told(&world, "early").await;
    world.at_rest().await;
    assert_told_once(&world, ["early".to_owned()]);
    world.finish().await;
}

/// Makes a world whose codex makes room before a turn when the conversation takes too many tokens.
async fn with_little_room(echo: &Echo) -> World {
    let mut world = World::new(echo.start().await, &Choices::standard());
    let settings = "model_auto_compact_token_limit = 100000\n";
    fs::write(world.home().join("config.toml"), settings).unwrap();
    world.start();
    world
}

#[tokio::test]
async fn a_history_that_is_shortened_before_the_model_looks_gets_the_result_again() {
    let echo = Echo::new();
    let mut world = with_little_room(&echo).await;
    echo.once("hello", Fault::Tokens(200_000));
    let first = world.platform.write("a", "hello");
    world.platform.settled(&first).await;
    tell(&world, &report("one")).await;
    world.platform.posted("heard of: one").await;
    world.at_rest().await;
    assert_told_once(&world, ["one".to_owned()]);
    let again = world.logged("the history was shortened");
    assert_eq!(again.len(), 1, "{}", world.log());
    let posts = world.platform.posts("a");
    assert_eq!(posts.len(), 2, "{posts:#?}");
    world.finish().await;
}

#[tokio::test]
async fn where_each_turn_shortens_the_history_its_summary_must_do() {
    let echo = Echo::new();
    let mut world = with_little_room(&echo).await;
    echo.always("", Fault::Tokens(200_000));
    let first = world.platform.write("a", "hello");
    world.platform.settled(&first).await;
    tell(&world, &report("one")).await;
    world.platform.posted("heard of: ").await;
    world.at_rest().await;
    assert_eq!(tell(&world, &report("one")).await.state, "delivered");
    world.finish().await;
}
