//! A platform that counts, tells late or tells nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Tells the double of everything below 1,000, and counts how often it was asked.
async fn double(asked: &AtomicUsize, number: usize) -> Result<usize, NoAnswer> {
    asked.fetch_add(1, Ordering::SeqCst);
    if number < 1_000 {
        Ok(2 * number)
    } else {
        Err(NoAnswer::Absent)
    }
}

/// Does something while lookups are made, and returns how many were.
async fn asked_while(lookups: &Lookups<usize, usize>, action: impl Future<Output = ()>) -> usize {
    let asked = AtomicUsize::new(0);
    let stop = CancellationToken::new();
    tokio::join!(
        async {
            action.await;
            stop.cancel();
        },
        lookups.run(|number| double(&asked, number), stop.clone())
    );
    asked.into_inner()
}

#[tokio::test]
async fn an_answer_is_asked_for_once_and_remembered() {
    let lookups = Lookups::new();
    let asked = asked_while(&lookups, async {
        futures_util::future::join_all((0..20).map(|_| lookups.learn(1))).await;
        lookups.settled().await;
        assert_eq!(lookups.known(&1), Some(2));
        assert!(!lookups.learn(1).await);
    })
    .await;
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn what_is_not_told_is_not_asked_again() {
    let lookups = Lookups::new();
    let asked = asked_while(&lookups, async {
        lookups.want(&1_000);
        lookups.settled().await;
        lookups.learn(1_000).await;
        assert_eq!(lookups.known(&1_000), None);
    })
    .await;
    assert_eq!(asked, 1);
}

#[tokio::test(start_paused = true)]
async fn without_lookups_nobody_waits_for_long_and_only_once() {
    let lookups = Lookups::new();
    let started = Instant::now();
    for number in 0..100 {
        assert!(!lookups.learn(number).await);
    }
    let waited = started.elapsed();
    assert!(waited >= PATIENCE && waited < 2 * PATIENCE, "{waited:?}");
    // What was asked for meanwhile is looked up all the same.
    let asked = asked_while(&lookups, lookups.settled()).await;
    assert_eq!((asked, lookups.known(&99)), (100, Some(198)));
}

#[tokio::test]
async fn the_queue_and_the_memory_are_bounded() {
    let lookups = Lookups::new();
    for number in 0..2 * MAX_WANTED {
        lookups.want(&number);
    }
    assert_eq!(lookups.state().queue.len(), MAX_WANTED);
    assert_eq!(lookups.state().pending.len(), MAX_WANTED);
    for number in 0..2 * MAX_KNOWN {
        lookups.heard(number, number);
    }
    let known = lookups.state().known.len();
    assert!(known <= MAX_KNOWN && known > 0, "{known}");
}

#[tokio::test]
async fn after_the_end_it_can_look_up_again() {
    let lookups = Lookups::new();
    let stop = CancellationToken::new();
    stop.cancel();
    lookups.want(&1);
    // Nothing is answered any more, whichever is noticed first.
    lookups
        .run(async |_| std::future::pending().await, stop)
        .await;
    assert!(lookups.state().pending.is_empty());
    asked_while(&lookups, async {
        lookups.want(&1);
        lookups.settled().await;
    })
    .await;
    assert_eq!(lookups.known(&1), Some(2));
}

#[tokio::test]
async fn an_old_answer_is_used_until_there_is_a_new_one() {
    let now = Instant::now();
    let mut state = State::new(now);
    assert_eq!(state.ask(&1, now), (Ask::Wait, true));
    assert_eq!(state.ask(&1, now), (Ask::Wait, false));
    state.settle(1, Some("Ann"), FRESH_FOR, now);
    assert_eq!(state.ask(&1, now), (Ask::Known, false));
    let later = now + FRESH_FOR;
    assert_eq!(state.ask(&1, later), (Ask::Known, true));
    // A failure leaves it as it is.
    state.settle(1, None, FAILED_FOR, later);
    assert_eq!(state.known[&1].found, Some("Ann"));
    assert_eq!(state.ask(&1, later), (Ask::Known, false));
}
