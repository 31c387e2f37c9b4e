//! The whole: Slack, the daemon, Codex.

use crate::support::crowd::{Crowd, Sessions};
use crate::support::slack::{Options, Slack};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_answered_in_its_place() {
    let options = Options::default().hasty();
    let mut crowd = Crowd::<Slack>::start_with(options, Sessions::Chat).await;
    let slack = &crowd.service;
    let mei = slack.person("Mei");
    let ops = slack.public("ops");

    let mut asked = vec![
        slack.ask(&mei, &ops, "at the top"),
        slack.ask_directly(&mei, "directly"),
    ];
    slack.all_answered(&asked).await;
    let root = asked[0].message.clone();
    asked.push(slack.ask_below(&mei, &ops, &root, "without a mention"));
    slack.refresh();
    for number in 0..5 {
        // Each channel takes a post a second.
        let channel = slack.public(&format!("channel-{number}"));
        asked.push(slack.ask(&mei, &channel, &format!("while it refreshes, {number}")));
    }
    slack.all_answered(&asked).await;
    slack.all_marked(&asked[..1]).await;
    crowd.asked = asked;
    crowd.finish().await;
}
