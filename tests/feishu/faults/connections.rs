//! Connections that are closed, that break without a word, or go silent while TCP stays.

use std::time::Duration;

use super::Office;
use crate::support::feishu::{Hangup, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_messages_survive_a_disconnection_every_second() {
    let mut options = Options::default().hasty();
    // What was written into a connection that broke comes again soon.
    options.timing.ack = Duration::from_millis(500);
    let mut office = Office::start(options).await;
    let places = office.open_all(12, 4);
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut hangups = [Hangup::Drop, Hangup::Close].into_iter().cycle();
    while office.asked.len() < 300 {
        pace.tick().await;
        office.ask(&places[office.asked.len() % places.len()]);
        if office.asked.len() % 50 == 25 {
            office.feishu.hang_up(hangups.next().unwrap());
        }
    }
    office.answered().await;
    office.assert_prompt();
    let connections = office.feishu.connections_ever();
    assert!(connections > 4, "{connections}");
    office.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_connection_swallowed_is_read_back() {
    let mut options = Options::default().hasty();
    options.timing.ping = 1;
    // Feishu does not deliver again in this lifetime.
    options.timing.redeliveries = [Duration::from_secs(3_600); 4];
    let mut office = Office::start(options).await;
    let chat = office.feishu.topic_group("topics");
    let topic = office.open_in(&chat);
    let direct = office.open_direct();
    office.answered().await;
    office.feishu.hang_up(Hangup::Silence);
    office.ask(&topic);
    office.ask(&direct);
    office.open_in(&chat);
    // Found out by the daemon itself.
    office
        .feishu
        .until("another connection", |feishu| {
            (feishu.connections_ever() > 1).then_some(())
        })
        .await;
    office.answered().await;
    office.finish().await;
}
