//! Events that come in pieces, late, twice, or after a restart.

use super::{Office, Place};
use crate::support::feishu::{Cut, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_parts_and_repeated_events_make_one_turn_each() {
    let options = Options::default().hasty().cut(Cut::Shuffled(100));
    let mut office = Office::start(options).await;
    let places = office.open_all(6, 2);
    office.feishu.hold_events();
    for place in &places {
        office.ask(place);
    }
    office.feishu.release_events();
    for event in office.events() {
        office.feishu.redeliver(&event);
        office.feishu.duplicate(&event);
    }
    office.answered().await;
    nothing_comes_of_repetition(&mut office, &places).await;
    office.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_neither_forgets_nor_repeats() {
    let mut office = Office::start(Options::default().hasty()).await;
    let places = office.open_all(6, 2);
    office.answered().await;
    office.world.kill_daemon().await;
    // Feishu keeps what meets no connection.
    for place in &places {
        office.ask(place);
    }
    office.world.start();
    office.answered().await;
    nothing_comes_of_repetition(&mut office, &places).await;
    office.finish().await;
}

/// Delivers everything again, under its own and under a new id. What would come of it comes before
/// the answers that are waited for.
async fn nothing_comes_of_repetition(office: &mut Office, places: &[Place]) {
    for event in office.events() {
        office.feishu.redeliver(&event);
        office.feishu.duplicate(&event);
    }
    office.feishu.all_acknowledged().await;
    for place in places {
        office.ask(place);
    }
    office.answered().await;
}
