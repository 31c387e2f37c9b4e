//! The channel under Feishu's real limits, and under limits that come out of nowhere.

use std::time::Duration;

use crate::chats::pace::{self, deliver, deliver_all, post};
use crate::support::feishu::{Feishu, Options};
use crate::support::running::Running;
use crate::support::service::Service as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_keep_to_the_real_limits_without_being_told() {
    let running = Running::<Feishu>::start(Options::default().with_real_rates()).await;
    deliver_all(&running, 12).await;
    // Not one call was refused.
    assert_eq!(running.service.count_calls("messages.reply"), 12);
    assert_eq!(running.service.count_calls("messages.create"), 0);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failures_ends_with_each_post_there_once() {
    let mut options = Options::default();
    options.timing.sending = Duration::from_millis(300);
    let refusals = &[1_663, 230_020, 99_991_663];
    pace::a_storm_of_failures_ends_with_each_post_there_once::<Feishu>(options, refusals).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_expires_in_between_is_renewed_once() {
    let running = Running::<Feishu>::start(Options::default()).await;
    deliver_all(&running, 1).await;
    let before = running.service.count_calls("token");
    running.service.expire_tokens();
    let to = Feishu::thread(&running.service);
    let posts: Vec<_> = (10..18).map(|number| post(number, &to)).collect();
    let all = posts.iter().map(|post| deliver(&running, post));
    futures_util::future::join_all(all).await;
    assert_eq!(running.service.count_calls("token"), before + 1);
    assert_eq!(running.service.count_posts(), 9);
    running.finish().await;
}
