//! kill -9 at random moments, with everything else going wrong as well, counted.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use super::Office;
use crate::support::feishu::{Fault, Hangup, Options};
use crate::support::random::{Random, seed};

/// How many faults a run has.
const FAULTS: usize = 50;

/// How often each kind of fault came.
#[derive(Debug, Default)]
struct Faults {
    daemon: usize,
    codex: usize,
    connections: usize,
    answers: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_nothing_and_repeat_nothing() {
    let seed = seed();
    let mut random = Random(seed);
    let mut options = Options::default().hasty();
    // Redelivery is over within two seconds: what it does not bring is for reading back.
    options.timing.ack = Duration::from_millis(300);
    options.timing.redeliveries = [100, 300, 600, 1_000].map(Duration::from_millis);
    let mut office = Office::start_with(options, "chat").await;
    let places = office.open_all(5, 1);
    let mut faults = Faults::default();
    for _ in 0..FAULTS {
        for _ in 0..random.below(4) {
            office.ask(&places[random.below(places.len() as u64) as usize]);
        }
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
        match random.below(5) {
            0 | 1 => {
                office.world.kill_daemon().await;
                office.world.start();
                faults.daemon += 1;
            }
            2 => {
                let killed = office.world.signal_app_server(Signal::KILL);
                faults.codex += usize::from(killed.is_some());
            }
            3 => {
                office.feishu.hang_up(Hangup::Drop);
                faults.connections += 1;
            }
            _ => {
                office.feishu.fail("messages.reply", 1, Fault::AnswerLost);
                faults.answers += 1;
            }
        }
    }
    office.answered().await;
    let tally = office.feishu.tally(&office.asked);
    let report = format!(
        "seed {seed}: kills of the daemon {}, of codex {}, dropped connections {}, lost answers \
         {}; {} messages, {} answered, {} unclear, {} lost, {} twice, {} misplaced, {} topics out \
         of order\n",
        faults.daemon,
        faults.codex,
        faults.connections,
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
    office.finish().await;
}
