//! The whole of it, but for what needs a daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::log::CURRENT;
use super::*;
use crate::failure::FailureKind;
use crate::id::{DispatcherId, LaneId};

/// A safety net.
const LONG: Duration = Duration::from_secs(60);

fn settings() -> EventsSettings {
    EventsSettings::standard()
}

fn open(directory: &Path) -> (Events, EventsThread) {
    Events::open(directory, settings()).unwrap()
}

fn progress(number: u64) -> Event {
    Event::TurnProgress {
        text: number.to_string(),
    }
}

fn emit(events: &Events, numbers: std::ops::Range<u64>) {
    for number in numbers {
        events.emit(progress(number));
    }
}

/// Waits until this many events are on disk or are missed there.
async fn written(events: &Events, directory: &Path, lines: usize) {
    let there = async {
        loop {
            let text = fs::read(directory.join(CURRENT)).unwrap_or_default();
            let there = text.iter().filter(|byte| **byte == b'\n').count();
            if there as u64 + events.missed() >= lines as u64 {
                return;
            }
            // The disk does not tell by itself.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, there)
        .await
        .expect("events on disk");
}

async fn after(events: &Events, after: u64, limit: usize) -> Page {
    let query = Query {
        after: Some(after),
        limit,
        filter: Filter::default(),
    };
    events.page(&query).await
}

fn seqs(page: &Page) -> Vec<u64> {
    page.events.iter().map(|event| event.seq.unwrap()).collect()
}

#[tokio::test]
async fn an_event_is_one_line_of_json_that_others_cannot_read() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    let lane = events
        .dispatcher(&DispatcherId::new("flow"))
        .lane(&LaneId::new("flow/team"));
    lane.emit(Event::TurnFailed {
        failure: FailureKind::ProviderRateLimited,
        reason: "too much".to_owned(),
        duration_ms: 1_200,
    });
    thread.close().await;
    let path = directory.path().join(CURRENT);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(path).unwrap();
    let mut line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let at = line["at"].take();
    assert!(at.as_str().unwrap().ends_with('Z'), "{at}");
    let expected = serde_json::json!({
        "seq": 1,
        "at": null,
        "level": "error",
        "type": "turn.failed",
        "message": "the turn failed after 1.2 s: provider-rate-limited: too much",
        "dispatcher": "flow",
        "lane": "flow/team",
        "detail": {
            "failure": "provider-rate-limited", "reason": "too much", "duration_ms": 1_200,
        },
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn numbers_go_on_after_a_restart_and_what_was_is_still_there() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    assert!(events.after_clean_end());
    emit(&events, 0..3);
    events.emit(Event::DaemonStopped);
    thread.close().await;

    let (events, thread) = open(directory.path());
    assert!(events.after_clean_end());
    emit(&events, 3..5);
    assert_eq!(seqs(&after(&events, 0, 100).await), [1, 2, 3, 4, 5, 6]);
    thread.close().await;
}

#[tokio::test]
async fn after_an_end_that_was_none_no_number_is_given_twice() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    emit(&events, 0..3);
    thread.close().await;
    let path = directory.path().join(CURRENT);
    let whole = fs::read(&path).unwrap();
    // Cut in the middle of the last line, with garbage before it.
    let mut broken = b"\xff\xfe not a line\n".to_vec();
    broken.extend(&whole[..whole.len() - 9]);
    fs::write(&path, broken).unwrap();

    let (events, thread) = open(directory.path());
    assert!(!events.after_clean_end());
    emit(&events, 3..4);
    written(&events, directory.path(), 5).await;
    assert_eq!(seqs(&after(&events, 0, 100).await), [1, 2, 10_000]);
    events.emit(Event::DaemonStopped);
    thread.close().await;
    // The line that was cut off has spoilt no other.
    let (events, thread) = open(directory.path());
    assert_eq!(seqs(&after(&events, 0, 100).await), [1, 2, 10_000, 10_001]);
    thread.close().await;
}

#[tokio::test]
async fn files_are_put_aside_when_full_and_pages_go_through_them_in_order() {
    let directory = TempDir::new().unwrap();
    let small = EventsSettings {
        file_size: 100_000,
        files: 1_000,
        ..settings()
    };
    let (events, thread) = Events::open(directory.path(), small).unwrap();
    const ALL: u64 = 20_000;
    for begin in (0..ALL).step_by(500) {
        emit(&events, begin..begin + 500);
        let there = async {
            // Nothing is to be missed here, so the disk is waited for; it does not tell by itself.
            while events.place().unwrap().read_left(1).last < begin + 500 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, there).await.unwrap();
    }
    let mut read = Vec::new();
    let mut page = after(&events, 0, 700).await;
    loop {
        assert!(page.events.len() <= 700);
        read.extend(seqs(&page));
        assert_eq!(page.next_after, *read.last().unwrap());
        if !page.more {
            break;
        }
        page = after(&events, page.next_after, 700).await;
    }
    assert!(!page.gone);
    assert_eq!(events.missed(), 0);
    assert_eq!(read, (1..=ALL).collect::<Vec<_>>());
    thread.close().await;
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files > 10, "{files} files");
}

#[tokio::test]
async fn the_oldest_files_are_removed_and_whoever_asks_for_them_is_told() {
    let directory = TempDir::new().unwrap();
    let small = || EventsSettings {
        file_size: 2_000,
        files: 3,
        ..settings()
    };
    let (events, thread) = Events::open(directory.path(), small()).unwrap();
    for number in 0..3_000 {
        events.emit(progress(number));
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    events.emit(Event::DaemonStopped);
    thread.close().await;
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!((3..=4).contains(&files), "{files} files");

    let (events, thread) = Events::open(directory.path(), small()).unwrap();
    let page = after(&events, 0, 10).await;
    assert!(page.gone);
    let first = seqs(&page)[0];
    assert!(first > 1, "{first}");
    assert!(!after(&events, first - 1, 10).await.gone);
    thread.close().await;
}

#[tokio::test]
async fn what_is_in_memory_is_bounded_and_the_newest_are_told_without_a_number() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    emit(&events, 0..2_500);
    let (recent, last) = events.recent();
    assert_eq!((recent.len(), last), (2_000, 2_500));
    let query = Query {
        after: None,
        limit: 3,
        filter: Filter::default(),
    };
    let page = events.page(&query).await;
    assert_eq!(seqs(&page), [2_498, 2_499, 2_500]);
    assert_eq!(page.next_after, 2_500);
    // A number that nobody has was given by another daemon.
    assert_eq!(after(&events, 9_000, 3).await.next_after, 2_500);
    thread.close().await;
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_many_it_missed_and_goes_on() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    let (mut slow, mut quick) = (events.subscribe(), events.subscribe());
    drop(events.subscribe());
    emit(&events, 0..1);
    assert!(matches!(quick.next().await, Some(Heard::Event(_))));
    emit(&events, 1..5_000);
    let mut heard = Vec::new();
    let Some(Heard::Missed(missed)) = slow.next().await else {
        panic!("it was not told");
    };
    for _ in 0..5_000 - missed {
        match slow.next().await {
            Some(Heard::Event(event)) => heard.push(event.seq.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, (missed + 1..=5_000).collect::<Vec<_>>());
    thread.close().await;
    assert_eq!(slow.next().await, None);
    // It still hears what was there when it was closed.
    assert!(matches!(quick.next().await, Some(Heard::Missed(_))));
}

#[tokio::test]
async fn live_output_is_heard_and_kept_nowhere() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    let output = |line: &str| Event::TurnOutput {
        line: line.to_owned(),
        left_out: 0,
    };
    events.emit(output("nobody listens"));
    let mut listening = events.subscribe();
    events.emit(output("compiling"));
    emit(&events, 0..1);
    let Some(Heard::Event(heard)) = listening.next().await else {
        panic!("nothing was heard");
    };
    assert_eq!((heard.seq, heard.message.as_str()), (None, "compiling"));
    let Some(Heard::Event(next)) = listening.next().await else {
        panic!("nothing more was heard");
    };
    assert_eq!(next.seq, Some(1));
    thread.close().await;
    let text = fs::read_to_string(directory.path().join(CURRENT)).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn a_full_disk_costs_events_their_place_on_it_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(CURRENT);
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let (events, thread) = open(directory.path());
    let mut listening = events.subscribe();
    emit(&events, 0..7);
    for seq in 1..=7 {
        match listening.next().await {
            Some(Heard::Event(event)) => assert_eq!(event.seq, Some(seq)),
            other => panic!("{other:?}"),
        }
    }
    let full = async {
        while events.missed() < 7 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, full).await.unwrap();
    // In memory they are, all the same.
    assert_eq!(seqs(&after(&events, 6, 10).await), [7]);

    fs::remove_file(&path).unwrap();
    emit(&events, 7..9);
    thread.close().await;
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<EventRecord> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<_> = lines.iter().map(|it| (it.seq, it.missed)).collect();
    assert_eq!(told, [(Some(8), 7), (Some(9), 0)]);
}

#[tokio::test]
async fn a_disk_that_hangs_holds_nobody_up() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(CURRENT);
    // Nobody reads at its other end, so that writing never comes back once it is full.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let (events, thread) = open(&other);
    fs::rename(&path, other.join(CURRENT)).unwrap();
    let begun = std::time::Instant::now();
    emit(&events, 0..10_000);
    assert!(begun.elapsed() < LONG);
    assert_eq!(events.recent().1, 10_000);
    let text_end = async { thread.close().await };
    tokio::time::timeout(LONG, text_end).await.unwrap();
}

#[tokio::test]
async fn secrets_are_blanked_and_long_texts_cut_before_anybody_sees_them() {
    let directory = TempDir::new().unwrap();
    let careful = EventsSettings {
        redact: Box::new(|text| {
            text.contains("hunter2")
                .then(|| text.replace("hunter2", "[secret]"))
        }),
        ..settings()
    };
    let (events, thread) = Events::open(directory.path(), careful).unwrap();
    let mut listening = events.subscribe();
    events.emit(Event::PostFailed {
        reason: format!("token hunter2 {}", "x".repeat(5_000)),
    });
    let Some(Heard::Event(heard)) = listening.next().await else {
        panic!("nothing was heard");
    };
    let told = serde_json::to_string(&*heard).unwrap();
    assert!(
        !told.contains("hunter2") && told.contains("token [secret]"),
        "{told}"
    );
    assert!(told.len() < 5_000, "{}", told.len());
    thread.close().await;
    let text = fs::read_to_string(directory.path().join(CURRENT)).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn filters_let_through_what_is_wanted_and_pages_pass_over_the_rest() {
    let directory = TempDir::new().unwrap();
    let (events, thread) = open(directory.path());
    let flow = events.dispatcher(&DispatcherId::new("flow"));
    let lane = flow.lane(&LaneId::new("flow/a"));
    flow.emit(Event::ChildStarting);
    lane.emit(progress(0));
    events.emit(Event::DaemonStopping);
    lane.emit(Event::PostFailed {
        reason: "no".to_owned(),
    });
    let ask = async |filter: Filter| {
        let query = Query {
            after: Some(0),
            limit: 100,
            filter,
        };
        let page = events.page(&query).await;
        assert_eq!(page.next_after, 4);
        seqs(&page)
    };
    let none = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        ask(Filter {
            dispatcher: text("flow"),
            ..none()
        })
        .await,
        [1, 2, 4]
    );
    assert_eq!(
        ask(Filter {
            lane: text("flow/a"),
            ..none()
        })
        .await,
        [2, 4]
    );
    assert_eq!(
        ask(Filter {
            kind: text("turn"),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        ask(Filter {
            kind: text("turn."),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        ask(Filter {
            kind: text("turn.progress"),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        ask(Filter {
            kind: text("tur"),
            ..none()
        })
        .await,
        [0; 0]
    );
    assert_eq!(
        ask(Filter {
            level: Some(Level::Warn),
            ..none()
        })
        .await,
        [4]
    );
    thread.close().await;
}
