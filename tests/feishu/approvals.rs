//! What people decide by buttons in Feishu.

use crate::chats::approvals;
use crate::support::feishu::{Feishu, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_decision_of_somebody_who_may_counts() {
    let options = Options::default().hasty();
    approvals::the_first_decision_of_somebody_who_may_counts::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_are_decided_in_any_order_and_what_is_accepted_for_the_session_is_not_asked_again()
{
    let options = Options::default().hasty();
    approvals::several_are_decided_in_any_order_and_what_is_accepted_for_the_session_is_not_asked_again::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pressed_too_late_changes_nothing_and_the_post_shows_it_in_the_end() {
    let options = Options::default().hasty();
    approvals::what_is_pressed_too_late_changes_nothing_and_the_post_shows_it_in_the_end::<Feishu>(
        options,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_post_cannot_be_changed_another_one_says_it() {
    let options = Options::default().hasty();
    approvals::where_a_post_cannot_be_changed_another_one_says_it::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_declines_what_was_open() {
    let options = Options::default().hasty();
    approvals::a_killed_daemon_declines_what_was_open::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_the_decision_and_codex_it_runs_nothing_twice() {
    let options = Options::default().hasty();
    approvals::killed_between_the_decision_and_codex_it_runs_nothing_twice::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_does_not_take_is_not_decided() {
    let options = Options::default().hasty();
    approvals::what_the_disk_does_not_take_is_not_decided::<Feishu>(options).await;
}
