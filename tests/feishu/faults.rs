//! Breaking things between Feishu, the daemon and Codex, and counting what became of each message:
//! answered once, in its own topic, in order.

use std::io::Write as _;
use std::time::Duration;

use crate::chats::{calls, connections, disk, events, kills, load};
use crate::support::crowd::Crowd;
use crate::support::feishu::{Cut, Fault, Feishu, Hangup, Options};
use crate::support::random::{Random, seed};

/// One call in so many goes wrong in a storm.
const ONE_IN: u64 = 4;

/// What was written into a connection that broke comes again soon.
fn impatient() -> Options {
    let mut options = Options::default().hasty();
    options.timing.ack = Duration::from_millis(500);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failing_calls_loses_nothing_and_repeats_nothing() {
    let seed = seed();
    writeln!(std::io::stderr(), "seed {seed}").unwrap();
    let mut options = Options::default().hasty().with_real_rates();
    options.timing.sending = Duration::from_millis(300);
    let crowd = Crowd::<Feishu>::start(options).await;
    let mut random = Random(seed);
    crowd.service.fail_always(move |call| {
        let of_any = [
            Fault::Broken(503),
            Fault::DoneButBroken(502),
            Fault::AnswerLost,
            Fault::Dropped,
        ];
        let of_the_api = [
            Fault::RateLimited(1),
            Fault::Error(1_663),
            Fault::Error(230_020),
            Fault::Error(99_991_663),
        ];
        let is_of_the_api = !matches!(call.method, "endpoint" | "handshake" | "token");
        let mut faults = of_any.to_vec();
        if is_of_the_api {
            faults.extend(of_the_api);
        }
        let is_bad = call.method != "handshake" && random.below(ONE_IN) == 0;
        is_bad.then(|| faults[random.below(faults.len() as u64) as usize].clone())
    });
    calls::a_storm_loses_nothing_and_repeats_nothing(
        crowd,
        10,
        &[
            |_| {},
            |feishu| feishu.expire_tokens(),
            |feishu| feishu.hang_up(Hangup::Drop),
            |_| {},
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_answer_of_a_post_it_repeats_it_under_the_same_key() {
    let killed = |fault| {
        let options = Options::default().hasty();
        calls::killed_before_the_answer_of_a_post_it_does_not_say_it_twice::<Feishu>(options, fault)
    };
    tokio::join!(killed(Fault::DoneInSilence), killed(Fault::Silence));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up() {
    let options = Options::default().hasty();
    calls::calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up::<Feishu>(
        options,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_in_an_outage_is_answered_after_it() {
    let options = Options::default().hasty();
    calls::what_is_asked_in_an_outage_is_answered_after_it::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_refused_and_answered_once_when_it_comes_again() {
    let options = Options::default().hasty();
    disk::what_cannot_be_kept_is_not_acknowledged_and_answered_once_when_it_comes_again::<Feishu>(
        options,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_parts_and_repeated_events_make_one_turn_each() {
    let options = Options::default().hasty().cut(Cut::Shuffled(100));
    events::late_and_repeated_events_make_one_turn_each::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_forgets_nor_repeats() {
    events::a_restart_neither_forgets_nor_repeats::<Feishu>(Options::default().hasty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_nothing_and_repeat_nothing() {
    let mut options = Options::default().hasty();
    // Redelivery is over within two seconds: what it does not bring is for reading back.
    options.timing.ack = Duration::from_millis(300);
    options.timing.redeliveries = [100, 300, 600, 1_000].map(Duration::from_millis);
    kills::kills_at_random_moments_lose_nothing_and_repeat_nothing::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory() {
    let options = Options::default().hasty().with_real_rates();
    load::two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory::<Feishu>(
        options, 40, 1000,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_in_parts_survive_a_disconnection_every_second() {
    let options = impatient().cut(Cut::Shuffled(200));
    let hangups = &[Hangup::Drop, Hangup::Close];
    connections::messages_survive_disconnections::<Feishu>(options, 1000, 100, hangups).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_connection_swallowed_is_read_back() {
    let mut options = Options::default().hasty();
    options.timing.ping = 1;
    // Feishu does not deliver again in this lifetime.
    options.timing.redeliveries = [Duration::from_secs(3_600); 4];
    connections::what_a_silent_connection_swallowed_is_read_back::<Feishu>(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_what_never_becomes_whole_and_garbage_take_no_memory() {
    const MEGABYTES: usize = 400;
    let mut crowd = Crowd::<Feishu>::start(Options::default().hasty()).await;
    let places = crowd.open_all(2, 1);
    crowd.answered().await;
    let before = crowd.world.memory("VmHWM");
    for _ in 0..MEGABYTES {
        crowd.service.send_first_part(1_000, 1 << 20);
        crowd.service.send_first_part(2_000_000_000, 1_000);
        crowd.service.send_garbage();
    }
    crowd.service.settle().await;
    crowd.ask_all(&places);
    crowd.answered().await;
    assert_eq!(crowd.service.connections_ever(), 1);
    let more = crowd.world.memory("VmHWM") - before;
    assert!(
        more < MEGABYTES as f64 / 4.0,
        "{more} MB more than {before} MB"
    );
    crowd.finish().await;
}
