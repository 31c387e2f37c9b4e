//! The decisions as tables, and the task against a channel that follows a script.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline_channel::{
    AcceptError, Attachment, Capabilities, CaughtUp, Channel, ChannelId, Conversation, Emoji,
    Event, Health, Intake, Link, Message, Post, Posted, Receipt, Repeat, RunError, Said, SendError,
    Status, TextLimit, TextUnit, WireId,
};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::plan::{self, Deafness, Next, Occasion, Reading};
use super::{Backfill, Pace, Report};
use crate::ledger::{HistoryMark, Ledger, LedgerSettings, LedgerThread};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A safety net, never a measure.
const LONG: Duration = Duration::from_secs(60);

fn epoch(days: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY + days * DAY
}

fn health(link: Link, since: SystemTime) -> Health {
    Health {
        link,
        since,
        ..Health::connecting(since)
    }
}

// === The decisions ===

#[tokio::test(start_paused = true)]
async fn history_is_read_when_the_connection_comes_up_and_then_from_time_to_time() {
    let every = 10 * MINUTE;
    let now = Instant::now();
    let (first, second) = (epoch(0), epoch(1));
    let up = health(Link::Up, first);
    let again = health(Link::Up, second);
    let fresh = Reading::default();
    let read = fresh.succeeded(&up, now);
    let failed = fresh.failed(now + SECOND);
    let failed_later = read.failed(now + every + SECOND);
    let wait = |until| Next::Wait { until };
    let periodic = Next::Read(Occasion::Periodic { up_since: first });
    let connected = Next::Read(Occasion::Connected);
    let table = [
        (fresh, &up, now, connected),
        (read, &up, now, wait(Some(now + every))),
        (read, &up, now + every, periodic),
        (read, &again, now, connected),
        (failed, &up, now, wait(Some(now + SECOND))),
        (failed, &up, now + SECOND, connected),
        (
            failed_later,
            &up,
            now + every,
            wait(Some(now + every + SECOND)),
        ),
        (failed_later, &up, now + every + SECOND, periodic),
        (failed_later, &again, now + every + SECOND, connected),
    ];
    for (index, (reading, health, now, expected)) in table.into_iter().enumerate() {
        assert_eq!(reading.next(health, now, every), expected, "row {index}");
    }
    for link in [
        Link::Connecting,
        Link::Down,
        Link::NeedsOperator,
        Link::Stopped,
    ] {
        for reading in [fresh, read, failed] {
            let next = reading.next(&health(link, first), now + 2 * every, every);
            assert_eq!(next, wait(None), "{link:?}");
        }
    }
}

#[test]
fn reading_begins_a_little_before_the_mark_but_never_before_the_beginning() {
    let pace = Pace::standard();
    let mark = |begun_at, caught_up_to| HistoryMark {
        begun_at,
        caught_up_to,
    };
    let now = epoch(10);
    let table = [
        (mark(epoch(0), epoch(9)), epoch(9) - pace.margin),
        (mark(epoch(0), now), now - pace.margin),
        // The first start of all: nothing old is read.
        (mark(epoch(9), epoch(9)), epoch(9)),
        (mark(epoch(9), epoch(9) + MINUTE), epoch(9)),
        // Long off: what deduplication has forgotten is not read again.
        (mark(epoch(0), epoch(1)), now - pace.furthest),
        // The clock was ahead.
        (mark(epoch(0), epoch(20)), now - pace.margin),
        (mark(epoch(20), epoch(20)), now),
    ];
    for (mark, expected) in table {
        assert_eq!(plan::since(mark, now, &pace), expected, "{mark:?}");
    }
    assert!(pace.furthest + pace.margin < crate::ledger::MIN_DEDUP_RETENTION);
}

