//! The gate's last word: what is judged by the record, in the commit that records.

use std::time::{Duration, SystemTime};

use pretty_assertions::assert_eq;
use tempfile::TempDir;
use tieline::ledger::{
    Admission, Admitted, Conditions, Confirmation, Fate, Host, Ledger, LedgerSettings,
    LedgerThread, Limit, MAX_INVITATIONS, MessageState, NewMessage, Paired, PairingCode,
    PairingError, Performed,
};
use tieline_channel::{
    ChatKind, Conversation, EventKey, EventKind, RefusalReason, ThreadKey, UserId,
};

use super::fixture::{channel, conversation, dispatcher, key, lane, new_message, post};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Some day in 2026, in seconds since 1970.
const TODAY: u64 = 1_795_166_100;

fn open(dir: &TempDir) -> (Ledger, LedgerThread) {
    Ledger::open(dir.path(), LedgerSettings::standard()).unwrap()
}

/// Closes the ledger, and opens it again.
async fn reopen(thread: LedgerThread, dir: &TempDir) -> (Ledger, LedgerThread) {
    thread.close().await;
    open(dir)
}

fn thread(name: &str) -> Conversation {
    Conversation {
        thread: Some(ThreadKey::new(name)),
        ..conversation()
    }
}

/// A message in a thread of a group.
fn said(id: &str, at: &str, addressed: bool) -> NewMessage {
    let mut new = new_message(&lane("a"), id);
    new.message.conversation = thread(at);
    new.message.addressed = addressed;
    new
}

fn from(id: &str, user: &str) -> NewMessage {
    let mut new = new_message(&lane("a"), id);
    new.message.chat_kind = ChatKind::Direct;
    new.message.sender.id = UserId::new(user);
    new
}

async fn admit(ledger: &Ledger, message: NewMessage, conditions: Conditions) -> Admitted {
    let admission = Admission {
        message,
        conditions,
        fate: Fate::Queue,
    };
    ledger.admit(admission, |_| Vec::new()).await.unwrap()
}

fn joined() -> Conditions {
    Conditions {
        joined: true,
        ..Conditions::default()
    }
}

fn paired() -> Conditions {
    Conditions {
        paired: true,
        ..Conditions::default()
    }
}

#[track_caller]
fn assert_refused(admitted: &Admitted, expected: RefusalReason) {
    assert!(
        matches!(admitted, Admitted::Refused { reason, .. } if *reason == expected),
        "{admitted:?}"
    );
}

#[track_caller]
fn assert_queued(admitted: &Admitted) {
    assert!(matches!(admitted, Admitted::Queued { .. }), "{admitted:?}");
}

/// Has a stranger ask, and returns the code that they are told.
async fn ask(ledger: &Ledger, id: &str, user: &str) -> Option<PairingCode> {
    match admit(ledger, from(id, user), paired()).await {
        Admitted::Refused {
            reason: RefusalReason::NotPaired,
            invitation,
            ..
        } => invitation,
        other => panic!("{other:?}"),
    }
}

async fn confirm(ledger: &Ledger, code: &PairingCode) -> Result<Paired, PairingError> {
    let confirmation = Confirmation {
        code: code.clone(),
        dispatcher: None,
        by: Host::Operator,
    };
    let say = |_: &Paired| vec![post("welcome")];
    ledger.pair(confirmation, say).await.unwrap()
}

#[tokio::test]
async fn thread_goes_on_without_a_mention_once_it_was_joined() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = open(&dir);
    let before = admit(&ledger, said("1", "t", false), joined()).await;
    assert_refused(&before, RefusalReason::NotMentioned);
    assert_queued(&admit(&ledger, said("2", "t", true), Conditions::default()).await);
    assert_queued(&admit(&ledger, said("3", "t", false), joined()).await);
    let elsewhere = admit(&ledger, said("4", "other", false), joined()).await;
    assert_refused(&elsewhere, RefusalReason::NotMentioned);
    let mut far = said("5", "t", false);
    far.channel = tieline_channel::ChannelId::new("lark");
    assert_refused(
        &admit(&ledger, far, joined()).await,
        RefusalReason::NotMentioned,
    );
    let (ledger, _thread) = reopen(thread, &dir).await;
    assert_queued(&admit(&ledger, said("6", "t", false), joined()).await);
}

