//! Reactions, the native status, and the slash command.

use super::scene::{Scene, Setting};
use crate::support::model;

async fn shows(scene: &Scene, ts: &str, reaction: &str) {
    scene
        .slack
        .until(reaction, |slack| {
            (slack.reactions(&scene.ops, ts) == [reaction]).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_see_that_it_was_received_that_it_is_worked_on_and_how_it_ended() {
    let scene = Setting::of("thread").start().await;
    let (slack, ops) = (&scene.slack, &scene.ops);
    let (root, hold) = scene.occupy("good").await;
    shows(&scene, &root, "eyes").await;
    slack
        .until("a status", |slack| {
            slack.status(ops, &root).filter(|it| !it.is_empty())
        })
        .await;
    let waits = slack.reply(&scene.mei, ops, &root, "next");
    shows(&scene, &waits, "eyes").await;
    hold.release();
    shows(&scene, &root, "white_check_mark").await;
    shows(&scene, &waits, "white_check_mark").await;
    scene
        .echo
        .always("bad", model::Fault::Failed("bad_request", "no"));
    let bad = slack.say(&scene.mei, ops, &slack.mention("bad"));
    shows(&scene, &bad, "x").await;
    slack
        .until("the statuses to go", |slack| {
            slack.statuses().is_empty().then_some(())
        })
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_reactions_there_are_none() {
    let scene = Setting::of("thread")
        .channel("reactions = false")
        .start()
        .await;
    let asked = scene.slack.ask(&scene.mei, &scene.ops, "quietly");
    scene.slack.all_answered(&[asked]).await;
    let call = model::Fault::Call("react", r#"{"emoji":"tada"}"#);
    scene.echo.once("again", call);
    let more = scene.slack.ask(&scene.mei, &scene.ops, "again");
    scene.slack.all_answered(&[more]).await;
    let answer = scene.said("again").await;
    assert!(
        answer.visible().contains("takes no reactions"),
        "{answer:#?}"
    );
    assert_eq!(scene.slack.count_calls("reactions.add"), 0);
    scene
        .slack
        .until("the statuses to go", |slack| {
            slack.statuses().is_empty().then_some(())
        })
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slash_command_is_answered_in_its_channel_once() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    slack.command(mei, ops, "/agent", "what time is it?");
    let answer = scene.said("echo: what time is it?").await;
    assert_eq!(answer.channel, *ops);
    slack.command(mei, ops, "/agent", "help");
    let help = scene.said("These words I answer myself").await;
    assert_eq!(help.channel, *ops);
    slack.all_acknowledged().await;
    let end = slack.ask(mei, ops, "the end");
    slack.all_answered(&[end]).await;
    assert_eq!(slack.count_posts(), 3);
    scene.finish().await;
}
