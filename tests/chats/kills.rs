//! kill -9 at random moments, with everything else going wrong as well, counted.

use std::io::Write as _;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::crowd::{Crowd, Sessions};
use crate::support::mock::{Fault, Hangup};
use crate::support::random::{Random, seed};
use crate::support::service::Service;

/// How many faults a run has.
const FAULTS: usize = 65;

/// How often each kind of fault came.
#[derive(Debug, Default)]
struct Faults {
    daemon: usize,
    codex: usize,
    connections: usize,
    answers: usize,
}

pub(crate) async fn kills_at_random_moments_lose_nothing_and_repeat_nothing<S: Service>(
    options: S::Options,
) {
    let seed = seed();
    let mut random = Random(seed);
    let mut crowd = Crowd::<S>::start_with(options, Sessions::Chat).await;
    let places = crowd.open_all(5, 1);
    let mut faults = Faults::default();
    for _ in 0..FAULTS {
        for _ in 0..random.below(4) {
            crowd.ask(&places[random.below(places.len() as u64) as usize]);
        }
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
        match random.below(5) {
            0 | 1 => {
                crowd.kill_daemon().await;
                crowd.world.start();
                faults.daemon += 1;
            }
            2 => {
                let killed = crowd.world.signal_app_server(Signal::KILL);
                faults.codex += usize::from(killed.is_some());
            }
            3 => {
                crowd.service.hang_up(Hangup::Drop);
                faults.connections += 1;
            }
            _ => {
                crowd.service.fail(S::ANSWERS, 1, Fault::AnswerLost);
                faults.answers += 1;
            }
        }
    }
    crowd.answered().await;
    // What nobody kills shows how it ended.
    crowd.ask_all(&places);
    crowd.answered().await;
    let tally = crowd.service.tally(&crowd.asked);
    let report = format!(
        "seed {seed}: kills of the daemon {}, of codex {}, dropped connections {}, lost answers \
         {}; {} messages, {} answered, {} unclear, {} lost, {} twice, {} misplaced, {} threads out \
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
    crowd.marked().await;
    crowd.finish().await;
}
