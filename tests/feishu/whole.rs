//! The whole: Feishu, the daemon, Codex.

use crate::support::daemon::{Choices, World};
use crate::support::feishu::{APP_SECRET, Hangup, MockFeishu, Options};
use crate::support::model::Echo;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_answered_in_its_place() {
    let feishu = MockFeishu::start(Options::default().hasty()).await;
    let mei = feishu.person("Mei");
    let ops = feishu.group("ops");
    let topics = feishu.topic_group("topics");
    let echo = Echo::new();
    let choices = Choices::standard().with_feishu(&feishu, "");
    let mut world = World::new(echo.start().await, &choices);
    world.start();
    world.ready(0).await;
    feishu.wait_for_connections(1).await;

    let mut asked = vec![
        feishu.ask(&mei, &ops, "at the top"),
        feishu.ask(&mei, &topics, "in a new topic"),
        feishu.ask_directly(&mei, "directly"),
    ];
    feishu.all_answered(&asked).await;
    let root = asked[1].message.clone();
    asked.push(feishu.ask_below(&mei, &topics, &root, "without a mention"));
    feishu.hang_up(Hangup::Drop);
    for number in 0..5 {
        asked.push(feishu.ask(&mei, &topics, &format!("while it reconnects, {number}")));
    }
    feishu.all_answered(&asked).await;
    feishu.tally(&asked).assert_exactly_once();
    // What was asked is what is answered to.
    let posts = feishu.posts();
    let first = posts.iter().find(|it| it.text.contains("at the top"));
    assert_eq!(first.unwrap().parent.as_ref(), Some(&asked[0].message));
    feishu
        .until("DONE", |feishu| {
            (feishu.reactions(&root) == ["DONE"]).then_some(())
        })
        .await;

    world.assert_keeps(&[APP_SECRET]);
    world.finish().await;
    feishu.finish();
}