#[test]
fn connection_is_deaf_when_it_had_every_chance_to_bring_what_was_found() {
    let pace = Pace::standard();
    let up_since = epoch(0);
    let now = up_since + 10 * MINUTE;
    let found = |missed, oldest_missed| CaughtUp {
        missed,
        oldest_missed,
        ..CaughtUp::default()
    };
    let periodic = Occasion::Periodic { up_since };
    let old = Some(now - 5 * MINUTE);
    let table = [
        (periodic, found(1, old), true),
        (periodic, found(1, Some(now - MINUTE)), true),
        (periodic, found(1, Some(up_since)), true),
        // It may still come.
        (periodic, found(1, Some(now - 59 * SECOND)), false),
        // It was written before the connection was there.
        (periodic, found(1, Some(up_since - SECOND)), false),
        (Occasion::Connected, found(9, old), false),
        (periodic, found(0, None), false),
        (periodic, found(0, old), false),
        (periodic, found(1, None), false),
        // By the platform's clock it lies ahead.
        (periodic, found(1, Some(now + MINUTE)), false),
    ];
    for (occasion, found, expected) in table {
        let judged = plan::is_deaf(occasion, &found, now, &pace);
        assert_eq!(judged, expected, "{occasion:?} {found:?}");
    }
}

#[test]
fn deaf_connection_is_made_anew_but_not_for_ever_in_vain() {
    let periodic = Occasion::Periodic { up_since: epoch(0) };
    let mut deafness = Deafness::default();
    let mut reconnects = Vec::new();
    for _ in 0..12 {
        assert!(!deafness.after(Occasion::Connected, false));
        reconnects.push(deafness.after(periodic, true));
    }
    let (yes, no) = (true, false);
    assert_eq!(
        reconnects,
        [yes, yes, yes, no, no, yes, no, no, no, no, no, yes]
    );
    assert!(!deafness.after(periodic, false));
    assert!(deafness.after(periodic, true));
}

// === The task ===

/// What a reading asked for.
type Asked = (SystemTime, Vec<Conversation>);

/// A channel whose history follows a script.
struct Scripted {
    id: ChannelId,
    capabilities: Capabilities,
    health: watch::Sender<Health>,
    asked: mpsc::UnboundedSender<Asked>,
    answers: Mutex<mpsc::UnboundedReceiver<Result<CaughtUp, SendError>>>,
    reconnects: watch::Sender<Vec<String>>,
}

#[async_trait]
impl Channel for Scripted {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn run(&self, _: Arc<dyn Intake>, stop: CancellationToken) -> Result<(), RunError> {
        stop.cancelled().await;
        Ok(())
    }

    async fn post(&self, _: &Post) -> Result<Posted, SendError> {
        Err(never())
    }

    async fn find(&self, _: &Post, _: SystemTime) -> Result<Option<Posted>, SendError> {
        Err(never())
    }

    async fn edit(&self, _: &Conversation, _: &WireId, _: &str) -> Result<(), SendError> {
        Err(never())
    }

    async fn delete(&self, _: &Conversation, _: &WireId) -> Result<(), SendError> {
        Err(never())
    }

    async fn show_status(&self, _: &Conversation, _: &WireId, _: &Status) -> Result<(), SendError> {
        Err(never())
    }

    async fn react(&self, _: &Conversation, _: &WireId, _: Emoji) -> Result<(), SendError> {
        Err(never())
    }

    async fn fetch(&self, _: &Attachment, _: &Path, _: u64) -> Result<(), SendError> {
        Err(never())
    }

    async fn earlier(&self, _: &Message, _: usize) -> Result<Vec<Said>, SendError> {
        Err(never())
    }

