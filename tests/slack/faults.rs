//! Breaking things between Slack, the daemon and Codex, and counting what became of each message:
//! answered once, in its own thread, in order.

use std::io::Write as _;
use std::time::Duration;

use crate::chats::{calls, connections, disk, events, kills, load};
use crate::support::crowd::Crowd;
use crate::support::random::{Random, seed};
use crate::support::slack::{Fault, Hangup, MentionOrder, Options, Slack};

/// One call in so many goes wrong in a storm.
const ONE_IN: u64 = 4;

/// What was written into a connection that broke, or not acknowledged, comes again soon.
fn impatient() -> Options {
    let mut options = Options::default().hasty();
    options.timing.ack = Duration::from_millis(500);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failing_calls_loses_nothing_and_repeats_nothing() {
    let seed = seed();
    writeln!(std::io::stderr(), "seed {seed}").unwrap();
    let crowd = Crowd::<Slack>::start(Options::default().hasty().with_real_rates()).await;
    let mut random = Random(seed);
    crowd.service.fail_always(move |_| {
        let faults = [
            Fault::RateLimited(1),
            Fault::Broken(503),
            Fault::DoneButBroken(502),
            Fault::Error("internal_error"),
            Fault::Error("service_unavailable"),
            Fault::AnswerLost,
            Fault::Dropped,
        ];
        let is_bad = random.below(ONE_IN) == 0;
        is_bad.then(|| faults[random.below(faults.len() as u64) as usize].clone())
    });
    calls::a_storm_loses_nothing_and_repeats_nothing(
        crowd,
        6,
        &[|_| {}, |slack| slack.hang_up(Hangup::Drop), |_| {}],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_answer_of_a_post_it_looks_before_it_repeats() {
    let killed = |fault| {
        let options = Options::default().hasty();
        calls::killed_before_the_answer_of_a_post_it_does_not_say_it_twice::<Slack>(options, fault)
    };
    tokio::join!(killed(Fault::DoneInSilence), killed(Fault::Silence));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up() {
    let options = Options::default().hasty();
    calls::calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up::<Slack>(options)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_in_an_outage_is_answered_after_it() {
    let options = Options::default().hasty();
    calls::what_is_asked_in_an_outage_is_answered_after_it::<Slack>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_not_acknowledged_and_answered_once_when_it_comes_again() {
    let mut options = Options::default().hasty();
    options.timing.ack = Duration::from_millis(300);
    disk::what_cannot_be_kept_is_not_acknowledged_and_answered_once_when_it_comes_again::<Slack>(
        options,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_repeated_envelopes_and_either_order_of_a_mention_make_one_turn_each() {
    let options = Options {
        mention_order: MentionOrder::Alternating,
        ..Options::default().hasty()
    };
    events::late_and_repeated_events_make_one_turn_each::<Slack>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_forgets_nor_repeats() {
    events::a_restart_neither_forgets_nor_repeats::<Slack>(Options::default().hasty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_nothing_and_repeat_nothing() {
    let mut options = Options::default().hasty();
    // Redelivery is over within two seconds: what it does not bring is for reading back.
    options.timing.ack = Duration::from_millis(300);
    // What a killed daemon showed goes out by itself, in the real Slack after two minutes.
    options.timing.status = Duration::from_secs(10);
    kills::kills_at_random_moments_lose_nothing_and_repeat_nothing::<Slack>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory() {
    let options = Options::default().hasty().with_real_rates();
    load::two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory::<Slack>(
        options, 50, 2000,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_connections_lose_nothing() {
    let hangups = &[Hangup::Drop];
    connections::messages_survive_disconnections::<Slack>(impatient(), 250, 50, hangups).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_connection_swallowed_is_read_back() {
    let mut options = Options::default();
    // Slack does not deliver again in this lifetime.
    options.timing.retries = [Duration::from_secs(3600); 3];
    connections::what_a_silent_connection_swallowed_is_read_back::<Slack>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_survive_a_refresh_every_second() {
    let mut options = Options::default().hasty();
    options.timing.life = Some(Duration::from_secs(1));
    let mut crowd = Crowd::<Slack>::start(options).await;
    let mut places = Vec::new();
    for number in 0..20 {
        let channel = crowd.service.public(&format!("channel-{number}"));
        places.extend([crowd.open_in(&channel), crowd.open_in(&channel)]);
    }
    places.extend((0..10).map(|_| crowd.open_direct()));
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while crowd.asked.len() < 1000 {
        pace.tick().await;
        crowd.ask(&places[crowd.asked.len() % places.len()]);
    }
    crowd.answered().await;
    crowd.assert_prompt();
    let connections = crowd.service.connections_ever();
    assert!(connections > 10, "{connections}");
    // Not a moment without a connection, once there was one.
    let timeline = crowd.service.timeline();
    assert!(timeline.iter().all(|(_, open)| *open > 0), "{timeline:?}");
    crowd.finish().await;
}
