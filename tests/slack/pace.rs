//! The channel under Slack's real limits, and under limits that come out of nowhere.

use std::time::Duration;

use tieline_channel::{
    Channel as _, ChatId, Conversation, Post, PostKey, PostKind, SendError, ThreadKey,
};

use super::running::Running;
use crate::support::slack::{Fault, Options};

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

/// Posts as an outbox does: it waits when it is told to, and looks when it is unclear.
async fn deliver(running: &Running, post: &Post) {
    loop {
        match running.channel.post(post).await {
            Ok(_) => return,
            Err(SendError::Again { after, .. }) => {
                tokio::time::sleep(after.unwrap_or(Duration::from_secs(1))).await;
            }
            Err(SendError::Unclear { .. }) => {
                let since = std::time::SystemTime::now() - Duration::from_secs(60);
                if let Ok(Some(_)) = running.channel.find(post, since).await {
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn place(running: &Running) -> Conversation {
    let mei = running.slack.person("Mei");
    let ops = running.slack.public("ops");
    let root = running
        .slack
        .write(&mei, &ops)
        .text("root")
        .unheard()
        .send();
    Conversation {
        chat: ChatId::new(ops),
        thread: Some(ThreadKey::new(root)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_keep_to_the_real_limits_without_being_told() {
    let running = Running::start(Options::default().with_real_rates()).await;
    let to = place(&running).await;
    let posts: Vec<_> = (0..8).map(|number| post(number, &to)).collect();
    for post in &posts {
        deliver(&running, post).await;
    }
    let seen: Vec<_> = running
        .slack
        .posts()
        .iter()
        .map(|post| post.visible())
        .collect();
    let expected: Vec<_> = posts.iter().map(|post| post.text.clone()).collect();
    assert_eq!(seen, expected);
    // Not one call was refused.
    assert_eq!(running.slack.count_calls("chat.postMessage"), posts.len());
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failures_ends_with_each_post_there_once() {
    let running = Running::start(Options::default()).await;
    let to = place(&running).await;
    let faults = [
        Fault::RateLimited(1),
        Fault::AnswerLost,
        Fault::Broken(503),
        Fault::DoneButBroken(502),
        Fault::Dropped,
        Fault::Error("internal_error"),
        Fault::RateLimited(1),
    ];
    let n = faults.len();
    let mut next = faults.into_iter();
    running.slack.fail_where(n, move |call| {
        (call.method == "chat.postMessage")
            .then(|| next.next())
            .flatten()
    });
    let posts: Vec<_> = (0..4).map(|number| post(number, &to)).collect();
    for post in &posts {
        deliver(&running, post).await;
    }
    let seen: Vec<_> = running
        .slack
        .posts()
        .iter()
        .map(|post| post.visible())
        .collect();
    let expected: Vec<_> = posts.iter().map(|post| post.text.clone()).collect();
    assert_eq!(seen, expected);
    running.finish().await;
}
