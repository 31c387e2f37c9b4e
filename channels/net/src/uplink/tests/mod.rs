//! Connections to a platform of the simplest kind, whose server follows a script.

mod toy;

use std::time::Duration;

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use tieline_channel::conformance::RecordingIntake;
use tieline_channel::{AcceptError, ChatId, Event, Happening, Health, Link, Receipt};
use tokio::task::JoinSet;
use tokio::time::{self, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::toy::{AWAY, Failure, LetterReader, PATIENCE, Peer, Server, Toy, within};
use super::*;

/// As usual, but for the politeness at the end.
const TIMING: Timing = Timing {
    tcp: Duration::from_millis(50),
    ..Timing::USUAL
};

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);

/// A connection that is kept up, with an intake that records.
struct Bench {
    server: Server,
    toy: Arc<Toy>,
    intake: Arc<RecordingIntake>,
    health: Arc<HealthBoard>,
    reconnect: Arc<Notify>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(TIMING).await
    }

    async fn start_with(timing: Timing) -> Self {
        Self::start_failing(timing, None).await
    }

    async fn start_pinging(timing: Timing, ping: Duration) -> Self {
        let server = Server::start().await;
        let toy = Toy::new(&server, ping);
        Self::start_at(server, toy, timing)
    }

    async fn start_failing(timing: Timing, failure: Option<Failure>) -> Self {
        let server = Server::start().await;
        let toy = Toy::new(&server, Duration::from_secs(30));
        toy.fail(failure);
        Self::start_at(server, toy, timing)
    }

    fn start_at(server: Server, toy: Toy, timing: Timing) -> Self {
        let intake = Arc::new(RecordingIntake::default());
        Self::start_into(server, toy, timing, Arc::clone(&intake), intake)
    }

    /// Hands events to `into`.
    fn start_into(
        server: Server,
        toy: Toy,
        timing: Timing,
        intake: Arc<RecordingIntake>,
        into: Arc<dyn Intake>,
    ) -> Self {
        let toy = Arc::new(toy);
        let health = Arc::new(HealthBoard::new());
        let reconnect = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn({
            let toy = Arc::clone(&toy);
            let (health, reconnect, stop) = (health.clone(), reconnect.clone(), stop.clone());
            async move {
                let reader = Arc::new(LetterReader);
                run(toy, reader, into, &health, &reconnect, timing, &stop).await;
            }
        });
        Self {
            server,
            toy,
            intake,
            health,
            reconnect,
            stop,
            running,
        }
    }

    async fn link_becomes(&self, link: Link) -> Health {
        let mut health = self.health.subscribe();
        within(health.wait_for(|health| health.link == link))
            .await
            .unwrap()
            .clone()
    }

    fn health(&self) -> Health {
        self.health.subscribe().borrow().clone()
    }

    fn taken(&self) -> Vec<String> {
        texts(&self.intake.taken())
    }

    /// Waits for a connection, and until it counts.
    async fn up(&self) -> Peer {
        let peer = self.server.connected().await;
        self.link_becomes(Link::Up).await;
        peer
    }

    /// Has it stop, and waits until it has.
    async fn stopped(mut self) {
        self.stop.cancel();
        within(self.running.join_next()).await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&self.intake), 1, "a task is left");
        assert_eq!(Arc::strong_count(&self.toy), 1, "a task is left");
    }
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match &event.happening {
        Happening::Message(message) => message.plain_text(),
        other => panic!("not a message: {other:?}"),
    };
    events.iter().map(text).collect()
}

/// Has the word of a cancelled token go from task to task, on this one thread.
async fn the_word_goes_round() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_is_up_and_pings_at_once_and_is_closed_at_the_end() {
    let bench = Bench::start().await;
    assert_eq!(bench.health().link, Link::Connecting);
    let mut peer = bench.up().await;
    assert!(bench.health().heard_at.is_some());
    peer.pinged().await;
    bench.stop.cancel();
    peer.gets_closed().await;
    bench.stopped().await;
}

#[tokio::test]
async fn a_question_is_answered_and_a_ping_of_the_web_socket_comes_back_as_it_was() {
    let bench = Bench::start().await;
    let mut peer = bench.up().await;
    peer.say("moon").await;
    peer.send(Message::binary(vec![0, 159])).await;
    peer.say("question").await;
    assert_eq!(peer.told().await, "answer");
    let payload = || "1731999999.17:42".into();
    peer.send(Message::Ping(payload())).await;
    assert_eq!(peer.next().await, Some(Message::Pong(payload())));
    bench.stopped().await;
}

