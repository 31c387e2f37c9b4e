//! Events that come late, twice, or after a restart.

use crate::support::crowd::{Crowd, Place};
use crate::support::service::Service;

pub(crate) async fn late_and_repeated_events_make_one_turn_each<S: Service>(options: S::Options) {
    let mut crowd = Crowd::<S>::start(options).await;
    let places = crowd.open_all(6, 2);
    crowd.service.hold_events();
    crowd.ask_all(&places);
    crowd.service.release_events();
    repeat_everything(&crowd);
    crowd.answered().await;
    nothing_comes_of_repetition(&mut crowd, &places).await;
    crowd.marked().await;
    crowd.finish().await;
}

pub(crate) async fn a_restart_neither_forgets_nor_repeats<S: Service>(options: S::Options) {
    let mut crowd = Crowd::<S>::start(options).await;
    let places = crowd.open_all(6, 2);
    crowd.answered().await;
    crowd.kill_daemon().await;
    // The service keeps what meets no connection.
    crowd.ask_all(&places);
    crowd.world.start();
    crowd.answered().await;
    nothing_comes_of_repetition(&mut crowd, &places).await;
    crowd.marked().await;
    crowd.finish().await;
}

fn repeat_everything<S: Service>(crowd: &Crowd<S>) {
    for event in crowd.events() {
        S::repeat(&crowd.service, &event);
    }
}

/// Delivers everything again. What would come of it comes before the answers that are waited for.
async fn nothing_comes_of_repetition<S: Service>(crowd: &mut Crowd<S>, places: &[Place]) {
    repeat_everything(crowd);
    crowd.service.all_acknowledged().await;
    crowd.ask_all(places);
    crowd.answered().await;
}