#[tokio::test]
async fn what_is_not_accepted_or_not_addressed_joins_nothing() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let everywhere = Conditions::default;
    assert_queued(&admit(&ledger, said("1", "t", false), everywhere()).await);
    for fate in [Fate::Refuse(RefusalReason::Bot), Fate::Answer] {
        let admission = Admission {
            message: said(&format!("{fate:?}"), "t", true),
            conditions: everywhere(),
            fate,
        };
        ledger.admit(admission, |_| Vec::new()).await.unwrap();
    }
    let mut whole_chat = said("3", "t", true);
    whole_chat.message.conversation = conversation();
    assert_queued(&admit(&ledger, whole_chat, everywhere()).await);
    let after = admit(&ledger, said("4", "t", false), joined()).await;
    assert_refused(&after, RefusalReason::NotMentioned);
    let mut whole_chat = said("5", "t", false);
    whole_chat.message.conversation = conversation();
    let after = admit(&ledger, whole_chat, joined()).await;
    assert_refused(&after, RefusalReason::NotMentioned);
}

#[tokio::test]
async fn follow_up_that_comes_with_its_mention_is_never_turned_away() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    for round in 0..100 {
        let at = format!("t{round}");
        let (mention, follow_up) = tokio::join!(
            admit(
                &ledger,
                said(&format!("{round}/1"), &at, true),
                Conditions::default()
            ),
            admit(&ledger, said(&format!("{round}/2"), &at, false), joined()),
        );
        assert_queued(&mention);
        assert_queued(&follow_up);
    }
}

#[tokio::test]
async fn joined_thread_is_left_after_thirty_days_without_a_word() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let now = SystemTime::now();
    assert_queued(&admit(&ledger, said("1", "t", true), Conditions::default()).await);
    assert_eq!(
        ledger.expire(now + 29 * DAY).await.unwrap().conversations,
        0
    );
    assert_queued(&admit(&ledger, said("2", "t", false), joined()).await);
    assert_eq!(
        ledger.expire(now + 31 * DAY).await.unwrap().conversations,
        1
    );
    assert_eq!(ledger.counts().await.unwrap().conversations, 0);
    let late = admit(&ledger, said("3", "t", false), joined()).await;
    assert_refused(&late, RefusalReason::NotMentioned);
}

#[tokio::test]
async fn first_message_of_a_conversation_is_known_as_such() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let mut first_here = Vec::new();
    for (id, at) in [("1", "t"), ("2", "t"), ("3", "u"), ("4", "t")] {
        let admitted = admit(&ledger, said(id, at, true), Conditions::default()).await;
        let Admitted::Queued { id, .. } = admitted else {
            panic!("{admitted:?}");
        };
        first_here.push(ledger.message(id).await.unwrap().unwrap().first_here);
    }
    assert_eq!(first_here, [true, false, true, false]);
    // One that was turned away does not count.
    admit(&ledger, said("5", "v", false), joined()).await;
    admit(&ledger, said("6", "v", true), Conditions::default()).await;
    let record = ledger.find_message(&channel(), &key("6")).await.unwrap();
    assert!(record.unwrap().first_here);
}

#[tokio::test]
async fn conversations_are_told_newest_first() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    for (id, at) in [("1", "t"), ("2", "u"), ("3", "v"), ("4", "t")] {
        admit(&ledger, said(id, at, true), Conditions::default()).await;
        // So that no two are used in the same millisecond.
        let used = SystemTime::now();
        while SystemTime::now() < used + Duration::from_millis(2) {
            tokio::task::yield_now().await;
        }
    }
    let epoch = SystemTime::UNIX_EPOCH;
    let all = ledger.conversations(&channel(), epoch, 10).await.unwrap();
    assert_eq!(all, [thread("t"), thread("v"), thread("u")]);
    let two = ledger.conversations(&channel(), epoch, 2).await.unwrap();
    assert_eq!(two, [thread("t"), thread("v")]);
    let ahead = SystemTime::now() + DAY;
    let none = ledger.conversations(&channel(), ahead, 10).await.unwrap();
    assert_eq!(none, []);
    let other = tieline_channel::ChannelId::new("tea");
    assert_eq!(ledger.conversations(&other, epoch, 10).await.unwrap(), []);
}

