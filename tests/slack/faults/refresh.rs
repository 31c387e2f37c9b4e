//! Refreshes without end.

use std::time::Duration;

use super::Team;
use crate::support::slack::Options;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_messages_survive_a_refresh_every_second() {
    let mut options = Options::default().hasty();
    options.timing.life = Some(Duration::from_secs(1));
    let mut team = Team::start(options).await;
    let mut places = Vec::new();
    for number in 0..20 {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.extend([team.open(&channel), team.open(&channel)]);
    }
    places.extend((0..10).map(|number| team.open_direct(number)));
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    while team.asked.len() < 1000 {
        pace.tick().await;
        team.ask(&places[team.asked.len() % places.len()]);
    }
    team.answered().await;
    team.assert_prompt();
    let connections = team.slack.connections_ever();
    assert!(connections > 10, "{connections}");
    // Not a moment without a connection, once there was one.
    let timeline = team.slack.timeline();
    assert!(timeline.iter().all(|(_, open)| *open > 0), "{timeline:?}");
    team.finish().await;
}
