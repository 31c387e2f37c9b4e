//! What a worker makes of each thing that a platform, a ledger and the daemon can do to it.

mod bench;
mod files;
mod platform;
mod random;
mod reactions;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tieline_channel::{Button, Channel as _, Language, Link, PostKind, Repeat, WireId};
use tokio::time::Instant;

use self::bench::{Bench, HOUR, conversation};
use self::platform::{Answer, Kind, Platform};
use crate::ledger::{LedgerHealth, NewPost, PostEvent, PostState};
use crate::outbox::line::PAGE;
use crate::outbox::pace::Pace;
use crate::outbox::worker::Running;
use crate::outbox::{self, Reply};

const MARK: &str =
    "*(tieline was interrupted while it sent this; you may have seen it already)*\n\n";

// === Order and fairness ===

#[tokio::test]
async fn posts_of_a_conversation_arrive_in_order_over_many_pages() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
    let texts: Vec<_> = (0..PAGE * 2 + 3).map(|index| index.to_string()).collect();
    let posts = texts.iter().map(|text| bench.new_post("C1", text));
    bench.enqueue_all(posts.collect()).await;
    bench.start();
    let seen = bench
        .platform
        .until(|seen| seen.shown.len() == texts.len())
        .await;
    assert_eq!(seen.texts(), texts);
}

#[tokio::test]
async fn stuck_conversations_do_not_hold_up_others() {
    let platform = Platform::new(Repeat::Idempotent, |_, post| match post.to.chat.as_str() {
        "hangs" => Answer::Hang { taken: false },
        "waits" => Answer::Again(Some(HOUR)),
        _ => Answer::Take,
    });
    let mut bench = Bench::new(platform);
    let mut posts = Vec::new();
    for index in 0..PAGE * 2 {
        let mut hanging = bench.new_post("hangs", &index.to_string());
        // As many conversations as leave one slot free.
        hanging.to.thread = Some(tieline_channel::ThreadKey::new((index % 7).to_string()));
        posts.push(hanging);
        posts.push(bench.new_post("waits", &index.to_string()));
    }
    bench.enqueue_all(posts).await;
    bench.start();
    bench.platform.until(|seen| seen.calls.len() == 8).await;
    for index in 0..20 {
        bench.enqueue(&format!("free {index}"), "text").await;
    }
    bench.platform.until(|seen| seen.shown.len() == 20).await;
}

#[tokio::test]
async fn long_answer_arrives_in_order_and_settles_with_its_last_part() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
    let reply = Reply {
        channel: bench.platform.id().clone(),
        to: conversation("C1"),
        reply_to: Some(WireId::new("m2")),
        settles: vec![WireId::new("m1"), WireId::new("m2")],
        kind: PostKind::Answer,
        language: Language::English,
    };
    let words: Vec<_> = (0..400).map(|index| index.to_string()).collect();
    let text = words.join(" ");
    let posts = outbox::compose(&reply, &text, Some(bench.platform.capabilities()));
    let parts = posts.len();
    assert!(parts > 3);
    bench.enqueue_all(posts).await;
    bench.start();
    let seen = bench.platform.until(|seen| seen.shown.len() == parts).await;
    assert_eq!(seen.texts().join(" "), text);
    let (last, others) = seen.shown.split_last().unwrap();
    assert_eq!(last.settles, reply.settles);
    assert!(others.iter().all(|shown| shown.settles.is_empty()));
}

#[tokio::test]
async fn post_that_a_line_was_too_late_to_see_is_not_forgotten() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
    let settled = bench.enqueue("C1", "settled").await;
    let event = PostEvent::Failed {
        reason: "it is done".to_owned(),
        at: SystemTime::now(),
    };
    bench.ledger.advance_post(settled, event).await.unwrap();
    let late = bench.enqueue("C1", "late").await;
    // The line saw nothing behind its last post and ended; then the late one was read.
    let mut worker = bench.worker();
    worker.read_to = Some(late);
    let ended = (conversation("C1"), settled);
    let task = worker.tasks.spawn(async { Some(ended) });
    let line = Running { task, more: true };
    worker.lines.insert(conversation("C1"), line);
    bench.start_worker(worker);
    bench.settled(late).await;
}

