//! Orders about a lane's thread, the threads it can go back to, and stops.

use pretty_assertions::assert_eq;

use super::fixture::{accept, lane, new_message};
use crate::id::{DispatcherId, LaneId, OrderId, ThreadId, TurnKey};
use crate::ledger::{
    IdempotencyKey, KeptThread, LaneModel, LaneWish, Ledger, LedgerSettings, LedgerThread,
    LostThread, MAX_KEPT, MAX_ORDERS, MessageState, NewStop, Once, OrderEffect, OrderPhase,
    OrderRefusal, Orderer, Outcome, Reach, RequestDigest, Stop, StoppedTurn, TurnEvent,
};
use std::time::SystemTime;

struct Bench {
    dir: tempfile::TempDir,
    ledger: Ledger,
    thread: LedgerThread,
    messages: usize,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
        Self {
            dir,
            ledger,
            thread,
            messages: 0,
        }
    }

    /// The same after the daemon has ended and was started again.
    async fn again(self) -> Self {
        let Self {
            dir,
            ledger,
            thread,
            messages,
        } = self;
        drop(ledger);
        thread.close().await;
        let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
        Self {
            dir,
            ledger,
            thread,
            messages,
        }
    }

    async fn order(&self, wish: LaneWish) -> OrderId {
        let lane = &lane();
        let by = Orderer::default();
        let flow = DispatcherId::new("flow");
        let order = self.ledger.order(lane, &flow, wish, by, None).await;
        match order.unwrap().unwrap() {
            Once::New(id) => id,
            Once::Repeated { .. } => panic!("there was no key"),
        }
    }

    async fn finish(&self, effect: OrderEffect) {
        let lane = &lane();
        let id = self.order(LaneWish::New).await;
        let finished = self.ledger.finish_order(lane, id, effect, Vec::new());
        finished.await.unwrap();
    }

    async fn begin_thread(&self, name: &str) {
        let lane = &lane();
        let reach = Reach {
            tools: 7,
            only_tools: name == "t1",
        };
        let set = self.ledger.set_thread(lane, ThreadId::new(name), reach);
        set.await.unwrap();
    }

    /// A turn on the present thread, with a message of that text.
    async fn turn(&mut self, text: &str) {
        let lane = &lane();
        self.messages += 1;
        let mut new = new_message(&format!("m{}", self.messages));
        new.message.body = vec![tieline_channel::Segment::Text(text.to_owned())];
        self.ledger.accept(new).await.unwrap();
        let waiting = self.ledger.waiting(lane, 1).await.unwrap();
        let key = TurnKey::new();
        let ledger = &self.ledger;
        let ids = vec![waiting[0].id];
        ledger.open_turn(lane, key, ids).await.unwrap();
        for _ in 0..2 {
            let delivered = TurnEvent::Delivered { turn: None };
            ledger.advance_turn(lane, key, delivered).await.unwrap();
        }
        let settled = ledger.settle_turn(lane, key, Outcome::Answered, Vec::new());
        settled.await.unwrap();
    }

    async fn kept(&self) -> Vec<(String, u32, Option<u32>, String)> {
        let lane = &lane();
        let kept = self.ledger.kept_threads(lane).await.unwrap();
        let tell = |kept: KeptThread| {
            let thread = kept.thread.to_string();
            (thread, kept.number, kept.copy_of, kept.beginning)
        };
        let mut kept: Vec<_> = kept.into_iter().map(tell).collect();
        kept.sort();
        kept
    }

    async fn present(&self) -> Option<String> {
        let lane = &lane();
        let record = self.ledger.lane(lane).await.unwrap().unwrap();
        record.thread.map(|it| it.to_string())
    }

    async fn close(self) {
        drop(self.ledger);
        self.thread.close().await;
    }
}

fn kept(
    thread: &str,
    number: u32,
    copy: Option<u32>,
    text: &str,
) -> (String, u32, Option<u32>, String) {
    (thread.to_owned(), number, copy, text.to_owned())
}

