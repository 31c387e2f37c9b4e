//! Work that people in Feishu ask for and teammates do.

use crate::chats::teammates;
use crate::support::crowd::Sessions;
use crate::support::feishu::{Feishu, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_comes_where_it_was_asked_for_when_all_is_there() {
    let with = |sessions| {
        let options = Options::default().hasty();
        teammates::one_answer_comes_where_it_was_asked_for_when_all_is_there::<Feishu>(
            options, sessions,
        )
    };
    tokio::join!(with(Sessions::Thread), with(Sessions::Shared));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_comes_although_the_daemon_is_killed_between_the_results() {
    let with = |sessions| {
        let options = Options::default().hasty();
        teammates::one_answer_comes_although_the_daemon_is_killed_between_the_results::<Feishu>(
            options, sessions,
        )
    };
    tokio::join!(with(Sessions::Thread), with(Sessions::Shared));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_comes_whatever_is_killed() {
    let options = Options::default().hasty();
    teammates::one_answer_comes_whatever_is_killed::<Feishu>(options, Sessions::Shared).await;
}
