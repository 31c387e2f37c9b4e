//! The connection to codex breaks, or carries nonsense, while codex lives: turns go on, and
//! nothing is submitted twice.

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::support::model::{Point, within};
use crate::support::proxied::Proxied;
use crate::support::proxy::{Mishap, To};
use crate::support::random::{Random, seed};

const TURN_START: &str = "\"turn/start\"";

#[tokio::test]
async fn broken_while_idle_it_is_made_again_and_the_thread_goes_on() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let one = proxied.world.platform.write("a", "before");
    proxied.world.platform.settled(&one).await;
    for _ in 0..3 {
        proxied.break_connection().await;
    }
    let two = proxied.world.platform.write("a", "behind");
    assert_eq!(
        proxied.world.platform.settled(&two).await[0].text,
        "echo: behind"
    );
    proxied.world.platform.tally().assert_exactly_once();
    assert_told_once(&proxied.world, &["before", "behind"]);
    assert_one_thread(&proxied.world);
    proxied.finish().await;
}

#[tokio::test]
async fn broken_after_turn_start_the_turn_goes_on() {
    let echo = Echo::new();
    let proxied = Proxied::child(&echo, Choices::standard()).await;
    at_point(proxied, &echo, Point::Start).await;
}

#[tokio::test]
async fn broken_mid_stream_the_turn_goes_on() {
    let echo = Echo::new();
    let proxied = Proxied::child(&echo, Choices::standard()).await;
    at_point(proxied, &echo, Point::MidStream).await;
}

#[tokio::test]
async fn broken_after_the_answer_the_answer_is_delivered() {
    let echo = Echo::new();
    let proxied = Proxied::child(&echo, Choices::standard()).await;
    at_point(proxied, &echo, Point::BeforeEnd).await;
}

#[tokio::test]
async fn broken_mid_stream_to_a_codex_of_somebody_elses_the_turn_goes_on() {
    let echo = Echo::new();
    let proxied = Proxied::outside(&echo, Choices::standard()).await;
    at_point(proxied, &echo, Point::MidStream).await;
}

async fn at_point(mut proxied: Proxied, echo: &Echo, point: Point) {
    let warm = proxied.world.platform.write("a", "warming up");
    proxied.world.platform.settled(&warm).await;
    let hold = echo.hold("fragile", point);
    let id = proxied.world.platform.write("a", "fragile");
    hold.reached().await;
    let next = proxied.world.platform.write("a", "the one after");
    proxied.world.platform.acked(&next).await;
    proxied.break_connection().await;
    hold.release();
    assert_eq!(
        proxied.world.platform.settled(&id).await[0].text,
        "echo: fragile"
    );
    assert_eq!(
        proxied.world.platform.settled(&next).await[0].text,
        "echo: the one after"
    );
    proxied.world.platform.tally().assert_exactly_once();
    assert_told_once(&proxied.world, &["warming up", "fragile", "the one after"]);
    assert_one_thread(&proxied.world);
    // Nobody cut the turn off: the model was asked once for each message.
    assert_eq!(
        proxied.world.model.requests().len(),
        3,
        "{}",
        proxied.world.log()
    );
    proxied.finish().await;
}

#[tokio::test]
async fn ended_while_it_was_away_the_turn_is_found_settled() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let warm = proxied.world.platform.write("a", "warming up");
    proxied.world.platform.settled(&warm).await;
    let hold = echo.hold("meanwhile", Point::MidStream);
    let id = proxied.world.platform.write("a", "meanwhile");
    hold.reached().await;
    // Nothing of the turn's end reaches the daemon.
    let mut end = proxied
        .proxy
        .at_frame(To::Daemon, "\"turn/completed\"", Mishap::Before);
    hold.release();
    end.seen().await;
    assert_eq!(
        proxied.world.platform.settled(&id).await[0].text,
        "echo: meanwhile"
    );
    proxied.world.platform.tally().assert_exactly_once();
    assert_told_once(&proxied.world, &["meanwhile"]);
    assert_eq!(
        proxied.world.model.requests().len(),
        2,
        "{}",
        proxied.world.log()
    );
    proxied.finish().await;
}

