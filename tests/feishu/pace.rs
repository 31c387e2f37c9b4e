//! The channel under Feishu's real limits, and under limits that come out of nowhere.

use std::time::Duration;

use tieline_channel::{
    Channel as _, ChatId, Conversation, Post, PostKey, PostKind, SendError, ThreadKey,
};

use super::running::Running;
use crate::support::feishu::{Fault, Options};

fn post(number: usize, to: &Conversation) -> Post {
    Post {
        key: PostKey::new(format!("pace-{number}")),
        to: to.clone(),
        reply_to: None,
        settles: Vec::new(),
        kind: PostKind::Answer,
        text: format!("answer {number}"),
        buttons: Vec::new(),
        file: None,
    }
}

/// Posts as an outbox does: it waits when it is told to, and repeats what is unclear.
async fn deliver(running: &Running, post: &Post) {
    loop {
        match running.channel.post(post).await {
            Ok(_) => return,
            Err(SendError::Again { after, .. }) => {
                tokio::time::sleep(after.unwrap_or(Duration::from_secs(1))).await;
            }
            Err(SendError::Unclear { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn place(running: &Running) -> Conversation {
    let feishu = &running.feishu;
    let mei = feishu.person("Mei");
    let ops = feishu.topic_group("ops");
    let root = feishu.write(&mei, &ops).text("root").unheard().send();
    Conversation {
        chat: ChatId::new(ops),
        thread: Some(ThreadKey::new(feishu.topic_of(&root))),
    }
}

async fn deliver_all(running: &Running, n: usize) {
    let to = place(running).await;
    let posts: Vec<_> = (0..n).map(|number| post(number, &to)).collect();
    for post in &posts {
        deliver(running, post).await;
    }
    let seen: Vec<_> = running
        .feishu
        .posts()
        .into_iter()
        .map(|it| it.text)
        .collect();
    let expected: Vec<_> = posts.iter().map(|post| post.text.clone()).collect();
    assert_eq!(seen, expected);
}

fn posting(running: &Running) -> usize {
    let feishu = &running.feishu;
    feishu.count_calls("messages.create") + feishu.count_calls("messages.reply")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_keep_to_the_real_limits_without_being_told() {
    let running = Running::start(Options::default().with_real_rates()).await;
    deliver_all(&running, 12).await;
    // Not one call was refused.
    assert_eq!(posting(&running), 12);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failures_ends_with_each_post_there_once() {
    let mut options = Options::default();
    options.timing.sending = Duration::from_millis(300);
    let running = Running::start(options).await;
    let faults = [
        Fault::RateLimited(1),
        Fault::AnswerLost,
        Fault::Broken(503),
        Fault::DoneButBroken(502),
        Fault::Dropped,
        Fault::Error(1_663),
        Fault::RateLimited(1),
        Fault::Error(230_020),
        Fault::Error(99_991_663),
    ];
    let mut next = faults.into_iter();
    running.feishu.fail_where(9, move |call| {
        matches!(call.method, "messages.create" | "messages.reply")
            .then(|| next.next())
            .flatten()
    });
    deliver_all(&running, 4).await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_in_between_is_renewed_once() {
    let running = Running::start(Options::default()).await;
    deliver_all(&running, 1).await;
    let before = running.feishu.count_calls("token");
    running.feishu.expire_tokens();
    let to = place(&running).await;
    let posts: Vec<_> = (10..18).map(|number| post(number, &to)).collect();
    let all = posts.iter().map(|post| deliver(&running, post));
    futures_util::future::join_all(all).await;
    assert_eq!(running.feishu.count_calls("token"), before + 1);
    assert_eq!(running.feishu.count_posts(), 9);
    running.finish().await;
}