#[tokio::test]
async fn who_writes_too_often_is_turned_away_and_others_are_not() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = open(&dir);
    let limited = || Conditions {
        sender: Some(Limit {
            times: 2,
            within: Duration::from_secs(3600),
        }),
        ..Conditions::default()
    };
    assert_queued(&admit(&ledger, from("1", "U1"), limited()).await);
    assert_queued(&admit(&ledger, from("2", "U1"), limited()).await);
    // Another delivery of the same message is not another message.
    let again = admit(&ledger, from("2", "U1"), limited()).await;
    assert!(matches!(again, Admitted::Duplicate { id: Some(_) }));
    let third = admit(&ledger, from("3", "U1"), limited()).await;
    assert_refused(&third, RefusalReason::TooOften);
    assert_queued(&admit(&ledger, from("4", "U2"), limited()).await);
    let (ledger, _thread) = reopen(thread, &dir).await;
    let fourth = admit(&ledger, from("5", "U1"), limited()).await;
    assert_refused(&fourth, RefusalReason::TooOften);
    ledger.expire(SystemTime::now() + 9 * DAY).await.unwrap();
    assert_queued(&admit(&ledger, from("6", "U1"), limited()).await);
}

#[tokio::test]
async fn limit_counts_only_what_is_within_its_time() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let limited = || Conditions {
        sender: Some(Limit {
            times: 1,
            within: Duration::from_millis(30),
        }),
        ..Conditions::default()
    };
    assert_queued(&admit(&ledger, from("0", "U1"), limited()).await);
    let begun = SystemTime::now();
    for number in 1.. {
        match admit(&ledger, from(&number.to_string(), "U1"), limited()).await {
            Admitted::Queued { .. } => break,
            other => assert_refused(&other, RefusalReason::TooOften),
        }
        assert!(begun.elapsed().unwrap() < Duration::from_secs(60));
    }
}

#[tokio::test]
async fn programs_come_to_an_end_in_each_conversation_together() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let guarded = || Conditions {
        programs: Some(Limit {
            times: 3,
            within: Duration::from_secs(3600),
        }),
        ..Conditions::default()
    };
    let by = |id: &str, user: &str, at: &str| {
        let mut new = said(id, at, true);
        new.message.sender.id = UserId::new(user);
        new
    };
    for (id, user) in [("1", "B1"), ("2", "B2"), ("3", "B1")] {
        assert_queued(&admit(&ledger, by(id, user, "t"), guarded()).await);
    }
    let fourth = admit(&ledger, by("4", "B2", "t"), guarded()).await;
    assert_refused(&fourth, RefusalReason::TooOften);
    assert_queued(&admit(&ledger, by("5", "B2", "u"), guarded()).await);
    // People are not counted among them.
    assert_queued(&admit(&ledger, said("6", "t", true), Conditions::default()).await);
}

#[tokio::test]
async fn stranger_is_let_in_by_their_code_once() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = open(&dir);
    let code = ask(&ledger, "1", "U1").await.unwrap();
    assert_eq!(ask(&ledger, "2", "U1").await, None, "told twice");
    let open_codes = ledger.invitations(SystemTime::now()).await.unwrap();
    assert_eq!(open_codes.len(), 1);
    assert_eq!(open_codes[0].code, code);
    let (ledger, thread) = reopen(thread, &dir).await;
    let let_in = confirm(&ledger, &code).await.unwrap();
    assert_eq!(let_in.guest.user, UserId::new("U1"));
    assert_eq!(let_in.guest.dispatcher, dispatcher());
    let told = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(confirm(&ledger, &code).await, Err(PairingError::Unknown));
    let told = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(told.len(), 1, "a used code was answered with a welcome");
    let (ledger, _thread) = reopen(thread, &dir).await;
    assert_queued(&admit(&ledger, from("3", "U1"), paired()).await);
    assert!(ask(&ledger, "4", "U2").await.is_some());
    let mut elsewhere = from("5", "U1");
    elsewhere.dispatcher = tieline::id::DispatcherId::new("other");
    assert_refused(
        &admit(&ledger, elsewhere, paired()).await,
        RefusalReason::NotPaired,
    );
    assert_eq!(
        ledger.paired().await.unwrap(),
        std::slice::from_ref(&let_in)
    );

    let gone = ledger.unpair(&channel(), &UserId::new("U1")).await.unwrap();
    assert_eq!(gone, [let_in]);
    assert_eq!(
        ledger.unpair(&channel(), &UserId::new("U1")).await.unwrap(),
        []
    );
    assert_refused(
        &admit(&ledger, from("6", "U1"), paired()).await,
        RefusalReason::NotPaired,
    );
}