#[tokio::test]
async fn a_delivery_is_acknowledged_as_taken_once_it_is_and_else_refused() {
    let bench = Bench::start().await;
    let mut peer = bench.up().await;
    bench.intake.hold_all();
    peer.deliver("one", "C1").await;
    within(bench.intake.called(1)).await;
    // Nothing but the answer comes.
    peer.say("question").await;
    assert_eq!(peer.told().await, "answer");
    bench.intake.release();
    assert_eq!(peer.told().await, "taken one");
    bench.intake.reject_next(2);
    peer.deliver("two", "C1").await;
    peer.deliver("mute", "C1").await;
    peer.deliver("three", "C1").await;
    assert_eq!(peer.told().await, "again two");
    assert_eq!(peer.told().await, "taken three");
    assert_eq!(bench.taken(), ["one", "three"]);
    bench.stopped().await;
}

#[tokio::test]
async fn deliveries_of_a_chat_are_taken_in_order_and_chats_do_not_wait_for_each_other() {
    let bench = Bench::start().await;
    let mut old = bench.up().await;
    bench.intake.hold(&ChatId::new("C1"));
    old.deliver("a1", "C1").await;
    within(bench.intake.called(1)).await;
    bench.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    new.deliver("a2", "C1").await;
    new.deliver("b1", "C2").await;
    assert_eq!(new.told().await, "taken b1");
    new.deliver("a3", "C1").await;
    new.deliver("b2", "C2").await;
    assert_eq!(new.told().await, "taken b2");
    assert_eq!(bench.intake.calls().len(), 3, "one call for a chat");
    bench.intake.release();
    assert_eq!(old.told().await, "taken a1");
    assert_eq!(new.told().await, "taken a2");
    assert_eq!(new.told().await, "taken a3");
    assert_eq!(bench.taken(), ["b1", "b2", "a1", "a2", "a3"]);
    bench.stopped().await;
}

#[tokio::test]
async fn a_connection_is_replaced_on_request_without_a_gap() {
    let bench = Bench::start().await;
    let mut old = bench.up().await;
    let since = bench.health().since;
    bench.intake.hold(&ChatId::new("C1"));
    old.deliver("old-1", "C1").await;
    within(bench.intake.called(1)).await;
    bench.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    // Both are read; each is told what became of what it brought.
    new.deliver("new-1", "C2").await;
    assert_eq!(new.told().await, "taken new-1");
    old.deliver("old-2", "C3").await;
    assert_eq!(old.told().await, "taken old-2");
    bench.intake.release();
    assert_eq!(old.told().await, "taken old-1");
    // Nothing is in flight on it any longer.
    old.gets_closed().await;
    let health = bench.health();
    assert_eq!((health.link, health.since), (Link::Up, since));
    assert_eq!(bench.toy.n_attempts(), 2);
    bench.stopped().await;
}

