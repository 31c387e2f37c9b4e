//! Emoji that the model puts on the messages that it answers, beside the marks of those.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::crowd::{Crowd, marker};
use crate::support::mock::{Asked, Fault};
use crate::support::model;
use crate::support::service::Service;

/// What the model calls.
const REACT: model::Fault = model::Fault::Call("react", r#"{"emoji":"tada"}"#);

/// Counts the attempts to make the reaction, and lets them meet faults.
fn meddle<S: Service>(
    crowd: &Crowd<S>,
    mut fault: impl FnMut(usize) -> Option<Fault<S::Error>> + Send + 'static,
) -> Arc<AtomicUsize> {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    crowd.service.fail_always(move |call| {
        let is_ours = call.method == S::REACTS && S::emoji(call.args) == Some(S::TADA);
        is_ours.then(|| fault(counter.fetch_add(1, Ordering::SeqCst)))?
    });
    attempts
}

/// Asks what the model answers with a reaction and with words.
fn ask<S: Service>(crowd: &mut Crowd<S>) -> Asked {
    crowd.script.once(&marker(crowd.asked.len()), REACT);
    crowd.open();
    crowd.asked.last().unwrap().clone()
}

/// Waits until a message shows that it is answered, and has these reactions besides, in any order.
async fn shows<S: Service>(crowd: &Crowd<S>, asked: &Asked, others: &[&str]) {
    let [done, _] = S::ENDS;
    let mut expected: Vec<_> = others.iter().chain([&done]).copied().collect();
    expected.sort_unstable();
    let what = format!("{expected:?} on {asked:?}");
    let shows = |state: &S| {
        let mut seen = state.reactions(asked);
        seen.sort_unstable();
        (seen == expected).then_some(())
    };
    crowd.service.wait_for(&what, shows).await;
}

pub(crate) async fn a_reaction_is_there_once_and_stays_whatever_its_call_came_to<S: Service>(
    options: S::Options,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    for (fault, tries) in [
        (None, 1),
        (Some(Fault::AnswerLost), 2),
        (Some(Fault::DoneButBroken(502)), 2),
        (Some(Fault::Broken(503)), 2),
        (Some(Fault::Dropped), 2),
        (Some(Fault::RateLimited(1)), 2),
    ] {
        let first = fault.clone();
        let attempts = meddle(&crowd, move |attempt| {
            first.clone().filter(|_| attempt == 0)
        });
        let asked = ask(&mut crowd);
        crowd.answered().await;
        shows(&crowd, &asked, &[S::TADA]).await;
        assert_eq!(attempts.load(Ordering::SeqCst), tries, "{fault:?}");
        crowd.service.heal();
    }
    let answers = crowd.asked.len();
    let only = |state: &S| (state.count_posts() == answers).then_some(());
    crowd.service.wait_for("the answers alone", only).await;
    crowd.finish().await;
}

pub(crate) async fn a_killed_daemon_leaves_a_reaction_to_the_next_one<S: Service>(
    options: S::Options,
    fault: Fault<S::Error>,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let attempts = meddle(&crowd, move |attempt| {
        Some(fault.clone()).filter(|_| attempt == 0)
    });
    let asked = ask(&mut crowd);
    let tried = |_: &S| (attempts.load(Ordering::SeqCst) == 1).then_some(());
    crowd.service.wait_for("an attempt", tried).await;
    crowd.kill_daemon().await;
    crowd.world.start();
    crowd.answered().await;
    let reactions = |state: &S| {
        let mut reactions = state.reactions(&asked);
        reactions.retain(|it| it == S::TADA);
        (reactions.len() == 1).then_some(())
    };
    crowd.service.wait_for("one reaction", reactions).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
    crowd.finish().await;
}

pub(crate) async fn a_reaction_that_is_not_permitted_holds_nothing_up_and_nobody_hears_of_it<
    S: Service,
>(
    options: S::Options,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let attempts = meddle(&crowd, |_| Some(Fault::Error(S::NOT_PERMITTED)));
    let asked = ask(&mut crowd);
    crowd.answered().await;
    shows(&crowd, &asked, &[]).await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    let given_up = crowd.world.logged("a reaction cannot be made");
    assert_eq!(given_up.len(), 1, "{}", crowd.world.log());
    let only = |state: &S| (state.count_posts() == 1).then_some(());
    crowd.service.wait_for("the answer alone", only).await;
    crowd.finish().await;
}
