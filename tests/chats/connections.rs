//! Connections that are closed, that break without a word, or go silent while TCP stays.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::crowd::Crowd;
use crate::support::mock::Hangup;
use crate::support::running::{Running, texts};
use crate::support::service::Service;

/// Asks at a pace while connections end in these ways, one after the other, each after so many
/// questions.
pub(crate) async fn messages_survive_disconnections<S: Service>(
    options: S::Options,
    messages: usize,
    after: usize,
    hangups: &[Hangup],
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let places = crowd.open_all(12, 4);
    let mut pace = tokio::time::interval(Duration::from_millis(8));
    let mut hangups = hangups.iter().cycle();
    let n_before = crowd.service.connections_ever();
    while crowd.asked.len() < messages {
        pace.tick().await;
        let number = crowd.asked.len();
        crowd.ask(&places[number % places.len()]);
        // Twice is as bad as never.
        if number % 7 == 3 {
            for event in crowd.service.events(&crowd.asked[number / 2]) {
                S::repeat(&crowd.service, &event);
            }
        }
        if number % after == after / 2 {
            crowd.service.hang_up(*hangups.next().unwrap());
        }
    }
    crowd.answered().await;
    crowd.assert_prompt();
    let connections = crowd.service.connections_ever() - n_before;
    assert!(connections > 2, "{connections}");
    crowd.finish().await;
}

pub(crate) async fn what_a_silent_connection_swallowed_is_read_back<S: Service>(
    options: S::Options,
) {
    let mut crowd = Crowd::<S>::start(options).await;
    let group = S::group(&crowd.service, "ops");
    let thread = crowd.open_in(&group);
    let direct = crowd.open_direct();
    crowd.answered().await;
    crowd.service.hang_up(Hangup::Silence);
    crowd.ask(&thread);
    crowd.ask(&direct);
    crowd.open_in(&group);
    // Found out by the daemon itself.
    crowd
        .service
        .until("another connection", |service| {
            (service.connections_ever() > 1).then_some(())
        })
        .await;
    crowd.answered().await;
    crowd.marked().await;
    crowd.finish().await;
}

/// The same of the channel alone.
pub(crate) async fn broken_connections_lose_nothing<S: Service>(options: S::Options) {
    const N: usize = 60;
    let running = Running::<S>::start(options).await;
    let mei = S::person(&running.service, "Mei");
    for number in 0..N {
        S::ask_directly(&running.service, &mei, &number.to_string());
        if number % 20 == 10 {
            running.service.hang_up(Hangup::Drop);
        }
    }
    let taken = running.took(N).await;
    let texts: BTreeSet<_> = texts(&taken).into_iter().collect();
    assert_eq!(texts.len(), N);
    running.finish().await;
}