// === What is unclear ===

#[tokio::test]
async fn post_that_was_taken_after_all_is_found_and_not_repeated() {
    let answers = [Answer::Unclear { taken: true }];
    let mut bench = Bench::new(Platform::answering(Repeat::Findable, answers));
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    let PostState::Delivered { wire, .. } = bench.settled(id).await else {
        panic!("not delivered");
    };
    let seen = bench.platform.seen();
    assert_eq!(seen.kinds(), [Kind::Post, Kind::Find]);
    assert_eq!(wire, seen.shown[0].wire);
}

#[tokio::test]
async fn platform_that_does_not_answer_leaves_it_unclear() {
    let answers = [Answer::Hang { taken: true }];
    let mut bench = Bench::new(Platform::answering(Repeat::Findable, answers));
    bench.pace.call = Duration::from_millis(20);
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.settled(id).await;
    let seen = bench.platform.seen();
    assert_eq!(seen.kinds()[..2], [Kind::Post, Kind::Find]);
    assert_eq!(seen.texts(), ["text"]);
}

#[tokio::test]
async fn refused_repeat_leaves_an_earlier_attempt_unclear() {
    // Were the post pending after the refusal, the third attempt would not be marked.
    let answers = [Answer::Unclear { taken: true }, Answer::Again(None)];
    let mut bench = Bench::new(Platform::answering(Repeat::Blind, answers));
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.settled(id).await;
    let marked = format!("{MARK}text");
    assert_eq!(bench.platform.seen().texts(), ["text", &marked]);
}

#[tokio::test]
async fn repeat_is_marked_once_the_platform_has_forgotten_the_key() {
    let marked = format!("{MARK}text");
    for (since, expected) in [(HOUR / 2, "text"), (2 * HOUR, &marked)] {
        let repeat = Repeat::IdempotentFor(HOUR);
        let mut bench = Bench::new(Platform::answering(repeat, []));
        let id = bench.enqueue("C1", "text").await;
        let died_in = PostEvent::Attempt {
            at: SystemTime::now() - since,
        };
        bench.ledger.advance_post(id, died_in).await.unwrap();
        bench.start();
        bench.settled(id).await;
        assert_eq!(bench.platform.seen().texts(), [expected], "{since:?}");
    }
}

#[tokio::test]
async fn where_there_are_no_buttons_their_choices_are_said_in_as_many_posts_as_it_takes() {
    let button = |label: &str| Button {
        label: label.to_owned(),
        value: "opaque".to_owned(),
    };
    let choices = "Answer with the number of your choice:\n\n1. Go on\n2. Stop";
    let long = "word ".repeat(39).trim_end().to_owned(); // 200 characters are allowed
    for (text, expected) in [
        ("It failed.", vec![format!("It failed.\n\n{choices}")]),
        (&long, vec![long.clone(), choices.to_owned()]),
    ] {
        let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
        let post = NewPost {
            buttons: vec![button("Go on"), button("Stop")],
            ..bench.new_post("C1", text)
        };
        bench.enqueue_all(vec![post]).await;
        bench.start();
        let n_posts = expected.len();
        let seen = bench.platform.until(|seen| seen.shown.len() == n_posts);
        assert_eq!(seen.await.texts(), expected);
    }
}

#[tokio::test]
async fn unclear_post_that_becomes_impossible_is_not_called_failed() {
    let answers = [Answer::Unclear { taken: true }, Answer::Never];
    for repeat in [Repeat::Idempotent, Repeat::Blind, Repeat::Findable] {
        let mut bench = Bench::new(Platform::answering(repeat, answers));
        let id = bench.enqueue("C1", "first").await;
        let next = bench.enqueue("C1", "next").await;
        bench.start();
        let state = bench.settled(id).await;
        assert!(matches!(state, PostState::Unclear { .. }), "{state:?}");
        let state = bench.settled(next).await;
        assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    }
}

