//! What teammates cost, measured and printed, asserted nowhere: `cargo bench --bench teammates`.
//!
//! The daemon as a process, the real Codex, and a model that echoes at once: what is measured is how
//! long work and its results are on their way, and what a thread that waits takes in memory.
#![allow(clippy::print_stdout, reason = "the figures are the point")]
#![allow(missing_docs, reason = "a program")]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "support/times.rs"]
mod times;

use std::fs;
use std::time::{Duration, Instant};

use tieline::control::{Client, FurtherTask, NewTeammate};

use support::daemon::{Choices, World};
use support::model::{Echo, Point, TRIGGER, completions_in, wait_for_requests};
use times::report;

/// How many teammates there are at most.
const TEAMMATES: usize = 20;

/// How many further tasks are timed.
const TASKS: usize = 100;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        ways().await;
        println!();
        memory().await;
        println!();
        parallel().await;
    });
}

/// A dispatcher to which a person has said something.
struct Scene {
    echo: Echo,
    world: World,
    client: Client,
}

impl Scene {
    async fn start() -> Self {
        let limits = "teammates = { max = 20, parallel = 20, announce = false }";
        let echo = Echo::new();
        let mut world = World::new(echo.start().await, &Choices::standard().with(limits));
        world.start();
        let first = world.platform.write("a", "hello");
        world.platform.settled(&first).await;
        let client = Client::new(&world.path().join("state/control.sock"));
        Self {
            echo,
            world,
            client,
        }
    }

    /// Has a teammate join.
    async fn spawn(&self, number: usize, task: &str) {
        let teammate = NewTeammate {
            name: name(number),
            task: task.to_owned(),
            ..NewTeammate::default()
        };
        let spawned = self.client.spawn("test", &teammate).await;
        spawned.expect("it joins");
    }

    /// Gives a teammate a further task.
    async fn assign(&self, number: usize, task: &str) {
        let task = FurtherTask {
            task: task.to_owned(),
            lane: None,
        };
        let given = self.client.assign("test", &name(number), &task).await;
        given.expect("it is taken");
    }

    /// Waits until a teammate's model is asked for a task.
    async fn begun(&self, task: &str) {
        wait_for_requests(&self.world.model, task, |requests| {
            let texts = requests.iter().rev().filter_map(|it| it.last_user_text());
            let mut tasks = texts.filter(|text| text.starts_with("<task "));
            tasks.any(|text| text.contains(task))
        })
        .await;
    }

    /// Waits until the dispatcher's model is asked about a result.
    async fn told(&self, number: usize, result: usize) {
        let result = format!("teammate:{}#{result}", name(number));
        wait_for_requests(&self.world.model, &result, |requests| {
            requests.iter().rev().any(|request| {
                let text = request.last_user_text().unwrap_or_default();
                text.starts_with(TRIGGER) && completions_in(request.items()).contains(&result)
            })
        })
        .await;
    }
}

fn name(number: usize) -> String {
    format!("mate-{number}")
}

/// How long tasks and results are on their way.
async fn ways() {
    let scene = Scene::start().await;
    let (mut spawns, mut tasks, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..TEAMMATES + TASKS {
        let (number, round) = (n % TEAMMATES, n / TEAMMATES);
        let task = format!("task {n} over");
        let hold = scene.echo.hold(&task, Point::BeforeEnd);
        let began = Instant::now();
        if round == 0 {
            scene.spawn(number, &task).await;
            scene.begun(&task).await;
            spawns.push(began.elapsed());
        } else {
            scene.assign(number, &task).await;
            scene.begun(&task).await;
            tasks.push(began.elapsed());
        }
        hold.reached().await;
        let ended = Instant::now();
        hold.release();
        scene.told(number, round + 1).await;
        results.push(ended.elapsed());
        scene.world.at_rest().await;
    }
    println!("one after the other          median      p95");
    report("spawn to its model", &mut spawns);
    report("task to its model", &mut tasks);
    report("its end to the asker's", &mut results);
    scene.world.finish().await;
}

/// What teammates take that wait after a task each.
async fn memory() {
    let scene = Scene::start().await;
    scene.world.at_rest().await;
    println!("memory with idle teammates     codex: resident   anonymous     daemon: resident");
    let none = Memory::of(&scene.world);
    none.print("0");
    let mut one = none;
    for number in 0..TEAMMATES {
        scene.spawn(number, "a task").await;
        scene.told(number, 1).await;
        scene.world.at_rest().await;
        let now = Memory::of(&scene.world);
        match number + 1 {
            1 => one = now,
            10 | TEAMMATES => {}
            _ => continue,
        }
        now.print(&format!("{}", number + 1));
    }
    let all = Memory::of(&scene.world);
    all.since(none, TEAMMATES).print("each");
    // The first one also warms up what all of them use.
    all.since(one, TEAMMATES - 1).print("each after the first");
    scene.world.finish().await;
}

/// What it takes when all of them work at the same time.
async fn parallel() {
    let scene = Scene::start().await;
    let tasks: Vec<_> = (0..TEAMMATES).map(|n| format!("task {n} over")).collect();
    let holds: Vec<_> = tasks
        .iter()
        .map(|task| scene.echo.hold(task, Point::MidStream))
        .collect();
    let began = Instant::now();
    for (number, task) in tasks.iter().enumerate() {
        scene.spawn(number, task).await;
    }
    for hold in &holds {
        hold.reached().await;
    }
    let all_work = began.elapsed();
    println!("{TEAMMATES} in parallel");
    print_time("first spawn until all of them work", all_work);
    println!("memory while they work         codex: resident   anonymous     daemon: resident");
    Memory::of(&scene.world).print("all at work");
    let released = Instant::now();
    for hold in &holds {
        hold.release();
    }
    for number in 0..TEAMMATES {
        scene.told(number, 1).await;
    }
    print_time("their ends until all are told", released.elapsed());
    scene.world.finish().await;
}

fn print_time(name: &str, time: Duration) {
    println!("{name:38} {:8.1} ms", time.as_secs_f64() * 1e3);
}

/// Memory of the daemon and its child, in megabytes.
#[derive(Clone, Copy)]
struct Memory {
    codex_resident: f64,
    codex_anonymous: f64,
    daemon_resident: f64,
}

impl Memory {
    fn of(world: &World) -> Self {
        let codex = world.app_server().expect("it runs");
        let path = format!("/proc/{}/smaps_rollup", codex.as_raw_nonzero());
        let rollup = fs::read_to_string(path).expect("its memory");
        let field = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name));
            let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
            kib.expect("a number of KiB") * 1024.0 / 1e6
        };
        Self {
            codex_resident: field("Rss:"),
            codex_anonymous: field("Anonymous:"),
            daemon_resident: world.memory("VmRSS"),
        }
    }

    /// Returns the growth for each of so many.
    fn since(self, before: Self, n: usize) -> Self {
        let each = |now: f64, before: f64| (now - before) / n as f64;
        Self {
            codex_resident: each(self.codex_resident, before.codex_resident),
            codex_anonymous: each(self.codex_anonymous, before.codex_anonymous),
            daemon_resident: each(self.daemon_resident, before.daemon_resident),
        }
    }

    fn print(&self, name: &str) {
        println!(
            "{name:24} {:17.2} MB {:8.2} MB {:17.2} MB",
            self.codex_resident, self.codex_anonymous, self.daemon_resident
        );
    }
}
