//! Messages, turns and posts on their way through.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline::id::{LaneId, MessageId, OutboxId, ThreadId, TurnId, TurnKey};
use tieline::ledger::{
    Accepted, Admission, Admitted, Conditions, DispatcherRecord, Expired, Fate, Ledger,
    LedgerError, LedgerSettings, Lifecycle, LostThread, MAX_REMEMBERED, MAX_TURN_MESSAGES,
    MessageState, NewMessage, Origin, Outcome, PostEvent, PostState, Reach, Revised, TurnEvent,
    TurnPhase,
};
use tieline_channel::{EventKey, EventKind, RefusalReason, Segment, WireId};
use tokio::task::JoinSet;

use super::fixture::{
    accept, channel, conversation, dispatcher, key, lane, message, names, new_message, post,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn open(dir: &TempDir) -> Ledger {
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    // The thread ends with the last handle.
    drop(thread);
    ledger
}

#[tokio::test]
async fn message_goes_from_queue_to_turn_to_outbox() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let first = accept(&ledger, &lane, "1").await;
    let second = accept(&ledger, &lane, "2").await;
    assert_eq!(names(&ledger.waiting(&lane, 10).await.unwrap()), ["1", "2"]);

    let turn = TurnKey::new();
    let open = ledger.open_turn(&lane, turn, vec![first]).await.unwrap();
    assert_eq!(open.phase, TurnPhase::Opened);
    ledger
        .advance_turn(
            &lane,
            turn,
            TurnEvent::Submitted {
                turn: TurnId::new("t"),
            },
        )
        .await
        .unwrap();
    let open = ledger
        .advance_turn(&lane, turn, TurnEvent::Delivered { turn: None })
        .await
        .unwrap();
    assert_eq!(open.phase, TurnPhase::Delivered);
    assert_eq!(open.codex_turn, Some(TurnId::new("t")));
    assert!(ledger.lane(&lane).await.unwrap().unwrap().had_turn);

    let mut changes = ledger.outbox_changes();
    changes.mark_unchanged();
    let posts = ledger
        .settle_turn(&lane, turn, Outcome::Answered, vec![post("a"), post("b")])
        .await
        .unwrap();
    assert!(changes.has_changed().unwrap());
    let record = ledger.message(first).await.unwrap().unwrap();
    assert_eq!(record.state, MessageState::Answered);
    assert_eq!(record.turn, Some(turn));
    assert_eq!(names(&ledger.waiting(&lane, 10).await.unwrap()), ["2"]);
    assert_eq!(ledger.lane(&lane).await.unwrap().unwrap().open, None);
    assert_eq!(
        ledger.message(second).await.unwrap().unwrap().state,
        MessageState::Queued
    );

    let entries = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.id).collect::<Vec<_>>(), posts);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    ledger
        .advance_post(posts[0], PostEvent::Attempt { at })
        .await
        .unwrap();
    let wire = WireId::new("w");
    let entry = ledger
        .advance_post(
            posts[0],
            PostEvent::Delivered {
                wire: wire.clone(),
                at,
            },
        )
        .await
        .unwrap();
    assert_eq!(entry.state, PostState::Delivered { wire, at });
    let entries = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].post.text, "b");
    let after = ledger
        .undelivered(&channel(), Some(posts[1]), 10)
        .await
        .unwrap();
    assert_eq!(after, []);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let lane = lane("a");
    let first = accept(&ledger, &lane, "1").await;
    accept(&ledger, &lane, "2").await;
    let long = "long ".repeat(20_000);
    let mut new = new_message(&lane, "3");
    new.message.body = vec![Segment::Text(long.clone())];
    ledger.accept(new).await.unwrap();
    let turn = TurnKey::new();
    ledger
        .set_thread(&lane, ThreadId::new("th"), Reach::default())
        .await
        .unwrap();
    ledger.open_turn(&lane, turn, vec![first]).await.unwrap();
    ledger.enqueue(vec![post(&long)]).await.unwrap();
    let lanes = ledger.lanes(&dispatcher()).await.unwrap();
    let messages = ledger.recent_messages(10).await.unwrap();
    let posts = ledger.undelivered(&channel(), None, 10).await.unwrap();
    thread.close().await;
    assert_eq!(ledger.counts().await, Err(LedgerError::Closed));

    let ledger = open(&dir);
    assert_eq!(ledger.lanes(&dispatcher()).await.unwrap(), lanes);
    assert_eq!(ledger.recent_messages(10).await.unwrap(), messages);
    assert_eq!(
        ledger.undelivered(&channel(), None, 10).await.unwrap(),
        posts
    );
    assert_eq!(names(&messages), ["3", "2", "1"]);
    assert_eq!(messages[0].message.plain_text(), long);
    assert_eq!(posts[0].post.text, long);
    assert_eq!(
        ledger.accept(new_message(&lane, "1")).await.unwrap(),
        Accepted::Duplicate { id: Some(first) }
    );
}

