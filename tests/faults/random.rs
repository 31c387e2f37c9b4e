//! Faults at random moments, counted.

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::support::random::{Random, seed};

/// How many faults a run has.
const FAULTS: usize = 200;

#[tokio::test]
async fn two_hundred_faults_lose_nothing_and_repeat_nothing() {
    let seed = seed();
    let mut random = Random(seed);
    let echo = Echo::new();
    let mut world = running(&echo, &Choices::standard()).await;
    let mut texts = Vec::new();
    let (mut child_kills, mut daemon_kills) = (0, 0);
    for fault in 0..FAULTS {
        for _ in 0..random.below(3) {
            let chat = format!("chat{}", random.below(4));
            let text = format!("message {} of {chat} over", texts.len());
            world.platform.write(&chat, &text);
            texts.push(text);
        }
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(350_000))).await;
        if fault % 3 == 2 {
            world.kill_daemon().await;
            world.start();
            daemon_kills += 1;
        } else if world.signal_app_server(Signal::KILL).is_some() {
            child_kills += 1;
        }
    }
    world.platform.all_settled().await;
    let tally = world.platform.tally();
    let report = format!(
        "seed {seed}: {child_kills} kills of codex, {daemon_kills} of the daemon; {} messages, {} \
         answered, {} unclear, {} lost, {} twice, {} posts repeated under their key\n",
        tally.written,
        tally.answered,
        tally.unclear,
        tally.lost.len(),
        tally.twice.len(),
        tally.repeats,
    );
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    for line in world.logged("cannot be told") {
        std::io::stderr()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }
    tally.assert_exactly_once();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_told_once(&world, &texts);
    world.finish().await;
}
