//! More than can be answered at once.

use std::time::Duration;

use super::Team;
use crate::support::slack::Options;

/// What the daemon may have resident at most, in megabytes. Generous: it is about what grows.
const MOST_MEMORY: f64 = 200.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory() {
    let mut team = Team::start(Options::default().hasty()).await;
    let mut places = Vec::new();
    for number in 0..50 {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.push(team.open(&channel));
    }
    team.answered().await;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for number in 0..2000 {
        pace.tick().await;
        team.ask(&places[number % places.len()]);
    }
    team.slack.all_acknowledged().await;
    team.assert_prompt();
    let memory = team.world.memory("VmHWM");
    assert!(memory < MOST_MEMORY, "{memory} MB");
    team.answered().await;
    let memory = team.world.memory("VmHWM");
    assert!(memory < MOST_MEMORY, "{memory} MB");
    team.finish().await;
}
