//! A thousand results from ten writers, each up to five times, while everything is killed.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;

use super::*;
use crate::support::random::{Random, seed};

const WRITERS: usize = 10;
const RESULTS: usize = 1_000;

/// How often something is killed.
const KILLS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_results_are_told_once_each_whatever_is_killed() {
    let seed = seed();
    let mut random = Random(seed);
    let echo = Echo::new();
    let mut world = in_use(&echo, &Choices::standard()).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let socket = socket(&world);
        let mut random = Random(seed ^ (writer as u64 + 1));
        writers.spawn(async move {
            let mut reports = 0;
            for number in (writer..RESULTS).step_by(WRITERS) {
                let report = report(&format!("r{number:04}"));
                for _ in 0..=random.below(5) {
                    tell_at(socket.clone(), &report).await;
                    reports += 1;
                }
                tokio::time::sleep(Duration::from_micros(random.below(300_000))).await;
            }
            reports
        });
    }
    let (mut daemon, mut codex) = (0, 0);
    while daemon + codex < KILLS {
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(900_000))).await;
        if random.below(2) == 0 {
            world.kill_daemon().await;
            world.start();
            daemon += 1;
        } else if world.signal_app_server(Signal::KILL).is_some() {
            codex += 1;
        }
    }
    let reports: usize = writers.join_all().await.into_iter().sum();
    world.ready(0).await;
    world.at_rest().await;
    let told = completions_told(&world.model);
    let twice = told.values().filter(|times| **times > 1).count();
    let lost = RESULTS - told.len();
    let turns = world
        .platform
        .posts("a")
        .iter()
        .filter(|post| post.text.starts_with("heard of"))
        .count();
    let line = format!(
        "seed {seed}: {RESULTS} results in {reports} reports, {daemon} kills of the daemon, {codex} \
         of codex; {lost} lost, {twice} twice, {turns} answers\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert_told_once(&world, (0..RESULTS).map(|number| format!("r{number:04}")));
    world.finish().await;
}
