//! Commands in Slack.

use crate::chats::commands;
use crate::support::slack::{Options, Slack};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_is_answered() {
    let told = commands::every_command_is_answered::<Slack>(Options::default()).await;
    insta::assert_snapshot!("commands", told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_carried_out_once_although_the_daemon_is_killed() {
    commands::orders_are_carried_out_once_although_the_daemon_is_killed::<Slack>(Options::default())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shared_is_stopped_by_those_it_is_for() {
    commands::what_is_shared_is_stopped_by_those_it_is_for::<Slack>(Options::default()).await;
}
