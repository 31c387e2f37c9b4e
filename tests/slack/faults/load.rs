//! More than can be answered at once.

use std::time::Duration;

use super::{Team, marker};
use crate::support::model::Point;
use crate::support::slack::Options;

const CHANNELS: usize = 50;
const MESSAGES: usize = 2000;

/// What the daemon may have resident at most, in megabytes. Generous: it is about what grows.
const MOST_MEMORY: f64 = 200.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory() {
    let mut team = Team::start(Options::default().hasty().with_real_rates()).await;
    let mut places = Vec::new();
    for number in 0..CHANNELS {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.push(team.open(&channel));
    }
    team.answered().await;
    // Every session is at work as long as messages come, so that all of them have to wait.
    let holds: Vec<_> = (CHANNELS..2 * CHANNELS)
        .map(|number| team.echo.hold(&marker(number), Point::Start))
        .collect();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for number in 0..MESSAGES {
        pace.tick().await;
        team.ask(&places[number % CHANNELS]);
    }
    team.slack.all_acknowledged().await;
    team.assert_prompt();
    holds.iter().for_each(|hold| hold.release());
    team.answered().await;
    let memory = team.world.memory("VmHWM");
    assert!(memory < MOST_MEMORY, "{memory} MB");
    team.finish().await;
}
