//! More than can be answered at once.

use std::time::Duration;

use super::{Office, marker};
use crate::support::feishu::Options;
use crate::support::model::Point;

const TOPICS: usize = 40;
const MESSAGES: usize = 1000;

/// What the daemon may have resident at most, in megabytes. Generous: it is about what grows.
const MOST_MEMORY: f64 = 200.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory() {
    let mut office = Office::start(Options::default().hasty().with_real_rates()).await;
    let places = office.open_all(TOPICS, 0);
    office.answered().await;
    // Every session is at work as long as messages come, so that all of them have to wait.
    let holds: Vec<_> = (TOPICS..2 * TOPICS)
        .map(|number| office.echo.hold(&marker(number), Point::Start))
        .collect();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for number in 0..MESSAGES {
        pace.tick().await;
        office.ask(&places[number % TOPICS]);
    }
    office.feishu.all_acknowledged().await;
    office.assert_prompt();
    holds.iter().for_each(|hold| hold.release());
    office.answered().await;
    let memory = office.world.memory("VmHWM");
    assert!(memory < MOST_MEMORY, "{memory} MB");
    office.finish().await;
}
