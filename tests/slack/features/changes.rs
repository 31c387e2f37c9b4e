//! Messages that are edited or deleted.

use super::scene::{Scene, Setting};

/// Writes below a question that occupies the model, and waits until it is safe.
async fn write_below(scene: &Scene, root: &str, text: &str) -> String {
    let ts = scene.slack.reply(&scene.mei, &scene.ops, root, text);
    scene.slack.all_acknowledged().await;
    ts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_still_waits_is_taken_as_it_was_edited_and_not_at_all_when_it_was_deleted() {
    let scene = Setting::of("thread").start().await;
    let (root, hold) = scene.occupy("busy").await;
    let edited = write_below(&scene, &root, "aples").await;
    let deleted = write_below(&scene, &root, "nonsense").await;
    let unfurled = write_below(&scene, &root, "bananas https://example.org/").await;
    scene.slack.edit_message(&scene.ops, &edited, "apples");
    scene
        .slack
        .edit_message(&scene.ops, &edited, "green apples");
    scene.slack.delete_message(&scene.ops, &deleted);
    scene.slack.unfurl(&scene.ops, &unfurled);
    scene.slack.all_acknowledged().await;
    hold.release();
    scene.said("green apples").await;
    scene.said("bananas").await;

    assert_eq!(scene.told("aples"), Vec::<String>::new());
    assert_eq!(scene.told("nonsense"), Vec::<String>::new());
    assert_eq!(scene.told_once("green apples").matches("apples").count(), 1);
    assert_eq!(scene.told_once("bananas").matches("bananas").count(), 1);
    assert!(
        !scene
            .slack
            .posts()
            .iter()
            .any(|it| it.visible().contains("nonsense"))
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_it_is_with_the_model_an_edit_or_deletion_changes_nothing() {
    let scene = Setting::of("thread").start().await;
    let (root, hold) = scene.occupy("busy").await;
    let edit = scene.slack.mention("changed");
    scene.slack.edit_message(&scene.ops, &root, &edit);
    scene.slack.all_acknowledged().await;
    hold.release();
    scene.said("echo: @coding-agent busy").await;
    let (second, hold) = scene.occupy("ongoing").await;
    scene.slack.delete_message(&scene.ops, &second);
    scene.slack.all_acknowledged().await;
    hold.release();
    scene.said("echo: @coding-agent ongoing").await;
    // Long afterwards, too.
    let edit = scene.slack.mention("changed again");
    scene.slack.edit_message(&scene.ops, &root, &edit);
    scene.slack.all_acknowledged().await;
    let end = scene.slack.ask(&scene.mei, &scene.ops, "the end");
    scene.slack.all_answered(&[end]).await;
    assert_eq!(scene.told("changed"), Vec::<String>::new());
    assert_eq!(scene.slack.count_posts(), 3);
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mention_that_is_added_by_an_edit_is_not_heard() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let ts = slack.say(mei, ops, "has nobody to talk to");
    slack.edit_message(ops, &ts, &slack.mention("talks to the bot"));
    slack.all_acknowledged().await;
    let end = slack.ask(mei, ops, "the end");
    slack.all_answered(&[end]).await;
    assert_eq!(scene.told("talks to the bot"), Vec::<String>::new());
    scene.finish().await;
}
