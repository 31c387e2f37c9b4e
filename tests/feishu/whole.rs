//! The whole: Feishu, the daemon, Codex.

use crate::support::crowd::{Crowd, Sessions};
use crate::support::feishu::{Feishu, Hangup, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_answered_in_its_place() {
    let options = Options::default().hasty();
    let mut crowd = Crowd::<Feishu>::start_with(options, Sessions::Chat).await;
    let feishu = &crowd.service;
    let mei = feishu.person("Mei");
    let ops = feishu.group("ops");
    let topics = feishu.topic_group("topics");

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
    // What was asked is what is answered to.
    let posts = feishu.posts();
    let first = posts.iter().find(|it| it.text.contains("at the top"));
    assert_eq!(first.unwrap().parent.as_ref(), Some(&asked[0].message));
    feishu.all_marked(&asked).await;
    crowd.asked = asked;
    crowd.finish().await;
}