#[tokio::test]
async fn failing_command_leaves_no_trace() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let first = accept(&ledger, &lane, "1").await;
    let unknown = MessageId::new();
    let counts = ledger.counts().await.unwrap();
    let failed = ledger
        .open_turn(&lane, TurnKey::new(), vec![first, unknown])
        .await;
    assert_eq!(failed, Err(LedgerError::UnknownMessage(unknown)));
    assert_eq!(names(&ledger.waiting(&lane, 9).await.unwrap()), ["1"]);
    assert_eq!(
        ledger.message(first).await.unwrap().unwrap().state,
        MessageState::Queued
    );
    assert_eq!(ledger.lane(&lane).await.unwrap().unwrap().open, None);
    assert_eq!(ledger.counts().await.unwrap(), counts);
}

// === Messages ===

#[tokio::test]
async fn urgent_message_goes_before_all_that_wait() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    for (id, urgent) in [
        ("1", false),
        ("2", false),
        ("3", true),
        ("4", false),
        ("5", true),
    ] {
        let mut new = new_message(&lane, id);
        new.urgent = urgent;
        ledger.accept(new).await.unwrap();
    }
    let waiting = ledger.waiting(&lane, 10).await.unwrap();
    assert_eq!(names(&waiting), ["5", "3", "1", "2", "4"]);
    assert_eq!(names(&ledger.waiting(&lane, 2).await.unwrap()), ["5", "3"]);
}

#[tokio::test]
async fn lanes_do_not_mix() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    // Each name is the beginning of the next.
    let lanes = [lane("a"), lane("aa"), lane("aaa")];
    for (number, lane) in lanes.iter().enumerate() {
        accept(&ledger, lane, &number.to_string()).await;
    }
    for (number, lane) in lanes.iter().enumerate() {
        let waiting = ledger.waiting(lane, 10).await.unwrap();
        assert_eq!(names(&waiting), [number.to_string()]);
    }
    let first = ledger.waiting(&lanes[0], 1).await.unwrap()[0].id;
    let misplaced = ledger
        .open_turn(&lanes[1], TurnKey::new(), vec![first])
        .await;
    let expected = LedgerError::Misplaced {
        message: first,
        lane: lanes[1].clone(),
    };
    assert_eq!(misplaced, Err(expected));
    let listed = ledger.lanes(&dispatcher()).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|lane| lane.id).collect();
    assert_eq!(listed, lanes);
    let other = ledger.lanes(&tieline::id::DispatcherId::new("other")).await;
    assert_eq!(other.unwrap(), []);
}

#[tokio::test]
async fn of_many_deliveries_of_one_event_exactly_one_is_new() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let ledger = ledger.clone();
        // Another lane each time: the event decides, not where it is going.
        let lane = lane(&writer.to_string());
        writers.spawn(async move {
            for number in 0..5 {
                let new = new_message(&lane, &format!("shared {number}"));
                let accepted = ledger.accept(new).await.unwrap();
                assert!(!matches!(accepted, Accepted::Duplicate { id: None }));
                accept(&ledger, &lane, &format!("own {writer}.{number}")).await;
            }
        });
    }
    writers.join_all().await;
    let counts = ledger.counts().await.unwrap();
    assert_eq!(counts.messages.queued, 5 + 64 * 5);
    assert_eq!(counts.keys, 5 + 64 * 5);
    let recent = ledger.recent_messages(1000).await.unwrap();
    let distinct: BTreeSet<_> = names(&recent).into_iter().map(str::to_owned).collect();
    assert_eq!(distinct.len(), 5 + 64 * 5);
}

