//! Much work from several writers for many teammates, while everything is killed and people stop
//! some of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tieline::control::{ClientError, NewTeammate};
use tieline::demo::model::Request;
use tieline::demo::script::bodies;
use tieline::id::LaneId;
use tieline::ledger::{Ledger, LedgerSettings, TaskRecord, TaskState};
use tokio::task::JoinSet;

use super::*;
use crate::support::model::told;
use crate::support::random::{Random, seed};

/// As many as there may be beside others of their dispatcher.
const TEAMMATES: usize = 12;
const WRITERS: usize = 4;

/// How many tasks are given beside those that teammates begin with.
const TASKS: usize = 168;

/// How often something is killed.
const KILLS: usize = 24;

/// What was given to teammates, by the text of the task; each text belongs to one try.
#[derive(Default)]
struct Given {
    taken: Vec<String>,
    /// Nobody knows, for the answer was lost.
    unclear: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_work_is_done_and_told_once_whatever_is_killed() {
    let seed = seed();
    let mut random = Random(seed);
    let echo = Echo::new();
    echo.always("job ", Fault::Slow(3, Duration::from_millis(15)));
    let mut world = running(&echo, &Choices::standard()).await;
    let first = world.platform.write("a", "hello");
    world.platform.settled(&first).await;
    let client = Client::new(&world.path().join("state/control.sock"));
    let mut given = Given::default();
    for number in 0..TEAMMATES {
        let task = format!("job of {} to begin with.", name(number));
        let teammate = NewTeammate {
            name: name(number),
            task: task.clone(),
            ..NewTeammate::default()
        };
        client.spawn("test", &teammate).await.unwrap();
        given.taken.push(task);
    }

    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = client.clone();
        let random = Random(seed ^ (writer as u64 + 1));
        writers.spawn(write(client, writer, random));
    }
    let (mut daemon, mut codex, mut stops) = (0, 0, 0);
    while daemon + codex < KILLS {
        // The moment of the fault is what is random here.
        tokio::time::sleep(Duration::from_micros(random.below(600_000))).await;
        match random.below(9) {
            0..4 => {
                world.kill_daemon().await;
                world.start();
                daemon += 1;
            }
            4..8 => codex += usize::from(world.signal_app_server(Signal::KILL).is_some()),
            _ => {
                let number = random.below(TEAMMATES as u64) as usize;
                // The daemon may be away.
                stops += usize::from(client.stop("test", &name(number)).await.is_ok());
            }
        }
    }
    for more in writers.join_all().await {
        given.taken.extend(more.taken);
        given.unclear.extend(more.unclear);
    }
    world.ready(0).await;
    world.at_rest().await;
    assert_eq!(world.stop_daemon().await, Some(0), "{}", world.log());
    let tasks = tasks(&world).await;
    let line = format!(
        "seed {seed}: {} tasks taken and {} unclear, {daemon} kills of the daemon, {codex} of codex, \
         {stops} stops; {}\n",
        given.taken.len(),
        given.unclear.len(),
        count(&tasks),
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert_all_is_told(&world, &given, &tasks);
    world.finish().await;
}

fn name(number: usize) -> String {
    format!("mate-{number:02}")
}

/// Gives tasks to teammates, each until it is taken.
async fn write(client: Client, writer: usize, mut random: Random) -> Given {
    let mut given = Given::default();
    for number in (writer..TASKS).step_by(WRITERS) {
        let teammate = name(number % TEAMMATES);
        for attempt in 1.. {
            // One that may be there is not given again.
            let text = format!("job {number:03} in try {attempt}.");
            let task = FurtherTask {
                task: text.clone(),
                lane: None,
            };
            match client.assign("test", &teammate, &task).await {
                Ok(_) => {
                    given.taken.push(text);
                    break;
                }
                Err(ClientError::NotRunning { .. } | ClientError::Connect { .. }) => {}
                Err(ClientError::Broken { .. } | ClientError::Slow { .. }) => {
                    given.unclear.push(text);
                }
                // It has enough to do, or the daemon is about to end.
                Err(ClientError::Refused { status, .. })
                    if status.is_server_error() || status.as_u16() == 409 =>
                {
                    given.unclear.push(text);
                }
                Err(error) => panic!("{error}"),
            }
            // Nothing else tells when it is worth trying again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_micros(random.below(400_000))).await;
    }
    given
}

/// Returns what the ledger knows of all tasks, by teammate. The daemon must not run.
async fn tasks(world: &World) -> Vec<(String, Vec<TaskRecord>)> {
    let path = world.path().join("state/ledger");
    let (ledger, thread) = Ledger::open(&path, LedgerSettings::standard()).unwrap();
    let mut tasks = Vec::new();
    for number in 0..TEAMMATES {
        let name = name(number);
        let lane = LaneId::new(format!("test/@{name}"));
        tasks.push((name, ledger.tasks(&lane).await.unwrap()));
    }
    thread.close().await;
    tasks
}

/// Returns the latest request of each thread.
fn latest_of(requests: &[Arc<Request>]) -> impl Iterator<Item = &Request> {
    let by_thread: BTreeMap<_, _> = requests.iter().map(|it| (it.thread(), &**it)).collect();
    by_thread.into_values()
}

/// Returns how many tasks came to which end.
fn count(tasks: &[(String, Vec<TaskRecord>)]) -> String {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for task in tasks.iter().flat_map(|(_, tasks)| tasks) {
        *ends.entry(task.state.as_str()).or_default() += 1;
    }
    let ends: Vec<_> = ends
        .into_iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    ends.join(", ")
}

/// Fails unless every task that was taken came to an end and was seen by one thread once, unless
/// it was stopped, and what came of each is in the history of whoever asked, once.
fn assert_all_is_told(world: &World, given: &Given, tasks: &[(String, Vec<TaskRecord>)]) {
    let all = || tasks.iter().flat_map(|(_, tasks)| tasks);
    let open: Vec<_> = all().filter(|task| !task.state.is_settled()).collect();
    assert!(open.is_empty(), "these wait for ever: {open:#?}");

    let mut known: BTreeMap<&str, &TaskState> = BTreeMap::new();
    for task in all() {
        let before = known.insert(&task.beginning, &task.state);
        assert_eq!(before, None, "there twice: {task:#?}");
    }
    let lost = given.taken.iter().filter(|it| !known.contains_key(&***it));
    assert_eq!(lost.collect::<Vec<_>>(), Vec::<&String>::new(), "lost");
    let tried: Vec<_> = given.taken.iter().chain(&given.unclear).collect();
    let strange = known
        .keys()
        .filter(|it| !tried.iter().any(|tried| tried == *it));
    assert_eq!(strange.collect::<Vec<_>>(), Vec::<&&str>::new(), "strange");

    let texts: Vec<_> = told(&world.model).into_values().flatten().collect();
    let blocks = texts.iter().filter(|text| text.contains("<task "));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for task in blocks.flat_map(|text| bodies(text)) {
        *seen.entry(task).or_default() += 1;
    }
    let requests = world.model.requests();
    let results: Vec<_> = latest_of(&requests)
        .flat_map(|request| request.developer_texts())
        .filter(|text| text.starts_with("<completion "))
        .collect();
    for (text, state) in known {
        let times = seen.remove(text).unwrap_or_default();
        let may_be_unseen = match state {
            TaskState::Stopped | TaskState::Unclear => true,
            TaskState::Done => false,
            state => panic!("{text} is {state:?}"),
        };
        assert!(
            times == 1 || (times == 0 && may_be_unseen),
            "{text} is {state:?} and was seen {times} times"
        );
        if *state == TaskState::Done {
            let reports = results.iter().filter(|it| it.contains(text)).count();
            assert_eq!(reports, 1, "what came of {text} was told {reports} times");
        }
    }
    assert_eq!(seen, BTreeMap::new(), "seen, and nobody has given them");

    let results = tasks.iter().flat_map(|(name, tasks)| {
        let numbers = 1..=u32::try_from(tasks.len()).unwrap();
        numbers.map(|number| result(name, number))
    });
    assert_told_once(world, results);
    let notices = world.platform.posts("a");
    let notices = notices.iter().filter(|post| post.text.contains('🧩'));
    let begun = all().filter(|task| task.turn.is_some());
    assert_eq!(notices.count(), begun.count(), "people were told otherwise");
}