#[tokio::test]
async fn code_of_another_dispatcher_counts_for_no_admin() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let code = ask(&ledger, "1", "U1").await.unwrap();
    let pair = |id: &str, dispatcher: &str| Admission {
        message: NewMessage {
            dispatcher: tieline::id::DispatcherId::new(dispatcher),
            ..from(id, "U-admin")
        },
        conditions: Conditions::default(),
        fate: Fate::Pair(code.clone()),
    };
    let say = |_: &Admitted| vec![post("answer")];
    let foreign = ledger.admit(pair("2", "other"), say).await.unwrap();
    assert!(matches!(
        foreign,
        Admitted::Commanded {
            done: Performed::Paired(Err(PairingError::Unknown)),
            ..
        }
    ));
    let own = ledger.admit(pair("3", "flow"), say).await.unwrap();
    let Admitted::Commanded {
        id,
        done: Performed::Paired(Ok(let_in)),
    } = own
    else {
        panic!("{own:?}");
    };
    assert_eq!(
        let_in.by,
        Host::Admin {
            channel: channel(),
            user: UserId::new("U-admin")
        }
    );
    // It is settled, never had a lane, and is done once.
    let record = ledger.message(id).await.unwrap().unwrap();
    assert_eq!(record.state, MessageState::Answered);
    assert_eq!(ledger.lane(&lane("a")).await.unwrap(), None);
    let again = ledger.admit(pair("3", "flow"), say).await.unwrap();
    assert_eq!(again, Admitted::Duplicate { id: Some(id) });
    let told = ledger.undelivered(&channel(), None, 10).await.unwrap();
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn crowd_of_strangers_is_bounded() {
    let dir = TempDir::new().unwrap();
    let (ledger, _thread) = open(&dir);
    let mut codes = std::collections::HashSet::new();
    for number in 0..MAX_INVITATIONS {
        let user = format!("U{number}");
        codes.insert(ask(&ledger, &user, &user).await.unwrap());
    }
    assert_eq!(codes.len(), MAX_INVITATIONS);
    assert_eq!(ask(&ledger, "one more", "one more").await, None);
    let mut elsewhere = from("elsewhere", "U1");
    elsewhere.dispatcher = tieline::id::DispatcherId::new("other");
    let elsewhere = admit(&ledger, elsewhere, paired()).await;
    assert!(matches!(
        elsewhere,
        Admitted::Refused {
            invitation: Some(_),
            ..
        }
    ));
    // A place is free again.
    let code = codes.into_iter().next().unwrap();
    confirm(&ledger, &code).await.unwrap();
    assert!(ask(&ledger, "another", "another").await.is_some());
}

#[tokio::test]
async fn event_without_a_message_is_noted_once() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = open(&dir);
    let press = EventKey {
        kind: EventKind::Press,
        id: "p".to_owned(),
    };
    assert_eq!(ledger.note(&channel(), press.clone()).await, Ok(true));
    assert_eq!(ledger.note(&channel(), press.clone()).await, Ok(false));
    let (ledger, _thread) = reopen(thread, &dir).await;
    assert_eq!(ledger.note(&channel(), press).await, Ok(false));
}

#[tokio::test]
async fn mark_begins_now_moves_and_lasts() {
    let dir = TempDir::new().unwrap();
    let (ledger, thread) = open(&dir);
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(TODAY + seconds);
    let mark = ledger.history_mark(&channel(), at(0)).await.unwrap();
    assert_eq!((mark.begun_at, mark.caught_up_to), (at(0), at(0)));
    ledger.set_history_mark(&channel(), at(60)).await.unwrap();
    let (ledger, _thread) = reopen(thread, &dir).await;
    let mark = ledger.history_mark(&channel(), at(90)).await.unwrap();
    assert_eq!((mark.begun_at, mark.caught_up_to), (at(0), at(60)));
    ledger.expire(at(60) + 31 * DAY).await.unwrap();
    let mark = ledger.history_mark(&channel(), at(120)).await.unwrap();
    assert_eq!(mark.begun_at, at(120));
}