#[tokio::test]
async fn orders_wait_in_order_and_leave_with_their_effect() {
    let lane = &lane();
    let bench = Bench::new();
    let first = bench.order(LaneWish::Fork).await;
    let second = bench.order(LaneWish::Compact).await;
    let bench = bench.again().await;
    let ids = |orders: Vec<crate::ledger::LaneOrder>| -> Vec<_> {
        orders.into_iter().map(|order| order.id).collect()
    };
    let orders = bench.ledger.orders(lane).await.unwrap();
    assert_eq!(ids(orders), [first, second]);
    let phase = OrderPhase::Begun {
        thread: ThreadId::new("t1"),
        after: None,
    };
    let advanced = bench.ledger.advance_order(lane, second, phase.clone());
    advanced.await.unwrap();
    let finished = bench
        .ledger
        .finish_order(lane, first, OrderEffect::None, Vec::new());
    finished.await.unwrap();
    let bench = bench.again().await;
    let orders = bench.ledger.orders(lane).await.unwrap();
    assert_eq!(orders[0].phase, phase);
    assert_eq!(ids(orders), [second]);
    assert_eq!(bench.ledger.lane(lane).await.unwrap().unwrap().orders, 1);
    // Nothing is carried out twice.
    let again = bench
        .ledger
        .finish_order(lane, first, OrderEffect::Leave, Vec::new());
    again.await.unwrap_err();
    bench.close().await;
}

#[tokio::test]
async fn so_many_orders_wait_and_no_more_and_a_key_is_taken_once() {
    let lane = &lane();
    let bench = Bench::new();
    let flow = DispatcherId::new("flow");
    let key = IdempotencyKey {
        dispatcher: flow.clone(),
        operation: "lane-order",
        key: "k1".to_owned(),
        digest: RequestDigest::of(&"new"),
    };
    let order = || {
        let by = Orderer::default();
        bench
            .ledger
            .order(lane, &flow, LaneWish::New, by, Some(key.clone()))
    };
    let Ok(Once::New(id)) = order().await.unwrap() else {
        panic!("it is new");
    };
    for _ in 1..MAX_ORDERS {
        bench.order(LaneWish::New).await;
    }
    // Also when there would be no room for it.
    let made = id.to_string();
    assert_eq!(order().await.unwrap(), Ok(Once::Repeated { made }));
    let by = Orderer::default();
    let refused = bench.ledger.order(lane, &flow, LaneWish::New, by, None);
    assert_eq!(refused.await.unwrap(), Err(OrderRefusal::TooMany));
    assert_eq!(bench.ledger.orders(lane).await.unwrap().len(), MAX_ORDERS);
    bench.close().await;
}

#[tokio::test]
async fn a_lane_goes_on_in_new_threads_back_to_old_ones_and_in_copies() {
    let lane = &lane();
    let mut bench = Bench::new();
    bench.finish(OrderEffect::None).await;
    bench.begin_thread("t1").await;
    // What was never used is not kept.
    bench.finish(OrderEffect::Leave).await;
    assert_eq!(bench.kept().await, []);
    bench.begin_thread("t1").await;
    bench.turn("remember\n  the milk").await;
    bench.turn("and more").await;
    bench.finish(OrderEffect::Leave).await;
    assert_eq!(bench.present().await, None);
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    assert!(record.renewed && !record.had_turn && !record.has_forgotten());
    bench.begin_thread("t2").await;
    bench.turn(&"界".repeat(100)).await;
    let bench = bench.again().await;
    let long = "界".repeat(60) + "…";
    let both = [
        kept("t1", 1, None, "remember the milk"),
        kept("t2", 2, None, &long),
    ];
    assert_eq!(bench.kept().await, both);

    let back = |thread| OrderEffect::GoBack {
        thread: ThreadId::new(thread),
    };
    bench.finish(back("t1")).await;
    assert_eq!(bench.present().await.as_deref(), Some("t1"));
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    assert!(record.had_turn && record.reach.only_tools, "{record:?}");
    let flow = DispatcherId::new("flow");
    let of_thread = |name| {
        let (ledger, flow) = (bench.ledger.clone(), flow.clone());
        async move {
            let found = ledger.lane_of_thread(&flow, &ThreadId::new(name)).await;
            found.unwrap().is_some()
        }
    };
    assert!(of_thread("t1").await && !of_thread("t2").await);

    let copy = ThreadId::new("t3");
    bench.finish(OrderEffect::GoOn { copy }).await;
    assert_eq!(bench.present().await.as_deref(), Some("t3"));
    let [one, two] = both;
    let three = kept("t3", 3, Some(1), "remember the milk");
    assert_eq!(bench.kept().await, [one, two, three]);
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    assert!(record.had_turn && record.reach.only_tools, "{record:?}");

    // One that is lost cannot be gone back to.
    let lost = LostThread {
        thread: ThreadId::new("t3"),
        at: SystemTime::now(),
        reason: "gone".to_owned(),
    };
    bench
        .ledger
        .lose_thread(lane, lost, Vec::new())
        .await
        .unwrap();
    assert_eq!(bench.kept().await.len(), 2);
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    assert!(record.has_forgotten());
    bench.close().await;
}

