//! What was said while nobody listened.

use std::time::Duration;

use super::scene::Setting;
use crate::support::slack::Hangup;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_while_the_daemon_was_away_is_answered_once() {
    let mut scene = Setting::of("thread")
        .dispatcher("stale_after = \"2m\"")
        .set()
        .await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let direct = slack.direct(mei);
    let old = slack.write(mei, ops).text(&slack.mention("ancient"));
    old.ago(MINUTE).unheard().send();
    slack
        .write(mei, &direct)
        .text("ancient, too")
        .ago(MINUTE)
        .unheard()
        .send();
    scene.start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let known = slack.ask(mei, ops, "known");
    slack.all_answered(std::slice::from_ref(&known)).await;
    scene.has_read_back().await;
    scene.world.stop_daemon().await;

    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    slack.say_unheard(mei, ops, &slack.mention("by mention"));
    slack.say_unheard(mei, ops, "not for the bot");
    slack.say_unheard(mei, &direct, "directly");
    slack
        .write(mei, ops)
        .in_thread(&known.message)
        .text("in the thread")
        .unheard()
        .send();
    scene.start().await;
    for text in ["by mention", "directly", "in the thread"] {
        scene.said(text).await;
    }
    scene.has_read_back().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    let answer = scene.said("in the thread").await;
    assert_eq!(answer.thread_ts.as_deref(), Some(known.message.as_str()));
    assert_eq!(scene.lane_of("known"), scene.lane_of("in the thread"));
    let end = slack.ask(mei, ops, "the end");
    slack.all_answered(&[end]).await;
    assert_eq!(slack.count_posts(), 5, "{:#?}", slack.posts());
    for text in ["by mention", "directly", "in the thread"] {
        assert!(scene.told_once(text).contains(" age=\""));
    }
    assert_eq!(scene.told("ancient"), Vec::<String>::new());
    assert_eq!(scene.told("not for the bot"), Vec::<String>::new());
    let status = scene.tieline(&["status"]).await.stdout;
    assert!(
        status.contains("4 messages read back from the history"),
        "{status}"
    );
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_is_marked_as_stale() {
    let mut scene = Setting::of("thread")
        .dispatcher("stale_after = \"1s\"")
        .start()
        .await;
    scene.has_read_back().await;
    scene.world.stop_daemon().await;
    let (slack, mei) = (&scene.slack, &scene.mei);
    let direct = slack.direct(mei);
    slack.say_unheard(mei, &direct, "when I was young");
    // Time must pass, for what is older than the first start is not read at all.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    scene.start().await;
    scene.said("when I was young").await;
    let told = scene.told_once("when I was young");
    assert!(told.contains(" stale=\"true\""), "{told}");
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_while_the_connection_was_gone_is_answered_once() {
    let scene = Setting::of("thread").start().await;
    let (slack, mei, ops) = (&scene.slack, &scene.mei, &scene.ops);
    scene.has_read_back().await;
    let missed = slack.say_unheard(mei, ops, &slack.mention("unheard"));
    slack.hang_up(Hangup::Drop);
    let answer = scene.said("unheard").await;
    assert_eq!(answer.thread_ts, Some(missed.clone()));
    // The event comes after all.
    slack.announce_late(ops, &missed);
    slack.all_acknowledged().await;
    let end = slack.ask(mei, ops, "the end");
    slack.all_answered(&[end]).await;
    assert_eq!(slack.count_posts(), 2);
    scene.told_once("unheard");
    scene.finish().await;
}