#[tokio::test]
async fn a_post_that_may_be_missing_is_not_said_again_but_told_of() {
    for kind in [PostKind::Answer, PostKind::Failure, PostKind::Notice] {
        let answers = [Answer::Unclear { taken: true }, Answer::Never];
        let mut bench = Bench::new(Platform::answering(Repeat::IdempotentFor(HOUR), answers));
        let post = NewPost {
            kind,
            ..bench.new_post("C1", "text")
        };
        let is_told_of = kind != PostKind::Notice;
        bench.enqueue_all(vec![post]).await;
        bench.start();
        let expected = if is_told_of { 2 } else { 1 };
        let calls = if is_told_of { 3 } else { 2 };
        bench.platform.until(|seen| seen.calls.len() == calls).await;
        let seen = bench.platform.until(|seen| seen.shown.len() == expected);
        let seen = seen.await;
        assert_eq!(seen.shown[0].text, "text");
        if is_told_of {
            let doubt = &seen.shown[1];
            assert!(doubt.text.starts_with("❓"), "{}", doubt.text);
            assert_eq!(doubt.settles, seen.shown[0].settles);
        }
    }
}

#[tokio::test]
async fn post_that_was_being_sent_when_the_process_died_is_looked_up_first() {
    let mut bench = Bench::new(Platform::answering(
        Repeat::Findable,
        [Answer::Hang { taken: true }],
    ));
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.platform.until(|seen| seen.shown.len() == 1).await;
    bench.crash().await;
    bench.reopen_ledger().await;
    let state = bench.entry(id).await.state;
    assert!(matches!(state, PostState::Sending { .. }), "{state:?}");
    bench.start();
    bench.settled(id).await;
    let seen = bench.platform.seen();
    assert_eq!(seen.kinds(), [Kind::Post, Kind::Find]);
}

#[tokio::test]
async fn a_platform_has_the_time_to_settle_also_after_a_later_attempt() {
    // A post that did not arrive, the look-up, and one that is cut off.
    let answers = [
        Answer::Unclear { taken: false },
        Answer::Take,
        Answer::Hang { taken: true },
    ];
    let mut bench = Bench::new(Platform::answering(Repeat::Findable, answers));
    bench.pace.settling = Duration::from_millis(500);
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.platform.until(|seen| seen.shown.len() == 1).await;
    bench.crash().await;
    bench.reopen_ledger().await;
    bench.start();
    bench.settled(id).await;
    let seen = bench.platform.seen();
    assert_eq!(
        seen.kinds(),
        [Kind::Post, Kind::Find, Kind::Post, Kind::Find]
    );
    let waited = seen.calls[3].at.duration_since(seen.calls[2].at).unwrap();
    // The ledger keeps milliseconds, and notes the attempt before it is made.
    assert!(waited >= Duration::from_millis(400), "{waited:?}");
}

// === Waiting ===

#[tokio::test]
async fn what_the_platform_asks_is_obeyed_also_when_the_link_comes_up() {
    let asked = Duration::from_millis(300);
    let answers = [Answer::Again(Some(asked))];
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, answers));
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    let not_before = bench
        .until(id, |entry| entry.not_before.is_some())
        .await
        .not_before;
    bench.platform.set_link(Link::Down);
    bench.platform.set_link(Link::Up);
    bench.settled(id).await;
    let calls = bench.platform.seen().calls;
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at >= not_before.unwrap());
    assert!(calls[1].at.duration_since(calls[0].at).unwrap() >= asked);
}

#[tokio::test]
async fn what_the_platform_asked_is_obeyed_over_a_restart() {
    let answers = [Answer::Again(Some(Duration::from_millis(1500)))];
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, answers));
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.until(id, |entry| entry.not_before.is_some()).await;
    bench.crash().await;
    bench.reopen_ledger().await;
    let not_before = bench.entry(id).await.not_before.unwrap();
    bench.start();
    bench.settled(id).await;
    let calls = bench.platform.seen().calls;
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at >= not_before);
}

#[tokio::test]
async fn recorded_wait_is_believed_only_so_far_because_clocks_jump() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
    bench.pace.longest = Duration::from_millis(20);
    let id = bench.enqueue("C1", "text").await;
    let event = PostEvent::Again {
        not_before: SystemTime::now() + 24 * 365 * HOUR,
        reason: "the clock was wrong".to_owned(),
    };
    bench.ledger.advance_post(id, event).await.unwrap();
    bench.start();
    bench.settled(id).await;
}