#[tokio::test]
async fn same_name_of_another_kind_or_channel_is_another_event() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    accept(&ledger, &lane, "1").await;
    let mut press = new_message(&lane, "1");
    press.key.kind = EventKind::Press;
    let mut other = new_message(&lane, "1");
    other.channel = tieline_channel::ChannelId::new("lark");
    for new in [press, other] {
        let accepted = ledger.accept(new).await.unwrap();
        assert!(matches!(accepted, Accepted::New { .. }));
    }
}

#[tokio::test]
async fn refused_message_is_recorded_without_its_text() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let refused = Admission {
        message: NewMessage {
            message: message("1", "SECRET WORDS"),
            ..new_message(&lane("a"), "1")
        },
        conditions: Conditions::default(),
        fate: Fate::Refuse(RefusalReason::UserNotListed),
    };
    let say = |_: &Admitted| vec![post("not for you")];
    let admitted = ledger.admit(refused.clone(), say).await.unwrap();
    let Admitted::Refused { id, .. } = admitted else {
        panic!("{admitted:?}");
    };
    let record = ledger.message(id).await.unwrap().unwrap();
    assert_eq!(
        record.state,
        MessageState::Refused {
            reason: RefusalReason::UserNotListed
        }
    );
    assert_eq!(record.message.body, []);
    let told = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(record.message.sender, refused.message.message.sender);
    assert_eq!(ledger.lane(&lane("a")).await.unwrap(), None);
    // Neither comes in by being delivered again.
    let again = Ok(Accepted::Duplicate { id: Some(id) });
    assert_eq!(ledger.accept(new_message(&lane("a"), "1")).await, again);
    assert_eq!(
        ledger.admit(refused, say).await,
        Ok(Admitted::Duplicate { id: Some(id) })
    );
    let told = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    drop(ledger);
    for entry in fs::read_dir(dir.path().join("store")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(path).unwrap();
            assert!(!bytes.windows(12).any(|window| window == b"SECRET WORDS"));
        }
    }
}

#[tokio::test]
async fn edit_and_deletion_count_while_the_message_waits() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let event = |kind, id: &str| EventKey { kind, ..key(id) };
    let first = accept(&ledger, &lane, "1").await;
    accept(&ledger, &lane, "2").await;

    let edit = event(EventKind::Edit, "1/e");
    for expected in [Revised::Applied, Revised::Duplicate] {
        let revised = ledger
            .revise(&channel(), edit.clone(), key("1"), message("1", "new"))
            .await;
        assert_eq!(revised, Ok(expected));
    }
    let record = ledger.find_message(&channel(), &key("1")).await.unwrap();
    assert_eq!(record.unwrap().message.plain_text(), "new");

    let deletion = event(EventKind::Deletion, "2");
    let withdrawn = ledger.withdraw(&channel(), deletion, key("2")).await;
    assert_eq!(withdrawn, Ok(Revised::Applied));
    let record = ledger.find_message(&channel(), &key("2")).await.unwrap();
    assert_eq!(record.unwrap().state, MessageState::Cancelled);
    assert_eq!(names(&ledger.waiting(&lane, 10).await.unwrap()), ["1"]);

    // A platform that delivers again may bring the deletion first.
    let deletion = event(EventKind::Deletion, "?");
    let withdrawn = ledger.withdraw(&channel(), deletion, key("?")).await;
    assert_eq!(withdrawn, Ok(Revised::Unknown));
    let late = ledger.accept(new_message(&lane, "?")).await;
    assert_eq!(late, Ok(Accepted::Duplicate { id: None }));

    let turn = TurnKey::new();
    ledger.open_turn(&lane, turn, vec![first]).await.unwrap();
    let late = ledger
        .revise(
            &channel(),
            event(EventKind::Edit, "1/f"),
            key("1"),
            message("1", "late"),
        )
        .await;
    assert_eq!(late, Ok(Revised::TooLate));
    let record = ledger.message(first).await.unwrap().unwrap();
    assert_eq!(record.message.plain_text(), "new");
}

