//! The channel under Slack's real limits, and under limits that come out of nowhere.

use crate::chats::pace::{self, deliver_all};
use crate::support::running::Running;
use crate::support::slack::{Options, Slack};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_keep_to_the_real_limits_without_being_told() {
    let running = Running::<Slack>::start(Options::default().with_real_rates()).await;
    deliver_all(&running, 8).await;
    // Not one call was refused.
    assert_eq!(running.service.count_calls("chat.postMessage"), 8);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failures_ends_with_each_post_there_once() {
    let options = Options::default();
    pace::a_storm_of_failures_ends_with_each_post_there_once::<Slack>(options, &["internal_error"])
        .await;
}
