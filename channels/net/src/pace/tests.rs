use std::pin::pin;

use pretty_assertions::assert_eq;
use tokio::time::timeout;

use super::*;

const CALLS: Budget = Budget::per_minute(60, 6);
const PER_CHAT: Budget = Budget::per_minute(120, 1);

fn pace() -> Pace<&'static str> {
    Pace::new(|call| (call != "free").then_some(CALLS), PER_CHAT)
}

async fn admit(pace: &Pace<&'static str>, chat: &str) -> Result<(), Limited> {
    pace.admit("post", Urgency::Answer, Some(chat)).await
}

#[tokio::test(start_paused = true)]
async fn kinds_of_calls_do_not_wait_for_each_other() {
    let pace = pace();
    for call in ["a", "b"] {
        let now = Instant::now();
        for _ in 0..CALLS.burst {
            assert_eq!(pace.admit(call, Urgency::Answer, None).await, Ok(()));
        }
        assert_eq!(Instant::now(), now, "{call}");
    }
    let now = Instant::now();
    assert_eq!(pace.admit("a", Urgency::Answer, None).await, Ok(()));
    assert_eq!(Instant::now() - now, CALLS.interval);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_budget_is_held_back_only_when_it_was_limited() {
    let pace = pace();
    for _ in 0..1_000 {
        assert_eq!(pace.admit("free", Urgency::Low, None).await, Ok(()));
    }
    let after = Duration::from_secs(9);
    pace.limited("free", None, after);
    let outcome = pace.admit("free", Urgency::Answer, None).await;
    assert_eq!(outcome, Err(Limited { after }));
    tokio::time::sleep(after).await;
    assert_eq!(pace.admit("free", Urgency::Low, None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_chat_that_wants_to_be_left_alone_stops_no_other() {
    let pace = pace();
    let after = Duration::from_secs(30);
    pace.limited_in("one", after);
    assert_eq!(admit(&pace, "one").await, Err(Limited { after }));
    let now = Instant::now();
    assert_eq!(admit(&pace, "other").await, Ok(()));
    assert_eq!(Instant::now(), now);
    tokio::time::sleep(after).await;
    assert_eq!(admit(&pace, "one").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_not_used_is_given_back() {
    let pace = pace();
    assert_eq!(admit(&pace, "one").await, Ok(()));
    for _ in 0..100 {
        let waiting = pin!(admit(&pace, "one"));
        assert!(timeout(Duration::ZERO, waiting).await.is_err());
    }
    let now = Instant::now();
    assert_eq!(admit(&pace, "one").await, Ok(()));
    assert_eq!(Instant::now() - now, PER_CHAT.interval);
}

#[tokio::test(start_paused = true)]
async fn idle_chats_are_forgotten() {
    let pace = pace();
    for number in 0..20 * MANY_CHATS {
        while let Err(Limited { after }) = admit(&pace, &format!("C{number}")).await {
            tokio::time::sleep(after).await;
        }
    }
    let n_chats = pace.books().chats.buckets.len();
    assert!(n_chats <= MANY_CHATS, "{n_chats}");
}