    async fn catch_up(
        &self,
        since: SystemTime,
        threads: &[Conversation],
        _: &dyn Intake,
    ) -> Result<CaughtUp, SendError> {
        let mut answers = self.answers.try_lock().expect("readings do not overlap");
        self.asked.send((since, threads.to_vec())).unwrap();
        match answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    fn reconnect(&self, reason: &str) {
        self.reconnects
            .send_modify(|reasons| reasons.push(reason.to_owned()));
    }
}

fn never() -> SendError {
    SendError::Never {
        reason: "not in this script".to_owned(),
    }
}

struct Nobody;

#[async_trait]
impl Intake for Nobody {
    async fn accept(&self, _: Event) -> Result<Receipt, AcceptError> {
        Err(AcceptError::Stopping)
    }
}

/// A running task, and the other ends of its channel.
struct Stage {
    _dir: TempDir,
    ledger: Ledger,
    _thread: LedgerThread,
    channel: Arc<Scripted>,
    asked: mpsc::UnboundedReceiver<Asked>,
    answer: mpsc::UnboundedSender<Result<CaughtUp, SendError>>,
    report: watch::Receiver<Report>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Stage {
    /// Starts the task while the channel connects.
    fn new(pace: Pace) -> Self {
        let dir = TempDir::new().unwrap();
        let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
        let (asked, asked_for) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let channel = Arc::new(Scripted {
            id: ChannelId::new("team"),
            capabilities: Capabilities {
                text: TextLimit {
                    max: 1000,
                    unit: TextUnit::Chars,
                },
                repeat: Repeat::Idempotent,
                edit: false,
                delete: false,
                status: false,
                reactions: false,
                buttons: false,
                files: false,
                max_file_bytes: 0,
                settles: false,
                history: true,
                operator_only: false,
            },
            health: watch::Sender::new(Health::connecting(SystemTime::now())),
            asked,
            answers: Mutex::new(answers),
            reconnects: watch::Sender::new(Vec::new()),
        });
        let stop = CancellationToken::new();
        let (backfill, report) = Backfill::new(ledger.clone(), channel.clone(), pace);
        let mut tasks = JoinSet::new();
        tasks.spawn(backfill.run(Arc::new(Nobody), stop.clone()));
        Self {
            _dir: dir,
            ledger,
            _thread: thread,
            channel,
            asked: asked_for,
            answer,
            report,
            stop,
            tasks,
        }
    }

    fn link(&self, link: Link) {
        self.channel
            .health
            .send_replace(health(link, SystemTime::now()));
    }

    async fn asked(&mut self) -> Asked {
        timeout(LONG, self.asked.recv()).await.unwrap().unwrap()
    }

    async fn reported(&mut self, what: impl FnMut(&Report) -> bool) -> Report {
        let seen = timeout(LONG, self.report.wait_for(what)).await;
        seen.unwrap().unwrap().clone()
    }

    async fn mark(&self) -> HistoryMark {
        let id = &self.channel.id;
        self.ledger
            .history_mark(id, SystemTime::now())
            .await
            .unwrap()
    }

    async fn end(mut self) {
        self.stop.cancel();
        timeout(LONG, self.tasks.join_next()).await.unwrap();
    }
}

/// Reads again at once.
fn hasty() -> Pace {
    Pace {
        every: Duration::from_millis(10),
        patience: Duration::ZERO,
        ..Pace::standard()
    }
}

fn nothing() -> CaughtUp {
    CaughtUp::default()
}

#[tokio::test]
async fn first_start_reads_nothing_old_and_the_mark_moves_with_each_success() {
    let started_at = SystemTime::now() - SECOND;
    let mut stage = Stage::new(Pace::standard());
    stage.link(Link::Up);
    let (since, threads) = stage.asked().await;
    assert!(since >= started_at, "{since:?}");
    assert_eq!(threads, []);
    let before = stage.mark().await;
    stage.answer.send(Ok(nothing())).unwrap();
    let report = stage.reported(|report| report.last_read_at.is_some()).await;
    let after = stage.mark().await;
    assert_eq!(after.begun_at, before.begun_at);
    assert!(after.caught_up_to >= before.caught_up_to);
    let read_at = report.last_read_at.unwrap();
    assert!(after.caught_up_to <= read_at && read_at < after.caught_up_to + SECOND);
    stage.end().await;
}

#[tokio::test]
async fn every_connection_is_read_for_and_none_twice() {
    let mut stage = Stage::new(Pace::standard());
    for _ in 0..3 {
        stage.link(Link::Up);
        stage.asked().await;
        // The next one comes up while this one is read for.
        stage.link(Link::Down);
        stage.link(Link::Up);
        stage.answer.send(Ok(nothing())).unwrap();
        stage.asked().await;
        stage.report.mark_unchanged();
        stage.answer.send(Ok(nothing())).unwrap();
        timeout(LONG, stage.report.changed())
            .await
            .unwrap()
            .unwrap();
    }
    stage.end().await;
}

#[tokio::test]
async fn failure_keeps_the_mark_is_told_and_tried_again() {
    let mut stage = Stage::new(Pace::standard());
    stage.link(Link::Up);
    stage.asked().await;
    let before = stage.mark().await;
    let failure = SendError::Again {
        after: None,
        reason: "too busy".to_owned(),
    };
    stage.answer.send(Err(failure)).unwrap();
    let report = stage.reported(|report| report.last_error.is_some()).await;
    assert!(report.last_error.unwrap().contains("too busy"));
    assert_eq!(stage.mark().await, before);
    stage.asked().await;
    let found = CaughtUp {
        missed: 2,
        oldest_missed: Some(SystemTime::now()),
        unreadable: vec!["invite the bot to #ops".to_owned()],
    };
    stage.answer.send(Ok(found)).unwrap();
    let report = stage.reported(|report| report.last_error.is_none()).await;
    assert_eq!((report.missed, report.deaf), (2, 0));
    assert_eq!(report.unreadable, ["invite the bot to #ops"]);
    assert!(stage.mark().await.caught_up_to > before.caught_up_to);
    stage.end().await;
}

#[tokio::test]
async fn connection_that_brings_nothing_is_made_anew_and_one_that_just_came_up_is_not() {
    let mut stage = Stage::new(hasty());
    stage.link(Link::Up);
    stage.asked().await;
    let missed = || CaughtUp {
        missed: 1,
        oldest_missed: Some(SystemTime::now()),
        ..nothing()
    };
    stage.answer.send(Ok(missed())).unwrap();
    // The second reading was begun, so the first is judged.
    stage.asked().await;
    assert_eq!(stage.channel.reconnects.borrow().len(), 0);
    stage.answer.send(Ok(missed())).unwrap();
    let mut reconnects = stage.channel.reconnects.subscribe();
    let reasons = timeout(LONG, reconnects.wait_for(|reasons| !reasons.is_empty())).await;
    let reason = reasons.unwrap().unwrap()[0].clone();
    assert!(reason.contains("a message"), "{reason}");
    let report = stage.reported(|report| report.deaf == 1).await;
    assert_eq!(report.missed, 2);
    stage.end().await;
}

#[tokio::test]
async fn reading_that_hangs_is_dropped_at_the_end_and_at_its_deadline() {
    let mut stage = Stage::new(Pace {
        deadline: Duration::from_millis(10),
        ..hasty()
    });
    stage.link(Link::Up);
    stage.asked().await;
    let report = stage.reported(|report| report.last_error.is_some()).await;
    assert!(report.last_error.unwrap().contains("longer than"));
    stage.asked().await;
    stage.end().await;
}

#[tokio::test]
async fn nothing_is_read_while_there_is_no_connection() {
    let mut stage = Stage::new(hasty());
    stage.link(Link::Up);
    stage.asked().await;
    stage.link(Link::Down);
    stage.answer.send(Ok(nothing())).unwrap();
    stage.reported(|report| report.last_read_at.is_some()).await;
    // Time enough for many readings, of which there must be none.
    let more = timeout(Duration::from_millis(100), stage.asked.recv()).await;
    assert!(more.is_err());
    stage.end().await;
}
