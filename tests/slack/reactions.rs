//! Emoji that the model puts on messages in Slack.

use crate::chats::reactions;
use crate::support::slack::{Fault, Options, Slack};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_is_there_once_and_stays_whatever_its_call_came_to() {
    let options = Options::default().hasty();
    reactions::a_reaction_is_there_once_and_stays_whatever_its_call_came_to::<Slack>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_leaves_a_reaction_to_the_next_one() {
    let killed = |fault| {
        let options = Options::default().hasty();
        reactions::a_killed_daemon_leaves_a_reaction_to_the_next_one::<Slack>(options, fault)
    };
    tokio::join!(killed(Fault::DoneInSilence), killed(Fault::Silence));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reaction_that_is_not_permitted_holds_nothing_up_and_nobody_hears_of_it() {
    let options = Options::default().hasty();
    reactions::a_reaction_that_is_not_permitted_holds_nothing_up_and_nobody_hears_of_it::<Slack>(
        options,
    )
    .await;
}
