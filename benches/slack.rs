//! How long a team in Slack waits, measured and printed, asserted nowhere:
//! `cargo bench --bench slack`.
//!
//! A mock of Slack in this process, which adds next to nothing, the daemon as a process, the real
//! Codex, and a model that echoes at once. The mock limits nothing, but the daemon keeps the pace
//! that the real Slack asks for: a post a second in each channel, twenty a second in all. Questions
//! that come while a session works are answered together, so that there are fewer turns and posts
//! than questions.
#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::daemon::{Choices, World};
use support::model::Echo;
use support::slack::{Asked, MockSlack, Options};

/// How fast which number of messages comes, in how many threads of how many channels.
struct Load {
    name: &'static str,
    channels: usize,
    threads: usize,
    messages: usize,
    every: Duration,
}

const LOADS: [Load; 3] = [
    Load {
        name: "1 message/s, 10 threads in 10 channels",
        channels: 10,
        threads: 10,
        messages: 60,
        every: Duration::from_secs(1),
    },
    Load {
        name: "200 messages/s, 50 threads in 50 channels",
        channels: 50,
        threads: 50,
        messages: 2000,
        every: Duration::from_millis(5),
    },
    Load {
        name: "all at once, 100 threads in 10 channels",
        channels: 10,
        threads: 100,
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
    let slack = MockSlack::start(Options::default()).await;
    let choices = Choices {
        dispatcher: "sessions = \"thread\"\n".to_owned(),
        ..Choices::standard()
    };
    let choices = choices.with_slack(&slack, "");
    let mut world = World::new(Echo::new().start().await, &choices);
    world.start();
    world.ready(0).await;
    slack.wait_for_connections(1).await;
    let idle = world.memory("VmRSS");

    // What a thread's first message has to make is not what is asked here.
    let mei = slack.person("Mei");
    let channels: Vec<String> = (0..load.channels)
        .map(|number| slack.public(&format!("channel-{number}")))
        .collect();
    let roots: Vec<Asked> = (0..load.threads)
        .map(|number| {
            let channel = &channels[number % channels.len()];
            slack.ask(&mei, channel, &format!("root {number} over"))
        })
        .collect();
    slack.all_answered(&roots).await;
    let (posts, turns) = (slack.count_posts(), world.model.requests().len());
    let acks = slack.acks().len();

    let began = Instant::now();
    let mut pace = tokio::time::interval(load.every);
    let mut asked = Vec::with_capacity(load.messages);
    for number in 0..load.messages {
        pace.tick().await;
        let root = &roots[number % roots.len()];
        let text = format!("question {number} over");
        asked.push(slack.ask_below(&mei, &root.chat, &root.message, &text));
    }
    let took = began.elapsed();
    for asked in asked.chunks(250) {
        slack.all_answered(asked).await;
    }
    let until_the_last = began.elapsed();
    slack.tally(&asked).assert_exactly_once();

    println!(
        "{}: {} messages in {:.1} s, {} turns, {} posts, the last after {:.1} s",
        load.name,
        load.messages,
        took.as_secs_f64(),
        world.model.requests().len() - turns,
        slack.count_posts() - posts,
        until_the_last.as_secs_f64(),
    );
    let acks = slack.acks().split_off(acks);
    report("push to ack", acks.iter().map(|ack| ack.after).collect());
    report("push to first post", slack.waits(&asked));
    println!(
        "  resident memory of the daemon: idle {idle:.1} MB, at the end {:.1} MB, at most {:.1} MB",
        world.memory("VmRSS"),
        world.memory("VmHWM"),
    );
    world.finish().await;
    slack.finish();
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
