//! Envelopes that come late, twice, or after a restart.

use super::{Place, Team};
use crate::support::slack::{MentionOrder, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_and_repeated_envelopes_and_either_order_of_a_mention_make_one_turn_each() {
    let options = Options {
        mention_order: MentionOrder::Alternating,
        ..Options::default().hasty()
    };
    let mut team = Team::start(options).await;
    let places = places(&mut team);
    team.slack.hold_events();
    for place in &places {
        team.ask(place);
    }
    team.slack.release_events();
    for asked in &team.asked {
        for event in team.events_of(asked) {
            team.slack.repeat_envelope(&event);
            team.slack.redeliver(&event);
        }
    }
    team.answered().await;
    nothing_comes_of_redelivery(&mut team, &places).await;
    team.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_forgets_nor_repeats() {
    let mut team = Team::start(Options::default().hasty()).await;
    let places = places(&mut team);
    team.answered().await;
    team.world.kill_daemon().await;
    // Slack keeps what meets no connection.
    for place in &places {
        team.ask(place);
    }
    team.world.start();
    team.answered().await;
    nothing_comes_of_redelivery(&mut team, &places).await;
    team.finish().await;
}

/// Asks first questions at the top of channels and in direct messages.
fn places(team: &mut Team) -> Vec<Place> {
    let mut places = Vec::new();
    for number in 0..6 {
        let channel = team.slack.public(&format!("channel-{number}"));
        places.push(team.open(&channel));
    }
    places.extend((0..2).map(|number| team.open_direct(number)));
    places
}

/// Delivers everything again. What would come of it comes before the answers that are waited for.
async fn nothing_comes_of_redelivery(team: &mut Team, places: &[Place]) {
    for asked in &team.asked {
        for event in team.events_of(asked) {
            team.slack.redeliver(&event);
        }
    }
    team.slack.all_acknowledged().await;
    for place in places {
        team.ask(place);
    }
    team.answered().await;
}
