//! A full disk.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};

use super::Team;
use crate::support::slack::Options;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_not_acknowledged_and_answered_once_when_it_comes_again() {
    let mut options = Options::default().hasty();
    options.timing.ack = Duration::from_millis(300);
    let mut team = Team::start(options).await;
    let ops = team.slack.public("ops");
    let thread = team.open(&ops);
    team.answered().await;

    let before = limit(&team, Some(0));
    team.ask(&thread);
    let asked = team.asked[1].clone();
    let event = team.events_of(&asked).remove(0);
    team.slack
        .until("another delivery", |slack| {
            (slack.deliveries(&event) > 1).then_some(())
        })
        .await;
    team.slack.settle().await;
    assert!(
        !team.slack.is_acked(&event),
        "acknowledged although it is not on disk"
    );

    limit(&team, before);
    team.answered().await;
    team.finish().await;
}

/// Sets how large a file the daemon may write, and returns how large it was.
fn limit(team: &Team, size: Option<u64>) -> Option<u64> {
    let limit = Rlimit {
        current: size,
        maximum: None,
    };
    let before = prlimit(Some(team.world.daemon_pid()), Resource::Fsize, limit).unwrap();
    before.current
}