#[tokio::test]
async fn link_that_comes_up_ends_the_waiting_at_once() {
    // The second also when it comes up while the attempt still fails.
    for during in [false, true] {
        let platform = Platform::answering(Repeat::Idempotent, []);
        let switch = Arc::downgrade(&platform);
        let mut first = true;
        let script = move |_: Kind, _: &tieline_channel::Post| {
            if !std::mem::take(&mut first) {
                return Answer::Take;
            }
            if during && let Some(platform) = switch.upgrade() {
                platform.set_link(Link::Down);
                platform.set_link(Link::Up);
            }
            Answer::Operator
        };
        platform.replace_script(script);
        let mut bench = Bench::new(platform);
        bench.pace.operator = HOUR;
        let id = bench.enqueue("C1", "text").await;
        bench.start();
        if !during {
            bench.until(id, |entry| entry.last_error.is_some()).await;
            bench.platform.set_link(Link::NeedsOperator);
            bench.platform.set_link(Link::Up);
        }
        bench.settled(id).await;
    }
}

// === Giving up ===

#[tokio::test]
async fn impossible_post_fails_and_the_next_one_goes_out() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, [Answer::Never]));
    let failed = bench.enqueue("C1", "impossible").await;
    let next = bench.enqueue("C1", "next").await;
    bench.start();
    let state = bench.settled(next).await;
    assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    let state = bench.entry(failed).await.state;
    assert!(matches!(state, PostState::Failed { .. }), "{state:?}");
    assert_eq!(bench.platform.seen().texts(), ["next"]);
}

#[tokio::test]
async fn defect_is_survived_and_a_lasting_one_costs_one_post() {
    let panic = Answer::Panic { taken: false };
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, [panic]));
    let once = bench.enqueue("C1", "once").await;
    bench.start();
    let state = bench.settled(once).await;
    assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");

    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, [panic; 3]));
    let always = bench.enqueue("C1", "always").await;
    let next = bench.enqueue("C1", "next").await;
    bench.start();
    let state = bench.settled(next).await;
    assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    let state = bench.entry(always).await.state;
    assert!(matches!(state, PostState::Unclear { .. }), "{state:?}");
}

#[tokio::test]
async fn operator_is_told_once_and_the_posts_go_out_when_it_is_mended() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut refused = 0;
    let platform = Platform::new(Repeat::Idempotent, move |_, _| {
        refused += 1;
        if refused > 20 {
            Answer::Take
        } else {
            Answer::Operator
        }
    });
    let mut bench = Bench::new(platform);
    let mut ids = Vec::new();
    for chat in ["C1", "C2", "C3"] {
        ids.push(bench.enqueue(chat, "text").await);
    }
    bench.start();
    let waiting = bench
        .until(ids[0], |entry| entry.last_error.is_some())
        .await;
    assert_eq!(
        waiting.last_error.as_deref(),
        Some("not sent until the operator acts: invite the bot (so it was told)")
    );
    for id in ids {
        bench.settled(id).await;
    }
    bench.stop().await;
    drop(guard);
    assert_eq!(log.text().matches("remedy=\"invite the bot\"").count(), 1);
}

#[tokio::test]
async fn line_that_ends_by_a_defect_is_made_again_by_reading_everything() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
    let id = bench.enqueue("C1", "text").await;
    let mut worker = bench.worker();
    worker.read_to = Some(id);
    let task = worker
        .tasks
        .spawn(async { std::panic::resume_unwind(Box::new("a defect")) });
    let line = Running { task, more: false };
    worker.lines.insert(conversation("C1"), line);
    bench.start_worker(worker);
    bench.settled(id).await;
}

// === The ledger ===

