//! Connections that break without a word, or go silent while TCP stays.

use std::time::Duration;

use super::Team;
use crate::support::slack::{Hangup, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_connections_lose_nothing() {
    let mut options = Options::default().hasty();
    // What was written into a connection that broke comes again soon.
    options.timing.ack = Duration::from_millis(500);
    let mut team = Team::start(options).await;
    let mut places = Vec::new();
    for number in 0..10 {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.push(team.open(&channel));
    }
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for number in 0..200 {
        pace.tick().await;
        team.ask(&places[number % places.len()]);
        if number % 20 == 10 {
            team.slack.hang_up(Hangup::Drop);
        }
    }
    team.answered().await;
    team.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_connection_swallowed_is_read_back() {
    let mut options = Options::default();
    // Slack does not deliver again in this lifetime.
    options.timing.retries = [Duration::from_secs(3600); 3];
    let mut team = Team::start(options).await;
    let ops = team.slack.public("ops");
    let thread = team.open(&ops);
    let direct = team.open_direct(0);
    team.answered().await;
    team.slack.hang_up(Hangup::Silence);
    team.ask(&thread);
    team.ask(&direct);
    team.open(&ops);
    // Found out by the daemon itself.
    team.slack
        .until("another connection", |slack| {
            (slack.connections_ever() > 1).then_some(())
        })
        .await;
    team.answered().await;
    team.finish().await;
}
