//! Calls that fail in every way, also after they have done what they were for.

use std::time::Duration;

use crate::support::crowd::Crowd;
use crate::support::mock::{Fault, Hangup, Mock};
use crate::support::service::Service;

/// Asks in rounds; after each, `trouble` does something to the service. Calls fail as the crowd's
/// service was told.
pub(crate) async fn a_storm_loses_nothing_and_repeats_nothing<S: Service>(
    mut crowd: Crowd<S>,
    threads: usize,
    rounds: &[fn(&Mock<S>)],
) {
    let places = crowd.open_all(threads, 2);
    for trouble in rounds {
        crowd.ask_all(&places);
        trouble(&crowd.service);
        tokio::time::sleep(Duration::from_millis(500)).await; // spread, that is all
    }
    crowd.answered().await;
    crowd.service.heal();
    crowd.finish().await;
}

/// Kills the daemon while it does not know what became of its post.
pub(crate) async fn killed_before_the_answer_of_a_post_it_does_not_say_it_twice<S: Service>(
    options: S::Options,
    fault: Fault<S::Error>,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    crowd.service.fail(S::ANSWERS, 1, fault);
    crowd.open();
    crowd
        .service
        .until("the post", |service| {
            (service.count_calls(S::ANSWERS) == 1).then_some(())
        })
        .await;
    crowd.kill_daemon().await;
    crowd.world.start();
    crowd.answered().await;
    crowd.finish().await;
}

pub(crate) async fn calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up<
    S: Service,
>(
    options: S::Options,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let is_needed = |method: &str| S::NEEDED.contains(&method);
    crowd
        .service
        .fail_always(move |call| (!is_needed(call.method)).then_some(Fault::Silence));
    crowd.open_all(5, 5);
    crowd.answered().await;
    crowd.service.all_acknowledged().await;
    crowd.assert_prompt();
    crowd.finish().await;
}

pub(crate) async fn what_is_asked_in_an_outage_is_answered_after_it<S: Service>(
    options: S::Options,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let thread = crowd.open();
    crowd.answered().await;
    crowd.service.fail_always(|_| Some(Fault::Broken(503)));
    // Accepted, but there is no way to answer.
    crowd.ask(&thread);
    crowd.service.all_acknowledged().await;
    crowd.service.hang_up(Hangup::Drop);
    crowd.ask(&thread);
    crowd.open();
    let calls = crowd.service.count_calls(S::OPENS);
    crowd
        .service
        .until("attempts to connect", |service| {
            (service.count_calls(S::OPENS) > calls + 2).then_some(())
        })
        .await;
    crowd.service.heal();
    crowd.answered().await;
    crowd.marked().await;
    crowd.finish().await;
}
