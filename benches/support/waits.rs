//! How long people wait who ask a chat service in many places.
//!
//! A mock of the service in this process, which adds next to nothing, the daemon as a process, the
//! real Codex, and a model that echoes at once. The mock limits nothing, but the daemon keeps the
//! pace that the real service asks for. Questions that come while a session works are answered
//! together, so that there are fewer turns and posts than questions.

use std::time::{Duration, Instant};

use crate::support::daemon::{Choices, World};
use crate::support::mock::Asked;
use crate::support::model::Echo;
use crate::support::service::Service;

/// How fast which number of messages comes, in how many threads of how many groups.
struct Load {
    name: &'static str,
    groups: usize,
    threads: usize,
    messages: usize,
    every: Duration,
}

const LOADS: [Load; 3] = [
    Load {
        name: "1 message/s, 10 threads in 10 groups",
        groups: 10,
        threads: 10,
        messages: 60,
        every: Duration::from_secs(1),
    },
    Load {
        name: "200 messages/s, 50 threads in 50 groups",
        groups: 50,
        threads: 50,
        messages: 2000,
        every: Duration::from_millis(5),
    },
    Load {
        name: "all at once, 100 threads in 10 groups",
        groups: 10,
        threads: 100,
        messages: 100,
        every: Duration::from_millis(1),
    },
];

/// Measures the waits under each load, and prints them. Each begins with a mock of its own.
pub(crate) fn print<S: Service>(options: fn() -> S::Options) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        for load in LOADS {
            measure::<S>(options(), &load).await;
        }
    });
}

async fn measure<S: Service>(options: S::Options, load: &Load) {
    let service = S::start(options).await;
    let choices = Choices {
        dispatcher: "sessions = \"thread\"\n".to_owned(),
        ..Choices::standard()
    };
    let choices = S::join(&service, choices);
    let mut world = World::new(Echo::new().start().await, &choices);
    world.start();
    world.ready(0).await;
    service.wait_for_connections(1).await;
    let idle = world.memory("VmRSS");

    // What a thread's first message has to make is not what is asked here.
    let mei = S::person(&service, "Mei");
    let groups: Vec<String> = (0..load.groups)
        .map(|number| S::group(&service, &format!("group-{number}")))
        .collect();
    let roots: Vec<Asked> = (0..load.threads)
        .map(|number| {
            let group = &groups[number % groups.len()];
            S::ask(&service, &mei, group, &format!("root {number} over"))
        })
        .collect();
    service.all_answered(&roots).await;
    let count_posts = || service.shared.look(S::count_posts);
    let (posts, turns) = (count_posts(), world.model.requests().len());
    let acks = service.acks().len();

    let began = Instant::now();
    let mut pace = tokio::time::interval(load.every);
    let mut asked = Vec::with_capacity(load.messages);
    for number in 0..load.messages {
        pace.tick().await;
        let root = &roots[number % roots.len()];
        let text = format!("question {number} over");
        asked.push(S::ask_below(
            &service,
            &mei,
            &root.chat,
            &root.message,
            &text,
        ));
    }
    let took = began.elapsed();
    for asked in asked.chunks(250) {
        service.all_answered(asked).await;
    }
    let until_the_last = began.elapsed();
    service.tally(&asked).assert_exactly_once();

    println!(
        "{}: {} messages in {:.1} s, {} turns, {} posts, the last after {:.1} s",
        load.name,
        load.messages,
        took.as_secs_f64(),
        world.model.requests().len() - turns,
        count_posts() - posts,
        until_the_last.as_secs_f64(),
    );
    let acks = service.acks().split_off(acks);
    report("push to ack", acks.iter().map(|ack| ack.after).collect());
    report("push to first post", service.waits(&asked));
    println!(
        "  resident memory of the daemon: idle {idle:.1} MB, at the end {:.1} MB, at most {:.1} MB",
        world.memory("VmRSS"),
        world.memory("VmHWM"),
    );
    world.finish().await;
    service.finish();
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