#[tokio::test]
async fn only_so_many_threads_are_kept_and_the_present_one_always() {
    let mut bench = Bench::new();
    bench.finish(OrderEffect::None).await;
    for number in 0..MAX_KEPT + 5 {
        bench.begin_thread(&format!("t{number:02}")).await;
        bench.turn("hello").await;
        if number == 0 {
            // Used now and then, it stays.
            continue;
        }
        bench
            .finish(OrderEffect::GoBack {
                thread: ThreadId::new("t00"),
            })
            .await;
        bench.turn("hello again").await;
        bench.finish(OrderEffect::Leave).await;
    }
    let names: Vec<_> = bench.kept().await.into_iter().map(|it| it.0).collect();
    assert!(
        names.len() <= MAX_KEPT && names.len() >= MAX_KEPT - 1,
        "{names:?}"
    );
    assert!(names.contains(&"t00".to_owned()), "{names:?}");
    assert!(!names.contains(&"t01".to_owned()), "{names:?}");
    assert!(
        names.contains(&format!("t{:02}", MAX_KEPT + 4)),
        "{names:?}"
    );
    bench.close().await;
}

#[tokio::test]
async fn a_model_stays_until_it_is_taken_back() {
    let lane = &lane();
    let bench = Bench::new();
    let model = |name: Option<&str>| OrderEffect::Model {
        name: name.map(str::to_owned),
        before: Some("first".to_owned()),
    };
    bench.finish(model(Some("o9"))).await;
    let bench = bench.again().await;
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    let expected = |chosen: Option<&str>| LaneModel {
        chosen: chosen.map(str::to_owned),
        before: Some("first".to_owned()),
    };
    assert_eq!(record.model, Some(expected(Some("o9"))));
    bench.finish(model(None)).await;
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    assert_eq!(record.model, Some(expected(None)));
    bench.close().await;
}

#[tokio::test]
async fn a_stop_is_of_those_that_the_turn_answers_and_holds_after_a_restart() {
    let lane = &lane();
    let bench = Bench::new();
    let origin = |chat: &str| crate::ledger::Origin {
        channel: tieline_channel::ChannelId::new("team"),
        conversation: tieline_channel::Conversation {
            chat: tieline_channel::ChatId::new(chat),
            thread: None,
        },
    };
    let stop = |chat: &str, any_turn, all| NewStop {
        stop: Stop {
            origin: Some(origin(chat)),
            ..Stop::by_person()
        },
        origin: Some(origin(chat)),
        any_turn,
        all,
    };
    let stop = |chat: &str, any_turn, all| {
        bench
            .ledger
            .stop_lane(lane, stop(chat, any_turn, all), |_| Vec::new())
    };
    let nowhere = LaneId::new("flow/none");
    let nothing = NewStop {
        stop: Stop::by_person(),
        origin: None,
        any_turn: true,
        all: true,
    };
    let stopped = bench
        .ledger
        .stop_lane(&nowhere, nothing, |_| Vec::new())
        .await
        .unwrap();
    assert_eq!(stopped.turn, StoppedTurn::None);

    let running = accept(&bench.ledger, "running").await.unwrap();
    let key = TurnKey::new();
    bench
        .ledger
        .open_turn(lane, key, vec![running])
        .await
        .unwrap();
    let mine = accept(&bench.ledger, "mine").await.unwrap();
    let mut others = new_message("others");
    others.message.conversation.chat = tieline_channel::ChatId::new("C2");
    bench.ledger.accept(others).await.unwrap();

    let found = stop("C2", false, false).await.unwrap();
    assert_eq!((found.turn, found.waiting), (StoppedTurn::OfOthers, 1));
    let found = stop("C1", false, false).await.unwrap();
    assert_eq!((found.turn, found.waiting), (StoppedTurn::Ends, 1));
    let found = stop("C2", true, false).await.unwrap();
    assert_eq!(found.turn, StoppedTurn::Ended);
    let found = stop("C1", false, true).await.unwrap();
    let withdrawn: Vec<_> = found.withdrawn.iter().map(|it| it.id).collect();
    assert_eq!((found.waiting, withdrawn), (0, vec![mine]));
    let state = bench.ledger.message(mine).await.unwrap().unwrap().state;
    assert_eq!(state, MessageState::Cancelled);

    let bench = bench.again().await;
    let record = bench.ledger.lane(lane).await.unwrap().unwrap();
    assert_eq!(
        record.open.unwrap().stop.unwrap().origin,
        Some(origin("C1"))
    );
    assert_eq!(record.waiting, 1);
    bench.close().await;
}
