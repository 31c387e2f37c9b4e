//! More than can be answered at once.

use std::time::Duration;

use crate::support::crowd::{Crowd, marker};
use crate::support::model::Point;
use crate::support::service::Service;

/// What the daemon may have resident at most, in megabytes. Generous: it is about what grows.
pub(crate) const MOST_MEMORY: f64 = 200.0;

pub(crate) async fn two_hundred_messages_a_second_are_acknowledged_in_time_within_bounded_memory<
    S: Service,
>(
    options: S::Options,
    n_places: usize,
    messages: usize,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let places = crowd.open_all(n_places, 0);
    crowd.answered().await;
    // Every session is at work as long as messages come, so that all of them have to wait.
    let holds: Vec<_> = (n_places..2 * n_places)
        .map(|number| crowd.script.hold(&marker(number), Point::Start))
        .collect();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for number in 0..messages {
        pace.tick().await;
        crowd.ask(&places[number % n_places]);
    }
    crowd.service.all_acknowledged().await;
    crowd.assert_prompt();
    holds.iter().for_each(|hold| hold.release());
    crowd.answered().await;
    let memory = crowd.world.memory("VmHWM");
    assert!(memory < MOST_MEMORY, "{memory} MB");
    crowd.finish().await;
}
