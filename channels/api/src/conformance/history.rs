//! Reading back: what the connection did not bring, and what was said before.

use std::time::{Duration, SystemTime};

use super::bench::{Bench, message, texts, within};
use super::{Check, Need, check};
use crate::{CaughtUp, Conversation, SendError, SenderKind};

pub(super) const CHECKS: &[Check] = &[
    check!(what_was_missed_is_handed_in, Need::History, Need::Misses),
    check!(
        what_came_by_the_connection_is_not_news,
        Need::History,
        Need::Misses
    ),
    check!(
        what_was_missed_and_comes_late_is_not_news,
        Need::History,
        Need::Misses,
        Need::Redelivery
    ),
    check!(what_was_missed_keeps_its_order, Need::History, Need::Misses),
    check!(our_own_posts_were_not_missed, Need::History),
    check!(
        reading_back_fails_when_what_it_finds_is_not_recorded,
        Need::History,
        Need::Misses
    ),
    check!(
        what_a_thread_said_before_is_told_in_order,
        Need::History,
        Need::Misses
    ),
];

async fn what_was_missed_is_handed_in(bench: &Bench) {
    let (at, from) = (bench.harness.conversation(0), bench.harness.person(0));
    bench
        .harness
        .write_unheard(&at, &from, "did you get that?")
        .await;
    let caught_up = catch_up(bench).await;
    assert_eq!(texts(&bench.intake.taken()), ["did you get that?"]);
    let taken = &bench.intake.taken()[0];
    let message = message(taken);
    assert_eq!(message.conversation, at);
    assert_eq!(message.sender.id, from);
    assert_eq!(caught_up.missed, 1);
    assert_eq!(caught_up.oldest_missed, Some(message.sent_at));
    assert_eq!(caught_up.unreadable, Vec::<String>::new());
    // And it is safe to repeat.
    assert_eq!(catch_up(bench).await.missed, 0);
    assert_eq!(bench.intake.taken().len(), 1);
}

async fn what_came_by_the_connection_is_not_news(bench: &Bench) {
    bench.deliver("one").await;
    bench.deliver("two").await;
    let by_connection = bench.taken(2).await;
    let caught_up = catch_up(bench).await;
    assert_eq!((caught_up.missed, caught_up.oldest_missed), (0, None));
    let read_back = bench.intake.calls().split_off(2);
    // Whatever was handed in again is the same to the last word.
    for event in read_back {
        let same = by_connection.iter().find(|it| it.key == event.key);
        let same = same.unwrap_or_else(|| panic!("under another key: {event:?}"));
        assert_eq!(message(same), message(&event));
    }
    assert_eq!(bench.intake.taken().len(), 2);
}

async fn what_was_missed_and_comes_late_is_not_news(bench: &Bench) {
    let (at, from) = (bench.harness.conversation(0), bench.harness.person(0));
    let delivery = bench.harness.write_unheard(&at, &from, "late").await;
    assert_eq!(catch_up(bench).await.missed, 1);
    bench.harness.redeliver(delivery).await;
    bench.acknowledged(delivery).await;
    assert_eq!(texts(&bench.intake.taken()), ["late"]);
}

async fn what_was_missed_keeps_its_order(bench: &Bench) {
    const N: usize = 30;
    let (at, from) = (bench.harness.conversation(0), bench.harness.person(0));
    let expected: Vec<_> = (0..N).map(|number| number.to_string()).collect();
    for text in &expected {
        bench.harness.write_unheard(&at, &from, text).await;
    }
    assert_eq!(catch_up(bench).await.missed, N as u64);
    assert_eq!(texts(&bench.intake.taken()), expected);
}

async fn our_own_posts_were_not_missed(bench: &Bench) {
    bench.sent(&bench.post("own-1", "this is ours")).await;
    assert_eq!(catch_up(bench).await, CaughtUp::default());
    assert!(bench.intake.calls().is_empty());
}

async fn reading_back_fails_when_what_it_finds_is_not_recorded(bench: &Bench) {
    let (at, from) = (bench.harness.conversation(0), bench.harness.person(0));
    bench.harness.write_unheard(&at, &from, "hello").await;
    bench.intake.reject_next(1);
    let failed = try_to_catch_up(bench).await;
    assert!(failed.is_err(), "{failed:?}");
    assert!(bench.intake.taken().is_empty());
    assert_eq!(catch_up(bench).await.missed, 1);
}

async fn what_a_thread_said_before_is_told_in_order(bench: &Bench) {
    let (at, from) = (bench.harness.conversation(0), bench.harness.person(0));
    for number in 0..6 {
        let text = format!("before {number}");
        bench.harness.write_unheard(&at, &from, &text).await;
    }
    bench.deliver("and now?").await;
    let events = bench.taken(1).await;
    let now = message(&events[0]);
    if !now.in_thread {
        return; // there is no such thing in this conversation
    }
    let said = within("asking", bench.channel.earlier(now, 100)).await;
    let said = said.unwrap_or_else(|error| panic!("{error}"));
    let texts: Vec<_> = said.iter().map(|said| said.text.as_str()).collect();
    let expected: Vec<_> = (0..6).map(|number| format!("before {number}")).collect();
    assert!(
        texts.ends_with(&expected.iter().map(String::as_str).collect::<Vec<_>>()),
        "{texts:?}"
    );
    assert!(
        said.iter()
            .all(|said| said.sender.kind == SenderKind::Person)
    );
    assert!(
        said.windows(2)
            .all(|pair| pair[0].sent_at < pair[1].sent_at)
    );
    // Of more, the first and the latest.
    let few = within("asking", bench.channel.earlier(now, 3)).await;
    let few = few.unwrap_or_else(|error| panic!("{error}"));
    let last = said.len() - 1;
    let expected = [&said[0], &said[last - 1], &said[last]];
    assert_eq!(few.iter().collect::<Vec<_>>(), expected);
}

async fn catch_up(bench: &Bench) -> CaughtUp {
    let caught_up = try_to_catch_up(bench).await;
    caught_up.unwrap_or_else(|error| panic!("{error}"))
}

async fn try_to_catch_up(bench: &Bench) -> Result<CaughtUp, SendError> {
    let since = SystemTime::now() - Duration::from_secs(60);
    let threads: Vec<Conversation> = (0..2).map(|it| bench.harness.conversation(it)).collect();
    let catch_up = bench.channel.catch_up(since, &threads, &*bench.intake);
    within("reading back", catch_up).await
}
