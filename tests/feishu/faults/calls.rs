//! Calls of the Open API that fail in every way, also after they have done what they were for.

use std::io::Write as _;
use std::time::Duration;

use super::Office;
use crate::support::feishu::{Fault, Hangup, Options};
use crate::support::random::{Random, seed};

/// One call in so many goes wrong.
const ONE_IN: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failing_calls_loses_nothing_and_repeats_nothing() {
    let seed = seed();
    writeln!(std::io::stderr(), "seed {seed}").unwrap();
    let mut options = Options::default().hasty().with_real_rates();
    options.timing.sending = Duration::from_millis(300);
    let mut office = Office::start(options).await;
    let mut random = Random(seed);
    office.feishu.fail_always(move |call| {
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
    let places = office.open_all(10, 2);
    for round in 0..4 {
        for place in &places {
            office.ask(place);
        }
        match round {
            1 => office.feishu.expire_tokens(),
            2 => office.feishu.hang_up(Hangup::Drop),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await; // spread, that is all
    }
    office.answered().await;
    office.feishu.heal();
    office.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_answer_of_a_post_it_repeats_it_under_the_same_key() {
    for fault in [Fault::DoneInSilence, Fault::Silence] {
        let mut office = Office::start(Options::default().hasty()).await;
        office.feishu.fail("messages.reply", 1, fault);
        office.open();
        office
            .feishu
            .until("the post", |feishu| {
                (feishu.count_calls("messages.reply") == 1).then_some(())
            })
            .await;
        office.world.kill_daemon().await;
        office.world.start();
        office.answered().await;
        office.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up() {
    let mut office = Office::start(Options::default().hasty()).await;
    office.feishu.fail_always(|call| {
        let is_needed = matches!(
            call.method,
            "messages.create" | "messages.reply" | "endpoint" | "handshake" | "token"
        );
        (!is_needed).then_some(Fault::Silence)
    });
    office.open_all(5, 5);
    office.answered().await;
    office.feishu.all_acknowledged().await;
    office.assert_prompt();
    office.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_in_an_outage_is_answered_after_it() {
    let mut office = Office::start(Options::default().hasty()).await;
    let topic = office.open();
    office.answered().await;
    office.feishu.fail_always(|_| Some(Fault::Broken(503)));
    // Accepted, but there is no way to answer.
    office.ask(&topic);
    office.feishu.all_acknowledged().await;
    office.feishu.hang_up(Hangup::Drop);
    office.ask(&topic);
    office.open();
    let calls = office.feishu.count_calls("endpoint");
    office
        .feishu
        .until("attempts to connect", |feishu| {
            (feishu.count_calls("endpoint") > calls + 2).then_some(())
        })
        .await;
    office.feishu.heal();
    office.answered().await;
    office.finish().await;
}
