use std::pin::pin;
use std::sync::Mutex;

use pretty_assertions::assert_eq;
use tieline_net::pace::FURTHEST_PROMISE;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;

/// Makes `n` calls one after the other and returns when each was admitted, in milliseconds.
async fn admitted(pace: &Pace, method: Method, channel: Option<&str>, n: usize) -> Vec<u128> {
    let start = Instant::now();
    let mut times = Vec::new();
    for _ in 0..n {
        while let Err(CallError::Limited { after }) =
            pace.admit(method, Urgency::Answer, channel).await
        {
            tokio::time::sleep(after).await;
        }
        times.push(start.elapsed().as_millis());
    }
    times
}

async fn spend(pace: &Pace, method: Method, channel: Option<&str>, n: u32) {
    for _ in 0..n {
        let now = Instant::now();
        assert_eq!(pace.admit(method, Urgency::Answer, channel).await, Ok(()));
        assert_eq!(Instant::now(), now, "it is in the burst");
    }
}

fn limited(outcome: Result<(), CallError>) -> Duration {
    match outcome {
        Err(CallError::Limited { after }) => after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_takes_one_post_a_second_however_long_it_was_silent() {
    let pace = Pace::new();
    let times = admitted(&pace, Method::ChatPostMessage, Some("C1"), 4).await;
    assert_eq!(times, [0, 1_052, 2_104, 3_156]);
    tokio::time::sleep(Duration::from_secs(100)).await;
    let times = admitted(&pace, Method::ChatPostMessage, Some("C1"), 2).await;
    assert_eq!(times, [0, 1_052]);
}

#[tokio::test(start_paused = true)]
async fn no_minute_has_more_calls_than_its_tier_and_a_burst() {
    for (method, budget) in [
        (Method::ReactionsRemove, TIER_2),
        (Method::ConversationsReplies, TIER_3),
        (Method::UsersInfo, TIER_4),
    ] {
        let pace = Pace::new();
        let times = admitted(&pace, method, None, 300).await;
        let sustained = Duration::from_secs(60).as_millis() / budget.interval.as_millis();
        for from in &times {
            let in_minute = times
                .iter()
                .filter(|at| (*from..from + 60_000).contains(at));
            let most = sustained + u128::from(budget.burst);
            assert!(in_minute.count() as u128 <= most, "{method:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn channels_do_not_wait_for_each_other_but_share_the_workspace() {
    let pace = Pace::new();
    spend(
        &pace,
        Method::ChatPostMessage,
        Some("C1"),
        CHANNEL_POSTS.burst,
    )
    .await;
    spend(
        &pace,
        Method::ChatPostMessage,
        Some("C2"),
        CHANNEL_POSTS.burst,
    )
    .await;
    for number in 0..WORKSPACE_POSTS.burst - 2 * CHANNEL_POSTS.burst {
        spend(
            &pace,
            Method::ChatPostMessage,
            Some(&format!("D{number}")),
            1,
        )
        .await;
    }
    let times = admitted(&pace, Method::ChatPostMessage, Some("D-one-more"), 1).await;
    assert_eq!(times, [WORKSPACE_POSTS.interval.as_millis()]);
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_for_long_is_turned_away_at_once_and_put_off_one_by_one() {
    let pace = Pace::new();
    let mut waiting = JoinSet::new();
    let pace = std::sync::Arc::new(pace);
    for _ in 0..CHANNEL_POSTS.burst + 4 {
        let pace = std::sync::Arc::clone(&pace);
        waiting.spawn(async move {
            pace.admit(Method::ChatPostMessage, Urgency::Answer, Some("C1"))
                .await
        });
    }
    tokio::task::yield_now().await;
    let now = Instant::now();
    for place in [5, 6, 7] {
        let outcome = pace
            .admit(Method::ChatPostMessage, Urgency::Answer, Some("C1"))
            .await;
        assert_eq!(limited(outcome), CHANNEL_POSTS.interval * place);
    }
    assert_eq!(Instant::now(), now);
    while let Some(outcome) = waiting.join_next().await {
        assert_eq!(outcome.unwrap(), Ok(()));
    }
    assert_eq!(Instant::now() - now, CHANNEL_POSTS.interval * 4);
}

#[tokio::test(start_paused = true)]
async fn promises_do_not_reach_beyond_a_minute() {
    let pace = Pace::new();
    pace.limited(Method::ChatPostMessage, Some("C1"), Duration::from_secs(10));
    let mut furthest = Duration::ZERO;
    for _ in 0..1_000 {
        let outcome = pace
            .admit(Method::ChatPostMessage, Urgency::Answer, Some("C1"))
            .await;
        furthest = furthest.max(limited(outcome));
    }
    assert_eq!(furthest, FURTHEST_PROMISE);
}

#[tokio::test(start_paused = true)]
async fn retry_after_blocks_exactly_its_method_until_it_is_over() {
    let pace = Pace::new();
    let after = Duration::from_secs(30);
    pace.limited(Method::ChatPostMessage, Some("C1"), after);
    for channel in ["C1", "C2"] {
        let outcome = pace
            .admit(Method::ChatPostMessage, Urgency::Answer, Some(channel))
            .await;
        assert!(limited(outcome) >= after, "{channel}");
    }
    spend(&pace, Method::ChatUpdate, Some("C1"), 1).await;
    tokio::time::sleep(after - Duration::from_secs(3)).await;
    // The last three seconds are waited for; then at the workspace's steady pace, not in a burst.
    let mut waiting = JoinSet::new();
    let pace = std::sync::Arc::new(pace);
    let began = Instant::now();
    for number in 2..5 {
        let pace = std::sync::Arc::clone(&pace);
        waiting.spawn(async move {
            let channel = format!("C{number}");
            let admitted = pace
                .admit(Method::ChatPostMessage, Urgency::Answer, Some(&channel))
                .await;
            assert_eq!(admitted, Ok(()));
            (Instant::now() - began).as_millis()
        });
    }
    let mut times = waiting.join_all().await;
    times.sort_unstable();
    assert_eq!(times, [3_000, 3_050, 3_100]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_retry_after_does_not_end_a_longer_one() {
    let pace = Pace::new();
    pace.limited(Method::ChatUpdate, None, Duration::from_secs(60));
    pace.limited(Method::ChatUpdate, None, Duration::from_secs(1));
    let outcome = pace.admit(Method::ChatUpdate, Urgency::Answer, None).await;
    assert_eq!(limited(outcome), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_block_turns_away_also_who_waits_already() {
    let pace = Pace::new();
    spend(
        &pace,
        Method::ChatPostMessage,
        Some("C1"),
        CHANNEL_POSTS.burst,
    )
    .await;
    let mut waiting = pin!(pace.admit(Method::ChatPostMessage, Urgency::Answer, Some("C1")));
    assert!(timeout(Duration::ZERO, &mut waiting).await.is_err());
    pace.limited(Method::ChatPostMessage, Some("C1"), Duration::from_secs(30));
    assert!(limited(waiting.await) > Duration::from_secs(28));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_not_used_is_given_back() {
    let pace = Pace::new();
    spend(
        &pace,
        Method::ChatPostMessage,
        Some("C1"),
        CHANNEL_POSTS.burst,
    )
    .await;
    for _ in 0..100 {
        let waiting = pace.admit(Method::ChatPostMessage, Urgency::Answer, Some("C1"));
        assert!(timeout(Duration::ZERO, waiting).await.is_err());
    }
    let times = admitted(&pace, Method::ChatPostMessage, Some("C1"), 1).await;
    assert_eq!(times, [1_052]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_urgent_leaves_room_for_answers_and_does_not_wait() {
    let pace = Pace::new();
    let mut n_low = 0;
    while pace
        .admit(Method::ConversationsReplies, Urgency::Low, None)
        .await
        .is_ok()
    {
        n_low += 1;
    }
    assert_eq!(n_low, TIER_3.burst - TIER_3.burst / 2);
    let now = Instant::now();
    let outcome = pace
        .admit(Method::ConversationsReplies, Urgency::Low, None)
        .await;
    assert!(limited(outcome) > Duration::ZERO);
    // Ordinary calls queue as long as they may, and still an answer goes at once.
    let pace = std::sync::Arc::new(pace);
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let pace = std::sync::Arc::clone(&pace);
        waiting.spawn(async move {
            pace.admit(Method::ConversationsReplies, Urgency::Ordinary, None)
                .await
        });
    }
    tokio::task::yield_now().await;
    spend(&pace, Method::ConversationsReplies, None, 1).await;
    assert_eq!(Instant::now(), now);
    let outcomes = waiting.join_all().await;
    let n_ordinary = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!((2..12).contains(&n_ordinary), "{n_ordinary}");
}

#[tokio::test(start_paused = true)]
async fn calls_are_admitted_in_the_order_they_came() {
    let pace = std::sync::Arc::new(Pace::new());
    let order = std::sync::Arc::new(Mutex::new(Vec::new()));
    let mut waiting = JoinSet::new();
    for number in 0..5 {
        let (pace, order) = (pace.clone(), order.clone());
        waiting.spawn(async move {
            let admitted = pace
                .admit(Method::ChatPostMessage, Urgency::Answer, Some("C1"))
                .await;
            assert_eq!(admitted, Ok(()));
            order.lock().unwrap().push(number);
        });
    }
    waiting.join_all().await;
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn who_does_not_wait_is_admitted_while_time_passes() {
    let pace = Pace::new();
    for _ in 0..5 {
        let outcome = pace.admit(Method::ReactionsAdd, Urgency::Low, None).await;
        assert_eq!(outcome, Ok(()));
    }
}