#[tokio::test]
async fn name_that_is_too_long_is_refused() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let accepted = ledger
        .accept(new_message(&lane("a"), &"x".repeat(600)))
        .await;
    assert!(matches!(accepted, Err(LedgerError::TooLarge { .. })));
    accept(&ledger, &lane("a"), "1").await;
}

// === Lanes and turns ===

#[tokio::test]
async fn lane_knows_where_its_newest_message_came_from() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    accept(&ledger, &lane("a"), "1").await;
    let record = ledger.lane(&lane("a")).await.unwrap().unwrap();
    let origin = Origin {
        channel: channel(),
        conversation: conversation(),
    };
    assert_eq!(record.last_from, Some(origin));
}

#[tokio::test]
async fn lost_threads_are_remembered_and_announced() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    accept(&ledger, &lane, "1").await;
    for number in 0..MAX_REMEMBERED + 2 {
        let thread = ThreadId::new(number.to_string());
        ledger
            .set_thread(&lane, thread.clone(), Reach::default())
            .await
            .unwrap();
        let lost = LostThread {
            thread,
            at: SystemTime::UNIX_EPOCH,
            reason: "no rollout ".repeat(100),
        };
        ledger
            .lose_thread(&lane, lost, vec![post(&number.to_string())])
            .await
            .unwrap();
    }
    let record = ledger.lane(&lane).await.unwrap().unwrap();
    assert_eq!((record.thread, record.had_turn), (None, false));
    let lost: Vec<_> = record
        .lost
        .iter()
        .map(|lost| lost.thread.as_str())
        .collect();
    assert_eq!(lost.len(), MAX_REMEMBERED);
    assert_eq!((lost[0], lost[MAX_REMEMBERED - 1]), ("2", "17"));
    assert!(record.lost[0].reason.len() < 600);
    let posts = ledger.undelivered(&channel(), None, 100).await.unwrap();
    assert_eq!(posts.len(), MAX_REMEMBERED + 2);

    // A thread that was replaced meanwhile does not take the present one with it.
    let present = ThreadId::new("present");
    ledger
        .set_thread(&lane, present.clone(), Reach::default())
        .await
        .unwrap();
    let lost = LostThread {
        thread: ThreadId::new("old"),
        at: SystemTime::UNIX_EPOCH,
        reason: String::new(),
    };
    ledger.lose_thread(&lane, lost, Vec::new()).await.unwrap();
    let record = ledger.lane(&lane).await.unwrap().unwrap();
    assert_eq!(record.thread, Some(present));
}

#[tokio::test]
async fn turn_holds_as_many_messages_as_it_says() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let mut messages = Vec::new();
    for number in 0..=MAX_TURN_MESSAGES {
        messages.push(accept(&ledger, &lane, &number.to_string()).await);
    }
    let limit = MAX_TURN_MESSAGES;
    let too_many = Err(LedgerError::TooManyMessages { limit });
    let turn = TurnKey::new();
    assert_eq!(
        ledger.open_turn(&lane, turn, messages.clone()).await,
        too_many
    );
    let last = messages.pop().unwrap();
    ledger.open_turn(&lane, turn, messages).await.unwrap();
    for number in 0..2 * MAX_REMEMBERED {
        let after = TurnId::new(format!("0197{number:032}"));
        for event in [TurnEvent::Submitted { turn: after }, TurnEvent::Continued] {
            ledger.advance_turn(&lane, turn, event).await.unwrap();
        }
    }
    assert_eq!(ledger.join_turn(&lane, turn, last).await, too_many);
    ledger
        .settle_turn(&lane, turn, Outcome::Cancelled, Vec::new())
        .await
        .unwrap();
    assert_eq!(ledger.counts().await.unwrap().messages.cancelled, 64);
}

