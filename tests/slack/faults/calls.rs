//! Calls of the Web API that fail in every way, also after they have done what they were for.

use std::io::Write as _;
use std::time::Duration;

use super::Team;
use crate::support::random::{Random, seed};
use crate::support::slack::{Fault, Hangup, Options};

/// One call in so many goes wrong.
const ONE_IN: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_failing_calls_loses_nothing_and_repeats_nothing() {
    let seed = seed();
    writeln!(std::io::stderr(), "seed {seed}").unwrap();
    let mut team = Team::start(Options::default().hasty().with_real_rates()).await;
    let mut random = Random(seed);
    team.slack.fail_always(move |_| {
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
    let mut places = Vec::new();
    for number in 0..6 {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.push(team.open(&channel));
    }
    places.extend((0..2).map(|number| team.open_direct(number)));
    for round in 0..3 {
        for place in &places {
            team.ask(place);
        }
        if round == 1 {
            team.slack.hang_up(Hangup::Drop);
        }
        tokio::time::sleep(Duration::from_millis(500)).await; // spread, that is all
    }
    team.answered().await;
    team.slack.heal();
    team.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_answer_of_a_post_it_looks_before_it_repeats() {
    for fault in [Fault::DoneInSilence, Fault::Silence] {
        let mut team = Team::start(Options::default().hasty()).await;
        let ops = team.slack.public("ops");
        team.slack.fail("chat.postMessage", 1, fault);
        team.open(&ops);
        team.slack
            .until("the post", |slack| {
                (slack.count_calls("chat.postMessage") == 1).then_some(())
            })
            .await;
        team.world.kill_daemon().await;
        team.world.start();
        team.answered().await;
        team.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_answers_hold_neither_acknowledgements_nor_answers_up() {
    let mut team = Team::start(Options::default().hasty()).await;
    team.slack.fail_always(|call| {
        let is_needed = matches!(call.method, "chat.postMessage" | "apps.connections.open");
        (!is_needed).then_some(Fault::Silence)
    });
    for number in 0..5 {
        let channel = team.slack.public(&format!("channel-{number}"));
        team.open(&channel);
        team.open_direct(number);
    }
    team.answered().await;
    team.slack.all_acknowledged().await;
    team.assert_prompt();
    team.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_in_an_outage_is_answered_after_it() {
    let mut team = Team::start(Options::default().hasty()).await;
    let ops = team.slack.public("ops");
    let thread = team.open(&ops);
    team.answered().await;
    team.slack.fail_always(|_| Some(Fault::Broken(503)));
    // Accepted, but there is no way to answer.
    team.ask(&thread);
    team.slack.all_acknowledged().await;
    team.slack.hang_up(Hangup::Drop);
    team.ask(&thread);
    team.open(&ops);
    let calls = team.slack.count_calls("apps.connections.open");
    team.slack
        .until("attempts to connect", |slack| {
            (slack.count_calls("apps.connections.open") > calls + 2).then_some(())
        })
        .await;
    team.slack.heal();
    team.answered().await;
    team.finish().await;
}
