//! The connection: made again when it is lost, ended when it is told to.

use std::time::Duration;

use tokio::time;

use super::bench::{Bench, texts, within};
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
    check!(a_connection_made_anew_loses_nothing),
    check!(a_connection_is_made_anew_when_asked, Need::Connections),
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

async fn a_connection_made_anew_loses_nothing(bench: &Bench) {
    const ROUNDS: usize = 3;
    const N: usize = 5;
    let mut deliveries = Vec::new();
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        bench.channel.reconnect("a check asks for it");
        for number in 0..N {
            let text = format!("round {round}, number {number}");
            deliveries.push(bench.deliver(&text).await);
            expected.push(text);
        }
    }
    // Two connections overlap, and the platform chooses; so order is not asked for.
    let mut texts = texts(&bench.taken(ROUNDS * N).await);
    texts.sort_unstable();
    assert_eq!(texts, expected);
    for delivery in deliveries {
        bench.acknowledged(delivery).await;
    }
    bench.link_becomes(Link::Up).await;
}

async fn a_connection_is_made_anew_when_asked(bench: &Bench) {
    let before = bench.harness.connections().await;
    bench.channel.reconnect("a check asks for it");
    within("a new connection", async {
        while bench.harness.connections().await <= before {
            time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    bench.link_becomes(Link::Up).await;
    let delivery = bench.deliver("hello").await;
    bench.acknowledged(delivery).await;
    assert_eq!(texts(&bench.intake.taken()), ["hello"]);
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