#[tokio::test]
async fn unknown_things_are_errors() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = LaneId::new("none");
    let unknown = LedgerError::UnknownLane(lane.clone());
    let thread = ThreadId::new("t");
    assert_eq!(
        ledger.set_thread(&lane, thread, Reach::default()).await,
        Err(unknown)
    );
    let key = TurnKey::new();
    let event = TurnEvent::Resubmitted;
    assert_eq!(
        ledger.advance_turn(&lane, key, event).await,
        Err(LedgerError::TurnNotOpen { lane, key })
    );
    let id = OutboxId::new();
    let at = SystemTime::UNIX_EPOCH;
    let unknown = Err(LedgerError::UnknownPost(id));
    let event = PostEvent::Attempt { at };
    assert_eq!(ledger.advance_post(id, event).await, unknown);
    assert_eq!(ledger.message(MessageId::new()).await, Ok(None));
}

#[tokio::test]
async fn dispatchers_are_remembered() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut record = DispatcherRecord {
        id: dispatcher(),
        state: Lifecycle::Declared,
        last_started_at: None,
        last_error: None,
        restarts: 0,
        changed_at: SystemTime::UNIX_EPOCH,
    };
    for state in [
        Lifecycle::Declared,
        Lifecycle::Starting,
        Lifecycle::Ready,
        Lifecycle::Degraded,
        Lifecycle::Stopping,
        Lifecycle::Stopped,
    ] {
        record.state = state;
        record.last_started_at = Some(SystemTime::UNIX_EPOCH + DAY);
        record.last_error = Some("it went away".to_owned());
        record.restarts += 1;
        ledger.set_dispatcher(record.clone()).await.unwrap();
        assert_eq!(ledger.dispatchers().await.unwrap(), [record.clone()]);
    }
}

// === The outbox ===

#[tokio::test]
async fn post_goes_through_its_states() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let id = ledger.enqueue(vec![post("a")]).await.unwrap()[0];
    let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let reason = || "slow down".to_owned();
    ledger
        .advance_post(id, PostEvent::Attempt { at: time(1) })
        .await
        .unwrap();
    let again = PostEvent::Again {
        not_before: time(9),
        reason: reason(),
    };
    let entry = ledger.advance_post(id, again).await.unwrap();
    assert_eq!(entry.state, PostState::Pending);
    assert_eq!(entry.attempts, 1);
    assert_eq!(entry.not_before, Some(time(9)));
    assert_eq!(entry.last_error, Some(reason()));
    for at in [10, 11] {
        let attempt = PostEvent::Attempt { at: time(at) };
        ledger.advance_post(id, attempt).await.unwrap();
    }
    let entries = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(entries[0].state, PostState::Sending { since: time(10) });
    assert_eq!(entries[0].attempts, 3);
    let unclear = PostEvent::Unclear {
        reason: reason(),
        at: time(12),
    };
    let entry = ledger.advance_post(id, unclear).await.unwrap();
    assert!(entry.state.is_settled());
    assert_eq!(ledger.undelivered(&channel(), None, 10).await, Ok(vec![]));
    assert_eq!(ledger.counts().await.unwrap().outbox.unclear, 1);
    let attempt = PostEvent::Attempt { at: time(13) };
    let illegal = ledger.advance_post(id, attempt).await;
    assert!(matches!(illegal, Err(LedgerError::Illegal(_))));
}