#[tokio::test]
async fn broken_at_each_step_of_a_submission_it_happens_once() {
    let steps = [
        (
            "the request never leaves",
            To::Server,
            TURN_START,
            Mishap::Before,
        ),
        ("half a request", To::Server, TURN_START, Mishap::Halfway),
        (
            "a request without an answer",
            To::Server,
            TURN_START,
            Mishap::After,
        ),
        (
            "the turn began",
            To::Daemon,
            "\"turn/started\"",
            Mishap::Before,
        ),
        (
            "half a beginning",
            To::Daemon,
            "\"turn/started\"",
            Mishap::Halfway,
        ),
        (
            "not recorded yet",
            To::Daemon,
            "\"userMessage\"",
            Mishap::Before,
        ),
        ("recorded", To::Daemon, "\"userMessage\"", Mishap::After),
        (
            "half an answer",
            To::Daemon,
            "item/agentMessage/delta",
            Mishap::Halfway,
        ),
        (
            "half an end",
            To::Daemon,
            "\"turn/completed\"",
            Mishap::Halfway,
        ),
        ("the end", To::Daemon, "\"turn/completed\"", Mishap::After),
    ];
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    // Twice: in a thread that is new, and in one that has turns.
    for round in ["new", "used"] {
        for (chat, (name, to, text, mishap)) in steps.iter().enumerate() {
            let mut mishap = proxied.proxy.at_frame(*to, text, *mishap);
            let message = format!("{name} in a {round} thread.");
            let id = proxied
                .world
                .platform
                .write(&format!("chat{chat}"), &message);
            mishap.seen().await;
            let posts = proxied.world.platform.settled(&id).await;
            assert_eq!(
                posts[0].text,
                format!("echo: {message}"),
                "{}",
                proxied.world.log()
            );
            assert_told_once(&proxied.world, &[&message]);
        }
    }
    proxied.world.platform.tally().assert_exactly_once();
    proxied.finish().await;
}

#[tokio::test]
async fn broken_again_in_the_handshake_and_at_the_resume_it_is_tried_again() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let one = proxied.world.platform.write("a", "before");
    proxied.world.platform.settled(&one).await;
    let hold = echo.hold("under way", Point::MidStream);
    let id = proxied.world.platform.write("a", "under way");
    hold.reached().await;
    let proxy = &proxied.proxy;
    let mut mishaps = [
        proxy.at_frame(To::Server, "\"initialize\"", Mishap::Halfway),
        proxy.at_frame(To::Server, "\"initialize\"", Mishap::After),
        proxy.at_frame(To::Server, "\"thread/resume\"", Mishap::After),
        proxy.at_frame(To::Server, "\"thread/turns/list\"", Mishap::After),
    ];
    proxy.break_now();
    for mishap in &mut mishaps {
        mishap.seen().await;
    }
    hold.release();
    assert_eq!(
        proxied.world.platform.settled(&id).await[0].text,
        "echo: under way"
    );
    proxied.world.platform.tally().assert_exactly_once();
    assert_told_once(&proxied.world, &["before", "under way"]);
    assert_one_thread(&proxied.world);
    proxied.finish().await;
}

#[tokio::test]
async fn held_back_for_a_while_what_was_said_arrives_and_nothing_is_repeated() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let warm = proxied.world.platform.write("a", "warming up");
    proxied.world.platform.settled(&warm).await;
    let so_far = proxied.proxy.connections();
    // On the way there, and on the way back.
    proxied.proxy.hold(true);
    let there = proxied.world.platform.write("a", "on the way there");
    proxied.world.platform.acked(&there).await;
    // What is tested is that time passes.
    tokio::time::sleep(Duration::from_millis(700)).await;
    proxied.proxy.hold(false);
    proxied.world.platform.settled(&there).await;
    let hold = echo.hold("on the way back", Point::MidStream);
    let back = proxied.world.platform.write("a", "on the way back");
    hold.reached().await;
    proxied.proxy.hold(true);
    hold.release();
    tokio::time::sleep(Duration::from_millis(700)).await;
    proxied.proxy.hold(false);
    proxied.world.platform.settled(&back).await;
    proxied.world.platform.tally().assert_exactly_once();
    assert_told_once(&proxied.world, &["on the way there", "on the way back"]);
    assert_eq!(
        proxied.proxy.connections(),
        so_far,
        "{}",
        proxied.world.log()
    );
    proxied.finish().await;
}

