//! The connection: made again when it is lost, ended when it is told to.

use super::bench::{Bench, within};
use super::{Check, Need, check};
use crate::{Link, SendError};

pub(super) const CHECKS: &[Check] = &[
    check!(
        a_lost_connection_is_made_again_and_health_says_so,
        Need::Disconnection
    ),
    check!(
        nothing_is_claimed_to_be_sent_without_a_connection,
        Need::Disconnection
    ),
    check!(what_comes_in_is_a_sign_of_life),
    check!(the_end_is_prompt),
    check!(the_end_is_prompt_while_the_intake_is_slow),
    check!(the_end_is_prompt_without_a_connection, Need::Disconnection),
];

async fn a_lost_connection_is_made_again_and_health_says_so(bench: &Bench) {
    for round in 0..3 {
        let up = bench.link_becomes(Link::Up).await;
        within("disconnecting", bench.harness.disconnect()).await;
        let down = bench.link_becomes(Link::Down).await;
        assert!(down.last_error.is_some(), "down, and no word on why");
        assert!(down.since >= up.since);
        within("connecting", bench.harness.connect()).await;
        bench.link_becomes(Link::Up).await;
        let delivery = bench.deliver("still there?").await;
        bench.taken(round + 1).await;
        bench.acknowledged(delivery).await;
    }
}

async fn nothing_is_claimed_to_be_sent_without_a_connection(bench: &Bench) {
    within("disconnecting", bench.harness.disconnect()).await;
    bench.link_becomes(Link::Down).await;
    let post = bench.post("down-1", "anybody?");
    match bench.send(&post).await {
        // Sending may have a way of its own.
        Ok(_) => assert_eq!(bench.seen().await, ["anybody?"]),
        Err(SendError::Again { .. }) => assert!(bench.seen().await.is_empty()),
        Err(SendError::Unclear { .. }) => {}
        Err(error @ (SendError::Never { .. } | SendError::Operator { .. })) => {
            panic!("a lost connection is no reason to give up: {error}");
        }
    }
}

async fn what_comes_in_is_a_sign_of_life(bench: &Bench) {
    let before = bench.channel.health().borrow().heard_at;
    let mut health = bench.channel.health();
    bench.deliver("hello").await;
    bench.taken(1).await;
    let heard = health.wait_for(|health| health.heard_at > before);
    let is_heard = within("waiting for a sign of life", heard).await.is_ok();
    assert!(is_heard, "the channel dropped its health");
}

async fn the_end_is_prompt(bench: &Bench) {
    bench.stop().await;
}

async fn the_end_is_prompt_while_the_intake_is_slow(bench: &Bench) {
    bench.intake.hold_all();
    bench.deliver("hello").await;
    bench.called(1).await;
    bench.stop().await;
}

async fn the_end_is_prompt_without_a_connection(bench: &Bench) {
    within("disconnecting", bench.harness.disconnect()).await;
    bench.link_becomes(Link::Down).await;
    bench.stop().await;
}