#[tokio::test]
async fn only_new_posts_are_announced() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut changes = ledger.outbox_changes();
    changes.mark_unchanged();
    accept(&ledger, &lane("a"), "1").await;
    ledger.enqueue(Vec::new()).await.unwrap();
    assert!(!changes.has_changed().unwrap());
    let id = ledger.enqueue(vec![post("a")]).await.unwrap()[0];
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let at = SystemTime::UNIX_EPOCH;
    let attempt = PostEvent::Attempt { at };
    ledger.advance_post(id, attempt).await.unwrap();
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn undelivered_posts_come_in_pages() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let posts: Vec<_> = (0..10).map(|n| post(&n.to_string())).collect();
    let ids = ledger.enqueue(posts).await.unwrap();
    let mut found = Vec::new();
    loop {
        let page = ledger
            .undelivered(&channel(), found.last().copied(), 3)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|entry| entry.id));
    }
    assert_eq!(found, ids);
    // An entry that is settled meanwhile still says where to go on.
    let failed = PostEvent::Failed {
        reason: "no such chat".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    ledger.advance_post(ids[4], failed).await.unwrap();
    let page = ledger.undelivered(&channel(), Some(ids[4]), 1).await;
    assert_eq!(page.unwrap()[0].id, ids[5]);
}

#[tokio::test]
async fn a_post_is_replaced_as_a_whole_or_not_at_all() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let id = ledger.enqueue(vec![post("a file")]).await.unwrap()[0];
    let failed = PostEvent::Failed {
        reason: "it takes no files".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    let instead = vec![post("in"), post("words")];
    let entry = ledger
        .replace_post(id, failed.clone(), instead.clone())
        .await
        .unwrap();
    assert!(entry.state.is_settled());
    // It is settled, so this cannot happen again, and nothing is posted twice.
    let again = ledger.replace_post(id, failed, instead.clone()).await;
    assert!(again.is_err(), "{again:?}");
    let waiting = ledger.undelivered(&channel(), None, 10).await.unwrap();
    let waiting: Vec<_> = waiting.into_iter().map(|entry| entry.post).collect();
    assert_eq!(waiting, instead);
}

// === Forgetting ===

fn spool_files(dir: &TempDir) -> usize {
    fs::read_dir(dir.path().join("spool")).unwrap().count()
}

#[tokio::test]
async fn settled_things_are_forgotten_and_others_kept() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let long = "long ".repeat(2000);
    let mut settled = Vec::new();
    for number in 0..300 {
        let id = number.to_string();
        let mut new = new_message(&lane, &id);
        if number < 3 {
            new.message = message(&id, &long);
        }
        let Accepted::New { id, .. } = ledger.accept(new).await.unwrap() else {
            panic!("{number} was seen before");
        };
        settled.push(id);
    }
    let waiting = accept(&ledger, &lane, "waiting").await;
    for messages in settled.chunks(50) {
        ledger
            .settle_waiting(&lane, messages.to_vec(), Outcome::Cancelled, Vec::new())
            .await
            .unwrap();
    }
    let posts = ledger
        .enqueue(vec![post(&long), post("pending")])
        .await
        .unwrap();
    let failed = PostEvent::Failed {
        reason: "no such chat".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    ledger.advance_post(posts[0], failed).await.unwrap();
    assert_eq!(spool_files(&dir), 4);

    let now = SystemTime::now();
    assert_eq!(ledger.expire(now + 7 * DAY).await, Ok(Expired::default()));
    let duplicate = ledger.accept(new_message(&lane, "7")).await;
    assert!(matches!(duplicate, Ok(Accepted::Duplicate { id: Some(_) })));

    let expired = ledger.expire(now + 9 * DAY).await.unwrap();
    let all = Expired {
        messages: 300,
        keys: 300,
        posts: 1,
        spools: 4,
        ..Expired::default()
    };
    assert_eq!(expired, all);
    assert_eq!(spool_files(&dir), 0);
    assert_eq!(ledger.message(settled[0]).await, Ok(None));
    assert!(ledger.message(waiting).await.unwrap().is_some());
    let undelivered = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(undelivered[0].id, posts[1]);
    let counts = ledger.counts().await.unwrap();
    assert_eq!(counts.messages.total(), 1);
    assert_eq!((counts.outbox.total(), counts.keys), (1, 1));
    // A message that still waits keeps its key, however old it is.
    let duplicate = ledger.accept(new_message(&lane, "waiting")).await;
    let id = Some(waiting);
    assert_eq!(duplicate, Ok(Accepted::Duplicate { id }));
    let fresh = ledger.accept(new_message(&lane, "7")).await;
    assert!(matches!(fresh, Ok(Accepted::New { .. })));
}