#[tokio::test]
async fn a_retired_connection_is_not_kept_for_ever() {
    let timing = Timing {
        patience: Patience {
            retire: Duration::from_millis(50),
            ..TIMING.patience
        },
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let mut old = bench.up().await;
    bench.intake.hold_all();
    old.deliver("held", "C1").await;
    within(bench.intake.called(1)).await;
    bench.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    old.gets_closed().await;
    // What it brought is taken all the same; it will come again.
    bench.intake.release();
    assert_eq!(texts(&within(bench.intake.took(1)).await), ["held"]);
    new.deliver("again", "C1").await;
    assert_eq!(new.told().await, "taken again");
    bench.stopped().await;
}

#[tokio::test]
async fn what_is_on_its_way_when_a_connection_is_closed_is_taken() {
    let timing = Timing {
        patience: Patience {
            quiet: Duration::ZERO,
            ..TIMING.patience
        },
        close: PATIENCE,
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let mut old = bench.up().await;
    bench.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    new.say("question").await;
    assert_eq!(new.told().await, "answer");
    // By now our close frame is there, and this has crossed it.
    old.deliver("late", "C1").await;
    assert_eq!(texts(&within(bench.intake.took(1)).await), ["late"]);
    // It cannot be acknowledged any longer.
    old.gets_closed().await;
    bench.stop.cancel();
    new.gets_closed().await;
    bench.stopped().await;
}

#[tokio::test]
async fn farewells_in_close_succession_lose_nothing_and_connections_do_not_pile_up() {
    let bench = Bench::start().await;
    let mut current = bench.up().await;
    let mut retired = Vec::new();
    for round in 0..6 {
        // Less than half a second would be taken for a quarrel and slowed down.
        sleep(Duration::from_millis(550)).await;
        let (before, after) = (format!("before-{round}"), format!("after-{round}"));
        current.say("farewell").await;
        current.deliver(&before, "C1").await;
        let mut next = bench.server.connected().await;
        next.deliver(&after, "C1").await;
        assert_eq!(current.told().await, format!("taken {before}"));
        assert_eq!(next.told().await, format!("taken {after}"));
        retired.push(std::mem::replace(&mut current, next));
    }
    for old in retired {
        old.gets_closed().await;
    }
    assert_eq!(bench.taken().len(), 12);
    assert_eq!(bench.toy.n_attempts(), 7);
    bench.stopped().await;
}

#[tokio::test]
async fn too_many_connections_are_made_fewer_before_another_is_opened() {
    let bench = Bench::start().await;
    let mut old = bench.up().await;
    bench.intake.hold_all();
    old.deliver("held", "C1").await;
    within(bench.intake.called(1)).await;
    bench.reconnect.notify_one();
    let mut new = bench.server.connected().await;
    new.say("farewell crowded").await;
    old.gets_closed().await;
    new.gets_closed().await;
    assert_eq!(bench.toy.n_attempts(), 2);
    let _next = bench.up().await;
    bench.intake.release();
    bench.stopped().await;
}

#[tokio::test]
async fn a_dropped_connection_is_made_again_at_once() {
    let bench = Bench::start().await;
    let mut peer = bench.up().await;
    bench.intake.hold_all();
    peer.deliver("lost", "C1").await;
    within(bench.intake.called(1)).await;
    drop(peer.into_silence());
    let down = bench.link_becomes(Link::Down).await;
    assert!(down.last_error.is_some());
    let mut next = bench.up().await;
    // Its work has survived it, and what comes now is behind it.
    next.deliver("next", "C1").await;
    bench.intake.release();
    assert_eq!(next.told().await, "taken next");
    assert_eq!(bench.taken(), ["lost", "next"]);
    bench.stopped().await;
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_lose_nothing() {
    let bench = Bench::start().await;
    for round in 0..8 {
        let mut peer = bench.server.connected().await;
        peer.deliver(&round.to_string(), "C1").await;
        assert_eq!(peer.told().await, format!("taken {round}"));
        drop(peer.into_silence());
    }
    assert_eq!(bench.taken(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
    bench.stopped().await;
}

#[tokio::test]
async fn a_connection_that_the_peer_closes_is_made_again_without_waiting_for_tcp() {
    let timing = Timing {
        tcp: NEVER,
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let mut peer = bench.up().await;
    peer.send(Message::Close(None)).await;
    let down = bench.link_becomes(Link::Down).await;
    assert_eq!(
        down.last_error.as_deref(),
        Some("Toyland closed the connection")
    );
    let mut next = bench.up().await;
    next.deliver("next", "C1").await;
    assert_eq!(next.told().await, "taken next");
    drop(peer);
    bench.stopped().await;
}

#[tokio::test]
async fn who_is_sent_away_for_a_while_stays_away() {
    let bench = Bench::start().await;
    let mut peer = bench.up().await;
    let closed_at = Instant::now();
    let close = CloseFrame {
        code: CloseCode::Restart,
        reason: "".into(),
    };
    peer.send(Message::Close(Some(close))).await;
    bench.link_becomes(Link::Down).await;
    let _next = bench.up().await;
    assert!(closed_at.elapsed() >= AWAY);
    bench.stopped().await;
}

#[tokio::test]
async fn a_half_open_connection_is_found_out() {
    let timing = Timing {
        pong: Duration::from_millis(200),
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let silent = bench.up().await.into_silence();
    let down = bench.link_becomes(Link::Down).await;
    let reason = down.last_error.unwrap();
    assert!(reason.contains("nothing was heard for 200ms"), "{reason}");
    let mut next = bench.server.connected().await;
    next.say("").await;
    bench.link_becomes(Link::Up).await;
    drop(silent);
    bench.stopped().await;
}

#[tokio::test]
async fn a_quiet_connection_lives_while_anything_is_heard_after_each_ping() {
    let timing = Timing {
        pong: Duration::from_millis(900),
        ..TIMING
    };
    let bench = Bench::start_pinging(timing, Duration::from_secs(1)).await;
    let mut peer = bench.up().await;
    for _ in 0..3 {
        peer.pinged().await;
        peer.say("").await;
    }
    assert_eq!(bench.health().link, Link::Up);
    assert_eq!(bench.toy.n_attempts(), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn what_came_in_before_the_clock_jumped_counts_first() {
    let bench = Bench::start_pinging(TIMING, Duration::from_secs(1)).await;
    let mut peer = bench.up().await;
    // Often, as luck might help.
    for _ in 0..100 {
        peer.pinged().await;
        // Nobody reads it before the clock has jumped: the test holds the only thread.
        peer.say("").await;
        time::pause();
        time::advance(TIMING.pong * 2).await;
        time::resume();
    }
    assert_eq!(bench.health().link, Link::Up);
    assert_eq!(bench.toy.n_attempts(), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn pings_come_as_often_as_the_platform_says() {
    let bench = Bench::start_pinging(TIMING, NEVER).await;
    let mut peer = bench.up().await;
    peer.pinged().await;
    peer.say("upkeep 20").await;
    for _ in 0..3 {
        peer.pinged().await;
    }
    bench.stopped().await;
}

#[tokio::test]
async fn attempts_come_as_often_as_the_platform_says() {
    let bench = Bench::start().await;
    let peer = bench.up().await;
    let failure = Failure::Error(Verdict::Retry { after: None });
    bench.toy.fail(Some(failure));
    drop(peer.into_silence());
    // At our own pace these take a quarter of an hour.
    bench.toy.attempted(20).await;
    bench.stopped().await;
}

#[tokio::test]
async fn a_panic_costs_no_more_than_the_connection() {
    let bench = Bench::start().await;
    let mut peer = bench.up().await;
    peer.say("panic").await;
    let down = bench.link_becomes(Link::Down).await;
    let reason = down.last_error.unwrap();
    assert!(reason.contains("serving the connection failed"), "{reason}");
    let mut next = bench.up().await;
    next.deliver("next", "C1").await;
    assert_eq!(next.told().await, "taken next");
    bench.stopped().await;
}

#[tokio::test]
async fn an_attempt_that_panics_is_a_failed_attempt() {
    let bench = Bench::start_failing(TIMING, Some(Failure::Panic)).await;
    let down = bench.link_becomes(Link::Down).await;
    let reason = down.last_error.unwrap();
    assert!(reason.contains("panicked"), "{reason}");
    bench.toy.fail(None);
    let _peer = bench.up().await;
    bench.stopped().await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_waiting_kills_no_connection() {
    const N: usize = lines::CAPACITY + 200;
    let timing = Timing {
        pong: Duration::from_secs(1),
        pause: PATIENCE,
        ..TIMING
    };
    let bench = Bench::start_pinging(timing, Duration::from_millis(50)).await;
    let mut peer = bench.up().await;
    bench.intake.hold_all();
    for number in 0..N {
        peer.deliver(&number.to_string(), &format!("C{number}"))
            .await;
    }
    within(bench.intake.called(lines::CAPACITY)).await;
    // Longer than a connection may be silent; nothing more is read, and nothing is given up.
    sleep(timing.pong * 2).await;
    assert_eq!(bench.intake.calls().len(), lines::CAPACITY);
    assert_eq!(bench.health().link, Link::Up);
    bench.intake.release();
    peer.is_told((0..N).map(|number| format!("taken {number}")))
        .await;
    assert_eq!(bench.toy.n_attempts(), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn without_room_for_long_deliveries_are_refused_and_the_connection_lives() {
    let timing = Timing {
        pause: Duration::from_millis(50),
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let mut peer = bench.up().await;
    bench.intake.hold_all();
    let places = 0..lines::CAPACITY;
    for number in places.clone() {
        peer.deliver(&number.to_string(), &format!("C{number}"))
            .await;
    }
    for name in ["late-1", "mute-1", "mute-2", "late-2"] {
        peer.deliver(name, name).await;
    }
    peer.say("question").await;
    for told in ["again late-1", "again late-2", "answer"] {
        assert_eq!(peer.told().await, told);
    }
    bench.intake.release();
    peer.is_told(places.map(|number| format!("taken {number}")))
        .await;
    peer.deliver("late-1", "C1").await;
    assert_eq!(peer.told().await, "taken late-1");
    assert_eq!(bench.toy.n_attempts(), 1);
    bench.stopped().await;
}

/// What is tried again slowly.
fn operator() -> Option<Failure> {
    Some(Failure::Error(Verdict::Operator {
        remedy: "do this".to_owned(),
    }))
}

#[tokio::test]
async fn what_needs_the_operator_is_tried_again_slowly() {
    let timing = Timing {
        habits: Habits {
            slow: Duration::from_millis(50),
            ..TIMING.habits
        },
        ..TIMING
    };
    let bench = Bench::start_failing(timing, operator()).await;
    let health = bench.link_becomes(Link::NeedsOperator).await;
    assert_eq!(health.last_error.as_deref(), Some("do this"));
    bench.toy.fail(None);
    let _peer = bench.up().await;
    bench.stopped().await;
}

#[tokio::test]
async fn a_request_to_reconnect_cuts_a_slow_wait_short() {
    let timing = Timing {
        habits: Habits {
            slow: NEVER,
            ..TIMING.habits
        },
        ..TIMING
    };
    let bench = Bench::start_failing(timing, operator()).await;
    bench.link_becomes(Link::NeedsOperator).await;
    bench.toy.fail(None);
    bench.reconnect.notify_one();
    let _peer = bench.up().await;
    bench.stopped().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_the_next_attempt() {
    let failure = Failure::Error(Verdict::Retry { after: Some(NEVER) });
    let bench = Bench::start_failing(TIMING, Some(failure)).await;
    let health = bench.link_becomes(Link::Down).await;
    assert_eq!(health.last_error.as_deref(), Some("no connection today"));
    // The platform's wish counts more than ours.
    bench.reconnect.notify_one();
    the_word_goes_round().await;
    assert_eq!(bench.toy.n_attempts(), 1);
    bench.stopped().await;
}

#[tokio::test]
async fn stop_acknowledges_what_is_in_flight_and_takes_nothing_more() {
    let bench = Bench::start().await;
    let mut peer = bench.up().await;
    bench.intake.hold_all();
    for (name, chat) in [("1", "C1"), ("2", "C1"), ("3", "C2")] {
        peer.deliver(name, chat).await;
    }
    within(bench.intake.called(2)).await;
    bench.stop.cancel();
    the_word_goes_round().await;
    peer.deliver("after", "C3").await;
    the_word_goes_round().await;
    bench.intake.release();
    peer.is_told(["1", "2", "3"].map(|name| format!("taken {name}")))
        .await;
    peer.gets_closed().await;
    assert_eq!(bench.intake.calls().len(), 3);
    bench.stopped().await;
}

#[tokio::test]
async fn stop_does_not_wait_for_ever_for_what_is_in_flight() {
    let timing = Timing {
        patience: Patience {
            drain: Duration::from_millis(50),
            ..TIMING.patience
        },
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let mut peer = bench.up().await;
    bench.intake.hold_all();
    peer.deliver("held", "C1").await;
    within(bench.intake.called(1)).await;
    bench.stop.cancel();
    assert_eq!(peer.told().await, "again held");
    peer.gets_closed().await;
    bench.stopped().await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_hold_up_the_end() {
    let timing = Timing {
        close: Duration::from_millis(50),
        ..TIMING
    };
    let bench = Bench::start_with(timing).await;
    let silent = bench.up().await.into_silence();
    bench.stopped().await;
    drop(silent);
}

/// An intake that takes its time, as a busy disk does.
struct Slow(Arc<RecordingIntake>);

#[async_trait]
impl Intake for Slow {
    async fn accept(&self, event: Event) -> Result<Receipt, AcceptError> {
        sleep(Duration::from_millis(50)).await;
        self.0.accept(event).await
    }
}

#[tokio::test]
async fn two_hundred_deliveries_a_second_are_acknowledged_in_time() {
    const N: usize = 1_000;
    let intake = Arc::new(RecordingIntake::default());
    let slow = Arc::new(Slow(Arc::clone(&intake)));
    let server = Server::start().await;
    let toy = Toy::new(&server, Duration::from_secs(30));
    let bench = Bench::start_into(server, toy, TIMING, intake, slow);
    let mut peer = bench.up().await;
    let started_at = Instant::now();
    let mut sent_at = Vec::new();
    let mut slowest = Duration::ZERO;
    let mut n_acknowledged = 0;
    while n_acknowledged < N {
        let next_at = started_at + Duration::from_millis(5) * u32::try_from(sent_at.len()).unwrap();
        tokio::select! {
            () = sleep_until(next_at), if sent_at.len() < N => {
                let number = sent_at.len();
                sent_at.push(Instant::now());
                peer.deliver(&number.to_string(), &format!("C{}", number % 50)).await;
            }
            told = peer.told() => {
                let number: usize = told.strip_prefix("taken ").unwrap().parse().unwrap();
                slowest = slowest.max(sent_at[number].elapsed());
                n_acknowledged += 1;
            }
        }
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert_eq!(bench.taken().len(), N);
    bench.stopped().await;
}
