//! What the daemon costs, measured and printed, asserted nowhere: `cargo bench --bench daemon`.
//!
//! The same machine, the same run, the same scripted model: a direct client of the app-server, and
//! the whole way through tieline (console, ledger, lane, outbox and back). The figures are of the
//! machine they are taken on; what travels is the ratio.
#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/times.rs"]
mod times;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tieline::codex::protocol::{SandboxMode, ThreadSettings, TurnOverrides, UserInput};
use tieline::codex::{AppServer, LaunchConfig, Spawner, Thread, TurnEnd, TurnEvent, TurnOptions};
use tieline::demo::model::provider_config;

use support::codex::codex_bin;
use support::daemon::{Choices, World};
use support::model::Echo;
use times::report;

/// How many turns are timed.
const TURNS: usize = 200;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // Interleaved, so that a machine that gets slower does so for both.
        let mut direct = Vec::new();
        let mut whole = Vec::new();
        for _ in 0..2 {
            direct.extend(direct_turns().await);
            whole.extend(whole_turns().await);
        }
        println!("turns, one after the other   median      p95");
        let direct_median = report("direct client", &mut direct);
        let whole_median = report("through tieline", &mut whole);
        println!(
            "ratio of the medians      {:9.3}",
            whole_median.as_secs_f64() / direct_median.as_secs_f64()
        );
        println!();
        lives().await;
        memory().await;
    });
}

/// Turns of a client that does nothing but ask.
async fn direct_turns() -> Vec<Duration> {
    let model = Echo::new().start().await;
    let directory = tempfile::Builder::new()
        .prefix("tl-")
        .tempdir_in("/tmp")
        .expect("a directory");
    let home = directory.path().join("home");
    let work = directory.path().join("work");
    fs::create_dir_all(&home).expect("a home");
    fs::create_dir_all(&work).expect("a workspace");
    let mut launch = LaunchConfig::new(
        "bench",
        &home,
        &work,
        directory.path().join("run"),
        directory.path().join("logs"),
    );
    launch.bin = Some(codex_bin().to_owned());
    launch.config = provider_config(&model.base_url());
    let spawner = Spawner::new().expect("a spawner");
    let server = AppServer::start(&launch, &spawner)
        .await
        .expect("codex starts");
    let settings = ThreadSettings {
        cwd: Some(work),
        sandbox: Some(SandboxMode::ReadOnly),
        ..ThreadSettings::default()
    };
    let mut thread = Thread::start(server.client(), &settings)
        .await
        .expect("a thread");
    let mut times = Vec::with_capacity(TURNS);
    for n in 0..TURNS + 10 {
        let began = Instant::now();
        let options = TurnOptions {
            client_message_id: None,
            idle_limit: Duration::from_secs(60),
            overrides: TurnOverrides::default(),
        };
        let mut turn = thread.start_turn(vec![UserInput::text(format!("turn {n}"))], &options);
        loop {
            if let Some(TurnEvent::Settled(end)) = turn.next().await {
                assert!(
                    matches!(end, TurnEnd::Completed { answer: Some(_) }),
                    "{end:?}"
                );
                break;
            }
        }
        if n >= 10 {
            times.push(began.elapsed());
        }
    }
    drop(thread);
    server.stop(Duration::from_secs(5)).await;
    model.stop().await;
    times
}

/// Turns from the line on the console's socket to the post on it.
async fn whole_turns() -> Vec<Duration> {
    let mut world = World::new(Echo::new().start().await, &Choices::standard());
    world.start();
    let mut times = Vec::with_capacity(TURNS);
    for n in 0..TURNS + 10 {
        let began = Instant::now();
        let id = world.platform.write("bench", &format!("turn {n}"));
        world.platform.settled(&id).await;
        if n >= 10 {
            times.push(began.elapsed());
        }
    }
    world.finish().await;
    times
}

/// How long it takes until there is a codex that can be used.
async fn lives() {
    let mut starts = Vec::new();
    let mut restarts = Vec::new();
    for _ in 0..10 {
        let mut world = World::new(Echo::new().start().await, &Choices::standard());
        // What a first start has to make in an empty home is not what is asked here.
        world.start();
        world.ready(0).await;
        assert_eq!(world.stop_daemon().await, Some(0));
        let began = Instant::now();
        world.start();
        world.ready(0).await;
        starts.push(began.elapsed());
        let began = Instant::now();
        world.signal_app_server(Signal::KILL);
        world.ready(1).await;
        restarts.push(began.elapsed());
        world.finish().await;
    }
    println!("until ready                  median      p95");
    report("after the start", &mut starts);
    report("after kill -9 of codex", &mut restarts);
    println!();
}

async fn memory() {
    let mut world = World::new(Echo::new().start().await, &Choices::standard());
    world.start();
    world.ready(0).await;
    println!("resident memory of the daemon");
    println!("idle                     {:7.1} MB", world.memory("VmRSS"));
    for lane in 0..50 {
        world.platform.write(&format!("chat{lane}"), "hello");
    }
    world.platform.all_settled().await;
    println!("with 50 lanes            {:7.1} MB", world.memory("VmRSS"));
    let began = Instant::now();
    for round in 0..200 {
        for lane in 0..50 {
            world
                .platform
                .write(&format!("chat{lane}"), &format!("message {round}"));
        }
        if round % 20 == 19 {
            world.platform.all_settled().await;
        }
    }
    world.platform.all_settled().await;
    let took = began.elapsed();
    println!("after 10,000 messages    {:7.1} MB", world.memory("VmRSS"));
    println!(
        "10,000 messages in bursts over 50 lanes took {:.1} s",
        took.as_secs_f64()
    );
    world.platform.tally().assert_exactly_once();
    world.finish().await;
}