#[tokio::test]
async fn spool_files_without_a_record_are_removed() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let lane = lane("a");
    let long = "long ".repeat(2000);
    let mut new = new_message(&lane, "1");
    new.message = message("1", &long);
    ledger.accept(new).await.unwrap();
    let edit = EventKey {
        kind: EventKind::Edit,
        ..key("1/e")
    };
    let longer = message("1", &format!("{long} and more"));
    let revised = ledger.revise(&channel(), edit, key("1"), longer).await;
    assert_eq!(revised, Ok(Revised::Applied));
    assert_eq!(spool_files(&dir), 1);
    thread.close().await;

    let spool = dir.path().join("spool");
    let id = MessageId::new();
    for name in [
        "x".to_owned(),
        format!("message_{id}_0"),
        format!("post_{id}_0.unfinished"),
    ] {
        fs::write(spool.join(name), "left behind").unwrap();
    }
    let ledger = open(&dir);
    assert_eq!(spool_files(&dir), 1);
    let record = ledger.find_message(&channel(), &key("1")).await.unwrap();
    assert!(record.unwrap().message.plain_text().ends_with(" and more"));
}

// === The thread ===

#[tokio::test]
async fn directory_is_free_once_the_last_handle_is_gone() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let clone = ledger.clone();
    drop(ledger);
    accept(&clone, &lane("a"), "1").await;
    drop(clone);
    thread.join();
    accept(&open(&dir), &lane("a"), "2").await;
}

#[tokio::test]
async fn directory_is_free_although_processes_are_being_started() {
    // A process that is just being started has all open files, and with them the lock.
    let dir = TempDir::new().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let starter = std::thread::spawn({
        let ended = Arc::clone(&ended);
        move || {
            while !ended.load(Ordering::SeqCst) {
                Command::new("true").status().unwrap();
            }
        }
    });
    for _ in 0..20 {
        let (_ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
        thread.close().await;
    }
    ended.store(true, Ordering::SeqCst);
    starter.join().unwrap();
}

#[tokio::test]
async fn what_was_asked_before_closing_is_done() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = Ledger::open(dir.path(), LedgerSettings::standard()).unwrap();
    let lane = lane("a");
    let mut writers = JoinSet::new();
    for number in 0..20 {
        let (ledger, lane) = (ledger.clone(), lane.clone());
        writers.spawn(async move { ledger.accept(new_message(&lane, &number.to_string())).await });
    }
    // One round of the scheduler: all of them have asked.
    tokio::task::yield_now().await;
    thread.close().await;
    while let Some(accepted) = writers.join_next().await {
        accepted.unwrap().unwrap();
    }
    let after = ledger.accept(new_message(&lane, "after")).await;
    assert_eq!(after, Err(LedgerError::Closed));
    assert_eq!(open(&dir).counts().await.unwrap().messages.queued, 20);
}

#[tokio::test]
async fn what_lost_its_text_on_disk_holds_up_nothing_behind_it() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let lane = lane("a");
    let mut long = new_message(&lane, "long");
    long.message.body = vec![Segment::Text("x".repeat(20_000))];
    ledger.accept(long).await.unwrap();
    accept(&ledger, &lane, "short").await;
    let posts = vec![post(&"y".repeat(20_000)), post("short")];
    ledger.enqueue(posts).await.unwrap();
    for entry in std::fs::read_dir(dir.path().join("spool")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }

    let waiting = ledger.waiting(&lane, 10).await.unwrap();
    assert_eq!(names(&waiting), ["short"]);
    let record = ledger.lane(&lane).await.unwrap().unwrap();
    assert_eq!(record.waiting, 1);
    let undelivered = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(undelivered.len(), 1);
    assert_eq!(undelivered[0].post.text, "short");
    let counts = ledger.counts().await.unwrap();
    assert_eq!((counts.messages.failed, counts.messages.queued), (1, 1));
    assert_eq!((counts.outbox.failed, counts.outbox.pending), (1, 1));
}
