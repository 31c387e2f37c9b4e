//! kill -9 at random moments, with everything else going wrong as well, counted.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use super::{Place, Team};
use crate::support::random::{Random, seed};
use crate::support::slack::{Fault, Hangup, Options};

/// How many faults a run has.
const FAULTS: usize = 80;

/// How often each kind of fault came.
#[derive(Debug, Default)]
struct Faults {
    daemon: usize,
    codex: usize,
    sockets: usize,
    answers: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_nothing_and_repeat_nothing() {
    let seed = seed();
    let mut random = Random(seed);
    let mut options = Options::default().hasty();
    // Redelivery is over within two seconds: what it does not bring is for reading back.
    options.timing.ack = Duration::from_millis(300);
    // What a killed daemon showed goes out by itself, in the real Slack after two minutes.
    options.timing.status = Duration::from_secs(10);
    let mut team = Team::start_with(options, "chat").await;
    let mut places = vec![Place::Direct];
    for number in 0..5 {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.push(team.open(&channel));
    }
    let mut faults = Faults::default();
    for _ in 0..FAULTS {
        for _ in 0..random.below(4) {
            team.ask(&places[random.below(places.len() as u64) as usize]);
        }
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
        match random.below(5) {
            0 | 1 => {
                team.world.kill_daemon().await;
                team.world.start();
                faults.daemon += 1;
            }
            2 => {
                let killed = team.world.signal_app_server(Signal::KILL);
                faults.codex += usize::from(killed.is_some());
            }
            3 => {
                team.slack.hang_up(Hangup::Drop);
                faults.sockets += 1;
            }
            _ => {
                team.slack.fail("chat.postMessage", 1, Fault::AnswerLost);
                faults.answers += 1;
            }
        }
    }
    team.answered().await;
    let tally = team.slack.tally(&team.asked);
    let report = format!(
        "seed {seed}: kills of the daemon {}, of codex {}, dropped connections {}, lost answers \
         {}; {} messages, {} answered, {} unclear, {} lost, {} twice, {} misplaced, {} threads out \
         of order\n",
        faults.daemon,
        faults.codex,
        faults.sockets,
        faults.answers,
        tally.asked,
        tally.answered,
        tally.unclear,
        tally.lost.len(),
        tally.twice.len(),
        tally.misplaced.len(),
        tally.out_of_order.len(),
    );
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    team.finish().await;
}
