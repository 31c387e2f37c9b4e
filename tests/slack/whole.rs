//! The whole: Slack, the daemon, Codex.

use crate::support::daemon::{Choices, World};
use crate::support::model::Echo;
use crate::support::slack::{APP_TOKEN, BOT_TOKEN, MockSlack, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_answered_in_its_place() {
    let slack = MockSlack::start(Options::default().hasty()).await;
    let mei = slack.person("Mei");
    let ops = slack.public("ops");
    let echo = Echo::new();
    let choices = Choices::standard().with_slack(&slack, "");
    let mut world = World::new(echo.start().await, &choices);
    world.start();
    world.ready(0).await;
    slack.wait_for_connections(1).await;

    let mut asked = vec![
        slack.ask(&mei, &ops, "at the top"),
        slack.ask_directly(&mei, "directly"),
    ];
    slack.all_answered(&asked).await;
    let root = asked[0].message.clone();
    asked.push(slack.ask_below(&mei, &ops, &root, "without a mention"));
    slack.refresh();
    for number in 0..5 {
        asked.push(slack.ask(&mei, &ops, &format!("while it refreshes, {number}")));
    }
    slack.all_answered(&asked).await;
    slack.tally(&asked).assert_exactly_once();
    slack
        .until("✅", |slack| {
            let is_done = slack.reactions(&ops, &root) == ["white_check_mark"];
            is_done.then_some(())
        })
        .await;

    world.assert_keeps(&[APP_TOKEN, BOT_TOKEN]);
    world.finish().await;
    slack.finish();
}