#[tokio::test]
async fn outcome_that_cannot_be_recorded_is_kept_until_it_can() {
    let platform = Platform::answering(Repeat::Blind, [Answer::TakeAtGate]);
    let mut bench = Bench::new(platform);
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.platform.until(|seen| seen.calls.len() == 1).await;
    bench.full.store(true, Ordering::SeqCst);
    bench.platform.gate.add_permits(1);
    until_failing(&bench).await;
    bench.full.store(false, Ordering::SeqCst);
    let state = bench.settled(id).await;
    assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    assert_eq!(bench.platform.seen().kinds(), [Kind::Post]);
}

#[tokio::test]
async fn nothing_is_sent_that_is_not_recorded_as_being_sent() {
    let mut bench = Bench::new(Platform::answering(Repeat::Blind, []));
    let id = bench.enqueue("C1", "text").await;
    bench.full.store(true, Ordering::SeqCst);
    bench.start();
    until_failing(&bench).await;
    assert_eq!(bench.platform.seen().kinds(), []);
    bench.full.store(false, Ordering::SeqCst);
    bench.settled(id).await;
    assert_eq!(bench.platform.seen().texts(), ["text"]);
}

#[tokio::test]
async fn closed_ledger_ends_the_worker() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, [Answer::Operator]));
    bench.pace.operator = HOUR;
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.until(id, |entry| entry.last_error.is_some()).await;
    let mut worker = bench.close_ledger().await;
    tokio::time::timeout(Duration::from_secs(60), worker.join_next())
        .await
        .unwrap();
}

#[tokio::test]
async fn delivery_goes_on_when_the_last_post_has_been_forgotten() {
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, []));
    let first = bench.enqueue("C1", "first").await;
    bench.start();
    bench.settled(first).await;
    let later = SystemTime::now() + 24 * 365 * HOUR;
    assert_eq!(bench.ledger.expire(later).await.unwrap().posts, 1);
    let next = bench.enqueue("C2", "next").await;
    bench.settled(next).await;
}

// === Stopping ===

#[tokio::test]
async fn attempt_under_way_is_finished_and_no_other_begun() {
    let platform = Platform::answering(Repeat::Idempotent, [Answer::TakeAtGate]);
    let mut bench = Bench::new(platform);
    let first = bench.enqueue("C1", "first").await;
    let second = bench.enqueue("C1", "second").await;
    bench.start();
    bench.platform.until(|seen| seen.calls.len() == 1).await;
    let gate = Arc::clone(&bench.platform);
    tokio::join!(bench.stop(), async {
        tokio::task::yield_now().await;
        gate.gate.add_permits(1);
    });
    let state = bench.entry(first).await.state;
    assert!(matches!(state, PostState::Delivered { .. }), "{state:?}");
    assert_eq!(bench.entry(second).await.state, PostState::Pending);
    assert_eq!(bench.platform.seen().texts(), ["first"]);
}

#[tokio::test]
async fn attempt_that_hangs_is_cut_off_and_stays_recorded_as_being_sent() {
    let answers = [Answer::Hang { taken: false }];
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, answers));
    bench.pace.grace = Duration::from_millis(20);
    let id = bench.enqueue("C1", "text").await;
    bench.start();
    bench.platform.until(|seen| seen.calls.len() == 1).await;
    bench.stop().await;
    let state = bench.entry(id).await.state;
    assert!(matches!(state, PostState::Sending { .. }), "{state:?}");
    assert!(Pace::standard().grace <= Duration::from_secs(3));
}

#[tokio::test]
async fn waiting_posts_do_not_delay_the_stop() {
    let answers = [Answer::Again(Some(HOUR)), Answer::Operator];
    let mut bench = Bench::new(Platform::answering(Repeat::Idempotent, answers));
    bench.pace.operator = HOUR;
    bench.start();
    for chat in ["C1", "C2"] {
        let id = bench.enqueue(chat, "text").await;
        bench.until(id, |entry| entry.last_error.is_some()).await;
    }
    let asked_at = Instant::now();
    bench.stop().await;
    assert!(asked_at.elapsed() < Duration::from_secs(30));
}

async fn until_failing(bench: &Bench) {
    let mut health = bench.ledger.health();
    let failing = health.wait_for(|health| matches!(health, LedgerHealth::Failing { .. }));
    tokio::time::timeout(Duration::from_secs(60), failing)
        .await
        .unwrap()
        .unwrap();
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