#[tokio::test]
async fn a_connection_that_carries_nothing_any_more_is_replaced() {
    let echo = Echo::new();
    // A child of its own that says nothing would be replaced as well.
    let mut proxied = Proxied::outside(&echo, Choices::standard()).await;
    let warm = proxied.world.platform.write("a", "warming up");
    proxied.world.platform.settled(&warm).await;
    let hold = echo.hold("into the void", Point::MidStream);
    let id = proxied.world.platform.write("a", "into the void");
    hold.reached().await;
    proxied.proxy.hold(true);
    hold.release();
    // The daemon gives it up, and says so; the next one is let through.
    within("the connection to be given up", async {
        while proxied.world.logged("codex has been silent").is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    proxied.proxy.hold(false);
    assert_eq!(
        proxied.world.platform.settled(&id).await[0].text,
        "echo: into the void"
    );
    proxied.world.platform.tally().assert_exactly_once();
    assert_told_once(&proxied.world, &["warming up", "into the void"]);
    assert_one_thread(&proxied.world);
    proxied.finish().await;
}

#[tokio::test]
async fn nonsense_from_codex_is_passed_over_and_the_conversation_goes_on() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let warm = proxied.world.platform.write("a", "warming up");
    proxied.world.platform.settled(&warm).await;
    let so_far = proxied.proxy.connections();
    let proxy = &proxied.proxy;
    let huge = format!(
        "{{\"method\":\"no/such\",\"params\":{{\"text\":\"{}\"}}}}",
        "x".repeat(30 << 20)
    );
    let nonsense: [(&str, &dyn Fn()); 9] = [
        ("no json", &|| proxy.say_to_daemon("{no json")),
        ("nothing", &|| proxy.say_to_daemon("")),
        ("an array", &|| proxy.say_to_daemon("[1,2,3]")),
        ("no message", &|| proxy.say_to_daemon("{\"hello\":1}")),
        ("an unknown notification", &|| {
            proxy.say_to_daemon("{\"method\":\"no/such\",\"params\":{\"threadId\":\"none\"}}");
        }),
        ("a known one of another shape", &|| {
            proxy.say_to_daemon("{\"method\":\"turn/completed\",\"params\":{\"turn\":7}}");
        }),
        ("an answer to nothing", &|| {
            proxy.say_to_daemon("{\"id\":999999,\"result\":{}}");
        }),
        ("a binary frame", &|| proxy.slip(0x2, b"\x00\x01\x02")),
        ("thirty megabytes", &|| proxy.say_to_daemon(&huge)),
    ];
    for (name, slip) in nonsense {
        let text = format!("in spite of {name}.");
        let hold = echo.hold(&text, Point::MidStream);
        let id = proxied.world.platform.write("a", &text);
        hold.reached().await;
        slip();
        hold.release();
        let posts = proxied.world.platform.settled(&id).await;
        assert_eq!(
            posts[0].text,
            format!("echo: {text}"),
            "{}",
            proxied.world.log()
        );
    }
    // What nobody knows is answered all the same, so that codex does not wait for ever.
    let mut answer = proxy.at_frame(To::Server, "\"never-heard-of\"", Mishap::None);
    proxy.say_to_daemon("{\"id\":\"never-heard-of\",\"method\":\"no/such/request\",\"params\":{}}");
    let answer: serde_json::Value = serde_json::from_str(&answer.seen().await).unwrap();
    assert!(answer["error"]["code"].is_i64(), "{answer}");

    assert_eq!(proxy.connections(), so_far, "{}", proxied.world.log());
    proxied.world.platform.tally().assert_exactly_once();
    assert_one_thread(&proxied.world);
    proxied.finish().await;
}

#[tokio::test]
async fn what_breaks_the_framing_costs_the_connection_and_nothing_else() {
    let echo = Echo::new();
    let mut proxied = Proxied::child(&echo, Choices::standard()).await;
    let warm = proxied.world.platform.write("a", "warming up");
    proxied.world.platform.settled(&warm).await;
    let proxy = &proxied.proxy;
    let breaking: [(&str, u8, &[u8]); 3] = [
        ("text that is not UTF-8", 0x1, b"\xff\xfe"),
        ("a reserved opcode", 0x7, b"what"),
        ("an orderly close", 0x8, b""),
    ];
    for (name, opcode, payload) in breaking {
        let hold = echo.hold(name, Point::MidStream);
        let id = proxied.world.platform.write("a", name);
        hold.reached().await;
        let so_far = proxy.connections();
        proxy.slip(opcode, payload);
        proxy.connected_again(so_far).await;
        hold.release();
        let posts = proxied.world.platform.settled(&id).await;
        assert_eq!(
            posts[0].text,
            format!("echo: {name}"),
            "{}",
            proxied.world.log()
        );
        assert_told_once(&proxied.world, &[name]);
    }
    proxied.world.platform.tally().assert_exactly_once();
    assert_one_thread(&proxied.world);
    proxied.finish().await;
}

/// How often the connection breaks at random.
const BREAKS: usize = 50;

#[tokio::test]
async fn fifty_breaks_at_random_moments_lose_nothing_and_repeat_nothing() {
    let echo = Echo::new();
    let proxied = Proxied::child(&echo, Choices::standard()).await;
    break_at_random(proxied).await;
}

#[tokio::test]
async fn fifty_breaks_to_a_codex_of_somebody_elses_lose_nothing_and_repeat_nothing() {
    let echo = Echo::new();
    let proxied = Proxied::outside(&echo, Choices::standard()).await;
    break_at_random(proxied).await;
}

async fn break_at_random(mut proxied: Proxied) {
    let seed = seed();
    let mut random = Random(seed);
    let proxy = &proxied.proxy;
    let mut texts = Vec::new();
    for _ in 0..BREAKS {
        for _ in 0..random.below(3) {
            let chat = format!("chat{}", random.below(4));
            let text = format!("message {} of {chat} over", texts.len());
            proxied.world.platform.write(&chat, &text);
            texts.push(text);
        }
        // The moment of the break is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(120_000))).await;
        let mishaps = [Mishap::Before, Mishap::Halfway, Mishap::After];
        let mishap = mishaps[random.below(3) as usize];
        match random.below(3) {
            0 => proxy.break_now(),
            1 => drop(proxy.at_frame(To::Server, "", mishap)),
            _ => drop(proxy.at_frame(To::Daemon, "", mishap)),
        }
    }
    proxied.world.platform.all_settled().await;
    let tally = proxied.world.platform.tally();
    let report = format!(
        "seed {seed}: {BREAKS} breaks, {} connections; {} messages, {} answered, {} unclear, {} \
         lost, {} twice\n",
        proxy.connections(),
        tally.written,
        tally.answered,
        tally.unclear,
        tally.lost.len(),
        tally.twice.len(),
    );
    std::io::stderr().write_all(report.as_bytes()).unwrap();
    tally.assert_exactly_once();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_told_once(&proxied.world, &texts);
    assert!(proxy.connections() > BREAKS as u64 / 2, "{report}");
    proxied.finish().await;
}

fn assert_one_thread(world: &World) {
    let told = crate::support::model::told(&world.model);
    assert_eq!(told.len(), 1, "{told:#?}");
}
