//! What comes in: acknowledged when it is on disk, in order, once.

use super::bench::{Bench, NASTY, message, texts, within};
use super::{Check, Need, check};
use crate::{EventKind, Link, SenderKind};

pub(super) const CHECKS: &[Check] = &[
    check!(a_message_says_who_wrote_it_and_where),
    check!(a_message_reads_as_it_was_written),
    check!(nothing_is_acknowledged_before_it_is_accepted),
    check!(
        what_was_not_accepted_is_not_acknowledged_and_comes_again,
        Need::Redelivery
    ),
    check!(a_second_delivery_has_the_same_key, Need::Redelivery),
    check!(
        deliveries_of_one_message_at_the_same_time_are_taken_once,
        Need::Redelivery
    ),
    check!(two_messages_have_two_keys),
    check!(a_conversation_keeps_its_order),
    check!(
        a_conversation_keeps_its_order_over_a_lost_connection,
        Need::Disconnection
    ),
    check!(a_conversation_does_not_wait_for_another),
    check!(our_own_posts_are_not_reported),
];

async fn a_message_says_who_wrote_it_and_where(bench: &Bench) {
    for number in 0..2 {
        let at = bench.harness.conversation(number);
        let from = bench.harness.person(number);
        bench.deliver_to(&at, &from, "hello").await;
        let events = bench.taken(number + 1).await;
        let event = &events[number];
        let message = message(event);
        assert_eq!(event.key.kind, EventKind::Message);
        assert_eq!(message.conversation, at);
        assert_eq!(message.sender.id, from);
        assert_eq!(message.sender.kind, SenderKind::Person);
    }
}

async fn a_message_reads_as_it_was_written(bench: &Bench) {
    let texts: Vec<_> = NASTY
        .iter()
        .filter_map(|text| Some((text, bench.harness.carried(text)?)))
        .collect();
    for (number, (text, expected)) in texts.iter().enumerate() {
        bench.deliver(text).await;
        let events = bench.taken(number + 1).await;
        assert_eq!(&message(&events[number]).plain_text(), expected);
    }
}

async fn nothing_is_acknowledged_before_it_is_accepted(bench: &Bench) {
    bench.intake.hold_all();
    let delivery = bench.deliver("hello").await;
    bench.called(1).await;
    bench.not_acknowledged(delivery).await;
    bench.intake.release();
    bench.acknowledged(delivery).await;
}

async fn what_was_not_accepted_is_not_acknowledged_and_comes_again(bench: &Bench) {
    bench.intake.reject_next(1);
    let delivery = bench.deliver("hello").await;
    let calls = bench.called(1).await;
    bench.not_acknowledged(delivery).await;
    assert!(bench.intake.taken().is_empty());
    bench.harness.redeliver(delivery).await;
    let taken = bench.taken(1).await;
    assert_eq!(taken[0].key, calls[0].key);
    bench.acknowledged(delivery).await;
}

async fn a_second_delivery_has_the_same_key(bench: &Bench) {
    let delivery = bench.deliver("hello").await;
    bench.acknowledged(delivery).await;
    bench.harness.redeliver(delivery).await;
    let calls = bench.called(2).await;
    assert_eq!(calls[0].key, calls[1].key);
    assert_eq!(message(&calls[0]).id, message(&calls[1]).id);
    bench.acknowledged(delivery).await;
}

async fn deliveries_of_one_message_at_the_same_time_are_taken_once(bench: &Bench) {
    bench.intake.hold_all();
    let delivery = bench.deliver("hello").await;
    bench.called(1).await;
    for _ in 0..3 {
        bench.harness.redeliver(delivery).await;
    }
    bench.intake.release();
    bench.acknowledged(delivery).await;
    // What comes after it has the duplicates behind it.
    let last = bench.deliver("the last").await;
    bench.acknowledged(last).await;
    assert_eq!(texts(&bench.intake.taken()), ["hello", "the last"]);
}

async fn two_messages_have_two_keys(bench: &Bench) {
    bench.deliver("hello").await;
    bench.deliver("hello").await;
    let (at, from) = (bench.harness.conversation(1), bench.harness.person(0));
    bench.deliver_to(&at, &from, "hello").await;
    bench.taken(3).await; // the intake takes each key once
}

async fn a_conversation_keeps_its_order(bench: &Bench) {
    const N: usize = 100;
    bench.intake.hold_all();
    for number in 0..N {
        bench.deliver(&number.to_string()).await;
    }
    bench.called(1).await;
    bench.intake.release();
    let texts = texts(&bench.taken(N).await);
    let expected: Vec<_> = (0..N).map(|number| number.to_string()).collect();
    assert_eq!(texts, expected);
}

async fn a_conversation_keeps_its_order_over_a_lost_connection(bench: &Bench) {
    const N: usize = 10;
    let number = |number: usize| number.to_string();
    for text in (0..N).map(number) {
        bench.deliver(&text).await;
    }
    bench.taken(N).await;
    within("disconnecting", bench.harness.disconnect()).await;
    bench.link_becomes(Link::Down).await;
    within("connecting", bench.harness.connect()).await;
    bench.link_becomes(Link::Up).await;
    for text in (N..2 * N).map(number) {
        bench.deliver(&text).await;
    }
    let expected: Vec<_> = (0..2 * N).map(number).collect();
    assert_eq!(texts(&bench.taken(2 * N).await), expected);
}

async fn a_conversation_does_not_wait_for_another(bench: &Bench) {
    let (held, free) = (bench.harness.conversation(0), bench.harness.conversation(1));
    let from = bench.harness.person(0);
    bench.intake.hold(&held.chat);
    let first = bench.deliver_to(&held, &from, "held").await;
    bench.called(1).await;
    let second = bench.deliver_to(&free, &from, "free").await;
    assert_eq!(texts(&bench.taken(1).await), ["free"]);
    bench.acknowledged(second).await;
    bench.not_acknowledged(first).await;
    bench.intake.release();
    bench.acknowledged(first).await;
}

async fn our_own_posts_are_not_reported(bench: &Bench) {
    let posted = bench.send(&bench.post("own-1", "this is ours")).await;
    assert!(posted.is_ok(), "{posted:?}");
    bench.deliver("this is not").await;
    bench.taken(1).await;
    bench.harness.settle().await;
    assert_eq!(texts(&bench.intake.calls()), ["this is not"]);
}
