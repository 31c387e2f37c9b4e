//! How long an office in Feishu waits, measured and printed, asserted nowhere:
//! `cargo bench --bench feishu`.
//!
//! A mock of Feishu in this process, which adds next to nothing, the daemon as a process, the real
//! Codex, and a model that echoes at once. The mock limits nothing, but the daemon keeps the pace
//! that the real Feishu asks for: nearly four posts a second in each group, sixteen a second in all.
//! Questions that come while a session works are answered together, so that there are fewer turns
//! and posts than questions.
#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::daemon::{Choices, World};
use support::feishu::{Asked, MockFeishu, Options};
use support::model::Echo;

/// How fast which number of messages comes, in how many topics of how many groups.
struct Load {
    name: &'static str,
    groups: usize,
    topics: usize,
    messages: usize,
    every: Duration,
}

const LOADS: [Load; 3] = [
    Load {
        name: "1 message/s, 10 topics in 10 groups",
        groups: 10,
        topics: 10,
        messages: 60,
        every: Duration::from_secs(1),
    },
    Load {
        name: "200 messages/s, 50 topics in 50 groups",
        groups: 50,
        topics: 50,
        messages: 2000,
        every: Duration::from_millis(5),
    },
    Load {
        name: "all at once, 100 topics in 10 groups",
        groups: 10,
        topics: 100,
        messages: 100,
        every: Duration::from_millis(1),
    },
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for load in LOADS {
            measure(&load).await;
        }
    });
}

async fn measure(load: &Load) {
    let feishu = MockFeishu::start(Options::default()).await;
    let choices = Choices {
        dispatcher: "sessions = \"thread\"\n".to_owned(),
        ..Choices::standard()
    };
    let choices = choices.with_feishu(&feishu, "");
    let mut world = World::new(Echo::new().start().await, &choices);
    world.start();
    world.ready(0).await;
    feishu.wait_for_connections(1).await;
    let idle = world.memory("VmRSS");

    // What a topic's first message has to make is not what is asked here.
    let mei = feishu.person("Mei");
    let groups: Vec<String> = (0..load.groups)
        .map(|number| feishu.topic_group(&format!("group-{number}")))
        .collect();
    let roots: Vec<Asked> = (0..load.topics)
        .map(|number| {
            let group = &groups[number % groups.len()];
            feishu.ask(&mei, group, &format!("root {number} over"))
        })
        .collect();
    feishu.all_answered(&roots).await;
    let (posts, turns) = (feishu.count_posts(), world.model.requests().len());
    let acks = feishu.acks().len();

    let began = Instant::now();
    let mut pace = tokio::time::interval(load.every);
    let mut asked = Vec::with_capacity(load.messages);
    for number in 0..load.messages {
        pace.tick().await;
        let root = &roots[number % roots.len()];
        let text = format!("question {number} over");
        asked.push(feishu.ask_below(&mei, &root.chat, &root.message, &text));
    }
    let took = began.elapsed();
    for asked in asked.chunks(250) {
        feishu.all_answered(asked).await;
    }
    let until_the_last = began.elapsed();
    feishu.tally(&asked).assert_exactly_once();

    println!(
        "{}: {} messages in {:.1} s, {} turns, {} posts, the last after {:.1} s",
        load.name,
        load.messages,
        took.as_secs_f64(),
        world.model.requests().len() - turns,
        feishu.count_posts() - posts,
        until_the_last.as_secs_f64(),
    );
    let acks = feishu.acks().split_off(acks);
    report("push to ack", acks.iter().map(|ack| ack.after).collect());
    report("push to first post", feishu.waits(&asked));
    println!(
        "  resident memory of the daemon: idle {idle:.1} MB, at the end {:.1} MB, at most {:.1} MB",
        world.memory("VmRSS"),
        world.memory("VmHWM"),
    );
    world.finish().await;
    feishu.finish();
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "  {name:20} median {:9.2} ms   p95 {:9.2} ms   most {:9.2} ms",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}
