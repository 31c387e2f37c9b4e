//! A full disk.

use crate::support::crowd::Crowd;
use crate::support::mock::delivery::TAKEN;
use crate::support::service::Service;

pub(crate) async fn what_cannot_be_kept_is_not_acknowledged_and_answered_once_when_it_comes_again<
    S: Service,
>(
    options: S::Options,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let places = crowd.open_all(3, 1);
    crowd.answered().await;

    let before = crowd.world.limit_files(Some(0));
    let n_before = crowd.asked.len();
    crowd.ask_all(&places);
    let asked = crowd.asked[n_before..].iter();
    let events: Vec<_> = asked.flat_map(|it| crowd.service.events(it)).collect();
    crowd
        .service
        .until("more deliveries", |service| {
            let is_again = |event| service.deliveries(event) > 1;
            events.iter().all(is_again).then_some(())
        })
        .await;
    crowd.service.settle().await;
    let mut acks = crowd.service.acks();
    acks.retain(|ack| events.contains(&ack.event));
    assert!(
        acks.iter().all(|ack| ack.code != TAKEN),
        "acknowledged although it is not on disk: {acks:#?}"
    );
    assert_eq!(!acks.is_empty(), S::REFUSES, "{acks:#?}");

    crowd.world.limit_files(before);
    crowd.answered().await;
    crowd.marked().await;
    crowd.finish().await;
}
